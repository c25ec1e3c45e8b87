//! Who may do what: principals, what they do, and to what; the rules that decide it, and the credentials by which a
//! principal is known. Shared by the façades. Pure: no IO, no clock, no chance; no password is kept anywhere here, only
//! what SCRAM's server keeps.

pub mod jwt;
pub mod machine;
pub mod rules;
pub mod scram;
pub mod tokens;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

/// Somebody, as rules name them: a type and a name, `User:alice`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

/// What a rule says instead of one principal: all of them.
pub const EVERYBODY: &str = "User:*";
/// What a rule says instead of one address: all of them.
pub const ANYWHERE: &str = "*";
/// What a rule says instead of one name: all of them.
pub const EVERYTHING: &str = "*";

impl Principal {
    pub fn user(name: &str) -> Principal {
        Principal(format!("User:{name}").into())
    }

    /// Of any type.
    pub fn of(kind: &str, name: &str) -> Principal {
        Principal(format!("{kind}:{name}").into())
    }

    /// Who did not say who they are.
    pub fn anonymous() -> Principal {
        Principal::user("ANONYMOUS")
    }

    /// From `Type:name`.
    pub fn parse(text: &str) -> Option<Principal> {
        let (kind, name) = text.split_once(':')?;
        (!kind.is_empty() && !name.is_empty()).then(|| Principal(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its type alone.
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or("", |(kind, _)| kind)
    }

    /// Without its type.
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Declares an enum whose variants have fixed numbers: those of Kafka's access rules (KIP-140, KIP-290), which are what our
/// own records hold too.
macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$doc])* $variant = $number,)*
        }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),*];

            pub fn number(self) -> i8 {
                self as i8
            }

            pub fn of(number: i8) -> Option<$name> {
                Self::ALL.iter().copied().find(|one| one.number() == number)
            }
        }
    };
}

numbered! {
    /// What is done.
    Action {
        /// In rules only: every one of the others.
        All = 2,
        Read = 3,
        Write = 4,
        Create = 5,
        Delete = 6,
        Alter = 7,
        Describe = 8,
        ClusterAction = 9,
        DescribeConfigs = 10,
        AlterConfigs = 11,
        IdempotentWrite = 12,
        CreateTokens = 13,
        DescribeTokens = 14,
        TwoPhaseCommit = 15,
    }
}

numbered! {
    /// To what kind of thing it is done.
    Kind {
        Stream = 2,
        Group = 3,
        Cluster = 4,
        Transaction = 5,
        Token = 6,
        User = 7,
    }
}

numbered! {
    /// How a rule's name stands for names.
    Pattern {
        /// For itself; `*` for all.
        Literal = 3,
        /// For all that begin with it.
        Prefixed = 4,
    }
}

numbered! {
    Verdict {
        Deny = 2,
        Allow = 3,
    }
}

/// The name of the one cluster, as rules have it.
pub const CLUSTER: &str = "kafka-cluster";

/// One thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    pub kind: Kind,
    pub name: &'a str,
}

impl Resource<'_> {
    pub const THE_CLUSTER: Resource<'static> = Resource { kind: Kind::Cluster, name: CLUSTER };
}
