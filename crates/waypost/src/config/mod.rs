//! The configuration: plain data with documented defaults.
//!
//! Flow: file (TOML, unknown keys are errors) -> environment -> flags, each
//! overriding the one before; see [`load`]. What came out is [`Config`], and
//! `waypost config check` prints it, secrets as references only.
//!
//! The doc comment of a field is what operators read about its key: see
//! [`reference`]. After a change: `WAYPOST_TEST_UPDATE=1 cargo test -p waypost
//! --lib config::page` writes `docs/configuration.md` anew.
//!
//! Easy to break: a secret may only live in a [`Secret`], which prints as a
//! mask or as a reference whichever way it is formatted or serialized.

pub mod environment;
pub mod load;
mod mcp;
mod origin;
#[cfg(test)]
mod page;
pub mod print;
pub mod reference;
pub mod secret;
mod tools;
pub mod units;
mod upstream;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_identity::{DEFAULT_SKEW_SECONDS, IssuerRules};

pub use environment::Environment;
pub use load::{ConfigError, Overrides};
pub use mcp::McpConfig;
pub use secret::Secret;
pub use tools::{Buffer, HostedTools, ToolsConfig};
pub use units::{ByteSize, Keep};
pub use upstream::{Dialect, StructuredOutput, SystemMessages, ToolCalling, Upstream, UpstreamApi};

/// What requests to other servers call this one.
pub const USER_AGENT: &str = concat!("waypost/", env!("CARGO_PKG_VERSION"));

/// Everything that an operator can set.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the server listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where `/metrics` is served, in clear and without authentication, with
    /// `/healthz` and `/readyz`; then no longer at `listen`. Absent: at `listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "address"))]
    pub metrics_listen: Option<SocketAddr>,
    /// The base URL by which clients reach this server: the issuer of its
    /// access tokens. Derived from the address in use when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Where the embedded engine keeps its files.
    pub data_dir: PathBuf,
    /// How long the end may take after SIGTERM, `drain_delay` included. The
    /// service manager's own time-out has to be longer.
    #[serde(with = "units::duration")]
    pub shutdown_grace: Duration,
    /// How long requests are still served after SIGTERM, while `/readyz` is 503
    /// already: what a load balancer needs to go elsewhere. At least 2 s of
    /// `shutdown_grace` are to be left.
    #[serde(with = "units::duration")]
    pub drain_delay: Duration,
    /// How long events of the audit log are kept; at least a day.
    pub audit_retention: Keep,
    /// An organization admin key accepted from start-up; only by
    /// `WAYPOST_ADMIN_KEY`, never from a file.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub admin_key: Option<Secret>,
    pub engine: EngineConfig,
    pub http: HttpConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    pub log: LogConfig,
    pub identity: IdentityConfig,
    pub responses: ResponsesConfig,
    pub tools: ToolsConfig,
    /// Model servers. Empty: the usual local ports are looked at.
    pub upstreams: Vec<Upstream>,
    /// Where all this came from.
    #[serde(skip)]
    pub origin: Origin,
}

/// Where a configuration came from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The file, as an absolute path.
    pub file: Option<PathBuf>,
    /// `data_dir` as the file, the environment or a flag has it.
    pub data_dir: Option<PathBuf>,
    /// What is odd and no error, a sentence each.
    pub warnings: Vec<String>,
}

/// Where everything durable lives.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Which engine keeps responses and wakes workers.
    pub kind: EngineKind,
    /// The database of `cluster`; not looked at by `embedded`.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<Secret>")]
    pub postgres_url: Option<toml::Value>,
    /// The bus of `cluster`; not looked at by `embedded`.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<Secret>")]
    pub nats_url: Option<toml::Value>,
}

/// Which engine stores and wakes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// SQLite and an in-process bus.
    #[default]
    Embedded,
    /// Postgres and NATS; refused by this version.
    Cluster,
}

