//! The keys that sign access tokens: made, sealed, published, rotated, retired.
//!
//! Flow: [`prepare`] sees at start that there is a key and that all open;
//! [`KeyRing`] holds them unsealed, rebuilt when the directory's snapshot brings
//! other ones; [`run`] rotates by age.
//!
//! Easy to break: verifiers cache our key set. A new key is published
//! [`PUBLISH_AHEAD`] before it signs, and stays published until no token that
//! it signed can be alive.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context;
use serde_json::json;
use waypost_engine::{Engine, Millis, directory::SealedSigningKey};
use waypost_identity::{AccessTokenVerifier, MAX_ACCESS_TOKEN_SECONDS, SigningKey};

use super::snapshot::DirectoryHandle;
use crate::{
    clock,
    config::Config,
    identity::Identity,
    sealing::{MasterKey, MasterKeyError},
};

/// How long a key is published before it signs: longer than verifiers may
/// cache the key set.
pub const PUBLISH_AHEAD: Duration = Duration::from_hours(1);
/// How long a key stays published after its successor took over: the longest
/// life of a token, and the clocks of verifiers.
const RETIRE_AFTER: Duration = Duration::from_secs(MAX_ACCESS_TOKEN_SECONDS as u64 + 600);
/// How often it is looked whether a key is due.
const CHECK_EVERY: Duration = Duration::from_mins(1);

/// The unsealed signing keys of one snapshot.
#[derive(Default)]
pub struct KeyRing {
    /// By `sign_from`, oldest first.
    keys: Vec<RingKey>,
    verifier: Option<AccessTokenVerifier>,
    jwks: String,
}

struct RingKey {
    sign_from: Millis,
    key: Arc<SigningKey>,
}

impl KeyRing {
    /// Unseals what `before` does not hold already. A key that does not open
    /// is left out, loudly: its tokens are refused.
    pub(super) fn build(
        sealed: &[SealedSigningKey],
        before: &Self,
        master: &MasterKey,
        issuer: &str,
    ) -> Self {
        let known: HashMap<_, _> = before
            .keys
            .iter()
            .map(|held| (held.key.kid(), &held.key))
            .collect();
        let mut keys: Vec<_> = sealed
            .iter()
            .filter_map(|row| {
                let key = match known.get(row.kid.as_str()) {
                    Some(key) => Arc::clone(key),
                    None => match unseal(master, row) {
                        Ok(key) => Arc::new(key),
                        Err(error) => {
                            tracing::error!(kid = row.kid, "{error:#}");
                            return None;
                        }
                    },
                };
                Some(RingKey {
                    sign_from: row.sign_from,
                    key,
                })
            })
            .collect();
        keys.sort_by_key(|held| held.sign_from);
        let public: Vec<_> = keys.iter().map(|held| held.key.public_jwk()).collect();
        let verifier = AccessTokenVerifier::new(issuer, issuer, public.iter().copied())
            .expect("a public half that was derived from its key is consistent");
        Self {
            verifier: Some(verifier),
            jwks: json!({ "keys": public }).to_string(),
            keys,
        }
    }

    /// The key that signs at this moment: of those whose time has come, the
    /// newest.
    pub fn signer(&self, now: Millis) -> Option<&SigningKey> {
        self.keys
            .iter()
            .rfind(|held| held.sign_from <= now)
            .or_else(|| self.keys.first())
            .map(|held| &*held.key)
    }

    /// Recognises the tokens of all of these keys.
    pub fn verifier(&self) -> Option<&AccessTokenVerifier> {
        self.verifier.as_ref()
    }

    /// The public halves as a JWKS document.
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// Whether every key of `before` is still here.
    pub(super) fn keeps_all_of(&self, before: &Self) -> bool {
        before.keys.iter().all(|held| {
            self.keys
                .iter()
                .any(|mine| mine.key.kid() == held.key.kid())
        })
    }

