//! `POST /oauth/token`: a workload's own token in, a short-lived access token
//! out (RFC 8693).
//!
//! Flow: rate of the client -> body -> what the token shows by itself ->
//! provider and its rate -> signature and claims -> rule -> mint -> audit event
//! queued. With the provider's keys at hand there is no I/O in it.
//!
//! Easy to break: what a caller is told about its own token is found before any
//! provider is looked up; whoever names a provider that is not there, or is
//! disabled, is answered as one whose signature does not hold, after the same
//! work. The token is verified before a rule is looked for, so that nobody
//! without a good token learns which service accounts exist; and the rule is
//! looked for in the directory of the moment after any wait for keys.

pub mod params;
pub mod reply;

use std::sync::Arc;

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use waypost_engine::id;
use waypost_identity::{
    AccessClaims, Presented, TokenFingerprint, VerifiedClaims, access_token_lifetime, mint,
    new_token_id,
};

use self::{
    params::{ACCESS_TOKEN_TYPE, ExchangeRequest, Params},
    reply::{Issued, Refused},
};
use super::{
    audit::{IssuedEvent, RefusedEvent},
    compiled::{CompiledDirectory, Keys, Trust},
    jwks_cache::Failure,
};
use crate::{
    clock,
    http::edge::{CallerTag, RequestInfo},
    identity::Identity,
    metrics::ReasonLabels,
};

/// When a client may try again after something of ours failed.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// Also under a prefix of one or two segments: some clients can only set a
/// base URL.
pub fn routes() -> Router<Arc<Identity>> {
    Router::new()
        .route("/oauth/token", post(exchange))
        .route("/{prefix}/oauth/token", post(exchange))
        .route("/{prefix}/{more}/oauth/token", post(exchange))
}

/// What is known of an exchange while it is decided, for log and audit.
#[derive(Default)]
pub(super) struct Attempt {
    /// As the caller gave them, if they look like ids.
    pub provider_id: Option<String>,
    pub service_account_id: Option<String>,
    /// Of the subject token.
    pub fingerprint: Option<TokenFingerprint>,
    /// The subject token's, once it was verified.
    pub subject: Option<String>,
    pub subject_jti: Option<String>,
}

async fn exchange(State(identity): State<Arc<Identity>>, request: Request) -> Response {
    let info = RequestInfo::of(request.extensions());
    let mut attempt = Attempt::default();
    let outcome = run(&identity, &info, request, &mut attempt).await;
    let reason = outcome
        .as_ref()
        .map_or_else(|refused| refused.reason, |_| "issued");
    identity
        .metrics
        .exchanges
        .get_or_create(&ReasonLabels { reason })
        .inc();
    match outcome {
        Ok((issued, claims)) => {
            info.set_caller(CallerTag {
                credential: claims.token_id.clone(),
                service_account: Some(claims.service_account_id.clone()),
                project: Some(claims.project_id.clone()),
            });
            tracing::debug!(
                jti = claims.token_id,
                subject_token = attempt.fingerprint.map(tracing::field::display),
                subject_jti = attempt.subject_jti,
                "issued a token for {}",
                claims.service_account_id
            );
            identity.audit.issued(IssuedEvent {
                claims,
                attempt,
                request: info,
            });
            issued.into_response()
        }
        Err(refused) => {
            tracing::info!(
                target: "waypost::exchange",
                reason = refused.reason,
                provider = attempt.provider_id,
                service_account = attempt.service_account_id,
                subject_token = attempt.fingerprint.map(tracing::field::display),
                subject_jti = attempt.subject_jti,
                request_id = info.id,
                "token exchange refused: {}",
                refused.detail
            );
            identity.audit.refused(RefusedEvent {
                error: refused.error,
                reason: refused.reason,
                detail: refused.detail.clone(),
                attempt,
                request: info,
            });
            refused.into_response()
        }
    }
}

async fn run(
    identity: &Arc<Identity>,
    info: &RequestInfo,
    request: Request,
    attempt: &mut Attempt,
) -> Result<(Issued, AccessClaims), Refused> {
    limit_client(identity, info)?;
    let (parts, body) = request.into_parts();
    let params = Params::read(&parts.headers, body).await?;
    let request = ExchangeRequest::of(&params)?;
    attempt.provider_id = plausible(&request.identity_provider_id);
    attempt.service_account_id = plausible(&request.service_account_id);
    attempt.fingerprint = Some(TokenFingerprint::of(&request.subject_token));

    let now = clock::seconds(clock::now());
    let skew = identity.settings.skew_seconds;
    let presented = Presented::read(&request.subject_token, skew, now)
        .map_err(|refusal| Refused::subject_token(&refusal))?;
    let lifetime = access_token_lifetime(presented.exp(), now).map_err(|spent| {
        Refused::own_fault("subject_token_spent", spent.to_string(), spent.to_string())
    })?;
    let (claims, trust_epoch) = authenticate(identity, &request, &presented).await?;
    attempt.subject = Some(claims.sub().to_owned());
    attempt.subject_jti = claims.jti().map(str::to_owned);

    // The directory may have changed while keys were fetched.
    let directory = identity.compiled();
    let granted = grant(&directory, &request, &claims, trust_epoch, now, lifetime)?;
    issue(identity, &directory, granted)
}

/// The rate of the client's address. A peer is unknown only where there is no
/// socket.
pub(super) fn limit_client(identity: &Identity, info: &RequestInfo) -> Result<(), Refused> {
    info.peer
        .map_or(Ok(()), |peer| identity.limits.client(peer))
        .map_err(|wait| Refused::rate_limited("client_rate", wait))
}

