//! Tokens signed here, by keys made here; the RFC's own; and everything that is wrong with others.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp(1_000_000_000);

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Somebody who signs tokens by Ed25519.
struct Maker(Ed25519KeyPair);

impl Maker {
    fn new(seed: u8) -> Maker {
        Maker(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed"))
    }

    fn jwk(&self, id: &str) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": base64(self.0.public_key().as_ref()) })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        format!("{signed}.{}", base64(self.0.sign(signed.as_bytes()).as_ref()))
    }
}

fn keys(all: &[Value]) -> Keys {
    Keys::parse(json!({ "keys": all }).to_string().as_bytes()).expect("keys")
}

fn demands() -> Demands {
    Demands {
        audience: vec!["kafka".into(), "other".into()],
        issuer: "https://issuer".into(),
        skew_ms: 30_000,
        scope_claim: "scope".into(),
        subject_claim: "sub".into(),
    }
}

fn claims() -> Value {
    let now_s = NOW.0 / 1000;
    json!({ "iss": "https://issuer", "aud": "kafka", "sub": "joe", "iat": now_s - 10, "exp": now_s + 60, "scope": "a b" })
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "kid": "k1", "typ": "JWT" })
}

#[test]
fn a_good_token_says_who_it_is_and_until_when() {
    let maker = Maker::new(1);
    let judged = judge(&maker.sign(&header(), &claims()), &keys(&[maker.jwk("k1")]), &demands(), NOW);
    assert_eq!(judged, Ok(Bearer { user: "joe".into(), expires: NOW.plus_ms(60_000) }));
}

/// RFC 7515, appendix A.2: RS256.
#[test]
fn the_rfcs_own_token_is_taken() {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR\
             T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS\
             -UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2et\
             hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc\
                 19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YK\
                 t_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb\
                 1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8\
                 np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let keys = keys(&[json!({ "kty": "RSA", "n": n, "e": "AQAB" })]);
    // The signature is right; what is missing is what we ask for beyond it.
    assert_eq!(judge(token, &keys, &demands(), Timestamp(1_300_819_379_000)), Err(Bad::Claim("iat")));
    let other = token.replace("cC4hiUPoj9", "cC4hiUPoj8");
    assert_eq!(judge(&other, &keys, &demands(), Timestamp(0)), Err(Bad::Signature));
}

