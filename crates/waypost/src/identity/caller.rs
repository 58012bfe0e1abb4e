//! Who calls, from the `Authorization` header.
//!
//! Flow: bearer -> admin key, service account key or access token -> looked up
//! in the directory's snapshot; no I/O. [`AdminCaller`] and [`ProjectCaller`]
//! are the two kinds of routes.
//!
//! Easy to break: 401 is only for a credential that is missing, unknown,
//! expired or revoked, or is another organization's or project's than the
//! request says. Clients with a workload identity answer a 401 by getting
//! a new token and trying again; for missing rights that would never end. A
//! good credential that may not do this gets 403.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request::Parts};
use waypost_engine::directory::KeyOwner;
use waypost_identity::{Scope, ScopeSet};

use super::{keys, snapshot::KeyEntry, tokens};
use crate::{
    clock,
    http::{
        edge::{CallerTag, RequestInfo},
        error::ApiError,
    },
    identity::{Identity, KnowsCallers},
    metrics::ReasonLabels,
};

/// Why an access token is not accepted. All of them are 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// Not one of ours, or broken.
    Invalid,
    /// Its time is over.
    Expired,
    /// Revoked, or what it was issued under is gone, changed or disabled.
    Revoked,
}

/// Anyone with a good credential.
#[derive(Debug, Clone)]
pub enum Caller {
    Admin(AdminCaller),
    Project(ProjectCaller),
}

/// An operator with an organization admin key.
#[derive(Debug, Clone)]
pub struct AdminCaller {
    pub credential: Credential,
    /// The request, for the audit log.
    pub request: Arc<RequestInfo>,
}

/// A workload of one project.
#[derive(Debug, Clone)]
pub struct ProjectCaller {
    pub project_id: String,
    pub service_account_id: String,
    pub credential: Credential,
    /// `None`: all that a service account of the project may do.
    pub scopes: Option<ScopeSet>,
}

/// What the caller showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// `WAYPOST_ADMIN_KEY`.
    BootstrapKey,
    /// An organization admin key.
    AdminKey { key_id: String },
    /// A service account's key.
    ServiceAccountKey { key_id: String },
    /// A token from `/oauth/token`.
    AccessToken {
        jti: String,
        provider_id: String,
        rule_id: String,
    },
}

/// The id by which logs and audit name the bootstrap key.
pub const BOOTSTRAP_KEY_ID: &str = "key_bootstrap";

impl ProjectCaller {
    /// 403 unless the caller may do this.
    pub fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes.is_none_or(|scopes| scopes.contains(scope)) {
            return Ok(());
        }
        Err(ApiError::forbidden(format!(
            "You have insufficient permissions for this operation. Missing scopes: {scope}."
        ))
        .code("missing_scope"))
    }
}

impl Credential {
    /// The id that logs show: never the credential itself.
    pub fn id(&self) -> &str {
        match self {
            Self::BootstrapKey => BOOTSTRAP_KEY_ID,
            Self::AdminKey { key_id } | Self::ServiceAccountKey { key_id } => key_id,
            Self::AccessToken { jti, .. } => jti,
        }
    }
}

impl<S: KnowsCallers> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let identity = state.identity();
        let request = RequestInfo::of(&parts.extensions);
        let caller = authenticate(identity, &parts.headers, &request);
        let caller = caller.and_then(|caller| {
            addressed(identity, &parts.headers, &caller)?;
            Ok(caller)
        });
        let caller = caller.inspect_err(|(_, reason)| {
            let labels = ReasonLabels { reason };
            let _ = request.learned.refusal.set(reason);
            identity
                .metrics
                .authentication_failures
                .get_or_create(&labels)
                .inc();
        });
        let caller = caller.map_err(|(error, _)| error)?;
        request.set_caller(match &caller {
            Self::Admin(admin) => CallerTag {
                credential: admin.credential.id().to_owned(),
                service_account: None,
                project: None,
            },
            Self::Project(project) => CallerTag {
                credential: project.credential.id().to_owned(),
                service_account: Some(project.service_account_id.clone()),
                project: Some(project.project_id.clone()),
            },
        });
        Ok(caller)
    }
}

impl<S: KnowsCallers> FromRequestParts<S> for AdminCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, state).await? {
            Caller::Admin(admin) => Ok(admin),
            Caller::Project(_) => Err(ApiError::forbidden(
                "This operation needs an organization admin key; keys and tokens of a service account cannot do it.",
            )
            .code("admin_key_required")),
        }
    }
}

impl<S: KnowsCallers> FromRequestParts<S> for ProjectCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, state).await? {
            Caller::Project(project) => Ok(project),
            Caller::Admin(_) => Err(ApiError::forbidden(
                "An organization admin key cannot do this. Use a service account's key or a token from /oauth/token.",
            )
            .code("project_key_required")),
        }
    }
}

