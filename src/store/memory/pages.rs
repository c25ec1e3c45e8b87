//! The bytes of one file in memory: sparse pages, shared between copies until written. Pure.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub(super) const PAGE: usize = 4096;

#[derive(Clone, Default)]
pub(super) struct Pages {
    bytes: u64,
    /// Pages that are not all zeros; nothing behind `bytes` is anything but zero.
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
}

/// The numbers of the pages that a range touches.
pub(super) fn touched(range: Range<u64>) -> Range<u64> {
    range.start / PAGE as u64..range.end.div_ceil(PAGE as u64)
}

impl Pages {
    pub fn len(&self) -> u64 {
        self.bytes
    }

    pub fn read(&self, buf: &mut [u8], at: u64) -> usize {
        let n = (buf.len() as u64).min(self.bytes.saturating_sub(at)) as usize;
        let mut done = 0;
        while done < n {
            let (page, from, take) = piece(at + done as u64, n - done);
            match self.pages.get(&page) {
                Some(bytes) => buf[done..done + take].copy_from_slice(&bytes[from..from + take]),
                None => buf[done..done + take].fill(0),
            }
            done += take;
        }
        n
    }

    pub fn write(&mut self, mut bytes: &[u8], mut at: u64) {
        while !bytes.is_empty() {
            let (page, from, take) = piece(at, bytes.len());
            let there = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(there)[from..from + take].copy_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            at += take as u64;
        }
        self.bytes = self.bytes.max(at);
    }

    pub fn set_len(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.pages.split_off(&bytes.div_ceil(PAGE as u64));
            if let Some(page) = self.pages.get_mut(&(bytes / PAGE as u64)) {
                Arc::make_mut(page)[(bytes % PAGE as u64) as usize..].fill(0);
            }
        }
        self.bytes = bytes;
    }

    /// Makes one page what it is in `other`; the length stays.
    pub fn take_page(&mut self, other: &Pages, page: u64) {
        match other.pages.get(&page) {
            Some(bytes) => self.pages.insert(page, bytes.clone()),
            None => self.pages.remove(&page),
        };
    }

    pub fn flip(&mut self, bit: u64) {
        let (page, from, _) = piece(bit / 8, 1);
        let there = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE]));
        Arc::make_mut(there)[from] ^= 1 << (bit % 8);
    }
}

/// The page of a place, where in it that is, and how much of `bytes` fits into it.
fn piece(at: u64, bytes: usize) -> (u64, usize, usize) {
    let from = (at % PAGE as u64) as usize;
    (at / PAGE as u64, from, bytes.min(PAGE - from))
}
