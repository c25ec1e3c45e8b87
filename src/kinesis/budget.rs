//! Memory of answers that hold records: charged before it is taken, given back when the client has been sent the last of
//! it. So many readers that are slow to take their answers cannot hold more than a limit, together.
//!
//! It never waits. An answer that cannot grow ends early, which is a right answer; one that cannot begin is refused as the
//! service refuses a reader who asks for too much. The configuration leaves room for the largest single record.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::aws::write::Out;
use crate::metrics;

/// What stands around the records of an answer, at most: two numbers, the next iterator or the children. An answer without
/// records is not charged.
const AROUND_BYTES: usize = 2048;
/// The first charge, so that an answer of a few records is charged once.
const FIRST_BYTES: usize = 16 * 1024;

/// The memory of all answers together.
#[derive(Clone, Debug)]
pub struct Budget {
    room: Arc<Semaphore>,
    limit_bytes: usize,
}

impl Budget {
    /// A limit beyond what a semaphore counts is none.
    pub fn new(limit_bytes: usize) -> Budget {
        let limit_bytes = limit_bytes.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Budget { room: Arc::new(Semaphore::new(limit_bytes)), limit_bytes }
    }

    /// The charge of a new answer: nothing yet.
    pub fn open(&self) -> Charge {
        Charge { budget: self.clone(), held: None, bytes: 0 }
    }

    /// What answers hold now.
    pub fn held_bytes(&self) -> usize {
        self.limit_bytes - self.room.available_permits()
    }
}

/// What one answer has been charged; given back when this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Charge {
    /// Makes room for a record of `more` bytes in an answer, if the budget has it. The buffer is never larger than the
    /// charge.
    pub fn make_room(&mut self, out: &mut Out, more: usize) -> bool {
        let need = out.len() + more + AROUND_BYTES;
        if need <= self.bytes {
            return true;
        }
        // Half as much again, so that a long answer is moved seldom; where that is too much, what is needed.
        let generous = (self.bytes + self.bytes / 2).max(FIRST_BYTES).max(need);
        let taken = self.take(generous) || self.take(need);
        if taken {
            out.reserve_upto(self.bytes);
        }
        taken
    }

    fn take(&mut self, upto: usize) -> bool {
        let Ok(more) = u32::try_from(upto - self.bytes) else { return false };
        let Ok(more) = self.budget.room.clone().try_acquire_many_owned(more) else { return false };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        metrics::KINESIS_ANSWER_BYTES.add((upto - self.bytes) as i64);
        self.bytes = upto;
        true
    }

    /// The finished answer: the charge is given back with the last of its bytes.
    pub fn seal(self, answer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Charged { answer, _charge: self })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        metrics::KINESIS_ANSWER_BYTES.add(-(self.bytes as i64));
    }
}

struct Charged {
    answer: Vec<u8>,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(out: &mut Out, upto: usize) {
        out.blob("x", &vec![0; (upto - out.len()) * 3 / 4 - 16]);
    }

    #[test]
    fn an_answer_grows_in_few_steps_and_its_buffer_never_beyond_its_charge() {
        let budget = Budget::new(1 << 20);
        let (mut charge, mut out, mut steps) = (budget.open(), Out::default(), 0);
        for _ in 0..500 {
            let before = budget.held_bytes();
            assert!(charge.make_room(&mut out, 1500));
            steps += u32::from(budget.held_bytes() > before);
            out.blob("x", &[0; 1000]);
            assert!(out.capacity() <= budget.held_bytes(), "{} {}", out.capacity(), budget.held_bytes());
        }
        assert!(steps < 15, "{steps}");
    }

    #[test]
    fn a_charge_is_given_back_when_nobody_holds_the_answer_any_more() {
        let budget = Budget::new(64 << 10);
        let (mut charge, mut out) = (budget.open(), Out::default());
        assert!(charge.make_room(&mut out, 40 << 10));
        let mut other = budget.open();
        assert!(!other.make_room(&mut Out::default(), 40 << 10), "it is in use");
        fill(&mut out, 30 << 10);
        let answer = charge.seal(out.finish());
        let last = answer.slice(answer.len() - 1..);
        drop(answer);
        assert!(budget.held_bytes() >= 40 << 10);
        drop(last);
        assert_eq!(budget.held_bytes(), 0);
        assert!(other.make_room(&mut Out::default(), 40 << 10));
    }

    #[test]
    fn what_is_needed_is_taken_where_there_is_no_room_to_be_generous() {
        let budget = Budget::new(100 << 10);
        let (mut charge, mut out) = (budget.open(), Out::default());
        assert!(charge.make_room(&mut out, 70 << 10));
        fill(&mut out, 70 << 10);
        let more = (80 << 10) - out.len() - AROUND_BYTES;
        assert!(charge.make_room(&mut out, more));
        assert_eq!(budget.held_bytes(), 80 << 10);
        assert!(!budget.open().make_room(&mut Out::default(), 21 << 10));
    }

    #[test]
    fn nothing_passes_the_limit_not_even_an_answer_that_is_alone() {
        let budget = Budget::new(64 << 10);
        let (mut charge, mut out) = (budget.open(), Out::default());
        assert!(!charge.make_room(&mut out, 64 << 10));
        assert!(charge.make_room(&mut out, 50 << 10));
        fill(&mut out, 50 << 10);
        assert!(!charge.make_room(&mut out, 20 << 10));
        assert!(budget.held_bytes() <= 64 << 10);
        drop(charge);
        assert_eq!(budget.held_bytes(), 0);
    }
}
