//! One JSON Web Key (RFC 7517) turned into something that verifies signatures.
//!
//! A key decides by its own type, curve, `alg`, `use` and `key_ops` which algorithms it serves;
//! the verifiers for exactly those are built once, here. A token's `alg` is later only looked up
//! among them, so no token can make an RSA key act as an HMAC secret or change curve.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, VerificationAlgorithm};
use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::jwt::MAX_KID_BYTES;
use crate::text::{decode_base64url, quote};

const MIN_RSA_BITS: usize = 2048;
/// The work of a verification grows with the square of the modulus, so it is bounded too.
const MAX_RSA_BITS: usize = 8192;
const MAX_RSA_EXPONENT_BYTES: usize = 4;
/// Most leading zero octets that an EC coordinate may lack. A coordinate that lacks more than this
/// by chance occurs once in 2^40 keys, so a shorter one was cut off.
const MAX_COORDINATE_PADDING: usize = 4;
/// RFC 7517 §4, RFC 7518 §6.2.2, §6.3.2, §6.4.1: members that only a private or shared key has.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A public key, ready to verify.
#[derive(Debug)]
pub struct PublicKey {
    kid: String,
    padded: bool,
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureFault {
    /// The key does not serve this algorithm at all.
    AlgorithmMismatch,
    Invalid,
}

impl PublicKey {
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithms that this key may be used with.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.verifiers.iter().map(|(algorithm, _)| *algorithm)
    }

    pub(crate) fn serves(&self, algorithm: Algorithm) -> bool {
        self.algorithms().any(|served| served == algorithm)
    }

    /// Whether a coordinate came without its leading zeros, against RFC 7518 §6.2.1.2.
    pub(crate) fn was_padded(&self) -> bool {
        self.padded
    }

    pub(crate) fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureFault> {
        let (_, verifier) = self
            .verifiers
            .iter()
            .find(|(served, _)| *served == algorithm)
            .ok_or(SignatureFault::AlgorithmMismatch)?;
        verifier
            .verify_sig(message, signature)
            .map_err(|_| SignatureFault::Invalid)
    }
}

/// What is wrong with one member of a key; reads on after its path, as in `keys[2].kid is missing`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwkProblem {
    #[error("is not a JSON object")]
    NotAnObject,
    #[error("is missing")]
    Missing,
    #[error("must be a string")]
    NotAString,
    #[error("must not be empty")]
    Empty,
    #[error("is longer than {max} bytes")]
    TooLong { max: usize },
    #[error("contains a control character")]
    ControlCharacter,
    #[error("repeats the kid of `keys[{earlier}]`; every key needs a kid of its own")]
    DuplicateKid { earlier: usize },
    #[error(
        "is private key material; publish and upload public keys only, and replace this key, \
         because it has now been disclosed"
    )]
    PrivateMaterial,
    #[error("is \"oct\", a shared secret; only asymmetric keys (RSA, EC, OKP) are accepted")]
    Symmetric,
    #[error("is {0}, which is not one of RSA, EC, OKP")]
    UnsupportedType(String),
    #[error("is {0}, which is not one of P-256, P-384, P-521 (EC) or Ed25519 (OKP)")]
    UnsupportedCurve(String),
    #[error("is {0}, which this key cannot be used with")]
    AlgorithmMismatch(String),
    #[error("is {0}; a key that verifies tokens has the use \"sig\" or none")]
    WrongUse(String),
    #[error("must be a list of strings without repeats that contains \"verify\"")]
    WrongKeyOps,
    #[error("is not base64url without padding")]
    NotBase64Url,
    #[error("must decode to {expected} bytes for this curve, but decodes to {got}")]
    WrongLength { expected: usize, got: usize },
    #[error("is an RSA modulus of {bits} bits; accepted are {MIN_RSA_BITS} to {MAX_RSA_BITS}")]
    ModulusSize { bits: usize },
    #[error("is not an odd number, so it is no RSA modulus")]
    ModulusEven,
    #[error("must be an odd number from 3 to 2^32")]
    Exponent,
    #[error("is not a point of the curve (together with y)")]
    NotOnCurve,
    #[error("is a point of small order, for which anybody can forge signatures")]
    SmallOrder,
    #[error("was refused by the cryptographic library")]
    Rejected,
}

/// A problem and the member that has it (empty for the key as a whole).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JwkFault {
    pub(crate) member: &'static str,
    pub(crate) problem: JwkProblem,
}

