//! Verification of subject tokens: RFC 7519 §7.2 with the rules of RFC 8725.
//!
//! Two steps. [`Presented::read`] checks what the token shows by itself: form, claims that must be
//! there, times. Its refusals say nothing about this server, so callers may be told them.
//! [`Presented::verify`] checks the token against the provider that the request named (the token
//! never chooses it), from cheap to dear: algorithm, issuer, audience, key, signature. Reading
//! claims first is safe because nothing leaves it unless the signature holds, and it means that a
//! stale or foreign token causes, above all, no key refresh: [`Refusal::UnknownKid`] is only
//! reported for a token whose claims would have passed.

use std::fmt;

use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::decoy;
use crate::issuer::same_issuer;
use crate::jwk::{PublicKey, SignatureFault};
use crate::jwks::{KeySet, Lookup};
use crate::jwt::{UnverifiedJwt, parse};
use crate::policy::TrustPolicy;
use crate::refusal::Refusal;
use crate::text::quote;

/// Clock skew tolerated unless configured otherwise, in seconds.
pub const DEFAULT_SKEW_SECONDS: u32 = 60;
/// Largest skew that may be configured, in seconds.
pub const MAX_SKEW_SECONDS: u32 = 300;
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

/// A subject token that is in order by itself. Nothing of it is verified yet.
pub struct Presented<'t> {
    jwt: UnverifiedJwt<'t>,
    times: Times,
}

impl<'t> Presented<'t> {
    /// Reads a token. `now` is in Unix seconds; clocks may differ by `skew_seconds`.
    pub fn read(token: &'t str, skew_seconds: u32, now: i64) -> Result<Self, Refusal> {
        let jwt = parse(token)?;
        text_claim(&jwt.claims, "iss")?;
        audiences(&jwt.claims)?;
        check_subject(&jwt.claims)?;
        let times = check_times(&jwt.claims, skew_seconds, now)?;
        Ok(Self { jwt, times })
    }

    /// Expiry in Unix seconds, as the token says; fractions are rounded down.
    pub fn exp(&self) -> i64 {
        self.times.exp
    }

    /// Verifies the token against one provider. Whatever the verdict, it costs what verifying one
    /// signature does.
    pub fn verify(&self, policy: &TrustPolicy, keys: &KeySet) -> Result<VerifiedClaims, Refusal> {
        self.verify_unless_newer_keys_help(policy, keys)
            .inspect_err(|refusal| {
                if refusal.may_be_cured_by_new_keys() {
                    self.spend_a_verification();
                }
            })
    }

    /// As [`Presented::verify`], for keys of which there may be newer ones: where those could
    /// change the verdict, nothing was spent, since the token is looked at once more.
    pub fn verify_unless_newer_keys_help(
        &self,
        policy: &TrustPolicy,
        keys: &KeySet,
    ) -> Result<VerifiedClaims, Refusal> {
        self.check_policy(policy)
            .inspect_err(|_| self.spend_a_verification())?;
        let audiences = audiences(&self.jwt.claims)?;
        let admitted = audiences.contains(&policy.audience.as_str());
        let signature = match self.key(keys) {
            Ok(key) => self.check_signature(key),
            Err(unknown) if admitted && unknown.may_be_cured_by_new_keys() => return Err(unknown),
            Err(refusal) => {
                self.spend_a_verification();
                Err(refusal)
            }
        };
        if !admitted {
            return Err(Refusal::AudienceMismatch {
                expected: quote(&policy.audience),
                got: quote(&audiences.join(" ")),
                signed: signature.is_ok(),
            });
        }
        signature?;
        Ok(VerifiedClaims {
            claims: self.jwt.claims.clone(),
            kid: self.jwt.header.kid.clone(),
            algorithm: self.jwt.header.algorithm,
            times: self.times,
        })
    }

    /// Costs what verifying the signature would. For refusals that look at no signature, so that
    /// their time does not tell them apart from a signature that does not hold.
    pub fn spend_a_verification(&self) {
        let UnverifiedJwt {
            header,
            signing_input,
            signature,
            ..
        } = &self.jwt;
        decoy::spend(header.algorithm, signing_input, signature);
    }

    fn check_policy(&self, policy: &TrustPolicy) -> Result<(), Refusal> {
        let algorithm = self.jwt.header.algorithm;
        if !policy.algorithms.contains(algorithm) {
            return Err(Refusal::AlgorithmNotAllowed { algorithm });
        }
        check_issuer(&self.jwt.claims, policy)?;
        let seconds = self.times.exp - self.times.iat;
        match policy.max_lifetime_seconds {
            Some(max) if seconds > i64::from(max) => Err(Refusal::LifetimeTooLong { seconds, max }),
            _ => Ok(()),
        }
    }

    /// The key that the token names.
    fn key<'k>(&self, keys: &'k KeySet) -> Result<&'k PublicKey, Refusal> {
        let header = &self.jwt.header;
        let kid = || quote(&header.kid);
        match keys.lookup(&header.kid, header.algorithm) {
            Lookup::Found(key) => Ok(key),
            Lookup::Unusable(problem) => Err(Refusal::KeyUnusable {
                kid: kid(),
                problem: problem.clone(),
            }),
            Lookup::OtherAlgorithm => Err(Refusal::KeyAlgorithmMismatch {
                kid: kid(),
                algorithm: header.algorithm,
            }),
            Lookup::Unknown => Err(Refusal::UnknownKid { kid: kid() }),
        }
    }

    fn check_signature(&self, key: &PublicKey) -> Result<(), Refusal> {
        let jwt = &self.jwt;
        let kid = || quote(&jwt.header.kid);
        let algorithm = jwt.header.algorithm;
        key.verify(algorithm, jwt.signing_input, &jwt.signature)
            .map_err(|fault| match fault {
                SignatureFault::AlgorithmMismatch => Refusal::KeyAlgorithmMismatch {
                    kid: kid(),
                    algorithm,
                },
                SignatureFault::Invalid => Refusal::SignatureInvalid { kid: kid() },
            })
    }
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
fn audiences(claims: &Map<String, Value>) -> Result<Vec<&str>, Refusal> {
    const CLAIM: &str = "aud";
    let invalid = |reason| Refusal::ClaimInvalid {
        claim: CLAIM,
        reason,
    };
    match claims.get(CLAIM) {
        None => Err(Refusal::ClaimMissing { claim: CLAIM }),
        Some(Value::String(audience)) => Ok(vec![audience]),
        Some(Value::Array(list)) if list.is_empty() => Err(invalid("is an empty list")),
        Some(Value::Array(list)) => list
            .iter()
            .map(Value::as_str)
            .collect::<Option<_>>()
            .ok_or_else(|| invalid("has an element that is not a string")),
        Some(_) => Err(invalid("is neither a string nor a list of strings")),
    }
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

fn check_times(claims: &Map<String, Value>, skew: u32, now: i64) -> Result<Times, Refusal> {
    let exp = required_time(claims, "exp")?;
    let iat = required_time(claims, "iat")?;
    let nbf = time_claim(claims, "nbf")?;
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
