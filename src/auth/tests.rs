//! The RFCs' own exchanges, what must be refused, the whole matrix of rules, and the laws of the machine.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::machine::{Auth, Command, Reply};
use super::rules::{
    Filter, PatternFilter, Policy, Rule, Rules, Says, Subject, authorize, authorize_somewhere, implies,
};
use super::scram::{Credential, Failed, First, Mechanism, xor};
use super::tokens::{self, Lifetimes, Refused, Token};
use super::{Action, Kind, Pattern, Principal, Resource, Verdict};
use crate::ids::Timestamp;
use crate::ledger::laws::{Bench, check_compaction};

// ── SCRAM

/// RFC 7677, section 3.
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const OURS: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const LAST: &str =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

fn pencil(mechanism: Mechanism) -> Credential {
    let salt = Bytes::from(STANDARD.decode(SALT).expect("base64"));
    Credential::of_password(mechanism, "pencil", salt, 4096)
}

#[test]
fn the_exchange_of_rfc_7677_is_reproduced() {
    let first = First::parse(FIRST.as_bytes()).expect("the RFC's own");
    assert_eq!((first.user.as_str(), first.by_token), ("user", false));
    let (challenge, exchange) = first.challenge(pencil(Mechanism::Sha256), OURS);
    assert_eq!(
        String::from_utf8_lossy(&challenge),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let last = exchange.finish(LAST.as_bytes()).expect("the RFC's proof");
    assert_eq!(String::from_utf8_lossy(&last), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn a_first_message_is_refused_for_what_is_wrong_with_it() {
    for (message, why) in [
        ("", Failed::Malformed),
        ("n,,", Failed::Malformed),
        ("n,,n=user", Failed::Malformed),
        ("n,,n=user,r=", Failed::Malformed),
        ("n,,n=,r=abc", Failed::Malformed),
        ("n,,n=us=er,r=abc", Failed::Malformed),
        ("n,,n=user,r=a\x7fb", Failed::Malformed),
        ("n,,m=ext,n=user,r=abc", Failed::Malformed),
        ("x,,n=user,r=abc", Failed::Malformed),
        ("p=tls-unique,,n=user,r=abc", Failed::ChannelBinding),
        ("n,a=root,n=user,r=abc", Failed::AuthorizationId),
    ] {
        assert_eq!(First::parse(message.as_bytes()), Err(why), "{message}");
    }
    assert_eq!(First::parse(b"n,a=a=3Db,n=a=3Db,r=abc").expect("fine").user, "a=b");
    assert!(First::parse(b"n,,n=token,r=abc,tokenauth=true").expect("fine").by_token);
}

#[test]
fn a_last_message_is_refused_for_what_is_wrong_with_it() {
    let first = First::parse(FIRST.as_bytes()).expect("fine");
    let (_, exchange) = first.challenge(pencil(Mechanism::Sha256), OURS);
    let nonce = format!("rOprNGfwEbeRWgbNEkqO{OURS}");
    let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    for (message, why) in [
        (format!("c=biws,r=rOprNGfwEbeRWgbNEkqO,p={proof}"), Failed::Nonce),
        (format!("c=biws,r={OURS},p={proof}"), Failed::Nonce),
        (format!("c=biws,r={nonce}x,p={proof}"), Failed::Nonce),
        (format!("c=eSws,r={nonce},p={proof}"), Failed::ChannelBinding),
        (format!("c=biws,r={nonce},p={}", proof.replace('d', "e")), Failed::Proof),
        (format!("c=biws,r={nonce},p=AAAA"), Failed::Proof),
        (format!("c=biws,r={nonce}"), Failed::Malformed),
        (format!("c=biws,r={nonce},p=%"), Failed::Malformed),
    ] {
        assert_eq!(exchange.finish(message.as_bytes()), Err(why), "{message}");
    }
}

#[test]
fn a_client_may_say_its_own_nonce_twice() {
    for (nonce, fine) in [
        (format!("rOprNGfwEbeRWgbNEkqOrOprNGfwEbeRWgbNEkqO{OURS}"), true),
        (format!("xOprNGfwEbeRWgbNEkqOrOprNGfwEbeRWgbNEkqO{OURS}"), false),
        (format!("rOprNGfwEbeRWgbNEkqOrOprNGfwEbeRWgbNEkqOrOprNGfwEbeRWgbNEkqO{OURS}"), false),
    ] {
        let mechanism = Mechanism::Sha256;
        let (challenge, exchange) = First::parse(FIRST.as_bytes()).expect("fine").challenge(pencil(mechanism), OURS);
        let challenge = String::from_utf8(challenge).expect("text");
        let last = format!("c=biws,r={nonce}");
        let signed = format!("{},{challenge},{last}", FIRST.trim_start_matches("n,,"));
        let pencil = pencil(mechanism);
        let client_key =
            mechanism.hmac(&mechanism.salted(b"pencil", &pencil.salt, pencil.iterations), &[b"Client Key"]);
        let mut proof = mechanism.hmac(&pencil.stored_key, &[signed.as_bytes()]);
        xor(&mut proof, &client_key);
        let answer = exchange.finish(format!("{last},p={}", STANDARD.encode(&proof)).as_bytes());
        assert_eq!(answer.err(), (!fine).then_some(Failed::Nonce), "{nonce}");
    }
}

#[test]
fn a_password_fits_its_own_credential_only() {
    for mechanism in Mechanism::ALL {
        assert!(pencil(mechanism).fits_password("pencil"));
        assert!(!pencil(mechanism).fits_password("Pencil"));
        assert!(!Credential::of_nobody(mechanism, b"secret", "user").fits_password("pencil"));
    }
}

#[test]
fn nobody_looks_the_same_every_time() {
    let nobody = |name| Credential::of_nobody(Mechanism::Sha512, b"secret", name);
    assert!(nobody("a") == nobody("a"));
    assert!(nobody("a").salt != nobody("b").salt);
}

#[test]
fn what_is_printed_of_a_credential_has_no_secret() {
    assert_eq!(format!("{:?}", pencil(Mechanism::Sha256)), "Credential(SCRAM-SHA-256, i=4096)");
}

// ── rules

fn rule(kind: Kind, pattern: Pattern, name: &str, who: &str, host: &str, action: Action, verdict: Verdict) -> Rule {
    let subject = Subject { kind, pattern, name: name.into() };
    Rule { subject, says: Says { principal: who.into(), host: host.into(), action, verdict } }
}

fn rules(of: impl IntoIterator<Item = Rule>) -> Rules {
    let mut rules = Rules::default();
    of.into_iter().for_each(|rule| assert!(rules.insert(rule)));
    rules
}

fn alice() -> Principal {
    Principal::user("alice")
}

/// Every verdict × kind × pattern × granted action × asked action, against a few lines that say the same in other words.
#[test]
fn the_whole_matrix_of_single_rules() {
    let (mut cells, policy) = (0, Policy::default());
    for &kind in Kind::ALL {
        for (pattern, name) in [
            (Pattern::Literal, "orders"),
            (Pattern::Literal, "*"),
            (Pattern::Literal, "ord"),
            (Pattern::Literal, "other"),
            (Pattern::Prefixed, "ord"),
            (Pattern::Prefixed, "orders"),
            (Pattern::Prefixed, "orders1"),
            (Pattern::Prefixed, "*"),
        ] {
            let speaks =
                matches!((pattern, name), (Pattern::Literal, "orders" | "*") | (Pattern::Prefixed, "ord" | "orders"));
            for (who, host) in [
                ("User:alice", "1.1.1.1"),
                ("User:alice", "*"),
                ("User:*", "*"),
                ("User:bob", "*"),
                ("User:alice", "2.2.2.2"),
            ] {
                let hers = who != "User:bob" && host != "2.2.2.2";
                for &given in Action::ALL {
                    for &asked in Action::ALL.iter().filter(|action| **action != Action::All) {
                        for &asked_kind in Kind::ALL {
                            let granted = given == asked
                                || given == Action::All
                                || (asked == Action::Describe
                                    && [Action::Read, Action::Write, Action::Delete, Action::Alter].contains(&given))
                                || (asked == Action::DescribeConfigs && given == Action::AlterConfigs);
                            let resource = Resource { kind: asked_kind, name: "orders" };
                            let allow = rule(kind, pattern, name, who, host, given, Verdict::Allow);
                            let got = authorize(&rules([allow]), &policy, &alice(), "1.1.1.1", asked, resource);
                            let want = speaks && hers && granted && kind == asked_kind;
                            assert_eq!(got, want, "{kind:?} {pattern:?} {name} {who} {host} {given:?} {asked:?}");
                            // Beside a rule that allows everything, one that denies.
                            let all =
                                rule(asked_kind, Pattern::Literal, "*", "User:*", "*", Action::All, Verdict::Allow);
                            let deny = rule(kind, pattern, name, who, host, given, Verdict::Deny);
                            let got = authorize(&rules([all, deny]), &policy, &alice(), "1.1.1.1", asked, resource);
                            let hit = given == asked || given == Action::All;
                            assert_eq!(got, !(speaks && hers && hit && kind == asked_kind), "deny {given:?} {asked:?}");
                            cells += 2;
                        }
                    }
                }
            }
        }
    }
    assert!(cells > 50_000, "{cells}");
}

#[test]
fn what_no_rule_is_about_is_denied_unless_configured() {
    let orders = Resource { kind: Kind::Stream, name: "orders" };
    let closed = Policy::default();
    let open = Policy { open_without_rules: true, ..Policy::default() };
    let none = Rules::default();
    let bobs = rules([rule(Kind::Stream, Pattern::Prefixed, "ord", "User:bob", "*", Action::Read, Verdict::Allow)]);
    for (rules, policy, want) in
        [(&none, &closed, false), (&none, &open, true), (&bobs, &closed, false), (&bobs, &open, false)]
    {
        assert_eq!(authorize(rules, policy, &alice(), "h", Action::Read, orders), want, "{policy:?}");
    }
}

#[test]
fn a_super_user_may_do_what_is_denied() {
    let policy = Policy { super_users: ["User:alice".to_owned()].into(), ..Policy::default() };
    let deny = rules([rule(Kind::Cluster, Pattern::Literal, "*", "User:*", "*", Action::All, Verdict::Deny)]);
    assert!(authorize(&deny, &policy, &alice(), "h", Action::Alter, Resource::THE_CLUSTER));
    assert!(!authorize(&deny, &policy, &Principal::user("bob"), "h", Action::Alter, Resource::THE_CLUSTER));
}

#[test]
fn somewhere_is_where_no_denial_covers_it() {
    use Pattern::{Literal, Prefixed};
    use Verdict::{Allow, Deny};
    for (given, want) in [
        (&[(Literal, "a", Allow)][..], true),
        (&[], false),
        (&[(Literal, "a", Allow), (Literal, "a", Deny)], false),
        (&[(Literal, "a", Allow), (Literal, "b", Deny)], true),
        (&[(Literal, "ab", Allow), (Prefixed, "a", Deny)], false),
        (&[(Prefixed, "ab", Allow), (Prefixed, "a", Deny)], false),
        (&[(Prefixed, "a", Allow), (Prefixed, "ab", Deny)], true),
        (&[(Literal, "*", Allow), (Prefixed, "a", Deny)], true),
        (&[(Literal, "*", Allow), (Literal, "*", Deny)], false),
    ] {
        let of = given.iter().map(|(pattern, name, verdict)| {
            rule(Kind::Stream, *pattern, name, "User:alice", "*", Action::Write, *verdict)
        });
        let got = authorize_somewhere(&rules(of), &Policy::default(), &alice(), "h", Action::Write, Kind::Stream);
        assert_eq!(got, want, "{given:?}");
    }
}

#[test]
fn filters_find_what_they_mean() {
    let mut all = Vec::new();
    for (pattern, name) in [
        (Pattern::Literal, "foo"),
        (Pattern::Literal, "*"),
        (Pattern::Literal, "f"),
        (Pattern::Prefixed, "f"),
        (Pattern::Prefixed, "foo"),
    ] {
        all.push(rule(Kind::Stream, pattern, name, "User:a", "*", Action::Read, Verdict::Allow));
    }
    let rules = rules(all);
    let found = |pattern, name: Option<&str>| {
        let filter = Filter { pattern, name: name.map(str::to_owned), ..Filter::default() };
        let found = rules.iterate().filter(|(subject, says)| filter.matches(subject, says));
        found
            .map(|(s, _)| format!("{}{}", if s.pattern == Pattern::Literal { "=" } else { "^" }, s.name))
            .collect::<Vec<_>>()
    };
    for (pattern, name, want) in [
        (PatternFilter::Any, None, &["=*", "=f", "=foo", "^f", "^foo"][..]),
        (PatternFilter::Any, Some("foo"), &["=foo", "^foo"]),
        (PatternFilter::Match, Some("foo"), &["=*", "=foo", "^f", "^foo"]),
        (PatternFilter::Match, Some("fo"), &["=*", "^f"]),
        (PatternFilter::Match, None, &["=*", "=f", "=foo", "^f", "^foo"]),
        (PatternFilter::Is(Pattern::Literal), Some("foo"), &["=foo"]),
        (PatternFilter::Is(Pattern::Prefixed), None, &["^f", "^foo"]),
        (PatternFilter::Is(Pattern::Literal), Some("*"), &["=*"]),
    ] {
        assert_eq!(found(pattern, name), want, "{pattern:?} {name:?}");
    }
    assert!(implies(Action::All, Action::TwoPhaseCommit));
}

// ── the machine

#[test]
fn the_machine_keeps_the_laws_whatever_is_asked() {
    let mut chance = fastrand::Rng::with_seed(5);
    let mut bench = Bench::<Auth>::new(Timestamp(0));
    for _ in 0..300 {
        let user = format!("u{}", chance.u8(0..5));
        let mechanism = *chance.choice(&Mechanism::ALL).expect("two");
        let name = format!("n{}", chance.u8(0..4));
        let (kind, action) =
            (Kind::ALL[chance.usize(..Kind::ALL.len())], Action::ALL[chance.usize(..Action::ALL.len())]);
        let rule = rule(kind, Pattern::Literal, &name, "User:a", "*", action, Verdict::Allow);
        if chance.u8(0..8) == 0 {
            bench.pass(chance.i64(0..4_000_000));
        }
        match chance.u8(0..6) {
            5 => {
                let (id, by) = (format!("t{}", chance.u8(0..9)), "User:a".to_owned());
                let period_ms = chance.i64(-5..20_000_000);
                let lifetimes = Lifetimes { max_ms: 15_000_000, renew_ms: 10_000_000 };
                bench.call(Command::Token(match chance.u8(0..3) {
                    0 => create(&id, "User:a", &[], period_ms, lifetimes),
                    1 => tokens::Command::Renew { id, by, period_ms, lifetimes },
                    _ => tokens::Command::Expire { id, by, period_ms },
                }));
            }
            0 => {
                let credential = Credential::of_nobody(mechanism, &[chance.u8(..)], &user);
                let command = Command::Credentials { user, set: vec![credential], remove: vec![] };
                assert_eq!(bench.call(command), Reply::Done);
            }
            1 => {
                bench.call(Command::Credentials { user, set: vec![], remove: vec![mechanism] });
            }
            2 | 3 => assert_eq!(bench.call(Command::Allow(vec![rule.clone(), rule])), Reply::Allowed(vec![true, true])),
            _ => {
                let filter = Filter { kind: Some(kind), ..Filter::default() };
                bench.call(Command::Forget(vec![filter]));
            }
        }
    }
    bench.check_laws();
    check_compaction::<Auth>(&bench.log, &bench.state);
}

#[test]
fn what_is_not_there_cannot_be_removed() {
    let mut bench = Bench::<Auth>::new(Timestamp(0));
    let command = |set, remove| Command::Credentials { user: "u".into(), set, remove };
    assert_eq!(bench.call(command(vec![], vec![Mechanism::Sha256])), Reply::NoSuchCredential);
    assert_eq!(bench.call(command(vec![pencil(Mechanism::Sha256)], vec![])), Reply::Done);
    // All or nothing: the one that is there stays.
    assert_eq!(bench.call(command(vec![], Mechanism::ALL.to_vec())), Reply::NoSuchCredential);
    assert_eq!(bench.state.credentials.len(), 1);
    bench.restart();
    assert!(bench.state.of_user("u").all(|credential| credential.fits_password("pencil")));
    let log = format!("{:?}", bench.log);
    assert!(!log.contains("pencil"), "a password stands in the log");
}

// ── delegation tokens

fn create(id: &str, owner: &str, renewers: &[&str], max_ms: i64, lifetimes: Lifetimes) -> tokens::Command {
    tokens::Command::Create {
        id: id.into(),
        owner: owner.into(),
        requester: "User:asker".into(),
        renewers: renewers.iter().map(|name| (*name).to_owned()).collect(),
        max_ms,
        lifetimes,
    }
}

const LIFETIMES: Lifetimes = Lifetimes { max_ms: 1000, renew_ms: 100 };

/// The times of a token, or why there is none.
fn told(reply: Reply) -> Result<Option<(i64, i64)>, Refused> {
    let Reply::Token(told) = reply else { panic!("{reply:?}") };
    told.map(|token| token.map(|token| (token.expires.0, token.latest.0)))
}

#[test]
fn a_token_lives_as_long_as_is_asked_and_configured() {
    for (max_ms, lifetimes, want) in [
        (-1, LIFETIMES, (150, 1050)),
        (0, LIFETIMES, (150, 1050)),
        (60, LIFETIMES, (110, 110)),
        (500, LIFETIMES, (150, 550)),
        (i64::MAX, LIFETIMES, (150, 1050)),
        (i64::MAX, Lifetimes { max_ms: i64::MAX, renew_ms: i64::MAX }, (i64::MAX, i64::MAX)),
    ] {
        let mut bench = Bench::<Auth>::new(Timestamp(50));
        let made = bench.call(Command::Token(create("t", "User:a", &[], max_ms, lifetimes)));
        assert_eq!(told(made), Ok(Some(want)), "{max_ms}");
        bench.check_laws();
    }
}

#[test]
fn a_token_is_renewed_and_ended_by_its_owner_and_renewers_only() {
    for (by, wants) in [
        ("User:a", Ok(())),
        ("User:r", Ok(())),
        ("User:asker", Err(Refused::NotYours)),
        ("User:b", Err(Refused::NotYours)),
    ] {
        let mut bench = Bench::<Auth>::new(Timestamp(0));
        bench.call(Command::Token(create("t", "User:a", &["User:r"], -1, LIFETIMES)));
        bench.pass(40);
        let renew =
            |period_ms| tokens::Command::Renew { id: "t".into(), by: by.into(), period_ms, lifetimes: LIFETIMES };
        let expire = |period_ms| tokens::Command::Expire { id: "t".into(), by: by.into(), period_ms };
        for (command, want) in [
            (renew(-1), Some((140, 1000))),
            (renew(10), Some((50, 1000))),
            (renew(5000), Some((140, 1000))),
            (expire(20), Some((60, 1000))),
            (expire(5000), Some((1000, 1000))),
            (expire(-1), None),
        ] {
            let name = format!("{by} {command:?}");
            assert_eq!(told(bench.call(Command::Token(command))), wants.map(|()| want), "{name}");
        }
        let gone = told(bench.call(Command::Token(renew(-1))));
        assert_eq!(gone, Err(wants.err().unwrap_or(Refused::NotFound)));
        bench.check_laws();
    }
}

#[test]
fn an_expired_token_is_of_no_use_and_goes_when_it_is_looked_for() {
    let mut bench = Bench::<Auth>::new(Timestamp(0));
    bench.scratch.sweep_ms = 500;
    bench.call(Command::Token(create("t", "User:a", &[], -1, LIFETIMES)));
    bench.call(Command::Token(create("u", "User:a", &[], -1, Lifetimes { max_ms: 900, renew_ms: 900 })));
    bench.pass(100);
    let renew = || {
        let (id, by) = ("t".to_owned(), "User:a".to_owned());
        Command::Token(tokens::Command::Renew {
            id,
            by,
            period_ms: 0,
            lifetimes: Lifetimes { renew_ms: 0, ..LIFETIMES },
        })
    };
    // Up to its last instant it is good.
    assert_eq!(told(bench.call(renew())), Ok(Some((100, 1000))));
    bench.pass(1);
    assert_eq!(told(bench.call(renew())), Err(Refused::Expired));
    assert_eq!(bench.state.tokens.len(), 2);
    bench.pass(500);
    assert_eq!(bench.state.tokens.keys().map(|id| &**id).collect::<Vec<_>>(), ["u"]);
    bench.restart();
    bench.scratch.sweep_ms = 500;
    bench.pass(10_000_000);
    assert!(bench.state.tokens.is_empty());
    bench.check_laws();
    check_compaction::<Auth>(&bench.log, &bench.state);
}

#[test]
fn a_tokens_secret_is_not_in_the_log() {
    let mut bench = Bench::<Auth>::new(Timestamp(0));
    bench.call(Command::Token(create("t", "User:a", &["User:r"], -1, LIFETIMES)));
    let value = bench.log[0].value.clone().expect("a value");
    assert_eq!(&value[..], br#"["User:a","User:asker",["User:r"],0,100,1000]"#);
    bench.restart();
    let token: &Token = &bench.state.tokens["t"];
    assert!(token.concerns("User:asker") && token.concerns("User:r") && !token.concerns("User:b"));
}
