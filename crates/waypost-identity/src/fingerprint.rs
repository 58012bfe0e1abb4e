//! A name for a token that is not the token: for logs, audit events and lookup tables.

use std::fmt;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

const SHOWN_BYTES: usize = 8;

/// SHA-256 of a whole token. Prints as its first 16 hexadecimal digits.
///
/// Two different strings may be the same signed statement (an ECDSA signature has a twin), so
/// this identifies a string, not an authorization: never use it to detect replay; use `jti`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenFingerprint([u8; SHA256_OUTPUT_LEN]);

impl TokenFingerprint {
    pub fn of(token: &str) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }

    pub fn as_bytes(&self) -> &[u8; SHA256_OUTPUT_LEN] {
        &self.0
    }
}

impl fmt::Display for TokenFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..SHOWN_BYTES]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenFingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_start_of_sha_256() {
        // FIPS 180-4 example: SHA-256("abc").
        assert_eq!(TokenFingerprint::of("abc").to_string(), "ba7816bf8f01cfea");
        assert_eq!(TokenFingerprint::of("abc").as_bytes()[31], 0xad);
        assert_ne!(TokenFingerprint::of("abc"), TokenFingerprint::of("abd"));
    }
}
