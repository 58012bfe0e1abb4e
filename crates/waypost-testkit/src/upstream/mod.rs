//! A model server that does what its script says.
//!
//! The script comes with the model's name: `scripted?tokens=200&delay_ms=5` carries it, any other
//! name is looked up among the installed ones, and an unknown name answers with eight tokens.
//! Answers are numbered tokens ("0 1 2 …"), so gaps and repeats become arithmetic. Routes:
//! `/v1/models`, `/v1/chat/completions`, `/v1/responses`, `/v1/embeddings`, `/v1/completions`, what llama.cpp and
//! Ollama say of themselves (`/props`, `/api/show`: see [`About`]), and for the tests
//! `GET /__stats`, `GET /__requests?key=`, `POST /__reset`, `POST /__script`, `POST /__about`.
//!
//! It is also the baseline of the bench: a request's path holds one short lock for the script and
//! one for the log.

mod about;
mod answer;
mod chat;
mod engine;
mod frame;
mod kinds;
mod limits;
mod models;
mod notation;
mod older;
mod plan;
mod player;
mod reply;
mod request;
mod responses;
mod script;
mod service;
mod stats;
mod steps;
mod tokens;
mod words;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

pub use about::About;
pub use kinds::{
    Break, BreakWhen, Finish, Generate, Ignored, ReasoningField, RefuseStyle, Shape, ToolStyle,
    ToolText, UsageAt,
};
pub use script::Script;
pub use stats::{DEFAULT_RECORDED, Ended, RecordedRequest, Served, Stats};
pub use steps::{Call, Step};

use crate::net::Server;
use service::Shared;

/// A running scripted model server; dropping it closes its listener and every connection.
#[derive(Debug)]
pub struct ScriptedUpstream {
    server: Server,
    shared: Arc<Shared>,
}

impl ScriptedUpstream {
    /// Starts on a free loopback port.
    pub async fn start() -> io::Result<Self> {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into(), DEFAULT_RECORDED).await
    }

    /// Starts on `listen`, keeping the last `recorded` requests.
    pub async fn start_on(listen: SocketAddr, recorded: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(recorded));
        let server = Server::start(listen, shared.clone()).await?;
        Ok(Self { server, shared })
    }

    /// `http://127.0.0.1:PORT`, where `/__stats` is.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// `http://127.0.0.1:PORT/v1`: what a client's `base_url` takes.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// The last requests to model routes, oldest first.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.log.all()
    }

    /// Those whose model name has `key=KEY` in its script.
    pub fn requests_of(&self, key: &str) -> Vec<RecordedRequest> {
        self.shared.requests_with_key(key)
    }

    /// What the server says of itself from now on.
    pub fn set_about(&self, about: About) {
        self.shared.set_about(about);
    }

    /// Forgets counters, recorded requests and the calls that `fail_first` has counted. Installed
    /// scripts stay.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Makes `script` the script of the model `name`.
    pub fn install(&self, name: &str, script: Script) {
        self.shared.install(name, script);
    }
}

/// The text of the first `tokens` tokens of a script: the oracle of a test.
pub fn expected_text(script: &Script, tokens: usize) -> String {
    tokens::full_text(script, tokens)
}

fn error_object(status: u16, message: &str) -> Value {
    let kind = match status {
        400..=499 if status != 429 => "invalid_request_error",
        429 => "rate_limit_error",
        _ => "server_error",
    };
    json!({"message": message, "type": kind, "param": null, "code": null})
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
