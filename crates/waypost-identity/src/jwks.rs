//! JSON Web Key Sets (RFC 7517 §5): the keys of one provider, by `kid`.
//!
//! An uploaded set is refused as a whole at the first fault, with the path of what is wrong: a
//! person is there to correct it. A fetched set is somebody else's: keys that cannot be used are
//! skipped and counted. Several of its entries may share a `kid` (one for `enc` and one for `sig`,
//! one for each algorithm): the one that serves the token's `alg` is used, and where two serve it,
//! neither is. Keys are never tried one after the other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::json::{JsonFault, parse_object};
use crate::jwk::{JwkFault, JwkProblem, PublicKey, claimed_kid, parse_key};

/// Largest accepted JWKS document, in bytes.
pub const MAX_JWKS_BYTES: usize = 1024 * 1024;
/// Most keys in one JWKS document, usable or not.
pub const MAX_JWKS_KEYS: usize = 100;
const MAX_JWKS_DEPTH: usize = 16;

/// The verification keys of one provider.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: HashMap<String, Slot>,
    skipped: Vec<SkippedKey>,
    entries: usize,
}

/// The entries of one kid.
#[derive(Debug, Default)]
struct Slot {
    keys: Vec<PublicKey>,
    /// Why an entry, or the choice among the keys, is unusable; of several, what weighs most.
    problem: Option<JwkProblem>,
    /// Position in `keys` of the document of the first entry.
    first: usize,
}

impl Slot {
    /// The one key for this algorithm.
    fn key(&self, algorithm: Algorithm) -> Option<&PublicKey> {
        let mut fitting = self.keys.iter().filter(|key| key.serves(algorithm));
        let key = fitting.next().filter(|_| !self.discloses())?;
        fitting.next().is_none().then_some(key)
    }

    /// Whether the set holds a private key under this kid: then nothing signed under it means
    /// anything.
    fn discloses(&self) -> bool {
        self.problem == Some(JwkProblem::PrivateMaterial)
    }

    fn note(&mut self, problem: &JwkProblem) {
        let weighs_more = match problem {
            JwkProblem::PrivateMaterial => true,
            JwkProblem::DuplicateKid { .. } => !self.discloses(),
            _ => self.problem.is_none(),
        };
        if weighs_more {
            self.problem = Some(problem.clone());
        }
    }

    fn usable(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter(|key| {
            key.algorithms()
                .any(|algorithm| self.key(algorithm).is_some())
        })
    }
}

/// A key of a fetched set that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedKey {
    /// Position in `keys`.
    pub index: usize,
    /// The sentence that an upload would have been refused with, as in `keys[2].kid is missing`.
    pub reason: String,
}

/// Why a key set was refused. The sentence names the path of the fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    #[error("The JWKS is {bytes} bytes long; at most {MAX_JWKS_BYTES} are accepted.")]
    TooLarge { bytes: usize },
    #[error("The JWKS is not valid JSON.")]
    NotJson,
    #[error("The JWKS must be a JSON object with a member `keys`.")]
    NotAnObject,
    #[error("The JWKS repeats a member name within one object.")]
    DuplicateMember,
    #[error("The JWKS is nested more than {MAX_JWKS_DEPTH} levels deep.")]
    TooDeep,
    #[error("`keys` is missing from the JWKS.")]
    KeysMissing,
    #[error("`keys` must be an array.")]
    KeysNotAnArray,
    #[error("`keys` is empty; without a key no token can be verified.")]
    NoKeys,
    #[error("`keys` holds {count} keys; at most {MAX_JWKS_KEYS} are accepted.")]
    TooManyKeys { count: usize },
    #[error("`{path}` {problem}.")]
    Key { path: String, problem: JwkProblem },
}

impl JwksError {
    /// Path of the faulty member, as in `keys[2].kid`, where one member is at fault.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Key { path, .. } => Some(path),
            Self::KeysMissing | Self::KeysNotAnArray | Self::NoKeys | Self::TooManyKeys { .. } => {
                Some("keys")
            }
            _ => None,
        }
    }
}

