//! The rules one by one, snapshots, and a plain model that the real thing must agree with through restarts and wraps.

use proptest::prelude::*;

use super::*;
use crate::record::batch::HEADER_BYTES;

const MAX: i32 = i32::MAX;

/// The header of `count` records of producer `id`.
fn batch(id: i64, epoch: i16, sequence: i32, count: i32) -> Header {
    Header {
        base_offset: 0,
        bytes: HEADER_BYTES as u32,
        leader_epoch: 0,
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: 0,
        max_timestamp: 40,
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: sequence,
        record_count: count,
    }
}

/// What the log decides after each of `written` was placed in turn, at offsets 100, 200, … and moments 1000, 2000, …
fn after(written: &[Header]) -> Producers {
    let mut producers = Producers::EMPTY;
    for (header, number) in written.iter().zip(1..) {
        producers.apply(header, None, Offset(100 * number), Timestamp(1000 * number as i64));
    }
    producers
}

fn duplicate(number: u64) -> Result<Verdict, SequenceError> {
    Ok(Verdict::Duplicate { first: Offset(100 * number), arrived: Timestamp(1000 * number as i64) })
}

#[test]
fn the_rules_of_kafka() {
    use SequenceError::{Fenced, OutOfOrder};
    const NEW: Result<Verdict, SequenceError> = Ok(Verdict::New);
    let one = [batch(7, 2, 10, 5)];
    type Case<'a> = (&'a str, &'a [Header], Header, Result<Verdict, SequenceError>);
    let table: Vec<Case<'_>> = vec![
        ("no producer id", &one, batch(-1, -1, -1, 1), NEW),
        ("an unknown producer at 0", &[], batch(7, 0, 0, 1), NEW),
        ("an unknown producer anywhere", &[], batch(7, 3, 999, 1), NEW),
        ("another producer", &one, batch(8, 0, 3, 1), NEW),
        ("the next sequence", &one, batch(7, 2, 15, 1), NEW),
        ("a gap", &one, batch(7, 2, 16, 1), Err(OutOfOrder)),
        ("one back", &one, batch(7, 2, 14, 1), Err(OutOfOrder)),
        ("from before what is remembered", &one, batch(7, 2, 0, 10), Err(OutOfOrder)),
        ("a part of a duplicate", &one, batch(7, 2, 10, 4), Err(OutOfOrder)),
        ("more than a duplicate", &one, batch(7, 2, 10, 6), Err(OutOfOrder)),
        ("a duplicate", &one, batch(7, 2, 10, 5), duplicate(1)),
        ("a lower epoch", &one, batch(7, 1, 15, 1), Err(Fenced)),
        ("a lower epoch's duplicate", &one, batch(7, 1, 10, 5), Err(Fenced)),
        ("a new epoch at 0", &one, batch(7, 3, 0, 1), NEW),
        ("a new epoch elsewhere", &one, batch(7, 3, 15, 1), Err(OutOfOrder)),
        ("a new epoch with an old one's range", &one, batch(7, 3, 10, 5), Err(OutOfOrder)),
    ];
    for (what, written, header, expected) in table {
        assert_eq!(after(written).decide(&header), expected, "{what}");
    }
}

#[test]
fn each_of_the_last_five_is_a_duplicate_and_the_sixth_is_not() {
    let written: Vec<Header> = (0..6).map(|index| batch(1, 0, index * 10, 10)).collect();
    let producers = after(&written);
    assert_eq!(producers.decide(&written[0]), Err(SequenceError::OutOfOrder));
    for (header, number) in written.iter().zip(1..).skip(1) {
        assert_eq!(producers.decide(header), duplicate(number));
    }
}

#[test]
fn a_new_epoch_forgets_the_batches_of_the_old() {
    let producers = after(&[batch(1, 0, 0, 10), batch(1, 1, 0, 10)]);
    assert_eq!(producers.decide(&batch(1, 1, 0, 10)), duplicate(2));
    assert_eq!(producers.decide(&batch(1, 1, 10, 1)), Ok(Verdict::New));
    assert_eq!(producers.decide(&batch(1, 0, 10, 1)), Err(SequenceError::Fenced));
}

#[test]
fn after_the_last_sequence_comes_zero() {
    let ends_at_max = after(&[batch(1, 0, MAX - 4, 5)]);
    assert_eq!(ends_at_max.decide(&batch(1, 0, 0, 3)), Ok(Verdict::New));
    assert_eq!(ends_at_max.decide(&batch(1, 0, 1, 3)), Err(SequenceError::OutOfOrder));
    let goes_across = after(&[batch(1, 0, MAX - 4, 8)]);
    assert_eq!(goes_across.decide(&batch(1, 0, MAX - 4, 8)), duplicate(1));
    assert_eq!(goes_across.decide(&batch(1, 0, 3, 1)), Ok(Verdict::New));
}