/// Reads and checks one key. Members that RFC 7517 does not have us know are ignored (§4).
pub(crate) fn parse_key(value: &Value) -> Result<PublicKey, JwkFault> {
    let Value::Object(jwk) = value else {
        return Err(fault("", JwkProblem::NotAnObject));
    };
    let kty = string(jwk, "kty")?;
    if kty == "oct" {
        return Err(fault("kty", JwkProblem::Symmetric));
    }
    if let Some(member) = PRIVATE_MEMBERS
        .into_iter()
        .find(|member| jwk.get(*member).is_some_and(|value| !is_absent(value)))
    {
        return Err(fault(member, JwkProblem::PrivateMaterial));
    }
    let kid = key_id(jwk)?;
    check_use(jwk)?;
    let (mut verifiers, padded) = match kty {
        "RSA" => (rsa(jwk)?, false),
        "EC" => elliptic(jwk)?,
        "OKP" => (edwards(jwk)?, false),
        other => return Err(fault("kty", JwkProblem::UnsupportedType(quote(other)))),
    };
    if let Some(name) = optional_string(jwk, "alg")?.filter(|name| !name.is_empty()) {
        let named = Algorithm::from_name(name);
        verifiers.retain(|(algorithm, _)| Some(*algorithm) == named);
        if verifiers.is_empty() {
            return Err(fault("alg", JwkProblem::AlgorithmMismatch(quote(name))));
        }
    }
    Ok(PublicKey {
        kid,
        padded,
        verifiers,
    })
}

/// The kid of a key that [`parse_key`] refused, for failing closed under that name.
pub(crate) fn claimed_kid(value: &Value) -> Option<&str> {
    value
        .get("kid")
        .and_then(Value::as_str)
        .filter(|kid| kid.len() <= MAX_KID_BYTES)
}

fn key_id(jwk: &Map<String, Value>) -> Result<String, JwkFault> {
    let kid = string(jwk, "kid")?;
    let problem = if kid.is_empty() {
        JwkProblem::Empty
    } else if kid.len() > MAX_KID_BYTES {
        JwkProblem::TooLong { max: MAX_KID_BYTES }
    } else if kid.chars().any(char::is_control) {
        JwkProblem::ControlCharacter
    } else {
        return Ok(kid.to_owned());
    };
    Err(fault("kid", problem))
}

/// RFC 7517 §4.2, §4.3. `jwt-svid` is the `use` that SPIFFE bundles give to JWT keys
/// (SPIFFE Trust Domain and Bundle §4.2.2).
fn check_use(jwk: &Map<String, Value>) -> Result<(), JwkFault> {
    if let Some(purpose) = optional_string(jwk, "use")?.filter(|purpose| !purpose.is_empty())
        && !matches!(purpose, "sig" | "jwt-svid")
    {
        return Err(fault("use", JwkProblem::WrongUse(quote(purpose))));
    }
    let Some(operations) = jwk.get("key_ops").filter(|value| !is_absent(value)) else {
        return Ok(());
    };
    let names: Option<Vec<&str>> = operations
        .as_array()
        .and_then(|list| list.iter().map(Value::as_str).collect());
    match names {
        Some(names)
            if names.contains(&"verify")
                && names
                    .iter()
                    .enumerate()
                    .all(|(i, name)| !names[..i].contains(name)) =>
        {
            Ok(())
        }
        _ => Err(fault("key_ops", JwkProblem::WrongKeyOps)),
    }
}

/// What an RSA key verifies with each algorithm.
pub(crate) static RSA_USES: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::Rs256, &signature::RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::Rs384, &signature::RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::Rs512, &signature::RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::Ps256, &signature::RSA_PSS_2048_8192_SHA256),
    (Algorithm::Ps384, &signature::RSA_PSS_2048_8192_SHA384),
    (Algorithm::Ps512, &signature::RSA_PSS_2048_8192_SHA512),
];

fn rsa(jwk: &Map<String, Value>) -> Result<Vec<(Algorithm, ParsedPublicKey)>, JwkFault> {
    // RFC 7518 §6.3.1.1 forbids a leading zero octet and admits that libraries emit one. It
    // changes nothing about the number, so it is dropped.
    let modulus = without_leading_zeros(octets(jwk, "n")?);
    let exponent = without_leading_zeros(octets(jwk, "e")?);
    let bits = bit_length(&modulus);
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(fault("n", JwkProblem::ModulusSize { bits }));
    }
    if !is_odd(&modulus) {
        return Err(fault("n", JwkProblem::ModulusEven));
    }
    if exponent.len() > MAX_RSA_EXPONENT_BYTES || !is_odd(&exponent) || exponent == [1] {
        return Err(fault("e", JwkProblem::Exponent));
    }
    let components = PublicKeyComponents {
        n: modulus,
        e: exponent,
    };
    RSA_USES
        .iter()
        .map(|&(algorithm, parameters)| {
            let key = components
                .to_parsed_public_key(parameters)
                .map_err(|_| fault("n", JwkProblem::Rejected))?;
            Ok((algorithm, key))
        })
        .collect()
}

