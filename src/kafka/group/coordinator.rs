//! The group machine as the handlers ask it: one method per command, and what it answers in Kafka's codes. Decides
//! nothing; every answer is durable when it comes.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

use super::consumer::{Beat, Beaten, Described as DescribedConsumers, Own, Refused};
use super::{
    Command, Commit, Described, Fetch, Fetched, Groups, Heartbeat, Join, Joined, Leave, Listed, Missing, Name, Refusal,
    Reply, Scratch, Settings, Sync, Synced,
};
use crate::auth::rules::{Policy, authorize};
use crate::auth::{self, Action};
use crate::engine::catalog::Kind;
use crate::engine::ledgers::{Effects, Ledger};
use crate::engine::{Catalog, Engine, Error, Growth, Part, Receipt};
use crate::ids::StreamId;
use crate::kafka::access;
use crate::kafka::cx;
use crate::kafka::error::Code;
use crate::kafka::group::consumer::assign::{Topics, Viewer};
use crate::kafka::ledgers;
use crate::kafka::wire::Uuid;
use crate::record::records::Marker;

/// The stream whose only log the groups are folded from. Kafka's readers may read it, nobody else writes it.
pub const STREAM: &str = "__consumer_offsets";
/// The largest batch of it: one group's record is bounded by [`Settings::group_limit_bytes`].
const BATCH_LIMIT_BYTES: u32 = 32 << 20;

/// What became of a commit: refused as a whole, or one result per offset.
pub type Committing = Result<Vec<Result<(), Refusal>>, Code>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Coordinator(Ledger<Groups>, Arc<Mutex<Seen>>);

/// The last picture of the streams that the machine was shown, and how many it was shown.
#[derive(Debug, Default)]
struct Seen {
    catalog: Option<Arc<Catalog>>,
    ruled: Option<Ruled>,
    count: u64,
}

/// What says who may know of what.
#[derive(Clone, Debug)]
pub struct Ruled {
    pub state: Arc<auth::machine::State>,
    pub policy: Arc<Policy>,
}

/// The streams that Kafka's clients see.
#[derive(Debug)]
struct Shown {
    catalog: Arc<Catalog>,
    /// `None`: everybody may know of everything.
    ruled: Option<Ruled>,
    version: u64,
}

impl Topics for Shown {
    fn version(&self) -> u64 {
        self.version
    }

    fn topic(&self, name: &str) -> Option<(u128, i32)> {
        let stream = cx::topic(&self.catalog, name)?;
        Some((stream.id.0, i32::try_from(stream.logs.len()).unwrap_or(i32::MAX)))
    }

    fn name(&self, id: u128) -> Option<Name> {
        cx::topic_by_id(&self.catalog, Uuid(id)).map(|stream| stream.name.clone())
    }

    fn count(&self) -> usize {
        self.catalog.streams().count()
    }

    fn visit(&self, see: &mut dyn FnMut(&Name)) {
        // Internal topics are read by name only.
        for stream in cx::topics(&self.catalog).filter(|stream| !cx::is_internal(stream)) {
            see(&stream.name);
        }
    }

    fn may_see(&self, viewer: &Viewer, name: &str) -> bool {
        self.ruled.as_ref().is_none_or(|Ruled { state, policy }| {
            authorize(&state.rules, policy, &viewer.principal, &viewer.host, Action::Describe, access::topic(name))
        })
    }
}

impl Coordinator {
    /// Folds the groups from their log, which is made if it is not there, and keeps them from then on: offsets of
    /// deleted streams are taken away as long as the engine lives.
    pub async fn open(engine: Arc<Engine>, settings: Settings) -> Result<Coordinator, Error> {
        let limit = BATCH_LIMIT_BYTES.to_string();
        let kept = [("compression.type", "producer"), ("max.message.bytes", &*limit)];
        let log = ledgers::log_of(&engine, STREAM, Kind::Shown, &kept).await?;
        // Nobody watches the state from outside.
        let ledger =
            Ledger::open(engine.clone(), log, Scratch::new(settings), Box::new(|_, _| None), effects()).await?;
        let coordinator = Coordinator(ledger, Arc::default());
        if coordinator.look(&engine.catalog()).await.is_err() {
            return Err(Error::ShuttingDown);
        }
        let groups = coordinator.clone();
        engine.accompany_growth(Arc::new(move |growth, parts| Box::pin(groups.clone().grown(growth, parts))));
        tokio::spawn(coordinator.clone().forget_deleted(engine.watch_deletions(), Arc::downgrade(&engine)));
        Ok(coordinator)
    }

