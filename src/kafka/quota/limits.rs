//! Which quota is whose. Pure. Of several that fit, the one that says most about the client decides, in Kafka's order
//! (KIP-55): user and client, user and any client, user, any user and client, any and any, any user, client, any client.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::kafka::overrides::{Clients, Name, State, Thing};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Bytes of Produce requests a second.
    Produce,
    /// Bytes of Fetch answers a second.
    Fetch,
    /// Percent of one thread's time.
    Request,
    /// Partitions created and deleted a second.
    Mutation,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Produce, Kind::Fetch, Kind::Request, Kind::Mutation];

    /// The key of the quota.
    pub fn key(self) -> &'static str {
        match self {
            Kind::Produce => "producer_byte_rate",
            Kind::Fetch => "consumer_byte_rate",
            Kind::Request => "request_percentage",
            Kind::Mutation => "controller_mutation_rate",
        }
    }
}

/// The key of the quota of new connections a second from one address.
pub const CONNECTIONS: &str = "connection_creation_rate";

/// User and client id that are measured together; empty: whatever they are.
pub type Who = (String, String);

type Pair = (Option<Name>, Option<Name>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    clients: BTreeMap<Kind, BTreeMap<Pair, f64>>,
    /// By address; `None`: any other.
    addresses: BTreeMap<Option<IpAddr>, f64>,
}

impl Limits {
    pub fn of(state: &State) -> Limits {
        let mut limits = Limits::default();
        for (thing, settings) in &state.things {
            let Thing::Clients(Clients { user, client, address }) = thing else { continue };
            let value = |key: &str| settings.get(key).and_then(|text| text.parse::<f64>().ok());
            for kind in Kind::ALL {
                if let Some(limit) = value(kind.key()) {
                    let pairs = limits.clients.entry(kind).or_default();
                    pairs.insert((user.clone(), client.clone()), limit);
                }
            }
            let address = match address {
                None => continue,
                Some(Name::Default) => None,
                Some(Name::Is(text)) => match text.parse::<IpAddr>() {
                    Ok(address) => Some(address.to_canonical()),
                    Err(_) => continue,
                },
            };
            if let Some(limit) = value(CONNECTIONS) {
                limits.addresses.insert(address, limit);
            }
        }
        limits
    }

    /// Whether there is a quota for any client.
    pub fn any(&self) -> bool {
        !self.clients.is_empty()
    }

    pub fn has(&self, kind: Kind) -> bool {
        self.clients.contains_key(&kind)
    }

    /// The quota of a client, and who is measured against it together.
    pub fn find(&self, kind: Kind, user: &str, client: &str) -> Option<(Who, f64)> {
        let pairs = self.clients.get(&kind)?;
        let is = |name: &str| Some(Name::Is(name.to_owned()));
        let any = || Some(Name::Default);
        let (by_user, by_client) = (|| (user.to_owned(), String::new()), || (String::new(), client.to_owned()));
        let by_both = || (user.to_owned(), client.to_owned());
        let in_order: [(Pair, &dyn Fn() -> Who); 8] = [
            ((is(user), is(client)), &by_both),
            ((is(user), any()), &by_both),
            ((is(user), None), &by_user),
            ((any(), is(client)), &by_both),
            ((any(), any()), &by_both),
            ((any(), None), &by_user),
            ((None, is(client)), &by_client),
            ((None, any()), &by_client),
        ];
        in_order.iter().find_map(|(pair, who)| Some((who(), *pairs.get(pair)?)))
    }

    /// The quota of new connections from an address.
    pub fn of_address(&self, address: IpAddr) -> Option<f64> {
        let named = self.addresses.get(&Some(address.to_canonical()));
        named.or_else(|| self.addresses.get(&None)).copied()
    }
}
