//! Verification of subject tokens: RFC 7519 §7.2 with the rules of RFC 8725.
//!
//! The caller chose the provider by the request's id, so the policy and the keys are fixed before
//! the token is looked at. Checks go from cheap to dear: form, algorithm, claims, key, signature.
//! Reading claims first is safe because nothing leaves [`verify`] unless the signature holds, and
//! it means that a stale or foreign token costs no cryptography and, above all, no key refresh:
//! [`Refusal::UnknownKid`] is only reported for a token whose claims would have passed.

use std::fmt;

use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::issuer::same_issuer;
use crate::jwk::SignatureFault;
use crate::jwks::{KeySet, Lookup};
use crate::jwt::{UnverifiedJwt, parse};
use crate::policy::TrustPolicy;
use crate::refusal::Refusal;
use crate::text::quote;

/// Longest accepted `sub`, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 4096;
/// Numbers beyond this are not exact in JSON implementations that use doubles (RFC 8259 §6).
const MAX_EXACT_NUMBER: f64 = 9_007_199_254_740_992.0;

/// The claims of a token whose signature and claims were verified.
#[derive(Clone, PartialEq)]
pub struct VerifiedClaims {
    claims: Map<String, Value>,
    kid: String,
    algorithm: Algorithm,
    times: Times,
}

impl VerifiedClaims {
    /// `iss` as the token spells it.
    pub fn iss(&self) -> &str {
        self.text("iss")
    }

    pub fn sub(&self) -> &str {
        self.text("sub")
    }

    /// Expiry in Unix seconds; fractions are rounded down.
    pub fn exp(&self) -> i64 {
        self.times.exp
    }

    /// Time of issue in Unix seconds; fractions are rounded down.
    pub fn iat(&self) -> i64 {
        self.times.iat
    }

    /// `jti`, if it is a non-empty string.
    pub fn jti(&self) -> Option<&str> {
        self.claims
            .get("jti")
            .and_then(Value::as_str)
            .filter(|jti| !jti.is_empty())
    }

    /// Every claim as the token has it.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// `kid` of the key that verified the signature.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn text(&self, claim: &str) -> &str {
        self.claims
            .get(claim)
            .and_then(Value::as_str)
            .expect("verify() checked this claim")
    }

    #[cfg(test)]
    pub(crate) fn for_matching(claims: Map<String, Value>) -> Self {
        let times = Times { exp: 2, iat: 1 };
        Self {
            claims,
            kid: "k".to_owned(),
            algorithm: Algorithm::Es256,
            times,
        }
    }
}

/// Claims are personal data as often as not, so only the key and the times are shown.
impl fmt::Debug for VerifiedClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedClaims")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    exp: i64,
    iat: i64,
}

/// Verifies a subject token against one provider. `now` is in Unix seconds.
pub fn verify(
    token: &str,
    policy: &TrustPolicy,
    keys: &KeySet,
    now: i64,
) -> Result<VerifiedClaims, Refusal> {
    let jwt = parse(token)?;
    let algorithm = jwt.header.algorithm;
    if !policy.algorithms.contains(algorithm) {
        return Err(Refusal::AlgorithmNotAllowed { algorithm });
    }
    check_issuer(&jwt.claims, policy)?;
    check_audience(&jwt.claims, policy)?;
    check_subject(&jwt.claims)?;
    let times = check_times(&jwt.claims, policy, now)?;
    check_signature(&jwt, keys)?;
    Ok(VerifiedClaims {
        claims: jwt.claims,
        kid: jwt.header.kid,
        algorithm,
        times,
    })
}

fn check_signature(jwt: &UnverifiedJwt<'_>, keys: &KeySet) -> Result<(), Refusal> {
    let kid = || quote(&jwt.header.kid);
    let algorithm = jwt.header.algorithm;
    let key = match keys.lookup(&jwt.header.kid) {
        Lookup::Found(key) => key,
        Lookup::Unusable(problem) => {
            return Err(Refusal::KeyUnusable {
                kid: kid(),
                problem: problem.clone(),
            });
        }
        Lookup::Unknown => return Err(Refusal::UnknownKid { kid: kid() }),
    };
    key.verify(algorithm, jwt.signing_input, &jwt.signature)
        .map_err(|fault| match fault {
            SignatureFault::AlgorithmMismatch => Refusal::KeyAlgorithmMismatch {
                kid: kid(),
                algorithm,
            },
            SignatureFault::Invalid => Refusal::SignatureInvalid { kid: kid() },
        })
}