    /// Streams are deleted through more doors than one, and a crash may come between: so the catalog is compared with
    /// what offsets are committed for, at the start and whenever a stream has been deleted.
    async fn forget_deleted(self, mut deletions: watch::Receiver<u64>, engine: Weak<Engine>) {
        while let Some(catalog) = engine.upgrade().map(|engine| engine.catalog()) {
            let Ok(topics) = self.topics().await else { return };
            for (topic, id) in topics.into_iter().filter(|(topic, id)| is_gone(&catalog, topic, *id)) {
                tracing::info!(%topic, "offsets of a deleted stream are taken out of all groups");
                if self.forget(topic, id).await.is_err() {
                    return;
                }
            }
            if deletions.changed().await.is_err() {
                return;
            }
        }
    }

    /// Appends the catalog's batches of a growth and the offsets of every group in the logs that appear: all or none.
    async fn grown(self, growth: Growth, parts: Vec<Part>) -> Receipt {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let Growth { stream, logs } = growth;
        let partitions = number(stream.logs.len())..number(logs as usize);
        self.0.carry(Command::Grown { topic: stream.name.clone(), topic_id: stream.id.0, partitions }, parts).await
    }

    pub async fn configure(&self, settings: Settings) -> Result<(), Code> {
        match self.ask(Command::Configure(settings)).await? {
            Reply::Done => Ok(()),
            other => wrong(&other),
        }
    }

    /// What single groups have for themselves from now on.
    pub async fn own(&self, own: Own) -> Result<(), Code> {
        match self.ask(Command::Own(Arc::new(own))).await? {
            Reply::Done => Ok(()),
            other => wrong(&other),
        }
    }

    /// Waits as long as the rebalance does. Refused, with the member id to be answered.
    pub async fn join(&self, join: Join) -> Result<Joined, (Code, Name)> {
        let member = join.member.clone();
        match self.ask(Command::Join(join)).await {
            Ok(Reply::Join(result)) => result.map_err(|refused| (refused.why.into(), refused.member)),
            Ok(other) => wrong(&other),
            Err(code) => Err((code, member)),
        }
    }

    /// Waits for the leader's assignment.
    pub async fn sync(&self, sync: Sync) -> Result<Synced, Code> {
        match self.ask(Command::Sync(sync)).await? {
            Reply::Sync(result) => Ok(result?),
            other => wrong(&other),
        }
    }

    pub async fn heartbeat(&self, beat: Heartbeat) -> Result<(), Code> {
        match self.ask(Command::Heartbeat(beat)).await? {
            Reply::Heartbeat(result) => Ok(result?),
            other => wrong(&other),
        }
    }

    /// A heartbeat of a consumer group. A join may wait for its assignment.
    pub async fn beat(&self, beat: Beat) -> Result<Beaten, (Code, Option<String>)> {
        match self.ask(Command::Beat(Box::new(beat))).await {
            Ok(Reply::Beat(result)) => result.map_err(|Refused { why, words }| (why.into(), Some(words))),
            Ok(other) => wrong(&other),
            Err(code) => Err((code, None)),
        }
    }

    /// Shows the machine what streams there are, unless it has seen this very picture.
    pub async fn look(&self, catalog: &Arc<Catalog>) -> Result<(), Code> {
        self.look_at(catalog, None).await
    }

    /// The same, and at who may know of what.
    pub async fn look_by(&self, catalog: &Arc<Catalog>, ruled: Option<Ruled>) -> Result<(), Code> {
        self.look_at(catalog, Some(ruled)).await
    }

