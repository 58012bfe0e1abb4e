//! The keys of an issuer that publishes them: fetched once, held, refreshed.
//!
//! One [`JwksCache`] belongs to one provider under one trust (its epoch), so
//! providers with the same issuer share nothing and an edit starts afresh.
//! Keys are used for `key_cache`. Shortly before that runs out, traffic starts
//! a refresh in the background, so that a busy provider never waits; after it,
//! keys are used only when the refresh failed, for `stale_keys` at most.
//!
//! Easy to break: a `kid` is read from a token that nobody verified. So fetches
//! are single-flight; each attempt, good or bad, claims the cooldown before it
//! begins; it runs in a task of its own, which a caller that hangs up cannot
//! cut off; and a refresh that failed or brought nothing never replaces keys.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures::{FutureExt, future::BoxFuture, future::Shared};
use outbound::AllowedUrl;
use tokio::time::Instant;
use waypost_identity::{
    Discovery, IssuerUrlError, KeySet, Presented, Refusal, TrustPolicy, VerifiedClaims,
};

use super::fetch::{FetchError, Fetcher};
use crate::{config::IdentityConfig, identity::Identity, metrics::ReasonLabels};

/// The part of `key_cache` after which traffic refreshes in the background.
const REFRESH_AT: f64 = 0.8;

/// The keys of one provider that uses discovery.
pub struct JwksCache {
    provider_id: String,
    issuer: String,
    discovery_url: AllowedUrl,
    custom_discovery_url: bool,
    fetcher: Arc<Fetcher>,
    held: ArcSwapOption<Held>,
    /// Why the last attempt brought nothing; none if it did.
    trouble: ArcSwapOption<Trouble>,
    attempts: Mutex<Attempts>,
}

/// Keys, and when they came.
struct Held {
    keys: KeySet,
    fetched_at: Instant,
    /// From the discovery document, and when that came.
    jwks_uri: AllowedUrl,
    discovered_at: Instant,
}

#[derive(Default)]
struct Attempts {
    last_began: Option<Instant>,
    running: Option<Shared<BoxFuture<'static, ()>>>,
}

/// Why a token could not be accepted.
#[derive(Debug)]
pub enum Failure {
    Refused(Refusal),
    /// No keys were ever fetched, or the held ones are too old.
    Unavailable {
        why: Trouble,
        retry_after: Duration,
    },
}

/// Why there are no keys of an issuer. Display is for the operator.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Trouble {
    #[error("the issuer's keys cannot be fetched: {0}")]
    NotFetched(String),
    #[error("the issuer's key set was read, but holds nothing usable: {0}")]
    NothingUsable(String),
}

impl Trouble {
    /// A stable name for metrics and audit.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFetched(_) => "keys_unavailable",
            Self::NothingUsable(_) => "keys_unusable",
        }
    }
}

/// What a fetch outside of a server found.
#[derive(Debug)]
pub struct Tried {
    pub jwks_uri: String,
    pub usable: usize,
    /// Keys of the document, usable or not.
    pub entries: usize,
    /// Why the first key that is not used is not.
    pub first_skipped: Option<String>,
}

/// What the last attempt to fetch an issuer's keys came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastFetch {
    Never,
    Fetched,
    NotFetched,
    NothingUsable,
}

/// Why a fetch brought no keys. Display is for the operator.
#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error("{url}: {source}")]
    Fetch { url: String, source: FetchError },
    #[error("{url}: {source}")]
    Discovery {
        url: String,
        source: waypost_identity::DiscoveryError,
    },
    #[error("{url}: {source}")]
    Jwks {
        url: String,
        source: waypost_identity::JwksError,
    },
    #[error("{url}: none of its {entries} keys can be used; the first: {reason}")]
    NoUsableKey {
        url: String,
        entries: usize,
        reason: String,
    },
    #[error("the issuer's documents took longer than {} ms", .0.as_millis())]
    TooSlow(Duration),
}

impl JwksCache {
    /// For a provider whose `discovery_url` (the operator's own, or none) the
    /// rules allow.
    pub fn new(
        provider_id: &str,
        issuer: &str,
        discovery_url: Option<&str>,
        fetcher: Arc<Fetcher>,
    ) -> Result<Self, IssuerUrlError> {
        Ok(Self {
            provider_id: provider_id.to_owned(),
            issuer: issuer.to_owned(),
            discovery_url: fetcher.rules().discovery_url(issuer, discovery_url)?,
            custom_discovery_url: discovery_url.is_some(),
            fetcher,
            held: ArcSwapOption::empty(),
            trouble: ArcSwapOption::empty(),
            attempts: Mutex::default(),
        })
    }

