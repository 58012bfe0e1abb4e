//! A small HTTP/1.1 client that keeps what came before an error.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use waypost_testkit::ScriptedUpstream;
use waypost_testkit::sse;

/// Longest wait for anything in these tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// The reply once its headers are there.
    pub(crate) async fn open(
        &mut self,
        method: Method,
        path: &str,
        body: &str,
    ) -> hyper::Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "testkit")
            .header("content-type", "application/json")
            .body(Full::from(body.to_owned()))
            .unwrap();
        let sent = async {
            self.0.ready().await?;
            self.0.send_request(request).await
        };
        tokio::time::timeout(PATIENCE, sent)
            .await
            .expect("headers in time")
    }
}

/// A reply, read to its end or to its error.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// HTTP chunks as they came.
    pub(crate) chunks: Vec<Bytes>,
    /// Why the body did not end properly.
    pub(crate) broken: Option<hyper::Error>,
}

impl Reply {
    pub(crate) async fn read(response: Response<Incoming>) -> Self {
        let (parts, mut body) = response.into_parts();
        let mut chunks = Vec::new();
        let mut broken = None;
        let all = async {
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => chunks.extend(frame.into_data().ok()),
                    Err(error) => broken = Some(error),
                }
            }
        };
        tokio::time::timeout(PATIENCE, all)
            .await
            .expect("a body in time");
        Self {
            status: parts.status,
            headers: parts.headers,
            chunks,
            broken,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes()).unwrap()
    }

    /// Data of all events, as JSON, without `[DONE]`.
    pub(crate) fn events(&self) -> Vec<Value> {
        let events = sse::parse(&self.bytes()).unwrap();
        events
            .iter()
            .filter(|event| !event.is_done())
            .map(|event| event.json().unwrap())
            .collect()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.text().trim_end().ends_with("[DONE]")
    }

    /// `content` deltas of a chat stream, joined.
    pub(crate) fn content(&self) -> String {
        joined(&self.events(), "/choices/0/delta/content")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn joined(events: &[Value], pointer: &str) -> String {
    events
        .iter()
        .filter_map(|event| event.pointer(pointer)?.as_str())
        .collect()
}

pub(crate) async fn request(address: SocketAddr, method: Method, path: &str, body: &str) -> Reply {
    let response = Client::connect(address)
        .await
        .open(method, path, body)
        .await
        .unwrap();
    Reply::read(response).await
}

pub(crate) async fn post(upstream: &ScriptedUpstream, path: &str, body: &Value) -> Reply {
    request(upstream.address(), Method::POST, path, &body.to_string()).await
}

/// A chat request to `scripted?QUERY` with one user message.
pub(crate) fn chat_request(query: &str, stream: bool) -> Value {
    json!({"model": format!("scripted?{query}"), "stream": stream,
        "messages": [{"role": "user", "content": "count"}]})
}

pub(crate) fn responses_request(query: &str, stream: bool) -> Value {
    json!({"model": format!("scripted?{query}"), "stream": stream, "input": "count"})
}

pub(crate) async fn chat(upstream: &ScriptedUpstream, query: &str, stream: bool) -> Reply {
    post(
        upstream,
        "/v1/chat/completions",
        &chat_request(query, stream),
    )
    .await
}

pub(crate) async fn responses(upstream: &ScriptedUpstream, query: &str, stream: bool) -> Reply {
    post(upstream, "/v1/responses", &responses_request(query, stream)).await
}

/// `0 1 2 …`
pub(crate) fn numbers(count: usize) -> String {
    (0..count).fold(String::new(), |text, number| {
        text + &number.to_string() + " "
    })
}

/// Waits until `holds`, for as long as [`PATIENCE`].
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
