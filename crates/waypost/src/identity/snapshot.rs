//! The directory in memory: one immutable, indexed snapshot, swapped whole.
//!
//! Flow: [`DirectoryHandle::load`] at start; [`run`] follows the bus and a
//! timer; an admin handler awaits [`DirectoryHandle::refresh_now`] after its
//! change, so that the next request sees it. Requests only call
//! [`DirectoryHandle::current`]: no I/O, no lock.
//!
//! Easy to break: whether somebody may do something is decided by what a
//! snapshot holds *now*. Do not keep one across a wait.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::identity::Identity;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Mutex;
use waypost_engine::{
    Engine, Millis, StoreError,
    directory::{
        ApiKey, Directory, KeyOwner, Project, Provider, Rule, SealedSigningKey, ServiceAccount,
    },
};
use waypost_identity::ScopeSet;

use super::keys::{KeyHash, LastUse};

/// How stale a snapshot may get when hints are lost: well under the second
/// within which a disabled credential must be refused.
const POLL: Duration = Duration::from_millis(500);
/// How often noted key uses are written.
const FLUSH: Duration = Duration::from_secs(10);

/// The directory at one moment, indexed for lookups.
#[derive(Default)]
pub struct Snapshot {
    /// Goes up with every change.
    pub version: i64,
    /// By id; archived ones too.
    pub projects: HashMap<String, Project>,
    /// By id.
    pub service_accounts: HashMap<String, ServiceAccount>,
    /// By hash.
    pub keys: HashMap<KeyHash, Arc<KeyEntry>>,
    /// By id.
    pub providers: HashMap<String, Arc<Provider>>,
    /// By provider id, then service account id.
    pub rules: HashMap<String, HashMap<String, Arc<Rule>>>,
    /// `jti` of access tokens that are refused.
    pub revoked: HashSet<String>,
    /// Sealed; in the order in which they were made.
    pub signing_keys: Vec<SealedSigningKey>,
}

/// A key as authentication sees it.
pub struct KeyEntry {
    pub id: String,
    pub hash: KeyHash,
    pub owner: KeyOwner,
    /// `None`: all that the owner may do.
    pub scopes: Option<ScopeSet>,
    pub expires_at: Option<Millis>,
    pub last_use: Arc<LastUse>,
}

impl Snapshot {
    /// Indexes a directory. Noted uses are carried over from `before`.
    pub fn build(directory: Directory, before: &Self) -> Self {
        let keys = directory
            .keys
            .into_iter()
            .map(|key| (key.hash, Arc::new(KeyEntry::new(key, before))))
            .collect();
        let mut rules: HashMap<String, HashMap<String, Arc<Rule>>> = HashMap::new();
        for rule in directory.rules {
            rules
                .entry(rule.provider_id.clone())
                .or_default()
                .insert(rule.service_account_id.clone(), Arc::new(rule));
        }
        Self {
            version: directory.version,
            projects: directory
                .projects
                .into_iter()
                .map(|project| (project.id.clone(), project))
                .collect(),
            service_accounts: directory
                .service_accounts
                .into_iter()
                .map(|account| (account.id.clone(), account))
                .collect(),
            keys,
            providers: directory
                .providers
                .into_iter()
                .map(|provider| (provider.id.clone(), Arc::new(provider)))
                .collect(),
            rules,
            revoked: directory.revocations.into_iter().map(|r| r.jti).collect(),
            signing_keys: directory.signing_keys,
        }
    }

    /// When a key was last used, if it ever was.
    pub fn last_use(&self, hash: &KeyHash) -> Option<Millis> {
        self.keys.get(hash)?.last_use.get()
    }

    /// The rule that lets a provider's tokens become a service account.
    pub fn rule(&self, provider_id: &str, service_account_id: &str) -> Option<&Arc<Rule>> {
        self.rules.get(provider_id)?.get(service_account_id)
    }

    /// The project's service account, whatever the project's state.
    pub fn service_account(&self, project_id: &str, id: &str) -> Option<&ServiceAccount> {
        self.service_accounts
            .get(id)
            .filter(|account| account.project_id == project_id)
    }

    /// The service account, if it is there and its project serves.
    pub fn active_service_account(&self, project_id: &str, id: &str) -> Option<&ServiceAccount> {
        let project = self.projects.get(project_id)?;
        self.service_account(project_id, id)
            .filter(|_| project.archived_at.is_none())
    }
}

