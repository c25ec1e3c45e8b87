//! Random members doing random things: nobody ever uses a partition that another uses, epochs never go back, and in the
//! end everything is given exactly once.

use proptest::prelude::*;

use super::*;

const CLIENTS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Act {
    Join(usize, u8),
    Beat(usize),
    /// Says truthfully what it owns.
    Tell(usize),
    Leave(usize),
    Grow,
    Pass(i64),
    Restart,
    Perform,
}

fn act() -> impl Strategy<Value = Act> {
    let client = 0..CLIENTS;
    prop_oneof![
        4 => (client.clone(), 1u8..4).prop_map(|(n, wants)| Act::Join(n, wants)),
        6 => client.clone().prop_map(Act::Beat),
        8 => client.clone().prop_map(Act::Tell),
        1 => client.prop_map(Act::Leave),
        1 => Just(Act::Grow),
        2 => (1i64..70_000).prop_map(Act::Pass),
        1 => Just(Act::Restart),
        4 => Just(Act::Perform),
    ]
}

#[derive(Default)]
struct Client {
    id: String,
    epoch: i32,
    /// What it uses: what it was last told, less what it has been told to give back.
    uses: Assignment,
    joining: Option<Ticket>,
}

struct Run {
    bench: Bench,
    clients: Vec<Client>,
    fresh: u32,
    streams: Fake,
    inline_limit: usize,
    group_epoch: i32,
}

impl Run {
    fn set_up(&mut self) {
        let consumer = Settings { inline_limit: self.inline_limit, ..Settings::default() };
        self.bench.call(Command::Configure(crate::kafka::group::Settings { consumer, ..Default::default() }));
        look(&mut self.bench, self.streams.clone());
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Join(n, wants) if self.clients[n].epoch == 0 && self.clients[n].joining.is_none() => {
                self.fresh += 1;
                let topics: Vec<&str> =
                    [(1, "t"), (2, "u")].iter().filter(|(b, _)| wants & b != 0).map(|t| t.1).collect();
                self.clients[n].id = format!("m{}", self.fresh);
                let join = joining(&self.clients[n].id, &topics);
                self.clients[n].joining = Some(self.bench.ask(Command::Beat(Box::new(join))));
            }
            Act::Join(..) => {}
            Act::Beat(n) => self.beat(n, false),
            Act::Tell(n) => self.beat(n, true),
            Act::Leave(n) if self.clients[n].epoch > 0 => {
                let _ = beat(&mut self.bench, again(&self.clients[n].id, -1, None));
                self.clients[n] = Client::default();
            }
            Act::Leave(_) => {}
            Act::Grow => {
                self.streams.version += 1;
                if let Some(topic) = self.streams.topics.get_mut("t").filter(|topic| topic.1 < 8) {
                    topic.1 += 1;
                }
                look(&mut self.bench, self.streams.clone());
            }
            Act::Pass(ms) => {
                self.bench.pass(ms);
                // A real client stops using what it has when its session is over; so do these.
                for client in self.clients.iter_mut().filter(|client| client.epoch > 0) {
                    let group = self.bench.state.groups.get("g").and_then(|g| g.consumer.as_ref());
                    if group.is_none_or(|group| !group.members.contains_key(client.id.as_str())) {
                        *client = Client::default();
                    }
                }
            }
            Act::Restart => {
                self.bench.restart();
                self.clients.iter_mut().for_each(|client| client.joining = None);
                self.set_up();
            }
            Act::Perform => {
                self.bench.perform(Job::run);
            }
        }
        self.hear();
        self.judge();
    }

    fn beat(&mut self, n: usize, tells: bool) {
        if self.clients[n].epoch <= 0 {
            return;
        }
        let mut sent = again(&self.clients[n].id, self.clients[n].epoch, None);
        sent.owned = tells.then(|| self.clients[n].uses.clone());
        match beat(&mut self.bench, sent) {
            Ok(beaten) => self.told(n, beaten),
            Err(Refusal::UnknownMember | Refusal::FencedEpoch) => self.clients[n] = Client::default(),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn hear(&mut self) {
        for n in 0..CLIENTS {
            let Some(ticket) = self.clients[n].joining else { continue };
            match self.bench.answer(ticket) {
                Some(Reply::Beat(Ok(beaten))) => self.told(n, beaten),
                Some(Reply::Beat(Err(_))) => self.clients[n] = Client::default(),
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        }
    }

    fn told(&mut self, n: usize, beaten: Beaten) {
        let client = &mut self.clients[n];
        client.joining = None;
        assert!(beaten.epoch >= client.epoch, "a member's epoch went back");
        client.epoch = beaten.epoch;
        if let Some(assignment) = beaten.assignment {
            client.uses = assignment;
        }
    }

    fn judge(&mut self) {
        let mut used = std::collections::BTreeSet::new();
        for client in &self.clients {
            for (topic, partitions) in &client.uses {
                for partition in partitions {
                    assert!(used.insert((*topic, *partition)), "two use {topic}/{partition}");
                }
            }
        }
        let group = self.bench.state.groups.get("g").and_then(|group| group.consumer.as_ref());
        let epoch = group.map_or(0, |group| group.epoch());
        assert!(epoch >= self.group_epoch, "the group's epoch went back");
        self.group_epoch = epoch;
    }

    /// Everyone behaves: after a few rounds all is settled.
    fn settle(&mut self) {
        for _ in 0..12 {
            while self.bench.perform(Job::run) {}
            self.hear();
            for n in 0..CLIENTS {
                self.beat(n, true);
                while self.bench.perform(Job::run) {}
                self.hear();
            }
            self.judge();
        }
        let Some(group) = self.bench.state.groups.get("g").and_then(|g| g.consumer.clone()) else { return };
        // Members nobody plays any more hold what they hold until their session ends.
        let played = |id: &Name| self.clients.iter().any(|client| client.epoch > 0 && *client.id == **id);
        if !group.members.keys().all(played) || group.members.is_empty() {
            return;
        }
        assert_eq!(group.state_name(), "Stable");
        for (name, (id, count)) in &self.streams.topics {
            let users = |partition: &i32| {
                let uses = |client: &&Client| client.uses.get(id).is_some_and(|p| p.contains(partition));
                self.clients.iter().filter(uses).count()
            };
            let is_wanted = group.is_subscribed(name);
            for partition in 0..*count {
                assert_eq!(users(&partition), usize::from(is_wanted), "{name}/{partition}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_partition_has_two_users_and_in_the_end_each_has_one(
        acts in prop::collection::vec(act(), 1..70),
        is_inline in any::<bool>(),
    ) {
        let mut run = Run {
            bench: Bench::new(START),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            fresh: 0,
            streams: fake(1, &[("t", 1, 3), ("u", 2, 2)]),
            inline_limit: if is_inline { 1 << 20 } else { 0 },
            group_epoch: 0,
        };
        run.set_up();
        for act in acts {
            run.act(act);
        }
        run.settle();
        check(&run.bench);
    }
}