    /// Whether these are the rows that the ring was built from.
    pub(super) fn is_of(&self, sealed: &[SealedSigningKey]) -> bool {
        self.verifier.is_some()
            && self.keys.len() == sealed.len()
            && sealed.iter().all(|row| {
                self.keys
                    .iter()
                    .any(|held| held.key.kid() == row.kid && held.sign_from == row.sign_from)
            })
    }
}

/// Loads the master key, sees that it opens every stored key, and makes the
/// first signing key if there is none.
pub async fn prepare(
    config: &Config,
    engine: &Engine,
    directory: &DirectoryHandle,
) -> anyhow::Result<MasterKey> {
    let stored = directory.current().signing_keys.clone();
    let master = load_master_key(config, !stored.is_empty())?;
    for row in &stored {
        unseal(&master, row).context(
            "give identity.master_key, or the file master.key of the data directory, the value with which the keys were sealed; or give them and all tokens up with `waypost signing-key rotate --replace-all`",
        )?;
    }
    if stored.is_empty() {
        let key = add_key(engine, &master, clock::now()).await?;
        tracing::info!(kid = key, "made the first signing key");
        directory.refresh_now().await?;
    }
    Ok(master)
}

/// The configured master key or the data directory's.
pub fn load_master_key(config: &Config, sealed_exist: bool) -> Result<MasterKey, MasterKeyError> {
    let configured = config.identity.master_key.as_ref();
    MasterKey::load(
        configured.map(crate::config::Secret::expose),
        &config.data_dir,
        sealed_exist,
    )
}

/// Makes a key that signs from then on, stores it sealed, and says its `kid`.
pub async fn add_key(
    engine: &Engine,
    master: &MasterKey,
    sign_from: Millis,
) -> anyhow::Result<String> {
    let row = seal_new(master, sign_from)?;
    let kid = row.kid.clone();
    engine
        .store
        .add_signing_key(row)
        .await
        .context("cannot store a signing key")?;
    Ok(kid)
}

/// Rotates by age, until the drain begins.
pub async fn run(identity: Arc<Identity>) {
    loop {
        if let Err(error) = rotate_if_due(&identity).await {
            tracing::error!("signing keys cannot be rotated, will retry: {error:#}");
        }
        tokio::select! {
            () = tokio::time::sleep(CHECK_EVERY) => {}
            () = identity.shutdown.begun() => return,
        }
    }
}

async fn rotate_if_due(identity: &Arc<Identity>) -> anyhow::Result<()> {
    let keys = identity.directory.current().signing_keys.clone();
    let now = clock::now();
    let plan = plan(&keys, now, identity.config.signing_key_lifetime);
    if plan == Plan::default() {
        return Ok(());
    }
    if let Some(from) = plan.add_from {
        let kid = add_key(&identity.engine, identity.master_key(), from).await?;
        tracing::info!(
            kid,
            "made signing key {kid}; it signs in {} minutes",
            (from - now) / 60_000
        );
    }
    for kid in plan.delete {
        identity.engine.store.delete_signing_key(&kid).await?;
        tracing::info!(
            kid,
            "deleted signing key {kid}: none of its tokens is alive"
        );
    }
    identity.directory.refresh_now().await?;
    Ok(())
}

/// What is due.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Make a key that signs from then on.
    add_from: Option<Millis>,
    delete: Vec<String>,
}

fn plan(keys: &[SealedSigningKey], now: Millis, lifetime: Duration) -> Plan {
    let mut keys: Vec<_> = keys.iter().collect();
    keys.sort_by_key(|key| key.sign_from);
    let ahead = PUBLISH_AHEAD.as_millis() as Millis;
    let add_from = match keys.last() {
        None => Some(now),
        Some(newest) => {
            let replace_at = newest.sign_from + lifetime.as_millis() as Millis;
            (now >= replace_at - ahead).then_some(now + ahead)
        }
    };
    let delete = keys
        .windows(2)
        .filter(|pair| pair[1].sign_from + RETIRE_AFTER.as_millis() as Millis <= now)
        .map(|pair| pair[0].kid.clone())
        .collect();
    Plan { add_from, delete }
}

fn purpose(kid: &str) -> String {
    format!("waypost signing key {kid}")
}

