//! The edge around every request: an id, a clock, one log line, metrics, and a
//! 500 in the envelope when a handler panics.
//!
//! The log line is written when the response's body ended or was dropped, so
//! that it tells what a stream sent and how long it took. Never logged: query
//! strings, headers other than those named here, credentials.

use std::{
    any::Any,
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::FutureExt;
use http::{Extensions, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use ipnet::IpNet;
use prometheus_client::metrics::gauge::Gauge;
use serde_json::Value;
use waypost_engine::id;

use super::{Http, json::BodyTimeout};
use super::{
    error::{ApiError, Cause},
    forwarded,
};
use crate::metrics::{RequestLabels, RouteLabels};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");
static PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
static VERSION: HeaderName = HeaderName::from_static("openai-version");
static ORGANIZATION: HeaderName = HeaderName::from_static("openai-organization");

/// Routes that machines ask every few seconds: their good answers are not news.
const QUIET: &[&str] = &["/healthz", "/readyz", "/metrics"];
/// The API version that OpenAI's own server names.
const API_VERSION: HeaderValue = HeaderValue::from_static("2020-10-01");
/// How much of a caller's free text (its request id, its user agent) is kept.
const MAX_CLIENT_TEXT: usize = 512;

/// What is known of a request from outside its body. In the extensions of
/// every request.
#[derive(Debug)]
pub struct RequestInfo {
    /// `req_…`, sent back as `x-request-id`.
    pub id: String,
    /// When its head had arrived.
    pub started: Instant,
    /// Where it came from: the connection's other end, or the client that a
    /// trusted proxy names.
    pub peer: Option<IpAddr>,
    pub user_agent: Option<String>,
    /// The caller's own id for it, for support.
    pub client_request_id: Option<String>,
    caller: OnceLock<CallerTag>,
    /// What serving it brought to light.
    pub learned: Learned,
}

/// What is learned of a request while it is served, for its log line and for
/// the lines of what failed on its way. Each is set once.
#[derive(Debug, Default)]
pub struct Learned {
    pub model: OnceLock<String>,
    /// The name of the model server that it went to.
    pub upstream: OnceLock<String>,
    /// `resp_…`
    pub response_id: OnceLock<String>,
    /// Input and output tokens, where the model server reported them.
    pub tokens: OnceLock<(u64, u64)>,
    /// Why its credential was refused.
    pub refusal: OnceLock<&'static str>,
}

impl Learned {
    /// Notes where a request goes.
    pub fn route(&self, model: &str, upstream: &str) {
        let _ = self.model.set(bounded(model));
        let _ = self.upstream.set(upstream.to_owned());
    }

    /// Notes the token counts of a Response object's `usage`, if it has any.
    pub fn count(&self, usage: &Value) {
        let count = |name: &str| usage.get(name).and_then(Value::as_u64);
        if let (Some(input), Some(output)) = (count("input_tokens"), count("output_tokens")) {
            let _ = self.tokens.set((input, output));
        }
    }
}

/// A caller's text, as much of it as a log line has room for.
fn bounded(text: &str) -> String {
    text.chars().take(MAX_CLIENT_TEXT).collect()
}

/// What the log line says of the caller.
#[derive(Debug)]
pub struct CallerTag {
    /// A key's id or a token's `jti`.
    pub credential: String,
    pub service_account: Option<String>,
    pub project: Option<String>,
}

/// The peer of a connection; set by the listener on each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

impl RequestInfo {
    /// The info of a request that came through the edge.
    pub fn of(extensions: &Extensions) -> Arc<Self> {
        Arc::clone(
            extensions
                .get::<Arc<Self>>()
                .expect("the edge is around every route"),
        )
    }

    /// Remembers who called; the first one counts.
    pub fn set_caller(&self, caller: CallerTag) {
        let _ = self.caller.set(caller);
    }

    fn new(request: &Request, trusted_proxies: &[IpNet]) -> Self {
        let text = |name: &HeaderName| {
            let value = request.headers().get(name)?.to_str().ok()?;
            // `to_str` has left only visible ASCII, spaces and tabs.
            Some(value.get(..MAX_CLIENT_TEXT).unwrap_or(value).to_owned())
        };
        Self {
            id: id::fresh("req_"),
            started: Instant::now(),
            peer: request
                .extensions()
                .get::<Peer>()
                .map(|peer| forwarded::client_address(trusted_proxies, peer.0, request.headers())),
            user_agent: text(&header::USER_AGENT),
            client_request_id: text(&CLIENT_REQUEST_ID),
            caller: OnceLock::new(),
            learned: Learned::default(),
        }
    }
}

/// The middleware around the whole router.
pub async fn around(State(http): State<Arc<Http>>, mut request: Request, next: Next) -> Response {
    let info = Arc::new(RequestInfo::new(&request, &http.config.trusted_proxies));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let path = route.is_none().then(|| bounded(request.uri().path()));
    request.extensions_mut().insert(Arc::clone(&info));
    let body_timeout = BodyTimeout(http.config.body_timeout);
    request.extensions_mut().insert(body_timeout);

    let mut response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => ApiError::internal(format!("a handler panicked: {}", panic_text(&*panic)))
            .into_response(),
    };

    let elapsed = info.started.elapsed();
    if let Some(Cause(cause)) = response.extensions_mut().remove() {
        let status = response.status().as_u16();
        if response.status().is_server_error() {
            tracing::error!(status, request_id = info.id, "{cause}");
        } else {
            tracing::info!(status, request_id = info.id, "{cause}");
        }
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&info.id) {
        headers.insert(REQUEST_ID.clone(), value);
    }
    headers.insert(
        PROCESSING_MS.clone(),
        HeaderValue::from(elapsed.as_millis() as u64),
    );
    headers.insert(VERSION.clone(), API_VERSION);
    if let Ok(value) = HeaderValue::from_str(&http.organization_id) {
        headers.insert(ORGANIZATION.clone(), value);
    }

    let labels = RouteLabels {
        route: route.as_ref().map_or("", MatchedPath::as_str).to_owned(),
        method: method_label(&method),
    };
    http.metrics
        .request_seconds
        .get_or_create(&labels)
        .observe(elapsed.as_secs_f64());
    http.metrics
        .requests
        .get_or_create(&RequestLabels {
            route: labels.route,
            method: labels.method,
            status: response.status().as_u16(),
        })
        .inc();

    let line = LogLine {
        method,
        route,
        path,
        status: response.status(),
        info,
        bytes: 0,
        complete: false,
    };
    let stream =
        is_event_stream(&response).then(|| OpenStream::new(http.metrics.streams_open.clone()));
    response.map(|body| {
        Body::new(Watched {
            body,
            line,
            _stream: stream,
        })
    })
}

/// A method as a metric's label: callers may invent methods, labels not.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// A response's body that counts, and logs the request when it is over.
struct Watched {
    body: Body,
    line: LogLine,
    _stream: Option<OpenStream>,
}

/// Counts an event stream while it is being sent.
struct OpenStream(Gauge);

impl OpenStream {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn is_event_stream(response: &Response) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.line.bytes += data.len() as u64;
                }
                if self.body.is_end_stream() {
                    self.line.complete = true;
                }
            }
            Poll::Ready(None) => self.line.complete = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.line.complete |= self.body.is_end_stream();
        // A body may learn at its end what the answer cost.
        self.body = Body::empty();
        self.line.write();
    }
}

