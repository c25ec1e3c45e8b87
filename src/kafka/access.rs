//! Whether whoever asks may do what they ask for: the one place where handlers find that out, each time by the rules of one
//! instant. Nothing is decided here (`auth::rules` does), and no answer is made: a handler is told the code and finds the
//! place for it.

use std::sync::Arc;

use crate::auth::machine::State;
use crate::auth::rules::{Policy, authorize, authorize_somewhere};
use crate::auth::{Action, Kind, Principal, Resource};
use crate::kafka::error::{Code, Refusal};

/// The one cluster there is.
pub const CLUSTER: Resource<'static> = Resource::THE_CLUSTER;

pub fn topic(name: &str) -> Resource<'_> {
    Resource { kind: Kind::Stream, name }
}

pub fn group(name: &str) -> Resource<'_> {
    Resource { kind: Kind::Group, name }
}

/// A transactional id.
pub fn transaction(name: &str) -> Resource<'_> {
    Resource { kind: Kind::Transaction, name }
}

/// A delegation token, by its id.
pub fn token(id: &str) -> Resource<'_> {
    Resource { kind: Kind::Token, name: id }
}

/// Somebody whose delegation tokens are asked for, with the type: `User:alice`.
pub fn user(principal: &str) -> Resource<'_> {
    Resource { kind: Kind::User, name: principal }
}

/// What one client may do, for as long as one request takes.
#[derive(Debug)]
pub struct Access(Option<Asker>);

#[derive(Debug)]
struct Asker {
    state: Arc<State>,
    policy: Arc<Policy>,
    principal: Principal,
    host: String,
}

impl Access {
    /// Everybody may do everything.
    pub fn open() -> Access {
        Access(None)
    }

    /// What `principal`, coming from the address `host`, may do.
    pub fn of(state: Arc<State>, policy: Arc<Policy>, principal: Principal, host: String) -> Access {
        Access(Some(Asker { state, policy, principal, host }))
    }

    /// Whether there are rules at all.
    pub fn is_ruled(&self) -> bool {
        self.0.is_some()
    }

    pub fn may(&self, action: Action, what: Resource<'_>) -> bool {
        self.0.as_ref().is_none_or(|asker| {
            let Asker { state, policy, principal, host } = asker;
            authorize(&state.rules, policy, principal, host, action, what)
        })
    }

    /// Whether there can be some thing of `kind` to which it may be done.
    pub fn may_somewhere(&self, action: Action, kind: Kind) -> bool {
        self.0.as_ref().is_none_or(|asker| {
            let Asker { state, policy, principal, host } = asker;
            authorize_somewhere(&state.rules, policy, principal, host, action, kind)
        })
    }

    /// The same, with what a client is told who may not.
    pub fn check(&self, action: Action, what: Resource<'_>) -> Result<(), Code> {
        match self.may(action, what) {
            true => Ok(()),
            false => Err(match what.kind {
                Kind::Stream => Code::TopicAuthorizationFailed,
                Kind::Group => Code::GroupAuthorizationFailed,
                Kind::Cluster => Code::ClusterAuthorizationFailed,
                Kind::Transaction => Code::TransactionalIdAuthorizationFailed,
                Kind::Token | Kind::User => Code::DelegationTokenAuthorizationFailed,
            }),
        }
    }

    /// The same, in words too.
    pub fn check_in_words(&self, action: Action, what: Resource<'_>) -> Result<(), Refusal> {
        self.check(action, what).map_err(|code| Refusal::new(code, words(code)))
    }

    /// The names to which it may be done, and those to which not; each in its order.
    pub fn split<T>(&self, action: Action, all: Vec<T>, what: impl Fn(&T) -> Resource<'_>) -> (Vec<T>, Vec<T>) {
        all.into_iter().partition(|one| self.may(action, what(one)))
    }

    /// What may be done to a thing, as a set of bits (KIP-430).
    pub fn operations(&self, what: Resource<'_>) -> i32 {
        let may = |action: &&Action| self.may(**action, what);
        possible(what.kind).iter().filter(may).fold(0, |set, action| set | 1 << action.number())
    }
}

/// What can be done to a thing at all.
fn possible(kind: Kind) -> &'static [Action] {
    use Action::{
        Alter, AlterConfigs, ClusterAction, Create, CreateTokens, Delete, Describe, DescribeConfigs, DescribeTokens,
        IdempotentWrite, Read, TwoPhaseCommit, Write,
    };
    match kind {
        Kind::Stream => &[Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs],
        Kind::Group => &[Read, Delete, Describe, DescribeConfigs, AlterConfigs],
        Kind::Cluster => &[Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite],
        Kind::Transaction => &[Write, Describe, TwoPhaseCommit],
        Kind::Token => &[Describe],
        Kind::User => &[CreateTokens, DescribeTokens],
    }
}

/// What goes with a refusal where there is room for words.
pub fn words(code: Code) -> &'static str {
    match code {
        Code::TopicAuthorizationFailed => "Topic authorization failed.",
        Code::GroupAuthorizationFailed => "Group authorization failed.",
        Code::TransactionalIdAuthorizationFailed => "Transactional Id authorization failed.",
        Code::DelegationTokenAuthorizationFailed => "Delegation Token authorization failed.",
        _ => "Cluster authorization failed.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::rules::{Rule, Says, Subject};
    use crate::auth::{Pattern, Verdict};

    #[test]
    fn operations_are_the_sets_kafka_answers_where_nothing_is_forbidden() {
        let all = Access::open();
        for (what, bits) in [(topic("t"), 3576), (CLUSTER, 8096), (group("g"), 3400)] {
            assert_eq!(all.operations(what), bits, "{what:?}");
        }
    }

    #[test]
    fn operations_are_those_that_are_allowed_and_implied() {
        let mut state = State::default();
        state.rules.insert(Rule {
            subject: Subject { kind: Kind::Stream, pattern: Pattern::Prefixed, name: "a".into() },
            says: Says {
                principal: "User:alice".into(),
                host: "*".into(),
                action: Action::Read,
                verdict: Verdict::Allow,
            },
        });
        let alice = Access::of(Arc::new(state), Arc::default(), Principal::user("alice"), "127.0.0.1".into());
        assert_eq!(alice.operations(topic("ab")), 1 << 3 | 1 << 8);
        assert_eq!(alice.operations(topic("b")), 0);
        assert_eq!(alice.check(Action::Write, topic("ab")), Err(Code::TopicAuthorizationFailed));
        assert!(alice.may_somewhere(Action::Read, Kind::Stream) && !alice.may_somewhere(Action::Write, Kind::Stream));
        let (may, may_not) = alice.split(Action::Read, vec!["b", "ac"], |name| topic(name));
        assert_eq!((may, may_not), (vec!["ac"], vec!["b"]));
    }
}
