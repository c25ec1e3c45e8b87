//! Scenarios of classic groups on a bench with virtual time: what a client asks, what it is told, and when. Never sleeps.

mod engine;
mod members;
mod offsets;
mod random;
mod records;

use bytes::Bytes;

use super::*;
use crate::ledger::laws;

type Bench = laws::Bench<Groups>;

const START: Timestamp = Timestamp(1_700_000_000_000);
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn bench() -> Bench {
    Bench::new(START)
}

/// A dynamic member's first join, before KIP-394: it is let in at once.
fn newcomer(fresh: u128) -> Join {
    Join {
        group: "g".into(),
        member: "".into(),
        instance: None,
        client_id: "app".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), subscription(&["t"]))],
        needs_known_id: false,
        may_skip_assignment: false,
        fresh,
    }
}

fn statics(instance: &str, fresh: u128) -> Join {
    Join { instance: Some(instance.into()), ..newcomer(fresh) }
}

fn again(member: &Name) -> Join {
    Join { member: member.clone(), ..newcomer(0) }
}

/// A consumer's subscription, version 0.
fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1i32).to_be_bytes());
    bytes.into()
}

fn joined(bench: &mut Bench, ticket: Ticket) -> Joined {
    match bench.answer(ticket) {
        Some(Reply::Join(Ok(joined))) => joined,
        other => panic!("not joined: {other:?}"),
    }
}

fn join_refused(bench: &mut Bench, join: Join) -> Refusal {
    let ticket = bench.ask(Command::Join(join));
    refused_join(bench, ticket).why
}

fn refused_join(bench: &mut Bench, ticket: Ticket) -> JoinRefused {
    match bench.answer(ticket) {
        Some(Reply::Join(Err(refused))) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

fn sync_of(joined: &Joined, assignments: &[(&Name, &str)]) -> Sync {
    Sync {
        group: "g".into(),
        generation: joined.generation,
        member: joined.member.clone(),
        instance: None,
        protocol_type: None,
        protocol: None,
        assignments: assignments.iter().map(|(m, a)| ((*m).clone(), Bytes::copy_from_slice(a.as_bytes()))).collect(),
    }
}

fn synced(bench: &mut Bench, ticket: Ticket) -> Result<String, Refusal> {
    match bench.answer(ticket) {
        Some(Reply::Sync(result)) => result.map(|synced| String::from_utf8_lossy(&synced.assignment).into_owned()),
        other => panic!("not synced: {other:?}"),
    }
}

fn heartbeat(bench: &mut Bench, member: &Name, generation: i32) -> Result<(), Refusal> {
    let beat = Heartbeat { group: "g".into(), generation, member: member.clone(), instance: None };
    match bench.call(Command::Heartbeat(beat)) {
        Reply::Heartbeat(result) => result,
        other => panic!("{other:?}"),
    }
}

fn leave(bench: &mut Bench, members: &[(&str, Option<&str>)]) -> Vec<Result<(), Refusal>> {
    let members = members.iter().map(|(m, i)| ((*m).into(), i.map(Name::from))).collect();
    match bench.call(Command::Leave(Leave { group: "g".into(), members })) {
        Reply::Leave(Ok(results)) => results,
        other => panic!("{other:?}"),
    }
}

fn phase(bench: &mut Bench) -> Option<Phase> {
    match bench.call(Command::Describe(vec!["g".into()])) {
        Reply::Describe(mut groups) => groups.remove(0).ok().map(|g| g.phase),
        other => panic!("{other:?}"),
    }
}

/// A stable group of these members, the first of which leads; each assignment is `a0`, `a1`, …
fn stable(bench: &mut Bench, joins: Vec<Join>) -> Vec<Joined> {
    let tickets: Vec<Ticket> = joins.into_iter().map(|join| bench.ask(Command::Join(join))).collect();
    bench.pass(3_000);
    if bench.is_waiting(tickets[0]) {
        // Someone came during the first delay and prolonged it.
        bench.pass(3_000);
    }
    let members: Vec<Joined> = tickets.into_iter().map(|ticket| joined(bench, ticket)).collect();
    settle(bench, &members);
    members
}

/// Syncs everyone, the leader last.
fn settle(bench: &mut Bench, members: &[Joined]) {
    let names: Vec<String> = (0..members.len()).map(|i| format!("a{i}")).collect();
    let assignments: Vec<_> = members.iter().map(|m| &m.member).zip(names.iter().map(String::as_str)).collect();
    let (leaders, followers): (Vec<&Joined>, Vec<&Joined>) = members.iter().partition(|m| m.member == m.leader);
    let mut tickets = Vec::new();
    for member in followers.iter().chain(&leaders) {
        let given = if member.member == member.leader { &assignments[..] } else { &[] };
        tickets.push((&member.member, bench.ask(Command::Sync(sync_of(member, given)))));
    }
    for (member, ticket) in tickets {
        let at = members.iter().position(|m| m.member == *member).unwrap_or_default();
        assert_eq!(synced(bench, ticket), Ok(format!("a{at}")));
    }
    assert_eq!(phase(bench), Some(Phase::Stable));
}
