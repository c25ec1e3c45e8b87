//! Sequence numbers: a shard and an offset, written as one decimal number, and back. Pure arithmetic; no record is ever
//! looked at to make one or to read one. The decision behind the layout: docs/decisions/0002-sequence-numbers.md.
//!
//! ```text
//! bits     4    36            4             64         8      36          32      4      = 188 bits, 56 decimal digits
//!        ┌────┬─────────────┬─────────────┬──────────┬──────┬───────────┬───────┬────┐
//!        │ 2  │ creation, s │ shard mod 16│ counter  │ mark │ creation  │ shard │ 2  │
//!        └────┴─────────────┴─────────────┴──────────┴──────┴───────────┴───────┴────┘
//! counter = offset + 1 of a record; a shard's StartingSequenceNumber has the counter `start`, one below its first record
//! mark    = 0 a record, 1 the place *behind* the record with that counter
//! ```
//! The positions are AWS's own (version 2). Where AWS keeps the second of the record we repeat the creation second, so
//! that a number needs no record; a number whose two seconds differ was made by another system. Numbers of one log grow
//! with the offset; children, whose creation second is greater, come after their parents.

use std::fmt;

use crate::engine::catalog::Shard;
use crate::ids::{Offset, ShardNo};

/// The counter of a closed shard's EndingSequenceNumber: no record ever has it.
const LAST_COUNTER: u64 = i64::MAX as u64;
const VERSION: u64 = 2;
const DIGITS: usize = 56;

/// A number taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceNumber {
    created_s: u64,
    shard: ShardNo,
    counter: u64,
    /// The place behind the record, not the record.
    between: bool,
    /// Equal to `created_s` in every number of ours.
    time_s: u64,
}

/// Why a number names no place in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Not a sequence number at all.
    Malformed,
    /// A number of another shard.
    OtherShard(ShardNo),
    /// A number of another system, or of an earlier stream of this name.
    Foreign,
    /// The end of a closed shard.
    AtEnd,
    /// Outside the records of the shard.
    Beyond,
}

impl SequenceNumber {
    /// The number of the record at `offset`.
    pub fn of(shard: &Shard, offset: Offset) -> SequenceNumber {
        SequenceNumber::at(shard, offset.0 + 1, false)
    }

    /// Below every record of the shard.
    pub fn starting(shard: &Shard) -> SequenceNumber {
        SequenceNumber::at(shard, shard.start.0, false)
    }

    /// Above every record a shard can have.
    pub fn ending(shard: &Shard) -> SequenceNumber {
        SequenceNumber::at(shard, LAST_COUNTER, false)
    }

    /// The place from which the next record read is the one at `next` or, in a hole, the first after it.
    pub fn before(shard: &Shard, next: Offset) -> SequenceNumber {
        SequenceNumber::at(shard, next.0, true)
    }

    fn at(shard: &Shard, counter: u64, between: bool) -> SequenceNumber {
        SequenceNumber { created_s: shard.created_s, shard: shard.no, counter, between, time_s: shard.created_s }
    }

    pub fn shard(&self) -> ShardNo {
        self.shard
    }

    /// Whether this is a number of that very shard, not of an earlier one of the same name and number.
    pub fn is_of(&self, shard: &Shard) -> bool {
        self.shard == shard.no && self.created_s == shard.created_s && self.time_s == shard.created_s
    }

    /// The second of the record in a number of AWS; the shard's creation second in ours.
    pub fn time_s(&self) -> u64 {
        self.time_s
    }

    /// The offset of the record this is the number of. `None`: it is a place, not a record.
    pub fn offset(&self) -> Option<Offset> {
        (!self.between && self.counter > 0).then(|| Offset(self.counter - 1))
    }

