//! Who an access token stands for, at this moment.
//!
//! Flow: fingerprint -> claims, from a bounded cache or by verifying the
//! signature -> expiry, revocation and everything the token was issued under,
//! against the present snapshot.
//!
//! Easy to break: the cache remembers only what a signature proves for ever.
//! Whatever an operator can change is looked up on every request.

use std::sync::Arc;

use moka::sync::Cache;
use waypost_identity::{AccessClaims, AccessTokenRefusal, Permissions, ScopeSet, TokenFingerprint};

use super::compiled::CompiledDirectory;
use crate::{
    clock,
    identity::Identity,
    identity::caller::{Credential, ProjectCaller, TokenRefusal},
};

/// Tokens that are remembered as verified; one takes about half a kilobyte.
const MAX_CACHED: u64 = 50_000;

/// Verified tokens.
pub struct AccessTokens {
    verified: Cache<TokenFingerprint, Arc<AccessClaims>>,
}

/// Whom an access token of this server stands for at this moment: signature,
/// expiry, revocation, and whether provider, rule, service account and project
/// still stand.
pub fn verify(identity: &Identity, token: &str) -> Result<ProjectCaller, TokenRefusal> {
    let directory = identity.compiled();
    let now = clock::seconds(clock::now());
    let claims = identity.tokens.claims(&directory, token, now)?;
    let present = standing(&directory, &claims).ok_or(TokenRefusal::Revoked)?;
    Ok(ProjectCaller {
        project_id: claims.project_id.clone(),
        service_account_id: claims.service_account_id.clone(),
        credential: Credential::AccessToken {
            jti: claims.token_id.clone(),
            provider_id: claims.provider_id.clone(),
            rule_id: claims.rule_id.clone(),
        },
        scopes: narrowed(claims.scopes, present.scopes()),
    })
}

impl AccessTokens {
    pub(super) fn new() -> Self {
        Self {
            verified: Cache::builder().max_capacity(MAX_CACHED).build(),
        }
    }

    /// What the token says, if this server signed it and it has not expired.
    pub fn claims(
        &self,
        directory: &CompiledDirectory,
        token: &str,
        now: i64,
    ) -> Result<Arc<AccessClaims>, TokenRefusal> {
        let fingerprint = TokenFingerprint::of(token);
        if let Some(claims) = self.verified.get(&fingerprint) {
            if now >= claims.expires_at {
                self.verified.invalidate(&fingerprint);
                return Err(TokenRefusal::Expired);
            }
            return Ok(claims);
        }
        let verifier = directory.ring.verifier().ok_or(TokenRefusal::Invalid)?;
        let claims = verifier.verify(token, now).map_err(|refusal| {
            tracing::debug!(
                token = %fingerprint,
                reason = refusal.code(),
                "an access token was refused: {refusal}"
            );
            match refusal {
                AccessTokenRefusal::Expired => TokenRefusal::Expired,
                _ => TokenRefusal::Invalid,
            }
        })?;
        let claims = Arc::new(claims);
        self.verified.insert(fingerprint, Arc::clone(&claims));
        Ok(claims)
    }

    /// Forgets all, because a signing key is gone.
    pub(super) fn clear(&self) {
        self.verified.invalidate_all();
    }
}

/// What the token's rule gives at present, if everything the token was issued
/// under still stands.
fn standing(directory: &CompiledDirectory, claims: &AccessClaims) -> Option<Permissions> {
    let snapshot = &directory.snapshot;
    if snapshot.revoked.contains(&claims.token_id) {
        return None;
    }
    let provider = snapshot.providers.get(&claims.provider_id)?;
    if !provider.enabled || u64::try_from(provider.trust_epoch) != Ok(claims.trust_epoch) {
        return None;
    }
    let rule = directory.rule(&claims.provider_id, &claims.service_account_id)?;
    let row = rule.row();
    if !row.enabled || row.id != claims.rule_id || row.project_id != claims.project_id {
        return None;
    }
    snapshot.active_service_account(&claims.project_id, &claims.service_account_id)?;
    rule.compiled().ok().map(|rule| rule.permissions)
}

/// What both lists allow; `None` is no restriction.
fn narrowed(issued: Option<ScopeSet>, present: Option<ScopeSet>) -> Option<ScopeSet> {
    match (issued, present) {
        (Some(issued), Some(present)) => Some(issued.intersection(present)),
        (issued, present) => issued.or(present),
    }
}

#[cfg(test)]
mod tests {
    use waypost_identity::Scope;

    use super::*;

    #[test]
    fn scopes_only_narrow() {
        let set = |scopes: &[Scope]| Some(scopes.iter().copied().collect::<ScopeSet>());
        let read = set(&[Scope::ModelRead]);
        let both = set(&[Scope::ModelRead, Scope::ModelRequest]);
        assert_eq!(narrowed(None, None), None);
        assert_eq!(narrowed(read, None), read);
        assert_eq!(narrowed(None, read), read);
        assert_eq!(narrowed(both, read), read);
        let other = set(&[Scope::TunnelUse]);
        assert_eq!(narrowed(read, other), Some(ScopeSet::EMPTY));
    }
}