#[test]
fn a_batch_without_sequence_moves_the_epoch_only() {
    let mut producers = after(&[batch(1, 0, 0, 10)]);
    let marker = batch(1, 4, -1, 1);
    assert_eq!(producers.decide(&marker), Ok(Verdict::New));
    producers.apply(&marker, None, Offset(5), Timestamp(5));
    assert_eq!(producers.decide(&batch(1, 3, 0, 1)), Err(SequenceError::Fenced));
    assert_eq!(producers.decide(&batch(1, 4, 0, 1)), Ok(Verdict::New));
    assert_eq!(producers.decide(&batch(1, 4, 1, 1)), Err(SequenceError::OutOfOrder));
    assert_eq!(producers.iter().next().map(|active| (active.epoch, active.last_sequence)), Some((4, -1)));
}

#[test]
fn silence_is_forgotten() {
    let mut producers = after(&[batch(1, 0, 0, 1), batch(2, 0, 0, 1), batch(3, 0, 0, 1)]);
    assert_eq!(producers.expire(Timestamp(3_999), 3_000, |_| false), 0);
    assert_eq!(producers.expire(Timestamp(4_000), 3_000, |_| false), 1);
    assert_eq!(producers.iter().map(|active| active.id).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(producers.expire(Timestamp(i64::MAX), 2_000, |_| false), 2);
    assert_eq!((producers.is_empty(), producers.heap_bytes()), (true, 0));
}

#[test]
fn those_heard_of_up_to_a_moment_are_forgotten() {
    for ((moment, id), left) in [((9, 99), 4), ((10, 1), 3), ((10, 2), 2), ((10, i64::MIN), 4), ((20, 9), 0)] {
        let mut producers = Producers::EMPTY;
        for (id, arrived) in [(1, 10), (2, 10), (3, 15), (4, 20)] {
            producers.apply(&batch(id, 0, 0, 1), None, Offset(0), Timestamp(arrived));
        }
        assert_eq!(producers.forget_up_to((Timestamp(moment), id), |_| false), 4 - left, "{moment}, {id}");
        assert_eq!(producers.len(), left, "{moment}, {id}");
        assert_eq!(producers.forget_up_to((Timestamp(99), 0), |_| true), 0, "who has to be kept is kept");
    }
}

#[test]
fn nothing_costs_nothing_and_one_costs_little() {
    assert_eq!(Producers::EMPTY.heap_bytes(), 0);
    assert_eq!(size_of::<Producers>(), 24);
    let one = after(&[batch(1, 0, 0, 1)]);
    assert!(one.heap_bytes() <= 168, "{}", one.heap_bytes());
}

#[test]
fn a_snapshot_has_the_drawn_layout() {
    let mut bytes = b"before".to_vec();
    after(&[batch(5, 2, 9, 3)]).encode(&mut bytes);
    let expected = [
        b"before".as_slice(),
        b"IFPR",
        &[0, 2],
        &[0, 0, 0, 1],
        &[0, 0, 0, 0, 0, 0, 0, 5],
        &[0, 2],
        &[0, 0, 0, 0, 0, 0, 0, 40],
        &[0, 0, 0, 0, 0, 0, 0x03, 0xe8],
        &[0xff; 4],
        &[0; 8],
        &[1],
        &[0, 0, 0, 9],
        &[0, 0, 0, 2],
        &[0, 0, 0, 0, 0, 0, 0, 100],
        &[0, 0, 0, 0, 0, 0, 0x03, 0xe8],
    ]
    .concat();
    assert_eq!(bytes[..bytes.len() - 4], expected);
    let mut empty = Vec::new();
    Producers::EMPTY.encode(&mut empty);
    assert_eq!(empty.len(), SNAPSHOT_HEAD_BYTES + CRC_BYTES);
    assert_eq!(Producers::decode(&empty), Ok(Producers::EMPTY));
}

#[test]
fn every_flipped_bit_of_a_snapshot_is_found() {
    let mut bytes = Vec::new();
    after(&[batch(5, 2, 9, 3), batch(6, 0, 0, 1)]).encode(&mut bytes);
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Producers::decode(&bytes).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for keep in 0..bytes.len() {
        assert!(Producers::decode(&bytes[..keep]).is_err(), "cut to {keep}");
    }
}

#[test]
fn a_snapshot_that_its_checksum_vouches_for_may_still_be_wrong() {
    let sealed = |body: &[&[u8]]| {
        let mut bytes = [&[MAGIC.as_slice()], body].concat().concat();
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        Producers::decode(&bytes)
    };
    let producer = |id: i64, count: u8| [&id.to_be_bytes()[..], &[0; 30], &[count]].concat();
    assert_eq!(sealed(&[&[0, 3], &[0; 4]]), Err(SnapshotError::Version { found: 3 }));
    assert_eq!(sealed(&[&[0, 2], &[0xff; 4]]), Err(SnapshotError::Short { bytes: 14 }));
    assert_eq!(sealed(&[&[0, 2], &[0; 4], &[0]]), Err(SnapshotError::Malformed { producer: 0 }));
    let table = [
        (vec![producer(-1, 0)], 0),
        (vec![producer(1, 0), producer(1, 0)], 1),
        (vec![producer(2, 0), producer(1, 0)], 1),
        (vec![producer(1, 6), vec![0; 6 * BATCH_BYTES]], 0),
        (vec![producer(1, 2), vec![0; BATCH_BYTES]], 0),
        (vec![producer(1, 1), vec![0xff; BATCH_BYTES]], 0),
        (vec![producer(1, 0), vec![0]], 1),
    ];
    for (parts, wrong) in table {
        let producers = parts.iter().filter(|part| part.len() == PRODUCER_BYTES).count() as u32;
        let mut body: Vec<&[u8]> = vec![&[0, 2]];
        let count = producers.to_be_bytes();
        body.push(&count);
        body.extend(parts.iter().map(Vec::as_slice));
        assert_eq!(sealed(&body), Err(SnapshotError::Malformed { producer: wrong }), "{parts:?}");
    }
    assert_eq!(Producers::decode(b"IFPX, whatever follows"), Err(SnapshotError::Foreign));
}

/// Everything ever written, and the rules read off it the slow way: record by record, in plain numbers.
#[derive(Default)]
struct Model {
    written: Vec<Wrote>,
}

struct Wrote {
    header: Header,
    sequences: Vec<i64>,
    first: Offset,
    arrived: Timestamp,
}

fn sequences(header: &Header) -> Vec<i64> {
    (0..i64::from(header.record_count)).map(|index| (i64::from(header.base_sequence) + index) % (1 << 31)).collect()
}

impl Model {
    fn decide(&self, header: &Header) -> Result<Verdict, SequenceError> {
        let own: Vec<&Wrote> =
            self.written.iter().filter(|wrote| wrote.header.producer_id == header.producer_id).collect();
        let Some(newest) = own.last() else { return Ok(Verdict::New) };
        let (epoch, newest_epoch) = (header.producer_epoch, newest.header.producer_epoch);
        if epoch < newest_epoch {
            return Err(SequenceError::Fenced);
        }
        if epoch > newest_epoch {
            return if header.base_sequence == 0 { Ok(Verdict::New) } else { Err(SequenceError::OutOfOrder) };
        }
        let same = own.iter().rev().take_while(|wrote| wrote.header.producer_epoch == epoch).take(5);
        if let Some(original) = same.into_iter().find(|wrote| wrote.sequences == sequences(header)) {
            return Ok(Verdict::Duplicate { first: original.first, arrived: original.arrived });
        }
        let last = newest.sequences.last().copied().unwrap_or(-1);
        let next = (last + 1) % (1 << 31);
        if i64::from(header.base_sequence) == next { Ok(Verdict::New) } else { Err(SequenceError::OutOfOrder) }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// The producer's own next batch.
    Next { id: i64, count: i32 },
    /// Its batch of so many ago, once more.
    Again { id: i64, back: usize },
    /// Something else, perhaps near the wrap.
    Stray { id: i64, epoch: i16, sequence: i32, count: i32 },
    /// A restart from a snapshot.
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let id = 0..3_i64;
    let sequence = prop_oneof![Just(0), 0..30, MAX - 30..=MAX];
    prop_oneof![
        6 => (id.clone(), 1..8_i32).prop_map(|(id, count)| Step::Next { id, count }),
        4 => (id.clone(), 0..8_usize).prop_map(|(id, back)| Step::Again { id, back }),
        3 => (id, 0..3_i16, sequence, 1..8_i32)
            .prop_map(|(id, epoch, sequence, count)| Step::Stray { id, epoch, sequence, count }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn the_model_agrees(steps in proptest::collection::vec(any_step(), 1..120)) {
        let mut model = Model::default();
        let mut producers = Producers::EMPTY;
        let mut next = Offset(0);
        for (step, now) in steps.into_iter().zip(1..) {
            let own = |id: i64| model.written.iter().rev().filter(move |wrote| wrote.header.producer_id == id);
            let header = match step {
                Step::Restart => {
                    let mut snapshot = Vec::new();
                    producers.encode(&mut snapshot);
                    let restored = Producers::decode(&snapshot);
                    prop_assert_eq!(restored.as_ref(), Ok(&producers));
                    producers = restored.unwrap();
                    continue;
                }
                Step::Next { id, count } => {
                    let last = own(id).next();
                    let sequence = last.map_or(0, |wrote| sequence_plus(wrote.header.last_sequence(), 1));
                    batch(id, last.map_or(0, |wrote| wrote.header.producer_epoch), sequence, count)
                }
                Step::Again { id, back } => match own(id).nth(back) {
                    Some(wrote) => wrote.header,
                    None => continue,
                },
                Step::Stray { id, epoch, sequence, count } => batch(id, epoch, sequence, count),
            };
            let verdict = producers.decide(&header);
            prop_assert_eq!(verdict, model.decide(&header), "{:?}", header);
            if verdict == Ok(Verdict::New) {
                let arrived = Timestamp(now);
                producers.apply(&header, None, next, arrived);
                model.written.push(Wrote { header, sequences: sequences(&header), first: next, arrived });
                next = next.plus(header.offsets());
            }
        }
    }
}
