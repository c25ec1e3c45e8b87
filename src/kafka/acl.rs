//! Access rules as Kafka's requests write them: numbers and names that become rules and filters of `auth`, and back. Pure;
//! nothing is stored or looked up here.

use crate::auth::rules::{Filter, PatternFilter, Rule, Says, Subject};
use crate::auth::{Action, CLUSTER, Kind, Pattern, Verdict};
use crate::kafka::error::{Code, Refusal};

/// What no request may say: such a request is not read at all, as in Kafka.
const UNKNOWN: i8 = 0;
/// In filters: all of them.
const ANY: i8 = 1;
/// In filters: every pattern that a name falls under.
const MATCH: i8 = 2;
/// Longer names are nobody's.
const NAME_LIMIT_BYTES: usize = 1024;

/// A rule, or a filter of rules, as it came.
#[derive(Clone, Debug, Default)]
pub struct Said {
    pub kind: i8,
    pub pattern: i8,
    pub name: Option<String>,
    pub principal: Option<String>,
    pub host: Option<String>,
    pub action: i8,
    pub verdict: i8,
}

impl Said {
    /// Whether the request that says this can be read.
    pub fn is_readable(&self) -> bool {
        ![self.kind, self.pattern, self.action, self.verdict].contains(&UNKNOWN)
    }

    /// A rule that may stand.
    pub fn rule(self) -> Result<Rule, Refusal> {
        let invalid = |why: String| Refusal::new(Code::InvalidRequest, why);
        let text = |text: Option<String>| text.unwrap_or_default();
        let (name, principal, host) = (text(self.name), text(self.principal), text(self.host));
        let kind = Kind::of(self.kind);
        if kind == Some(Kind::Cluster) && name != CLUSTER {
            return Err(invalid(format!("The only valid name for the CLUSTER resource is {CLUSTER}")));
        }
        if name.is_empty() {
            return Err(invalid("Invalid empty resource name".into()));
        }
        let wrong = |what: &str, number: i8| {
            invalid(format!("Invalid {what} {}", if number == ANY { "ANY" } else { "UNKNOWN" }))
        };
        let kind = kind.ok_or_else(|| wrong("resourceType", self.kind))?;
        let pattern = Pattern::of(self.pattern).ok_or_else(|| match self.pattern {
            MATCH => invalid("Invalid patternType MATCH".into()),
            number => wrong("patternType", number),
        })?;
        let action = Action::of(self.action).ok_or_else(|| wrong("operation", self.action))?;
        let verdict = Verdict::of(self.verdict).ok_or_else(|| wrong("permissionType", self.verdict))?;
        if !principal.contains(':') {
            return Err(invalid(format!(
                "Could not parse principal from `{principal}` (no colon is present separating the principal type from the \
                 principal name)"
            )));
        }
        if [&name, &principal, &host].iter().any(|text| text.len() > NAME_LIMIT_BYTES) {
            return Err(invalid(format!("A name is longer than {NAME_LIMIT_BYTES} bytes.")));
        }
        Ok(Rule { subject: Subject { kind, pattern, name }, says: Says { principal, host, action, verdict } })
    }

    /// Which rules are meant; the error says which half nothing can fit.
    pub fn filter(self) -> Result<Filter, &'static str> {
        fn one<T>(number: i8, of: impl Fn(i8) -> Option<T>, else_: &'static str) -> Result<Option<T>, &'static str> {
            if number == ANY { Ok(None) } else { of(number).map(Some).ok_or(else_) }
        }
        const PATTERN: &str = "Unknown patternFilter.";
        const ENTRY: &str = "Unknown entryFilter.";
        Ok(Filter {
            kind: one(self.kind, Kind::of, PATTERN)?,
            pattern: match self.pattern {
                MATCH => PatternFilter::Match,
                number => one(number, Pattern::of, PATTERN)?.map_or(PatternFilter::Any, PatternFilter::Is),
            },
            name: self.name,
            principal: self.principal,
            host: self.host,
            action: one(self.action, Action::of, ENTRY)?,
            verdict: one(self.verdict, Verdict::of, ENTRY)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: i8, pattern: i8, name: &str, principal: &str, action: i8, verdict: i8) -> Said {
        let text = |text: &str| Some(text.to_owned());
        Said { kind, pattern, name: text(name), principal: text(principal), host: text("*"), action, verdict }
    }

    #[test]
    fn rules_that_cannot_stand_are_refused_in_kafkas_words() {
        for (said, why) in [
            (said(2, 3, "t", "User:a", 3, 3), None),
            (said(4, 3, "kafka-cluster", "User:a", 9, 2), None),
            (
                said(4, 3, "other", "User:a", 9, 3),
                Some("The only valid name for the CLUSTER resource is kafka-cluster"),
            ),
            (said(2, 3, "", "User:a", 3, 3), Some("Invalid empty resource name")),
            (said(1, 3, "t", "User:a", 3, 3), Some("Invalid resourceType ANY")),
            (said(99, 3, "t", "User:a", 3, 3), Some("Invalid resourceType UNKNOWN")),
            (said(2, 1, "t", "User:a", 3, 3), Some("Invalid patternType ANY")),
            (said(2, 2, "t", "User:a", 3, 3), Some("Invalid patternType MATCH")),
            (said(2, 3, "t", "User:a", 1, 3), Some("Invalid operation ANY")),
            (said(2, 3, "t", "User:a", 3, 1), Some("Invalid permissionType ANY")),
            (
                said(2, 3, "t", "alice", 3, 3),
                Some(
                    "Could not parse principal from `alice` (no colon is present separating the principal type from the \
                      principal name)",
                ),
            ),
        ] {
            let refused = said.clone().rule().err();
            assert_eq!(refused.as_ref().map(|refusal| &*refusal.message), why, "{said:?}");
            assert!(refused.is_none_or(|refusal| refusal.code == Code::InvalidRequest));
        }
    }

    #[test]
    fn filters_take_any_and_match_and_no_strangers() {
        let all = Said { kind: 1, pattern: 1, action: 1, verdict: 1, ..Said::default() };
        assert_eq!(all.clone().filter(), Ok(Filter::default()));
        let matching = Said { pattern: 2, ..all.clone() }.filter().map(|filter| filter.pattern);
        assert_eq!(matching, Ok(PatternFilter::Match));
        assert_eq!(Said { pattern: 9, ..all.clone() }.filter(), Err("Unknown patternFilter."));
        assert_eq!(Said { action: 99, ..all.clone() }.filter(), Err("Unknown entryFilter."));
        assert!(all.is_readable() && !Said { action: 0, ..all }.is_readable());
    }
}
