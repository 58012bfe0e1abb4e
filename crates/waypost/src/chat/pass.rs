//! The model server's own answer, byte for byte. Whatever asks for nothing that
//! this server has to see to goes this way, so it costs what a proxy costs.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};

use crate::{
    app::AppRef,
    http::error::ApiError,
    responses::foreground::note_upstream_error,
    upstream::{Upstream, error::UpstreamError},
};

/// Sends the body on as it came and the answer back as it comes.
pub async fn pass(app: AppRef, upstream: Arc<Upstream>, body: Bytes) -> Result<Response, ApiError> {
    let patience = app.config.responses.queue_timeout;
    let slot = upstream
        .slot(patience)
        .await
        .ok_or_else(|| ApiError::rate_limited(Duration::from_secs(5)).code("upstream_busy"))?;
    let request = upstream
        .request(
            &app.upstreams.client,
            reqwest::Method::POST,
            "/chat/completions",
        )
        .header(header::CONTENT_TYPE, "application/json")
        .body(body);
    let idle = app.config.responses.upstream_idle_timeout;
    let answer = app.upstreams.send(request, idle).await.map_err(|error| {
        note_upstream_error(&app, &upstream, &error);
        ApiError::bad_gateway(error.safe_sentence()).code("upstream_error")
    })?;
    let status = answer.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        let reason = if status.is_server_error() {
            "server_error"
        } else {
            "throttled"
        };
        app.metrics.upstream_error(&upstream.name, reason);
    }
    if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
        // About our key there, not the caller's here: a 401 would make a
        // client with a workload identity get a new token for nothing.
        tracing::error!(upstream = %upstream.name, %status, "the model server refuses our credentials");
        app.metrics.upstream_error(&upstream.name, "refused");
        return Err(
            ApiError::bad_gateway("The model server refused this server's credentials.")
                .code("upstream_error"),
        );
    }
    if !(status.is_success() || speaks_json(&answer)) {
        // A proxy's page, or a redirect that clients must not follow from here.
        tracing::warn!(upstream = %upstream.name, %status, "the model server's answer is none of its API");
        return Err(ApiError::bad_gateway(format!(
            "The model server failed with status {}.",
            status.as_u16()
        ))
        .code("upstream_error"));
    }
    let headers = passed_on(answer.headers());
    let stop = app.shutdown.stopping();
    // The slot is held until the body is sent or dropped.
    let bytes = answer.bytes_stream();
    let body = futures::stream::unfold((bytes, slot), move |(mut bytes, slot)| async move {
        let next = match tokio::time::timeout(idle, bytes.next()).await {
            Ok(next) => next?.map_err(std::io::Error::other),
            Err(_) => Err(std::io::Error::other(UpstreamError::Stalled(idle))),
        };
        Some((next, (bytes, slot)))
    })
    .take_until(stop.cancelled_owned());
    let mut response = Response::new(Body::from_stream(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// An error of the API itself, which clients can read.
fn speaks_json(answer: &reqwest::Response) -> bool {
    let content_type = answer.headers().get(header::CONTENT_TYPE);
    let is_error = answer.status().is_client_error() || answer.status().is_server_error();
    is_error && content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

/// What of an answer's head is for the client. Rate limits and the like are,
/// what belongs to the connection or identifies the upstream is not.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::new();
    for (name, value) in headers {
        let pass = matches!(
            *name,
            header::CONTENT_TYPE
                | header::CONTENT_ENCODING
                | header::CACHE_CONTROL
                | header::RETRY_AFTER
        ) || name.as_str().starts_with("x-ratelimit-")
            || name.as_str() == "retry-after-ms";
        if pass {
            out.append(name.clone(), value.clone());
        }
    }
    if !out.contains_key(header::CACHE_CONTROL) {
        out.insert(
            header::CACHE_CONTROL,
            http::HeaderValue::from_static("no-cache"),
        );
    }
    out
}
