//! Routes of the scripted model server, and the choice of a script.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use super::about::About;
use super::answer::Answer;
use super::chat::{self, Chat};
use super::models::{Models, Turn};
use super::notation;
use super::older;
use super::plan::Plan;
use super::player::{Encoder, Playback};
use super::reply::{
    Reply, error, event_stream, json_reply, model_object, play_plain, scripted_error, sleep,
    written_out,
};
use super::request;
use super::responses::{self, Responses};
use super::script::Script;
use super::stats::{Counters, Log, ROUTES, RecordedRequest, Running, Serving, Stats};
use crate::net::{App, Broken, Wire};

/// Largest request body read.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// Requests listed by `/__stats`.
const LISTED_REQUESTS: usize = 20;

/// State behind every connection.
#[derive(Debug)]
pub(super) struct Shared {
    models: Models,
    counters: Arc<Counters>,
    pub(super) log: Log,
    about: RwLock<About>,
    serial: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Chat,
    Responses,
}

impl Shared {
    pub(super) fn new(recorded: usize) -> Self {
        Self {
            models: Models::default(),
            counters: Arc::default(),
            log: Log::new(recorded),
            about: RwLock::default(),
            serial: AtomicU64::new(1),
        }
    }

    pub(super) fn install(&self, name: &str, script: Script) {
        self.models.install(name, script);
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = self.counters.read();
        stats.models = self.models.calls();
        stats
    }

    pub(super) fn reset(&self) {
        self.counters.reset();
        self.log.clear();
        self.models.reset();
    }
}

impl App for Shared {
    type Body = Playback;

    async fn call(
        self: Arc<Self>,
        request: Request<Incoming>,
        wire: Arc<Wire>,
    ) -> Result<Reply, Broken> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
            return Ok(error(
                413,
                "The request body could not be read or is over 64 MiB.",
            ));
        };
        let body = body.to_bytes();
        let route = ROUTES.iter().find(|route| {
            path.strip_prefix(**route)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let served = Arc::new(Serving::default());
        if let Some(route) = route {
            self.counters.called(route);
            // Lists are asked for in the background, whenever.
            if route.starts_with("/v1/") && parts.method == Method::POST {
                self.log.push(RecordedRequest {
                    route,
                    headers: parts.headers,
                    body: body.clone(),
                    served: served.clone(),
                });
            }
        }
        let query = parts.uri.query().unwrap_or_default();
        let dialect = match (&parts.method, path) {
            (&Method::POST, "/v1/chat/completions") => Some(Dialect::Chat),
            (&Method::POST, "/v1/responses") => Some(Dialect::Responses),
            _ => None,
        };
        if let Some(dialect) = dialect {
            return self.answer(dialect, &body, wire, served).await;
        }
        served.ended(true);
        match (&parts.method, path) {
            (&Method::POST, "/v1/embeddings") => Ok(older::embeddings(&body).await),
            (&Method::POST, "/v1/completions") => Ok(older::completions(&body).await),
            (&Method::GET, "/v1/models") => Ok(self.list_models()),
            (&Method::GET, path) if path.starts_with("/v1/models/") => {
                Ok(json_reply(200, &model_object(&path["/v1/models/".len()..])))
            }
            (&Method::GET, "/props") => Ok(self.props(query)),
            (&Method::POST, "/api/show") => Ok(self.show(&body)),
            (&Method::GET, "/__stats") => Ok(self.report()),
            (&Method::GET, "/__requests") => Ok(self.requests_of(query)),
            (&Method::POST, "/__about") => Ok(self.set_about_from(&body)),
            (&Method::POST, "/__reset") => {
                self.reset();
                Ok(json_reply(200, &json!({})))
            }
            (&Method::POST, "/__script") => Ok(self.install_from(&body)),
            (&Method::GET, path) if self.about().own_route(path).is_some() => {
                let body = self.about().own_route(path).unwrap_or_default();
                Ok(json_reply(200, &body))
            }
            (method, path) => Ok(error(404, &format!("No such route: {method} {path}."))),
        }
    }

    fn connection_opened(&self) {
        self.counters.connection_opened();
    }

    fn connection_closed(&self) {
        self.counters.connection_closed();
    }
}

impl Shared {
    async fn answer(
        &self,
        dialect: Dialect,
        body: &[u8],
        wire: Arc<Wire>,
        served: Arc<Serving>,
    ) -> Result<Reply, Broken> {
        let reply = self.answer_of(dialect, body, wire, served.clone()).await;
        if let Ok(reply) = &reply {
            served.status(reply.status().as_u16());
        }
        reply
    }

