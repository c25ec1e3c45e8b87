//! What an engine is told: limits and habits, each of which is a configuration key.

use super::{compact, lane};
use crate::config::stream::StreamDefaults;

/// Limits and habits of an engine; each is a configuration key.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes that have arrived and wait for a place (`ingress.limit.bytes`).
    pub ingress_limit_bytes: u32,
    /// The same for frames up to [`SMALL_FRAME_BYTES`], so that big ones never starve heartbeats.
    pub small_ingress_limit_bytes: u32,
    pub lane: lane::Limits,
    pub journal_file_bytes: u64,
    /// Recycled journal files kept.
    pub journal_spare_files: usize,
    pub open_files_limit: usize,
    /// The most one fetch reads from segments beyond its first batch, in bytes: a short answer is a right answer.
    pub fetch_disk_limit_bytes: usize,
    /// Appends are refused while the disk has less room than this, and accepted again at twice as much.
    pub reserve_free_bytes: u64,
    /// How often retention is judged.
    pub maintenance_ms: i64,
    pub producer_expiration_ms: i64,
    /// A ledger's log is begun anew with a snapshot when it has grown by this much, or by twice its last snapshot.
    pub ledger_snapshot_bytes: u64,
    pub compaction: compact::Options,
    /// No segment grows larger than this, whatever its stream says: so a simulation sees many.
    pub segment_limit_bytes: u64,
    /// The server's own defaults of stream settings.
    pub defaults: StreamDefaults,
}

/// Frames up to this size have a budget of their own.
pub const SMALL_FRAME_BYTES: u32 = 64 * 1024;

impl Default for Options {
    fn default() -> Self {
        Options {
            ingress_limit_bytes: 32 << 20,
            small_ingress_limit_bytes: 16 << 20,
            lane: lane::Limits {
                settle_bytes: 4 << 20,
                pack_bytes: 64 << 10,
                pack_logs: 512,
                unsettled_bytes: 48 << 20,
                journal_bytes: 96 << 20,
                tail_bytes: 48 << 20,
                producers: 100_000,
            },
            journal_file_bytes: 32 << 20,
            // As many as the journal's limit holds: a file that is used again has its blocks and its memory already.
            journal_spare_files: 4,
            open_files_limit: 512,
            fetch_disk_limit_bytes: 8 << 20,
            reserve_free_bytes: 64 << 20,
            maintenance_ms: 10_000,
            producer_expiration_ms: 86_400_000,
            ledger_snapshot_bytes: 4 << 20,
            compaction: compact::Options::default(),
            segment_limit_bytes: u64::MAX,
            defaults: StreamDefaults::default(),
        }
    }
}