/// What is refused, and the reason that metrics count.
type Refused = (ApiError, &'static str);

fn authenticate(
    identity: &Identity,
    headers: &HeaderMap,
    request: &Arc<RequestInfo>,
) -> Result<Caller, Refused> {
    let token = bearer(headers)?;
    if looks_like_jwt(token) {
        return tokens::verify(identity, token)
            .map(Caller::Project)
            .map_err(refused_token);
    }
    let hash = keys::hash(token);
    if identity
        .bootstrap_key
        .as_ref()
        .is_some_and(|key| key.is(&hash))
    {
        return Ok(Caller::Admin(AdminCaller {
            credential: Credential::BootstrapKey,
            request: Arc::clone(request),
        }));
    }
    let snapshot = identity.directory.current();
    let entry = snapshot
        .keys
        .get(&hash)
        // The map's own comparison stops early; this one does not.
        .filter(|entry| keys::same_hash(&entry.hash, &hash))
        .ok_or_else(incorrect_key)?;
    let now = clock::now();
    if entry.expires_at.is_some_and(|end| end <= now) {
        return Err((
            ApiError::unauthorized("The API key has expired. Please use another one.")
                .code("expired_api_key"),
            "expired_key",
        ));
    }
    let caller = match &entry.owner {
        KeyOwner::Organization => Caller::Admin(AdminCaller {
            credential: Credential::AdminKey {
                key_id: entry.id.clone(),
            },
            request: Arc::clone(request),
        }),
        KeyOwner::ServiceAccount {
            project_id,
            service_account_id,
        } => {
            if snapshot
                .active_service_account(project_id, service_account_id)
                .is_none()
            {
                return Err((
                    ApiError::unauthorized(
                        "The project of this API key is archived, or its service account was deleted.",
                    )
                    .code("invalid_api_key"),
                    "inactive_owner",
                ));
            }
            Caller::Project(project_caller(entry, project_id, service_account_id))
        }
    };
    entry.last_use.note(now);
    Ok(caller)
}

/// `OpenAI-Organization` and `OpenAI-Project` choose nothing: a credential has
/// one of each. A client that names another is set up for something else, and
/// must not go on in the wrong place. Admin keys belong to no project.
fn addressed(identity: &Identity, headers: &HeaderMap, caller: &Caller) -> Result<(), Refused> {
    if names_another(headers, "openai-organization", &identity.organization_id) {
        return Err((
            ApiError::unauthorized(
                "OpenAI-Organization header should match organization for API key",
            )
            .code("mismatched_organization"),
            "mismatched_organization",
        ));
    }
    let Caller::Project(project) = caller else {
        return Ok(());
    };
    if names_another(headers, "openai-project", &project.project_id) {
        return Err((
            ApiError::unauthorized("OpenAI-Project header should match project for API key")
                .code("mismatched_project"),
            "mismatched_project",
        ));
    }
    Ok(())
}

/// Whether a header has a value that is neither empty nor this.
fn names_another(headers: &HeaderMap, name: &str, own: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .map(|value| value.as_bytes().trim_ascii())
        .any(|value| !value.is_empty() && value != own.as_bytes())
}

fn project_caller(entry: &KeyEntry, project_id: &str, service_account_id: &str) -> ProjectCaller {
    ProjectCaller {
        project_id: project_id.to_owned(),
        service_account_id: service_account_id.to_owned(),
        credential: Credential::ServiceAccountKey {
            key_id: entry.id.clone(),
        },
        scopes: entry.scopes,
    }
}

/// The one bearer token, RFC 6750 section 2.1.
fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let missing = || {
        (
            ApiError::unauthorized(
                "No API key was provided. Send it in the Authorization header: \"Authorization: Bearer YOUR_KEY\".",
            )
            .code("missing_api_key"),
            "missing",
        )
    };
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err((
            ApiError::unauthorized("The request has more than one Authorization header.")
                .code("invalid_api_key"),
            "ambiguous",
        ));
    }
    let value = value.to_str().map_err(|_| incorrect_key())?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    let token = token.trim_matches(' ');
    if token.is_empty() {
        return Err(missing());
    }
    Ok(token)
}

/// Three segments, the first one an encoded `{"`: no key of ours looks so.
fn looks_like_jwt(token: &str) -> bool {
    token.starts_with("ey") && token.bytes().filter(|b| *b == b'.').count() == 2
}

fn incorrect_key() -> Refused {
    (
        ApiError::unauthorized("Incorrect API key provided.").code("invalid_api_key"),
        "unknown_key",
    )
}

fn refused_token(refusal: TokenRefusal) -> Refused {
    match refusal {
        TokenRefusal::Invalid => (
            ApiError::unauthorized("The access token is not valid.").code("invalid_api_key"),
            "invalid_token",
        ),
        TokenRefusal::Expired => (
            ApiError::unauthorized("The access token has expired. Please exchange a new one.")
                .code("token_expired"),
            "expired_token",
        ),
        TokenRefusal::Revoked => (
            ApiError::unauthorized("The access token was revoked. Please exchange a new one.")
                .code("token_revoked"),
            "revoked_token",
        ),
    }
}
