//! SIGHUP: certificate and log level are read again, and nothing else. What
//! cannot be used changes nothing.

use tokio::signal::unix::Signal;

use super::{Reload, logging::Levels};
use crate::{
    config::{Config, ConfigError},
    http::server::{self, Tls},
};

/// Reads the configuration again at every signal, as long as the process lives.
pub(super) async fn watch(mut hangup: Signal, reload: Reload, levels: Levels, tls: Option<Tls>) {
    let reload = std::sync::Arc::new(reload);
    while hangup.recv().await.is_some() {
        let reload = reload.clone();
        // Reads files.
        let read = tokio::task::spawn_blocking(move || read_again(&reload)).await;
        match read {
            Ok(Ok(read)) => use_it(read, &levels, tls.as_ref()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "SIGHUP: the configuration cannot be used; all stays as it is");
            }
            Err(error) => {
                tracing::error!(%error, "SIGHUP: reading the configuration");
            }
        }
    }
}

struct Read {
    config: Config,
    acceptor: Option<anyhow::Result<tokio_rustls::TlsAcceptor>>,
}

fn read_again(reload: &Reload) -> Result<Read, ConfigError> {
    let config = reload()?;
    let acceptor = config.tls.as_ref().map(server::tls_acceptor);
    Ok(Read { config, acceptor })
}

fn use_it(read: Read, levels: &Levels, tls: Option<&Tls>) {
    match (tls, read.acceptor) {
        (Some(tls), Some(Ok(acceptor))) => {
            tls.store(acceptor.into());
            tracing::info!("SIGHUP: new connections get the certificate that is there now");
        }
        (_, Some(Err(error))) => {
            tracing::warn!("SIGHUP: the certificate stays as it is: {error:#}");
        }
        (None, None) => {}
        _ => tracing::warn!("SIGHUP: [tls] came or went, which needs a restart"),
    }
    let level = &read.config.log.level;
    match levels.set(&read.config.log) {
        Ok(()) => tracing::info!("SIGHUP: the log level is `{level}`"),
        Err(error) => tracing::warn!("SIGHUP: the log level stays as it is: {error:#}"),
    }
}
