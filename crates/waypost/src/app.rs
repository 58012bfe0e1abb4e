//! What the whole server shares: built once in `serve`, then only read.

use std::sync::Arc;

use waypost_engine::Engine;
use waypost_identity::IssuerRules;

use crate::{
    config::Config,
    identity::{Identity, caller::TokenAuthority, keys::BootstrapKey, snapshot::DirectoryHandle},
    metrics::Metrics,
    ops::StoreCheck,
    responses::{idempotency::RunningKeys, jobs::Jobs},
    run::Runs,
    shutdown::Shutdown,
    tools::Tools,
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
    /// Token exchange, access tokens and the keys that sign them.
    pub identity: Identity,
    /// What tools keep.
    pub tools: Arc<Tools>,
    /// What all runs share.
    pub runs: Arc<Runs>,
    /// The model servers.
    pub upstreams: Arc<Upstreams>,
    /// What models they have.
    pub models: ModelListing,
    /// The background jobs that run here.
    pub jobs: Jobs,
    /// The idempotency keys of what runs here while its client waits.
    pub running_keys: RunningKeys,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Ends everything.
    pub shutdown: Shutdown,
    /// The base URL by which clients reach this server, without a trailing
    /// slash; the issuer of its access tokens.
    pub public_url: String,
    /// Where issuers may be, besides public https.
    pub url_rules: IssuerRules,
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

#[cfg(test)]
pub(crate) mod tests {

    use tempfile::TempDir;
    use waypost_engine::embedded::{self, EmbeddedOptions};

    use super::*;
    use crate::{identity::signing, tools::mcp::Servers};

    /// An app with defaults on a store of its own, for tests of parts. The
    /// store lives as long as the directory.
    pub(crate) async fn app() -> (AppRef, TempDir) {
        app_with(Config::default()).await
    }

    /// The same with settings of one's own.
    pub(crate) async fn app_with(config: Config) -> (AppRef, TempDir) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let engine = embedded::open(&EmbeddedOptions::new(dir.path())).expect("an engine");
        let config = Config {
            data_dir: dir.path().to_owned(),
            ..config
        };
        let directory = DirectoryHandle::load(engine.clone())
            .await
            .expect("a directory");
        let master_key = signing::prepare(&config, &engine, &directory)
            .await
            .expect("a master key");
        let metrics = Metrics::new();
        let public_url = "http://127.0.0.1:8080".to_owned();
        let url_rules = IssuerRules::default();
        let upstreams = Upstreams::new(&config.upstreams, std::time::Duration::from_secs(10))
            .expect("good upstreams");
        let upstreams = Arc::new(upstreams);
        let mcp = Servers::new(&config.tools.mcp, Shutdown::default().tasks());
        let tools = Tools::new(&config.tools, mcp, &upstreams, &engine.store, &metrics)
            .expect("the default profile");
        let tools = Arc::new(tools);
        let runs = Arc::new(Runs {
            config: config.responses.clone(),
            tools: Arc::clone(&tools),
            shutdown: Shutdown::default(),
        });
        let app = App {
            identity: Identity::new(
                &config.identity,
                &public_url,
                &url_rules,
                master_key,
                &metrics,
            ),
            runs: Arc::clone(&runs),
            tools,
            config,
            directory,
            engine,
            upstreams,
            models: ModelListing::default(),
            jobs: Jobs::default(),
            running_keys: RunningKeys::default(),
            metrics,
            shutdown: runs.shutdown.clone(),
            public_url,
            url_rules,
            organization_id: "org-test".to_owned(),
            bootstrap_key: None,
            store_check: StoreCheck::default(),
            token_authority: None,
        };
        (Arc::new(app), dir)
    }
}