fn seal_new(master: &MasterKey, sign_from: Millis) -> anyhow::Result<SealedSigningKey> {
    let key = SigningKey::generate()?;
    let kid = key.kid().to_owned();
    let sealed = master.seal(&purpose(&kid), key.to_pkcs8()?.expose())?;
    Ok(SealedSigningKey {
        sealed,
        created_at: clock::now(),
        sign_from,
        kid,
    })
}

fn unseal(master: &MasterKey, row: &SealedSigningKey) -> anyhow::Result<SigningKey> {
    let name = || format!("the signing key {} cannot be opened", row.kid);
    let der = master
        .open(&purpose(&row.kid), &row.sealed)
        .with_context(name)?;
    let key = SigningKey::from_pkcs8(&der).with_context(name)?;
    anyhow::ensure!(key.kid() == row.kid, "{}: it is another key", name());
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;
    const LIFETIME: Duration = Duration::from_hours(24 * 30);
    const DAY: Millis = 24 * HOUR;

    fn key(kid: &str, sign_from: Millis) -> SealedSigningKey {
        SealedSigningKey {
            kid: kid.to_owned(),
            sealed: Vec::new(),
            created_at: sign_from,
            sign_from,
        }
    }

    #[test]
    fn a_key_is_replaced_in_time_and_retired_after_its_last_token() {
        let nothing = Plan::default();
        assert_eq!(plan(&[], 5, LIFETIME).add_from, Some(5));
        let old = key("old", 0);
        let one = [old.clone()];
        assert_eq!(plan(&one, 30 * DAY - HOUR - 1, LIFETIME), nothing);
        let due = 30 * DAY - HOUR;
        assert_eq!(plan(&one, due, LIFETIME).add_from, Some(30 * DAY));
        // Late: the new key is still published before it signs.
        assert_eq!(
            plan(&one, 90 * DAY, LIFETIME).add_from,
            Some(90 * DAY + HOUR)
        );

        let two = [key("new", 30 * DAY), old];
        assert_eq!(plan(&two, due, LIFETIME), nothing);
        assert_eq!(plan(&two, 30 * DAY + HOUR, LIFETIME), nothing);
        let retired = plan(&two, 30 * DAY + HOUR + 600_000, LIFETIME);
        assert_eq!(retired.delete, ["old"]);
        assert_eq!(retired.add_from, None);
    }

    #[test]
    fn the_newest_key_whose_time_has_come_signs_and_all_verify() {
        let dir = tempfile::tempdir().expect("a directory");
        let master = MasterKey::load(None, dir.path(), false).expect("a master key");
        let rows = [
            seal_new(&master, 100).expect("a key"),
            seal_new(&master, 200).expect("a key"),
        ];
        let ring = KeyRing::build(&rows, &KeyRing::default(), &master, "https://w.example");
        let signer = |now| ring.signer(now).expect("a key").kid().to_owned();
        assert_eq!(signer(50), rows[0].kid);
        assert_eq!(signer(199), rows[0].kid);
        assert_eq!(signer(200), rows[1].kid);
        assert!(ring.jwks().contains(&rows[0].kid) && ring.jwks().contains(&rows[1].kid));
        assert!(!ring.jwks().contains("\"d\""));
        assert!(ring.is_of(&rows) && !ring.is_of(&rows[1..]));

        let fewer = KeyRing::build(&rows[1..], &ring, &master, "https://w.example");
        assert!(ring.keeps_all_of(&fewer) && !fewer.keeps_all_of(&ring));
        assert!(
            Arc::ptr_eq(&fewer.keys[0].key, &ring.keys[1].key),
            "unsealed once"
        );
    }

    #[test]
    fn a_key_under_another_name_does_not_open() {
        let dir = tempfile::tempdir().expect("a directory");
        let master = MasterKey::load(None, dir.path(), false).expect("a master key");
        let mut row = seal_new(&master, 0).expect("a key");
        assert!(unseal(&master, &row).is_ok());
        row.kid = "other".to_owned();
        assert!(unseal(&master, &row).is_err());
    }
}
