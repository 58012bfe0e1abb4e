//! The model server's own answer, byte for byte. Whatever asks for nothing that
//! this server has to see to goes this way, so it costs what a proxy costs.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use memchr::memmem;
use outbound::redact::Redactor;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    flow::{ByteStream, Flow},
    lines,
};
use crate::{
    chat::Chat,
    http::{edge::RequestInfo, error::ApiError},
    run::{HEAD_PATIENCE, STOPPING, upstream_refusal},
    upstream::{
        Slot, Upstream,
        error::UpstreamError,
        meter::{Meter, Tail},
        stream::{MAX_ERROR_BODY, error_answer},
    },
};

/// A request that is passed on, and who asks.
pub struct Call {
    pub chat: Arc<Chat>,
    pub upstream: Arc<Upstream>,
    pub info: Arc<RequestInfo>,
    pub project_id: String,
    pub model: String,
    /// Below the upstream's base URL, like `/chat/completions`.
    pub path: &'static str,
}

/// An answer that is fit for the client.
pub struct Answered {
    pub call: Call,
    pub status: StatusCode,
    /// Those of its headers that are for the client.
    pub headers: HeaderMap,
    /// What of its body was read already.
    pub begun: BytesMut,
    pub rest: Option<reqwest::Response>,
    meter: Meter,
    /// Held until the body is sent or dropped.
    slot: Slot,
}

/// Sends the body on as it came and the answer back as it comes.
pub async fn pass(call: Call, body: Bytes) -> Result<Response, ApiError> {
    ask(call, body).await.map(Answered::pass_on)
}

/// Sends the body on and waits for the answer's head. An answer that is not for
/// the client is an error.
pub async fn ask(call: Call, body: Bytes) -> Result<Answered, ApiError> {
    let stop = call.chat.runs.shutdown.stopping();
    tokio::select! {
        answered = answered(call, body) => answered,
        () = stop.cancelled() => Err(ApiError::unavailable(STOPPING)),
    }
}

async fn answered(call: Call, body: Bytes) -> Result<Answered, ApiError> {
    let Call { chat, upstream, .. } = &call;
    call.info.learned.route(&call.model, &upstream.name);
    let slot = chat.runs.slot(upstream).await?;
    let request = upstream
        .request(
            &chat.runs.tools.upstreams.client,
            reqwest::Method::POST,
            call.path,
        )
        .header(header::CONTENT_TYPE, "application/json")
        .body(body);
    let mut meter = Meter::start(
        &chat.runs.tools.upstreams.metrics,
        &upstream.name,
        &call.model,
        &call.project_id,
    );
    let idle = chat.runs.config.upstream_idle_timeout;
    let sent = chat
        .runs
        .tools
        .upstreams
        .send(upstream, request, idle)
        .await;
    let mut answer = sent.map_err(|error| call.failed(error))?;
    let status = answer.status();
    let headers = passed_on(answer.headers());
    let (begun, rest) = if status.is_success() {
        let begun = call.begin(&mut answer).await?;
        meter.succeeded();
        upstream.accepted();
        (begun, Some(answer))
    } else {
        (call.judge(answer).await?, None)
    };
    Ok(Answered {
        call,
        status,
        headers,
        begun,
        rest,
        meter,
        slot,
    })
}

impl Call {
    /// Says what failed to the log, and to the client what it may know.
    pub fn failed(&self, error: UpstreamError) -> ApiError {
        refusal(&self.note(error))
    }

    /// Says to the log, and to the watch for outages, what failed: returns it
    /// as it may be told.
    fn note(&self, error: UpstreamError) -> UpstreamError {
        let error = error.told_by(&self.upstream);
        self.upstream.failed(&error);
        self.chat
            .runs
            .note_failed_call(&self.upstream, &self.info, self.path, &error);
        error
    }

    /// The beginning of an answer's body: its first bytes, if they come soon. A
    /// connection that breaks before is a failure that the client can still be
    /// told of, and so is an answer that is nothing but an error.
    async fn begin(&self, answer: &mut reqwest::Response) -> Result<BytesMut, ApiError> {
        let idle = self.chat.runs.config.upstream_idle_timeout;
        let deadline = Instant::now() + HEAD_PATIENCE.min(idle);
        let mut begun = BytesMut::new();
        while begun.len() < MAX_ERROR_BODY && (begun.is_empty() || may_be_error(&begun)) {
            match tokio::time::timeout_at(deadline, answer.chunk()).await {
                Ok(Ok(Some(chunk))) => begun.extend_from_slice(&chunk),
                Ok(Ok(None)) | Err(_) => break,
                Ok(Err(error)) => {
                    return Err(self.failed(UpstreamError::Broken(error.to_string())));
                }
            }
        }
        let document: Option<Value> = may_be_error(&begun)
            .then(|| serde_json::from_slice(&begun).ok())
            .flatten();
        let told = document.filter(|document| !document["choices"].is_array());
        if let Some(error) = told.and_then(|document| UpstreamError::told(&document["error"])) {
            return Err(upstream_refusal(&self.note(error)));
        }
        Ok(begun)
    }

    /// The body of an error answer that is for the client, without our
    /// credentials.
    async fn judge(&self, mut answer: reqwest::Response) -> Result<BytesMut, ApiError> {
        let (error, body) = error_answer(&mut answer).await;
        let error = self.note(error);
        let status = answer.status();
        let is_error = status.is_client_error() || status.is_server_error();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            // About our key there, not the caller's here: a 401 would make a
            // client with a workload identity get a new token for nothing.
            return Err(
                refusal(&error).with_message("The model server refused this server's credentials.")
            );
        }
        // Anything but JSON is a proxy's page.
        if !is_error || !is_json(&answer) || error.is_about_the_address() {
            return Err(refusal(&error));
        }
        let Some(body) = body else {
            // Nobody can look through it: the client reads what is known of it.
            return Err(upstream_refusal(&error));
        };
        let clean = self.upstream.redactor.document(&body);
        Ok(clean.map_or(body, |clean| BytesMut::from(clean.as_str())))
    }
}

