//! Reading many logs at once, and waiting for them: the only wait for data in the program. Interest is registered once
//! per call, then the logs are read, then the reader sleeps until news or the deadline.

use std::io;
use std::sync::Arc;

use tokio::sync::Notify;

use super::frame::Settled;
use super::tail::{Extent, GivenUp, Logs, Shared, Source};
use super::vault::{Segment, Vault};
use super::{Aborted, Bounds, Engine, Error, Fetch, Page, Read, Stored, Until};
use crate::ids::Offset;
use crate::log::transactions;
use crate::metrics;
use crate::record::batch;

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
    until: Offset,
    max_bytes: usize,
    /// For a reader who must know of them: where transactions given up are told.
    given_up: Option<GivenUp>,
}

/// What a plan brought: batches, and the transactions given up that reach into them.
type Brought = (Vec<Stored>, Vec<Aborted>);

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
                let mut page = Page::empty(bounds);
                let given_up = match (&source, read.until) {
                    (Source::Vault(..), Until::Committed) => Some(view.given_up(read.from)),
                    (Source::Memory(batches), Until::Committed) if !view.transactions.aborted().is_empty() => {
                        let to = end_of(batches).unwrap_or(read.from);
                        transactions::concerning(view.transactions.aborted(), read.from, to, &mut page.aborted);
                        page.aborted.sort_unstable_by_key(|a| (a.first, a.producer));
                        None
                    }
                    _ => None,
                };
                drop(view);
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
                            let (from, max_bytes) = (read.from, left);
                            let until = match read.until {
                                Until::End => reach.end,
                                Until::Committed => reach.end.min(bounds.committed),
                            };
                            plans.push(Plan { read: i, segment, reach, from, until, max_bytes, given_up });
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
                (Ok((batches, aborted)), Ok(page)) => (page.batches, page.aborted) = (batches, aborted),
                (Err(e), page) => *page = Err(e),
                (Ok(_), Err(_)) => {}
            }
        }
        let bytes = pages.iter().flatten().flat_map(|p| &p.batches).map(|b| b.bytes.len()).sum();
        (pages, bytes)
    }

    async fn read_plans(&self, plans: Vec<Plan>) -> Vec<(usize, Result<Brought, Error>)> {
        let vault = self.vault.clone();
        self.blocking(move || plans.into_iter().map(|plan| (plan.read, perform(&vault, &plan))).collect())
            .await
            .unwrap_or_default()
    }
}

fn perform(vault: &Vault, plan: &Plan) -> Result<Brought, Error> {
    let batches = read_plan(vault, plan)?;
    let aborted = match (&plan.given_up, end_of(&batches)) {
        (Some(given_up), Some(to)) => {
            concerned(vault, given_up, plan.from, to).map_err(|e| unreadable(plan, plan.from, &e))?
        }
        _ => Vec::new(),
    };
    Ok((batches, aborted))
}

/// The transactions given up that a reader of [from, to) must know, by first offset.
pub(super) fn concerned(vault: &Vault, given_up: &GivenUp, from: Offset, to: Offset) -> io::Result<Vec<Aborted>> {
    let mut found = Vec::new();
    let mut over = false;
    for Extent { settled, segment } in &given_up.settled {
        over = vault.aborted(segment, settled, from, to, &mut found)?;
        if over {
            break;
        }
    }
    if !over {
        // What is in memory may be in a segment too.
        let settled = given_up.settled.last().map_or(Offset(0), |x| x.settled.end);
        let newer = given_up.aborted.partition_point(|a| a.marker < settled);
        transactions::concerning(&given_up.aborted[newer..], from, to, &mut found);
    }
    found.sort_unstable_by_key(|a| (a.first, a.producer));
    Ok(found)
}

/// Where the last of some batches ends.
fn end_of(batches: &[Stored]) -> Option<Offset> {
    let header = batch::parse_header(&batches.last()?.bytes).ok()?;
    Some(Offset(header.base_offset as u64).plus(header.offsets()))
}

fn unreadable(plan: &Plan, from: Offset, error: &io::Error) -> Error {
    tracing::error!(log = %plan.segment.log, base = %plan.segment.name.base, "reading a segment failed: {error}");
    match is_damage(error) {
        true => Error::Corrupt { first: from, end: plan.reach.end },
        false => Error::Unreadable { at: from },
    }
}

/// Whether the bytes are there and say nothing, or are not there; anything else may be otherwise when it is tried again.
pub(super) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    matches!(error.kind(), InvalidData | NotFound | UnexpectedEof)
}

/// Reads a segment from an offset on; goes on behind damaged batches until something sound is found or it ends.
fn read_plan(vault: &Vault, plan: &Plan) -> Result<Vec<Stored>, Error> {
    let mut from = plan.from;
    let mut lost: Option<(Offset, Offset)> = None;
    loop {
        let range = vault.read(&plan.segment, &plan.reach, from, plan.until, plan.max_bytes);
        let range = range.map_err(|e| unreadable(plan, from, &e))?;
        if let Some((first, end)) = range.withheld.last() {
            lost = Some((lost.map_or(*first, |(f, _)| f), *end));
        }
        if !range.batches.is_empty() {
            return Ok(range.batches);
        }
        if range.next <= from || range.next >= plan.until {
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
        Page { bounds, batches: Vec::new(), aborted: Vec::new() }
    }
}
