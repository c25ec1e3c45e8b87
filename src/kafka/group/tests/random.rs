//! Random members doing random things at random times, against what must always hold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const CLIENTS: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Act {
    /// Client n joins: with the id it knows, if it knows one.
    Join(usize),
    /// Client n joins as a new member, or as its instance come back.
    JoinAnew(usize),
    Sync(usize),
    Beat(usize),
    Leave(usize),
    Commit(usize, i64),
    Pass(i64),
    Restart,
    Delete,
}

fn act() -> impl Strategy<Value = Act> {
    let client = 0..CLIENTS;
    prop_oneof![
        8 => client.clone().prop_map(Act::Join),
        1 => client.clone().prop_map(Act::JoinAnew),
        8 => client.clone().prop_map(Act::Sync),
        4 => client.clone().prop_map(Act::Beat),
        1 => client.clone().prop_map(Act::Leave),
        3 => (client, 0i64..1000).prop_map(|(n, offset)| Act::Commit(n, offset)),
        6 => prop_oneof![Just(0), 1i64..3_000, Just(3_000), 3_000i64..70_000].prop_map(Act::Pass),
        1 => Just(Act::Restart),
        1 => Just(Act::Delete),
    ]
}

/// What one client believes.
#[derive(Default)]
struct Client {
    id: Name,
    joined: Option<Joined>,
    join: Option<Ticket>,
    sync: Option<Ticket>,
}

struct Run {
    bench: Bench,
    clients: Vec<Client>,
    fresh: u128,
    /// The newest generation anyone was told.
    newest: i32,
    /// Per generation: its leader, who was told to be in it, and what the leader gave.
    leaders: BTreeMap<i32, Name>,
    given: BTreeMap<(i32, Name), Bytes>,
    committed: Option<i64>,
}

impl Run {
    fn new() -> Run {
        let clients = (0..CLIENTS).map(|_| Client::default()).collect();
        Run {
            bench: bench(),
            clients,
            fresh: 0,
            newest: 0,
            leaders: BTreeMap::new(),
            given: BTreeMap::new(),
            committed: None,
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Join(n) => self.join(n, self.clients[n].id.clone()),
            Act::JoinAnew(n) => self.join(n, "".into()),
            Act::Sync(n) => self.sync(n),
            Act::Beat(n) => {
                let Some(joined) = self.clients[n].joined.clone() else { return };
                let _ = heartbeat(&mut self.bench, &joined.member, joined.generation);
            }
            Act::Leave(n) => {
                let id = self.clients[n].id.clone();
                leave(&mut self.bench, &[(&id, None)]);
            }
            Act::Commit(n, offset) => self.commit(n, offset),
            Act::Pass(ms) => self.bench.pass(ms),
            Act::Restart => {
                self.bench.restart();
                for client in &mut self.clients {
                    (client.join, client.sync) = (None, None);
                }
                // A generation that nobody had an assignment of yet is forgotten, as in Kafka: its number comes again.
                let meta = self.bench.state.groups.get("g").and_then(|g| g.meta.clone());
                self.newest = meta.map_or(0, |m| m.generation);
                self.leaders.retain(|generation, _| *generation <= self.newest);
                self.given.retain(|(generation, _), _| *generation <= self.newest);
            }
            Act::Delete => {
                let Reply::Delete(results) = self.bench.call(Command::Delete(vec!["g".into()])) else { panic!() };
                if results == [Ok(())] {
                    // A new group of this name counts from the beginning.
                    (self.newest, self.committed) = (0, None);
                    self.leaders.clear();
                    self.given.clear();
                }
            }
        }
        self.hear();
        self.check();
    }

    fn join(&mut self, n: usize, member: Name) {
        self.fresh += 1;
        // The last two are static members; the first two must ask for their ids.
        let join = Join {
            member,
            instance: (n >= 3).then(|| format!("i{n}").into()),
            needs_known_id: n < 2,
            may_skip_assignment: n == 4,
            ..newcomer(self.fresh)
        };
        self.clients[n].join = Some(self.bench.ask(Command::Join(join)));
    }

    fn sync(&mut self, n: usize) {
        let Some(joined) = self.clients[n].joined.clone() else { return };
        let gift = |m: &JoinedMember| (m.member.clone(), Bytes::from(format!("{}:{}", joined.generation, m.member)));
        let assignments: Vec<_> = joined.members.iter().map(gift).collect();
        let command = Command::Sync(Sync { assignments: assignments.clone(), ..sync_of(&joined, &[]) });
        let is_first = self.leaders.get(&joined.generation) == Some(&joined.member)
            && phase(&mut self.bench) == Some(Phase::Completing);
        if is_first && !joined.skip_assignment {
            for (member, bytes) in assignments {
                self.given.insert((joined.generation, member), bytes);
            }
        }
        self.clients[n].sync = Some(self.bench.ask(command));
    }

