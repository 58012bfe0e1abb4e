//! The whole server: each feature's state, built once, then only read.

use std::sync::Arc;

use waypost_engine::Engine;

use crate::{
    admin::Admin,
    chat::Chat,
    config::Config,
    http::Http,
    identity::{self, Identity, snapshot::DirectoryHandle},
    metrics::Metrics,
    models::Models,
    ops::StoreCheck,
    responses::{Responses, idempotency::RunningKeys, jobs::Jobs},
    run::Runs,
    sealing::MasterKey,
    shutdown::Shutdown,
    tools::{Tools, mcp::Servers},
    upstream::{Upstreams, listing::ModelListing},
};

/// The states of all features. Only what stands on top of them sees it; a
/// feature has its own.
pub struct App {
    /// What the operator set.
    pub config: Config,
    /// Where everything durable lives, and what wakes who waits for it.
    pub engine: Engine,
    pub http: Arc<Http>,
    pub identity: Arc<Identity>,
    pub admin: Arc<Admin>,
    pub upstreams: Arc<Upstreams>,
    pub chat: Arc<Chat>,
    pub responses: Arc<Responses>,
    pub models: Arc<Models>,
    /// Whether the store serves, for `/readyz`.
    pub store_check: StoreCheck,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Ends everything.
    pub shutdown: Shutdown,
}

/// How what stands on top holds the [`App`].
pub type AppRef = Arc<App>;

/// What an [`App`] is built from: all that took waiting.
pub struct Parts {
    pub config: Config,
    pub engine: Engine,
    pub directory: DirectoryHandle,
    /// The organization's id, `org-…`.
    pub organization_id: String,
    pub master_key: MasterKey,
    pub upstreams: Upstreams,
    /// Where the server listens, as a URL. Its public URL where none is set.
    pub base_url: String,
    pub shutdown: Shutdown,
}

impl App {
    /// Builds every feature's state, for the server and for tests.
    ///
    /// # Errors
    ///
    /// Settings that name something that is not there.
    pub fn build(parts: Parts) -> anyhow::Result<AppRef> {
        let Parts {
            config,
            engine,
            directory,
            organization_id,
            master_key,
            mut upstreams,
            base_url,
            shutdown,
        } = parts;
        let metrics = Metrics::new();
        upstreams.metrics = Arc::new(metrics.clone());
        let upstreams = Arc::new(upstreams);
        let identity = Arc::new(Identity::new(identity::Given {
            engine: engine.clone(),
            directory,
            organization_id: organization_id.clone(),
            public_url: config.public_url.clone().unwrap_or(base_url),
            master_key,
            admin_key: config.admin_key.clone(),
            url_rules: config.identity.url_rules()?,
            config: config.identity.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
        }));
        let mcp = Servers::new(&config.tools.mcp, shutdown.tasks());
        let tools = Tools::new(&config.tools, mcp, &upstreams, &engine.store, &metrics)?;
        let runs = Arc::new(Runs {
            config: config.responses.clone(),
            tools: Arc::new(tools),
            shutdown: shutdown.clone(),
        });
        Ok(Arc::new(Self {
            http: Arc::new(Http {
                config: config.http.clone(),
                organization_id,
                metrics: metrics.clone(),
                shutdown: shutdown.clone(),
            }),
            admin: Arc::new(Admin {
                engine: engine.clone(),
                identity: Arc::clone(&identity),
            }),
            chat: Arc::new(Chat {
                identity: Arc::clone(&identity),
                runs: Arc::clone(&runs),
            }),
            responses: Arc::new(Responses {
                identity: Arc::clone(&identity),
                runs,
                engine: engine.clone(),
                audit_retention: config.audit_retention,
                jobs: Jobs::default(),
                running_keys: RunningKeys::default(),
            }),
            models: Arc::new(Models {
                identity: Arc::clone(&identity),
                upstreams: Arc::clone(&upstreams),
                listing: ModelListing::default(),
            }),
            store_check: StoreCheck::default(),
            config,
            engine,
            identity,
            upstreams,
            metrics,
            shutdown,
        }))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tempfile::TempDir;
    use waypost_engine::embedded::{self, EmbeddedOptions};

    use super::*;
    use crate::identity::signing;

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
        let idle = std::time::Duration::from_secs(10);
        let app = App::build(Parts {
            upstreams: Upstreams::new(&config.upstreams, idle).expect("good upstreams"),
            config,
            engine,
            directory,
            organization_id: "org-test".to_owned(),
            master_key,
            base_url: "http://127.0.0.1:8080".to_owned(),
            shutdown: Shutdown::default(),
        });
        (app.expect("an app"), dir)
    }
}
