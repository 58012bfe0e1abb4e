//! The Responses API: durable, resumable, cancellable.
//!
//! A request is read ([`request`]), its context loaded ([`context`]), and run
//! either while the client waits ([`foreground`]) or as a job ([`jobs`],
//! [`background`]). Both pump the same generation ([`pump`]): deltas of a model
//! server, assembled into events ([`assemble`]), written to a sink ([`sink`]).
//! Every reader of a log is a [`follow`]er.
//!
//! Easy to break: a background event is durable before any client sees it.

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use waypost_engine::Engine;

use self::{idempotency::RunningKeys, jobs::Jobs};
use crate::{
    config::Keep,
    identity::{Identity, KnowsCallers},
    run::Runs,
};

mod assemble;
mod background;
mod call_pairing;
mod cancel;
mod context;
pub mod create;
mod delete;
mod events;
mod follow;
pub mod foreground;
pub mod idempotency;
mod input_items;
pub mod items;
mod job;
pub mod jobs;
mod object;
mod outputs;
mod poll;
#[cfg(test)]
mod properties;
mod pump;
mod recover;
mod references;
mod request;
mod restream;
mod retrieve;
pub mod sink;

/// What the Responses API keeps.
pub struct Responses {
    pub identity: Arc<Identity>,
    pub runs: Arc<Runs>,
    pub engine: Engine,
    /// How long events of the audit log are kept: the sweep of old responses
    /// sees to them too.
    pub audit_retention: Keep,
    /// The background jobs that run here.
    pub jobs: Jobs,
    /// The idempotency keys of what runs here while its client waits.
    pub running_keys: RunningKeys,
}

impl KnowsCallers for Responses {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The routes of `/v1/responses`.
pub fn routes() -> Router<Arc<Responses>> {
    Router::new()
        .route("/v1/responses", post(create::create))
        .route(
            "/v1/responses/{response_id}",
            get(retrieve::retrieve).delete(delete::delete),
        )
        .route("/v1/responses/{response_id}/cancel", post(cancel::cancel))
        .route(
            "/v1/responses/{response_id}/input_items",
            get(input_items::input_items),
        )
}
