//! Access rules, and the one function that decides by them. Pure.
//!
//! A rule allows or denies an action by a principal from an address on what a pattern names. What denies wins; an action
//! that is allowed implies lesser ones; without any rule for a thing a setting decides (KIP-11, KIP-140, KIP-290).

use std::collections::{BTreeMap, BTreeSet};

use super::{ANYWHERE, Action, EVERYBODY, EVERYTHING, Kind, Pattern, Principal, Resource, Verdict};

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    pub kind: Kind,
    pub pattern: Pattern,
    pub name: String,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Says {
    pub principal: String,
    /// An address, or `*`.
    pub host: String,
    pub action: Action,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub subject: Subject,
    pub says: Says,
}

/// A set of rules, found by what they are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    by_subject: BTreeMap<Subject, BTreeSet<Says>>,
    count: usize,
}

/// What decides where no rule does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Who may do everything, whatever the rules say.
    pub super_users: BTreeSet<String>,
    /// Whether everybody may do everything to what no rule is about (`allow.everyone.if.no.acl.found`).
    pub open_without_rules: bool,
}

/// Whether `principal`, coming from the address `host`, may do `action` to `resource`.
pub fn authorize(
    rules: &Rules,
    policy: &Policy,
    principal: &Principal,
    host: &str,
    action: Action,
    resource: Resource<'_>,
) -> bool {
    if policy.super_users.contains(principal.as_str()) {
        return true;
    }
    let (mut any, mut allowed) = (false, false);
    for says in rules.about(resource) {
        any = true;
        if !says.is_for(principal, host) {
            continue;
        }
        match says.verdict {
            Verdict::Deny if says.action == Action::All || says.action == action => return false,
            Verdict::Allow if implies(says.action, action) => allowed = true,
            Verdict::Deny | Verdict::Allow => {}
        }
    }
    allowed || (!any && policy.open_without_rules)
}

/// Whether there can be some thing of `kind` to which it is allowed (KIP-679: who may write to any stream may write
/// idempotently).
pub fn authorize_somewhere(
    rules: &Rules,
    policy: &Policy,
    principal: &Principal,
    host: &str,
    action: Action,
    kind: Kind,
) -> bool {
    if policy.super_users.contains(principal.as_str()) {
        return true;
    }
    let mut denied = BTreeSet::new();
    let mut allowed = Vec::new();
    for (subject, says) in
        rules.iterate().filter(|(subject, says)| subject.kind == kind && says.is_for(principal, host))
    {
        match says.verdict {
            Verdict::Deny if says.action == Action::All || says.action == action => {
                denied.insert((subject.pattern, subject.name.as_str()));
            }
            Verdict::Allow if implies(says.action, action) => allowed.push(subject),
            Verdict::Deny | Verdict::Allow => {}
        }
    }
    if denied.contains(&(Pattern::Literal, EVERYTHING)) {
        return false;
    }
    let covered = |name: &str| denied.iter().any(|(pattern, of)| *pattern == Pattern::Prefixed && name.starts_with(of));
    let open = |subject: &&Subject| match (subject.pattern, subject.name.as_str()) {
        (Pattern::Literal, EVERYTHING) => true,
        (Pattern::Literal, name) => !denied.contains(&(Pattern::Literal, name)) && !covered(name),
        (Pattern::Prefixed, name) => !covered(name),
    };
    policy.open_without_rules || allowed.iter().any(open)
}

/// Whether a rule that allows `given` allows `action`.
pub fn implies(given: Action, action: Action) -> bool {
    given == action
        || given == Action::All
        || match action {
            Action::Describe => {
                matches!(given, Action::Read | Action::Write | Action::Delete | Action::Alter)
            }
            Action::DescribeConfigs => given == Action::AlterConfigs,
            _ => false,
        }
}

impl Says {
    fn is_for(&self, principal: &Principal, host: &str) -> bool {
        (self.principal == principal.as_str() || self.principal == EVERYBODY)
            && (self.host == host || self.host == ANYWHERE)
    }
}

impl Rules {
    /// False if it is there already.
    pub fn insert(&mut self, rule: Rule) -> bool {
        let new = self.by_subject.entry(rule.subject).or_default().insert(rule.says);
        self.count += usize::from(new);
        new
    }

    pub fn remove(&mut self, rule: &Rule) -> bool {
        let Some(all) = self.by_subject.get_mut(&rule.subject) else { return false };
        let was = all.remove(&rule.says);
        if all.is_empty() {
            self.by_subject.remove(&rule.subject);
        }
        self.count -= usize::from(was);
        was
    }

    pub fn contains(&self, rule: &Rule) -> bool {
        self.by_subject.get(&rule.subject).is_some_and(|all| all.contains(&rule.says))
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// In order of what they are about.
    pub fn iterate(&self) -> impl Iterator<Item = (&Subject, &Says)> {
        self.by_subject.iter().flat_map(|(subject, all)| all.iter().map(move |says| (subject, says)))
    }

    /// Those that speak of `resource`: by its name, by `*`, and by what its name begins with.
    fn about(&self, resource: Resource<'_>) -> impl Iterator<Item = &Says> {
        let of =
            |pattern, name: &str| self.by_subject.get(&Subject { kind: resource.kind, pattern, name: name.into() });
        let mut found: Vec<&BTreeSet<Says>> = Vec::new();
        found.extend(of(Pattern::Literal, resource.name));
        if resource.name != EVERYTHING {
            found.extend(of(Pattern::Literal, EVERYTHING));
        }
        let prefix = |name: &str| Subject { kind: resource.kind, pattern: Pattern::Prefixed, name: name.into() };
        // Every prefix of a name sorts before it; what else stands there is looked at and passed over.
        for (subject, all) in self.by_subject.range(prefix("")..=prefix(resource.name)) {
            if resource.name.starts_with(&subject.name) {
                found.push(all);
            }
        }
        found.into_iter().flatten()
    }
}

/// Which rules are meant. `None`: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub kind: Option<Kind>,
    pub name: Option<String>,
    pub pattern: PatternFilter,
    pub principal: Option<String>,
    pub host: Option<String>,
    pub action: Option<Action>,
    pub verdict: Option<Verdict>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PatternFilter {
    #[default]
    Any,
    /// Those that speak of a thing of this name.
    Match,
    Is(Pattern),
}

impl Filter {
    pub fn matches(&self, subject: &Subject, says: &Says) -> bool {
        fn is<T: PartialEq>(want: &Option<T>, got: &T) -> bool {
            want.as_ref().is_none_or(|want| want == got)
        }
        let pattern = match self.pattern {
            PatternFilter::Any | PatternFilter::Match => true,
            PatternFilter::Is(pattern) => pattern == subject.pattern,
        };
        let name = self.name.as_ref().is_none_or(|name| match (self.pattern, subject.pattern) {
            (PatternFilter::Match, Pattern::Literal) => subject.name == *name || subject.name == EVERYTHING,
            (PatternFilter::Match, Pattern::Prefixed) => name.starts_with(&subject.name),
            (PatternFilter::Any | PatternFilter::Is(_), _) => subject.name == *name,
        });
        is(&self.kind, &subject.kind)
            && pattern
            && name
            && is(&self.principal, &says.principal)
            && is(&self.host, &says.host)
            && is(&self.action, &says.action)
            && is(&self.verdict, &says.verdict)
    }
}
