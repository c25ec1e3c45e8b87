//! SCRAM (RFC 5802, RFC 7677), the server's half. Pure: the nonce is an argument. No password is kept, only what the RFC
//! lets a server keep; a user who does not exist looks like one whose password was wrong.
//!
//! ```text
//! client  n,,n=user,r=nonce[,extensions]
//! server  r=nonce+ours,s=salt,i=iterations
//! client  c=biws,r=nonce+ours,p=proof
//! server  v=signature                        or e=reason
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};

/// RFC 7677 asks for at least so many; so does Kafka.
pub const MIN_ITERATIONS: u32 = 4096;
/// Kafka's own limit: more would be a way to keep clients busy.
pub const MAX_ITERATIONS: u32 = 16_384;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    Sha256 = 1,
    Sha512 = 2,
}

impl Mechanism {
    pub const ALL: [Mechanism; 2] = [Mechanism::Sha256, Mechanism::Sha512];

    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Sha256 => "SCRAM-SHA-256",
            Mechanism::Sha512 => "SCRAM-SHA-512",
        }
    }

    pub fn number(self) -> i8 {
        self as i8
    }

    pub fn of(number: i8) -> Option<Mechanism> {
        Self::ALL.into_iter().find(|one| one.number() == number)
    }

    pub fn bytes(self) -> usize {
        match self {
            Mechanism::Sha256 => 32,
            Mechanism::Sha512 => 64,
        }
    }

    pub fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        fn all<M: Mac>(mut mac: M, parts: &[&[u8]]) -> Vec<u8> {
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }
        match self {
            Mechanism::Sha256 => all(Hmac::<Sha256>::new_from_slice(key).expect("any length will do"), parts),
            Mechanism::Sha512 => all(Hmac::<Sha512>::new_from_slice(key).expect("any length will do"), parts),
        }
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Mechanism::Sha256 => Sha256::digest(bytes).to_vec(),
            Mechanism::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// PBKDF2 with one block: RFC 5802's `Hi`.
    pub fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut last = self.hmac(password, &[salt, &[0, 0, 0, 1]]);
        let mut sum = last.clone();
        for _ in 1..iterations {
            last = self.hmac(password, &[&last]);
            xor(&mut sum, &last);
        }
        sum
    }
}

pub(super) fn xor(into: &mut [u8], other: &[u8]) {
    into.iter_mut().zip(other).for_each(|(a, b)| *a ^= b);
}

/// Whether both are the same, in a time that does not tell where they differ.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// What a server keeps of a password: enough to check a proof, not enough to make one.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub mechanism: Mechanism,
    pub salt: Bytes,
    pub stored_key: Bytes,
    pub server_key: Bytes,
    pub iterations: u32,
}

impl fmt::Debug for Credential {
    /// Without what is secret in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, i={})", self.mechanism.name(), self.iterations)
    }
}

impl Credential {
    pub fn of_password(mechanism: Mechanism, password: &str, salt: Bytes, iterations: u32) -> Credential {
        let salted = mechanism.salted(password.as_bytes(), &salt, iterations);
        Credential::of_salted(mechanism, &salted, salt, iterations)
    }

    /// From what a client made of a password already.
    pub fn of_salted(mechanism: Mechanism, salted: &[u8], salt: Bytes, iterations: u32) -> Credential {
        let client_key = mechanism.hmac(salted, &[b"Client Key"]);
        Credential {
            mechanism,
            salt,
            stored_key: mechanism.hash(&client_key).into(),
            server_key: mechanism.hmac(salted, &[b"Server Key"]).into(),
            iterations,
        }
    }

    /// What stands in for a user that is not there: nobody's proof fits it, and it is the same whenever that name is tried.
    pub fn of_nobody(mechanism: Mechanism, secret: &[u8], name: &str) -> Credential {
        let salt = mechanism.hmac(secret, &[b"salt", name.as_bytes()]);
        let key = mechanism.hmac(secret, &[b"key", name.as_bytes()]);
        Credential {
            mechanism,
            salt: Bytes::copy_from_slice(&salt[..20]),
            stored_key: mechanism.hmac(&key, &[b"stored"]).into(),
            server_key: key.into(),
            iterations: MIN_ITERATIONS,
        }
    }

    /// For a token's secret, which clients use as a password, in base64.
    pub fn of_token(mechanism: Mechanism, hmac: &[u8; 64], salt: Bytes) -> Credential {
        Credential::of_password(mechanism, &STANDARD.encode(hmac), salt, MIN_ITERATIONS)
    }

    pub fn fits_password(&self, password: &str) -> bool {
        let salted = self.mechanism.salted(password.as_bytes(), &self.salt, self.iterations);
        let client_key = self.mechanism.hmac(&salted, &[b"Client Key"]);
        same(&self.mechanism.hash(&client_key), &self.stored_key)
    }
}

