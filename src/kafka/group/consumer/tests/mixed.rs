//! Random members of both protocols: whatever the group is at the moment, nobody ever uses a partition that another uses,
//! and in the end everything is given exactly once.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::classic::{classic, place_of, sync_of};
use super::*;
use crate::kafka::group::{Heartbeat, JoinRefused, Joined, Leave};

const CLIENTS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Act {
    Join(usize),
    /// A heartbeat, and whatever it asks for.
    Beat(usize),
    Leave(usize),
    Pass(i64),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let client = 0..CLIENTS;
    prop_oneof![
        4 => client.clone().prop_map(Act::Join),
        12 => client.clone().prop_map(Act::Beat),
        2 => client.prop_map(Act::Leave),
        3 => (1i64..12_000).prop_map(Act::Pass),
        1 => Just(Act::Restart),
    ]
}

/// The first two speak the consumer protocol. The others speak the classic one, and give everything back before they
/// join; who leads takes all.
#[derive(Default)]
struct Client {
    id: Name,
    epoch: i32,
    uses: BTreeSet<i32>,
    joining: Option<Ticket>,
    syncing: Option<(Ticket, Joined)>,
}

struct Run {
    bench: Bench,
    clients: Vec<Client>,
    fresh: u32,
}

fn is_new(n: usize) -> bool {
    n < 2
}

impl Run {
    fn act(&mut self, act: Act) {
        match act {
            Act::Join(n) if self.clients[n].epoch == 0 && self.clients[n].joining.is_none() => self.join(n),
            Act::Join(_) => {}
            Act::Beat(n) => self.beat(n),
            Act::Leave(n) if self.clients[n].epoch > 0 => {
                let id = self.clients[n].id.clone();
                match is_new(n) {
                    true => drop(beat(&mut self.bench, again(&id, -1, None))),
                    false => {
                        self.bench.call(Command::Leave(Leave { group: "g".into(), members: vec![(id, None)] }));
                    }
                }
                self.clients[n] = Client::default();
            }
            Act::Leave(_) => {}
            Act::Pass(ms) => {
                self.bench.pass(ms);
                self.hear();
                self.forget();
            }
            Act::Restart => {
                self.bench.restart();
                look(&mut self.bench, fake(1, T));
                for client in &mut self.clients {
                    // A connection that breaks: what was asked is asked again by the next heartbeat.
                    let was_joining = client.joining.take().is_some();
                    if was_joining && client.epoch == 0 {
                        *client = Client::default();
                    }
                    client.syncing = None;
                }
                self.forget();
            }
        }
        self.hear();
        self.judge();
    }

    fn join(&mut self, n: usize) {
        self.fresh += 1;
        self.clients[n].uses.clear();
        let ticket = match is_new(n) {
            true => {
                self.clients[n].id = format!("new{}", self.fresh).into();
                self.bench.ask(Command::Beat(Box::new(joining(&self.clients[n].id, &["t"]))))
            }
            false => {
                let mut join = classic(&self.clients[n].id, &[]);
                join.fresh = self.fresh.into();
                self.bench.ask(Command::Join(join))
            }
        };
        self.clients[n].joining = Some(ticket);
    }

    fn beat(&mut self, n: usize) {
        let client = &self.clients[n];
        if client.epoch == 0 || client.joining.is_some() || client.syncing.is_some() {
            return;
        }
        if is_new(n) {
            let mut sent = again(&client.id, client.epoch, None);
            let owned = (1, client.uses.clone());
            sent.owned = Some([owned].into_iter().filter(|owned| !owned.1.is_empty()).collect());
            match beat(&mut self.bench, sent) {
                Ok(beaten) => self.told(n, beaten),
                Err(_) => self.clients[n] = Client::default(),
            }
            return;
        }
        let (member, generation) = (client.id.clone(), client.epoch);
        let beat = Heartbeat { group: "g".into(), generation, member, instance: None };
        match self.bench.call(Command::Heartbeat(beat)) {
            Reply::Heartbeat(Ok(())) => {}
            Reply::Heartbeat(Err(Refusal::RebalanceInProgress | Refusal::IllegalGeneration)) => self.join(n),
            Reply::Heartbeat(Err(Refusal::UnknownMember)) => self.clients[n] = Client::default(),
            other => panic!("{other:?}"),
        }
    }

