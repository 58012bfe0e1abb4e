//! Routes and state of the issuer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Alg, Fault, Fetches, SigningKey, now};
use crate::net::{App, Broken, Wire};

const DISCOVERY: &str = "/.well-known/openid-configuration";
const JWKS: &str = "/jwks";
/// Where [`Fault::Redirect`] leads by default: the same documents, without faults.
const MOVED: &str = "/moved";
/// Largest request body read.
const MAX_BODY: usize = 1024 * 1024;
/// Piece of a [`Fault::Huge`] body.
const PIECE: usize = 64 * 1024;

type Reply = Response<Document>;

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    discovery: AtomicU64,
    jwks: AtomicU64,
    serial: AtomicU64,
}

#[derive(Debug)]
struct State {
    issuer: String,
    base: String,
    /// The last one signs; all are published.
    keys: Vec<Arc<SigningKey>>,
    published: Option<Value>,
    discovery_fault: Fault,
    jwks_fault: Fault,
}

impl Shared {
    pub(super) fn new(alg: Alg) -> Self {
        let state = State {
            issuer: String::new(),
            base: String::new(),
            keys: vec![Arc::new(SigningKey::generate(alg, "key-1"))],
            published: None,
            discovery_fault: Fault::None,
            jwks_fault: Fault::None,
        };
        Self {
            state: Mutex::new(state),
            discovery: AtomicU64::new(0),
            jwks: AtomicU64::new(0),
            serial: AtomicU64::new(2),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn named(&self, issuer: String, base: String) {
        let mut state = self.state();
        (state.issuer, state.base) = (issuer, base);
    }

    pub(super) fn issuer(&self) -> String {
        self.state().issuer.clone()
    }

    pub(super) fn key(&self) -> Arc<SigningKey> {
        self.state()
            .keys
            .last()
            .cloned()
            .expect("an issuer always has a key")
    }

    pub(super) fn key_named(&self, kid: &str) -> Option<Arc<SigningKey>> {
        self.state().keys.iter().find(|key| key.kid == kid).cloned()
    }

    pub(super) fn jwks(&self) -> Value {
        let state = self.state();
        let keys = || state.keys.iter().map(|key| key.jwk()).collect::<Vec<_>>();
        state
            .published
            .clone()
            .unwrap_or_else(|| json!({"keys": keys()}))
    }

    pub(super) fn publish(&self, jwks: Option<Value>) {
        self.state().published = jwks;
    }

    pub(super) fn rotate(&self, alg: Alg, keep_old: bool) -> Arc<SigningKey> {
        let kid = format!("key-{}", self.serial.fetch_add(1, Relaxed));
        let key = Arc::new(SigningKey::generate(alg, &kid));
        let mut state = self.state();
        if !keep_old {
            state.keys.clear();
        }
        state.keys.push(key.clone());
        key
    }

    pub(super) fn set_faults(&self, discovery: Option<Fault>, jwks: Option<Fault>) {
        let mut state = self.state();
        if let Some(fault) = discovery {
            state.discovery_fault = fault;
        }
        if let Some(fault) = jwks {
            state.jwks_fault = fault;
        }
    }

    pub(super) fn fetches(&self) -> Fetches {
        Fetches {
            discovery: self.discovery.load(Relaxed),
            jwks: self.jwks.load(Relaxed),
        }
    }

    pub(super) fn reset(&self) {
        self.set_faults(Some(Fault::None), Some(Fault::None));
        self.publish(None);
        self.discovery.store(0, Relaxed);
        self.jwks.store(0, Relaxed);
    }

    pub(super) fn claims(
        &self,
        sub: &str,
        aud: &Value,
        lifetime_seconds: i64,
        more: Map<String, Value>,
    ) -> Value {
        let iat = now();
        let jti = format!("jti-{iat}-{}", self.serial.fetch_add(1, Relaxed));
        let mut claims = json!({"iss": self.issuer(), "sub": sub, "aud": aud, "iat": iat,
            "nbf": iat, "exp": iat + lifetime_seconds, "jti": jti});
        if let Value::Object(claims) = &mut claims {
            claims.extend(more);
        }
        claims
    }

    fn discovery_document(&self, fault: &Fault) -> Value {
        let state = self.state();
        let issuer = match fault {
            Fault::WrongIssuer => "https://other.example",
            _ => &state.issuer,
        };
        let jwks_uri = match fault {
            Fault::JwksUri(uri) => uri.clone(),
            _ => format!("{}{JWKS}", state.base),
        };
        json!({
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [state.keys.last().map(|key| key.alg.name())],
        })
    }
}

impl App for Shared {
    type Body = Document;

    async fn call(
        self: Arc<Self>,
        request: Request<Incoming>,
        wire: Arc<Wire>,
    ) -> Result<Reply, Broken> {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
            return Ok(refuse(
                413,
                "The request body could not be read or is over 1 MiB.",
            ));
        };
        let body = body.to_bytes();
        let path = parts.uri.path();
        if parts.method == Method::GET {
            return match path.strip_prefix(MOVED).unwrap_or(path) {
                DISCOVERY if path == DISCOVERY => {
                    self.discovery.fetch_add(1, Relaxed);
                    let fault = self.state().discovery_fault.clone();
                    serve(&fault, path, &self.discovery_document(&fault), &wire).await
                }
                JWKS if path == JWKS => {
                    self.jwks.fetch_add(1, Relaxed);
                    if !accepts_key_set(&parts.headers) {
                        return Ok(refuse(406, "Only application/jwk-set+json is here."));
                    }
                    let fault = self.state().jwks_fault.clone();
                    serve(&fault, path, &self.jwks(), &wire).await
                }
                DISCOVERY => Ok(document(&self.discovery_document(&Fault::None))),
                JWKS => Ok(document(&self.jwks())),
                "/__stats" => Ok(document(&json!(self.fetches()))),
                _ => Ok(refuse(404, "No such route.")),
            };
        }
        let answer = match path {
            "/__sign" => self.sign(&body),
            "/__token" => self.token(&body),
            "/__rotate" => self.rotate_from(&body),
            "/__fault" => self.fault_from(&body),
            "/__reset" => {
                self.reset();
                Ok(json!({}))
            }
            _ => return Ok(refuse(404, "No such route.")),
        };
        Ok(answer.map_or_else(|message| refuse(400, &message), |answer| document(&answer)))
    }
}

/// As Kubernetes API servers judge it: the key set is `application/jwk-set+json`, and nothing else.
fn accepts_key_set(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).is_none_or(|accept| {
        accept.to_str().is_ok_and(|accept| {
            accept
                .split(',')
                .filter_map(|range| range.split(';').next())
                .any(|range| matches!(range.trim(), "application/jwk-set+json" | "*/*"))
        })
    })
}

