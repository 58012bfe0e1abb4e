//! Who calls: keys, and workloads that bring a token of their own.
//!
//! Flow: [`snapshot`] holds the directory, [`compiled`] what it means.
//! [`exchange`] turns a workload's token into an access token, checked with
//! keys from [`jwks_cache`]; [`tokens`] recognises access tokens on requests.
//!
//! Easy to break: everything is decided from memory. I/O happens only to fetch
//! an issuer's keys and in background tasks ([`start`]).

pub mod audit;
pub mod caller;
pub mod compiled;
pub mod exchange;
mod fetch;
pub mod jwks_cache;
pub mod keys;
pub mod limits;
pub mod revoke;
pub mod signing;
pub mod snapshot;
pub mod tokens;
pub mod try_out;
pub mod wellknown;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use axum::Router;
use waypost_identity::IssuerRules;

use self::{
    audit::AuditQueue,
    compiled::{CompiledDirectory, Settings},
    fetch::Fetcher,
    limits::ExchangeLimits,
    snapshot::DirectoryHandle,
    tokens::AccessTokens,
};
use crate::{app::AppRef, config::IdentityConfig, metrics::Metrics, sealing::MasterKey};

/// What identity keeps for the whole server.
pub struct Identity {
    /// Access tokens that were verified already.
    pub tokens: AccessTokens,
    pub limits: ExchangeLimits,
    pub audit: AuditQueue,
    settings: Settings,
    compiled: ArcSwap<CompiledDirectory>,
    /// Held while building, so that one request compiles it and not all.
    building: Mutex<()>,
}

impl Identity {
    /// `issuer` is the server's public URL.
    pub fn new(
        config: &IdentityConfig,
        issuer: &str,
        url_rules: &IssuerRules,
        master_key: MasterKey,
        metrics: &Metrics,
    ) -> Self {
        Self {
            tokens: AccessTokens::new(),
            limits: ExchangeLimits::new(config.exchanges_per_client, config.exchanges_per_provider),
            audit: AuditQueue::new(metrics.audit_dropped.clone()),
            settings: Settings {
                issuer: issuer.to_owned(),
                fetcher: Arc::new(Fetcher::new(url_rules.clone())),
                skew_seconds: config.clock_skew.as_secs() as u32,
                master_key,
            },
            compiled: ArcSwap::from_pointee(CompiledDirectory::empty()),
            building: Mutex::new(()),
        }
    }

    /// The present directory, compiled.
    pub fn compiled(&self, directory: &DirectoryHandle) -> Arc<CompiledDirectory> {
        let snapshot = directory.current();
        let compiled = self.compiled.load();
        if Arc::ptr_eq(&compiled.snapshot, &snapshot) {
            return Arc::clone(&compiled);
        }
        drop((compiled, snapshot));
        let _building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that an older snapshot never replaces a newer one.
        let snapshot = Arc::clone(&directory.current());
        let before = self.compiled.load_full();
        if Arc::ptr_eq(&before.snapshot, &snapshot) {
            return before;
        }
        let compiled = Arc::new(CompiledDirectory::build(snapshot, &before, &self.settings));
        if !compiled.ring.keeps_all_of(&before.ring) {
            self.tokens.clear();
        }
        self.compiled.store(Arc::clone(&compiled));
        compiled
    }

    pub(crate) fn master_key(&self) -> &MasterKey {
        &self.settings.master_key
    }
}

/// The routes that are open to workloads and verifiers.
pub fn routes() -> Router<AppRef> {
    Router::new()
        .merge(exchange::routes())
        .merge(revoke::routes())
        .merge(wellknown::routes())
}

/// Starts what runs in the background.
pub fn start(app: &AppRef) {
    app.shutdown.spawn(signing::run(app.clone()));
    app.shutdown.spawn(audit::run(app.clone()));
}
