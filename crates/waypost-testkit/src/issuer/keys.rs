//! Signing keys and compact JWS, without any judgement.
//!
//! A verifier's tests need tokens that no sane library would make, so header and payload are
//! arbitrary text and the key signs whatever it is given.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A JWS `alg` (RFC 7518 §3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[clap(rename_all = "verbatim")]
pub enum Alg {
    #[default]
    ES256,
    ES384,
    ES512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    EdDSA,
}

impl Alg {
    pub const ALL: [Self; 10] = [
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::EdDSA,
    ];

    /// The name in a token's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::EdDSA => "EdDSA",
        }
    }

    fn ecdsa(self) -> Option<(&'static EcdsaSigningAlgorithm, &'static str)> {
        match self {
            Self::ES256 => Some((&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")),
            Self::ES384 => Some((&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")),
            Self::ES512 => Some((&signature::ECDSA_P521_SHA512_FIXED_SIGNING, "P-521")),
            _ => None,
        }
    }

    fn rsa(self) -> Option<&'static dyn RsaEncoding> {
        match self {
            Self::RS256 => Some(&signature::RSA_PKCS1_SHA256),
            Self::RS384 => Some(&signature::RSA_PKCS1_SHA384),
            Self::RS512 => Some(&signature::RSA_PKCS1_SHA512),
            Self::PS256 => Some(&signature::RSA_PSS_SHA256),
            Self::PS384 => Some(&signature::RSA_PSS_SHA384),
            Self::PS512 => Some(&signature::RSA_PSS_SHA512),
            _ => None,
        }
    }
}

/// A fresh key pair under a `kid`.
pub struct SigningKey {
    pub kid: String,
    pub alg: Alg,
    pair: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("alg", &self.alg)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// RSA keys have 2048 bits.
    pub fn generate(alg: Alg, kid: &str) -> Self {
        const GENERATES: &str = "aws-lc generates keys of its own sizes";
        let pair = match (alg.ecdsa(), alg.rsa()) {
            (Some((curve, _)), _) => Pair::Ecdsa(EcdsaKeyPair::generate(curve).expect(GENERATES)),
            (_, Some(_)) => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect(GENERATES)),
            _ => Pair::Ed25519(Ed25519KeyPair::generate().expect(GENERATES)),
        };
        Self {
            kid: kid.to_owned(),
            alg,
            pair,
        }
    }

    /// The public key as a JWK with `kid`, `alg` and `use`.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Ecdsa(pair) => {
                // SEC 1 §2.3.3: 0x04, x, y.
                let (x, y) = {
                    let point = &pair.public_key().as_ref()[1..];
                    point.split_at(point.len() / 2)
                };
                let curve = self.alg.ecdsa().map_or("", |(_, curve)| curve);
                json!({"kty": "EC", "crv": curve, "x": b64(x), "y": b64(y)})
            }
            Pair::Rsa(pair) => {
                let (modulus, exponent) = rsa_numbers(pair.public_key().as_ref());
                json!({"kty": "RSA", "n": b64(modulus), "e": b64(exponent)})
            }
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())})
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.alg.name());
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token with the header `{alg, kid, typ: JWT}`.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with_header(&Map::new(), claims)
    }

    /// Like [`SigningKey::sign`], with `header`'s members over the standard ones; a `null` removes
    /// one.
    pub fn sign_with_header(&self, header: &Map<String, Value>, claims: &Value) -> String {
        let mut full = Map::new();
        full.insert("alg".to_owned(), json!(self.alg.name()));
        full.insert("kid".to_owned(), json!(self.kid));
        full.insert("typ".to_owned(), json!("JWT"));
        for (name, value) in header {
            if value.is_null() {
                full.shift_remove(name);
            } else {
                full.insert(name.clone(), value.clone());
            }
        }
        self.sign_text(&Value::Object(full).to_string(), &claims.to_string())
    }

    /// A properly signed token of any header and payload text, JSON or not.
    pub fn sign_text(&self, header: &str, payload: &str) -> String {
        self.sign_segments(&b64(header.as_bytes()), &b64(payload.as_bytes()))
    }

    /// A properly signed token of two ready segments, base64url or not.
    pub fn sign_segments(&self, header: &str, payload: &str) -> String {
        let input = format!("{header}.{payload}");
        let signature = self.signature(input.as_bytes());
        format!("{input}.{}", b64(&signature))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        const SIGNS: &str = "a generated key signs";
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, message).expect(SIGNS).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let encoding = self.alg.rsa().expect("an RSA key has an RSA algorithm");
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)
                    .expect(SIGNS);
                signature
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// A token with an HMAC "signature": what an attacker makes of a public key (`secret`) against a
/// verifier that lets the token choose the algorithm.
pub fn sign_hs256(secret: &[u8], header: &str, payload: &str) -> String {
    let input = format!("{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", b64(tag.as_ref()))
}

