//! The assignors as plain functions: tables of who wants what, and what each then has.

use proptest::prelude::*;

use super::*;
use crate::kafka::group::consumer::state::Member;

fn member(topics: &[&str]) -> Arc<Member> {
    Arc::new(Member {
        instance: None,
        rack: None,
        client_id: "".into(),
        client_host: "".into(),
        topics: topics.iter().map(|topic| (*topic).into()).collect(),
        regex: None,
        rebalance_timeout_ms: 0,
        assignor: None,
        classic: None,
    })
}

fn work(assignor: Assignor, topics: &[(&str, u128, i32)], members: &[(&str, &[&str])]) -> Work {
    Work {
        topics: Arc::new(fake(1, topics)),
        members: members.iter().map(|(id, topics)| (Name::from(*id), member(topics))).collect(),
        targets: Default::default(),
        regexes: Default::default(),
        viewers: Default::default(),
        assignor,
    }
}

fn keep(work: &mut Work, outcome: Outcome) {
    work.targets = outcome.targets.into_iter().map(|(id, target)| (id, Arc::new(target))).collect();
}

fn sizes(outcome: &Outcome) -> Vec<usize> {
    outcome.targets.values().map(|target| target.values().map(|p| p.len()).sum()).collect()
}

#[test]
fn range_gives_runs_and_the_same_run_of_topics_that_are_alike() {
    let topics = [("t", 1, 5), ("u", 2, 5), ("v", 3, 2)];
    let all: &[&str] = &["t", "u", "v"];
    let outcome = work(Assignor::Range, &topics, &[("a", all), ("b", all), ("c", &["t"])]).run();
    assert_eq!(outcome.targets["a"], assignment(&[(1, &[0, 1]), (2, &[0, 1, 2]), (3, &[0])]));
    assert_eq!(outcome.targets["b"], assignment(&[(1, &[2, 3]), (2, &[3, 4]), (3, &[1])]));
    assert_eq!(outcome.targets["c"], assignment(&[(1, &[4])]));
}

#[test]
fn range_keeps_the_order_of_members_who_were_there() {
    let mut work = work(Assignor::Range, &[("t", 1, 4)], &[("m", &["t"]), ("n", &["t"])]);
    let outcome = work.run();
    keep(&mut work, outcome);
    work.members.insert("a".into(), member(&["t"]));
    let outcome = work.run();
    assert_eq!(outcome.targets["m"], assignment(&[(1, &[0, 1])]));
    assert_eq!(outcome.targets["n"], assignment(&[(1, &[2])]));
    assert_eq!(outcome.targets["a"], assignment(&[(1, &[3])]));
}

#[test]
fn uniform_is_level_where_subscriptions_differ() {
    let topics = [("t", 1, 6), ("u", 2, 2)];
    let outcome = work(Assignor::Uniform, &topics, &[("a", &["t", "u"]), ("b", &["t"]), ("c", &["u"])]).run();
    assert_eq!(sizes(&outcome), [3, 3, 2]);
}

#[test]
fn uniform_moves_no_more_than_it_must() {
    let mut work = work(Assignor::Uniform, &[("t", 1, 9)], &[("a", &["t"]), ("b", &["t"])]);
    let outcome = work.run();
    keep(&mut work, outcome.clone());
    work.members.insert("c".into(), member(&["t"]));
    let next = work.run();
    assert_eq!(sizes(&next), [3, 3, 3]);
    for id in ["a", "b"] {
        assert!(next.targets[id][&1].is_subset(&outcome.targets[id][&1]), "{id} keeps, and gets nothing new");
    }
}

#[test]
fn a_hash_tells_streams_apart() {
    let hash = |topics: &[(&str, u128, i32)]| work(Assignor::Uniform, topics, &[("a", &["t"])]).run().hash;
    let one = hash(&[("t", 1, 4)]);
    assert_eq!(one, hash(&[("t", 1, 4), ("other", 2, 1)]));
    assert!(one != hash(&[("t", 2, 4)]) && one != hash(&[("t", 1, 5)]));
    assert_eq!(hash(&[]), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever members want: every partition that somebody wants is somebody's who wants it, and nobody else's; where
    /// all want the same, nobody has two more than another.
    #[test]
    fn every_partition_is_given_once(
        partitions in prop::collection::vec(0i32..7, 1..5),
        wants in prop::collection::vec(0u8..16, 1..6),
        later in prop::collection::vec(0u8..16, 1..6),
        is_range in any::<bool>(),
    ) {
        let names = ["t0", "t1", "t2", "t3"];
        let topics: Vec<(&str, u128, i32)> =
            partitions.iter().enumerate().map(|(n, p)| (names[n], n as u128 + 1, *p)).collect();
        let members = |wants: &[u8]| wants.iter().enumerate().map(|(n, bits)| {
            let topics: Vec<&str> = (0..4).filter(|bit| bits & (1 << bit) != 0).map(|bit| names[bit]).collect();
            (Name::from(format!("m{n}")), member(&topics))
        }).collect();
        let mut work = work(if is_range { Assignor::Range } else { Assignor::Uniform }, &topics, &[]);
        for wants in [&wants, &later] {
            work.members = members(wants);
            let outcome = work.run();
            for (nth, (name, id, count)) in topics.iter().enumerate() {
                let is_wanted = wants.iter().any(|bits| bits & (1 << nth) != 0);
                for partition in 0..*count {
                    let holders: Vec<&Name> = outcome.targets.iter()
                        .filter(|(_, t)| t.get(id).is_some_and(|p| p.contains(&partition))).map(|(m, _)| m).collect();
                    prop_assert_eq!(holders.len(), usize::from(is_wanted), "{} {}", name, partition);
                    for holder in holders {
                        prop_assert!(work.members[holder].topics.iter().any(|t| &**t == *name));
                    }
                }
            }
            if !is_range && wants.iter().all(|bits| *bits == wants[0]) {
                let sizes = sizes(&outcome);
                prop_assert!(sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0) <= 1);
            }
            keep(&mut work, outcome);
        }
    }
}
