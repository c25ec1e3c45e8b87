//! CreateDelegationToken (38): a token that logs in as its owner (KIP-48).
//!
//! Serves v0–3: v1 throttled as others · v2 flexible · v3 for another owner (KIP-373). Only who has said who they are, and
//! not by a token, may ask for one; for oneself no rule is needed, for others CREATE_TOKENS on the user.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::machine::{Command, Reply};
use crate::auth::tokens::{self, NAMES_LIMIT_BYTES, Refused, Token};
use crate::auth::{Action, Principal};
use crate::kafka::access;
use crate::kafka::cx::{Call, Cx, may_ask_for_tokens};
use crate::kafka::error::Code;
use crate::kafka::tokens::Tokens;
use crate::kafka::wire::messages::create_delegation_token::{
    CreateDelegationTokenRequest, CreateDelegationTokenResponse,
};

pub struct CreateDelegationToken;

/// The only type of renewers.
const USER: &str = "User";
/// The first version that says who asked for a token.
pub(super) const REQUESTER_FROM: i16 = 3;
/// What stands for a time where there is none.
pub(super) const NO_TIME: i64 = -1;

impl Api for CreateDelegationToken {
    type Request = CreateDelegationTokenRequest;
    type Response = CreateDelegationTokenResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: CreateDelegationTokenRequest,
    ) -> Answer<CreateDelegationTokenResponse> {
        let requester = call.conn.principal();
        let owner = match (&request.owner_principal_type, &request.owner_principal_name) {
            (kind, Some(name)) if !name.is_empty() => Principal::of(kind.as_deref().unwrap_or(""), name),
            _ => requester.clone(),
        };
        let mut response = CreateDelegationTokenResponse {
            principal_type: owner.kind().to_owned(),
            principal_name: owner.name().to_owned(),
            ..CreateDelegationTokenResponse::default()
        };
        if call.version >= REQUESTER_FROM {
            response.token_requester_principal_type = requester.kind().to_owned();
            response.token_requester_principal_name = requester.name().to_owned();
        }
        let may = |owner: &Principal| {
            *owner == requester || cx.access(&call).may(Action::CreateTokens, access::user(owner.as_str()))
        };
        let refused = if !may_ask_for_tokens(&call.conn) {
            Some(Code::DelegationTokenRequestNotAllowed)
        } else if !may(&owner) {
            Some(Code::DelegationTokenAuthorizationFailed)
        } else if request.renewers.iter().any(|renewer| renewer.principal_type != USER) {
            Some(Code::InvalidPrincipalType)
        } else {
            None
        };
        if let Some(code) = refused {
            response.error_code = code.wire();
            (response.issue_timestamp_ms, response.expiry_timestamp_ms) = (NO_TIME, NO_TIME);
            response.max_timestamp_ms = NO_TIME;
            return Answer::Now(response);
        }
        match create(&cx, owner, requester, request).await {
            Ok((id, hmac, token)) => {
                (response.token_id, response.hmac) = (id, hmac.to_vec().into());
                response.issue_timestamp_ms = token.issued.0;
                response.expiry_timestamp_ms = token.expires.0;
                response.max_timestamp_ms = token.latest.0;
            }
            Err(code) => response.error_code = code.wire(),
        }
        Answer::Now(response)
    }
}

async fn create(
    cx: &Cx,
    owner: Principal,
    requester: Principal,
    request: CreateDelegationTokenRequest,
) -> Result<(String, [u8; 64], Arc<Token>), Code> {
    let tokens = cx.security.tokens.as_ref().ok_or(Code::DelegationTokenAuthDisabled)?;
    let renewers: Vec<String> =
        request.renewers.iter().map(|renewer| Principal::of(USER, &renewer.principal_name).to_string()).collect();
    let names_bytes = owner.as_str().len() + renewers.iter().map(|name| name.len() + 1).sum::<usize>();
    if names_bytes > NAMES_LIMIT_BYTES {
        return Err(Code::InvalidRequest);
    }
    let id = cx.security.new_token_id();
    let made = ask(
        cx,
        tokens::Command::Create {
            id: id.clone(),
            owner: owner.to_string(),
            requester: requester.to_string(),
            renewers,
            max_ms: request.max_lifetime_ms,
            lifetimes: tokens.lifetimes,
        },
    );
    let token = made.await?.ok_or(Code::UnknownServerError)?;
    let hmac = tokens.hmac(&id);
    Ok((id, hmac, token))
}

/// The id of the token of this secret, with what is known of all tokens.
pub(super) fn find<'a>(cx: &'a Cx, hmac: &[u8]) -> Result<(&'a Tokens, String), Code> {
    let tokens = cx.security.tokens.as_ref().ok_or(Code::DelegationTokenAuthDisabled)?;
    let id = tokens.find(&cx.security.state(), hmac).ok_or(Code::DelegationTokenNotFound)?;
    Ok((tokens, id.to_string()))
}

/// What becomes of a token.
pub(super) async fn ask(cx: &Cx, command: tokens::Command) -> Result<Option<Arc<Token>>, Code> {
    match cx.security.ask(Command::Token(command)).await {
        Some(Ok(Reply::Token(Ok(token)))) => Ok(token),
        Some(Ok(Reply::Token(Err(refused)))) => Err(match refused {
            Refused::NotFound => Code::DelegationTokenNotFound,
            Refused::Expired => Code::DelegationTokenExpired,
            Refused::NotYours => Code::DelegationTokenOwnerMismatch,
            Refused::Full => Code::PolicyViolation,
        }),
        Some(Ok(_)) => Err(Code::UnknownServerError),
        Some(Err(error)) => Err(Code::from(&error)),
        None => Err(Code::DelegationTokenAuthDisabled),
    }
}
