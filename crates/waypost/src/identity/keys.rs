//! API keys: making them, hashing them, noting their use.
//!
//! A key is 256 random bits behind a prefix, so that a plain SHA-256 is hash
//! enough: nobody guesses the input. Only the hash is stored; the key is shown
//! once, by the call that created it.

use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::{digest, rand::SecureRandom};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use waypost_engine::Millis;
use zeroize::Zeroizing;

/// Organization admin keys begin with this.
pub const ADMIN_PREFIX: &str = "sk-admin-";
/// Service accounts' keys begin with this.
pub const SERVICE_ACCOUNT_PREFIX: &str = "sk-svcacct-";

/// SHA-256 of a whole key.
pub type KeyHash = [u8; 32];

/// A key that was just made, on its way to whoever asked for it.
pub struct FreshKey {
    /// The key itself, shown once.
    pub value: Zeroizing<String>,
    pub hash: KeyHash,
    /// What lists show.
    pub redacted: String,
}

/// Makes a key: `prefix` and 43 characters of `[0-9A-Za-z_-]`.
pub fn fresh(prefix: &str) -> FreshKey {
    let mut bytes = Zeroizing::new([0u8; 32]);
    aws_lc_rs::rand::SystemRandom::new()
        .fill(&mut *bytes)
        .expect("the system's random generator works");
    let mut value = Zeroizing::new(String::with_capacity(prefix.len() + 43));
    value.push_str(prefix);
    URL_SAFE_NO_PAD.encode_string(*bytes, &mut value);
    let last_four = &value[value.len() - 4..];
    FreshKey {
        hash: hash(&value),
        redacted: format!("{prefix}...{last_four}"),
        value,
    }
}

/// The hash by which a key is stored and found.
pub fn hash(key: &str) -> KeyHash {
    digest::digest(&digest::SHA256, key.as_bytes())
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

/// Compares in constant time.
pub fn same_hash(a: &KeyHash, b: &KeyHash) -> bool {
    a.ct_eq(b).into()
}

/// The admin key that the environment set, as a hash.
pub struct BootstrapKey(KeyHash);

impl BootstrapKey {
    pub fn new(key: &str) -> Self {
        Self(hash(key))
    }

    pub fn is(&self, presented: &KeyHash) -> bool {
        same_hash(&self.0, presented)
    }
}

/// When a key was last used: noted by every request without a lock or a write,
/// flushed to the store now and then.
#[derive(Debug)]
pub struct LastUse {
    seen: AtomicI64,
    written: AtomicI64,
}

impl LastUse {
    /// `stored` is what the store knows; 0 for never.
    pub fn new(stored: Millis) -> Self {
        Self {
            seen: AtomicI64::new(stored),
            written: AtomicI64::new(stored),
        }
    }

    pub fn note(&self, now: Millis) {
        // Once a second is enough, and spares the cache line under load.
        if now >= self.seen.load(Ordering::Relaxed) + 1000 {
            self.seen.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// The last use, if there was one.
    pub fn get(&self) -> Option<Millis> {
        Some(self.seen.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    /// The last use, if the store does not know it yet.
    pub fn unwritten(&self) -> Option<Millis> {
        let seen = self.seen.load(Ordering::Relaxed);
        (seen > self.written.load(Ordering::Relaxed)).then_some(seen)
    }

    pub fn set_written(&self, at: Millis) {
        self.written.fetch_max(at, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_random_and_clean() {
        let (a, b) = (fresh(ADMIN_PREFIX), fresh(ADMIN_PREFIX));
        assert_ne!(*a.value, *b.value);
        assert_eq!(a.value.len(), ADMIN_PREFIX.len() + 43);
        assert!(
            a.value
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
        );
        assert_eq!(hash(&a.value), a.hash);
        assert!(a.redacted.len() < 20, "{}", a.redacted);
    }

    #[test]
    fn uses_are_noted_and_written_once() {
        let last_use = LastUse::new(0);
        assert_eq!((last_use.get(), last_use.unwritten()), (None, None));
        last_use.note(5_000);
        last_use.note(5_500);
        assert_eq!(last_use.get(), Some(5_000));
        assert_eq!(last_use.unwritten(), Some(5_000));
        last_use.set_written(5_000);
        assert_eq!(last_use.unwritten(), None);
        last_use.note(6_000);
        assert_eq!(last_use.unwritten(), Some(6_000));
    }
}
