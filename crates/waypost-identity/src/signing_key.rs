//! The server's own signing keys: ECDSA P-256 with SHA-256 (ES256).
//!
//! The private half leaves only as a [`Pkcs8Der`], which wipes itself and cannot be printed.
//! A key's `kid` is its RFC 7638 thumbprint, so it follows from the key and cannot be mistyped.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, Signature,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::text::encode_base64url;

const COORDINATE_BYTES: usize = 32;

/// A key that signs access tokens.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicJwk,
}

/// The public half of a signing key, as published in the server's JWKS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicJwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    kid: String,
    alg: String,
    #[serde(rename = "use")]
    purpose: String,
}

/// A private key in PKCS#8 DER (RFC 5208). Wiped when dropped.
pub struct Pkcs8Der(Zeroizing<Vec<u8>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    #[error("The system's random source or the cryptographic library failed to make a key.")]
    Generation,
    #[error("The stored signing key is not a P-256 private key in PKCS#8 form.")]
    NotP256Pkcs8,
    #[error("The stored public key is not a consistent P-256 key named by its thumbprint.")]
    PublicKey,
}

impl SigningKey {
    pub fn generate() -> Result<Self, SigningKeyError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map(Self::of)
            .map_err(|_| SigningKeyError::Generation)
    }

    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SigningKeyError> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map(Self::of)
            .map_err(|_| SigningKeyError::NotP256Pkcs8)
    }

    pub fn to_pkcs8(&self) -> Result<Pkcs8Der, SigningKeyError> {
        let document = self
            .pair
            .to_pkcs8v1()
            .map_err(|_| SigningKeyError::Generation)?;
        Ok(Pkcs8Der(Zeroizing::new(document.as_ref().to_vec())))
    }

    /// RFC 7638 thumbprint of the public key.
    pub fn kid(&self) -> &str {
        &self.public.kid
    }

    pub fn public_jwk(&self) -> &PublicJwk {
        &self.public
    }

    /// A JWS signature (RFC 7518 §3.4): R and S, 32 bytes each.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Signature, SigningKeyError> {
        self.pair
            .sign(&SystemRandom::new(), message)
            .map_err(|_| SigningKeyError::Generation)
    }

    fn of(pair: EcdsaKeyPair) -> Self {
        let public = PublicJwk::from_point(pair.public_key().as_ref());
        Self { pair, public }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.public.kid)
            .finish_non_exhaustive()
    }
}

impl Pkcs8Der {
    /// The secret bytes. Write them only encrypted or where their owner alone can read.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pkcs8Der {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pkcs8Der(hidden)")
    }
}

impl PublicJwk {
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// `point` is the uncompressed form that [`EcdsaKeyPair`] gives: 4, X, Y.
    fn from_point(point: &[u8]) -> Self {
        let (x, y) = point[1..].split_at(COORDINATE_BYTES);
        let (x, y) = (encode_base64url(x), encode_base64url(y));
        let kid = thumbprint(&[("crv", "P-256"), ("kty", "EC"), ("x", &x), ("y", &y)]);
        Self {
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            x,
            y,
            kid,
            alg: "ES256".to_owned(),
            purpose: "sig".to_owned(),
        }
    }

    /// The verifying key, after checking that the point is valid and the `kid` is its own.
    pub(crate) fn verifying_key(&self) -> Result<crate::PublicKey, SigningKeyError> {
        let members = [
            ("crv", &*self.crv),
            ("kty", &self.kty),
            ("x", &self.x),
            ("y", &self.y),
        ];
        if self.crv != "P-256" || self.alg != "ES256" || self.kid != thumbprint(&members) {
            return Err(SigningKeyError::PublicKey);
        }
        let jwk = serde_json::to_value(self).map_err(|_| SigningKeyError::PublicKey)?;
        crate::jwk::parse_key(&jwk).map_err(|_| SigningKeyError::PublicKey)
    }
}

/// RFC 7638 §3. `members` are the required ones, in lexicographic order; their values need no
/// escaping (key types, curve names, base64url).
fn thumbprint(members: &[(&str, &str)]) -> String {
    let body: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":\"{value}\""))
        .collect();
    encode_base64url(digest(
        &SHA256,
        format!("{{{}}}", body.join(",")).as_bytes(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_follow_rfc_7638_and_rfc_8037() {
        // RFC 7638 §3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        assert_eq!(
            thumbprint(&[("e", "AQAB"), ("kty", "RSA"), ("n", n)]),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        // RFC 8037 A.3.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        assert_eq!(
            thumbprint(&[("crv", "Ed25519"), ("kty", "OKP"), ("x", x)]),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn keys_survive_storage() {
        let key = SigningKey::generate().unwrap();
        let stored = key.to_pkcs8().unwrap();
        let restored = SigningKey::from_pkcs8(stored.expose()).unwrap();
        assert_eq!(restored.public_jwk(), key.public_jwk());
        let signature = restored.sign(b"message").unwrap();
        let verifier = key.public_jwk().verifying_key().unwrap();
        assert_eq!(
            verifier.verify(crate::Algorithm::Es256, b"message", signature.as_ref()),
            Ok(())
        );
    }

    #[test]
    fn other_private_keys_are_refused() {
        use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, Ed25519KeyPair};
        let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let ed25519 = Ed25519KeyPair::generate().unwrap();
        let own = SigningKey::generate().unwrap().to_pkcs8().unwrap();
        for der in [
            p384.to_pkcs8v1().unwrap().as_ref(),
            ed25519.to_pkcs8().unwrap().as_ref(),
            &own.expose()[1..],
            &[],
        ] {
            assert_eq!(
                SigningKey::from_pkcs8(der).err(),
                Some(SigningKeyError::NotP256Pkcs8)
            );
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let key = SigningKey::generate().unwrap();
        let der = key.to_pkcs8().unwrap();
        assert_eq!(format!("{der:?}"), "Pkcs8Der(hidden)");
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey {{ kid: {:?}, .. }}", key.kid())
        );
    }

    #[test]
    fn a_public_key_must_carry_its_own_thumbprint() {
        let jwk = SigningKey::generate().unwrap().public_jwk().clone();
        let other = SigningKey::generate().unwrap();
        let renamed = PublicJwk {
            kid: other.kid().to_owned(),
            ..jwk.clone()
        };
        assert_eq!(
            renamed.verifying_key().err(),
            Some(SigningKeyError::PublicKey)
        );
        let swapped = PublicJwk {
            x: jwk.y.clone(),
            y: jwk.x.clone(),
            ..jwk
        };
        assert_eq!(
            swapped.verifying_key().err(),
            Some(SigningKeyError::PublicKey)
        );
    }
}
