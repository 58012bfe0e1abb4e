//! `POST /v1/chat/completions`.
//!
//! A request that asks for nothing but an answer is passed on unread
//! ([`pass`]). One with tools or an output format is read and checked first, in
//! the API's own words; where its tools or its format have to be enforced, or
//! its model's server does not speak Chat Completions, it runs here ([`run`]),
//! like a response.
//!
//! Easy to break: bodies that are passed on must not be parsed for more than
//! [`Head`], which skips what it does not name; and no key by which something is
//! decided may come in a spelling that a model server reads alike ([`spelling`]).

use std::sync::Arc;

use axum::{Extension, Router, extract::State, response::Response, routing::post};
use bytes::Bytes;
use http::{StatusCode, Version};
use serde_json::Value;
use waypost_identity::Scope;

use crate::{
    config::UpstreamApi,
    http::{
        edge::RequestInfo,
        error::ApiError,
        json::{self, JsonBytes},
    },
    identity::{Identity, KnowsCallers, caller::ProjectCaller},
    run::Runs,
    upstream::Upstream,
};

pub mod alias;
mod answer;
mod chunks;
mod flow;
pub mod head;
mod lines;
pub mod pass;
mod request;
mod run;
pub mod spelling;

use head::Head;
use pass::Call;

/// What Chat Completions and its kin need.
pub struct Chat {
    pub identity: Arc<Identity>,
    pub runs: Arc<Runs>,
}

impl KnowsCallers for Chat {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The route of `/v1/chat/completions`.
pub fn routes() -> Router<Arc<Chat>> {
    Router::new().route("/v1/chat/completions", post(completions))
}

async fn completions(
    State(chat): State<Arc<Chat>>,
    caller: ProjectCaller,
    Extension(info): Extension<Arc<RequestInfo>>,
    version: Version,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    caller.require(Scope::ModelRequest)?;
    let head: Head<'_> = json::parse(&body)?;
    head.check()?;
    let upstream = routed(&chat, &head.model)?;
    info.learned.route(&head.model, &upstream.name);
    let call = Call {
        chat: Arc::clone(&chat),
        upstream: upstream.clone(),
        info: info.clone(),
        project_id: caller.project_id.clone(),
        model: head.model.clone().into_owned(),
        path: "/chat/completions",
    };
    let speaks_chat = upstream.api == UpstreamApi::Chat;
    if speaks_chat && !head.asks_for_more_than_text && !has_calls(&body) {
        return pass_on(call, body).await;
    }
    let value = json::parse_unique(&body)?;
    let (value, checked) = request::check(value, &chat).await?;
    let runs_here = !speaks_chat
        || checked.must_be_enforced()
        || (checked.has_tools() || has_calls(&body))
            && chat
                .runs
                .tools
                .support
                .must_emulate(&chat.runs.tools.upstreams, &upstream, &head.model)
                .await;
    if !runs_here {
        drop(value);
        return pass_on(call, body).await;
    }
    let request = checked.into_request(&value, upstream.api)?;
    release(value, body);
    run::run(chat, upstream, request, caller.project_id, info, version).await
}

/// The upstream for a model; the endpoints older than Responses have always
/// said 404 for one that is not there.
pub fn routed(chat: &Chat, model: &str) -> Result<Arc<Upstream>, ApiError> {
    chat.runs
        .route(model)
        .map_err(|error| match error.status() {
            StatusCode::BAD_REQUEST => error.with_status(StatusCode::NOT_FOUND),
            _ => error,
        })
}

/// To the model server and back, as it is but for an alias of the model.
pub async fn pass_on(call: Call, body: Bytes) -> Result<Response, ApiError> {
    let (upstream, model) = (Arc::clone(&call.upstream), call.model.clone());
    let body = alias::request(&upstream, &model, body);
    let answer = pass::pass(call, body).await?;
    alias::response(&upstream, &model, answer).await
}

/// Whether a body may hold calls of earlier turns and their results. A search
/// through the bytes costs next to nothing; reading the messages does not.
fn has_calls(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"tool_call").is_some()
}

/// The request is held in its own form by now: the long wait for the model does
/// not keep two more copies.
fn release(value: Value, body: Bytes) {
    drop(value);
    drop(body);
}
