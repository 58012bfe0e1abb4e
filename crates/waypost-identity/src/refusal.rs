//! Why a subject token was refused.
//!
//! The sentence is for operators (log, audit). Callers are told what [`Refusal::told`] gives, and
//! otherwise one opaque answer. Sentences quote single header and claim values, escaped and cut,
//! never the token.

use std::fmt;

use crate::algorithm::Algorithm;
use crate::jwk::JwkProblem;
use crate::jwt::{MAX_JSON_DEPTH, MAX_TOKEN_BYTES};
use crate::text::utc;

/// A segment of the compact form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Header,
    Payload,
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
        })
    }
}

/// One reason for refusing a subject token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("The token is {bytes} bytes long; at most {MAX_TOKEN_BYTES} are accepted.")]
    TokenTooLarge { bytes: usize },
    #[error(
        "The token has {segments} dot-separated segments; a signed JWT in compact form has three."
    )]
    NotCompact { segments: usize },
    #[error("The token is encrypted (JWE, five segments); only signed JWTs are accepted.")]
    Encrypted,
    #[error("The token is a JSON serialization of a JWS; only the compact form is accepted.")]
    JsonSerialization,
    #[error(
        "The token's {0} is not strict base64url (no padding, no white space, no stray trailing \
         bits)."
    )]
    NotBase64Url(Part),
    #[error("The token's {0} is not valid JSON.")]
    NotJson(Part),
    #[error("The token's {0} is not a JSON object.")]
    NotAnObject(Part),
    #[error("The token's {0} repeats a member name within one object.")]
    DuplicateMember(Part),
    #[error("The token's {0} is nested more than {MAX_JSON_DEPTH} levels deep.")]
    TooDeep(Part),

    #[error("The token's header has no `alg`.")]
    AlgorithmMissing,
    #[error("The token's `alg` is not a string.")]
    AlgorithmInvalid,
    #[error("The token is unsigned (`alg` is none).")]
    AlgorithmNone,
    #[error("The token is signed with a shared secret (HMAC); only asymmetric keys are accepted.")]
    AlgorithmSymmetric,
    #[error("The token's `alg` {algorithm} is not supported.")]
    AlgorithmUnsupported { algorithm: String },
    #[error("The token's `alg` {algorithm} is not among the algorithms that this provider allows.")]
    AlgorithmNotAllowed { algorithm: Algorithm },
    #[error("The token's header has `crit`, which demands extensions that are not supported.")]
    CriticalHeader,
    #[error("The token's header has `b64` (RFC 7797), which is not supported.")]
    UnencodedPayload,
    #[error(
        "The token's `typ` is {typ}; accepted are none, JWT, JOSE and at+jwt, also after \
         `application/`."
    )]
    TypeNotAccepted { typ: String },
    #[error("The token's header has no `kid`, so its key cannot be chosen.")]
    KidMissing,
    #[error("The token's `kid` {reason}.")]
    KidInvalid { reason: &'static str },

    #[error("No key of the provider has the token's `kid` {kid}.")]
    UnknownKid { kid: String },
    #[error("The provider's key {kid} cannot be used: its key set entry {problem}.")]
    KeyUnusable { kid: String, problem: JwkProblem },
    #[error("The provider's key {kid} cannot be used with the token's `alg` {algorithm}.")]
    KeyAlgorithmMismatch { kid: String, algorithm: Algorithm },
    #[error("The signature does not verify with the provider's key {kid}.")]
    SignatureInvalid { kid: String },

    #[error("The token has no `{claim}` claim.")]
    ClaimMissing { claim: &'static str },
    #[error("The token's `{claim}` {reason}.")]
    ClaimInvalid {
        claim: &'static str,
        reason: &'static str,
    },
    #[error("The token was issued by this server itself; access tokens cannot be exchanged.")]
    OwnToken,
    #[error("The token's `iss` is {got}, but the provider's issuer is {expected}.")]
    IssuerMismatch { expected: String, got: String },
    #[error(
        "The token's `aud` is {got}, which does not contain the provider's audience {expected}."
    )]
    AudienceMismatch {
        expected: String,
        got: String,
        /// The signature holds, so the token is at least its issuer's.
        signed: bool,
    },
    #[error(
        "The token expired: `exp` is {}, the time is {} (skew allowed: {skew} s).",
        utc(*exp),
        utc(*now)
    )]
    Expired { exp: i64, now: i64, skew: u32 },
    #[error(
        "The token is not valid yet: `nbf` is {}, the time is {} (skew allowed: {skew} s).",
        utc(*nbf),
        utc(*now)
    )]
    NotYetValid { nbf: i64, now: i64, skew: u32 },
    #[error(
        "The token was issued in the future: `iat` is {}, the time is {} (skew allowed: {skew} s).",
        utc(*iat),
        utc(*now)
    )]
    IssuedInFuture { iat: i64, now: i64, skew: u32 },
    #[error("The token's `exp` ({}) is not after its `iat` ({}).", utc(*exp), utc(*iat))]
    ExpiryNotAfterIssue { exp: i64, iat: i64 },
    #[error("The token lives {seconds} s from `iat` to `exp`; the provider allows {max} s.")]
    LifetimeTooLong { seconds: i64, max: u32 },
}

