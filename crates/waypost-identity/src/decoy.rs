//! Verifications whose outcome nobody needs.
//!
//! A caller that names no provider of this server is answered as one whose signature does not
//! hold. The answer is to take as long, too: a refusal that came without looking at a signature
//! is preceded by the verification of it with a key that signed nothing.

use std::sync::LazyLock;

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, ParsedPublicKey,
    RsaParameters, VerificationAlgorithm,
};

use crate::algorithm::Algorithm;
use crate::jwk::RSA_USES;

/// Sizes of RSA moduli in bytes, as good as all that are in use.
const RSA_BYTES: [usize; 4] = [256, 384, 512, 1024];

/// A key for every algorithm, and for RSA of every usual size. One that could not be made is left
/// out: then a refusal is faster than it should be.
static KEYS: LazyLock<Vec<(Algorithm, usize, ParsedPublicKey)>> = LazyLock::new(|| {
    let elliptic = [
        (
            Algorithm::Es256,
            elliptic(
                &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                &signature::ECDSA_P256_SHA256_FIXED,
            ),
        ),
        (
            Algorithm::Es384,
            elliptic(
                &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
                &signature::ECDSA_P384_SHA384_FIXED,
            ),
        ),
        (
            Algorithm::Es512,
            elliptic(
                &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
                &signature::ECDSA_P521_SHA512_FIXED,
            ),
        ),
        (Algorithm::EdDsa, edwards()),
    ];
    let rsa = RSA_USES.iter().flat_map(|&(algorithm, parameters)| {
        RSA_BYTES.map(|bytes| (algorithm, bytes, rsa(parameters, bytes)))
    });
    elliptic
        .into_iter()
        .map(|(algorithm, key)| (algorithm, 0, key))
        .chain(rsa)
        .filter_map(|(algorithm, bytes, key)| Some((algorithm, bytes, key?)))
        .collect()
});

/// Verifies a signature for nothing.
pub(crate) fn spend(algorithm: Algorithm, message: &[u8], signature: &[u8]) {
    #[cfg(test)]
    SPENT.set(SPENT.get() + 1);
    if let Some(key) = key(algorithm, signature.len()) {
        let _ = std::hint::black_box(key.verify_sig(message, signature));
    }
}

fn key(algorithm: Algorithm, signature_bytes: usize) -> Option<&'static ParsedPublicKey> {
    KEYS.iter()
        .find(|(served, bytes, _)| {
            *served == algorithm && (*bytes == 0 || *bytes == signature_bytes)
        })
        .map(|(_, _, key)| key)
}

fn elliptic(
    signing: &'static EcdsaSigningAlgorithm,
    verifying: &'static dyn VerificationAlgorithm,
) -> Option<ParsedPublicKey> {
    let pair = EcdsaKeyPair::generate(signing).ok()?;
    ParsedPublicKey::new(verifying, pair.public_key()).ok()
}

fn edwards() -> Option<ParsedPublicKey> {
    let pair = Ed25519KeyPair::generate().ok()?;
    ParsedPublicKey::new(&signature::ED25519, pair.public_key()).ok()
}

/// Any odd number does for a modulus: nothing was ever signed with it.
fn rsa(parameters: &'static RsaParameters, bytes: usize) -> Option<ParsedPublicKey> {
    let components = PublicKeyComponents {
        n: vec![0xff; bytes],
        e: vec![1, 0, 1],
    };
    components.to_parsed_public_key(parameters).ok()
}

#[cfg(test)]
thread_local! {
    static SPENT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many were spent on this thread.
#[cfg(test)]
pub(crate) fn spent() -> usize {
    SPENT.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::key_for;

    #[test]
    fn there_is_a_key_for_the_signatures_of_every_algorithm() {
        for algorithm in Algorithm::ALL {
            let signature = key_for(algorithm).sign(algorithm, b"message");
            let decoy = key(algorithm, signature.len()).expect("a key");
            assert!(decoy.verify_sig(b"message", &signature).is_err());
            spend(algorithm, b"message", &signature);
            spend(algorithm, b"message", b"");
        }
        for bytes in RSA_BYTES {
            assert!(key(Algorithm::Ps512, bytes).is_some(), "{bytes}");
        }
    }
}
