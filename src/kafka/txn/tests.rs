//! Transactions by table and by law: every rule of the coordinator, one test each.

use proptest::prelude::*;

use super::*;
use crate::kafka::group::coordinator::STREAM as OFFSETS;
use crate::ledger::laws::{Bench, check_compaction};

const T0: Timestamp = Timestamp(1_000_000);
const MINUTE: i32 = 60_000;

fn bench() -> Bench<Transactions> {
    Bench::new(T0)
}

fn init(bench: &mut Bench<Transactions>, fresh: i64) -> Result<Producer, Refusal> {
    init_as(bench, fresh, None)
}

fn init_as(bench: &mut Bench<Transactions>, fresh: i64, expected: Option<Producer>) -> Result<Producer, Refusal> {
    let init = Init { id: "t".into(), timeout_ms: MINUTE, expected, fresh };
    match bench.call(Command::Init(init)) {
        Reply::Init(result) => result,
        other => panic!("{other:?}"),
    }
}

fn on(topic: &str, index: i32) -> Partition {
    Partition { topic: topic.into(), index }
}

fn add(bench: &mut Bench<Transactions>, producer: Producer, partitions: &[Partition]) -> Result<Vec<bool>, Refusal> {
    let partitions = partitions.to_vec();
    match bench.call(Command::Add(Add { id: "t".into(), producer, partitions, verify_only: false, bumps: true })) {
        Reply::Add(result) => result,
        other => panic!("{other:?}"),
    }
}

fn end_with(how: Marker, producer: Producer, bumps: bool) -> Command {
    Command::End(End { id: "t".into(), producer, how, bumps, fresh: 900 })
}

fn end(bench: &mut Bench<Transactions>, how: Marker, producer: Producer) -> Result<Producer, Refusal> {
    match bench.call(end_with(how, producer, true)) {
        Reply::End(result) => result,
        other => panic!("{other:?}"),
    }
}

fn known(bench: &Bench<Transactions>) -> Transaction {
    bench.state.get("t").cloned().expect("the id is known")
}

const fn p(id: i64, epoch: i16) -> Producer {
    Producer { id, epoch }
}

/// Some clients (segmentio's of Go) say producer 0 of epoch 0 where they mean that they have none.
#[test]
fn what_a_new_id_claimed_to_be_is_not_taken_for_a_lost_answer_later() {
    let mut bench = bench();
    assert_eq!(init_as(&mut bench, 7, Some(p(0, 0))), Ok(p(7, 0)));
    assert_eq!(init_as(&mut bench, 8, Some(p(0, 0))), Err(Refusal::Fenced));
    assert_eq!(init_as(&mut bench, 8, Some(p(7, 0))), Ok(p(7, 1)));
    bench.check_laws();
}

#[test]
fn each_incarnation_has_the_next_epoch() {
    let mut bench = bench();
    assert_eq!(init(&mut bench, 7), Ok(p(7, 0)));
    assert_eq!(init(&mut bench, 8), Ok(p(7, 1)));
    bench.check_laws();
}

#[test]
fn a_timeout_must_be_positive_and_within_what_is_allowed() {
    let mut bench = bench();
    for (timeout_ms, fine) in [(0, false), (-1, false), (15 * MINUTE, true), (15 * MINUTE + 1, false)] {
        let init = Init { id: "t".into(), timeout_ms, expected: None, fresh: 7 };
        let Reply::Init(result) = bench.call(Command::Init(init)) else { panic!("another answer") };
        assert_eq!(result.err(), (!fine).then_some(Refusal::InvalidTimeout), "{timeout_ms}");
    }
}

#[test]
fn a_commit_stands_with_its_markers_and_raises_the_epoch() {
    let mut bench = bench();
    let producer = init(&mut bench, 7).unwrap();
    assert_eq!(add(&mut bench, producer, &[on("a", 0), on("b", 3)]), Ok(vec![true, true]));
    assert_eq!(known(&bench).status, Status::Ongoing);
    assert_eq!(end(&mut bench, Marker::Commit, producer), Ok(p(7, 1)));
    assert_eq!(known(&bench).status, Status::CompleteCommit);
    let markers =
        Ending { id: "t".into(), producer: p(7, 1), how: Marker::Commit, partitions: vec![on("a", 0), on("b", 3)] };
    assert_eq!(bench.together, [markers]);
    assert!(bench.asked.is_empty(), "without offsets nothing is left to do");
    bench.check_laws();
    check_compaction::<Transactions>(&bench.log, &bench.state);
}