    fn commit(&mut self, n: usize, offset: i64) {
        let Some(joined) = self.clients[n].joined.clone() else { return };
        let commit = Commit {
            group: "g".into(),
            generation: joined.generation,
            member: joined.member,
            instance: None,
            knows_group_not_found: true,
            retention_ms: -1,
            offsets: vec![CommitOffset {
                topic: "t".into(),
                topic_id: 1,
                partition: 0,
                offset,
                leader_epoch: 0,
                metadata: "".into(),
                time: -1,
            }],
        };
        if let Reply::Commit(Ok(results)) = self.bench.call(Command::Commit(commit)) {
            assert_eq!(results, [Ok(())]);
            self.committed = Some(offset);
        }
    }

    /// Takes the answers that have come, and judges them.
    fn hear(&mut self) {
        for n in 0..CLIENTS {
            if let Some(reply) = self.clients[n].join.and_then(|ticket| self.bench.answer(ticket)) {
                self.clients[n].join = None;
                self.heard_join(n, reply);
            }
            if let Some(reply) = self.clients[n].sync.and_then(|ticket| self.bench.answer(ticket)) {
                self.clients[n].sync = None;
                self.heard_sync(n, reply);
            }
        }
    }

    fn heard_join(&mut self, n: usize, reply: Reply) {
        let joined = match reply {
            Reply::Join(Ok(joined)) => joined,
            Reply::Join(Err(JoinRefused { why: Refusal::MemberIdRequired, member })) => {
                return self.clients[n].id = member;
            }
            Reply::Join(Err(JoinRefused { why: Refusal::UnknownMember | Refusal::FencedInstance, .. })) => {
                self.clients[n] = Client::default();
                return;
            }
            Reply::Join(Err(JoinRefused { why: Refusal::RebalanceInProgress, .. })) => return,
            other => panic!("{other:?}"),
        };
        assert!(joined.generation >= self.newest, "a generation went back");
        self.newest = joined.generation;
        let leads = joined.leader == joined.member;
        assert!(leads || joined.members.is_empty(), "a follower was told who is there");
        if leads {
            // A static leader may have come back under a new id; two different members never lead one generation.
            let before = self.leaders.insert(joined.generation, joined.member.clone());
            let is_same = before.is_none_or(|before| before == joined.member || joined.member.starts_with("i"));
            assert!(is_same, "generation {} has two leaders", joined.generation);
        }
        self.clients[n].id = joined.member.clone();
        self.clients[n].joined = Some(joined);
    }

    fn heard_sync(&mut self, n: usize, reply: Reply) {
        let Reply::Sync(result) = reply else { panic!("{reply:?}") };
        let Some(joined) = &self.clients[n].joined else { return };
        let Ok(synced) = result else { return };
        // Static members keep what their former id was given.
        if joined.member.starts_with("app") {
            let given = self.given.get(&(joined.generation, joined.member.clone())).cloned().unwrap_or_default();
            assert_eq!(synced.assignment, given, "an assignment that the leader did not give");
        }
    }

    fn check(&mut self) {
        assert_eq!(
            self.bench.state.offset("g", "t", 0).map(|c| c.offset),
            self.committed,
            "a committed offset was lost"
        );
        let Some(group) = self.bench.state.groups.get("g") else { return };
        let Some(meta) = &group.meta else { return };
        assert_eq!(meta.leader.is_some(), !meta.members.is_empty());
        assert!(meta.leader.iter().all(|leader| meta.members.iter().any(|m| m.id == *leader)));
        assert!(self.bench.scratch.live.values().all(|live| {
            let leads = live.leader.as_ref().is_none_or(|leader| live.members.contains_key(leader));
            let instances = live.instances.values().all(|id| live.members.contains_key(id));
            leads && instances && live.leader.is_some() != live.members.is_empty()
        }));
    }

    /// Once everybody is left alone long enough, nobody waits any more.
    fn quiesce(&mut self) {
        self.bench.pass(2 * 3_600_000);
        self.hear();
        assert_eq!(phase(&mut self.bench).filter(|p| *p != Phase::Empty), None);
        for client in &self.clients {
            for ticket in [client.join, client.sync].into_iter().flatten() {
                assert!(!self.bench.is_waiting(ticket), "a request was never answered");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_members_do_the_group_stays_whole(acts in prop::collection::vec(act(), 1..120)) {
        let mut run = Run::new();
        for act in acts {
            run.act(act);
        }
        run.bench.check_laws();
        laws::check_compaction::<Groups>(&run.bench.log, &run.bench.state);
        run.quiesce();
        run.bench.check_laws();
    }
}