impl Refusal {
    /// A stable name for metrics, audit events and tests.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TokenTooLarge { .. } => "token_too_large",
            Self::NotCompact { .. } => "not_compact",
            Self::Encrypted => "encrypted",
            Self::JsonSerialization => "json_serialization",
            Self::NotBase64Url(_) => "not_base64url",
            Self::NotJson(_) => "not_json",
            Self::NotAnObject(_) => "not_an_object",
            Self::DuplicateMember(_) => "duplicate_member",
            Self::TooDeep(_) => "too_deep",
            Self::AlgorithmMissing => "algorithm_missing",
            Self::AlgorithmInvalid => "algorithm_invalid",
            Self::AlgorithmNone => "algorithm_none",
            Self::AlgorithmSymmetric => "algorithm_symmetric",
            Self::AlgorithmUnsupported { .. } => "algorithm_unsupported",
            Self::AlgorithmNotAllowed { .. } => "algorithm_not_allowed",
            Self::CriticalHeader => "critical_header",
            Self::UnencodedPayload => "unencoded_payload",
            Self::TypeNotAccepted { .. } => "type_not_accepted",
            Self::KidMissing => "kid_missing",
            Self::KidInvalid { .. } => "kid_invalid",
            Self::UnknownKid { .. } => "unknown_kid",
            Self::KeyUnusable { .. } => "key_unusable",
            Self::KeyAlgorithmMismatch { .. } => "key_algorithm_mismatch",
            Self::SignatureInvalid { .. } => "signature_invalid",
            Self::ClaimMissing { .. } => "claim_missing",
            Self::ClaimInvalid { .. } => "claim_invalid",
            Self::OwnToken => "own_token",
            Self::IssuerMismatch { .. } => "issuer_mismatch",
            Self::AudienceMismatch { .. } => "audience_mismatch",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::IssuedInFuture { .. } => "issued_in_future",
            Self::ExpiryNotAfterIssue { .. } => "expiry_not_after_issue",
            Self::LifetimeTooLong { .. } => "lifetime_too_long",
        }
    }

    /// What the caller may be told, if anything: what its own token shows to anybody, whatever
    /// provider was named, and a wrong audience once the signature holds. Without quotes and
    /// backslashes, as RFC 6749 §5.2 wants an `error_description`.
    pub fn told(&self) -> Option<String> {
        match self {
            Self::AlgorithmUnsupported { .. } => {
                Some("The token's `alg` is not supported.".to_owned())
            }
            Self::TypeNotAccepted { .. } => Some(
                "The token's `typ` is not accepted; accepted are none, JWT, JOSE and at+jwt."
                    .to_owned(),
            ),
            Self::AudienceMismatch { signed: true, .. } => {
                Some("The token's `aud` is not the audience that is expected of it.".to_owned())
            }
            Self::TokenTooLarge { .. }
            | Self::NotCompact { .. }
            | Self::Encrypted
            | Self::JsonSerialization
            | Self::NotBase64Url(_)
            | Self::NotJson(_)
            | Self::NotAnObject(_)
            | Self::DuplicateMember(_)
            | Self::TooDeep(_)
            | Self::AlgorithmMissing
            | Self::AlgorithmInvalid
            | Self::AlgorithmNone
            | Self::AlgorithmSymmetric
            | Self::CriticalHeader
            | Self::UnencodedPayload
            | Self::KidMissing
            | Self::KidInvalid { .. }
            | Self::ClaimMissing { .. }
            | Self::ClaimInvalid { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::IssuedInFuture { .. }
            | Self::ExpiryNotAfterIssue { .. } => Some(self.to_string()),
            Self::AlgorithmNotAllowed { .. }
            | Self::UnknownKid { .. }
            | Self::KeyUnusable { .. }
            | Self::KeyAlgorithmMismatch { .. }
            | Self::SignatureInvalid { .. }
            | Self::OwnToken
            | Self::IssuerMismatch { .. }
            | Self::AudienceMismatch { signed: false, .. }
            | Self::LifetimeTooLong { .. } => None,
        }
    }

    /// Whether newer keys could change the verdict. True for an unknown `kid` alone, which
    /// [`crate::Presented::verify`] reports only for tokens that are otherwise well-formed and current.
    pub const fn may_be_cured_by_new_keys(&self) -> bool {
        matches!(self, Self::UnknownKid { .. })
    }
}
