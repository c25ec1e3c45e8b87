//! Signed tokens of OAuth (JWT, RFC 7519, RFC 7515) and the public keys they are judged by (JWKS, RFC 7517). Pure: keys and
//! time are arguments, and nothing is fetched. A token without a signature, or one by a shared secret, is never taken; nor
//! is a key that the token itself brings along.
//!
//! ```text
//! token  base64url(header) . base64url(claims) . base64url(signature of what stands before)
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self as ring_signature, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Map, Value};

use crate::ids::Timestamp;

/// Most bytes of a JWKS, and most keys in it.
pub const JWKS_LIMIT_BYTES: usize = 1 << 20;
const KEYS_LIMIT: usize = 1000;
/// Keys that are tried for a token that does not name its key.
const TRIES: usize = 16;
/// Longest name of a user.
const NAME_LIMIT_BYTES: usize = 1024;

/// Public keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The only algorithm it is for, if it says so.
    algorithm: Option<String>,
    public: Public,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Public {
    /// Modulus and exponent, big endian.
    Rsa(Vec<u8>, Vec<u8>),
    /// Uncompressed points.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// What is asked of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// Whom it must be for: one of these; empty: anybody.
    pub audience: Vec<String>,
    /// Who must have made it; empty: anybody.
    pub issuer: String,
    /// How far the clock of who made it may differ from ours.
    pub skew_ms: i64,
    /// The claims its scope and its user's name stand in.
    pub scope_claim: String,
    pub subject_claim: String,
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    pub user: String,
    pub expires: Timestamp,
}

/// Why a token is not taken; for our log, its maker is told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It is no signed token.
    Malformed(&'static str),
    /// None of the algorithms that are taken, or a header that asks for more than is understood.
    Algorithm,
    /// No key of ours is the one it names, or could be.
    UnknownKey,
    Signature,
    /// What it says is not what is asked for.
    Claim(&'static str),
}

impl Keys {
    /// From a JWKS. Keys of kinds that are not served are passed over, as the RFC asks; the error is in words.
    pub fn parse(bytes: &[u8]) -> Result<Keys, String> {
        if bytes.len() > JWKS_LIMIT_BYTES {
            return Err(format!("more than {JWKS_LIMIT_BYTES} bytes"));
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let all = value.get("keys").and_then(Value::as_array).ok_or("no array \"keys\"")?;
        if all.len() > KEYS_LIMIT {
            return Err(format!("more than {KEYS_LIMIT} keys"));
        }
        let keys: Vec<Key> = all.iter().filter_map(key).collect();
        if keys.is_empty() { Err("no key that can be used".into()) } else { Ok(Keys(keys)) }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn key(value: &Value) -> Option<Key> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
    let number = |name: &str| {
        let bytes = bytes(name)?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(bytes[zeros..].to_vec())
    };
    if text("use").is_some_and(|of| of != "sig") {
        return None;
    }
    if let Some(operations) = value.get("key_ops").and_then(Value::as_array)
        && !operations.iter().any(|one| one == "verify")
    {
        return None;
    }
    let point = |bytes_each: usize| {
        let (x, y) = (bytes("x")?, bytes("y")?);
        (x.len() == bytes_each && y.len() == bytes_each).then(|| [&[4], &x[..], &y[..]].concat())
    };
    let public = match (text("kty")?, text("crv")) {
        ("RSA", _) => Public::Rsa(number("n")?, number("e")?),
        ("EC", Some("P-256")) => Public::P256(point(32)?),
        ("EC", Some("P-384")) => Public::P384(point(48)?),
        ("OKP", Some("Ed25519")) => Public::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
        _ => return None,
    };
    Some(Key { id: text("kid").map(str::to_owned), algorithm: text("alg").map(str::to_owned), public })
}

impl Public {
    /// Whether `signature` is this key's under `message`; `None`: the algorithm is not one of this key's.
    fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> Option<bool> {
        let rsa = |n: &[u8], e: &[u8], how| RsaPublicKeyComponents { n, e }.verify(how, message, signature).is_ok();
        let other = |key: &[u8], how: &'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(how, key).verify(message, signature).is_ok()
        };
        Some(match (self, algorithm) {
            (Public::Rsa(n, e), "RS256") => rsa(n, e, &ring_signature::RSA_PKCS1_2048_8192_SHA256),
            (Public::Rsa(n, e), "RS384") => rsa(n, e, &ring_signature::RSA_PKCS1_2048_8192_SHA384),
            (Public::Rsa(n, e), "RS512") => rsa(n, e, &ring_signature::RSA_PKCS1_2048_8192_SHA512),
            (Public::Rsa(n, e), "PS256") => rsa(n, e, &ring_signature::RSA_PSS_2048_8192_SHA256),
            (Public::Rsa(n, e), "PS384") => rsa(n, e, &ring_signature::RSA_PSS_2048_8192_SHA384),
            (Public::Rsa(n, e), "PS512") => rsa(n, e, &ring_signature::RSA_PSS_2048_8192_SHA512),
            (Public::P256(point), "ES256") => other(point, &ring_signature::ECDSA_P256_SHA256_FIXED),
            (Public::P384(point), "ES384") => other(point, &ring_signature::ECDSA_P384_SHA384_FIXED),
            (Public::Ed25519(key), "EdDSA" | "Ed25519") => other(key, &ring_signature::ED25519),
            _ => return None,
        })
    }
}

const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519"];

/// Whether a token is good now, and whose it is.
pub fn judge(token: &str, keys: &Keys, demands: &Demands, now: Timestamp) -> Result<Bearer, Bad> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Bad::Malformed("not three parts"))?;
    let (header, claims) = signed.split_once('.').ok_or(Bad::Malformed("not three parts"))?;
    let header = object(header)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Bad::Malformed("signature"))?;
    let named = |name: &str| header.get(name).and_then(Value::as_str);
    let algorithm = named("alg").filter(|name| ALGORITHMS.contains(name)).ok_or(Bad::Algorithm)?;
    // What is critical has to be understood, and nothing of the kind is.
    if header.contains_key("crit") {
        return Err(Bad::Algorithm);
    }
    let id = named("kid");
    let fits = |key: &&Key| {
        (id.is_none() || key.id.as_deref() == id) && key.algorithm.as_deref().is_none_or(|only| only == algorithm)
    };
    let mut tried = false;
    let mut good = false;
    for key in keys.0.iter().filter(fits).take(TRIES) {
        if let Some(is_good) = key.public.verify(algorithm, signed.as_bytes(), &signature) {
            tried = true;
            good |= is_good;
        }
        if good {
            break;
        }
    }
    match (tried, good) {
        (_, true) => {}
        (true, false) => return Err(Bad::Signature),
        (false, false) => return Err(Bad::UnknownKey),
    }
    claimed(&object(claims)?, demands, now)
}