/// Why an exchange came to nothing. Never says whether the user exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    Malformed,
    /// Channel binding was demanded; there is none here.
    ChannelBinding,
    Nonce,
    Proof,
    /// Somebody wants to act for somebody else.
    AuthorizationId,
}

/// The client's first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    pub user: String,
    pub nonce: String,
    /// The login is by a token and not by a password (an extension of Kafka's: `tokenauth=true`).
    pub by_token: bool,
    bare: String,
    header: String,
}

/// Longest nonce of a client.
const NONCE_LIMIT_BYTES: usize = 256;

impl First {
    pub fn parse(message: &[u8]) -> Result<First, Failed> {
        let text = std::str::from_utf8(message).map_err(|_| Failed::Malformed)?;
        let (flag, rest) = text.split_once(',').ok_or(Failed::Malformed)?;
        let (authorization, bare) = rest.split_once(',').ok_or(Failed::Malformed)?;
        match flag {
            "n" | "y" => {}
            flag if flag.starts_with("p=") => return Err(Failed::ChannelBinding),
            _ => return Err(Failed::Malformed),
        }
        let mut fields = bare.split(',');
        let user = fields.next().and_then(|field| field.strip_prefix("n=")).ok_or(Failed::Malformed)?;
        let user = unescape(user)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(Failed::Malformed)?;
        if user.is_empty() || nonce.is_empty() || nonce.len() > NONCE_LIMIT_BYTES || !printable(nonce) {
            return Err(Failed::Malformed);
        }
        match authorization {
            "" => {}
            other => {
                let other = other.strip_prefix("a=").ok_or(Failed::Malformed)?;
                if unescape(other)? != user {
                    return Err(Failed::AuthorizationId);
                }
            }
        }
        let header = format!("{flag},{authorization},");
        let by_token = fields.any(|field| field.eq_ignore_ascii_case("tokenauth=true"));
        Ok(First { user, nonce: nonce.into(), by_token, bare: bare.into(), header })
    }

    /// Our first message, and what is waited for then.
    pub fn challenge(self, credential: Credential, our_nonce: &str) -> (Vec<u8>, Exchange) {
        let nonce = format!("{}{our_nonce}", self.nonce);
        let salt = STANDARD.encode(&credential.salt);
        let message = format!("r={nonce},s={salt},i={}", credential.iterations);
        let bytes = message.clone().into_bytes();
        (bytes, Exchange { first: self, credential, nonce, message })
    }
}

fn printable(text: &str) -> bool {
    text.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b',')
}

/// `=2C` and `=3D` are the only escapes.
pub fn unescape(name: &str) -> Result<String, Failed> {
    let mut parts = name.split('=');
    let mut whole = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let (c, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return Err(Failed::Malformed),
        };
        whole.push(c);
        whole.push_str(rest);
    }
    Ok(whole)
}

/// An exchange that waits for the client's proof.
#[derive(Clone, PartialEq, Eq)]
pub struct Exchange {
    first: First,
    credential: Credential,
    nonce: String,
    message: String,
}

impl Exchange {
    pub fn user(&self) -> &str {
        &self.first.user
    }

    /// The client's last message; ours, if its proof is right.
    pub fn finish(&self, message: &[u8]) -> Result<Vec<u8>, Failed> {
        let text = std::str::from_utf8(message).map_err(|_| Failed::Malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Failed::Malformed)?;
        let mut fields = without_proof.split(',');
        let binding = fields.next().and_then(|field| field.strip_prefix("c=")).ok_or(Failed::Malformed)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(Failed::Malformed)?;
        if STANDARD.decode(binding).map_err(|_| Failed::Malformed)? != self.first.header.as_bytes() {
            return Err(Failed::ChannelBinding);
        }
        // The whole of it, theirs and ours (CVE-2024-56128). librdkafka up to 2.6 put its own before that once more, which
        // brokers took until they heard of that fault; it takes nothing from the proof.
        let own = nonce.strip_prefix(&self.first.nonce);
        if ![Some(nonce), own].into_iter().flatten().any(|nonce| same(nonce.as_bytes(), self.nonce.as_bytes())) {
            return Err(Failed::Nonce);
        }
        let mut proof = STANDARD.decode(proof).map_err(|_| Failed::Malformed)?;
        let mechanism = self.credential.mechanism;
        if proof.len() != mechanism.bytes() {
            return Err(Failed::Proof);
        }
        let signed = format!("{},{},{without_proof}", self.first.bare, self.message);
        let signature = mechanism.hmac(&self.credential.stored_key, &[signed.as_bytes()]);
        xor(&mut proof, &signature);
        if !same(&mechanism.hash(&proof), &self.credential.stored_key) {
            return Err(Failed::Proof);
        }
        let ours = mechanism.hmac(&self.credential.server_key, &[signed.as_bytes()]);
        Ok(format!("v={}", STANDARD.encode(ours)).into_bytes())
    }
}
