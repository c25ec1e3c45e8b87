//! Compaction against tables of cases and against what a careful reader must see.

use std::collections::BTreeMap;

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::log::transactions::{self, Filter, Transactions};
use crate::record::batch;
use crate::record::build::{self, Builder, NewRecord, Producer};
use crate::record::compress::Codec;

const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_ratio: 1000 };
const RETENTION_MS: i64 = 1_000;

// ── when, and what

const RULES: Rules =
    Rules { dirty_ratio: 0.5, min_lag_ms: 0, max_lag_ms: i64::MAX, delete_retention_ms: 0, segment_bytes: 100 };

/// Pieces of (end, bytes, newest); they begin where the one before ends, and arrived ten before their newest.
fn pieces(of: &[(u64, u64, i64)]) -> Vec<Piece> {
    let mut base = Offset(0);
    let piece = |(end, bytes, newest): &(u64, u64, i64)| {
        let piece =
            Piece { base, end: Offset(*end), bytes: *bytes, newest: Timestamp(*newest), began: Timestamp(newest - 10) };
        base = piece.end;
        piece
    };
    of.iter().map(piece).collect()
}

fn check_dirt(of: &[(u64, u64, i64)], clean: u64, stable: u64, rules: Rules, expect: Option<(f64, u64, u64)>) {
    let dirt = dirt(&pieces(of), Offset(clean), Offset(stable), &rules, Timestamp(1_000));
    let expect = expect.map(|(ratio, from, until)| Dirt { ratio, from: Offset(from), until: Offset(until) });
    assert_eq!(dirt, expect, "{of:?}, clean up to {clean}, stable up to {stable}, {rules:?}");
}

#[test]
fn a_log_is_compacted_when_more_of_it_is_dirty_than_its_ratio() {
    let log = [(10, 50, 100), (20, 50, 200), (30, 50, 300), (40, 1, 400)];
    check_dirt(&log, 0, 40, RULES, Some((1.0, 0, 30)));
    check_dirt(&log, 10, 40, RULES, Some((100.0 / 150.0, 10, 30)));
    check_dirt(&log, 20, 40, RULES, None);
    check_dirt(&log, 20, 40, Rules { dirty_ratio: 0.3, ..RULES }, Some((50.0 / 150.0, 20, 30)));
    check_dirt(&log, 30, 40, Rules { dirty_ratio: 0.0, ..RULES }, None);
}

#[test]
fn what_is_still_written_undecided_or_young_is_left_alone() {
    check_dirt(&[(40, 50, 100)], 0, 40, RULES, None);
    check_dirt(&[], 0, 0, RULES, None);
    let log = [(10, 50, 100), (20, 50, 200), (30, 50, 300), (40, 1, 400)];
    check_dirt(&log, 0, 20, RULES, Some((1.0, 0, 20)));
    check_dirt(&log, 0, 19, RULES, Some((1.0, 0, 10)));
    check_dirt(&log, 0, 5, RULES, None);
    check_dirt(&log, 0, 40, Rules { min_lag_ms: 750, ..RULES }, Some((1.0, 0, 20)));
    check_dirt(&log, 0, 40, Rules { min_lag_ms: 900, ..RULES }, Some((1.0, 0, 10)));
    check_dirt(&log, 0, 40, Rules { min_lag_ms: 901, ..RULES }, None);
}

#[test]
fn what_has_waited_longest_is_compacted_whatever_the_ratio() {
    let log = [(10, 900, 100), (20, 1, 200), (30, 1, 300)];
    let overdue = |max_lag_ms| Rules { max_lag_ms, ..RULES };
    check_dirt(&log, 10, 30, overdue(809), Some((1.0 / 901.0, 10, 20)));
    check_dirt(&log, 10, 30, overdue(810), None);
}

#[test]
fn a_place_that_cannot_be_true_begins_again_at_the_start() {
    let log = [(10, 50, 100), (20, 50, 200), (40, 1, 400)];
    check_dirt(&log, 25, 40, RULES, Some((1.0, 0, 20)));
    let given_up = &pieces(&log)[1..];
    let dirt = dirt(given_up, Offset(5), Offset(40), &RULES, Timestamp(1_000)).expect("dirty");
    assert_eq!((dirt.from, dirt.until), (Offset(10), Offset(20)));
}

