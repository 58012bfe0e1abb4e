//! Recognising this server's own access tokens.
//!
//! Only tokens that [`crate::mint`] printed are accepted, so the header is not parsed: it must be,
//! byte for byte, the one that a present or previous key prints. That leaves no header field to
//! confuse anything with. The payload is read after its signature held.
//!
//! A valid token still says nothing about the present: the caller checks that provider, rule,
//! project and service account are active, and that `trust_epoch` is the provider's.

use crate::algorithm::Algorithm;
use crate::jwk::PublicKey;
use crate::mint::{AccessClaims, MAX_ACCESS_TOKEN_SECONDS, Payload, header_segment};
use crate::scope::ScopeSet;
use crate::signing_key::{PublicJwk, SigningKeyError};
use crate::text::decode_base64url;

/// Longest access token that is looked at, in bytes. Minted ones are below 1 KiB.
pub const MAX_ACCESS_TOKEN_BYTES: usize = 4096;
/// How far another node of the cluster may be ahead when it issues, in seconds.
const NODE_SKEW_SECONDS: i64 = 60;

/// Verifies access tokens with the present and the previous signing keys.
#[derive(Debug)]
pub struct AccessTokenVerifier {
    issuer: String,
    audience: String,
    keys: Vec<(String, PublicKey)>,
}

/// Why a bearer token is not a valid access token of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenRefusal {
    #[error("The bearer token is longer than {MAX_ACCESS_TOKEN_BYTES} bytes.")]
    TooLarge,
    #[error("The bearer token is not a signed JWT in compact form.")]
    NotCompact,
    #[error("The access token was not signed by a present or previous key of this server.")]
    UnknownKey,
    #[error("The signature of the access token does not verify.")]
    SignatureInvalid,
    #[error("The access token's claims are not those that this server issues.")]
    Malformed,
    #[error("The access token was issued for another server or audience.")]
    WrongIssuerOrAudience,
    #[error("The access token has expired.")]
    Expired,
    #[error("The access token was issued in the future; check the clocks of the cluster's nodes.")]
    IssuedInFuture,
}

impl AccessTokenRefusal {
    /// A stable name for metrics and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotCompact => "not_compact",
            Self::UnknownKey => "unknown_key",
            Self::SignatureInvalid => "signature_invalid",
            Self::Malformed => "malformed",
            Self::WrongIssuerOrAudience => "wrong_issuer_or_audience",
            Self::Expired => "expired",
            Self::IssuedInFuture => "issued_in_future",
        }
    }
}

impl AccessTokenVerifier {
    /// `keys` are the public halves of the present key and of those that signed tokens that may
    /// still be alive.
    pub fn new<'k>(
        issuer: &str,
        audience: &str,
        keys: impl IntoIterator<Item = &'k PublicJwk>,
    ) -> Result<Self, SigningKeyError> {
        let keys = keys
            .into_iter()
            .map(|jwk| Ok((header_segment(jwk.kid()), jwk.verifying_key()?)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            keys,
        })
    }

    /// Verifies a bearer token. `now` is in Unix seconds. There is no tolerance on `exp`: issuer
    /// and verifier are the same server.
    pub fn verify(&self, token: &str, now: i64) -> Result<AccessClaims, AccessTokenRefusal> {
        if token.len() > MAX_ACCESS_TOKEN_BYTES {
            return Err(AccessTokenRefusal::TooLarge);
        }
        let (signed, signature) = token
            .rsplit_once('.')
            .ok_or(AccessTokenRefusal::NotCompact)?;
        let (header, payload) = signed
            .split_once('.')
            .ok_or(AccessTokenRefusal::NotCompact)?;
        let (_, key) = self
            .keys
            .iter()
            .find(|(expected, _)| expected == header)
            .ok_or(AccessTokenRefusal::UnknownKey)?;
        let signature = decode_base64url(signature).ok_or(AccessTokenRefusal::NotCompact)?;
        key.verify(Algorithm::Es256, signed.as_bytes(), &signature)
            .map_err(|_| AccessTokenRefusal::SignatureInvalid)?;
        let payload = decode_base64url(payload).ok_or(AccessTokenRefusal::NotCompact)?;
        let payload: Payload<'_> =
            serde_json::from_slice(&payload).map_err(|_| AccessTokenRefusal::Malformed)?;
        self.check(payload, now)
    }

    fn check(&self, payload: Payload<'_>, now: i64) -> Result<AccessClaims, AccessTokenRefusal> {
        if payload.iss != self.issuer || payload.aud != self.audience {
            return Err(AccessTokenRefusal::WrongIssuerOrAudience);
        }
        if payload.exp.saturating_sub(payload.iat) > MAX_ACCESS_TOKEN_SECONDS {
            return Err(AccessTokenRefusal::Malformed);
        }
        if now >= payload.exp {
            return Err(AccessTokenRefusal::Expired);
        }
        if payload.iat > now.saturating_add(NODE_SKEW_SECONDS) {
            return Err(AccessTokenRefusal::IssuedInFuture);
        }
        // A scope that this version does not know must not widen into "no restriction".
        let scopes = payload
            .scope
            .map(|list| ScopeSet::parse_list(&list))
            .transpose()
            .map_err(|_| AccessTokenRefusal::Malformed)?;
        Ok(AccessClaims {
            service_account_id: payload.sub,
            project_id: payload.project_id,
            provider_id: payload.client_id,
            rule_id: payload.rule_id,
            token_id: payload.jti,
            issued_at: payload.iat,
            expires_at: payload.exp,
            scopes,
            trust_epoch: payload.trust_epoch,
        })
    }
}

#[cfg(test)]
#[path = "access_token_tests.rs"]
mod tests;