/// How requests are received.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// The largest request body; larger ones are answered with 413.
    pub body_limit: ByteSize,
    /// How long a client may take to send a request's head, and a TLS client
    /// for its handshake.
    #[serde(with = "units::duration")]
    pub header_timeout: Duration,
    /// How long a request's body may take to arrive.
    #[serde(with = "units::duration")]
    pub body_timeout: Duration,
    /// How long a connection may wait for its next request. To be longer than
    /// clients and load balancers keep connections (60 to 90 s): one that they
    /// use just as it is closed is a failed request.
    #[serde(with = "units::duration")]
    pub keep_alive_timeout: Duration,
    /// Open connections at most; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Networks of proxies in front, like `["10.0.0.0/8"]`. Only they are
    /// believed when `Forwarded` or `X-Forwarded-For` names a client's address,
    /// which limits, log and audit events then use.
    #[serde(deserialize_with = "units::networks")]
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// Origins of web pages that may call this server, like
    /// `["https://app.example.com"]`, or `["*"]` for all.
    pub cors_origins: Vec<String>,
}

/// HTTPS on the listener, with TLS 1.2 and 1.3. Without this section it speaks
/// plain HTTP, for a proxy in front that adds TLS, or for this machine alone.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file: the server's certificate, then its intermediates.
    pub cert: PathBuf,
    /// PEM file: the private key of the certificate (PKCS #8, PKCS #1 or SEC1).
    pub key: PathBuf,
}

/// What is logged, to standard error.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How log lines look.
    pub format: LogFormat,
    /// A level (`off`, `error`, `warn`, `info`, `debug`, `trace`), or directives
    /// like `info,waypost=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text each.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Token exchange, and the tokens of this server.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// Exact origins that an issuer may have although they are not public
    /// https, like `http://127.0.0.1:9000`.
    pub allow_private_issuers: BTreeSet<String>,
    /// How far the clocks of issuers may differ from ours; at most 300 s.
    #[serde(with = "units::duration")]
    pub clock_skew: Duration,
    /// The longest a fetch of an issuer's documents may take.
    #[serde(with = "units::duration")]
    pub fetch_timeout: Duration,
    /// How long an issuer's documents are used before they are fetched again.
    #[serde(with = "units::duration")]
    pub key_cache: Duration,
    /// How long after an attempt to fetch an issuer's keys, good or bad, no
    /// other is made: the brake on tokens that name unknown keys.
    #[serde(with = "units::duration")]
    pub key_refresh_cooldown: Duration,
    /// How long keys are used beyond `key_cache` while their issuer fails.
    #[serde(with = "units::duration")]
    pub stale_keys: Duration,
    /// Token exchanges a second that one client address (an IPv6 /64) may ask
    /// for; 0 sets no limit.
    pub exchanges_per_client: u32,
    /// Token exchanges a second that may be asked of one provider; 0 sets no
    /// limit.
    pub exchanges_per_provider: u32,
    /// Seals the signing keys in the store: 32 random bytes as hexadecimal or
    /// base64. Absent: made on the first start, in `data_dir/master.key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_key: Option<Secret>,
    /// How long one key signs access tokens before the next takes over.
    #[serde(with = "units::duration")]
    pub signing_key_lifetime: Duration,
}

/// The Responses API, and the jobs of background responses.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResponsesConfig {
    /// How long a worker's claim lasts without a heartbeat: the time within
    /// which a crashed worker's job is taken over.
    #[serde(with = "units::duration")]
    pub lease: Duration,
    /// Claims of one job before it fails.
    pub max_attempts: u32,
    /// Background responses that may wait; more are refused with 429.
    pub max_queued: u64,
    /// How long a finished response's events can be replayed.
    #[serde(with = "units::duration")]
    pub event_log_retention: Duration,
    /// How long responses with `store: true` are kept after they ended.
    pub stored_retention: Keep,
    /// How long responses with `store: false` are kept after they ended.
    #[serde(with = "units::duration")]
    pub ephemeral_retention: Duration,
    /// What `background: true` with `store: false` means.
    pub background_without_store: BackgroundWithoutStore,
    /// Whether streams end with `data: [DONE]`.
    pub done_marker: bool,
    /// Silence after which a stream gets a comment.
    #[serde(with = "units::duration")]
    pub keep_alive: Duration,
    /// How long a foreground request may wait for an upstream slot.
    #[serde(with = "units::duration")]
    pub queue_timeout: Duration,
    /// The longest one response may run.
    #[serde(with = "units::duration")]
    pub max_duration: Duration,
    /// Silence of an upstream after which it is given up.
    #[serde(with = "units::duration")]
    pub upstream_idle_timeout: Duration,
}

