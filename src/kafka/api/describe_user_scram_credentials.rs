//! DescribeUserScramCredentials (50): which SCRAM mechanisms users have, and with how many iterations (KIP-554).
//!
//! Serves v0. Never shows anything a password could be found by. Users of the configuration are not listed: they are not
//! kept here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::{CLUSTER, words};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::describe_user_scram_credentials::{
    CredentialInfo, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
};

pub struct DescribeUserScramCredentials;

impl Api for DescribeUserScramCredentials {
    type Request = DescribeUserScramCredentialsRequest;
    type Response = DescribeUserScramCredentialsResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: DescribeUserScramCredentialsRequest,
    ) -> Answer<DescribeUserScramCredentialsResponse> {
        if let Err(code) = cx.access(&call).check(Action::Describe, CLUSTER) {
            let (error_code, error_message) = (code.wire(), Some(words(code).into()));
            return Answer::Now(DescribeUserScramCredentialsResponse {
                error_code,
                error_message,
                ..Default::default()
            });
        }
        let state = cx.security.state();
        let mut found: BTreeMap<&str, Vec<CredentialInfo>> = BTreeMap::new();
        for ((user, mechanism), credential) in &state.credentials {
            let iterations = i32::try_from(credential.iterations).unwrap_or(i32::MAX);
            let info = CredentialInfo { mechanism: mechanism.number(), iterations };
            found.entry(user).or_default().push(info);
        }
        // Null and empty both ask for all.
        let asked: Vec<String> = request.users.unwrap_or_default().into_iter().map(|user| user.name).collect();
        let all = || found.keys().map(|user| (*user).to_owned()).collect();
        let names = if asked.is_empty() { all() } else { asked.clone() };
        let mut seen = BTreeSet::new();
        let names = names.into_iter().filter(|name| seen.insert(name.clone()));
        let results = names.map(|user| {
            let twice = asked.iter().filter(|name| **name == user).count() > 1;
            let (code, why) = match found.get(user.as_str()) {
                _ if twice => (Code::DuplicateResource, "Cannot describe SCRAM credentials for the same user twice"),
                None => (Code::ResourceNotFound, "Attempt to describe a user credential that does not exist"),
                Some(_) => (Code::None, ""),
            };
            let infos = found.get(user.as_str()).filter(|_| code == Code::None);
            DescribeUserScramCredentialsResult {
                error_code: code.wire(),
                error_message: (code != Code::None).then(|| format!("{why}: {user}")),
                credential_infos: infos.cloned().unwrap_or_default(),
                user,
            }
        });
        let results = results.collect();
        Answer::Now(DescribeUserScramCredentialsResponse { results, ..Default::default() })
    }
}
