//! `waypost serve`: from a configuration to a running server, and its end.
//!
//! Flow: log -> engine -> directory -> listener -> [`App`] -> tasks -> serve
//! until SIGTERM or SIGINT -> leave for `drain_delay` -> drain, all of it within
//! `shutdown_grace` -> close the store. A second signal ends the process at once.
//! SIGHUP reads certificate and log level again ([`reload`]).

mod banner;
mod log_writer;
mod logging;
mod open_files;
mod ready_file;
mod reload;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::Instant,
};
use waypost_engine::{
    Engine,
    embedded::{self, EmbeddedOptions, OpenError},
};

use crate::{
    app::{App, Parts},
    config::{Config, ConfigError},
    http::server,
    identity::{self, signing, snapshot::DirectoryHandle},
    responses::jobs,
    routes,
    shutdown::Shutdown,
    upstream::{Upstreams, discover, watch},
};

/// How much of the grace is kept for runs to hand their jobs back and streams
/// to end.
const HANDING_OVER: Duration = Duration::from_secs(2);
/// How much of the grace is kept for tasks and the store after connections.
const CLOSING: Duration = Duration::from_millis(500);
/// Exit code after a second signal, as a shell reports SIGINT.
const EX_SECOND_SIGNAL: i32 = 130;

/// Reads the configuration again, from where it came.
pub type Reload = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// Runs the server until a signal ends it.
pub fn run(config: Config, ready_file: Option<PathBuf>, reload: Reload) -> anyhow::Result<()> {
    let (_log, levels) = logging::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(config, ready_file, reload, levels))
}

/// Opens the engine in a data directory, for the server and for commands.
pub fn open_engine(data_dir: &Path) -> Result<Engine, OpenError> {
    embedded::open(&EmbeddedOptions::new(data_dir))
}

async fn serve(
    config: Config,
    ready_file: Option<PathBuf>,
    reload: Reload,
    levels: logging::Levels,
) -> anyhow::Result<()> {
    let shutdown = Shutdown::default();
    watch_signals(shutdown.clone())?;
    // From here on it ends nothing.
    let hangup = signal(SignalKind::hangup()).context("cannot watch signals")?;
    let open_files = open_files::raise();

    banner::data_dir(&config);
    let engine = open_engine(&config.data_dir)?;
    let directory = DirectoryHandle::load(engine.clone())
        .await
        .context("cannot read the directory")?;
    let organization_id = engine.store.organization_id().await?;
    let master_key = signing::prepare(&config, &engine, &directory).await?;
    let tls = config.tls.as_ref().map(server::tls_acceptor).transpose()?;
    let tls = tls.map(|tls| Arc::new(ArcSwap::from_pointee(tls)));
    // Not through `Shutdown::spawn`: it lives until the process ends.
    tokio::spawn(reload::watch(hangup, reload, levels, tls.clone()));
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let base_url = base_url(&config, &listener)?;
    let metrics_listener = match config.metrics_listen {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .with_context(|| format!("metrics_listen: cannot listen on {address}"))?,
        ),
        None => None,
    };

    let own_port = listener.local_addr()?.port();
    let upstreams = Upstreams::new(&config.upstreams, config.responses.upstream_idle_timeout)?;
    let finds = config.upstreams.is_empty().then_some(own_port);
    if finds.is_some() {
        discover::look(&upstreams, own_port).await;
    } else {
        watch::first_look(&upstreams).await;
    }
    let app = App::build(Parts {
        config,
        engine,
        directory,
        organization_id,
        master_key,
        upstreams,
        base_url: base_url.clone(),
        shutdown: shutdown.clone(),
    })?;
    identity::start(&app.identity);
    jobs::start(&app.responses);
    watch::start(&app.upstreams, &shutdown, finds);
    let metrics_at = match &metrics_listener {
        Some(listener) => Some(listener.local_addr()?),
        None => None,
    };
    banner::print(&app, &base_url, metrics_at);
    open_files::print(&app.config, open_files);
    let connections = server::run(Arc::clone(&app.http), routes::router(&app), listener, tls);
    let metrics_connections = metrics_listener.map(|listener| {
        server::run(
            Arc::clone(&app.http),
            routes::metrics_router(&app),
            listener,
            None,
        )
    });
    if let Some(path) = &ready_file {
        ready_file::write(path, &base_url)
            .with_context(|| format!("cannot write the ready file {}", path.display()))?;
    }

    shutdown.left().await;
    let deadline = Instant::now() + app.config.shutdown_grace;
    let delay = app.config.drain_delay;
    if !delay.is_zero() {
        tracing::info!(
            "leaving: /readyz says so, requests are served for another {} ms, no job is begun",
            delay.as_millis()
        );
        tokio::time::sleep(delay).await;
    }
    shutdown.begin();
    let rest = app.config.shutdown_grace.saturating_sub(delay);
    let patience = rest.saturating_sub(HANDING_OVER).max(rest / 2);
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
    if let Some(connections) = metrics_connections {
        connections.finish(rest(CLOSING / 2)).await;
    }
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

/// The first SIGTERM or SIGINT begins the end, the second ends the process.
fn watch_signals(shutdown: Shutdown) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch signals")?;
    // Not through `Shutdown::spawn`: it lives until the process ends.
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.leave();
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
