//! The compact form of a signed JWT (RFC 7515 §7.1, RFC 7519 §3), read strictly.
//!
//! Nothing here is verified yet. The size is checked before anything is decoded, and the
//! segments are found without splitting into a list (a token of dots must not cost memory).
//! `jku`, `x5u`, `jwk` and `x5c` are never looked at: a token cannot bring or name its own key.

use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::json::{JsonFault, parse_object};
use crate::refusal::{Part, Refusal};
use crate::text::{decode_base64url, quote};

/// Largest accepted subject token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Deepest accepted nesting of a token's header or claims; the outer object is level 1.
pub const MAX_JSON_DEPTH: usize = 32;
/// Longest accepted `kid`, in bytes.
pub const MAX_KID_BYTES: usize = 256;
const ACCEPTED_TYPES: [&str; 3] = ["JWT", "JOSE", "at+jwt"];

/// What an unverified token says about itself: enough to fetch keys, not enough to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek {
    pub kid: String,
    pub algorithm: Algorithm,
    /// `iss`, if it is a string. Never choose a provider by it.
    pub issuer: Option<String>,
}

/// Reads `kid`, `alg` and `iss` of a well-formed token without verifying anything.
pub fn peek(token: &str) -> Result<Peek, Refusal> {
    let jwt = parse(token)?;
    let issuer = jwt
        .claims
        .get("iss")
        .and_then(Value::as_str)
        .map(str::to_owned);
    Ok(Peek {
        kid: jwt.header.kid,
        algorithm: jwt.header.algorithm,
        issuer,
    })
}

pub(crate) struct UnverifiedJwt<'t> {
    pub(crate) header: Header,
    pub(crate) claims: Map<String, Value>,
    /// Header and payload segments with the dot between them: what the signature covers.
    pub(crate) signing_input: &'t [u8],
    pub(crate) signature: Vec<u8>,
}

pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: String,
}

pub(crate) fn parse(token: &str) -> Result<UnverifiedJwt<'_>, Refusal> {
    let (header, payload, signature) = segments(token)?;
    let header = read_header(&object(header, Part::Header)?)?;
    let claims = object(payload, Part::Payload)?;
    let signature = decode_base64url(signature).ok_or(Refusal::NotBase64Url(Part::Signature))?;
    let signed = token.rfind('.').expect("segments() found two dots");
    Ok(UnverifiedJwt {
        header,
        claims,
        signing_input: &token.as_bytes()[..signed],
        signature,
    })
}

fn segments(token: &str) -> Result<(&str, &str, &str), Refusal> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::TokenTooLarge { bytes: token.len() });
    }
    if token.trim_start().starts_with('{') {
        return Err(Refusal::JsonSerialization);
    }
    let count = token.bytes().filter(|byte| *byte == b'.').count() + 1;
    match count {
        3 => {}
        5 => return Err(Refusal::Encrypted),
        segments => return Err(Refusal::NotCompact { segments }),
    }
    let (header, rest) = token.split_once('.').expect("two dots were counted");
    let (payload, signature) = rest.split_once('.').expect("two dots were counted");
    Ok((header, payload, signature))
}

fn object(segment: &str, part: Part) -> Result<Map<String, Value>, Refusal> {
    let bytes = decode_base64url(segment).ok_or(Refusal::NotBase64Url(part))?;
    parse_object(&bytes, MAX_JSON_DEPTH).map_err(|fault| match fault {
        JsonFault::Syntax => Refusal::NotJson(part),
        JsonFault::NotAnObject => Refusal::NotAnObject(part),
        JsonFault::DuplicateMember => Refusal::DuplicateMember(part),
        JsonFault::TooDeep => Refusal::TooDeep(part),
    })
}

fn read_header(header: &Map<String, Value>) -> Result<Header, Refusal> {
    // RFC 7515 §4.1.11: an extension that must be understood. None is, and an empty list is
    // itself an error. `b64` (RFC 7797) would change what the signature covers.
    if header.contains_key("crit") {
        return Err(Refusal::CriticalHeader);
    }
    if header.contains_key("b64") {
        return Err(Refusal::UnencodedPayload);
    }
    let algorithm = read_algorithm(header.get("alg"))?;
    check_type(header.get("typ"))?;
    let kid = read_kid(header.get("kid"))?;
    Ok(Header { algorithm, kid })
}

fn read_algorithm(alg: Option<&Value>) -> Result<Algorithm, Refusal> {
    let name = match alg {
        None => return Err(Refusal::AlgorithmMissing),
        Some(Value::String(name)) => name,
        Some(_) => return Err(Refusal::AlgorithmInvalid),
    };
    if name.eq_ignore_ascii_case("none") {
        return Err(Refusal::AlgorithmNone);
    }
    if name
        .get(..2)
        .is_some_and(|family| family.eq_ignore_ascii_case("HS"))
    {
        return Err(Refusal::AlgorithmSymmetric);
    }
    Algorithm::from_name(name).ok_or_else(|| Refusal::AlgorithmUnsupported {
        algorithm: quote(name),
    })
}

/// Types are case-insensitive, and `application/` may be left out (RFC 7515 §4.1.9).
fn is_accepted_type(typ: &str) -> bool {
    const PREFIX: &str = "application/";
    let short = match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => typ,
    };
    ACCEPTED_TYPES
        .iter()
        .any(|accepted| short.eq_ignore_ascii_case(accepted))
}

fn check_type(typ: Option<&Value>) -> Result<(), Refusal> {
    match typ {
        None => Ok(()),
        Some(Value::String(typ)) if is_accepted_type(typ) => Ok(()),
        Some(Value::String(typ)) => Err(Refusal::TypeNotAccepted { typ: quote(typ) }),
        Some(_) => Err(Refusal::TypeNotAccepted {
            typ: "a value that is no string".to_owned(),
        }),
    }
}

fn read_kid(kid: Option<&Value>) -> Result<String, Refusal> {
    let kid = match kid {
        None => return Err(Refusal::KidMissing),
        Some(Value::String(kid)) => kid,
        Some(_) => {
            return Err(Refusal::KidInvalid {
                reason: "is not a string",
            });
        }
    };
    if kid.is_empty() {
        Err(Refusal::KidInvalid { reason: "is empty" })
    } else if kid.len() > MAX_KID_BYTES {
        Err(Refusal::KidInvalid {
            reason: "is longer than 256 bytes",
        })
    } else if kid.chars().any(char::is_control) {
        Err(Refusal::KidInvalid {
            reason: "contains a control character",
        })
    } else {
        Ok(kid.clone())
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