/// Verifies the subject token against the provider that the request names, and
/// says under which trust.
async fn authenticate(
    identity: &Arc<Identity>,
    request: &ExchangeRequest,
    presented: &Presented<'_>,
) -> Result<(VerifiedClaims, i64), Refused> {
    let directory = identity.compiled();
    let id = &request.identity_provider_id;
    // Before anything that costs as much as a signature does.
    limit_provider(identity, &directory, id)?;
    let (trust, trust_epoch) =
        trusted(identity, &directory, id).inspect_err(|_| presented.spend_a_verification())?;
    let verified = match &trust.keys {
        Keys::Uploaded(keys) => presented
            .verify(&trust.policy, keys)
            .map_err(Failure::Refused),
        Keys::Discovered(remote) => remote.verify(identity, &trust.policy, presented).await,
    };
    match verified {
        Ok(claims) => Ok((claims, trust_epoch)),
        Err(Failure::Refused(refusal)) => Err(Refused::subject_token(&refusal)),
        Err(Failure::Unavailable { why, retry_after }) => Err(Refused::unavailable(
            why.reason(),
            why.to_string(),
            retry_after,
        )),
    }
}

/// The rate of the provider of that id, or of the id if it is no provider's.
fn limit_provider(
    identity: &Identity,
    directory: &CompiledDirectory,
    id: &str,
) -> Result<(), Refused> {
    let limits = &identity.limits;
    directory
        .provider(id)
        .map_or_else(
            || limits.stranger(id),
            |(_, compiled)| limits.provider(&compiled.bucket),
        )
        .map_err(|wait| Refused::rate_limited("provider_rate", wait))
}

/// What the provider of that id trusts, and since which edit.
fn trusted<'v>(
    identity: &Identity,
    directory: &'v CompiledDirectory,
    id: &str,
) -> Result<(&'v Trust, i64), Refused> {
    let (provider, compiled) = directory
        .provider(id)
        .ok_or_else(|| Refused::grant("unknown_provider", "there is no such provider"))?;
    if !provider.enabled {
        return Err(Refused::grant(
            "provider_disabled",
            "the provider is disabled",
        ));
    }
    let trust = compiled
        .trust(provider, &identity.settings)
        .map_err(|problem| Refused::grant("provider_misconfigured", problem))?;
    Ok((trust, provider.trust_epoch))
}

/// Finds the rule, and says what the access token will be, for `lifetime`
/// seconds from now.
fn grant(
    directory: &CompiledDirectory,
    request: &ExchangeRequest,
    claims: &VerifiedClaims,
    trust_epoch: i64,
    now: i64,
    lifetime: i64,
) -> Result<AccessClaims, Refused> {
    let (provider, _) = directory
        .provider(&request.identity_provider_id)
        .filter(|(provider, _)| provider.enabled && provider.trust_epoch == trust_epoch)
        .ok_or_else(|| {
            Refused::grant(
                "provider_changed",
                "the provider was changed while its keys were fetched",
            )
        })?;
    let rule = directory
        .rule(&provider.id, &request.service_account_id)
        .ok_or_else(|| {
            Refused::grant(
                "no_rule",
                "the provider has no rule for this service account",
            )
        })?;
    let row = rule.row();
    if !row.enabled {
        return Err(Refused::grant(
            "rule_disabled",
            format!("the rule {} is disabled", row.id),
        ));
    }
    let snapshot = &directory.snapshot;
    if snapshot
        .service_account(&row.project_id, &row.service_account_id)
        .is_none()
    {
        return Err(Refused::grant(
            "unknown_service_account",
            format!(
                "the project {} of the rule has no service account {}",
                row.project_id, row.service_account_id
            ),
        ));
    }
    if snapshot
        .active_service_account(&row.project_id, &row.service_account_id)
        .is_none()
    {
        return Err(Refused::grant(
            "project_archived",
            format!("the project {} of the rule is archived", row.project_id),
        ));
    }
    let compiled = rule
        .compiled()
        .map_err(|problem| Refused::grant("rule_misconfigured", problem))?;
    compiled.matchers.matches(claims).map_err(|mismatch| {
        Refused::grant(
            "rule_mismatch",
            format!("the rule {} does not admit the token: {mismatch}", row.id),
        )
    })?;
    Ok(AccessClaims {
        service_account_id: row.service_account_id.clone(),
        project_id: row.project_id.clone(),
        provider_id: provider.id.clone(),
        rule_id: row.id.clone(),
        token_id: new_token_id().map_err(|error| broken(&error))?,
        issued_at: now,
        expires_at: now + lifetime,
        scopes: compiled.permissions.scopes(),
        trust_epoch: u64::try_from(trust_epoch).map_err(|error| broken(&error))?,
    })
}

fn issue(
    identity: &Identity,
    directory: &CompiledDirectory,
    claims: AccessClaims,
) -> Result<(Issued, AccessClaims), Refused> {
    let key = directory
        .ring
        .signer(clock::now())
        .ok_or_else(|| broken(&"there is no signing key"))?;
    let token = mint(key, &identity.public_url, &identity.public_url, &claims)
        .map_err(|error| broken(&error))?;
    let issued = Issued {
        access_token: token.expose().to_owned(),
        issued_token_type: ACCESS_TOKEN_TYPE,
        token_type: "Bearer",
        expires_in: claims.expires_at - claims.issued_at,
        expires_at: claims.expires_at,
        scope: claims.scopes.map(|scopes| scopes.to_string()),
    };
    Ok((issued, claims))
}

/// Something of ours failed that should not be able to.
fn broken(cause: &dyn std::fmt::Display) -> Refused {
    tracing::error!("a token cannot be issued: {cause}");
    Refused::unavailable("internal", cause.to_string(), RETRY_SOON)
}

/// An id as logs may show it: callers may send anything.
fn plausible(id: &str) -> Option<String> {
    id::is_plausible(id, "").then(|| id.to_owned())
}