/// An unsigned token: `header.payload.`
pub fn unsigned(header: &str, payload: &str) -> String {
    format!("{}.{}.", b64(header.as_bytes()), b64(payload.as_bytes()))
}

/// Unpadded base64url (RFC 7515 §2).
pub fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017 §A.1.1): a sequence of two integers. Only
/// for DER of our own making.
fn rsa_numbers(der: &[u8]) -> (&[u8], &[u8]) {
    let (body, _) = der_value(der);
    let (modulus, rest) = der_value(body);
    let (exponent, _) = der_value(rest);
    // DER puts a zero before a leading one bit; JWK has none (RFC 7518 §6.3.1.1).
    (modulus.strip_prefix(&[0]).unwrap_or(modulus), exponent)
}

/// The contents of the first value, and what follows it.
fn der_value(der: &[u8]) -> (&[u8], &[u8]) {
    let (header, length) = match der[1] {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let octets = usize::from(long & 0x7f);
            let length = der[2..2 + octets]
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (2 + octets, length)
        }
    };
    der[header..].split_at(length)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

    use super::*;

    fn unb64(text: &Value) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
    }

    /// Verifies with nothing but the published JWK.
    fn verifies(jwk: &Value, alg: Alg, message: &[u8], signed: &[u8]) -> bool {
        use signature as s;
        let rsa = |parameters| {
            let (n, e) = (unb64(&jwk["n"]), unb64(&jwk["e"]));
            RsaPublicKeyComponents { n, e }
                .verify(parameters, message, signed)
                .is_ok()
        };
        let other = |algorithm: &'static dyn VerificationAlgorithm, key: Vec<u8>| {
            UnparsedPublicKey::new(algorithm, key)
                .verify(message, signed)
                .is_ok()
        };
        let point = || [vec![4], unb64(&jwk["x"]), unb64(&jwk["y"])].concat();
        match alg {
            Alg::ES256 => other(&s::ECDSA_P256_SHA256_FIXED, point()),
            Alg::ES384 => other(&s::ECDSA_P384_SHA384_FIXED, point()),
            Alg::ES512 => other(&s::ECDSA_P521_SHA512_FIXED, point()),
            Alg::RS256 => rsa(&s::RSA_PKCS1_2048_8192_SHA256),
            Alg::RS384 => rsa(&s::RSA_PKCS1_2048_8192_SHA384),
            Alg::RS512 => rsa(&s::RSA_PKCS1_2048_8192_SHA512),
            Alg::PS256 => rsa(&s::RSA_PSS_2048_8192_SHA256),
            Alg::PS384 => rsa(&s::RSA_PSS_2048_8192_SHA384),
            Alg::PS512 => rsa(&s::RSA_PSS_2048_8192_SHA512),
            Alg::EdDSA => other(&s::ED25519, unb64(&jwk["x"])),
        }
    }

    #[test]
    fn tokens_of_every_algorithm_verify_by_the_published_key() {
        for alg in Alg::ALL {
            let key = SigningKey::generate(alg, "k1");
            let token = key.sign(&json!({"sub": "a"}));
            let (message, signed) = token.rsplit_once('.').unwrap();
            let signed = URL_SAFE_NO_PAD.decode(signed).unwrap();
            assert!(
                verifies(&key.jwk(), alg, message.as_bytes(), &signed),
                "{alg:?}"
            );
            assert!(!verifies(&key.jwk(), alg, b"other", &signed), "{alg:?}");
        }
    }

    #[test]
    fn jwks_have_the_sizes_of_their_type_and_nothing_private() {
        let sizes = [
            (Alg::ES256, "x", 32),
            (Alg::ES512, "y", 66),
            (Alg::RS256, "n", 256),
        ];
        for (alg, field, bytes) in sizes {
            let jwk = SigningKey::generate(alg, "k1").jwk();
            assert_eq!(unb64(&jwk[field]).len(), bytes, "{alg:?}");
            assert!(jwk.get("d").is_none());
        }
    }

    #[test]
    fn header_members_can_be_changed_and_removed() {
        let key = SigningKey::generate(Alg::ES256, "k1");
        let changes = json!({"kid": null, "typ": "at+jwt", "crit": ["x"]});
        let token = key.sign_with_header(changes.as_object().unwrap(), &json!({}));
        let header = URL_SAFE_NO_PAD
            .decode(token.split('.').next().unwrap())
            .unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(
            header,
            json!({"alg": "ES256", "typ": "at+jwt", "crit": ["x"]})
        );
    }
}