#[test]
fn an_old_clients_commit_keeps_the_epoch() {
    let mut bench = bench();
    let producer = init(&mut bench, 7).unwrap();
    add(&mut bench, producer, &[on("a", 0)]).unwrap();
    assert_eq!(bench.call(end_with(Marker::Commit, producer, false)), Reply::End(Ok(producer)));
    assert_eq!(bench.together[0].producer, producer);
    assert_eq!(bench.call(end_with(Marker::Commit, producer, false)), Reply::End(Ok(producer)), "asked again");
    assert_eq!(bench.call(end_with(Marker::Abort, producer, false)), Reply::End(Err(Refusal::InvalidState)));
}

#[test]
fn an_end_that_is_asked_for_again_is_answered_again() {
    let mut bench = bench();
    let producer = init(&mut bench, 7).unwrap();
    add(&mut bench, producer, &[on("a", 0)]).unwrap();
    let next = end(&mut bench, Marker::Commit, producer).unwrap();
    assert_eq!(end(&mut bench, Marker::Commit, producer), Ok(next));
    assert_eq!(end(&mut bench, Marker::Abort, producer), Err(Refusal::InvalidState), "it was committed");
    bench.restart();
    assert_eq!(end(&mut bench, Marker::Commit, producer), Ok(next), "also after a restart");
    assert_eq!(bench.together.len(), 1, "and the markers are written once");
}

#[test]
fn committing_nothing_is_refused_and_giving_up_nothing_raises_the_epoch() {
    let mut bench = bench();
    let producer = init(&mut bench, 7).unwrap();
    assert_eq!(end(&mut bench, Marker::Commit, producer), Err(Refusal::InvalidState));
    assert_eq!(end(&mut bench, Marker::Abort, producer), Ok(p(7, 1)));
    assert!(bench.together.is_empty());
}

#[test]
fn offsets_are_decided_after_the_end_is_written_and_before_it_is_told() {
    let mut bench = bench();
    let producer = init(&mut bench, 7).unwrap();
    add(&mut bench, producer, &[on("a", 0), on(OFFSETS, 0)]).unwrap();
    let ticket = bench.ask(end_with(Marker::Commit, producer, true));
    assert_eq!(bench.answer(ticket), None);
    assert_eq!(known(&bench).status, Status::PrepareCommit);
    assert_eq!(add(&mut bench, p(7, 1), &[on("b", 0)]), Err(Refusal::Ending));
    let mut told = None;
    assert!(bench.perform(|ending| told = Some(ending.clone())));
    assert_eq!(told.expect("an effect").partitions, [on(OFFSETS, 0)]);
    assert_eq!(bench.answer(ticket), Some(Reply::End(Ok(p(7, 1)))));
    assert_eq!(known(&bench).status, Status::CompleteCommit);
    bench.check_laws();
}

#[test]
fn an_end_that_a_crash_cut_in_two_is_finished() {
    let mut bench = bench();
    let producer = init(&mut bench, 7).unwrap();
    add(&mut bench, producer, &[on(OFFSETS, 0)]).unwrap();
    bench.ask(end_with(Marker::Abort, producer, true));
    bench.restart();
    assert_eq!(bench.asked.len(), 1, "it is asked for again");
    assert!(bench.perform(|_| ()));
    assert_eq!(known(&bench).status, Status::CompleteAbort);
    assert_eq!(end(&mut bench, Marker::Abort, producer), Ok(p(7, 1)));
}

