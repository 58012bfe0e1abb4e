//! The posture banner: what listens, which credentials exist, what is open.

use std::net::SocketAddr;

use waypost_engine::directory::KeyOwner;

use crate::{app::App, config::Config};

/// Says where the data is kept, and where a new directory is made: whoever
/// starts with the wrong one is told before anything is in it.
pub(super) fn data_dir(config: &Config) {
    let dir = &config.data_dir;
    tracing::info!("data directory: {}", dir.display());
    if dir.exists() {
        return;
    }
    let named = config.origin.data_dir.as_deref();
    if named.is_none() {
        tracing::info!(
            "{} does not exist yet: a new, empty one is made",
            dir.display()
        );
        return;
    }
    tracing::warn!(
        "{} does not exist yet: a new, empty one is made",
        dir.display()
    );
    let here = named.and_then(|named| std::path::absolute(named).ok());
    if let Some(here) = here.filter(|here| here != dir && here.exists()) {
        tracing::warn!(
            "{} does exist: a relative data_dir starts at the directory of the configuration file, not at the working directory",
            here.display()
        );
    }
}

/// Logs the posture, one fact a line.
pub(super) fn print(app: &App, base_url: &str, metrics_at: Option<SocketAddr>) {
    let config = &app.config;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        organization = app.identity.organization_id,
        "Waypost serves {base_url}, known to clients as {}",
        app.identity.public_url
    );
    if let Some(file) = &config.origin.file {
        tracing::info!("configuration: {}", file.display());
    } else {
        tracing::info!("configuration: no file; defaults, environment and flags");
    }
    for warning in &config.origin.warnings {
        tracing::warn!("{warning}");
    }
    let loopback = config.listen.ip().is_loopback();
    match (&config.tls, loopback) {
        (Some(_), _) => tracing::info!("TLS: on"),
        (None, true) => tracing::info!("TLS: off; only this machine can connect"),
        (None, false) => tracing::warn!(
            "TLS: off, and {} is reachable from other machines: keys and tokens travel in clear unless a proxy in front adds TLS",
            config.listen
        ),
    }
    upstreams(app);
    let snapshot = app.identity.directory.current();
    let admin_keys = snapshot
        .keys
        .values()
        .filter(|key| key.owner == KeyOwner::Organization)
        .count();
    tracing::info!(
        "credentials: {admin_keys} admin keys, {} service account keys, {} identity providers; WAYPOST_ADMIN_KEY is {}",
        snapshot.keys.len() - admin_keys,
        snapshot.providers.len(),
        if app.identity.bootstrap_key.is_some() {
            "accepted"
        } else {
            "not set"
        }
    );
    if admin_keys == 0 && app.identity.bootstrap_key.is_none() {
        tracing::warn!(
            "nobody can administer this server yet: set WAYPOST_ADMIN_KEY, or stop it and run `waypost admin-key create`"
        );
    }
    if config
        .admin_key
        .as_ref()
        .is_some_and(|key| key.expose().len() < 32)
    {
        tracing::warn!(
            "WAYPOST_ADMIN_KEY is shorter than 32 characters; do not use such a key in production"
        );
    }
    if config.identity.allow_private_issuers.is_empty() {
        tracing::info!("issuers: public https only");
    } else {
        let origins: Vec<_> = config
            .identity
            .allow_private_issuers
            .iter()
            .map(String::as_str)
            .collect();
        tracing::info!("issuers: public https, and {}", origins.join(", "));
    }
    if let Some(address) = metrics_at {
        tracing::info!(
            "metrics: http://{address}/metrics, without authentication, and not on the main address"
        );
    }
    let metrics = if metrics_at.is_some() {
        ""
    } else {
        " /metrics"
    };
    tracing::info!(
        "open without authentication: / /healthz /readyz{metrics} /oauth/token /oauth/revoke /.well-known/openid-configuration /.well-known/jwks.json"
    );
}

/// One line for each model server.
fn upstreams(app: &App) {
    let all = app.upstreams.all();
    if all.is_empty() {
        tracing::warn!(
            "model servers: none is configured ([[upstreams]], WAYPOST_UPSTREAM_URL), and none was found on this machine; the usual local ports are looked at again"
        );
    }
    for upstream in all.iter() {
        let line = upstream.describe();
        if upstream.health().reachable == Some(true) {
            tracing::info!("{line}");
        } else {
            tracing::warn!("{line}; it is asked again");
        }
    }
}
