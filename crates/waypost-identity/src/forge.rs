//! Test support: an identity provider with one key of every kind, and a forger's bench.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
};
use serde_json::{Value, json};

use crate::text::encode_base64url;
use crate::verify::{DEFAULT_SKEW_SECONDS, Presented};
use crate::{Algorithm, KeySet, Refusal, TrustPolicy, VerifiedClaims};

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "https://api.openai.com/v1";
pub(crate) const OWN_ISSUER: &str = "https://waypost.example";

pub(crate) enum Secret {
    Rsa(RsaKeyPair),
    Ec {
        pair: EcdsaKeyPair,
        crv: &'static str,
    },
    Ed(Ed25519KeyPair),
}

pub(crate) struct TestKey {
    pub(crate) kid: &'static str,
    pub(crate) secret: Secret,
}

pub(crate) static RSA: LazyLock<TestKey> = LazyLock::new(|| TestKey {
    kid: "rsa",
    secret: Secret::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
});
pub(crate) static P256: LazyLock<TestKey> =
    LazyLock::new(|| ec("p256", "P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING));
pub(crate) static P384: LazyLock<TestKey> =
    LazyLock::new(|| ec("p384", "P-384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING));
pub(crate) static P521: LazyLock<TestKey> =
    LazyLock::new(|| ec("p521", "P-521", &signature::ECDSA_P521_SHA512_FIXED_SIGNING));
pub(crate) static ED: LazyLock<TestKey> = LazyLock::new(|| TestKey {
    kid: "ed",
    secret: Secret::Ed(Ed25519KeyPair::generate().unwrap()),
});
/// The public halves of all five.
pub(crate) static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let keys: Vec<_> = all_keys().into_iter().map(TestKey::jwk).collect();
    KeySet::parse_uploaded(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
});

pub(crate) fn all_keys() -> [&'static TestKey; 5] {
    [&RSA, &P256, &P384, &P521, &ED]
}

pub(crate) fn key_for(algorithm: Algorithm) -> &'static TestKey {
    match algorithm {
        Algorithm::Es256 => &P256,
        Algorithm::Es384 => &P384,
        Algorithm::Es512 => &P521,
        Algorithm::EdDsa => &ED,
        _ => &RSA,
    }
}

pub(crate) fn ec(
    kid: &'static str,
    crv: &'static str,
    algorithm: &'static EcdsaSigningAlgorithm,
) -> TestKey {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    TestKey {
        kid,
        secret: Secret::Ec { pair, crv },
    }
}

impl TestKey {
    pub(crate) fn jwk(&self) -> Value {
        match &self.secret {
            Secret::Rsa(pair) => {
                let (n, e) = rsa_numbers(pair.public_key().as_ref());
                json!({"kty": "RSA", "kid": self.kid, "n": n, "e": e})
            }
            Secret::Ec { pair, crv } => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let (x, y) = (encode_base64url(x), encode_base64url(y));
                json!({"kty": "EC", "kid": self.kid, "crv": crv, "x": x, "y": y})
            }
            Secret::Ed(pair) => {
                let x = encode_base64url(pair.public_key().as_ref());
                json!({"kty": "OKP", "kid": self.kid, "crv": "Ed25519", "x": x})
            }
        }
    }

    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.secret {
            Secret::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = match algorithm {
                    Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
                    other => panic!("{other} is not for RSA"),
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Secret::Ec { pair, .. } => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Secret::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// The two INTEGERs of a DER RSAPublicKey, as base64url numbers.
fn rsa_numbers(der: &[u8]) -> (String, String) {
    fn element<'d>(der: &mut &'d [u8]) -> &'d [u8] {
        let (mut length, mut start) = (usize::from(der[1]), 2);
        if length & 0x80 != 0 {
            start += length & 0x7f;
            length = der[2..start]
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        }
        let (content, rest) = der[start..].split_at(length);
        *der = rest;
        content
    }
    let mut sequence = element(&mut { der });
    let mut number = || {
        let content = element(&mut sequence);
        encode_base64url(content.strip_prefix(&[0]).unwrap_or(content))
    };
    (number(), number())
}

pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "system:serviceaccount:default:worker",
        "iat": NOW - 10,
        "exp": NOW + 600,
    })
}

/// The claims with members replaced, or removed where the value is `Value::Null`.
pub(crate) fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            _ => claims
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
    claims
}

pub(crate) fn header(algorithm: Algorithm) -> Value {
    json!({"alg": algorithm.name(), "kid": key_for(algorithm).kid, "typ": "JWT"})
}

/// A token signed by the key that serves `algorithm`, whatever the header claims.
pub(crate) fn token(algorithm: Algorithm, header: &Value, claims: &Value) -> String {
    raw_token(algorithm, &header.to_string(), &claims.to_string())
}

/// As [`token`], with header and payload as text that need not be valid JSON.
pub(crate) fn raw_token(algorithm: Algorithm, header: &str, payload: &str) -> String {
    let input = format!("{}.{}", encode_base64url(header), encode_base64url(payload));
    let signature = key_for(algorithm).sign(algorithm, input.as_bytes());
    format!("{input}.{}", encode_base64url(signature))
}

/// The usual claims under this header, with any bytes for a signature.
pub(crate) fn unsigned(header: &Value, signature: &[u8]) -> String {
    let (header, claims) = (header.to_string(), claims().to_string());
    let segments = [
        encode_base64url(header),
        encode_base64url(claims),
        encode_base64url(signature),
    ];
    segments.join(".")
}

/// An ES256 token with these claims.
pub(crate) fn token_of(claims: &Value) -> String {
    token(Algorithm::Es256, &header(Algorithm::Es256), claims)
}

/// A well-signed ES256 token with this header.
pub(crate) fn token_under(header: &Value) -> String {
    token(Algorithm::Es256, header, &claims())
}

pub(crate) fn policy() -> TrustPolicy {
    TrustPolicy::new(ISSUER, AUDIENCE, OWN_ISSUER).unwrap()
}

/// Both steps for one token, with the default skew.
pub(crate) fn verify(
    token: &str,
    policy: &TrustPolicy,
    keys: &KeySet,
    now: i64,
) -> Result<VerifiedClaims, Refusal> {
    Presented::read(token, DEFAULT_SKEW_SECONDS, now)?.verify(policy, keys)
}

pub(crate) fn check(token: &str) -> Result<VerifiedClaims, Refusal> {
    verify(token, &policy(), &KEYS, NOW)
}

/// The code of the refusal that the token must meet.
pub(crate) fn refused(token: &str) -> &'static str {
    let refusal = check(token).expect_err("the token must be refused");
    let sentence = refusal.to_string();
    assert!(sentence.ends_with('.'), "{sentence}");
    assert!(token.len() < 40 || !sentence.contains(token), "{sentence}");
    refusal.code()
}