    async fn look_at(&self, catalog: &Arc<Catalog>, ruled: Option<Option<Ruled>>) -> Result<(), Code> {
        let topics = {
            let mut seen = self.1.lock().unwrap_or_else(PoisonError::into_inner);
            let ruled = ruled.unwrap_or_else(|| seen.ruled.clone());
            let is_same = match (&seen.ruled, &ruled) {
                (None, None) => true,
                (Some(before), Some(now)) => Arc::ptr_eq(&before.state, &now.state),
                _ => false,
            };
            if is_same && seen.catalog.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, catalog)) {
                return Ok(());
            }
            *seen = Seen { catalog: Some(catalog.clone()), ruled: ruled.clone(), count: seen.count + 1 };
            Arc::new(Shown { catalog: catalog.clone(), ruled, version: seen.count })
        };
        match self.ask(Command::Look(topics)).await? {
            Reply::Done => Ok(()),
            other => wrong(&other),
        }
    }

    pub async fn describe_consumers(
        &self,
        groups: Vec<Name>,
    ) -> Result<Vec<Result<DescribedConsumers, Missing>>, Code> {
        match self.ask(Command::DescribeConsumers(groups)).await? {
            Reply::DescribeConsumers(groups) => Ok(groups),
            other => wrong(&other),
        }
    }

    /// One result per member that was to leave.
    pub async fn leave(&self, leave: Leave) -> Result<Vec<Result<(), Refusal>>, Code> {
        match self.ask(Command::Leave(leave)).await? {
            Reply::Leave(result) => Ok(result?),
            other => wrong(&other),
        }
    }

    /// In two steps: when the first is done, the commit has its place behind everything asked before; the second is
    /// its answer, one result per offset.
    pub async fn commit(&self, commit: Commit) -> Result<impl Future<Output = Committing> + Send + use<>, Code> {
        let handed_over = self.0.hand_over(Command::Commit(commit)).await;
        let answer = handed_over.map_err(|error| unavailable(&error))?;
        Ok(async move {
            match answer.await.map_err(|error| unavailable(&error))? {
                Reply::Commit(result) => Ok(result?),
                other => wrong(&other),
            }
        })
    }

    /// Like [`Coordinator::commit`], within the transaction of a producer.
    pub async fn commit_within(&self, producer: (i64, i16), commit: Commit) -> Committing {
        let (producer, epoch) = producer;
        match self.ask(Command::CommitWithin { producer, epoch, commit }).await? {
            Reply::Commit(result) => Ok(result?),
            other => wrong(&other),
        }
    }

    /// The transaction of a producer has ended: what it committed counts now, or never.
    pub async fn end(&self, producer: i64, epoch: i16, how: Marker) -> Result<(), Error> {
        match self.0.ask(Command::End { producer, epoch, how }).await? {
            Reply::Done => Ok(()),
            other => wrong(&other),
        }
    }

    /// One list per group, or why its member may not see it.
    pub async fn fetch(&self, groups: Vec<Fetch>) -> Result<Vec<Result<Vec<Fetched>, Refusal>>, Code> {
        match self.ask(Command::Fetch(groups)).await? {
            Reply::Fetch(fetched) => Ok(fetched),
            other => wrong(&other),
        }
    }

    /// Classic groups.
    pub async fn describe(&self, groups: Vec<Name>) -> Result<Vec<Result<Described, Missing>>, Code> {
        match self.ask(Command::Describe(groups)).await? {
            Reply::Describe(groups) => Ok(groups),
            other => wrong(&other),
        }
    }

    pub async fn list(&self) -> Result<Vec<Listed>, Code> {
        match self.ask(Command::List).await? {
            Reply::List(groups) => Ok(groups),
            other => wrong(&other),
        }
    }

    /// One result per group.
    pub async fn delete(&self, groups: Vec<Name>) -> Result<Vec<Result<(), Refusal>>, Code> {
        match self.ask(Command::Delete(groups)).await? {
            Reply::Delete(results) => Ok(results),
            other => wrong(&other),
        }
    }

    /// Takes offsets of a group away: one result per topic.
    pub async fn delete_offsets(&self, group: Name, topics: Vec<(Name, Vec<i32>)>) -> Committing {
        match self.ask(Command::DeleteOffsets { group, topics }).await? {
            Reply::DeleteOffsets(result) => Ok(result?),
            other => wrong(&other),
        }
    }

    /// Takes the offsets of one life of a stream out of every group.
    pub async fn forget(&self, topic: Name, topic_id: u128) -> Result<(), Code> {
        match self.ask(Command::Forget { topic, topic_id }).await? {
            Reply::Done => Ok(()),
            other => wrong(&other),
        }
    }

    /// The streams, by name and life, for which offsets are committed.
    pub async fn topics(&self) -> Result<Vec<(Name, u128)>, Code> {
        match self.ask(Command::Topics).await? {
            Reply::Topics(topics) => Ok(topics),
            other => wrong(&other),
        }
    }

    async fn ask(&self, command: Command) -> Result<Reply, Code> {
        self.0.ask(command).await.map_err(|error| unavailable(&error))
    }
}

