//! The machine obeys the laws, and every record comes through its bytes.

use std::collections::BTreeMap;

use super::{Clients, Command, LIMIT, Name, Overrides, Reply, Thing};
use crate::ids::Timestamp;
use crate::ledger::laws::{Bench, check_compaction};

fn change(thing: Thing, settings: &[(&str, Option<&str>)]) -> (Thing, BTreeMap<String, Option<String>>) {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
    (thing, settings.collect())
}

fn somebody() -> Thing {
    let user = Some(Name::Is("user \" name".into()));
    Thing::Clients(Clients { user, client: Some(Name::Default), address: None })
}

#[test]
fn what_is_set_stands_until_it_is_taken_back() {
    let mut bench: Bench<Overrides> = Bench::new(Timestamp(0));
    let all = [somebody(), Thing::Broker(String::new()), Thing::Group("g".into()), Thing::ClientMetrics("m".into())];
    for thing in &all {
        let set = change(thing.clone(), &[("a", Some("1")), ("b", Some("2"))]);
        assert_eq!(bench.call(Command(vec![set])), Reply::Done);
        let taken = change(thing.clone(), &[("a", None), ("never set", None)]);
        assert_eq!(bench.call(Command(vec![taken])), Reply::Done);
    }
    assert_eq!(bench.state.things.len(), all.len());
    for thing in &all {
        let settings: Vec<_> = bench.state.of(thing).expect("set").iter().collect();
        assert_eq!(settings, [(&"b".to_owned(), &"2".to_owned())]);
    }
    check_compaction::<Overrides>(&bench.log, &bench.state);
    let before = bench.log.len();
    bench.call(Command(vec![change(somebody(), &[("b", Some("2")), ("a", None)])]));
    assert_eq!(bench.log.len(), before, "what changes nothing is not written");
    let gone = all.iter().map(|thing| change(thing.clone(), &[("b", None)]));
    bench.call(Command(gone.collect()));
    assert!(bench.state.things.is_empty());
    check_compaction::<Overrides>(&bench.log, &bench.state);
}

#[test]
fn there_is_room_for_so_many_and_not_for_one_more() {
    let mut bench: Bench<Overrides> = Bench::new(Timestamp(0));
    let settings = (0..LIMIT).map(|n| (n.to_string(), Some(String::new()))).collect();
    assert_eq!(bench.call(Command(vec![(somebody(), settings)])), Reply::Done);
    let one_more = change(Thing::Group("g".into()), &[("a", Some("1"))]);
    assert_eq!(bench.call(Command(vec![one_more])), Reply::Full);
    assert_eq!(bench.call(Command(vec![change(somebody(), &[("0", None)])])), Reply::Done);
}