impl KeyEntry {
    fn new(key: ApiKey, before: &Snapshot) -> Self {
        let last_use = before
            .keys
            .get(&key.hash)
            .filter(|entry| entry.id == key.id)
            .map_or_else(
                || Arc::new(LastUse::new(key.last_used_at.unwrap_or(0))),
                |entry| Arc::clone(&entry.last_use),
            );
        let scopes = key.scopes.map(|names| {
            ScopeSet::parse(names.iter().map(String::as_str)).unwrap_or_else(|problem| {
                // A newer version wrote it. Fail closed.
                tracing::error!(key_id = key.id, "key {} may do nothing: {problem}", key.id);
                ScopeSet::EMPTY
            })
        });
        Self {
            id: key.id,
            hash: key.hash,
            owner: key.owner,
            scopes,
            expires_at: key.expires_at,
            last_use,
        }
    }
}

/// The current snapshot, and how to renew it. Cheap to clone.
#[derive(Clone)]
pub struct DirectoryHandle(Arc<Shared>);

struct Shared {
    engine: Engine,
    current: ArcSwap<Snapshot>,
    /// Held while loading, so that an older load never replaces a newer one.
    loading: Mutex<()>,
    /// When the store was last seen to hold what `current` holds.
    confirmed: ArcSwap<Instant>,
}

impl DirectoryHandle {
    /// Loads the first snapshot.
    pub async fn load(engine: Engine) -> Result<Self, StoreError> {
        let directory = engine.store.load_directory().await?;
        Ok(Self(Arc::new(Shared {
            current: ArcSwap::from_pointee(Snapshot::build(directory, &Snapshot::default())),
            engine,
            loading: Mutex::new(()),
            confirmed: ArcSwap::from_pointee(Instant::now()),
        })))
    }

    /// The snapshot of this moment.
    pub fn current(&self) -> Guard<Arc<Snapshot>> {
        self.0.current.load()
    }

    /// Returns once the snapshot holds every change that was committed before
    /// the call.
    pub async fn refresh_now(&self) -> Result<(), StoreError> {
        let _loading = self.0.loading.lock().await;
        let asked = Instant::now();
        let version = self.0.engine.store.directory_version().await?;
        if version != self.current().version {
            let directory = self.0.engine.store.load_directory().await?;
            let before = self.0.current.load_full();
            let snapshot = Snapshot::build(directory, &before);
            self.0.current.store(Arc::new(snapshot));
        }
        self.0.confirmed.store(Arc::new(asked));
        Ok(())
    }

    /// How long ago the snapshot was last seen to be what the store holds.
    pub fn age(&self) -> Duration {
        self.0.confirmed.load().elapsed()
    }
}

/// Keeps the snapshot fresh and writes key uses, until the drain begins.
pub async fn run(identity: Arc<Identity>) {
    let mut wake = identity.engine.bus.watch_directory().await;
    let mut next_flush = tokio::time::Instant::now() + FLUSH;
    let mut failing = false;
    loop {
        match identity.directory.refresh_now().await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::error!(
                    "the directory cannot be read, authentication works on what it was: {error}"
                );
            }
            Err(_) => {}
        }
        identity
            .metrics
            .directory_version
            .set(identity.directory.current().version);
        if tokio::time::Instant::now() >= next_flush {
            flush_key_uses(&identity).await;
            next_flush = tokio::time::Instant::now() + FLUSH;
        }
        tokio::select! {
            () = wake.wait(POLL) => {}
            () = identity.shutdown.begun() => {
                flush_key_uses(&identity).await;
                return;
            }
        }
    }
}

async fn flush_key_uses(identity: &Arc<Identity>) {
    let snapshot = identity.directory.current().clone();
    let used: Vec<_> = snapshot
        .keys
        .values()
        .filter_map(|entry| Some((entry, entry.last_use.unwritten()?)))
        .collect();
    if used.is_empty() {
        return;
    }
    let rows = used
        .iter()
        .map(|(entry, at)| (entry.id.clone(), *at))
        .collect();
    match identity.engine.store.touch_keys(rows).await {
        Ok(()) => {
            for (entry, at) in used {
                entry.last_use.set_written(at);
            }
        }
        Err(error) => tracing::warn!("last_used_at of keys was not written, will retry: {error}"),
    }
}
