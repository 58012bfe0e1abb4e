//! Model servers: which one serves a model, how many requests it may have at
//! once, and how it is spoken to.
//!
//! What a server is and can do may be learned while it is used ([`watch`]). An
//! [`Upstream`] never changes: another takes its place in the registry, so that
//! a run keeps what it began with.
//!
//! A request holds a [`Slot`] from before it is sent until its answer is
//! dropped: slots are permits of a semaphore, so that no path can leak one.

pub mod chat;
pub mod dialect;
pub mod discover;
pub mod error;
mod gauges;
pub mod identify;
pub mod lenient;
pub mod listing;
pub mod logprobs;
pub mod meter;
#[cfg(test)]
mod mutated;
pub mod outage;
pub mod pool;
mod redact;
pub mod responses;
pub mod stream;
pub mod tokens;
pub mod watch;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use arc_swap::ArcSwap;
use dialect::Capabilities;
use outbound::redact::Redactor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::{self, Dialect, HostedTools, Secret, StructuredOutput, USER_AGENT, UpstreamApi},
    metrics::Metrics,
};
use error::UpstreamError;
use identify::Known;
use outage::Outage;
use pool::{ConnectionError, ConnectionPool};
use watch::Health;

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
    /// How the dialect is known.
    pub known: Known,
    pub capabilities: Capabilities,
    pub max_concurrent: u32,
    /// What becomes of hosted tools, where it is not as everywhere.
    pub hosted_tools: Option<HostedTools>,
    /// Whether background jobs are given to it now; shared like `slots`.
    pub outage: Outage,
    settings: Arc<config::Upstream>,
    models: Vec<Pattern>,
    api_key: Option<Secret>,
    headers: http::HeaderMap,
    /// Takes our credentials out of what it says.
    pub redactor: Redactor,
    /// Where TLS or the way there is this upstream's own.
    own_client: Option<reqwest::Client>,
    // Shared by all that take each other's place.
    slots: Arc<Semaphore>,
    health: Arc<Mutex<Health>>,
}

/// A model name, or the beginning of one.
#[derive(Debug, Clone)]
enum Pattern {
    Exact(String),
    Prefix(String),
}

/// All configured model servers, and the client that speaks to them.
#[derive(Debug)]
pub struct Upstreams {
    /// What calls are counted in.
    pub metrics: Arc<Metrics>,
    /// Builds all requests, and sends those that need TLS.
    pub client: reqwest::Client,
    pool: Arc<ConnectionPool>,
    /// Longest silence within an answer.
    pub idle_timeout: Duration,
    all: ArcSwap<Vec<Arc<Upstream>>>,
    /// Authorities of upstreams with a client of their own.
    apart: BTreeSet<String>,
}

impl Upstreams {
    /// Builds the registry. Order matters: the first upstream whose patterns
    /// match a model serves it.
    pub fn new(configs: &[config::Upstream], idle_timeout: Duration) -> anyhow::Result<Self> {
        let client = client().build()?;
        let all: Vec<_> = configs
            .iter()
            .map(|c| {
                let made = Upstream::new(c).map(Arc::new);
                made.with_context(|| format!("upstream {}", c.name))
            })
            .collect::<Result<_, _>>()?;
        let apart = all.iter().filter(|u| u.own_client.is_some());
        Ok(Self {
            metrics: Arc::default(),
            client,
            pool: Arc::default(),
            idle_timeout,
            apart: apart.map(|u| u.base_url.authority().to_owned()).collect(),
            all: ArcSwap::from_pointee(all),
        })
    }

    /// Sends a request to the upstream and waits for the answer's head,
    /// whatever its status.
    pub async fn send(
        &self,
        upstream: &Upstream,
        request: reqwest::RequestBuilder,
        patience: Duration,
    ) -> Result<reqwest::Response, UpstreamError> {
        let sent = self.sent(request, patience).await;
        sent.map_err(|error| error.told_by(upstream))
    }