    /// Verifies a token, with a fetch only where new keys could change the
    /// verdict: a token that is malformed, foreign or stale never causes one.
    /// The verdict costs one verification, however many looks it took.
    pub async fn verify(
        self: &Arc<Self>,
        identity: &Arc<Identity>,
        policy: &TrustPolicy,
        token: &Presented<'_>,
    ) -> Result<VerifiedClaims, Failure> {
        let config = &identity.config;
        let first = {
            let held = self.held.load();
            let none = KeySet::default();
            let fresh = held
                .as_ref()
                .filter(|held| held.fetched_at.elapsed() < config.key_cache);
            if let Some(held) = fresh
                && held.fetched_at.elapsed() >= config.key_cache.mul_f64(REFRESH_AT)
            {
                let _ = self.refresh(identity);
            }
            token.verify_unless_newer_keys_help(policy, fresh.map_or(&none, |held| &held.keys))
        };
        match first {
            Err(refusal) if refusal.may_be_cured_by_new_keys() => {}
            other => return other.map_err(Failure::Refused),
        }
        let cooling = match self.refresh(identity) {
            Ok(running) => {
                running.await;
                config.key_refresh_cooldown
            }
            Err(cooling) => cooling,
        };
        let held = self.held.load();
        let usable = held
            .as_ref()
            .filter(|held| held.fetched_at.elapsed() < config.key_cache + config.stale_keys);
        let Some(held) = usable else {
            let trouble = self.trouble.load();
            return Err(Failure::Unavailable {
                why: trouble
                    .as_deref()
                    .cloned()
                    .unwrap_or_else(|| Trouble::NotFetched("the attempt was cut off".to_owned())),
                retry_after: cooling,
            });
        };
        token.verify(policy, &held.keys).map_err(Failure::Refused)
    }

    /// What the last attempt came to, for whoever runs the server.
    pub fn last_fetch(&self) -> LastFetch {
        match self.trouble.load().as_deref() {
            Some(Trouble::NotFetched(_)) => LastFetch::NotFetched,
            Some(Trouble::NothingUsable(_)) => LastFetch::NothingUsable,
            None if self.held.load().is_some() => LastFetch::Fetched,
            None => LastFetch::Never,
        }
    }

    /// Fetches once, without a server around it. The error is for the operator:
    /// what is wrong and what would be right.
    pub async fn try_out(&self, config: &IdentityConfig) -> Result<Tried, String> {
        let held = self.fetch_in_time(config).await.map_err(|error| {
            let remedy = error.remedy();
            format!(
                "{error}{}{remedy}",
                if remedy.is_empty() { "" } else { "; " }
            )
        })?;
        Ok(Tried {
            jwks_uri: held.jwks_uri.url().to_string(),
            usable: held.keys.usable(),
            entries: held.keys.entries(),
            first_skipped: held.keys.skipped().first().map(|key| key.reason.clone()),
        })
    }