#[test]
fn segments_are_joined_up_to_their_size() {
    let check = |bytes: &[u64], until: u64, ends: &[usize]| {
        let of: Vec<(u64, u64, i64)> = (1..).zip(bytes).map(|(i, bytes)| (i * 10, *bytes, 0)).collect();
        let groups = groups(&pieces(&of), Offset(until), 100);
        let found: Vec<usize> = groups.iter().map(|group| group.end).collect();
        assert_eq!(found, ends, "{bytes:?} before {until}");
        assert!(groups.windows(2).all(|pair| pair[0].end == pair[1].start));
    };
    check(&[50, 50, 50], 30, &[2, 3]);
    check(&[50, 50, 50], 20, &[2]);
    check(&[101, 1, 99, 1], 40, &[1, 3, 4]);
    check(&[0, 0, 0], 30, &[3]);
    check(&[50], 0, &[]);
    let far = pieces(&[(1, 1, 0), (i32::MAX as u64, 1, 0), (i32::MAX as u64 + 5, 1, 0)]);
    assert_eq!(groups(&far, Offset(u64::MAX), 100), [0..2, 2..3], "offsets within a segment have 31 bits");
}

#[test]
fn keys_take_what_there_is_room_for_and_tell_the_last_of_each() {
    let mut keys = Keys::new((1, 2), 24 * 5_000);
    let mut put = 0;
    while keys.put(&u64::to_be_bytes(put), Offset(put)) {
        put += 1;
    }
    assert_eq!((put, keys.len(), keys.end()), (4_500, 4_500, Some(Offset(4_500))), "nine tenths are used");
    for key in 0..put {
        assert_eq!(keys.get(&u64::to_be_bytes(key)), Some(Offset(key)));
    }
    assert_eq!(keys.get(b"another"), None);
    let mut keys = Keys::new((1, 2), 0);
    for (key, offset) in [("a", 1), ("b", 2), ("a", 3), ("", 4)] {
        assert!(keys.put(key.as_bytes(), Offset(offset)));
    }
    assert_eq!([b"a".as_slice(), b"b", b""].map(|key| keys.get(key)), [3, 2, 4].map(|at| Some(Offset(at))));
}

// ── what stays

/// What a reader sees of a record: its offset, key and value.
type Seen = (u64, Option<Vec<u8>>, Option<Vec<u8>>);

/// Batches of a log, with what it says of its transactions.
#[derive(Clone, Default)]
struct Log {
    batches: Vec<Batch>,
    aborted: Vec<Aborted>,
    writers: BTreeMap<i64, LastWrite>,
}

impl Log {
    fn next(&self) -> Offset {
        let end = |b: &Batch| Offset(b.header.base_offset as u64).plus(b.header.offsets());
        self.batches.last().map_or(Offset(0), end)
    }

    fn push(&mut self, batch: Batch, transactions: &mut Transactions) {
        let at = self.next();
        let mut bytes = BytesMut::from(&batch.bytes[..]);
        batch::stamp(&mut bytes, at, 0);
        let batch = batch::check(bytes.freeze()).expect("a sound batch");
        if let Some(effect) = Effect::of(&batch.header, &batch.bytes) {
            transactions.apply(effect, at);
        }
        let header = &batch.header;
        if header.has_producer() {
            let last = self.writers.entry(header.producer_id).or_insert(LastWrite { epoch: 0, data: None });
            if !header.is_control() {
                last.data = Some(at.plus(header.last_offset_delta as u64));
            }
        }
        self.batches.push(batch);
        self.aborted = transactions.aborted().to_vec();
    }

    /// A round over all of it.
    fn compact(&self, now: i64) -> Log {
        let mut cleaner = Cleaner {
            keys: Keys::new((3, 4), 1 << 20),
            traversal: Traversal::default(),
            writers: self.writers.clone(),
            now: Timestamp(now),
            delete_retention_ms: RETENTION_MS,
            limits: LIMITS,
        };
        cleaner.traversal.expect(self.aborted.clone());
        for batch in &self.batches {
            assert_eq!(cleaner.learn(batch, Offset(0)), Ok(true));
        }
        cleaner.traversal = Traversal::default();
        cleaner.traversal.expect(self.aborted.clone());
        let mut batches = Vec::new();
        for batch in &self.batches {
            match cleaner.clean(batch).expect("sound batches") {
                Kept::Nothing => {}
                Kept::AsItWas => batches.push(batch.clone()),
                Kept::Less(less) => batches.push(batch::check(less.bytes).expect("a sound batch")),
            }
        }
        Log { batches, aborted: cleaner.traversal.retained, writers: self.writers.clone() }
    }

