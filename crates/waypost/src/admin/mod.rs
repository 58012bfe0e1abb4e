//! The admin API, `/v1/organization/…`: OpenAI's paths and shapes, so that the
//! official SDKs' `client.admin.organization` works.
//!
//! A file per resource. Every handler reads the same way: an [`AdminCaller`],
//! the request, checks, one store method that takes the change together with
//! its audit event ([`event`]), [`in_force`], the answer.
//!
//! Easy to break: a change is answered only after the directory's snapshot
//! holds it, so that the next request is decided by it.
//!
//! [`AdminCaller`]: crate::identity::caller::AdminCaller

#![expect(
    clippy::option_option,
    reason = "absent, null and a value are three things in a patch, here as in the store"
)]

mod admin_api_keys;
mod api_keys;
mod audit_logs;
mod event;
mod federation_rules;
mod field;
mod projects;
mod providers;
mod service_accounts;

use std::sync::Arc;

use axum::Router;
use waypost_engine::Engine;

use crate::identity::{Identity, KnowsCallers};

/// What the admin API needs.
pub struct Admin {
    pub engine: Engine,
    pub identity: Arc<Identity>,
}

impl KnowsCallers for Admin {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// All routes of the admin API.
pub fn routes() -> Router<Arc<Admin>> {
    let organization = Router::new()
        .merge(projects::routes())
        .merge(service_accounts::routes())
        .merge(api_keys::routes())
        .merge(admin_api_keys::routes())
        .merge(audit_logs::routes())
        .merge(providers::routes())
        .merge(federation_rules::routes());
    Router::new().nest("/v1/organization", organization)
}

/// Waits until requests are decided by what was just committed.
async fn in_force(admin: &Admin) {
    if let Err(error) = admin.identity.directory.refresh_now().await {
        // The change itself is durable; the refresher will pick it up.
        tracing::warn!("a change is committed and not in force yet: {error}");
    }
}
