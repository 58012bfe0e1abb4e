//! Routes and state of the MCP server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::body::{Part, Parts};
use super::protocol::{self, Refusal};
use super::{Behaviour, Fault, PATH, Recorded};
use crate::net::{App, Broken, Wire};

/// Largest request body read.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Requests that are kept.
const MAX_RECORDED: usize = 10_000;

type Reply = Response<Parts>;

#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    behaviour: Behaviour,
    requests: Vec<Recorded>,
    runs: BTreeMap<String, u64>,
    sessions: BTreeSet<String>,
    serial: u64,
    /// Answers that wait for a GET, by the event's id.
    detached: BTreeMap<String, Value>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state().behaviour);
    }

    pub(super) fn requests(&self) -> Vec<Recorded> {
        self.state().requests.clone()
    }

    pub(super) fn runs(&self, tool: &str) -> u64 {
        self.state().runs.get(tool).copied().unwrap_or(0)
    }

    pub(super) fn sessions(&self) -> usize {
        self.state().sessions.len()
    }

    fn record(&self, request: Recorded) {
        let mut state = self.state();
        if state.requests.len() < MAX_RECORDED {
            state.requests.push(request);
        }
    }

    fn fresh(&self) -> u64 {
        let mut state = self.state();
        state.serial += 1;
        state.serial
    }

    async fn post(&self, recorded: Recorded, wire: &Wire) -> Result<Reply, Broken> {
        let (behaviour, body) = (self.state().behaviour.clone(), &recorded.body);
        let (method, id) = (recorded.method.as_str(), &body["id"]);
        let fault = behaviour.faults.get(method);
        if let Some(Fault::Forget) = fault {
            self.behave(|behaviour| {
                behaviour.faults.remove(method);
            });
            self.state().sessions.clear();
        }
        match before(fault) {
            Some(Ok(reply)) => return Ok(reply),
            Some(Err(Broken)) => {
                wire.reset_on_close();
                return Err(Broken);
            }
            None => {}
        }
        if let Some(Fault::Slow(milliseconds)) = fault {
            tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
        }
        let wants = behaviour.authorization.as_ref();
        if wants.is_some() && recorded.headers.get("authorization") != wants {
            return Ok(reply(401, Parts::of([])));
        }
        let modern = protocol::is_modern(&recorded.headers);
        let mut answer = match self.answer(&behaviour, &recorded, modern) {
            Ok(None) => return Ok(reply(202, Parts::of([]))),
            Ok(Some(result)) => result,
            Err(refusal) => {
                let message = json!({"jsonrpc": "2.0", "id": id, "error": refusal.error()});
                return Ok(json_reply(refusal.status, &message));
            }
        };
        let session = answer.as_object_mut().and_then(|a| a.remove("__session"));
        let message = json!({"jsonrpc": "2.0", "id": id, "result": answer});
        let mut reply = self.deliver(&behaviour, fault, &message).await;
        if let Some(Ok(session)) = session.and_then(|s| s.as_str().map(HeaderValue::from_str)) {
            reply.headers_mut().insert("mcp-session-id", session);
        }
        Ok(reply)
    }

    /// The result; `None` for what needs none.
    fn answer(
        &self,
        behaviour: &Behaviour,
        request: &Recorded,
        modern: bool,
    ) -> Result<Option<Value>, Refusal> {
        let body = &request.body;
        if modern {
            protocol::check_modern(behaviour, &request.headers, body)?;
        } else if request.method != "initialize" && behaviour.sessions {
            match request.headers.get("mcp-session-id") {
                None => {
                    return Err(Refusal::new(
                        400,
                        -32000,
                        "Bad Request: No valid session ID provided",
                    ));
                }
                Some(id) if !self.state().sessions.contains(id) => {
                    return Err(Refusal::new(404, -32001, "Session not found"));
                }
                Some(_) => {}
            }
        }
        if request.method.is_empty() || request.method.starts_with("notifications/") {
            return Ok(None);
        }
        if request.method == "tools/call" {
            let name = body["params"]["name"].as_str().unwrap_or("").to_owned();
            *self.state().runs.entry(name).or_default() += 1;
            let mut result = protocol::call(behaviour, &body["params"])?;
            if modern && result["resultType"].is_null() {
                result["resultType"] = "complete".into();
            }
            return Ok(Some(result));
        }
        let mut result = protocol::answer(behaviour, modern, &request.method, &body["params"])?;
        if request.method == "initialize" && behaviour.sessions {
            let session = format!("session-{}", self.fresh());
            self.state().sessions.insert(session.clone());
            result["__session"] = session.into();
        }
        Ok(Some(result))
    }

    async fn deliver(
        &self,
        behaviour: &Behaviour,
        fault: Option<&Fault>,
        message: &Value,
    ) -> Reply {
        match fault {
            Some(Fault::Hang) if behaviour.events => {
                events([Part::Text("id: 1\ndata:\n\n".into()), Part::Silence])
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Huge(bytes)) => {
                let text = message.to_string();
                let spaces = bytes.saturating_sub(text.len());
                let parts = if behaviour.events {
                    // One event of many comment lines would do as well.
                    vec![
                        Part::Text(": ".into()),
                        Part::Spaces(spaces),
                        event(message),
                    ]
                } else {
                    vec![Part::Text(text.into()), Part::Spaces(spaces)]
                };
                if behaviour.events {
                    events(parts)
                } else {
                    let mut reply = reply(200, Parts::of(parts));
                    set_type(&mut reply, "application/json");
                    reply
                }
            }
            Some(Fault::Detach) => {
                let id = format!("event-{}", self.fresh());
                let first = format!("id: {id}\nretry: 10\ndata:\n\n");
                self.state().detached.insert(id, message.clone());
                events([Part::Text(first.into())])
            }
            Some(Fault::Vanish) => events([Part::Text(": bye\n\n".into())]),
            Some(Fault::Ask(method)) => {
                let question = json!({"jsonrpc": "2.0", "id": "q1", "method": method});
                events([event(&question), event(message)])
            }
            _ if behaviour.events => {
                let note = json!({"jsonrpc": "2.0", "method": "notifications/message",
                    "params": {"level": "info", "data": "working"}});
                events([event(&note), event(message)])
            }
            _ => json_reply(200, message),
        }
    }

    fn control(&self, path: &str, body: &Value) -> Reply {
        match path {
            "/__behave" => match serde_json::from_value(body.clone()) {
                Ok(behaviour) => {
                    self.state().behaviour = behaviour;
                    json_reply(200, &json!({}))
                }
                Err(error) => json_reply(400, &json!({"error": error.to_string()})),
            },
            "/__reset" => {
                *self.state() = State::default();
                json_reply(200, &json!({}))
            }
            "/__stats" => {
                let state = self.state();
                let seen = json!({"requests": state.requests, "runs": state.runs,
                    "sessions": state.sessions.len()});
                json_reply(200, &seen)
            }
            _ => json_reply(404, &json!({"error": "No such route."})),
        }
    }
}

