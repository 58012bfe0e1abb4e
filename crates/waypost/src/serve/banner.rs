//! The posture banner: what listens, which credentials exist, what is open.

use waypost_engine::directory::KeyOwner;

use crate::app::App;

/// Logs the posture, one fact a line.
pub(super) fn print(app: &App, base_url: &str) {
    let config = &app.config;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        organization = app.organization_id,
        "Waypost serves {base_url}, known to clients as {}",
        app.public_url
    );
    let loopback = config.listen.ip().is_loopback();
    match (&config.tls, loopback) {
        (Some(_), _) => tracing::info!("TLS: on"),
        (None, true) => tracing::info!("TLS: off; only this machine can connect"),
        (None, false) => tracing::warn!(
            "TLS: off, and {} is reachable from other machines: keys and tokens travel in clear unless a proxy in front adds TLS",
            config.listen
        ),
    }
    let snapshot = app.directory.current();
    let admin_keys = snapshot
        .keys
        .values()
        .filter(|key| key.owner == KeyOwner::Organization)
        .count();
    tracing::info!(
        "credentials: {admin_keys} admin keys, {} service account keys, {} identity providers; WAYPOST_ADMIN_KEY is {}",
        snapshot.keys.len() - admin_keys,
        snapshot.providers.len(),
        if app.bootstrap_key.is_some() {
            "accepted"
        } else {
            "not set"
        }
    );
    if admin_keys == 0 && app.bootstrap_key.is_none() {
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
    tracing::info!(
        "open without authentication: /healthz /readyz /metrics /oauth/token /oauth/revoke /.well-known/openid-configuration /.well-known/jwks.json"
    );
}