    /// What a careful reader sees: offset, key, value.
    fn seen(&self) -> Vec<Seen> {
        let mut found = Vec::new();
        transactions::concerning(&self.aborted, Offset(0), Offset(u64::MAX), &mut found);
        let mut filter = Filter::new(found);
        let mut seen = Vec::new();
        for batch in &self.batches {
            if filter.shows(&batch.header, &batch.bytes) {
                for record in records::iterate(batch, LIMITS).expect("opened") {
                    let record = record.expect("sound");
                    let offset = batch.header.base_offset as u64 + record.offset_delta as u64;
                    seen.push((offset, record.key.map(|k| k.to_vec()), record.value.map(|v| v.to_vec())));
                }
            }
        }
        seen
    }

    fn offsets(&self) -> Vec<i64> {
        self.batches.iter().map(|b| b.header.base_offset).collect()
    }
}

/// One record: key (none beyond 3) and whether it has a value.
type Put = (u8, bool);

fn data(producer: Option<(i64, i32)>, transactional: bool, codec: Codec, puts: &[Put]) -> Batch {
    let mut builder = Builder::new(codec);
    if let Some((id, sequence)) = producer {
        builder = builder.producer(Producer { id, epoch: 0, sequence });
    }
    if transactional {
        builder = builder.transactional();
    }
    for (i, (key, value)) in (0..).zip(puts) {
        let (key, text) = ([*key], [b'v', i]);
        let key = (key[0] < 4).then_some(&key[..]);
        builder.push(&NewRecord {
            timestamp: Timestamp(i64::from(i)),
            key,
            value: value.then_some(&text[..]),
            headers: &[],
        });
    }
    builder.finish()
}

fn marker(id: i64, how: Marker) -> Batch {
    build::marker(how, Producer { id, epoch: 0, sequence: -1 }, 0, Timestamp(0))
}

fn log_of(batches: impl IntoIterator<Item = Batch>) -> Log {
    let (mut log, mut transactions) = (Log::default(), Transactions::default());
    batches.into_iter().for_each(|batch| log.push(batch, &mut transactions));
    log
}

#[test]
fn a_tombstone_goes_when_its_time_has_come_and_not_before() {
    let log = log_of([
        data(None, false, Codec::None, &[(1, true)]),
        data(None, false, Codec::None, &[(1, false), (2, true)]),
    ]);
    let once = log.compact(5_000);
    assert_eq!(once.seen().iter().map(|s| s.0).collect::<Vec<_>>(), [1, 2], "it covers what came before it");
    assert_eq!(once.batches[0].header.delete_horizon(), Some(Timestamp(6_000)));
    let (young, old) = (once.compact(5_999), once.compact(6_000));
    assert_eq!(young.batches, once.batches, "one is left as it is, horizon and all");
    assert_eq!(old.seen().iter().map(|s| s.0).collect::<Vec<_>>(), [2]);
    assert_eq!(old.batches[0].header.last_offset_delta, 1);
}

#[test]
fn records_without_a_key_go() {
    let log = log_of([data(None, false, Codec::Lz4, &[(9, true), (1, true), (9, false)])]);
    assert_eq!(log.compact(0).seen().iter().map(|s| s.0).collect::<Vec<_>>(), [1]);
}

#[test]
fn markers_outlive_what_they_decide() {
    for (how, rounds) in [
        // What was given up goes at once; then its marker has nothing to decide and waits for its horizon.
        (Marker::Abort, [vec![1, 2], vec![1, 2], vec![2]]),
        // What was committed is covered by a later record at once.
        (Marker::Commit, [vec![1, 2], vec![1, 2], vec![2]]),
    ] {
        let later = data(None, false, Codec::None, &[(1, true)]);
        let mut log = log_of([data(Some((7, 0)), true, Codec::None, &[(1, true)]), marker(7, how), later]);
        log.writers.clear();
        for (now, expect) in [1_000, 2_000, 3_000].into_iter().zip(rounds) {
            log = log.compact(now);
            assert_eq!(log.offsets(), expect, "{how:?} at {now}");
        }
    }
}

#[test]
fn the_last_batch_of_a_producer_stays_without_its_records() {
    let mine = |sequence| data(Some((7, sequence)), false, Codec::Zstd, &[(1, true), (1, true)]);
    let log = log_of([mine(0), mine(2), data(None, false, Codec::None, &[(1, true)])]);
    let once = log.compact(0);
    assert_eq!(once.offsets(), [2, 4]);
    let header = once.batches[0].header;
    assert_eq!((header.record_count, header.offsets(), header.last_sequence()), (0, 2, 3));
    assert_eq!(once.compact(0).batches, once.batches, "and stays");
    let mut forgotten = once;
    forgotten.writers.clear();
    assert_eq!(forgotten.compact(0).offsets(), [4]);
}