/// The one line per request.
struct LogLine {
    method: Method,
    route: Option<MatchedPath>,
    /// What was asked for, where no route matched: a caller's own text, escaped.
    path: Option<String>,
    status: StatusCode,
    info: Arc<RequestInfo>,
    bytes: u64,
    /// The whole body was handed to the connection.
    complete: bool,
}

impl LogLine {
    fn write(&self) {
        let caller = self.info.caller.get();
        let learned = &self.info.learned;
        let tokens = learned.tokens.get();
        let route = self.route.as_ref().map_or("-", MatchedPath::as_str);
        if self.status.is_success() && QUIET.contains(&route) {
            tracing::debug!(
                target: "waypost::request",
                route,
                status = self.status.as_u16(),
                request_id = self.info.id,
                "request"
            );
            return;
        }
        tracing::info!(
            target: "waypost::request",
            method = %self.method,
            route,
            path = self.path,
            status = self.status.as_u16(),
            ms = self.info.started.elapsed().as_micros() as f64 / 1000.0,
            bytes = self.bytes,
            complete = self.complete,
            request_id = self.info.id,
            client_request_id = self.info.client_request_id,
            peer = self.info.peer.map(tracing::field::display),
            caller = caller.map(|tag| tag.credential.as_str()),
            service_account = caller.and_then(|tag| tag.service_account.as_deref()),
            project = caller.and_then(|tag| tag.project.as_deref()),
            refused = learned.refusal.get(),
            model = learned.model.get(),
            upstream = learned.upstream.get(),
            response_id = learned.response_id.get(),
            input_tokens = tokens.map(|(input, _)| input),
            output_tokens = tokens.map(|(_, output)| output),
            "request"
        );
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware, routing::get};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::{config::HttpConfig, metrics::Metrics, shutdown::Shutdown};

    async fn answer(router: Router) -> (Response, Arc<Http>) {
        let http = Arc::new(Http {
            config: HttpConfig::default(),
            organization_id: "org-test".to_owned(),
            metrics: Metrics::new(),
            shutdown: Shutdown::default(),
        });
        let router = router.layer(middleware::from_fn_with_state(Arc::clone(&http), around));
        let request = Request::get("/").body(Body::empty()).expect("a request");
        (router.oneshot(request).await.expect("an answer"), http)
    }

    #[tokio::test]
    async fn a_panic_is_a_500_in_the_envelope() {
        async fn handler() {
            panic!("the secret is 42");
        }
        let (response, _http) = answer(Router::new().route("/", get(handler))).await;
        assert_eq!(response.status(), 500);
        assert!(response.headers().contains_key("x-request-id"));
        let body = response.into_body().collect().await.expect("a body");
        let text = String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8");
        assert!(
            text.contains("\"server_error\"") && !text.contains("42"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn open_streams_are_counted_until_they_are_dropped() {
        async fn handler() -> impl IntoResponse {
            let never = futures::stream::pending::<Result<Bytes, std::io::Error>>();
            (
                [(header::CONTENT_TYPE, "text/event-stream")],
                Body::from_stream(never),
            )
        }
        let (response, http) = answer(Router::new().route("/", get(handler))).await;
        assert_eq!(http.metrics.streams_open.get(), 1);
        drop(response);
        assert_eq!(http.metrics.streams_open.get(), 0);
    }
}