/// The verifiers, and whether a coordinate had to be padded.
fn elliptic(
    jwk: &Map<String, Value>,
) -> Result<(Vec<(Algorithm, ParsedPublicKey)>, bool), JwkFault> {
    let (algorithm, verification, length): (_, &'static dyn VerificationAlgorithm, usize) =
        match string(jwk, "crv")? {
            "P-256" => (Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED, 32),
            "P-384" => (Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED, 48),
            "P-521" => (Algorithm::Es512, &signature::ECDSA_P521_SHA512_FIXED, 66),
            other => return Err(fault("crv", JwkProblem::UnsupportedCurve(quote(other)))),
        };
    // SEC 1 §2.3.3, uncompressed. The library checks that the point lies on the curve.
    let mut point = vec![4];
    let mut padded = false;
    for member in ["x", "y"] {
        let bytes = octets(jwk, member)?;
        let missing = length.saturating_sub(bytes.len());
        if bytes.len() > length || missing > MAX_COORDINATE_PADDING {
            return Err(wrong_length(member, length, bytes.len()));
        }
        padded |= missing > 0;
        point.resize(point.len() + missing, 0);
        point.extend(bytes);
    }
    let key = ParsedPublicKey::new(verification, point)
        .map_err(|_| fault("x", JwkProblem::NotOnCurve))?;
    Ok((vec![(algorithm, key)], padded))
}

fn edwards(jwk: &Map<String, Value>) -> Result<Vec<(Algorithm, ParsedPublicKey)>, JwkFault> {
    let curve = string(jwk, "crv")?;
    if curve != "Ed25519" {
        return Err(fault("crv", JwkProblem::UnsupportedCurve(quote(curve))));
    }
    let point = octets(jwk, "x")?;
    if point.len() != signature::ED25519_PUBLIC_KEY_LEN {
        let expected = signature::ED25519_PUBLIC_KEY_LEN;
        return Err(wrong_length("x", expected, point.len()));
    }
    if has_small_order(&point) {
        return Err(fault("x", JwkProblem::SmallOrder));
    }
    let key = ParsedPublicKey::new(&signature::ED25519, point)
        .map_err(|_| fault("x", JwkProblem::Rejected))?;
    Ok(vec![(Algorithm::EdDsa, key)])
}

fn wrong_length(member: &'static str, expected: usize, got: usize) -> JwkFault {
    fault(member, JwkProblem::WrongLength { expected, got })
}

/// Serializers write members that a key does not have as null or empty. They say nothing: above
/// all not that a private key was disclosed.
fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// The eight points whose order divides 8, in each encoding that decoders accept, without the
/// sign bit. A signature by such a "key" can be made without any secret.
const SMALL_ORDER_POINTS: [[u8; 32]; 7] = {
    let mut order_2 = [0xff; 32];
    order_2[0] = 0xec;
    order_2[31] = 0x7f;
    let mut zero_plus_p = order_2;
    zero_plus_p[0] = 0xed;
    let mut one_plus_p = order_2;
    one_plus_p[0] = 0xee;
    let mut one = [0; 32];
    one[0] = 1;
    [
        [0; 32],
        one,
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
        order_2,
        zero_plus_p,
        one_plus_p,
    ]
};

fn has_small_order(point: &[u8]) -> bool {
    SMALL_ORDER_POINTS.iter().any(|small| {
        point.len() == small.len()
            && point[..31] == small[..31]
            && point[31] & 0x7f == small[31] & 0x7f
    })
}

fn string<'j>(jwk: &'j Map<String, Value>, member: &'static str) -> Result<&'j str, JwkFault> {
    optional_string(jwk, member)?.ok_or_else(|| fault(member, JwkProblem::Missing))
}

fn optional_string<'j>(
    jwk: &'j Map<String, Value>,
    member: &'static str,
) -> Result<Option<&'j str>, JwkFault> {
    match jwk.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(fault(member, JwkProblem::NotAString)),
    }
}

fn octets(jwk: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, JwkFault> {
    decode_base64url(string(jwk, member)?).ok_or_else(|| fault(member, JwkProblem::NotBase64Url))
}

fn without_leading_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}

fn bit_length(number: &[u8]) -> usize {
    number
        .first()
        .map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|byte| byte % 2 == 1)
}

fn fault(member: &'static str, problem: JwkProblem) -> JwkFault {
    JwkFault { member, problem }
}

#[cfg(test)]
#[path = "jwk_tests.rs"]
mod tests;
