//! Reading many logs at once, and waiting for them: the only wait for data in the program. Interest is registered once
//! per call, then the logs are read, then the reader sleeps until news or the deadline.

use std::sync::Arc;

use tokio::sync::Notify;

use super::frame::Settled;
use super::tail::{Logs, Shared, Source};
use super::vault::{Segment, Vault};
use super::{Bounds, Engine, Error, Fetch, Page, Read, Stored};
use crate::ids::Offset;
use crate::metrics;

/// A reader's interest in some logs; taken back when dropped.
struct Interest {
    notify: Arc<Notify>,
    logs: Vec<Arc<Shared>>,
}

/// What has to be read from segments for one read of a fetch.
struct Plan {
    read: usize,
    segment: Arc<Segment>,
    reach: Settled,
    from: Offset,
    max_bytes: usize,
}

type Pages = Vec<Result<Page, Error>>;

impl Engine {
    /// Reads many logs at once; waits, at most until the deadline, for `min_bytes` or news. One answer per read, in
    /// order. A read that fails ends the wait.
    pub async fn fetch(&self, want: Fetch) -> Vec<Result<Page, Error>> {
        let mut interest: Option<Interest> = None;
        loop {
            let (pages, bytes) = self.read_all(&want).await;
            let done = bytes >= want.min_bytes || pages.iter().any(Result::is_err);
            if done || self.clock.now() >= want.deadline {
                metrics::FETCHED_BYTES.add(bytes as u64);
                return pages;
            }
            match &interest {
                None => interest = Some(Interest::in_logs(&self.logs, &want.reads)),
                Some(interest) => {
                    tokio::select! {
                        biased;
                        () = interest.notify.notified() => {}
                        () = self.clock.sleep_until(want.deadline) => {}
                        () = self.failed() => return want.reads.iter().map(|_| Err(Error::LaneFailed)).collect(),
                    }
                }
            }
        }
    }

    async fn read_all(&self, want: &Fetch) -> (Pages, usize) {
        let mut pages: Pages = Vec::with_capacity(want.reads.len());
        let mut plans = Vec::new();
        let mut bytes = 0usize;
        let mut disk_left = self.options.fetch_disk_limit_bytes;
        for (i, read) in want.reads.iter().enumerate() {
            let left = read.max_bytes.min(want.max_bytes.saturating_sub(bytes));
            let force = bytes == 0;
            let page = self.logs.get(read.log).and_then(|shared| {
                let view = shared.view();
                let bounds = view.bounds();
                let source = view.read(read.from, read.until, left, force)?;
                drop(view);
                let mut page = Page { bounds, batches: Vec::new() };
                match source {
                    Source::Empty => {}
                    Source::Memory(batches) => {
                        bytes += batches.iter().map(|b| b.bytes.len()).sum::<usize>();
                        page.batches = batches;
                    }
                    Source::Vault(segment, reach) => {
                        let left = left.min(disk_left);
                        if left > 0 || force {
                            disk_left -= left;
                            plans.push(Plan { read: i, segment, reach, from: read.from, max_bytes: left });
                            // Assumed full until it is read; a short read only makes this answer smaller.
                            bytes += left.max(1);
                        }
                    }
                }
                Ok(page)
            });
            pages.push(page);
        }
        if plans.is_empty() {
            return (pages, bytes);
        }
        let found = self.read_plans(plans).await;
        for (read, result) in found {
            match (result, &mut pages[read]) {
                (Ok(batches), Ok(page)) => page.batches = batches,
                (Err(e), page) => *page = Err(e),
                (Ok(_), Err(_)) => {}
            }
        }
        let bytes = pages.iter().flatten().flat_map(|p| &p.batches).map(|b| b.bytes.len()).sum();
        (pages, bytes)
    }

    async fn read_plans(&self, plans: Vec<Plan>) -> Vec<(usize, Result<Vec<Stored>, Error>)> {
        let vault = self.vault.clone();
        self.blocking(move || plans.into_iter().map(|plan| (plan.read, read_plan(&vault, &plan))).collect())
            .await
            .unwrap_or_default()
    }
}

/// Reads a segment from an offset on; goes on behind damaged batches until something sound is found or it ends.
fn read_plan(vault: &Vault, plan: &Plan) -> Result<Vec<Stored>, Error> {
    let mut from = plan.from;
    let mut lost: Option<(Offset, Offset)> = None;
    loop {
        let range = vault.read(&plan.segment, &plan.reach, from, plan.reach.end, plan.max_bytes).map_err(|e| {
            tracing::error!(log = %plan.segment.log, base = %plan.segment.base, "reading a segment failed: {e}");
            Error::Corrupt { first: from, end: plan.reach.end }
        })?;
        if let Some((first, end)) = range.withheld.last() {
            lost = Some((lost.map_or(*first, |(f, _)| f), *end));
        }
        if !range.batches.is_empty() {
            return Ok(range.batches);
        }
        if range.next <= from || range.next >= plan.reach.end {
            return match lost {
                Some((first, end)) => Err(Error::Corrupt { first, end }),
                None => Ok(Vec::new()),
            };
        }
        from = range.next;
    }
}

impl Interest {
    fn in_logs(logs: &Logs, reads: &[Read]) -> Interest {
        let notify = Arc::new(Notify::new());
        let logs: Vec<Arc<Shared>> = reads.iter().filter_map(|r| logs.get(r.log).ok()).collect();
        for shared in &logs {
            shared.view().waiters.push(notify.clone());
        }
        Interest { notify, logs }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        for shared in &self.logs {
            shared.view().waiters.retain(|w| !Arc::ptr_eq(w, &self.notify));
        }
    }
}

impl Page {
    /// An answer without batches.
    pub fn empty(bounds: Bounds) -> Page {
        Page { bounds, batches: Vec::new() }
    }
}