#[test]
fn a_new_incarnation_gives_up_what_the_old_one_left_open() {
    let mut bench = bench();
    let old = init(&mut bench, 7).unwrap();
    add(&mut bench, old, &[on("a", 0)]).unwrap();
    assert_eq!(init(&mut bench, 8), Ok(p(7, 2)), "the epoch between fences the old one");
    assert_eq!(bench.together[0].producer, p(7, 1));
    assert_eq!(bench.together[0].how, Marker::Abort);
    assert_eq!(add(&mut bench, old, &[on("a", 0)]), Err(Refusal::Fenced));
    assert_eq!(end(&mut bench, Marker::Commit, old), Err(Refusal::Fenced));
}

#[test]
fn a_new_incarnation_waits_for_offsets_that_are_being_decided() {
    let mut bench = bench();
    let old = init(&mut bench, 7).unwrap();
    add(&mut bench, old, &[on(OFFSETS, 0)]).unwrap();
    let ending = bench.ask(end_with(Marker::Commit, old, true));
    let init = Init { id: "t".into(), timeout_ms: MINUTE, expected: None, fresh: 8 };
    let starting = bench.ask(Command::Init(init));
    assert!(bench.is_waiting(starting));
    assert!(bench.perform(|_| ()));
    assert_eq!(bench.answer(ending), Some(Reply::End(Ok(p(7, 1)))));
    assert_eq!(bench.answer(starting), Some(Reply::Init(Ok(p(7, 2)))));
}

#[test]
fn a_producer_that_says_what_it_is_gets_the_next_epoch_unless_another_came() {
    let mut bench = bench();
    let first = init(&mut bench, 7).unwrap();
    assert_eq!(init_as(&mut bench, 8, Some(first)), Ok(p(7, 1)));
    assert_eq!(init_as(&mut bench, 8, Some(first)), Ok(p(7, 1)), "the answer was lost");
    assert_eq!(init(&mut bench, 8), Ok(p(7, 2)), "another incarnation");
    assert_eq!(init_as(&mut bench, 8, Some(p(7, 1))), Err(Refusal::Fenced));
    assert_eq!(init_as(&mut bench, 8, Some(p(6, 2))), Err(Refusal::Fenced));
}

#[test]
fn only_the_producer_itself_may_add_and_end() {
    let mut bench = bench();
    assert_eq!(add(&mut bench, p(7, 0), &[on("a", 0)]), Err(Refusal::UnknownProducer));
    assert_eq!(end(&mut bench, Marker::Commit, p(7, 0)), Err(Refusal::UnknownProducer));
    init(&mut bench, 7).unwrap();
    for (producer, refusal) in [(p(8, 0), Refusal::UnknownProducer), (p(7, 5), Refusal::Fenced)] {
        assert_eq!(add(&mut bench, producer, &[on("a", 0)]), Err(refusal), "{producer:?}");
        assert_eq!(end(&mut bench, Marker::Commit, producer), Err(refusal), "{producer:?}");
    }
}

#[test]
fn asking_whether_a_partition_is_in_the_transaction_adds_nothing() {
    let mut bench = bench();
    let producer = init(&mut bench, 7).unwrap();
    add(&mut bench, producer, &[on("a", 0)]).unwrap();
    let partitions = vec![on("a", 0), on("a", 1)];
    let ask = Add { id: "t".into(), producer, partitions, verify_only: true, bumps: false };
    assert_eq!(bench.call(Command::Add(ask)), Reply::Add(Ok(vec![true, false])));
    assert_eq!(known(&bench).partitions.len(), 1);
}

#[test]
fn a_transaction_whose_time_is_over_is_given_up_and_its_producer_fenced() {
    let mut bench = bench();
    let producer = init(&mut bench, 7).unwrap();
    add(&mut bench, producer, &[on("a", 0)]).unwrap();
    bench.pass(i64::from(MINUTE));
    assert_eq!(known(&bench).status, Status::Ongoing);
    bench.pass(11_000);
    assert_eq!(known(&bench).status, Status::CompleteAbort);
    assert_eq!(bench.together[0].how, Marker::Abort);
    assert_eq!(
        end(&mut bench, Marker::Commit, producer),
        Err(Refusal::InvalidState),
        "it cannot be committed any more"
    );
    assert_eq!(init(&mut bench, 8), Ok(p(7, 2)));
    assert_eq!(init_as(&mut bench, 8, Some(producer)), Err(Refusal::Fenced), "another has come");
}