impl Answered {
    /// The answer as it comes.
    pub fn pass_on(self) -> Response {
        let idle = self.call.chat.runs.config.upstream_idle_timeout;
        let is_plain = !self.headers.contains_key(header::CONTENT_ENCODING);
        let takes_events = is_plain && is_of(&self.headers, b"text/event-stream");
        let redactor = &self.call.upstream.redactor;
        let mut begun = Some(self.begun.freeze()).filter(|begun| !begun.is_empty());
        let mut rest = self.rest.map(|rest| rest.bytes_stream().boxed());
        if takes_events && !redactor.is_idle() {
            let all = futures::stream::iter(begun.take().map(Ok));
            let all = all.chain(rest.unwrap_or_else(|| futures::stream::empty().boxed()));
            rest = Some(without_credentials(all.boxed(), redactor.clone()));
        }
        let flow = Flow {
            stop: self.call.chat.runs.shutdown.stopping(),
            takes_events,
            last: Vec::new(),
            begun,
            rest,
            tail: Tail::default(),
            meter: self.meter,
            info: self.call.info,
            slot: self.slot,
        };
        let body = futures::stream::unfold(flow, move |mut flow| async move {
            let next = flow.next(idle).await?;
            Some((next, flow))
        });
        let mut response = Response::new(Body::from_stream(body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }

    /// Reads a little more into `begun`; `false` at the end.
    pub async fn read_on(&mut self) -> Result<bool, ApiError> {
        let idle = self.call.chat.runs.config.upstream_idle_timeout;
        let Some(rest) = &mut self.rest else {
            return Ok(false);
        };
        let stop = self.call.chat.runs.shutdown.stopping();
        let chunk = tokio::select! {
            chunk = rest.chunk() => {
                chunk.map_err(|error| UpstreamError::Broken(error.to_string()))
            }
            () = tokio::time::sleep(idle) => Err(UpstreamError::Stalled(idle)),
            () = stop.cancelled() => return Err(ApiError::unavailable(STOPPING)),
        };
        match chunk.map_err(|error| self.call.failed(error))? {
            Some(chunk) => self.begun.extend_from_slice(&chunk),
            None => self.rest = None,
        }
        Ok(self.rest.is_some())
    }

    /// The whole body, taken out.
    pub async fn read_whole(&mut self, limit: usize) -> Result<Bytes, ApiError> {
        while self.read_on().await? {
            if self.begun.len() > limit {
                let problem = format!("it is longer than {limit} bytes");
                return Err(self.call.failed(UpstreamError::TooLarge(problem)));
            }
        }
        Ok(std::mem::take(&mut self.begun).freeze())
    }
}

/// The same events; those that tell of a failure without our credentials. What
/// a model says is its own.
fn without_credentials(events: ByteStream, redactor: Redactor) -> ByteStream {
    let clean = move |events: Bytes| {
        // Within a text quotes are escaped. An error is looked at closer: its
        // key may be escaped too, in ways that only a reader of JSON finds.
        let error = br#""error""#;
        if !redactor.finds(&events) && memmem::find(&events, error).is_none() {
            return events;
        }
        lines::changed(&events, |data| {
            let has = |key: &[u8]| memmem::find(data, key).is_some();
            if has(b"\"choices\"") && !has(error) {
                return None;
            }
            let end = data.trim_ascii_end().len();
            let clean = redactor.document(data[..end].trim_ascii_start())?;
            Some([b" ", clean.as_bytes(), &data[end..]].concat())
        })
    };
    let events = lines::whole(events);
    events.map(move |events| events.map(&clean)).boxed()
}

/// What the client may know of a failure that is not its own.
fn refusal(error: &UpstreamError) -> ApiError {
    ApiError::bad_gateway(error.safe_sentence()).code("upstream_error")
}

/// Whether a document begins as an error does, as far as it has come.
fn may_be_error(begun: &[u8]) -> bool {
    let key = br#""error""#;
    match begun.trim_ascii_start().strip_prefix(b"{") {
        Some(rest) => {
            let rest = rest.trim_ascii_start();
            rest.starts_with(key) || key.starts_with(rest)
        }
        None => begun.trim_ascii_start().is_empty(),
    }
}

fn is_json(answer: &reqwest::Response) -> bool {
    is_of(answer.headers(), b"application/json")
}

fn is_of(headers: &HeaderMap, content_type: &[u8]) -> bool {
    let told = headers.get(header::CONTENT_TYPE);
    told.is_some_and(|told| told.as_bytes().starts_with(content_type))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An error may come in pieces; everything else goes on at its first byte.
    #[test]
    fn only_what_may_be_an_error_is_waited_for() {
        for begun in [
            "",
            " \n",
            "{",
            " { ",
            "{\"er",
            "{\n \"error\"",
            "{\"error\": {\"mess",
        ] {
            assert!(may_be_error(begun.as_bytes()), "{begun}");
        }
        for begun in [
            "d",
            "data: {",
            "{\"id\"",
            "{\"errors\"",
            "{\"e\"",
            "[",
            "<html>",
        ] {
            assert!(!may_be_error(begun.as_bytes()), "{begun}");
        }
    }
}