    fn told(&mut self, n: usize, beaten: Beaten) {
        self.clients[n].epoch = beaten.epoch;
        if let Some(assignment) = beaten.assignment {
            self.clients[n].uses = assignment.into_values().flatten().collect();
        }
    }

    fn hear(&mut self) {
        for n in 0..CLIENTS {
            if let Some(reply) = self.clients[n].joining.and_then(|ticket| self.bench.answer(ticket)) {
                self.clients[n].joining = None;
                match reply {
                    Reply::Beat(Ok(beaten)) => self.told(n, beaten),
                    Reply::Beat(Err(_)) => self.clients[n] = Client::default(),
                    Reply::Join(Ok(joined)) => self.sync(n, joined),
                    Reply::Join(Err(JoinRefused { why: Refusal::RebalanceInProgress, member })) => {
                        self.clients[n].id = member;
                        self.join(n);
                    }
                    Reply::Join(Err(_)) => self.clients[n] = Client::default(),
                    other => panic!("{other:?}"),
                }
            }
            let Some((ticket, joined)) = self.clients[n].syncing.take() else { continue };
            match self.bench.answer(ticket) {
                None => self.clients[n].syncing = Some((ticket, joined)),
                Some(Reply::Sync(Ok(synced))) => {
                    self.clients[n].uses = place_of(synced.assignment).into_iter().collect()
                }
                Some(Reply::Sync(Err(Refusal::RebalanceInProgress | Refusal::IllegalGeneration))) => self.join(n),
                Some(Reply::Sync(Err(_))) => self.clients[n] = Client::default(),
                other => panic!("{other:?}"),
            }
        }
    }

    fn sync(&mut self, n: usize, joined: Joined) {
        self.clients[n].id = joined.member.clone();
        // Generation 0 is none: the member has joined all the same.
        self.clients[n].epoch = joined.generation.max(1);
        let all = super::classic::assigned(&[("t", &[0, 1, 2, 3])]);
        let leads = joined.leader == joined.member;
        let nothing = super::classic::assigned(&[]);
        let give = |m: &crate::kafka::group::JoinedMember| {
            (m.member.clone(), if m.member == joined.member { all.clone() } else { nothing.clone() })
        };
        let gifts: Vec<_> = joined.members.iter().filter(|_| leads).map(give).collect();
        let gifts: Vec<_> = gifts.iter().map(|(member, bytes)| (member, bytes.clone())).collect();
        let ticket = self.bench.ask(Command::Sync(sync_of(&joined, &gifts)));
        self.clients[n].syncing = Some((ticket, joined));
    }

    /// A real client stops using what it has when its session is over; so do these.
    fn forget(&mut self) {
        let consumer = self.bench.state.groups.get("g").and_then(|g| g.consumer.as_ref());
        let live = self.bench.scratch.live.get("g");
        for client in self.clients.iter_mut().filter(|client| client.epoch > 0) {
            let is_in = consumer.is_some_and(|group| group.members.contains_key(&client.id))
                || live.is_some_and(|live| live.members.contains_key(&client.id));
            if !is_in {
                *client = Client::default();
            }
        }
    }

    fn judge(&self) {
        let mut used = BTreeSet::new();
        for partition in self.clients.iter().flat_map(|client| &client.uses) {
            assert!(used.insert(partition), "two use {partition}");
        }
    }

    /// Everyone behaves: after a few rounds all is settled.
    fn settle(&mut self) {
        // Long enough for every session and every rebalance timeout of who is not played any more.
        for _ in 0..260 {
            (0..CLIENTS).for_each(|n| self.act(Act::Beat(n)));
            self.act(Act::Pass(500));
        }
        if self.clients.iter().all(|client| client.epoch == 0) {
            return;
        }
        let used: Vec<i32> = self.clients.iter().flat_map(|client| client.uses.iter().copied()).collect();
        assert_eq!(used.iter().copied().collect::<BTreeSet<_>>(), (0..4).collect(), "everything is used");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_partition_has_two_users_whatever_they_speak(acts in prop::collection::vec(act(), 1..80)) {
        let clients = (0..CLIENTS).map(|_| Client::default()).collect();
        let mut run = Run { bench: bench(T), clients, fresh: 0 };
        for act in acts {
            run.act(act);
        }
        check(&run.bench);
        run.settle();
        check(&run.bench);
    }
}