    async fn answer_of(
        &self,
        dialect: Dialect,
        body: &[u8],
        wire: Arc<Wire>,
        served: Arc<Serving>,
    ) -> Result<Reply, Broken> {
        let read = match dialect {
            Dialect::Chat => request::chat(body),
            Dialect::Responses => request::responses(body),
        };
        let (ask, Turn { script, by_attempt }) = match read.and_then(|ask| {
            let turn = self.models.next_turn(&ask.model)?;
            Ok((ask, turn))
        }) {
            Ok(found) => found,
            Err(message) => {
                served.ended(true);
                return Ok(error(400, &message));
            }
        };
        let mut running = Running::new(self.counters.clone(), served, ask.stream);
        sleep(script.slow_headers_ms).await;
        if let Some(body) = &script.body {
            running.served.sent(body.len(), 0);
            running.finished();
            return Ok(written_out(&script, body.clone()));
        }
        if script.status.is_some() || script.html_body {
            running.finished();
            return Ok(scripted_error(&script));
        }
        if script.reject_prefill && ask.prefix.is_some() {
            running.finished();
            return Ok(error(400, "The last message must not be the assistant's."));
        }
        let plan = match Plan::of(&script, &ask, by_attempt, body) {
            Ok(plan) => plan,
            Err(refused) => {
                running.finished();
                return Ok(json_reply(400, &refused.body));
            }
        };
        let serial = self.serial.fetch_add(1, Relaxed);
        let (answer, facts) = Answer::new(script.clone(), &ask, plan, serial);
        let facts = Arc::new(facts);
        if ask.stream {
            let encoder: Box<dyn Encoder> = match dialect {
                Dialect::Chat => Box::new(Chat::new(facts)),
                Dialect::Responses => Box::new(Responses::new(facts, &ask)),
            };
            let body = Playback::stream(script, answer, encoder, running, wire);
            return Ok(event_stream(body));
        }
        let deltas = facts.completion_tokens;
        let document = match dialect {
            Dialect::Chat => chat::plain(answer, &facts),
            Dialect::Responses => responses::plain(answer, facts, &ask),
        };
        play_plain(&script, deltas, &document, running, wire).await
    }

    fn list_models(&self) -> Reply {
        let names = self.models.names();
        let owner = self.about().owner();
        let listed = names.iter().map(|name| {
            let mut model = model_object(name);
            if let Some(owner) = owner {
                model["owned_by"] = owner.into();
            }
            model
        });
        let data: Vec<Value> = listed.collect();
        json_reply(200, &json!({"object": "list", "data": data}))
    }

    fn report(&self) -> Reply {
        let mut report = json!(self.stats());
        let requests = self.log.all();
        let last = &requests[requests.len().saturating_sub(LISTED_REQUESTS)..];
        report["requests"] = last.iter().map(RecordedRequest::to_json).collect();
        json_reply(200, &report)
    }

    fn requests_of(&self, query: &str) -> Reply {
        let Some(key) = query.strip_prefix("key=") else {
            return error(400, "Write /__requests?key=KEY.");
        };
        let requests = self.requests_with_key(key);
        let requests: Vec<Value> = requests.iter().map(RecordedRequest::to_json).collect();
        json_reply(200, &json!({"requests": requests}))
    }

    pub(super) fn requests_with_key(&self, key: &str) -> Vec<RecordedRequest> {
        let mut requests = self.log.all();
        requests.retain(|request| request.has_key(key));
        requests
    }

    pub(super) fn set_about(&self, about: About) {
        *self.about.write().unwrap_or_else(PoisonError::into_inner) = about;
    }

    fn about(&self) -> About {
        let about = self.about.read().unwrap_or_else(PoisonError::into_inner);
        about.clone()
    }

    fn set_about_from(&self, body: &[u8]) -> Reply {
        match serde_json::from_slice(body) {
            Ok(about) => {
                self.set_about(about);
                json_reply(200, &json!({}))
            }
            Err(why) => error(400, &why.to_string()),
        }
    }

    fn props(&self, query: &str) -> Reply {
        let model = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("model="));
        let about = self.about.read().unwrap_or_else(PoisonError::into_inner);
        let script = model.and_then(|name| self.models.script(&notation::decode(name).ok()?));
        match about.props(script.as_deref()) {
            Some(props) => json_reply(200, &props),
            None => error(404, "No such route: GET /props."),
        }
    }

    fn show(&self, body: &[u8]) -> Reply {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let about = self.about.read().unwrap_or_else(PoisonError::into_inner);
        let name = request["model"].as_str().or(request["name"].as_str());
        let script = name.and_then(|name| self.models.script(name));
        match about.show(script.as_deref()) {
            Some(shown) => json_reply(200, &shown),
            None => error(404, "No such route: POST /api/show."),
        }
    }

    fn install_from(&self, body: &[u8]) -> Reply {
        #[derive(Deserialize)]
        struct Install {
            name: String,
            script: Value,
        }
        let install = serde_json::from_slice::<Install>(body).map_err(|error| error.to_string());
        let read = install.and_then(|install| {
            let script = Script::from_json(install.script)?;
            Ok((install.name, script))
        });
        match read {
            Ok((name, script)) => {
                self.install(&name, script);
                json_reply(200, &json!({"installed": name}))
            }
            Err(message) => error(400, &message),
        }
    }
}