#[test]
fn a_token_by_an_elliptic_curve_is_taken() {
    let random = SystemRandom::new();
    let secret = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, secret.as_ref(), &random).expect("a key");
    let point = pair.public_key().as_ref();
    let jwk =
        json!({ "kty": "EC", "crv": "P-256", "x": base64(&point[1..33]), "y": base64(&point[33..]), "use": "sig" });
    let signed = format!("{}.{}", base64(r#"{"alg":"ES256"}"#), base64(claims().to_string()));
    let signature = pair.sign(&random, signed.as_bytes()).expect("signed");
    let token = format!("{signed}.{}", base64(signature.as_ref()));
    assert!(judge(&token, &keys(&[jwk]), &demands(), NOW).is_ok());
}

#[test]
fn what_a_token_claims_has_to_be_what_is_asked_for() {
    let maker = Maker::new(1);
    let keys = keys(&[maker.jwk("k1")]);
    let now_s = NOW.0 / 1000;
    for (claim, value, want) in [
        ("exp", json!(now_s - 29), None),
        ("exp", json!(now_s - 30), Some(Bad::Claim("exp"))),
        ("exp", json!("tomorrow"), Some(Bad::Claim("exp"))),
        ("exp", json!(null), Some(Bad::Claim("exp"))),
        ("exp", json!(now_s as f64 + 60.5), None),
        ("exp", json!(1e300), None),
        ("exp", json!(now_s - 20), None),
        ("iat", json!(now_s + 61), Some(Bad::Claim("exp"))),
        ("iat", json!(-1), Some(Bad::Claim("exp"))),
        ("iat", json!("now"), Some(Bad::Claim("iat"))),
        ("nbf", json!(now_s + 30), None),
        ("nbf", json!(now_s + 31), Some(Bad::Claim("nbf"))),
        ("aud", json!("other"), None),
        ("aud", json!(["x", "kafka"]), None),
        ("aud", json!([]), Some(Bad::Claim("aud"))),
        ("aud", json!("x"), Some(Bad::Claim("aud"))),
        ("aud", json!(7), Some(Bad::Claim("aud"))),
        ("iss", json!("https://issuer/"), Some(Bad::Claim("iss"))),
        ("iss", json!(null), Some(Bad::Claim("iss"))),
        ("scope", json!(["a", "b"]), None),
        ("scope", json!([]), None),
        ("scope", json!(["a", "a"]), Some(Bad::Claim("scope"))),
        ("scope", json!(" "), Some(Bad::Claim("scope"))),
        ("scope", json!([1]), Some(Bad::Claim("scope"))),
        ("sub", json!(""), Some(Bad::Claim("sub"))),
        ("sub", json!(3), Some(Bad::Claim("sub"))),
        ("sub", json!("x".repeat(1025)), Some(Bad::Claim("sub"))),
    ] {
        let mut claims = claims();
        claims[claim] = value.clone();
        if claim == "exp" {
            claims["iat"] = json!(1);
        }
        let judged = judge(&maker.sign(&header(), &claims), &keys, &demands(), NOW);
        assert_eq!(judged.err(), want, "{claim} = {value}");
    }
    for claim in ["exp", "iat", "aud", "iss", "sub"] {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(claim);
        assert_eq!(judge(&maker.sign(&header(), &claims), &keys, &demands(), NOW), Err(Bad::Claim(claim)), "{claim}");
    }
}

#[test]
fn what_is_not_asked_for_is_not_looked_at() {
    let maker = Maker::new(1);
    let demands = Demands { audience: vec![], issuer: String::new(), subject_claim: "email".into(), ..demands() };
    let now_s = NOW.0 / 1000;
    let claims = json!({ "aud": "x", "email": " joe@x ", "iat": now_s, "exp": now_s + 1 });
    let judged = judge(&maker.sign(&header(), &claims), &keys(&[maker.jwk("k1")]), &demands, NOW);
    assert_eq!(judged.map(|bearer| bearer.user), Ok("joe@x".into()));
}

#[test]
fn only_a_known_key_signs() {
    let (maker, other) = (Maker::new(1), Maker::new(2));
    let all = keys(&[other.jwk("k2"), maker.jwk("k1")]);
    let with = |header: Value, maker: &Maker| judge(&maker.sign(&header, &claims()), &all, &demands(), NOW).err();
    for (header, by, want) in [
        (header(), &maker, None),
        (header(), &other, Some(Bad::Signature)),
        (json!({ "alg": "EdDSA", "kid": "k2" }), &other, None),
        (json!({ "alg": "EdDSA" }), &maker, None),
        (json!({ "alg": "EdDSA", "kid": "k3" }), &maker, Some(Bad::UnknownKey)),
        (json!({ "alg": "ES256", "kid": "k1" }), &maker, Some(Bad::UnknownKey)),
        (json!({ "alg": "none" }), &maker, Some(Bad::Algorithm)),
        (json!({ "alg": "HS256", "kid": "k1" }), &maker, Some(Bad::Algorithm)),
        (json!({ "kid": "k1" }), &maker, Some(Bad::Algorithm)),
        (json!({ "alg": "EdDSA", "kid": "k1", "crit": ["b64"], "b64": false }), &maker, Some(Bad::Algorithm)),
        // A key that the token brings along is nobody's.
        (json!({ "alg": "EdDSA", "kid": "k9", "jwk": Maker::new(9).jwk("k9") }), &Maker::new(9), Some(Bad::UnknownKey)),
    ] {
        assert_eq!(with(header.clone(), by), want, "{header}");
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let maker = Maker::new(1);
    let keys = keys(&[maker.jwk("k1")]);
    let good = maker.sign(&header(), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    for token in [
        String::new(),
        "..".into(),
        "a.b".into(),
        "a.b.c".into(),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], base64("[]"), parts[2]),
        format!("{}.{}.{}.x", parts[0], parts[1], parts[2]),
        format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        format!("{}.{}.{}", base64("{"), parts[1], parts[2]),
        format!("{}.{}.{}", base64("[".repeat(10_000)), parts[1], parts[2]),
    ] {
        assert!(judge(&token, &keys, &demands(), NOW).is_err(), "{token}");
    }
}

#[test]
fn keys_that_cannot_be_used_are_passed_over_and_too_many_are_refused() {
    let maker = Maker::new(1);
    let mut encrypts = maker.jwk("e");
    encrypts["use"] = json!("enc");
    let mut signs = maker.jwk("s");
    signs["key_ops"] = json!(["sign"]);
    let odd = [
        encrypts,
        signs,
        json!({ "kty": "oct", "k": "c2VjcmV0" }),
        json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }),
        json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }),
        json!({ "kty": "RSA", "n": "%", "e": "AQAB" }),
        json!(7),
    ];
    let parse = |keys: Value| Keys::parse(json!({ "keys": keys }).to_string().as_bytes()).map(|keys| keys.len());
    assert_eq!(parse(json!(odd)), Err("no key that can be used".into()));
    assert_eq!(parse(json!([odd[0], maker.jwk("k")])), Ok(1));
    assert_eq!(parse(json!(vec![json!(1); 1001])), Err("more than 1000 keys".into()));
    assert!(Keys::parse(b"{}").is_err() && Keys::parse(b"").is_err());
    assert!(Keys::parse(&vec![b' '; JWKS_LIMIT_BYTES + 1]).is_err());
}