fn check_issuer(claims: &Map<String, Value>, policy: &TrustPolicy) -> Result<(), Refusal> {
    let iss = text_claim(claims, "iss")?;
    if same_issuer(iss, &policy.own_issuer) {
        return Err(Refusal::OwnToken);
    }
    if !same_issuer(iss, &policy.issuer) {
        return Err(Refusal::IssuerMismatch {
            expected: quote(&policy.issuer),
            got: quote(iss),
        });
    }
    Ok(())
}

/// RFC 7519 §4.1.3. Every element of a list must be a string, not only the one that matches.
fn check_audience(claims: &Map<String, Value>, policy: &TrustPolicy) -> Result<(), Refusal> {
    const CLAIM: &str = "aud";
    let invalid = |reason| Refusal::ClaimInvalid {
        claim: CLAIM,
        reason,
    };
    let audiences: Vec<&str> = match claims.get(CLAIM) {
        None => return Err(Refusal::ClaimMissing { claim: CLAIM }),
        Some(Value::String(audience)) => vec![audience],
        Some(Value::Array(list)) if list.is_empty() => return Err(invalid("is an empty list")),
        Some(Value::Array(list)) => list
            .iter()
            .map(Value::as_str)
            .collect::<Option<_>>()
            .ok_or_else(|| invalid("has an element that is not a string"))?,
        Some(_) => return Err(invalid("is neither a string nor a list of strings")),
    };
    if audiences.contains(&policy.audience.as_str()) {
        return Ok(());
    }
    let expected = quote(&policy.audience);
    Err(Refusal::AudienceMismatch {
        expected,
        got: quote(&audiences.join(" ")),
    })
}

fn check_subject(claims: &Map<String, Value>) -> Result<(), Refusal> {
    let subject = text_claim(claims, "sub")?;
    let invalid = |reason| {
        Err(Refusal::ClaimInvalid {
            claim: "sub",
            reason,
        })
    };
    if subject.is_empty() {
        invalid("is empty")
    } else if subject.len() > MAX_SUBJECT_BYTES {
        invalid("is longer than 4096 bytes")
    } else if subject.chars().any(char::is_control) {
        invalid("contains a control character")
    } else {
        Ok(())
    }
}

fn check_times(
    claims: &Map<String, Value>,
    policy: &TrustPolicy,
    now: i64,
) -> Result<Times, Refusal> {
    let exp = required_time(claims, "exp")?;
    let iat = required_time(claims, "iat")?;
    let nbf = time_claim(claims, "nbf")?;
    let skew = policy.skew_seconds;
    let tolerance = i64::from(skew);
    if exp <= iat {
        return Err(Refusal::ExpiryNotAfterIssue { exp, iat });
    }
    if now >= exp.saturating_add(tolerance) {
        return Err(Refusal::Expired { exp, now, skew });
    }
    if iat > now.saturating_add(tolerance) {
        return Err(Refusal::IssuedInFuture { iat, now, skew });
    }
    if let Some(nbf) = nbf
        && nbf > now.saturating_add(tolerance)
    {
        return Err(Refusal::NotYetValid { nbf, now, skew });
    }
    if let Some(max) = policy.max_lifetime_seconds
        && exp - iat > i64::from(max)
    {
        return Err(Refusal::LifetimeTooLong {
            seconds: exp - iat,
            max,
        });
    }
    Ok(Times { exp, iat })
}

fn required_time(claims: &Map<String, Value>, claim: &'static str) -> Result<i64, Refusal> {
    time_claim(claims, claim)?.ok_or(Refusal::ClaimMissing { claim })
}

/// A NumericDate (RFC 7519 §2), in whole seconds rounded down. Strings of digits are not numbers.
fn time_claim(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<i64>, Refusal> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    let Some(seconds) = value.as_f64() else {
        return Err(Refusal::ClaimInvalid {
            claim,
            reason: "is not a number",
        });
    };
    if seconds.is_finite() && seconds.abs() <= MAX_EXACT_NUMBER {
        Ok(Some(seconds.floor() as i64))
    } else {
        Err(Refusal::ClaimInvalid {
            claim,
            reason: "is beyond 2^53 seconds",
        })
    }
}

fn text_claim<'c>(claims: &'c Map<String, Value>, claim: &'static str) -> Result<&'c str, Refusal> {
    match claims.get(claim) {
        None => Err(Refusal::ClaimMissing { claim }),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Refusal::ClaimInvalid {
            claim,
            reason: "is not a string",
        }),
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