#[test]
fn a_producer_that_was_too_slow_may_ask_for_its_new_epoch_and_go_on() {
    let mut bench = bench();
    let slow = init(&mut bench, 7).unwrap();
    add(&mut bench, slow, &[on("a", 0)]).unwrap();
    bench.pass(i64::from(MINUTE) + 11_000);
    assert_eq!(add(&mut bench, slow, &[on("a", 0)]), Err(Refusal::Fenced));
    // KIP-588; Kafka 4.4 answers the same.
    assert_eq!(init_as(&mut bench, 8, Some(slow)), Ok(p(7, 1)));
    assert!(add(&mut bench, p(7, 1), &[on("a", 0)]).is_ok());
}

#[test]
fn an_id_that_nobody_uses_is_forgotten() {
    let mut bench = bench();
    init(&mut bench, 7).unwrap();
    bench.pass(7 * 24 * 3_600_000 + 11_000);
    assert!(bench.state.get("t").is_none());
    assert_eq!(init_as(&mut bench, 8, Some(p(7, 0))), Ok(p(8, 0)), "and starts again");
    bench.check_laws();
}

#[test]
fn used_up_epochs_give_a_new_number() {
    let mut bench = bench();
    let mut producer = init(&mut bench, 7).unwrap();
    while producer.id == 7 {
        assert!(producer.epoch < i16::MAX);
        add(&mut bench, producer, &[on("a", 0)]).unwrap();
        producer = end(&mut bench, Marker::Commit, producer).unwrap();
    }
    assert_eq!(producer, p(900, 0));
    let last = p(7, LAST_EPOCH);
    assert_eq!(bench.together.last().map(|ending| ending.producer), Some(p(7, i16::MAX)), "the markers fence {last:?}");
    assert_eq!(end(&mut bench, Marker::Commit, last), Ok(p(900, 0)), "asked again");
}

#[derive(Clone, Debug)]
enum Act {
    Init,
    Add(i32),
    Offsets,
    End(bool, bool),
    Perform,
    Pass,
    Restart,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever happens in whatever order: the laws hold, epochs never fall, every transaction ends in one way.
    #[test]
    fn random_lives_keep_the_laws(acts in prop::collection::vec(prop_oneof![
        Just(Act::Init),
        (0..3).prop_map(Act::Add),
        Just(Act::Offsets),
        (any::<bool>(), any::<bool>()).prop_map(|(commit, bumps)| Act::End(commit, bumps)),
        Just(Act::Perform),
        Just(Act::Pass),
        Just(Act::Restart),
    ], 1..80)) {
        let mut bench = bench();
        let mut highest = p(0, -1);
        for act in acts {
            let current = bench.state.get("t").map_or(p(0, 0), |t| t.producer);
            match act {
                Act::Init => drop(bench.ask(Command::Init(Init { id: "t".into(), timeout_ms: MINUTE, expected: None, fresh: 7 }))),
                Act::Add(index) => drop(add(&mut bench, current, &[on("a", index)])),
                Act::Offsets => drop(add(&mut bench, current, &[on(OFFSETS, 0)])),
                Act::End(commit, bumps) => {
                    let how = if commit { Marker::Commit } else { Marker::Abort };
                    bench.ask(end_with(how, current, bumps));
                }
                Act::Perform => drop(bench.perform(|_| ())),
                Act::Pass => bench.pass(30_000),
                Act::Restart => bench.restart(),
            }
            if let Some(transaction) = bench.state.get("t") {
                let producer = transaction.producer;
                prop_assert!(producer.id != highest.id || producer.epoch >= highest.epoch, "{:?} after {:?}", producer, highest);
                highest = producer;
                let ending = matches!(transaction.status, Status::PrepareCommit | Status::PrepareAbort);
                prop_assert!(!ending || !bench.asked.is_empty(), "an end that nobody finishes");
            }
        }
        bench.check_laws();
        check_compaction::<Transactions>(&bench.log, &bench.state);
    }
}