    /// Reads a number of AWS's layout, ours or foreign. `None`: it is no such number.
    pub fn parse(text: &str) -> Option<SequenceNumber> {
        if text.len() != DIGITS || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mut wide = Wide::default();
        for (from, to) in [(0, 19), (19, 38), (38, DIGITS)] {
            let piece: u64 = text[from..to].parse().ok()?;
            wide.times_and_add(10u64.pow((to - from) as u32), piece)?;
        }
        if wide.take(4) != VERSION {
            return None;
        }
        let shard = ShardNo(wide.take(32) as u32);
        let time_s = wide.take(36);
        let mark = wide.take(8);
        let counter = wide.take(64);
        let low = wide.take(4);
        let created_s = wide.take(36);
        let lead = wide.take(4);
        let fits = lead == 2 && wide.is_zero() && low == u64::from(shard.0 & 0xf) && counter <= LAST_COUNTER;
        (fits && mark <= 1).then_some(SequenceNumber { created_s, shard, counter, between: mark == 1, time_s })
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut wide = Wide::default();
        wide.put(4, 2);
        wide.put(36, self.created_s);
        wide.put(4, u64::from(self.shard.0 & 0xf));
        wide.put(64, self.counter);
        wide.put(8, u64::from(self.between));
        wide.put(36, self.time_s);
        wide.put(32, u64::from(self.shard.0));
        wide.put(4, VERSION);
        let low = wide.divide(10u64.pow(18));
        let middle = wide.divide(10u64.pow(19));
        let high = wide.divide(10u64.pow(19));
        write!(f, "{high}{middle:019}{low:018}")
    }
}

/// The offset at which a reader begins that was given `text` for `shard`.
///
/// `after` skips the record itself; `end` is where the readable records of the shard's log end. A number whose record
/// has been given up or was never shown is a place like any other: what is read there is the next record.
pub fn place(text: &str, shard: &Shard, end: Offset, after: bool) -> Result<Offset, Unfit> {
    let number = SequenceNumber::parse(text).ok_or(Unfit::Malformed)?;
    if number.shard != shard.no {
        return Err(Unfit::OtherShard(number.shard));
    }
    if !number.is_of(shard) {
        return Err(Unfit::Foreign);
    }
    if number.counter == LAST_COUNTER {
        return Err(Unfit::AtEnd);
    }
    let end = shard.end.map_or(end, |closed| closed.min(end));
    if number.counter < shard.start.0 || number.counter > end.0 {
        return Err(Unfit::Beyond);
    }
    let next = Offset(number.counter);
    match number.offset() {
        Some(record) if !after => Ok(record.max(shard.start)),
        _ => Ok(next),
    }
}

/// `shardId-000000000007`.
pub fn shard_id(no: ShardNo) -> String {
    format!("shardId-{:012}", no.0)
}

/// Reads a shard's id as the service does: what follows the first dash, or a bare number. `None`: no shard can have it.
pub fn shard_no(id: &str) -> Option<ShardNo> {
    let digits = id.split('-').nth(1).filter(|part| !part.is_empty()).unwrap_or(id);
    let number: u32 = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    (number <= i32::MAX as u32).then_some(ShardNo(number))
}

/// A number of 192 bits, least significant word first.
#[derive(Clone, Copy, Debug, Default)]
struct Wide([u64; 3]);

impl Wide {
    /// Makes room for `bits` at the low end and puts `value` there.
    fn put(&mut self, bits: u32, value: u64) {
        assert!((1..=64).contains(&bits) && (bits == 64 || value >> bits == 0), "{value} does not fit {bits} bits");
        let [low, middle, high] = self.0;
        self.0 = if bits == 64 {
            [value, low, middle]
        } else {
            [low << bits | value, middle << bits | low >> (64 - bits), high << bits | middle >> (64 - bits)]
        };
    }

    /// Takes `bits` off the low end.
    fn take(&mut self, bits: u32) -> u64 {
        let [low, middle, high] = self.0;
        if bits == 64 {
            self.0 = [middle, high, 0];
            return low;
        }
        self.0 = [low >> bits | middle << (64 - bits), middle >> bits | high << (64 - bits), high >> bits];
        low & ((1 << bits) - 1)
    }

    fn is_zero(&self) -> bool {
        self.0 == [0; 3]
    }

    /// `None`: it does not fit.
    fn times_and_add(&mut self, factor: u64, add: u64) -> Option<()> {
        let mut carry = u128::from(add);
        for word in &mut self.0 {
            let product = u128::from(*word) * u128::from(factor) + carry;
            *word = product as u64;
            carry = product >> 64;
        }
        (carry == 0).then_some(())
    }

