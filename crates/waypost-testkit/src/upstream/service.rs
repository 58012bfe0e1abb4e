//! Routes of the scripted model server, and the choice of a script.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::chat::{self, Chat};
use super::player::{Encoder, Playback};
use super::reply::{
    Reply, embeddings, error, event_stream, json_reply, model_object, play_plain, scripted_error,
    sleep,
};
use super::request;
use super::responses::{self, Responses};
use super::script::Script;
use super::stats::{Counters, Log, ROUTES, RecordedRequest, Running, Stats};
use crate::net::{App, Broken, Wire};

/// Largest request body read.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// Model names remembered, each with its script and its count of calls.
const MAX_MODELS: usize = 10_000;
/// Requests listed by `/__stats`.
const LISTED_REQUESTS: usize = 20;

/// State behind every connection.
#[derive(Debug)]
pub(super) struct Shared {
    models: RwLock<HashMap<String, Arc<Model>>>,
    counters: Arc<Counters>,
    pub(super) log: Log,
    serial: AtomicU64,
}

/// One model name: its script, once as it is when sound and once as it is when failing.
#[derive(Debug)]
struct Model {
    sound: Arc<Script>,
    failing: Arc<Script>,
    fail_first: u64,
    calls: AtomicU64,
    installed: bool,
}

impl Model {
    fn new(script: Script, installed: bool) -> Self {
        let fail_first = if script.fail_first == 0 {
            u64::MAX
        } else {
            script.fail_first
        };
        let (sound, failing) = script.split_failures();
        let calls = AtomicU64::new(0);
        Self {
            sound: Arc::new(sound),
            failing: Arc::new(failing),
            fail_first,
            calls,
            installed,
        }
    }

    fn next_call(&self) -> Arc<Script> {
        let before = self.calls.fetch_add(1, Relaxed);
        if before < self.fail_first {
            self.failing.clone()
        } else {
            self.sound.clone()
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Chat,
    Responses,
}

impl Shared {
    pub(super) fn new(recorded: usize) -> Self {
        Self {
            models: RwLock::default(),
            counters: Arc::default(),
            log: Log::new(recorded),
            serial: AtomicU64::new(1),
        }
    }

    pub(super) fn install(&self, name: &str, script: Script) {
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        models.insert(name.to_owned(), Arc::new(Model::new(script, true)));
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = self.counters.read();
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        stats.models = models
            .iter()
            .map(|(name, model)| (name.clone(), model.calls.load(Relaxed)))
            .collect::<BTreeMap<_, _>>();
        stats
    }

    pub(super) fn reset(&self) {
        self.counters.reset();
        self.log.clear();
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        models.retain(|_, model| model.installed);
        for model in models.values() {
            model.calls.store(0, Relaxed);
        }
    }

    fn script(&self, name: &str) -> Result<Arc<Script>, String> {
        if let Some(model) = self
            .models
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
        {
            return Ok(model.next_call());
        }
        let script = match name.split_once('?') {
            Some((_, query)) => Script::from_query(query)?,
            None => Script::default(),
        };
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        if models.len() >= MAX_MODELS {
            return Err(format!(
                "more than {MAX_MODELS} model names; POST /__reset forgets them"
            ));
        }
        let model = models
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Model::new(script, false)));
        Ok(model.next_call())
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
        if let Some(route) = route {
            self.counters.called(route);
            let headers = parts.headers;
            self.log.push(RecordedRequest {
                route,
                headers,
                body: body.clone(),
            });
        }
        match (&parts.method, path) {
            (&Method::POST, "/v1/chat/completions") => {
                self.answer(Dialect::Chat, &body, wire).await
            }
            (&Method::POST, "/v1/responses") => self.answer(Dialect::Responses, &body, wire).await,
            (&Method::POST, "/v1/embeddings") => Ok(embeddings(&body)),
            (&Method::GET, "/v1/models") => Ok(self.list_models()),
            (&Method::GET, path) if path.starts_with("/v1/models/") => {
                Ok(json_reply(200, &model_object(&path["/v1/models/".len()..])))
            }
            (&Method::GET, "/__stats") => Ok(self.report()),
            (&Method::POST, "/__reset") => {
                self.reset();
                Ok(json_reply(200, &json!({})))
            }
            (&Method::POST, "/__script") => Ok(self.install_from(&body)),
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
    ) -> Result<Reply, Broken> {
        let read = match dialect {
            Dialect::Chat => request::chat(body),
            Dialect::Responses => request::responses(body),
        };
        let (ask, script) = match read.and_then(|ask| {
            let script = self.script(&ask.model)?;
            Ok((ask, script))
        }) {
            Ok(found) => found,
            Err(message) => return Ok(error(400, &message)),
        };
        let mut running = Running::new(self.counters.clone(), ask.stream);
        sleep(script.slow_headers_ms).await;
        if script.status.is_some() || script.html_body {
            running.finished();
            return Ok(scripted_error(&script));
        }
        if script.reject_prefill && ask.prefix.is_some() {
            running.finished();
            return Ok(error(400, "The last message must not be the assistant's."));
        }
        let serial = self.serial.fetch_add(1, Relaxed);
        let (answer, facts) = Answer::new(script.clone(), &ask, serial);
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
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<&str> = models
            .iter()
            .filter(|(_, model)| model.installed)
            .map(|(name, _)| name.as_str())
            .chain(["scripted"])
            .collect();
        names.sort_unstable();
        names.dedup();
        let data: Vec<Value> = names.into_iter().map(model_object).collect();
        json_reply(200, &json!({"object": "list", "data": data}))
    }

    fn report(&self) -> Reply {
        let mut report = json!(self.stats());
        let requests = self.log.all();
        let last = &requests[requests.len().saturating_sub(LISTED_REQUESTS)..];
        report["requests"] = last.iter().map(RecordedRequest::to_json).collect();
        json_reply(200, &report)
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
