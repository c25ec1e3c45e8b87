//! AlterUserScramCredentials (51): SCRAM credentials of users are set and removed (KIP-554).
//!
//! Serves v0. All changes of one user happen together or not at all. Never sees a password: the client has salted it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::auth::machine::{Command, Reply};
use crate::auth::scram::{Credential, MAX_ITERATIONS, MIN_ITERATIONS, Mechanism};
use crate::kafka::access::CLUSTER;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::wire::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
    ScramCredentialUpsertion,
};

pub struct AlterUserScramCredentials;

/// Names and salts longer than this are nobody's.
const LIMIT_BYTES: usize = 1024;

#[derive(Default)]
struct Changes {
    set: Vec<Credential>,
    remove: Vec<Mechanism>,
    refused: Option<Refusal>,
}

impl Api for AlterUserScramCredentials {
    type Request = AlterUserScramCredentialsRequest;
    type Response = AlterUserScramCredentialsResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: AlterUserScramCredentialsRequest,
    ) -> Answer<AlterUserScramCredentialsResponse> {
        let may = cx.access(&call).check_in_words(Action::Alter, CLUSTER);
        let mut results = Vec::new();
        for (user, changes) in by_user(request) {
            let outcome = match (may.clone(), changes.refused) {
                (Err(refusal), _) | (Ok(()), Some(refusal)) => Err(refusal),
                (Ok(()), None) => change(&cx, user.clone(), changes.set, changes.remove).await,
            };
            let (error_code, error_message) = match outcome {
                Ok(()) => (Code::None.wire(), None),
                Err(refusal) => (refusal.code.wire(), Some(refusal.message)),
            };
            results.push(AlterUserScramCredentialsResult { user, error_code, error_message });
        }
        Answer::Now(AlterUserScramCredentialsResponse { results, ..Default::default() })
    }
}

fn by_user(request: AlterUserScramCredentialsRequest) -> BTreeMap<String, Changes> {
    let mut users: BTreeMap<String, Changes> = BTreeMap::new();
    for deletion in request.deletions {
        let changes = users.entry(deletion.name.clone()).or_default();
        match known(&deletion.name, deletion.mechanism) {
            Ok(mechanism) => changes.remove.push(mechanism),
            Err(refusal) => changes.refused = Some(refusal),
        }
    }
    for upsertion in request.upsertions {
        let changes = users.entry(upsertion.name.clone()).or_default();
        match credential(upsertion) {
            Ok(credential) => changes.set.push(credential),
            Err(refusal) => changes.refused = Some(refusal),
        }
    }
    for changes in users.values_mut() {
        let set = changes.set.iter().map(|credential| credential.mechanism);
        let mut all: Vec<Mechanism> = set.chain(changes.remove.iter().copied()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        if all.len() < count {
            let why = "A user credential cannot be altered twice in the same request";
            changes.refused = Some(Refusal::new(Code::DuplicateResource, why));
        }
    }
    users
}

fn known(user: &str, mechanism: i8) -> Result<Mechanism, Refusal> {
    if user.is_empty() || user.len() > LIMIT_BYTES {
        return Err(Refusal::new(Code::UnacceptableCredential, "Username must not be empty"));
    }
    let unknown = || Refusal::new(Code::UnsupportedSaslMechanism, "Unknown SCRAM mechanism");
    Mechanism::of(mechanism).ok_or_else(unknown)
}

fn credential(upsertion: ScramCredentialUpsertion) -> Result<Credential, Refusal> {
    let mechanism = known(&upsertion.name, upsertion.mechanism)?;
    let bad = |why: &str| Refusal::new(Code::UnacceptableCredential, why);
    let iterations = u32::try_from(upsertion.iterations).ok().filter(|count| *count >= MIN_ITERATIONS);
    let iterations = iterations.ok_or_else(|| bad("Too few iterations"))?;
    if iterations > MAX_ITERATIONS {
        return Err(bad("Too many iterations"));
    }
    if upsertion.salt.is_empty() || upsertion.salt.len() > LIMIT_BYTES {
        return Err(bad("Salt must not be empty"));
    }
    if upsertion.salted_password.len() != mechanism.bytes() {
        return Err(bad("The salted password does not have the mechanism's length"));
    }
    // The bytes point into the request, which shall not be kept.
    let salt = bytes::Bytes::copy_from_slice(&upsertion.salt);
    Ok(Credential::of_salted(mechanism, &upsertion.salted_password, salt, iterations))
}

async fn change(cx: &Cx, user: String, set: Vec<Credential>, remove: Vec<Mechanism>) -> Result<(), Refusal> {
    let command = Command::Credentials { user, set, remove };
    match cx.security.ask(command).await {
        Some(Ok(Reply::NoSuchCredential)) => {
            let why = "Attempt to delete a user credential that does not exist";
            Err(Refusal::new(Code::ResourceNotFound, why))
        }
        Some(Ok(Reply::Full)) => Err(Refusal::new(Code::PolicyViolation, "There are too many credentials")),
        Some(Ok(Reply::Done | Reply::Allowed(_) | Reply::Forgotten(_) | Reply::Token(_))) => Ok(()),
        Some(Err(error)) => Err(Refusal::from(&error)),
        None => Err(Refusal::new(Code::SecurityDisabled, "No credentials are kept here")),
    }
}
