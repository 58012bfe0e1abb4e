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
use waypost_engine::Engine;
use waypost_identity::IssuerRules;

use self::{
    audit::AuditQueue,
    compiled::{CompiledDirectory, Settings},
    fetch::Fetcher,
    keys::BootstrapKey,
    limits::ExchangeLimits,
    snapshot::DirectoryHandle,
    tokens::AccessTokens,
};
use crate::{
    config::{IdentityConfig, Secret},
    metrics::Metrics,
    sealing::MasterKey,
    shutdown::Shutdown,
};

/// What identity keeps for the whole server.
pub struct Identity {
    /// Access tokens that were verified already.
    pub tokens: AccessTokens,
    pub limits: ExchangeLimits,
    pub audit: AuditQueue,
    pub engine: Engine,
    /// Projects, keys, providers and rules as authentication sees them.
    pub directory: DirectoryHandle,
    /// The organization's id, `org-…`.
    pub organization_id: String,
    /// The base URL by which clients reach this server, without a trailing
    /// slash; the issuer of its access tokens.
    pub public_url: String,
    /// Where issuers may be, besides public https.
    pub url_rules: IssuerRules,
    /// The admin key that `WAYPOST_ADMIN_KEY` set, if any.
    pub bootstrap_key: Option<BootstrapKey>,
    pub config: IdentityConfig,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
    settings: Settings,
    compiled: ArcSwap<CompiledDirectory>,
    /// Held while building, so that one request compiles it and not all.
    building: Mutex<()>,
}

/// What [`Identity`] is made of.
pub struct Given {
    pub engine: Engine,
    pub directory: DirectoryHandle,
    pub organization_id: String,
    pub public_url: String,
    pub master_key: MasterKey,
    /// `WAYPOST_ADMIN_KEY`.
    pub admin_key: Option<Secret>,
    pub url_rules: IssuerRules,
    pub config: IdentityConfig,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
}

/// A state of routes that know who calls.
pub trait KnowsCallers: Send + Sync {
    fn identity(&self) -> &Identity;
}

impl KnowsCallers for Identity {
    fn identity(&self) -> &Identity {
        self
    }
}

impl<S: KnowsCallers> KnowsCallers for Arc<S> {
    fn identity(&self) -> &Identity {
        self.as_ref().identity()
    }
}

impl Identity {
    pub fn new(given: Given) -> Self {
        let Given {
            engine,
            directory,
            organization_id,
            public_url,
            master_key,
            admin_key,
            url_rules,
            config,
            metrics,
            shutdown,
        } = given;
        Self {
            tokens: AccessTokens::new(),
            limits: ExchangeLimits::new(config.exchanges_per_client, config.exchanges_per_provider),
            audit: AuditQueue::new(metrics.audit_dropped.clone()),
            settings: Settings {
                issuer: public_url.clone(),
                fetcher: Arc::new(Fetcher::new(url_rules.clone())),
                skew_seconds: config.clock_skew.as_secs() as u32,
                master_key,
            },
            compiled: ArcSwap::from_pointee(CompiledDirectory::empty()),
            building: Mutex::new(()),
            bootstrap_key: admin_key.map(|key| BootstrapKey::new(key.expose())),
            engine,
            directory,
            organization_id,
            public_url,
            url_rules,
            config,
            metrics,
            shutdown,
        }
    }

    /// The present directory, compiled.
    pub fn compiled(&self) -> Arc<CompiledDirectory> {
        let snapshot = self.directory.current();
        let compiled = self.compiled.load();
        if Arc::ptr_eq(&compiled.snapshot, &snapshot) {
            return Arc::clone(&compiled);
        }
        drop((compiled, snapshot));
        let _building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that an older snapshot never replaces a newer one.
        let snapshot = Arc::clone(&self.directory.current());
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
pub fn routes() -> Router<Arc<Identity>> {
    Router::new()
        .merge(exchange::routes())
        .merge(revoke::routes())
        .merge(wellknown::routes())
}

/// Starts what runs in the background.
pub fn start(identity: &Arc<Identity>) {
    let shutdown = &identity.shutdown;
    shutdown.spawn(snapshot::run(Arc::clone(identity)));
    shutdown.spawn(signing::run(Arc::clone(identity)));
    shutdown.spawn(audit::run(Arc::clone(identity)));
}
