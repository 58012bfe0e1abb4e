//! What the whole server shares: built once in `serve`, then only read.

use std::sync::Arc;

use waypost_engine::Engine;
use waypost_identity::UrlRules;

use crate::{
    config::Config,
    http::{caller::TokenAuthority, ops::StoreCheck},
    identity::{keys::BootstrapKey, snapshot::DirectoryHandle},
    metrics::Metrics,
    responses::jobs::Jobs,
    shutdown::Shutdown,
    upstream::{Upstreams, listing::ModelListing},
};

/// The server's state. Handlers get it as [`AppRef`].
pub struct App {
    /// What the operator set.
    pub config: Config,
    /// Where everything durable lives, and what wakes who waits for it.
    pub engine: Engine,
    /// Projects, keys, providers and rules as authentication sees them.
    pub directory: DirectoryHandle,
    /// The model servers.
    pub upstreams: Upstreams,
    /// What models they have.
    pub models: ModelListing,
    /// The background jobs that run here.
    pub jobs: Jobs,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Ends everything.
    pub shutdown: Shutdown,
    /// The base URL by which clients reach this server, without a trailing
    /// slash; the issuer of its access tokens.
    pub public_url: String,
    /// Where issuers may be, besides public https.
    pub url_rules: UrlRules,
    /// The organization's id, `org-…`.
    pub organization_id: String,
    /// The admin key that `WAYPOST_ADMIN_KEY` set, if any.
    pub bootstrap_key: Option<BootstrapKey>,
    /// Whether the store serves, for `/readyz`.
    pub store_check: StoreCheck,
    /// Verifies access tokens; without one, none is accepted.
    pub token_authority: Option<Arc<dyn TokenAuthority>>,
}

/// How handlers and tasks hold the [`App`].
pub type AppRef = Arc<App>;