#[test]
fn the_last_marker_of_a_producer_without_data_stays_without_its_record() {
    let mut log = log_of([marker(7, Marker::Abort), data(None, false, Codec::None, &[(1, true)])]);
    for now in [0, 1_000, 2_000] {
        log = log.compact(now);
        assert_eq!(log.offsets(), [0, 1]);
    }
    assert_eq!(log.batches[0].header.record_count, 0);
    log.writers.insert(7, LastWrite { epoch: 1, data: None });
    assert_eq!(log.compact(3_000).offsets(), [1], "a newer epoch needs no older marker");
}

#[test]
fn what_comes_behind_the_keys_that_had_room_stays() {
    let many = |from: u8| data(None, false, Codec::None, &(from..from + 4).map(|k| (k % 4, true)).collect::<Vec<_>>());
    let log = log_of([many(0), many(0), many(0)]);
    let mut cleaner = Cleaner {
        keys: Keys::new((3, 4), 1 << 20),
        traversal: Traversal::default(),
        writers: BTreeMap::new(),
        now: Timestamp(0),
        delete_retention_ms: 0,
        limits: LIMITS,
    };
    for batch in &log.batches[..2] {
        assert_eq!(cleaner.learn(batch, Offset(0)), Ok(true));
    }
    let kept: Vec<Kept> = log.batches.iter().map(|batch| cleaner.clean(batch).expect("sound")).collect();
    assert_eq!(kept, [Kept::Nothing, Kept::AsItWas, Kept::AsItWas]);
}

#[derive(Clone, Debug)]
enum Act {
    Plain(Vec<Put>),
    Write(i64, Vec<Put>),
    End(i64, Marker),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let puts = || prop::collection::vec((0..6u8, prop::bool::weighted(0.7)), 1..4);
    let act = prop_oneof![
        puts().prop_map(Act::Plain),
        (0..3i64, puts()).prop_map(|(id, puts)| Act::Write(id, puts)),
        (0..3i64, puts()).prop_map(|(id, puts)| Act::Write(id, puts)),
        (0..3i64, any::<bool>())
            .prop_map(|(id, commit)| Act::End(id, if commit { Marker::Commit } else { Marker::Abort })),
    ];
    prop::collection::vec(act, 1..40)
}

/// A log of these acts, all of whose transactions are ended.
fn life(acts: &[Act]) -> Log {
    let mut sequences = BTreeMap::new();
    let mut batches = Vec::new();
    let ends = (0..3).map(|id| Act::End(id, Marker::Abort));
    for (i, act) in acts.iter().cloned().chain(ends).enumerate() {
        let codec = Codec::ALL[i % Codec::ALL.len()];
        batches.push(match act {
            Act::Plain(puts) => data(None, false, codec, &puts),
            Act::Write(id, puts) => {
                let sequence = sequences.entry(id).or_insert(0);
                let batch = data(Some((id, *sequence)), true, codec, &puts);
                *sequence += puts.len() as i32;
                batch
            }
            Act::End(id, how) => marker(id, how),
        });
    }
    log_of(batches)
}

proptest! {
    /// However often and whenever it is compacted: a careful reader finds the newest visible record of each key where it
    /// was, in its order, and nothing that was not there before; tombstones until their time. Every producer's last batch
    /// keeps its place.
    #[test]
    fn a_reader_finds_the_newest_of_each_key(acts in acts(), pauses in prop::collection::vec(0..1_500i64, 1..5)) {
        let mut log = life(&acts);
        let before = log.seen();
        let mut newest: BTreeMap<&[u8], u64> = BTreeMap::new();
        for (offset, key, _) in &before {
            if let Some(key) = key {
                newest.insert(key, *offset);
            }
        }
        let is_newest = |(offset, key, _): &&Seen| {
            key.as_ref().is_some_and(|key| newest[&key[..]] == *offset)
        };
        let expect: Vec<_> = before.iter().filter(is_newest).cloned().collect();
        let mut now = 0;
        let mut horizon = None;
        for pause in pauses {
            now += pause;
            let ripe = horizon.is_some_and(|at| at <= now);
            horizon.get_or_insert(now + RETENTION_MS);
            log = log.compact(now);
            let left: Vec<_> = expect.iter().filter(|(_, _, value)| value.is_some() || !ripe).cloned().collect();
            prop_assert_eq!(log.seen(), left, "after {} ms", now);
            for (id, last) in &log.writers {
                let at = last.data.map(|at| at.0 as i64);
                let there = |b: &Batch| b.header.producer_id == *id
                    && at.is_none_or(|at| b.header.base_offset + i64::from(b.header.last_offset_delta) == at);
                prop_assert!(log.batches.iter().any(there), "the last batch of {}", id);
            }
        }
    }
}
