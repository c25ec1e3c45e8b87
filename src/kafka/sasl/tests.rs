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