fn object(part: &str) -> Result<Map<String, Value>, Bad> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Bad::Malformed("base64"))?;
    serde_json::from_slice(&bytes).map_err(|_| Bad::Malformed("JSON"))
}

fn claimed(claims: &Map<String, Value>, demands: &Demands, now: Timestamp) -> Result<Bearer, Bad> {
    let blank = |text: &str| text.trim().is_empty();
    let expires = time(claims, "exp")?.ok_or(Bad::Claim("exp"))?;
    let issued = time(claims, "iat")?.ok_or(Bad::Claim("iat"))?;
    if now.plus_ms(-demands.skew_ms) >= expires || expires < issued || issued.0 < 0 {
        return Err(Bad::Claim("exp"));
    }
    if time(claims, "nbf")?.is_some_and(|from| now.plus_ms(demands.skew_ms) < from || expires < from) {
        return Err(Bad::Claim("nbf"));
    }
    if !demands.audience.is_empty() {
        let is_for = |one: &Value| one.as_str().is_some_and(|one| demands.audience.iter().any(|ours| ours == one));
        let good = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(is_for),
            Some(one) => is_for(one),
            None => false,
        };
        if !good {
            return Err(Bad::Claim("aud"));
        }
    }
    if !demands.issuer.is_empty() && claims.get("iss").and_then(Value::as_str) != Some(&demands.issuer) {
        return Err(Bad::Claim("iss"));
    }
    // Of scopes nothing is asked but that they are such; who may do what is said by rules.
    let scopes: &[Value] = match claims.get(&demands.scope_claim) {
        None => &[],
        Some(Value::Array(all)) => all,
        Some(one) => std::slice::from_ref(one),
    };
    let mut seen = std::collections::BTreeSet::new();
    for scope in scopes {
        match scope.as_str().map(str::trim) {
            Some(scope) if !scope.is_empty() && seen.insert(scope) => {}
            _ => return Err(Bad::Claim("scope")),
        }
    }
    let user = claims.get(&demands.subject_claim).and_then(Value::as_str).filter(|user| !blank(user));
    let user = user.map(str::trim).filter(|user| user.len() <= NAME_LIMIT_BYTES).ok_or(Bad::Claim("sub"))?;
    Ok(Bearer { user: user.to_owned(), expires })
}

/// A claim in seconds since 1970, fractions cut off.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, Bad> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_i64().or_else(|| value.as_f64().filter(|s| s.is_finite()).map(|s| s as i64));
    seconds.map(|s| Some(Timestamp(s.saturating_mul(1000)))).ok_or(Bad::Claim(name))
}

#[cfg(test)]
mod tests;
