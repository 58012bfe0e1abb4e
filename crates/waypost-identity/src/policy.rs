//! What a provider's tokens must satisfy, as an operator configured it.

use crate::algorithm::AlgorithmSet;
use crate::issuer::is_own_issuer;

/// Longest issuer or audience that a provider may have, in bytes.
const MAX_POLICY_TEXT_BYTES: usize = 2048;

/// What one provider's tokens must satisfy.
#[derive(Debug, Clone)]
pub struct TrustPolicy {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) own_issuer: String,
    pub(crate) algorithms: AlgorithmSet,
    pub(crate) max_lifetime_seconds: Option<u32>,
}

/// Why a provider's trust settings are refused when they are saved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("`{field}` must not be empty.")]
    Empty { field: &'static str },
    #[error("`{field}` is longer than {MAX_POLICY_TEXT_BYTES} bytes.")]
    TooLong { field: &'static str },
    #[error("`{field}` contains a control character.")]
    ControlCharacter { field: &'static str },
    #[error(
        "`issuer` is this server's own issuer; its access tokens cannot be exchanged for others."
    )]
    OwnIssuer,
    #[error("At least one signature algorithm must be allowed.")]
    NoAlgorithm,
    #[error("The longest lifetime of a token must be at least one second.")]
    NoLifetime,
}

impl TrustPolicy {
    /// A policy with every supported algorithm and no limit on the lifetime.
    ///
    /// `own_issuer` is this server's issuer: it is refused as a provider's issuer, and so are
    /// tokens that carry it.
    pub fn new(issuer: &str, audience: &str, own_issuer: &str) -> Result<Self, PolicyError> {
        check_text("issuer", issuer)?;
        check_text("audience", audience)?;
        if is_own_issuer(issuer, own_issuer) {
            return Err(PolicyError::OwnIssuer);
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            own_issuer: own_issuer.to_owned(),
            algorithms: AlgorithmSet::ALL,
            max_lifetime_seconds: None,
        })
    }

    pub fn with_algorithms(self, algorithms: AlgorithmSet) -> Result<Self, PolicyError> {
        if algorithms.is_empty() {
            return Err(PolicyError::NoAlgorithm);
        }
        Ok(Self { algorithms, ..self })
    }

    /// The longest accepted span from `iat` to `exp`, in seconds.
    pub fn with_max_lifetime_seconds(self, seconds: u32) -> Result<Self, PolicyError> {
        if seconds == 0 {
            return Err(PolicyError::NoLifetime);
        }
        Ok(Self {
            max_lifetime_seconds: Some(seconds),
            ..self
        })
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub fn audience(&self) -> &str {
        &self.audience
    }
}

fn check_text(field: &'static str, text: &str) -> Result<(), PolicyError> {
    if text.is_empty() || text == "/" {
        Err(PolicyError::Empty { field })
    } else if text.len() > MAX_POLICY_TEXT_BYTES {
        Err(PolicyError::TooLong { field })
    } else if text.chars().any(char::is_control) {
        Err(PolicyError::ControlCharacter { field })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::{AUDIENCE, ISSUER, OWN_ISSUER};

    #[test]
    fn policies_are_checked_when_they_are_made() {
        let policy = |issuer, audience| TrustPolicy::new(issuer, audience, OWN_ISSUER).err();
        for own in [
            OWN_ISSUER,
            "https://waypost.example/",
            "https://WAYPOST.example:443",
        ] {
            assert_eq!(policy(own, AUDIENCE), Some(PolicyError::OwnIssuer), "{own}");
        }
        assert_eq!(
            policy("", AUDIENCE),
            Some(PolicyError::Empty { field: "issuer" })
        );
        assert_eq!(
            policy("/", AUDIENCE),
            Some(PolicyError::Empty { field: "issuer" })
        );
        assert_eq!(
            policy(ISSUER, ""),
            Some(PolicyError::Empty { field: "audience" })
        );
        assert_eq!(
            policy(ISSUER, "a\u{0}"),
            Some(PolicyError::ControlCharacter { field: "audience" })
        );
        let long = "x".repeat(2049);
        assert_eq!(
            policy(&long, AUDIENCE),
            Some(PolicyError::TooLong { field: "issuer" })
        );
        let nothing = crate::forge::policy().with_algorithms([].into_iter().collect());
        assert_eq!(nothing.unwrap_err(), PolicyError::NoAlgorithm);
    }
}