pub(crate) enum Lookup<'k> {
    Found(&'k PublicKey),
    Unusable(&'k JwkProblem),
    /// The keys of this kid are for other algorithms.
    OtherAlgorithm,
    Unknown,
}

impl KeySet {
    /// Reads a set that an operator uploads: every key must be usable, public and have a `kid`
    /// of its own. Give it the bytes as they were sent: a JSON value parsed by other code may
    /// already have lost duplicate members.
    pub fn parse_uploaded(bytes: &[u8]) -> Result<Self, JwksError> {
        let mut set = Self::default();
        for (index, value) in key_list(bytes)?.iter().enumerate() {
            set.entries += 1;
            let key = parse_key(value).map_err(|fault| located(index, fault))?;
            match set.keys.entry(key.kid().to_owned()) {
                Entry::Vacant(slot) => slot.insert(Slot {
                    keys: vec![key],
                    first: index,
                    ..Slot::default()
                }),
                Entry::Occupied(slot) => {
                    return Err(located(index, duplicate_kid(slot.get().first)));
                }
            };
        }
        Ok(set)
    }

    /// Reads a set that was fetched from `jwks_uri`. Unusable keys are skipped (RFC 7517 §5) and
    /// listed in [`KeySet::skipped`]. A `kid` whose keys are unusable, or of whose keys two serve
    /// an algorithm, is remembered, so a token that names it is refused without a reason to refresh.
    ///
    /// An `Err` means that the document says nothing, and earlier keys may be kept for a while.
    pub fn parse_fetched(bytes: &[u8]) -> Result<Self, JwksError> {
        let mut set = Self::default();
        for (index, value) in key_list(bytes)?.iter().enumerate() {
            set.entries += 1;
            let parsed = parse_key(value);
            let Some(kid) = claimed_kid(value) else {
                if let Err(fault) = parsed {
                    set.skip(index, fault);
                }
                continue;
            };
            let slot = set.keys.entry(kid.to_owned()).or_insert_with(|| Slot {
                first: index,
                ..Slot::default()
            });
            let fault = match parsed {
                Ok(key) => {
                    let repeats = key
                        .algorithms()
                        .any(|algorithm| slot.keys.iter().any(|other| other.serves(algorithm)));
                    slot.keys.push(key);
                    repeats.then(|| duplicate_kid(slot.first))
                }
                Err(fault) => Some(fault),
            };
            if let Some(fault) = fault {
                slot.note(&fault.problem);
                set.skip(index, fault);
            }
        }
        Ok(set)
    }

    /// How many keys can verify tokens.
    pub fn usable(&self) -> usize {
        self.iter().count()
    }

    /// How many keys the document holds, usable or not.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Keys of a fetched set that are not used; for the second of two keys with one `kid` and
    /// an algorithm in common too.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Whether the set names this `kid`, usable or not. When it does, a refresh is no remedy.
    pub fn knows(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// The usable keys, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.values().flat_map(Slot::usable)
    }

    /// The usable keys whose coordinates came without leading zeros (RFC 7518 §6.2.1.2 wants
    /// them) and were padded: their publisher has a fault to mend.
    pub fn padded(&self) -> impl Iterator<Item = &PublicKey> {
        self.iter().filter(|key| key.was_padded())
    }

    pub(crate) fn lookup(&self, kid: &str, algorithm: Algorithm) -> Lookup<'_> {
        let Some(slot) = self.keys.get(kid) else {
            return Lookup::Unknown;
        };
        if let Some(key) = slot.key(algorithm) {
            return Lookup::Found(key);
        }
        let fits = slot.keys.iter().any(|key| key.serves(algorithm));
        match &slot.problem {
            Some(problem) if fits || slot.keys.is_empty() || slot.discloses() => {
                Lookup::Unusable(problem)
            }
            _ => Lookup::OtherAlgorithm,
        }
    }

    fn skip(&mut self, index: usize, fault: JwkFault) {
        self.skipped.push(SkippedKey {
            index,
            reason: located(index, fault).to_string(),
        });
    }
}

fn key_list(bytes: &[u8]) -> Result<Vec<Value>, JwksError> {
    if bytes.len() > MAX_JWKS_BYTES {
        return Err(JwksError::TooLarge { bytes: bytes.len() });
    }
    let mut document = parse_object(bytes, MAX_JWKS_DEPTH).map_err(|fault| match fault {
        JsonFault::Syntax => JwksError::NotJson,
        JsonFault::NotAnObject => JwksError::NotAnObject,
        JsonFault::DuplicateMember => JwksError::DuplicateMember,
        JsonFault::TooDeep => JwksError::TooDeep,
    })?;
    match document.remove("keys") {
        None => Err(JwksError::KeysMissing),
        Some(Value::Array(keys)) if keys.is_empty() => Err(JwksError::NoKeys),
        Some(Value::Array(keys)) if keys.len() > MAX_JWKS_KEYS => {
            Err(JwksError::TooManyKeys { count: keys.len() })
        }
        Some(Value::Array(keys)) => Ok(keys),
        Some(_) => Err(JwksError::KeysNotAnArray),
    }
}

fn duplicate_kid(earlier: usize) -> JwkFault {
    JwkFault {
        member: "kid",
        problem: JwkProblem::DuplicateKid { earlier },
    }
}

fn located(index: usize, fault: JwkFault) -> JwksError {
    let path = match fault.member {
        "" => format!("keys[{index}]"),
        member => format!("keys[{index}].{member}"),
    };
    JwksError::Key {
        path,
        problem: fault.problem,
    }
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
