//! The configuration: plain data with documented defaults.
//!
//! Flow: file (TOML, unknown keys are errors) -> environment -> flags, each
//! overriding the one before; see [`load`]. What came out is [`Config`], and
//! `waypost config check` prints it with every secret masked.
//!
//! Easy to break: a secret may only live in a [`Secret`], which prints as a
//! mask whichever way it is formatted or serialized.

pub mod load;
pub mod secret;
mod tools;
pub mod units;
mod upstream;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub use load::{ConfigError, Overrides};
pub use secret::Secret;
pub use tools::{Buffer, ToolsConfig};
pub use units::{ByteSize, Keep};
pub use upstream::{Dialect, StructuredOutput, ToolCalling, Upstream, UpstreamApi};

/// Everything that an operator can set.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the server listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The base URL by which clients reach this server: the issuer of its
    /// access tokens. Derived from the address in use when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Where the embedded engine keeps its files.
    pub data_dir: PathBuf,
    /// How long a drain may take after SIGTERM.
    #[serde(with = "units::duration")]
    pub shutdown_grace: Duration,
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
    /// Model servers. Empty: the usual local ports are looked at on start.
    pub upstreams: Vec<Upstream>,
}

/// `[engine]`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    pub kind: EngineKind,
    /// For `cluster`; not looked at by `embedded`.
    #[serde(skip_serializing)]
    pub postgres_url: Option<toml::Value>,
    /// For `cluster`; not looked at by `embedded`.
    #[serde(skip_serializing)]
    pub nats_url: Option<toml::Value>,
}

/// Which engine stores and wakes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// SQLite and an in-process bus.
    #[default]
    Embedded,
    /// Postgres and NATS; refused by this version.
    Cluster,
}

/// `[http]`
#[derive(Debug, Clone, Deserialize, Serialize)]
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
    /// Open connections at most; more wait in the kernel's queue.
    pub max_connections: usize,
}

/// `[tls]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file: the certificate and its intermediates.
    pub cert: PathBuf,
    /// PEM file: the private key.
    pub key: PathBuf,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    pub format: LogFormat,
    /// A level, or directives like `info,waypost=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// `[identity]`
#[derive(Debug, Clone, Deserialize, Serialize)]
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

/// `[responses]`
#[derive(Debug, Clone, Deserialize, Serialize)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackgroundWithoutStore {
    /// A 400.
    #[default]
    Reject,
    /// Kept for `ephemeral_retention`.
    Ephemeral,
}

impl ResponsesConfig {
    /// How often a worker renews its leases: often enough that one lost
    /// heartbeat costs nothing.
    pub fn heartbeat(&self) -> Duration {
        self.lease / 3
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            data_dir: PathBuf::from("waypost-data"),
            shutdown_grace: Duration::from_secs(10),
            admin_key: None,
            engine: EngineConfig::default(),
            http: HttpConfig::default(),
            tls: None,
            log: LogConfig::default(),
            identity: IdentityConfig::default(),
            responses: ResponsesConfig::default(),
            tools: ToolsConfig::default(),
            upstreams: Vec::new(),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            body_limit: ByteSize(32 * 1024 * 1024),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_mins(2),
            max_connections: 20_000,
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
            clock_skew: Duration::from_mins(1),
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
