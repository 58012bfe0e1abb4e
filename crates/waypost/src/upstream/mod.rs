//! Model servers: which one serves a model, how many requests it may have at
//! once, and how it is spoken to.
//!
//! A request holds a [`Slot`] from before it is sent until its answer is
//! dropped: slots are permits of a semaphore, so that no path can leak one.

pub mod chat;
pub mod dialect;
pub mod discover;
pub mod error;
pub mod generation;
pub mod listing;
pub mod native;
pub mod stream;
pub mod wire;

use std::{sync::Arc, time::Duration};

use dialect::Capabilities;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{self, Dialect, Secret, StructuredOutput, UpstreamApi};
use error::UpstreamError;
use wire::Wire;

/// How we introduce ourselves to model servers.
const USER_AGENT: &str = concat!("waypost/", env!("CARGO_PKG_VERSION"));
/// Time to establish a connection to a model server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are dropped before servers usually do (a reused dead
/// connection is a spurious failure).
const POOL_IDLE: Duration = Duration::from_secs(4);

/// The right to have one request at an upstream; released when dropped.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "held for its Drop")] OwnedSemaphorePermit);

/// A model server.
#[derive(Debug)]
pub struct Upstream {
    pub name: String,
    /// Parsed once: it is the beginning of every request's.
    pub base_url: reqwest::Url,
    pub api: UpstreamApi,
    pub dialect: Dialect,
    pub capabilities: Capabilities,
    pub max_concurrent: u32,
    models: Vec<Pattern>,
    api_key: Option<Secret>,
    headers: http::HeaderMap,
    slots: Arc<Semaphore>,
}

/// A model name, or the beginning of one.
#[derive(Debug)]
enum Pattern {
    Exact(String),
    Prefix(String),
}

/// All configured model servers, and the client that speaks to them.
#[derive(Debug)]
pub struct Upstreams {
    /// Builds all requests, and sends those that need TLS.
    pub client: reqwest::Client,
    wire: Arc<Wire>,
    /// Longest silence within an answer.
    pub idle_timeout: Duration,
    all: Vec<Arc<Upstream>>,
}

impl Upstreams {
    /// Builds the registry. Order matters: the first upstream whose patterns
    /// match a model serves it.
    pub fn new(configs: &[config::Upstream], idle_timeout: Duration) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(256)
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(USER_AGENT)
            .build()?;
        let all = configs
            .iter()
            .map(|c| Upstream::new(c).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            client,
            wire: Arc::default(),
            idle_timeout,
            all,
        })
    }

    /// Sends a request and waits for the answer's head, whatever its status.
    pub async fn send(
        &self,
        request: reqwest::RequestBuilder,
        patience: Duration,
    ) -> Result<reqwest::Response, UpstreamError> {
        let request = request
            .build()
            .map_err(|error| UpstreamError::Unreachable(with_causes(&error)))?;
        let send = async {
            if request.url().scheme() == "http" {
                let sent = self.wire.send(request).await;
                sent.map_err(|error| UpstreamError::Unreachable(with_causes(&error)))
            } else {
                let sent = self.client.execute(request).await;
                sent.map_err(|error| UpstreamError::Unreachable(with_causes(&error)))
            }
        };
        tokio::time::timeout(patience, send)
            .await
            .map_err(|_| UpstreamError::Stalled(patience))?
    }

    /// The upstream that serves `model`.
    pub fn for_model(&self, model: &str) -> Option<&Arc<Upstream>> {
        self.all.iter().find(|u| u.serves(model))
    }

    /// The upstream of that name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.all.iter().find(|u| u.name == name)
    }

    /// All of them, in the configuration's order.
    pub fn all(&self) -> &[Arc<Upstream>] {
        &self.all
    }
}

