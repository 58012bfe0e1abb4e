//! Workload identity: JWT and JWKS verification, rule matching, scopes, access tokens.
//!
//! Flow of an exchange: [`Presented::read`] checks what a subject token shows by itself;
//! [`Presented::verify`] checks it against a [`TrustPolicy`] and a [`KeySet`];
//! [`AttributeMatchers::matches`] decides whether a rule admits its claims;
//! [`mint`] signs the access token; [`AccessTokenVerifier`] recognises it on later requests.
//!
//! Everything here is a pure function of bytes and a `now` in Unix seconds: this crate never
//! reads a clock, a file or the network. The one invariant that is easy to break: nothing that
//! a token says chooses how the token is checked. Provider, algorithms, keys and addresses come
//! from configuration; the token's `alg` and `kid` are only looked up in them.

mod access_token;
mod algorithm;
mod decoy;
mod discovery;
mod fingerprint;
mod issuer;
mod issuer_url;
mod json;
mod jwk;
mod jwks;
mod jwt;
mod key_source;
mod matching;
mod mint;
mod permissions;
mod policy;
mod refusal;
mod scope;
mod signing_key;
mod text;
mod verify;

#[cfg(test)]
mod forge;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod property_tests;

pub use access_token::{AccessTokenRefusal, AccessTokenVerifier, MAX_ACCESS_TOKEN_BYTES};
pub use algorithm::{Algorithm, AlgorithmSet};
pub use discovery::{Discovery, DiscoveryError, MAX_DISCOVERY_BYTES};
pub use fingerprint::TokenFingerprint;
pub use issuer::{is_own_issuer, same_issuer};
pub use issuer_url::{IssuerRules, IssuerUrlError};
pub use jwk::{JwkProblem, PublicKey};
pub use jwks::{JwksError, KeySet, MAX_JWKS_BYTES, MAX_JWKS_KEYS, SkippedKey};
pub use jwt::{MAX_JSON_DEPTH, MAX_KID_BYTES, MAX_TOKEN_BYTES, Peek, peek};
pub use key_source::{KeySource, KeySourceError, VerificationFields};
pub use matching::{
    AttributeMatchers, MAX_MATCHER_KEY_BYTES, MAX_MATCHER_ROWS, MAX_MATCHER_VALUE_BYTES,
    MatcherError, MatcherWarning, Mismatch,
};
pub use mint::{
    AccessClaims, AccessToken, MAX_ACCESS_TOKEN_SECONDS, MintError, SubjectTokenSpent,
    access_token_lifetime, mint, new_token_id,
};
pub use permissions::{Permissions, PermissionsError};
pub use policy::{PolicyError, TrustPolicy};
pub use refusal::{Part, Refusal};
pub use scope::{Scope, ScopeError, ScopeSet};
pub use signing_key::{Pkcs8Der, PublicJwk, SigningKey, SigningKeyError};
pub use verify::{
    DEFAULT_SKEW_SECONDS, MAX_SKEW_SECONDS, MAX_SUBJECT_BYTES, Presented, VerifiedClaims,
};
