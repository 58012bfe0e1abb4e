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

use axum::{Router, extract::State, response::Response, routing::post};
use bytes::Bytes;
use http::{StatusCode, Version};
use serde_json::Value;
use waypost_identity::Scope;

use crate::{
    app::AppRef,
    config::UpstreamApi,
    http::{
        caller::ProjectCaller,
        error::ApiError,
        json::{self, JsonBytes},
    },
    responses::create::route,
    tools::emulate::probe::must_emulate,
};

mod answer;
mod chunks;
mod head;
mod pass;
mod request;
mod run;
mod spelling;

use head::Head;

/// The route of `/v1/chat/completions`.
pub fn routes() -> Router<AppRef> {
    Router::new().route("/v1/chat/completions", post(completions))
}

async fn completions(
    State(app): State<AppRef>,
    caller: ProjectCaller,
    version: Version,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    caller.require(Scope::ModelRequest)?;
    let head: Head<'_> = json::parse(&body)?;
    head.check()?;
    let upstream = route(&app, &head.model).map_err(|error| match error.status() {
        // This endpoint has always said 404 for a model that is not there.
        StatusCode::BAD_REQUEST => error.with_status(StatusCode::NOT_FOUND),
        _ => error,
    })?;
    let speaks_chat = upstream.api == UpstreamApi::Chat;
    if speaks_chat && !head.asks_for_more_than_text && !has_calls(&body) {
        return pass::pass(app, upstream, body).await;
    }
    let value = json::parse_unique(&body)?;
    let (value, checked) = request::check(value, &app).await?;
    let runs_here = !speaks_chat
        || checked.must_be_enforced()
        || (checked.has_tools() || has_calls(&body))
            && must_emulate(&app.upstreams, &upstream, &head.model).await;
    if !runs_here {
        drop(value);
        return pass::pass(app, upstream, body).await;
    }
    let request = checked.into_request(&value, upstream.api)?;
    release(value, body);
    run::run(app, upstream, request, version).await
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
