//! DescribeDelegationToken (41): the tokens that whoever asks may see, with their secrets (KIP-48).
//!
//! Serves v0–3: v1 throttled as others · v2 flexible · v3 who asked for them (KIP-373). Seen are those one owns, asked for
//! or may renew, those one may DESCRIBE, and those of users whose tokens one may see (DESCRIBE_TOKENS).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::create_delegation_token::REQUESTER_FROM;
use super::{Answer, Api};
use crate::auth::Action;
use crate::auth::tokens::Token;
use crate::kafka::access;
use crate::kafka::cx::{Call, Cx, may_ask_for_tokens};
use crate::kafka::error::Code;
use crate::kafka::tokens::Tokens;
use crate::kafka::wire::messages::describe_delegation_token::{
    DescribeDelegationTokenRequest, DescribeDelegationTokenResponse, DescribedDelegationToken,
    DescribedDelegationTokenRenewer,
};

pub struct DescribeDelegationToken;

impl Api for DescribeDelegationToken {
    type Request = DescribeDelegationTokenRequest;
    type Response = DescribeDelegationTokenResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: DescribeDelegationTokenRequest,
    ) -> Answer<DescribeDelegationTokenResponse> {
        let refused =
            |code: Code| Answer::Now(DescribeDelegationTokenResponse { error_code: code.wire(), ..Default::default() });
        if !may_ask_for_tokens(&call.conn) {
            return refused(Code::DelegationTokenRequestNotAllowed);
        }
        let Some(tokens) = &cx.security.tokens else { return refused(Code::DelegationTokenAuthDisabled) };
        let owners: Option<BTreeSet<String>> = request.owners.map(|owners| {
            owners.iter().map(|owner| format!("{}:{}", owner.principal_type, owner.principal_name)).collect()
        });
        let (access, principal) = (cx.access(&call), call.conn.principal());
        let may_see = |id: &str, token: &Token| {
            owners.as_ref().is_none_or(|owners| owners.iter().any(|owner| token.concerns(owner)))
                && (token.concerns(principal.as_str())
                    || access.may(Action::Describe, access::token(id))
                    || access.may(Action::DescribeTokens, access::user(&token.owner)))
        };
        let state = cx.security.state();
        let seen = state.tokens.iter().filter(|(id, token)| may_see(id, token));
        let tokens = seen.map(|(id, token)| described(tokens, id, token, call.version)).collect();
        Answer::Now(DescribeDelegationTokenResponse { tokens, ..Default::default() })
    }
}

fn described(tokens: &Tokens, id: &str, token: &Token, version: i16) -> DescribedDelegationToken {
    let parts = |principal: &str| {
        let (kind, name) = principal.split_once(':').unwrap_or(("", principal));
        (kind.to_owned(), name.to_owned())
    };
    let (principal_type, principal_name) = parts(&token.owner);
    let (token_requester_principal_type, token_requester_principal_name) = match version >= REQUESTER_FROM {
        true => parts(&token.requester),
        false => Default::default(),
    };
    let renewers = token.renewers.iter().map(|renewer| {
        let (principal_type, principal_name) = parts(renewer);
        DescribedDelegationTokenRenewer { principal_type, principal_name }
    });
    DescribedDelegationToken {
        principal_type,
        principal_name,
        token_requester_principal_type,
        token_requester_principal_name,
        issue_timestamp: token.issued.0,
        expiry_timestamp: token.expires.0,
        max_timestamp: token.latest.0,
        token_id: id.to_owned(),
        hmac: tokens.hmac(id).to_vec().into(),
        renewers: renewers.collect(),
    }
}