    async fn sent(
        &self,
        request: reqwest::RequestBuilder,
        patience: Duration,
    ) -> Result<reqwest::Response, UpstreamError> {
        let (client, request) = request.build_split();
        let request = request.map_err(|error| UpstreamError::Unreachable(with_causes(&error)))?;
        let send = async {
            let url = request.url();
            if url.scheme() == "http" && !self.apart.contains(url.authority()) {
                let sent = self.pool.send(request).await;
                sent.map_err(|error| match error {
                    ConnectionError::Exchange { .. } => UpstreamError::Dropped(with_causes(&error)),
                    _ => UpstreamError::Unreachable(with_causes(&error)),
                })
            } else {
                let sent = client.execute(request).await;
                sent.map_err(|error| {
                    if error.is_connect() {
                        UpstreamError::Unreachable(with_causes(&error))
                    } else {
                        UpstreamError::Dropped(with_causes(&error))
                    }
                })
            }
        };
        tokio::time::timeout(patience, send)
            .await
            .map_err(|_| UpstreamError::Stalled(patience))?
    }

    /// The upstream that serves `model`.
    pub fn for_model(&self, model: &str) -> Option<Arc<Upstream>> {
        self.all.load().iter().find(|u| u.serves(model)).cloned()
    }

    /// The upstream of that name, as it is known now.
    pub fn by_name(&self, name: &str) -> Option<Arc<Upstream>> {
        self.all.load().iter().find(|u| u.name == name).cloned()
    }

    /// All of them, in the configuration's order.
    pub fn all(&self) -> Arc<Vec<Arc<Upstream>>> {
        self.all.load_full()
    }

    /// Adds one, after all others. `false` where one of that name is there.
    fn add(&self, added: &Arc<Upstream>) -> bool {
        if self.by_name(&added.name).is_some() {
            return false;
        }
        self.all.rcu(|all| {
            let mut all = Vec::clone(all);
            all.push(added.clone());
            all
        });
        true
    }

    /// From now on the upstream of that name is one of this dialect. Runs that
    /// have begun keep the one that they have.
    fn learn(&self, name: &str, dialect: Dialect, known: Known) {
        self.all.rcu(|all| {
            let learned = all.iter().map(|upstream| {
                if upstream.name == name {
                    Arc::new(upstream.learned(dialect, known))
                } else {
                    upstream.clone()
                }
            });
            learned.collect::<Vec<_>>()
        });
    }
}

/// What all clients of model servers have in common.
fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(256)
        .tcp_nodelay(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(USER_AGENT)
}

/// The client of an upstream that has certificates or a proxy of its own.
fn own_client(config: &config::Upstream) -> anyhow::Result<Option<reqwest::Client>> {
    if config.ca_file.is_none() && config.client_cert.is_none() && config.proxy.is_none() {
        return Ok(None);
    }
    let read = |key: &str, path: &Path| {
        std::fs::read(path).with_context(|| format!("{key}: cannot read {}", path.display()))
    };
    let mut client = client();
    if let Some(path) = &config.ca_file {
        let certificates = reqwest::Certificate::from_pem_bundle(&read("ca_file", path)?)
            .ok()
            .filter(|certificates| !certificates.is_empty())
            .with_context(|| format!("ca_file: {} holds no PEM certificate", path.display()))?;
        client = client.tls_certs_only(certificates);
    }
    if let (Some(cert), Some(key)) = (&config.client_cert, &config.client_key) {
        let mut pem = read("client_cert", cert)?;
        pem.push(b'\n');
        pem.extend(read("client_key", key)?);
        let identity = reqwest::Identity::from_pem(&pem).with_context(|| {
            format!(
                "client_cert and client_key: {} and {} are no PEM certificate and its key",
                cert.display(),
                key.display()
            )
        })?;
        client = client.identity(identity);
    }
    if let Some(proxy) = &config.proxy {
        // Its URL may hold a password.
        let proxy = reqwest::Proxy::all(proxy.expose()).map_err(|_| {
            anyhow::anyhow!("proxy: it is no http or https URL, like \"http://proxy:3128\"")
        })?;
        client = client.proxy(proxy);
    }
    let client = client.build().context("its certificates cannot be used")?;
    Ok(Some(client))
}