impl Upstream {
    fn new(config: &config::Upstream) -> anyhow::Result<Self> {
        let mut capabilities = config.dialect.capabilities();
        match config.assistant_prefill {
            Some(true) => capabilities.prefill = Some(config.dialect.usual_prefill()),
            Some(false) => capabilities.prefill = None,
            None => {}
        }
        if let Some(known) = config.max_completion_tokens {
            capabilities.max_completion_tokens = known;
        }
        if let Some(known) = config.developer_role {
            capabilities.developer_role = known;
        }
        if let Some(tools) = config.tools {
            capabilities.tools = tools;
        }
        if let Some(taken) = config.structured_output {
            capabilities.structured_output = taken;
            capabilities.constrains_output = taken == StructuredOutput::JsonSchema;
        }
        if let Some(constrains) = config.constrains_tools {
            capabilities.constrains_tools = constrains;
        }
        if config.api == UpstreamApi::Responses {
            // The Responses API has no way to hand an answer back.
            capabilities.prefill = None;
        } else {
            capabilities.responses_tools = false;
        }
        let mut headers = http::HeaderMap::new();
        for (name, value) in &config.headers {
            let mut value = http::HeaderValue::from_str(value.expose())?;
            value.set_sensitive(true);
            headers.insert(http::HeaderName::from_bytes(name.as_bytes())?, value);
        }
        Ok(Self {
            name: config.name.clone(),
            base_url: reqwest::Url::parse(&config.base_url)?,
            api: config.api,
            dialect: config.dialect,
            capabilities,
            max_concurrent: config.max_concurrent,
            models: config
                .models
                .iter()
                .map(|m| match m.strip_suffix('*') {
                    Some(prefix) => Pattern::Prefix(prefix.to_owned()),
                    None => Pattern::Exact(m.clone()),
                })
                .collect(),
            api_key: config.api_key.clone(),
            headers,
            slots: Arc::new(Semaphore::new(config.max_concurrent as usize)),
        })
    }

    /// Whether a model of that name is served here.
    pub fn serves(&self, model: &str) -> bool {
        self.models.iter().any(|p| match p {
            Pattern::Exact(name) => name == model,
            Pattern::Prefix(prefix) => model.starts_with(prefix),
        })
    }

    /// The models that the configuration names in full.
    pub fn named_models(&self) -> impl Iterator<Item = &str> {
        self.models.iter().filter_map(|p| match p {
            Pattern::Exact(name) => Some(name.as_str()),
            Pattern::Prefix(_) => None,
        })
    }

    /// Waits its turn for a slot, for at most `patience`.
    pub async fn slot(&self, patience: Duration) -> Option<Slot> {
        let permit = tokio::time::timeout(patience, self.slots.clone().acquire_owned()).await;
        permit.ok()?.ok().map(Slot)
    }

    /// Takes up to `max` free slots, none if there are none.
    pub fn free_slots(&self, max: u32) -> Vec<Slot> {
        let mut slots = Vec::new();
        while slots.len() < max as usize {
            match self.slots.clone().try_acquire_owned() {
                Ok(permit) => slots.push(Slot(permit)),
                Err(_) => break,
            }
        }
        slots
    }

    /// Slots in use now.
    pub fn busy(&self) -> u32 {
        self.max_concurrent - u32::try_from(self.slots.available_permits()).unwrap_or_default()
    }

    /// A request to `path` (beginning with a slash), with our credentials.
    pub fn request(
        &self,
        client: &reqwest::Client,
        method: reqwest::Method,
        path: &str,
    ) -> reqwest::RequestBuilder {
        let base = self.base_url.path().trim_end_matches('/');
        self.request_for(client, method, &format!("{base}{path}"))
    }

    /// A request to a route beside the API, where a server speaks of itself:
    /// the base URL without its version segment.
    pub fn request_at_root(
        &self,
        client: &reqwest::Client,
        method: reqwest::Method,
        path: &str,
    ) -> reqwest::RequestBuilder {
        let base = self.base_url.path().trim_end_matches('/');
        let root = base.strip_suffix("/v1").unwrap_or(base);
        self.request_for(client, method, &format!("{root}{path}"))
    }

    fn request_for(
        &self,
        client: &reqwest::Client,
        method: reqwest::Method,
        path: &str,
    ) -> reqwest::RequestBuilder {
        let mut url = self.base_url.clone();
        url.set_path(path);
        let mut request = client.request(method, url).headers(self.headers.clone());
        if let Some(key) = &self.api_key {
            request = request.bearer_auth(key.expose());
        }
        request
    }
}

/// An error's own words leave its causes out.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some say what their cause says.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