async fn serve(fault: &Fault, path: &str, value: &Value, wire: &Wire) -> Result<Reply, Broken> {
    match fault {
        Fault::None | Fault::WrongIssuer | Fault::JwksUri(_) => {}
        Fault::Slow(milliseconds) => {
            tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
        }
        Fault::Hang => std::future::pending().await,
        Fault::Status(status) => return Ok(refuse(*status, "The issuer fails on order.")),
        Fault::Redirect(to) => {
            let to = if to.is_empty() {
                format!("{MOVED}{path}")
            } else {
                to.clone()
            };
            let mut reply = reply(302, Document::text(String::new()));
            let to = HeaderValue::from_str(&to).unwrap_or(HeaderValue::from_static("/"));
            reply.headers_mut().insert(LOCATION, to);
            return Ok(reply);
        }
        Fault::Huge(bytes) => {
            let first = value.to_string();
            let padding = bytes.saturating_sub(first.len());
            return Ok(reply(
                200,
                Document {
                    text: Some(first.into()),
                    padding,
                },
            ));
        }
        Fault::Html => {
            let mut reply = reply(200, Document::text("<html><p>Hello.</p></html>".to_owned()));
            reply
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
            return Ok(reply);
        }
        Fault::Text(text) => return Ok(reply(200, Document::text(text.clone()))),
        Fault::Reset => {
            wire.reset_on_close();
            return Err(Broken);
        }
    }
    Ok(document(value))
}

fn document(value: &Value) -> Reply {
    reply(200, Document::text(value.to_string()))
}

fn refuse(status: u16, message: &str) -> Reply {
    reply(
        status,
        Document::text(json!({"error": message}).to_string()),
    )
}

fn reply(status: u16, body: Document) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A text, then as many spaces as ordered, a piece at a time.
pub(crate) struct Document {
    text: Option<Bytes>,
    padding: usize,
}

impl Document {
    fn text(text: String) -> Self {
        Self {
            text: Some(text.into()),
            padding: 0,
        }
    }
}

impl Body for Document {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let next = self.text.take().or_else(|| {
            let piece = self.padding.min(PIECE);
            self.padding -= piece;
            (piece > 0).then(|| Bytes::from(vec![b' '; piece]))
        });
        std::task::Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_none() && self.padding == 0
    }

    /// A padded body does not announce its length: the reader must count.
    fn size_hint(&self) -> SizeHint {
        match &self.text {
            Some(text) if self.padding == 0 => SizeHint::with_exact(text.len() as u64),
            _ => SizeHint::default(),
        }
    }
}
