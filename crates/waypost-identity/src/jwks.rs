//! JSON Web Key Sets (RFC 7517 §5): the keys of one provider, by `kid`.
//!
//! An uploaded set is refused as a whole at the first fault, with the path of what is wrong: a
//! person is there to correct it. A fetched set is somebody else's: keys that cannot be used are
//! skipped and counted, and a `kid` that occurs twice serves nobody. Lookup is by exact `kid`
//! only; keys are never tried one after the other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::Value;

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
}

#[derive(Debug)]
enum Slot {
    Usable(PublicKey),
    /// The set names this kid, but no key may be used under it.
    Unusable(JwkProblem),
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
    Unknown,
}

impl KeySet {
    /// Reads a set that an operator uploads: every key must be usable, public and have a `kid`
    /// of its own. Give it the bytes as they were sent: a JSON value parsed by other code may
    /// already have lost duplicate members.
    pub fn parse_uploaded(bytes: &[u8]) -> Result<Self, JwksError> {
        let mut set = Self::default();
        for (index, value) in key_list(bytes)?.iter().enumerate() {
            let key = parse_key(value).map_err(|fault| located(index, fault))?;
            match set.keys.entry(key.kid().to_owned()) {
                Entry::Vacant(slot) => slot.insert(Slot::Usable(key)),
                Entry::Occupied(_) => return Err(located(index, duplicate_kid())),
            };
        }
        Ok(set)
    }

    /// Reads a set that was fetched from `jwks_uri`. Unusable keys are skipped (RFC 7517 §5) and
    /// listed in [`KeySet::skipped`]. A `kid` that occurs twice, or whose key is unusable, is
    /// remembered as such, so a token that names it is refused without a reason to refresh.
    ///
    /// An `Err` means that the document says nothing, and earlier keys may be kept for a while.
    pub fn parse_fetched(bytes: &[u8]) -> Result<Self, JwksError> {
        let mut set = Self::default();
        for (index, value) in key_list(bytes)?.iter().enumerate() {
            let parsed = parse_key(value);
            let Some(kid) = claimed_kid(value) else {
                if let Err(fault) = parsed {
                    set.skip(index, fault);
                }
                continue;
            };
            match (set.keys.entry(kid.to_owned()), parsed) {
                (Entry::Vacant(slot), Ok(key)) => {
                    slot.insert(Slot::Usable(key));
                }
                (Entry::Vacant(slot), Err(fault)) => {
                    slot.insert(Slot::Unusable(fault.problem.clone()));
                    set.skip(index, fault);
                }
                (Entry::Occupied(mut slot), _) => {
                    slot.insert(Slot::Unusable(JwkProblem::DuplicateKid));
                    set.skip(index, duplicate_kid());
                }
            }
        }
        Ok(set)
    }

    /// How many keys can verify tokens.
    pub fn usable(&self) -> usize {
        self.keys
            .values()
            .filter(|slot| matches!(slot, Slot::Usable(_)))
            .count()
    }

    /// Keys of a fetched set that are not used; for the second of two keys with one `kid` too.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Whether the set names this `kid`, usable or not. When it does, a refresh is no remedy.
    pub fn knows(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// The usable keys, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.values().filter_map(|slot| match slot {
            Slot::Usable(key) => Some(key),
            Slot::Unusable(_) => None,
        })
    }

    pub(crate) fn lookup(&self, kid: &str) -> Lookup<'_> {
        match self.keys.get(kid) {
            Some(Slot::Usable(key)) => Lookup::Found(key),
            Some(Slot::Unusable(problem)) => Lookup::Unusable(problem),
            None => Lookup::Unknown,
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

fn duplicate_kid() -> JwkFault {
    JwkFault {
        member: "kid",
        problem: JwkProblem::DuplicateKid,
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