/// What `background: true` with `store: false` means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackgroundWithoutStore {
    /// A 400.
    #[default]
    Reject,
    /// Kept for `ephemeral_retention`.
    Ephemeral,
}

impl IdentityConfig {
    /// Where issuers may be.
    pub fn url_rules(&self) -> anyhow::Result<IssuerRules> {
        let origins = self.allow_private_issuers.iter().map(String::as_str);
        IssuerRules::new(origins).context("[identity] allow_private_issuers")
    }
}

impl ResponsesConfig {
    /// How often a worker renews its leases: often enough that one lost
    /// heartbeat costs nothing.
    pub fn heartbeat(&self) -> Duration {
        self.lease / 3
    }
}

impl LogConfig {
    /// What is wrong with `level`, if anything. A word that is no level names a
    /// target to the filter, which then silently lets nothing else through.
    pub(crate) fn problem(&self) -> Option<String> {
        const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
        for directive in self.level.split(',').map(str::trim) {
            let level = directive.rsplit('=').next().unwrap_or_default();
            let level = level.to_ascii_lowercase();
            if !LEVELS.contains(&level.as_str()) {
                return Some(format!(
                    "holds `{directive}`: write a level ({}), or directives like \"info,waypost=debug\"",
                    LEVELS.join(", ")
                ));
            }
        }
        tracing_subscriber::EnvFilter::builder()
            .parse(&self.level)
            .err()
            .map(|error| format!("is `{}`: {error}", self.level))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            metrics_listen: None,
            public_url: None,
            data_dir: PathBuf::from("waypost-data"),
            shutdown_grace: Duration::from_secs(10),
            drain_delay: Duration::ZERO,
            audit_retention: Keep::Forever,
            admin_key: None,
            engine: EngineConfig::default(),
            http: HttpConfig::default(),
            tls: None,
            log: LogConfig::default(),
            identity: IdentityConfig::default(),
            responses: ResponsesConfig::default(),
            tools: ToolsConfig::default(),
            upstreams: Vec::new(),
            origin: Origin::default(),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            body_limit: ByteSize(32 * 1024 * 1024),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_mins(2),
            keep_alive_timeout: Duration::from_mins(2),
            max_connections: 20_000,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            allow_private_issuers: BTreeSet::new(),
            clock_skew: Duration::from_secs(DEFAULT_SKEW_SECONDS.into()),
            fetch_timeout: Duration::from_secs(5),
            key_cache: Duration::from_mins(10),
            key_refresh_cooldown: Duration::from_secs(15),
            stale_keys: Duration::from_hours(24),
            exchanges_per_client: 1_000,
            exchanges_per_provider: 5_000,
            master_key: None,
            signing_key_lifetime: Duration::from_hours(24 * 30),
        }
    }
}

impl Default for ResponsesConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            lease: Duration::from_secs(30),
            max_attempts: 5,
            max_queued: 10_000,
            event_log_retention: 7 * DAY,
            stored_retention: Keep::For(30 * DAY),
            ephemeral_retention: Duration::from_mins(10),
            background_without_store: BackgroundWithoutStore::Reject,
            done_marker: true,
            keep_alive: Duration::from_secs(15),
            queue_timeout: Duration::from_secs(30),
            max_duration: DAY,
            upstream_idle_timeout: Duration::from_mins(2),
        }
    }
}
