//! What the fuzz targets share: the bound on memory, and the table of messages. No target of its own.

pub use peak_alloc::PeakAlloc;

pub mod messages;

/// Runs `work` and fails if it ever held more than `times` the bytes of its input and `beside_bytes` beside them. The
/// target's global allocator must be `heap`.
pub fn bounded<T>(
    heap: &PeakAlloc,
    input_bytes: usize,
    times: usize,
    beside_bytes: usize,
    work: impl FnOnce() -> T,
) -> T {
    let before = heap.current_usage();
    heap.reset_peak_usage();
    let made = work();
    let held = heap.peak_usage().saturating_sub(before);
    let limit = input_bytes * times + beside_bytes;
    assert!(held <= limit, "{held} bytes were held for an input of {input_bytes}; the limit is {limit}");
    made
}

/// Every target's allocator: it counts.
#[macro_export]
macro_rules! counted {
    () => {
        #[global_allocator]
        static HEAP: $crate::PeakAlloc = $crate::PeakAlloc;
    };
}