impl App for Shared {
    type Body = Parts;

    async fn call(
        self: Arc<Self>,
        request: Request<Incoming>,
        wire: Arc<Wire>,
    ) -> Result<Reply, Broken> {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
            return Ok(json_reply(413, &json!({"error": "The body is too large."})));
        };
        let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
        if parts.uri.path() != PATH {
            return Ok(self.control(parts.uri.path(), &body));
        }
        let headers: BTreeMap<String, String> = parts
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.to_string(), value)
            })
            .collect();
        let recorded = Recorded {
            verb: parts.method.to_string(),
            method: body["method"].as_str().unwrap_or("").to_owned(),
            headers,
            body,
        };
        self.record(recorded.clone());
        match parts.method {
            Method::POST => self.post(recorded, &wire).await,
            Method::GET => {
                let id = recorded.headers.get("last-event-id");
                let answer = id.and_then(|id| self.state().detached.remove(id));
                Ok(match answer {
                    Some(answer) => events([event(&answer)]),
                    None => reply(405, Parts::of([])),
                })
            }
            Method::DELETE => {
                let id = recorded.headers.get("mcp-session-id");
                let known = id.is_some_and(|id| self.state().sessions.remove(id));
                Ok(reply(if known { 200 } else { 404 }, Parts::of([])))
            }
            _ => Ok(reply(405, Parts::of([]))),
        }
    }
}

/// What a fault does before the request is looked at; `Err` is a reset.
fn before(fault: Option<&Fault>) -> Option<Result<Reply, Broken>> {
    Some(Ok(match fault? {
        Fault::Status(status) => reply(*status, Parts::of([])),
        Fault::Redirect(to) => {
            let mut reply = reply(307, Parts::of([]));
            let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
            reply.headers_mut().insert(LOCATION, to);
            reply
        }
        Fault::Html => {
            let mut reply = reply(200, Parts::text("<html><p>Hello.</p></html>"));
            set_type(&mut reply, "text/html");
            reply
        }
        Fault::Text(text) => {
            let mut reply = reply(200, Parts::text(text.clone()));
            set_type(&mut reply, "application/json");
            reply
        }
        Fault::Reset => return Some(Err(Broken)),
        _ => return None,
    }))
}

fn event(message: &Value) -> Part {
    Part::Text(format!("event: message\ndata: {message}\n\n").into())
}

fn events(parts: impl IntoIterator<Item = Part>) -> Reply {
    let mut reply = reply(200, Parts::of(parts));
    set_type(&mut reply, "text/event-stream");
    reply
}

fn json_reply(status: u16, value: &Value) -> Reply {
    let mut reply = reply(status, Parts::text(value.to_string()));
    set_type(&mut reply, "application/json");
    reply
}

fn set_type(reply: &mut Reply, kind: &'static str) {
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
}

fn reply(status: u16, body: Parts) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
    reply
}
