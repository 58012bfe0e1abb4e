//! Minting: the access token that a successful exchange answers with.
//!
//! A token is an ES256 JWT of type `at+jwt` (RFC 9068) that lives an hour at most and never
//! outlives the subject token. It names provider, rule, project and service account by id, and
//! carries the provider's `trust_epoch`: when an operator edits what a provider trusts, the
//! server raises the epoch, and every token minted under an older one stops working.

use std::fmt;

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::scope::ScopeSet;
use crate::signing_key::SigningKey;
use crate::text::encode_base64url;

/// Longest life of an access token, in seconds.
pub const MAX_ACCESS_TOKEN_SECONDS: i64 = 3600;
const TOKEN_ID_BYTES: usize = 16;

/// What an access token says. `iss` and `aud` belong to the server and are given beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessClaims {
    /// `sub`.
    pub service_account_id: String,
    pub project_id: String,
    /// `client_id` (RFC 9068 §2.2): the workload identity provider is the client.
    pub provider_id: String,
    pub rule_id: String,
    /// `jti`; see [`new_token_id`].
    pub token_id: String,
    /// `iat`, in Unix seconds.
    pub issued_at: i64,
    /// `exp`, in Unix seconds.
    pub expires_at: i64,
    /// The rule's restriction; none means whatever the service account may do.
    pub scopes: Option<ScopeSet>,
    /// Refuse the token when this differs from the provider's present epoch.
    pub trust_epoch: u64,
}

/// A minted token. Cannot be printed; wiped when dropped.
pub struct AccessToken(Zeroizing<String>);

impl AccessToken {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(hidden)")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    #[error("An access token needs a non-empty `{field}`.")]
    Empty { field: &'static str },
    #[error("An access token lives from one second to {MAX_ACCESS_TOKEN_SECONDS} s.")]
    Lifetime,
    #[error("An access token cannot carry an empty list of scopes.")]
    NoScopes,
    #[error("The cryptographic library failed to sign.")]
    Signing,
}

/// The subject token has no life left to pass on. It may still have been accepted, by the
/// tolerance for clock skew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The subject token has no remaining life to pass on to an access token.")]
pub struct SubjectTokenSpent;

/// Seconds that an access token may live: an hour, or what the subject token has left.
pub fn access_token_lifetime(subject_exp: i64, now: i64) -> Result<i64, SubjectTokenSpent> {
    match subject_exp
        .saturating_sub(now)
        .min(MAX_ACCESS_TOKEN_SECONDS)
    {
        seconds @ 1.. => Ok(seconds),
        _ => Err(SubjectTokenSpent),
    }
}

/// A fresh `jti`: 128 random bits.
pub fn new_token_id() -> Result<String, MintError> {
    let mut bytes = [0; TOKEN_ID_BYTES];
    rand::fill(&mut bytes).map_err(|_| MintError::Signing)?;
    Ok(encode_base64url(bytes))
}

/// Signs an access token. `issuer` and `audience` are this server's.
pub fn mint(
    key: &SigningKey,
    issuer: &str,
    audience: &str,
    claims: &AccessClaims,
) -> Result<AccessToken, MintError> {
    check(issuer, audience, claims)?;
    let payload = Payload::of(issuer, audience, claims);
    let payload = serde_json::to_vec(&payload).map_err(|_| MintError::Signing)?;
    let mut token = Zeroizing::new(header_segment(key.kid()));
    token.push('.');
    token.push_str(&encode_base64url(payload));
    let signature = key.sign(token.as_bytes()).map_err(|_| MintError::Signing)?;
    token.push('.');
    token.push_str(&encode_base64url(signature));
    Ok(AccessToken(token))
}

/// The first segment of every token that the key named `kid` signs, byte for byte.
pub(crate) fn header_segment(kid: &str) -> String {
    encode_base64url(format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#))
}

/// The claims as they stand in the token (RFC 9068 §2.2, and four of our own).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Payload<'a> {
    #[serde(borrow)]
    pub(crate) iss: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) aud: std::borrow::Cow<'a, str>,
    pub(crate) sub: String,
    pub(crate) client_id: String,
    pub(crate) rule_id: String,
    pub(crate) project_id: String,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) jti: String,
    pub(crate) trust_epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
}

impl<'a> Payload<'a> {
    fn of(issuer: &'a str, audience: &'a str, claims: &AccessClaims) -> Self {
        Self {
            iss: issuer.into(),
            aud: audience.into(),
            sub: claims.service_account_id.clone(),
            client_id: claims.provider_id.clone(),
            rule_id: claims.rule_id.clone(),
            project_id: claims.project_id.clone(),
            iat: claims.issued_at,
            exp: claims.expires_at,
            jti: claims.token_id.clone(),
            trust_epoch: claims.trust_epoch,
            scope: claims.scopes.map(|scopes| scopes.to_string()),
        }
    }
}

fn check(issuer: &str, audience: &str, claims: &AccessClaims) -> Result<(), MintError> {
    let fields = [
        ("iss", issuer),
        ("aud", audience),
        ("sub", &claims.service_account_id),
        ("client_id", &claims.provider_id),
        ("rule_id", &claims.rule_id),
        ("project_id", &claims.project_id),
        ("jti", &claims.token_id),
    ];
    if let Some((field, _)) = fields.into_iter().find(|(_, value)| value.is_empty()) {
        return Err(MintError::Empty { field });
    }
    if claims.scopes.is_some_and(ScopeSet::is_empty) {
        return Err(MintError::NoScopes);
    }
    match claims.expires_at.checked_sub(claims.issued_at) {
        Some(1..=MAX_ACCESS_TOKEN_SECONDS) => Ok(()),
        _ => Err(MintError::Lifetime),
    }
}

#[cfg(test)]
#[path = "mint_tests.rs"]
mod tests;
