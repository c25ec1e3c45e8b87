//! Bugs that can be planted, to show that the simulation finds them. Without the feature `sabotage` nothing of this is in
//! the program: [`is`] is a constant. Never built into what is shipped.

/// A bug, by what it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A writer is answered when its batch is written, not when it is durable.
    AckBeforeSync,
    /// Readers see a batch when it is written, not when it is durable.
    PublishBeforeSync,
    /// A segment is said to hold what was never synced to it.
    SettledBeforeSync,
    /// Journal files go although the table that stands for them was not written.
    ForgetWithoutTable,
    /// A start forgets what is known of producers.
    ProducersForgotten,
    /// A start leaves out the last member of a group.
    TornGroup,
    /// A trim is answered and never recorded.
    TrimNotDurable,
    /// The first batch of a segment that follows another is left out.
    RollOffByOne,
    /// A ledger's snapshot lacks its last record.
    SnapshotShort,
    /// Retention takes everything for a second older than it is.
    RetentionEager,
    /// Room on the disk is never noticed again.
    FullForEver,
    /// A settled batch is handed out whatever its checksum says.
    RotServed,
    /// When a settled batch arrived is forgotten.
    ArrivalForgotten,
    /// A Kinesis reader is told the number of the record behind.
    NumberOffByOne,
    /// A Kinesis reader is shown every key as if no Kinesis client could have put it.
    GenuineForgotten,
}

/// Every bug there is.
pub const BUGS: [Bug; 15] = [
    Bug::AckBeforeSync,
    Bug::PublishBeforeSync,
    Bug::SettledBeforeSync,
    Bug::ForgetWithoutTable,
    Bug::ProducersForgotten,
    Bug::TornGroup,
    Bug::TrimNotDurable,
    Bug::RollOffByOne,
    Bug::SnapshotShort,
    Bug::RetentionEager,
    Bug::FullForEver,
    Bug::RotServed,
    Bug::ArrivalForgotten,
    Bug::NumberOffByOne,
    Bug::GenuineForgotten,
];

/// Is this bug planted?
#[cfg(not(feature = "sabotage"))]
pub const fn is(_: Bug) -> bool {
    false
}

#[cfg(feature = "sabotage")]
std::thread_local! {
    /// Of this thread's engines: a simulated one has no other thread.
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

#[cfg(feature = "sabotage")]
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Plants a bug in this thread, or takes it out.
#[cfg(feature = "sabotage")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}