    /// Joins the refresh that runs, or starts one; the error is how long the
    /// cooldown lasts.
    fn refresh(
        self: &Arc<Self>,
        identity: &Arc<Identity>,
    ) -> Result<Shared<BoxFuture<'static, ()>>, Duration> {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = attempts.running.as_ref().filter(|r| r.peek().is_none()) {
            return Ok(running.clone());
        }
        let cooldown = identity.config.key_refresh_cooldown;
        if let Some(began) = attempts.last_began {
            let left = cooldown.saturating_sub(began.elapsed());
            if !left.is_zero() {
                return Err(left);
            }
        }
        attempts.last_began = Some(Instant::now());
        let task = identity.shutdown.spawn({
            let (keys, identity) = (Arc::clone(self), identity.clone());
            async move { keys.refresh_now(&identity).await }
        });
        let running = task.map(|_| ()).boxed().shared();
        attempts.running = Some(running.clone());
        Ok(running)
    }

    async fn refresh_now(&self, identity: &Arc<Identity>) {
        let fetched = tokio::select! {
            fetched = self.fetch_in_time(&identity.config) => fetched,
            () = identity.shutdown.begun() => return,
        };
        let reason = match fetched {
            Ok(held) => {
                for skipped in held.keys.skipped() {
                    tracing::warn!(
                        provider = self.provider_id,
                        "a key of the issuer's set is not used: {}",
                        skipped.reason
                    );
                }
                for key in held.keys.padded() {
                    tracing::warn!(
                        provider = self.provider_id,
                        kid = key.kid(),
                        "a key of the issuer's set has coordinates without their leading zeros, against RFC 7518 section 6.2.1.2; it is used"
                    );
                }
                tracing::debug!(
                    provider = self.provider_id,
                    "fetched {} keys from {}",
                    held.keys.usable(),
                    held.jwks_uri.url()
                );
                self.held.store(Some(Arc::new(held)));
                self.trouble.store(None);
                "fetched"
            }
            Err(error) => {
                let trouble = error.trouble();
                tracing::warn!(
                    provider = self.provider_id,
                    "the keys of provider {} were not refreshed: {trouble}",
                    self.provider_id
                );
                self.trouble.store(Some(Arc::new(trouble)));
                error.code()
            }
        };
        identity
            .metrics
            .key_fetches
            .get_or_create(&ReasonLabels { reason })
            .inc();
    }

    async fn fetch_in_time(&self, config: &IdentityConfig) -> Result<Held, RefreshError> {
        let limit = config.fetch_timeout;
        tokio::time::timeout(limit, self.fetch(config.key_cache))
            .await
            .unwrap_or(Err(RefreshError::TooSlow(limit)))
    }

    async fn fetch(&self, cache: Duration) -> Result<Held, RefreshError> {
        let known = {
            let held = self.held.load();
            held.as_ref()
                .filter(|held| held.discovered_at.elapsed() < cache.mul_f64(REFRESH_AT))
                .map(|held| (held.jwks_uri.clone(), held.discovered_at))
        };
        let (jwks_uri, discovered_at) = match known {
            Some(known) => known,
            None => (self.discover().await?, Instant::now()),
        };
        let bytes = self
            .get(&jwks_uri, waypost_identity::MAX_JWKS_BYTES)
            .await?;
        let keys = KeySet::parse_fetched(&bytes).map_err(|source| RefreshError::Jwks {
            url: jwks_uri.url().to_string(),
            source,
        })?;
        if keys.usable() == 0 {
            return Err(RefreshError::NoUsableKey {
                url: jwks_uri.url().to_string(),
                entries: keys.entries(),
                reason: keys
                    .skipped()
                    .first()
                    .map(|skipped| skipped.reason.clone())
                    .unwrap_or_default(),
            });
        }
        Ok(Held {
            keys,
            fetched_at: Instant::now(),
            jwks_uri,
            discovered_at,
        })
    }

    async fn discover(&self) -> Result<AllowedUrl, RefreshError> {
        let bytes = self
            .get(&self.discovery_url, waypost_identity::MAX_DISCOVERY_BYTES)
            .await?;
        Discovery::parse(
            &bytes,
            &self.issuer,
            self.custom_discovery_url,
            self.fetcher.rules(),
        )
        .map(|document| document.jwks_uri)
        .map_err(|source| RefreshError::Discovery {
            url: self.discovery_url.url().to_string(),
            source,
        })
    }

    async fn get(&self, url: &AllowedUrl, max_bytes: usize) -> Result<Vec<u8>, RefreshError> {
        self.fetcher
            .get(url, max_bytes)
            .await
            .map_err(|source| RefreshError::Fetch {
                url: url.url().to_string(),
                source,
            })
    }
}

impl RefreshError {
    fn trouble(&self) -> Trouble {
        match self {
            Self::Jwks { .. } | Self::NoUsableKey { .. } => {
                Trouble::NothingUsable(self.to_string())
            }
            Self::Fetch { .. } | Self::Discovery { .. } | Self::TooSlow(_) => {
                Trouble::NotFetched(self.to_string())
            }
        }
    }

    /// What would be right, where the error does not say it.
    fn remedy(&self) -> &'static str {
        match self {
            Self::Fetch { source, .. } => source.remedy(),
            Self::Discovery {
                source: waypost_identity::DiscoveryError::IssuerMismatch { .. },
                ..
            } => "give the provider the issuer that its tokens name",
            // It says what would let it pass.
            Self::Discovery {
                source: waypost_identity::DiscoveryError::JwksUri(_),
                ..
            } => "",
            Self::Discovery { .. } => {
                "an OpenID Connect discovery document is wanted there; `verification.discovery_url` of the provider names another place"
            }
            Self::Jwks { .. } | Self::NoUsableKey { .. } => {
                "the issuer is to publish a public key (RSA, EC or Ed25519) with a `kid`, or upload its keys to the provider"
            }
            Self::TooSlow(_) => "identity.fetch_timeout allows more",
        }
    }

    /// A stable name for metrics.
    fn code(&self) -> &'static str {
        match self {
            Self::Fetch { source, .. } => source.code(),
            Self::Discovery { .. } => "bad_discovery_document",
            Self::Jwks { .. } => "bad_jwks",
            Self::NoUsableKey { .. } => "no_usable_key",
            Self::TooSlow(_) => "too_slow",
        }
    }
}
