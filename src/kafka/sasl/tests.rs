//! Logins, step by step, and what bars the way.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

struct One;

impl Users for One {
    fn credential(&self, mechanism: Mechanism, user: &str) -> Credential {
        let salt = Bytes::from(STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64"));
        match user {
            "user" => Credential::of_password(mechanism, "pencil", salt, 4096),
            other => Credential::of_nobody(mechanism, b"s", other),
        }
    }

    fn has_password(&self, user: &str, password: &str) -> bool {
        (user, password) == ("user", "pencil") || (user, password) == ("other", "pen")
    }

    fn token(&self, mechanism: Mechanism, id: &str, now: Timestamp) -> Option<(Credential, TokenLogin)> {
        let login = TokenLogin { owner: "owner".into(), expires: NOW.plus_ms(500) };
        (id == "user" && now <= login.expires).then(|| (self.credential(mechanism, "user"), login))
    }

    fn bearer(&self, token: &str, _: Timestamp) -> Option<Bearer> {
        (token == "a.good-1_token").then(|| Bearer { user: "joe".into(), expires: NOW.plus_ms(700) })
    }
}

const NOW: Timestamp = Timestamp(1000);

fn say(login: &mut Login, token: &[u8], session_ms: i64) -> Result<Said, Refused> {
    login.token(token, &One, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", NOW, session_ms)
}

fn chosen(mechanism: &str) -> Login {
    let mut login = Login::new(true);
    login.choose(mechanism, 1, &Method::ALL).expect("enabled");
    login
}

#[test]
fn before_somebody_is_known_three_apis_are_open() {
    let open = |login: &Login| (0..100).filter(|key| login.gate(*key, NOW).is_ok()).collect::<Vec<i16>>();
    assert_eq!(open(&Login::new(true)), [17, 18, 36]);
    assert_eq!(open(&chosen("PLAIN")), [17, 18, 36]);
    let mut failed = chosen("PLAIN");
    say(&mut failed, b"\0user\0wrong", 0).expect_err("wrong");
    assert_eq!(open(&failed), [17, 18, 36]);
    assert_eq!(open(&Login::new(false)).len(), 100);
}

#[test]
fn plain_tokens() {
    for (token, fine) in [
        (&b"\0user\0pencil"[..], true),
        (b"user\0user\0pencil", true),
        (b"root\0user\0pencil", false),
        (b"\0user\0pencil\0", false),
        (b"\0user\0wrong", false),
        (b"\0nobody\0pencil", false),
        (b"\0\0pencil", false),
        (b"\0user\0", false),
        (b"user pencil", false),
        (b"\0\xff\0pencil", false),
        (b"", false),
    ] {
        let mut login = chosen("PLAIN");
        let said = say(&mut login, token, 0);
        assert_eq!(said.is_ok(), fine, "{token:?}");
        assert_eq!((login.is_known(), login.has_failed()), (fine, !fine));
        assert_eq!(login.principal().map(Principal::as_str), fine.then_some("User:user"));
    }
}

#[test]
fn scram_goes_two_rounds() {
    let mut login = chosen("SCRAM-SHA-256");
    let said = say(&mut login, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", 0).expect("a challenge");
    assert!(said.bytes.ends_with(b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
    assert!(!login.is_known());
    let last =
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(
        &say(&mut login, last, 0).expect("RFC 7677").bytes[..],
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    );
    assert!(login.is_known());
}

#[test]
fn who_is_not_there_is_challenged_like_everybody() {
    let mut login = chosen("SCRAM-SHA-256");
    say(&mut login, b"n,,n=nobody,r=abc", 0).expect("a challenge");
    assert!(!login.has_failed());
    let proof = STANDARD.encode([7; 32]);
    let last = format!("c=biws,r=abc%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p={proof}");
    assert_eq!(say(&mut login, last.as_bytes(), 0), Err(Refused::Credentials));
    assert!(login.has_failed());
}

#[test]
fn what_comes_out_of_turn_is_refused() {
    let mut login = Login::new(true);
    assert_eq!(say(&mut login, b"\0user\0pencil", 0), Err(Refused::State));
    assert!(login.has_failed());
    let mut login = Login::new(true);
    assert_eq!(login.choose("GSSAPI", 1, &Method::ALL), Err(Refused::Credentials));
    assert!(login.has_failed());
    let mut login = Login::new(true);
    assert_eq!(login.choose("PLAIN", 1, &[Method::Scram(Mechanism::Sha256)]), Err(Refused::Credentials));
    let mut login = chosen("PLAIN");
    assert_eq!(login.choose("PLAIN", 1, &Method::ALL), Err(Refused::State));
    // Where nobody has to be known, nothing is chosen and nothing fails.
    let mut login = Login::new(false);
    assert_eq!(login.choose("PLAIN", 1, &Method::ALL), Err(Refused::State));
    assert_eq!(say(&mut login, b"\0user\0pencil", 0), Err(Refused::State));
    assert!(login.is_known() && !login.has_failed());
}

#[test]
fn a_session_ends_unless_it_is_renewed_by_the_same_user_in_the_same_way() {
    let later = NOW.plus_ms(2000);
    let mut login = chosen("PLAIN");
    assert_eq!(say(&mut login, b"\0user\0pencil", 2000).expect("known").lifetime_ms, 2000);
    assert_eq!(login.gate(3, later.plus_ms(-1)), Ok(()));
    assert_eq!((login.gate(3, later), login.gate(17, later)), (Err(Barred::Expired), Ok(())));
    login.choose("PLAIN", 1, &Method::ALL).expect("again");
    assert_eq!(login.gate(3, NOW), Err(Barred::Unknown));
    login.token(b"\0user\0pencil", &One, "", later, 2000).expect("known anew");
    assert_eq!((login.gate(3, later), login.gate(3, later.plus_ms(2000))), (Ok(()), Err(Barred::Expired)));
    login.choose("PLAIN", 1, &Method::ALL).expect("again");
    assert_eq!(say(&mut login, b"\0other\0pen", 0), Err(Refused::Credentials));
    let mut login = chosen("PLAIN");
    say(&mut login, b"\0user\0pencil", 0).expect("known");
    assert_eq!(login.choose("SCRAM-SHA-256", 1, &Method::ALL), Err(Refused::Credentials));
}

#[test]
fn after_handshake_0_tokens_are_bare_until_somebody_is_known() {
    let mut login = Login::new(true);
    login.choose("PLAIN", 0, &Method::ALL).expect("enabled");
    assert!(login.is_raw());
    say(&mut login, b"\0user\0pencil", 0).expect("known");
    assert!(!login.is_raw());
}

#[test]
fn what_is_printed_of_a_login_has_no_secret() {
    let mut login = chosen("PLAIN");
    say(&mut login, b"\0user\0pencil", 0).expect("known");
    let mut scram = chosen("SCRAM-SHA-512");
    say(&mut scram, b"n,,n=user,r=abc", 0).expect("a challenge");
    for text in [format!("{login:?}"), format!("{scram:?}")] {
        assert!(!text.contains("pencil") && !text.contains("W22Z"), "{text}");
    }
}

/// RFC 7677's exchange, by somebody who says that it is by token.
fn scram_by_token(login: &mut Login, session_ms: i64) -> Result<Said, Refused> {
    let first = "n=user,r=rOprNGfwEbeRWgbNEkqO,tokenauth=true";
    let challenge = say(login, format!("n,,{first}").as_bytes(), session_ms)?;
    let challenge = String::from_utf8(challenge.bytes.to_vec()).expect("text");
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
    let mechanism = Mechanism::Sha256;
    let salted = mechanism.salted(b"pencil", &salt, 4096);
    let key = mechanism.hmac(&salted, &[b"Client Key"]);
    let stored = Credential::of_password(mechanism, "pencil", salt.into(), 4096).stored_key;
    let signature = mechanism.hmac(&stored, &[format!("{first},{challenge},{last}").as_bytes()]);
    let proof: Vec<u8> = key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    say(login, format!("{last},p={}", STANDARD.encode(proof)).as_bytes(), session_ms)
}

#[test]
fn a_delegation_token_logs_in_as_its_owner_until_it_expires() {
    for (session_ms, lifetime_ms) in [(0, 500), (2000, 500), (300, 300)] {
        let mut login = chosen("SCRAM-SHA-256");
        assert_eq!(scram_by_token(&mut login, session_ms).expect("known").lifetime_ms, lifetime_ms);
        assert_eq!(login.principal().map(Principal::as_str), Some("User:owner"));
        assert!(login.is_by_token());
        let end = NOW.plus_ms(lifetime_ms);
        assert_eq!((login.gate(3, end.plus_ms(-1)), login.gate(3, end)), (Ok(()), Err(Barred::Expired)));
    }
}

#[test]
fn a_delegation_token_that_is_not_there_or_too_old_is_refused() {
    let mut login = chosen("SCRAM-SHA-256");
    assert_eq!(say(&mut login, b"n,,n=other,r=abc,tokenauth=true", 0), Err(Refused::Credentials));
    let mut login = chosen("SCRAM-SHA-256");
    let first = b"n,,n=user,r=abc,tokenauth=true";
    assert_eq!(login.token(first, &One, "x", NOW.plus_ms(501), 0), Err(Refused::Credentials));
    assert!(login.has_failed());
}

fn oauth(message: &str) -> (Login, Result<Said, Refused>) {
    let mut login = chosen("OAUTHBEARER");
    let said = say(&mut login, message.replace('^', "\x01").as_bytes(), 0);
    (login, said)
}

#[test]
fn a_bearer_is_who_the_token_says_until_it_expires() {
    for message in [
        "n,,^auth=Bearer a.good-1_token^^",
        "n,a=joe,^auth=bearer   a.good-1_token^^",
        "n,,^scope=a b^auth=BEARER a.good-1_token^traceId=1^^",
    ] {
        let (login, said) = oauth(message);
        assert_eq!(said, Ok(Said { bytes: Bytes::new(), lifetime_ms: 700 }), "{message}");
        assert_eq!(login.principal().map(Principal::as_str), Some("User:joe"));
        assert_eq!(login.gate(3, NOW.plus_ms(700)), Err(Barred::Expired));
        assert!(!login.is_by_token());
    }
}

#[test]
fn a_bearers_message_that_is_none_ends_the_login() {
    for message in [
        "",
        "n,,^^",
        "n,,",
        "y,,^auth=Bearer a.good-1_token^^",
        "n,,^auth=Bearer a.good-1_token^",
        "n,,^auth=Basic a.good-1_token^^",
        "n,,^auth=Bearer ^^",
        "n,,^auth=Bearer a b^^",
        "n,,^auth=Bearer a/b^^",
        "n,,^auth=Bearer a.good-1_token^auth=Bearer a.good-1_token^^",
        "n,,^a1=x^auth=Bearer a.good-1_token^^",
        "n,,^scope=^auth=Bearer a.good-1_token^^",
        "n,a=ann,^auth=Bearer a.good-1_token^^",
        "n,b=joe,^auth=Bearer a.good-1_token^^",
    ] {
        let (login, said) = oauth(message);
        assert_eq!(said, Err(Refused::Credentials), "{message}");
        assert!(login.has_failed() && login.principal().is_none());
    }
}

#[test]
fn a_bearer_whose_token_is_not_taken_is_told_so_twice() {
    let (mut login, said) = oauth("n,,^auth=Bearer a.bad.token^^");
    assert_eq!(&said.expect("an answer").bytes[..], b"{\"status\":\"invalid_token\"}");
    assert!(!login.has_failed() && !login.is_known());
    assert_eq!(say(&mut login, b"\x01", 0), Err(Refused::Bearer));
    assert!(login.has_failed());
    // A second chance is a new connection.
    let (mut login, _) = oauth("n,,^auth=Bearer a.bad.token^^");
    assert_eq!(say(&mut login, b"n,,\x01auth=Bearer a.good-1_token\x01\x01", 0), Err(Refused::Bearer));
}