/// What an upstream of that dialect can do, after the configuration had its say.
fn capabilities(config: &config::Upstream, dialect: Dialect) -> Capabilities {
    let mut capabilities = dialect.capabilities();
    match config.assistant_prefill {
        Some(true) => capabilities.prefill = Some(dialect.usual_prefill()),
        Some(false) => capabilities.prefill = None,
        None => {}
    }
    if let Some(known) = config.max_completion_tokens {
        capabilities.max_completion_tokens = known;
    }
    if let Some(known) = config.developer_role {
        capabilities.developer_role = known;
    }
    if let Some(taken) = config.system_messages {
        capabilities.system_messages = taken;
    }
    if let Some(taken) = config.images_in_results {
        capabilities.images_in_results = taken;
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
    capabilities
}

impl Upstream {
    fn new(config: &config::Upstream) -> anyhow::Result<Self> {
        let base_url = reqwest::Url::parse(&config.base_url)?;
        let (dialect, known) = match config.dialect {
            Some(dialect) => (dialect, Known::Configured),
            None => match identify::by_host(base_url.host_str().unwrap_or_default()) {
                Some(dialect) => (dialect, Known::Host),
                None => (Dialect::Generic, Known::Unsure),
            },
        };
        let mut headers = http::HeaderMap::new();
        for (name, value) in &config.headers {
            let mut value = http::HeaderValue::from_str(value.expose())?;
            value.set_sensitive(true);
            headers.insert(http::HeaderName::from_bytes(name.as_bytes())?, value);
        }
        Ok(Self {
            name: config.name.clone(),
            base_url,
            api: config.api,
            dialect,
            known,
            capabilities: capabilities(config, dialect),
            settings: Arc::new(config.clone()),
            max_concurrent: config.max_concurrent,
            hosted_tools: config.hosted_tools,
            outage: Outage::default(),
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
            own_client: own_client(config)?,
            redactor: redact::redactor(config),
            slots: Arc::new(Semaphore::new(config.max_concurrent as usize)),
            health: Arc::default(),
        })
    }

    /// The same one, of which something else is known.
    fn learned(&self, dialect: Dialect, known: Known) -> Self {
        Self {
            name: self.name.clone(),
            base_url: self.base_url.clone(),
            api: self.api,
            dialect,
            known,
            capabilities: capabilities(&self.settings, dialect),
            max_concurrent: self.max_concurrent,
            hosted_tools: self.hosted_tools,
            outage: self.outage.clone(),
            settings: self.settings.clone(),
            models: self.models.clone(),
            api_key: self.api_key.clone(),
            headers: self.headers.clone(),
            own_client: self.own_client.clone(),
            redactor: self.redactor.clone(),
            slots: self.slots.clone(),
            health: self.health.clone(),
        }
    }

    /// What was last seen of it.
    pub fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody knows what it is because it has not answered yet.
    pub fn is_yet_unknown(&self) -> bool {
        self.known == Known::Unsure && self.health().reachable != Some(true)
    }

    /// A line for the operator: name, URL, dialect, models, and whether it
    /// answers.
    pub fn describe(&self) -> String {
        let health = self.health();
        let state = match (health.reachable, &health.problem) {
            (Some(true), _) => match health.models.len() {
                1 => "1 model".to_owned(),
                count => format!("{count} models"),
            },
            (Some(false), Some(problem)) => format!("does not list its models: {problem}"),
            _ => "has not answered yet".to_owned(),
        };
        format!(
            "model server {} at {}: {} ({}), {state}",
            self.name,
            self.base_url,
            self.dialect.name(),
            self.known
        )
    }

    /// What the server calls a model that clients call `model`.
    pub fn real_name<'m>(&'m self, model: &'m str) -> &'m str {
        self.settings
            .aliases
            .get(model)
            .map_or(model, String::as_str)
    }

    /// The names that only clients use.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.settings.aliases.keys().map(String::as_str)
    }

    /// Whether a model of that name is served here.
    pub fn serves(&self, model: &str) -> bool {
        self.settings.aliases.contains_key(model)
            || self.models.iter().any(|p| match p {
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

    /// What stands in logs for a request to `path`: the URL that is asked, which
    /// never holds credentials.
    pub fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.base_url.as_str().trim_end_matches('/'))
    }

    /// Where answers are generated, below the base URL.
    pub fn generation_path(&self) -> &'static str {
        match self.api {
            UpstreamApi::Chat => "/chat/completions",
            UpstreamApi::Responses => "/responses",
        }
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
        let client = self.own_client.as_ref().unwrap_or(client);
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
