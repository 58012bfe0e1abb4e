//! The snapshot as identity needs it: what providers trust and rules admit,
//! compiled, and the signing keys unsealed.
//!
//! A view belongs to one snapshot and is made when the first request meets the
//! new one. What did not change is taken over from the view before (a
//! provider's trust by its epoch, so that fetched keys survive edits of other
//! things); what did is compiled when it is first needed.

use crate::sealing::MasterKey;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use serde_json::Value;
use waypost_engine::directory::{Provider, Rule};
use waypost_identity::{AttributeMatchers, KeySet, KeySource, Permissions, TrustPolicy};

use super::{
    fetch::Fetcher,
    jwks_cache::{JwksCache, LastFetch},
    limits::Bucket,
    signing::KeyRing,
    snapshot::Snapshot,
};

/// One snapshot, compiled.
pub struct CompiledDirectory {
    pub snapshot: Arc<Snapshot>,
    pub ring: Arc<KeyRing>,
    /// By id.
    providers: HashMap<String, Arc<ProviderView>>,
    /// By rule id.
    rules: HashMap<String, Arc<RuleView>>,
}

/// What does not change from view to view.
pub(super) struct Settings {
    /// This server's issuer.
    pub issuer: String,
    pub fetcher: Arc<Fetcher>,
    pub skew_seconds: u32,
    pub master_key: MasterKey,
}

/// A provider's trust under one epoch.
pub struct ProviderView {
    trust_epoch: i64,
    trust: OnceLock<Result<Trust, String>>,
    /// Exchanges that were asked of it.
    pub bucket: Bucket,
}

/// What a provider's tokens are checked against.
pub struct Trust {
    pub policy: TrustPolicy,
    pub keys: Keys,
}

/// Where a provider's keys come from.
pub enum Keys {
    Uploaded(KeySet),
    Discovered(Arc<JwksCache>),
}

/// A rule, compiled.
pub struct RuleView {
    rule: Arc<Rule>,
    compiled: OnceLock<Result<CompiledRule, String>>,
}

/// What a rule admits and permits.
pub struct CompiledRule {
    pub matchers: AttributeMatchers,
    pub permissions: Permissions,
}

impl CompiledDirectory {
    pub(super) fn build(snapshot: Arc<Snapshot>, before: &Self, settings: &Settings) -> Self {
        let providers = snapshot
            .providers
            .values()
            .map(|provider| {
                let known = before
                    .providers
                    .get(&provider.id)
                    .filter(|view| view.trust_epoch == provider.trust_epoch);
                let view = known.map_or_else(|| Arc::new(ProviderView::new(provider)), Arc::clone);
                (provider.id.clone(), view)
            })
            .collect();
        let rules = snapshot
            .rules
            .values()
            .flat_map(HashMap::values)
            .map(|rule| {
                let known = before.rules.get(&rule.id).filter(|view| view.rule == *rule);
                let view = known.map_or_else(|| Arc::new(RuleView::new(rule)), Arc::clone);
                (rule.id.clone(), view)
            })
            .collect();
        let ring = if before.ring.is_of(&snapshot.signing_keys) {
            Arc::clone(&before.ring)
        } else {
            Arc::new(KeyRing::build(
                &snapshot.signing_keys,
                &before.ring,
                &settings.master_key,
                &settings.issuer,
            ))
        };
        Self {
            snapshot,
            ring,
            providers,
            rules,
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            snapshot: Arc::default(),
            ring: Arc::default(),
            providers: HashMap::new(),
            rules: HashMap::new(),
        }
    }

    /// A provider and its trust, by id.
    pub fn provider(&self, id: &str) -> Option<(&Arc<Provider>, &Arc<ProviderView>)> {
        self.snapshot.providers.get(id).zip(self.providers.get(id))
    }

    /// What the last fetch of keys came to, of each provider that uses discovery
    /// and was asked for.
    pub fn last_fetches(&self) -> impl Iterator<Item = LastFetch> {
        self.providers
            .values()
            .filter_map(|provider| match provider.trust.get() {
                Some(Ok(Trust {
                    keys: Keys::Discovered(remote),
                    ..
                })) => Some(remote.last_fetch()),
                _ => None,
            })
    }

    /// The rule of a provider for a service account.
    pub fn rule(&self, provider_id: &str, service_account_id: &str) -> Option<&RuleView> {
        let rule = self.snapshot.rule(provider_id, service_account_id)?;
        self.rules.get(&rule.id).map(|view| &**view)
    }
}

impl ProviderView {
    fn new(provider: &Provider) -> Self {
        Self {
            trust_epoch: provider.trust_epoch,
            trust: OnceLock::new(),
            bucket: Bucket::default(),
        }
    }

    /// The trust; the error is the operator's mistake that the Admin API should
    /// not have let pass.
    pub(super) fn trust(&self, provider: &Provider, settings: &Settings) -> Result<&Trust, &str> {
        self.trust
            .get_or_init(|| {
                compile_trust(provider, settings).inspect_err(|problem| {
                    tracing::error!(
                        provider = provider.id,
                        "provider {} cannot be used: {problem}",
                        provider.id
                    );
                })
            })
            .as_ref()
            .map_err(String::as_str)
    }
}

impl RuleView {
    fn new(rule: &Arc<Rule>) -> Self {
        Self {
            rule: Arc::clone(rule),
            compiled: OnceLock::new(),
        }
    }

    pub fn row(&self) -> &Rule {
        &self.rule
    }

    /// What it admits and permits; the error is as for a provider's trust.
    pub fn compiled(&self) -> Result<&CompiledRule, &str> {
        self.compiled
            .get_or_init(|| {
                compile_rule(&self.rule).inspect_err(|problem| {
                    tracing::error!(
                        rule = self.rule.id,
                        "rule {} cannot be used: {problem}",
                        self.rule.id
                    );
                })
            })
            .as_ref()
            .map_err(String::as_str)
    }
}

fn compile_trust(provider: &Provider, settings: &Settings) -> Result<Trust, String> {
    match &provider.attribute_transformations {
        Value::Null => {}
        Value::Array(list) if list.is_empty() => {}
        _ => return Err("attribute transformations are not supported yet".to_owned()),
    }
    let policy = TrustPolicy::new(&provider.issuer, &provider.audience, &settings.issuer)
        .map_err(|error| error.to_string())?;
    let keys = Keys::of(provider, &settings.fetcher)?;
    Ok(Trust { policy, keys })
}

impl Keys {
    /// Where a provider's keys come from; the error is as for its trust.
    pub(super) fn of(provider: &Provider, fetcher: &Arc<Fetcher>) -> Result<Self, String> {
        match KeySource::stored(&provider.verification).map_err(|error| error.to_string())? {
            KeySource::Uploaded { keys, .. } => Ok(Self::Uploaded(keys)),
            KeySource::Discovery { url } => JwksCache::new(
                &provider.id,
                &provider.issuer,
                url.as_deref(),
                Arc::clone(fetcher),
            )
            .map(|remote| Self::Discovered(Arc::new(remote)))
            .map_err(|error| error.to_string()),
        }
    }
}

fn compile_rule(rule: &Rule) -> Result<CompiledRule, String> {
    Ok(CompiledRule {
        matchers: AttributeMatchers::parse(&rule.attribute_matchers)
            .map_err(|error| error.to_string())?,
        permissions: Permissions::parse(&rule.permissions).map_err(|error| error.to_string())?,
    })
}