    /// Divides and returns the remainder.
    fn divide(&mut self, by: u64) -> u64 {
        let mut rest = 0u128;
        for word in self.0.iter_mut().rev() {
            let value = rest << 64 | u128::from(*word);
            *word = (value / u128::from(by)) as u64;
            rest = value % u128::from(by);
        }
        rest as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shard(no: u32, created_s: u64, start: u64, end: Option<u64>) -> Shard {
        Shard {
            no: ShardNo(no),
            log: 0,
            start: Offset(start),
            end: end.map(Offset),
            first_key: 0,
            last_key: u128::MAX,
            parents: vec![],
            created_s,
        }
    }

    fn hexed(digits: &str) -> String {
        let mut wide = Wide::default();
        for digit in digits.chars() {
            wide.put(4, u64::from(digit.to_digit(16).unwrap()));
        }
        let (low, middle, high) = (wide.divide(10u64.pow(18)), wide.divide(10u64.pow(19)), wide.divide(10u64.pow(19)));
        format!("{high}{middle:019}{low:018}")
    }

    #[test]
    fn the_layout_is_the_drawn_one() {
        let shard = shard(0x21, 0x0_5f5e_1000, 0, None);
        let text = SequenceNumber::of(&shard, Offset(0xabc)).to_string();
        assert_eq!(text, hexed("205f5e100010000000000000abd0005f5e1000000000212"));
        let place = SequenceNumber::before(&shard, Offset(0xabc)).to_string();
        assert_eq!(place, hexed("205f5e100010000000000000abc0105f5e1000000000212"));
    }

    #[test]
    fn a_number_of_the_service_s_documentation_is_read_as_its_layout_says() {
        let number = SequenceNumber::parse("49543463076548007577105092703039560359975228518395019266").unwrap();
        assert_eq!(number.shard(), ShardNo(0));
        assert!(number.time_s > 0 && number.created_s > 0);
    }

    #[test]
    fn reads_begin_where_the_number_says() {
        let first = shard(3, 1_700_000_000, 0, None);
        let child = shard(7, 1_700_000_001, 900, Some(1000));
        let of = |s: &Shard, o| SequenceNumber::of(s, Offset(o)).to_string();
        let cases = [
            // (shard, number, after, where)
            (&first, of(&first, 5), false, Ok(5)),
            (&first, of(&first, 5), true, Ok(6)),
            (&first, SequenceNumber::starting(&first).to_string(), false, Ok(0)),
            (&first, SequenceNumber::starting(&first).to_string(), true, Ok(0)),
            (&first, SequenceNumber::before(&first, Offset(8)).to_string(), false, Ok(8)),
            (&first, SequenceNumber::before(&first, Offset(8)).to_string(), true, Ok(8)),
            (&first, SequenceNumber::before(&first, Offset(0)).to_string(), true, Ok(0)),
            (&first, of(&first, 1499), true, Ok(1500)),
            (&first, SequenceNumber::before(&first, Offset(1500)).to_string(), true, Ok(1500)),
            (&first, of(&first, 1500), false, Err(Unfit::Beyond)),
            (&child, SequenceNumber::starting(&child).to_string(), false, Ok(900)),
            (&child, SequenceNumber::starting(&child).to_string(), true, Ok(900)),
            (&child, of(&child, 900), false, Ok(900)),
            (&child, of(&child, 999), true, Ok(1000)),
            (&child, of(&child, 1000), false, Err(Unfit::Beyond)),
            (&child, of(&child, 800), false, Err(Unfit::Beyond)),
            (&child, SequenceNumber::ending(&child).to_string(), false, Err(Unfit::AtEnd)),
            (&child, of(&first, 950), false, Err(Unfit::OtherShard(ShardNo(3)))),
            (&first, of(&shard(3, 1_600_000_000, 0, None), 5), false, Err(Unfit::Foreign)),
            (&first, "0".into(), false, Err(Unfit::Malformed)),
            (&first, "9".repeat(56), false, Err(Unfit::Malformed)),
            (&first, "9".repeat(129), false, Err(Unfit::Malformed)),
            (&first, "-1".into(), false, Err(Unfit::Malformed)),
            (&first, "é".repeat(28), false, Err(Unfit::Malformed)),
        ];
        for (shard, text, after, expected) in cases {
            assert_eq!(place(&text, shard, Offset(1500), after), expected.map(Offset), "{text} after: {after}");
        }
    }

    #[test]
    fn a_number_with_a_record_s_own_second_is_foreign() {
        let shard = shard(3, 0x6553_f100, 0, None);
        let native = hexed("206553f100300000000000000060006553f100000000032");
        assert_eq!(place(&native, &shard, Offset(100), false), Ok(Offset(5)));
        let foreign = hexed("206553f100300000000000000060006553f123000000032");
        assert_eq!(place(&foreign, &shard, Offset(100), false), Err(Unfit::Foreign));
    }

    #[test]
    fn shard_ids_are_read_as_the_service_reads_them() {
        let cases = [
            ("shardId-000000000000", Some(0)),
            ("shardId-000000000012", Some(12)),
            ("shardId-5", Some(5)),
            ("7", Some(7)),
            ("shardId-002147483647", Some(2_147_483_647)),
            ("shardId-002147483648", None),
            ("shardId-", None),
            ("shardId", None),
            ("ABKLFD8", None),
            ("shardId-00000000000000000000000000000000001", Some(1)),
            ("shardId-99999999999999999999", None),
            ("", None),
        ];
        for (id, no) in cases {
            assert_eq!(shard_no(id), no.map(ShardNo), "{id}");
        }
        assert_eq!(shard_id(ShardNo(12)), "shardId-000000000012");
    }

    proptest! {
        #[test]
        fn a_record_s_number_leads_back_to_its_offset(
            no in 0..=i32::MAX as u32, created_s in 0u64..1 << 36, start in 0u64..1 << 62, record in 0u64..1 << 62,
        ) {
            let shard = shard(no, created_s, start, None);
            let offset = Offset(start + record);
            let text = SequenceNumber::of(&shard, offset).to_string();
            let number = SequenceNumber::parse(&text).unwrap();
            prop_assert_eq!(number.offset(), Some(offset));
            prop_assert_eq!(number.shard(), shard.no);
            let end = offset.plus(1);
            prop_assert_eq!(place(&text, &shard, end, false), Ok(offset));
            prop_assert_eq!(place(&text, &shard, end, true), Ok(end));
            prop_assert_eq!(number.to_string(), text);
        }

        #[test]
        fn numbers_have_56_digits_and_grow_with_the_offset(
            no: u16, created_s in 1u64 << 30..1 << 36, offset in 0u64..1 << 62, more in 1u64..1 << 40,
        ) {
            let shard = shard(u32::from(no), created_s, 0, None);
            let low = SequenceNumber::of(&shard, Offset(offset)).to_string();
            let place = SequenceNumber::before(&shard, Offset(offset + 1)).to_string();
            let high = SequenceNumber::of(&shard, Offset(offset + more)).to_string();
            // All have 56 digits, so comparing texts is comparing numbers.
            prop_assert!(low.len() == DIGITS && high.len() == DIGITS && place.len() == DIGITS);
            prop_assert!(SequenceNumber::starting(&shard).to_string() < low);
            prop_assert!(low < place && place < high);
            prop_assert!(high < SequenceNumber::ending(&shard).to_string());
        }

        #[test]
        fn children_come_after_their_parents(
            parent in 0u32..1000, child in 0u32..1000, created_s in 1u64 << 30..(1 << 36) - 2, offset in 0u64..1 << 62,
        ) {
            let parent = shard(parent, created_s, 0, None);
            let child = shard(child, created_s + 1, 0, None);
            prop_assert!(
                SequenceNumber::ending(&parent).to_string() < SequenceNumber::starting(&child).to_string()
                    && SequenceNumber::of(&parent, Offset(offset)).to_string()
                        < SequenceNumber::of(&child, Offset(0)).to_string()
            );
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9]{0,130}|.{0,80}") {
            let shard = shard(0, 1_700_000_000, 0, None);
            let _ = place(&text, &shard, Offset(10), false);
        }
    }
}
