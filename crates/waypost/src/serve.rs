//! `waypost serve`: from a configuration to a running server, and its end.
//!
//! Flow: log -> engine -> directory -> listener -> [`App`] -> tasks -> serve
//! until SIGTERM or SIGINT -> drain within `shutdown_grace` -> close the store.
//! A second signal ends the process at once.

mod banner;
mod log_writer;
mod logging;
mod ready_file;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::Instant,
};
use waypost_engine::{
    Engine,
    embedded::{self, EmbeddedOptions, OpenError},
};

use waypost_identity::UrlRules;

use crate::{
    app::App,
    clock,
    config::Config,
    http::{ops::StoreCheck, routes, server},
    identity::{
        self, Identity,
        keys::BootstrapKey,
        signing,
        snapshot::{self, DirectoryHandle},
        tokens::OwnTokens,
    },
    metrics::Metrics,
    responses::jobs::{self, Jobs},
    shutdown::Shutdown,
    tools::prepare::Preparer,
    upstream::{Upstreams, discover::discover, listing::ModelListing},
};

/// How much of the grace is kept for runs to hand their jobs back and streams
/// to end.
const HANDING_OVER: Duration = Duration::from_secs(2);
/// How much of the grace is kept for tasks and the store after connections.
const CLOSING: Duration = Duration::from_millis(500);
/// Exit code after a second signal, as a shell reports SIGINT.
const EX_SECOND_SIGNAL: i32 = 130;

/// Runs the server until a signal ends it.
pub fn run(config: Config, ready_file: Option<PathBuf>) -> anyhow::Result<()> {
    let _log = logging::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(config, ready_file))
}

/// Opens the engine that the configuration names.
pub fn open_engine(config: &Config) -> Result<Engine, OpenError> {
    embedded::open(&EmbeddedOptions::new(&config.data_dir))
}

async fn serve(config: Config, ready_file: Option<PathBuf>) -> anyhow::Result<()> {
    let shutdown = Shutdown::default();
    watch_signals(shutdown.clone())?;

    let engine = open_engine(&config)?;
    let directory = DirectoryHandle::load(engine.clone())
        .await
        .context("cannot read the directory")?;
    let organization_id = engine.store.organization_id().await?;
    let master_key = signing::prepare(&config, &engine, &directory).await?;
    let tls = config.tls.as_ref().map(server::tls_acceptor).transpose()?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let base_url = base_url(&config, &listener)?;

    let upstreams = upstreams(&config, listener.local_addr()?.port()).await?;
    let metrics = Metrics::new();
    metrics.start_time.set(clock::now() as f64 / 1000.0);
    let preparer = Preparer::new(&config.tools, &metrics).context("[tools] profile")?;
    let public_url = config
        .public_url
        .clone()
        .unwrap_or_else(|| base_url.clone());
    let origins = &config.identity.allow_private_issuers;
    let url_rules = UrlRules::new(origins.iter().map(String::as_str))
        .context("[identity] allow_private_issuers")?;
    let app = Arc::new(App {
        identity: Identity::new(
            &config.identity,
            &public_url,
            &url_rules,
            master_key,
            &metrics,
        ),
        url_rules,
        public_url,
        bootstrap_key: config
            .admin_key
            .as_ref()
            .map(|key| BootstrapKey::new(key.expose())),
        preparer,
        config,
        engine,
        directory,
        upstreams,
        models: ModelListing::default(),
        jobs: Jobs::default(),
        metrics,
        shutdown: shutdown.clone(),
        organization_id,
        store_check: StoreCheck::default(),
        token_authority: Some(Arc::new(OwnTokens)),
    });

    shutdown.spawn(snapshot::run(app.clone()));
    identity::start(&app);
    jobs::start(&app);
    banner::print(&app, &base_url);
    let connections = server::run(app.clone(), routes::router(app.clone()), listener, tls);
    if let Some(path) = &ready_file {
        ready_file::write(path, &base_url)
            .with_context(|| format!("cannot write the ready file {}", path.display()))?;
    }

    shutdown.begun().await;
    let deadline = Instant::now() + app.config.shutdown_grace;
    let patience = app
        .config
        .shutdown_grace
        .saturating_sub(HANDING_OVER)
        .max(app.config.shutdown_grace / 2);
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            tokio::time::sleep(patience).await;
            shutdown.stop();
        }
    });
    tracing::info!("draining: no new work, open streams end");
    let rest = |keep: Duration| {
        deadline
            .saturating_duration_since(Instant::now())
            .saturating_sub(keep)
    };
    connections.finish(rest(CLOSING)).await;
    if !shutdown.wait(rest(CLOSING / 2)).await {
        tracing::warn!("some tasks did not end within shutdown_grace and were cut off");
    }
    if tokio::time::timeout(rest(Duration::ZERO), app.engine.store.close())
        .await
        .is_err()
    {
        tracing::warn!("the store did not close within shutdown_grace");
    }
    tracing::info!("stopped");
    Ok(())
}

/// The configured model servers, or those found on this machine.
async fn upstreams(config: &Config, own_port: u16) -> anyhow::Result<Upstreams> {
    let idle = config.responses.upstream_idle_timeout;
    let configured = Upstreams::new(&config.upstreams, idle)?;
    if !configured.all().is_empty() {
        return Ok(configured);
    }
    let found = discover(&configured.client, own_port).await;
    Upstreams::new(&found, idle)
}

/// The URL by which a client on this machine reaches the listener.
fn base_url(config: &Config, listener: &TcpListener) -> anyhow::Result<String> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    Ok(format!("{scheme}://{address}"))
}

/// The first SIGTERM or SIGINT begins the drain, the second ends the process.
fn watch_signals(shutdown: Shutdown) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch signals")?;
    // Not through `Shutdown::spawn`: it lives until the process ends.
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.begin();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("second signal: stopping at once");
        // A moment for the line above.
        tokio::time::sleep(Duration::from_millis(20)).await;
        std::process::exit(EX_SECOND_SIGNAL);
    });
    Ok(())
}