/// Assignments of large groups are computed on a thread of their own.
fn effects() -> Effects<Groups> {
    Effects {
        parts: Box::new(|_| Vec::new()),
        perform: Arc::new(|job| {
            let job = job.clone();
            Box::pin(async move {
                // Should it fail, the next heartbeat finds nothing new, and nobody is told what is not so.
                let _ = tokio::task::spawn_blocking(move || job.run()).await;
                Ok(())
            })
        }),
    }
}

/// An offset without an id belongs to whatever has the name.
fn is_gone(catalog: &Catalog, topic: &str, id: u128) -> bool {
    match id {
        0 => catalog.stream(topic).is_none(),
        id => catalog.stream_by_id(StreamId(id)).is_none(),
    }
}

/// The ledger itself fails only when the whole server does, or is told to stop: a client looks for the coordinator
/// again, and finds it when it is back.
fn unavailable(_: &Error) -> Code {
    Code::CoordinatorNotAvailable
}

fn wrong(reply: &Reply) -> ! {
    unreachable!("the group machine answered another command: {reply:?}")
}

impl From<Refusal> for Code {
    fn from(refusal: Refusal) -> Code {
        match refusal {
            Refusal::UnknownMember => Code::UnknownMemberId,
            Refusal::IllegalGeneration => Code::IllegalGeneration,
            Refusal::RebalanceInProgress => Code::RebalanceInProgress,
            Refusal::InconsistentProtocol => Code::InconsistentGroupProtocol,
            Refusal::MemberIdRequired => Code::MemberIdRequired,
            Refusal::FencedInstance => Code::FencedInstanceId,
            Refusal::InvalidSessionTimeout => Code::InvalidSessionTimeout,
            Refusal::InvalidGroupId => Code::InvalidGroupId,
            Refusal::InvalidRequest => Code::InvalidRequest,
            Refusal::GroupFull => Code::GroupMaxSizeReached,
            Refusal::GroupNotFound => Code::GroupIdNotFound,
            Refusal::GroupNotEmpty => Code::NonEmptyGroup,
            Refusal::OffsetMetadataTooLarge => Code::OffsetMetadataTooLarge,
            // What Kafka answers where the record with the assignment is too large for its log.
            Refusal::AssignmentTooLarge => Code::UnknownServerError,
            Refusal::FencedEpoch => Code::FencedMemberEpoch,
            Refusal::StaleEpoch => Code::StaleMemberEpoch,
            Refusal::UnreleasedInstance => Code::UnreleasedInstanceId,
            Refusal::UnsupportedAssignor => Code::UnsupportedAssignor,
            Refusal::InvalidRegex => Code::InvalidRegularExpression,
            Refusal::SubscribedToTopic => Code::GroupSubscribedToTopic,
            Refusal::UnsupportedVersion => Code::UnsupportedVersion,
        }
    }
}
