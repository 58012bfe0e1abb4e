//! An OIDC issuer of workload tokens: a cluster or a CI system as Waypost sees it.
//!
//! It publishes `/.well-known/openid-configuration` and `/jwks` on loopback, counts their fetches,
//! fails on order, rotates its keys, and signs anything. `POST /__sign` and its kin offer the same
//! to tests in other languages. The keys live in memory: a new issuer is a new trust.

mod control;
mod keys;
mod service;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use keys::{Alg, SigningKey, b64, sign_hs256, unsigned};

use crate::net::Server;
use service::Shared;

/// A running issuer; dropping it closes its listener and every connection.
#[derive(Debug)]
pub struct Issuer {
    server: Server,
    shared: Arc<Shared>,
}

/// How an issuer starts.
#[derive(Debug, Clone)]
pub struct IssuerOptions {
    pub listen: SocketAddr,
    pub alg: Alg,
    /// `iss` of the tokens and `issuer` of the document. Default: the address served at.
    pub issuer: Option<String>,
}

impl Default for IssuerOptions {
    fn default() -> Self {
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        Self {
            listen,
            alg: Alg::default(),
            issuer: None,
        }
    }
}

/// What goes wrong at a published document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", rename_all_fields = "snake_case")]
pub enum Fault {
    #[default]
    None,
    /// Answer after so many milliseconds.
    Slow(u64),
    /// Accept and never answer.
    Hang,
    /// Answer with this status.
    Status(u16),
    /// 302 to this address; the empty string means the same document under another path.
    Redirect(String),
    /// A valid document, followed by white space up to so many bytes.
    Huge(usize),
    /// An HTML page with status 200.
    Html,
    /// This text with status 200.
    Text(String),
    /// Reset the connection.
    Reset,
    /// The discovery document names another issuer. (The key set is served as ever.)
    WrongIssuer,
    /// The discovery document names this `jwks_uri`. (The key set is served as ever.)
    JwksUri(String),
}

/// Fetches so far of each document, faulty answers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Fetches {
    pub discovery: u64,
    pub jwks: u64,
}

impl Issuer {
    /// Starts on a free loopback port with one ES256 key.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(IssuerOptions::default()).await
    }

    pub async fn start_with(options: IssuerOptions) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(options.alg));
        let server = Server::start(options.listen, shared.clone()).await?;
        let base = format!("http://{}", server.address());
        shared.named(options.issuer.unwrap_or_else(|| base.clone()), base);
        Ok(Self { server, shared })
    }

    /// Where it is served: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// `iss` of its tokens: [`Issuer::url`] unless the options say otherwise.
    pub fn issuer(&self) -> String {
        self.shared.issuer()
    }

    /// The published key set.
    pub fn jwks(&self) -> Value {
        self.shared.jwks()
    }

    /// The published key set as text, for upload.
    pub fn jwks_json(&self) -> String {
        self.shared.jwks().to_string()
    }

    /// The key that signs now.
    pub fn key(&self) -> Arc<SigningKey> {
        self.shared.key()
    }

    /// A token of exactly these claims, signed by the current key.
    pub fn sign(&self, claims: &Value) -> String {
        self.key().sign(claims)
    }

    /// A standard token: see [`Issuer::claims`].
    pub fn token(&self, sub: &str, aud: &str, lifetime_seconds: i64) -> String {
        self.sign(&self.claims(sub, aud, lifetime_seconds))
    }

    /// `iss`, `sub`, `aud`, `iat` of now, `nbf` of now, `exp` after the lifetime, and a fresh
    /// `jti`. A negative lifetime makes an expired token.
    pub fn claims(&self, sub: &str, aud: &str, lifetime_seconds: i64) -> Value {
        self.shared
            .claims(sub, &json!(aud), lifetime_seconds, Map::new())
    }

    /// Signs with a new key from now on. The old key stays published if `keep_old`.
    pub fn rotate(&self, alg: Alg, keep_old: bool) -> Arc<SigningKey> {
        self.shared.rotate(alg, keep_old)
    }

    /// Publishes exactly this instead of the key set, until [`Issuer::reset`].
    pub fn publish(&self, jwks: Value) {
        self.shared.publish(Some(jwks));
    }

    pub fn fail_discovery(&self, fault: Fault) {
        self.shared.set_faults(Some(fault), None);
    }

    pub fn fail_jwks(&self, fault: Fault) {
        self.shared.set_faults(None, Some(fault));
    }

    pub fn fetches(&self) -> Fetches {
        self.shared.fetches()
    }

    /// Ends faults and [`Issuer::publish`], and counts fetches from 0. Keys stay.
    pub fn reset(&self) {
        self.shared.reset();
    }
}

/// Seconds since the epoch, as tokens count them.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64)
}
