//! `verification` of a provider: where the keys come from that its tokens are checked with.
//!
//! [`KeySource::parse`] is the one reader, of what an operator sends and of what a store holds.
//! [`VerificationFields`] is the shape. Serde's own errors tell an API where the shape is wrong,
//! so reading it is a step of its own.

#![expect(
    clippy::option_option,
    reason = "absent, null and a value are three things in a provider's verification"
)]

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::jwks::{JwksError, KeySet};

/// Where a provider's keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// The issuer publishes them. The URL is the operator's own, in place of the issuer's.
    Discovery { url: Option<String> },
    /// The operator uploaded them.
    Uploaded {
        keys: KeySet,
        /// The key set as the operator sent it.
        document: Value,
    },
}

impl Default for KeySource {
    fn default() -> Self {
        Self::Discovery { url: None }
    }
}

/// The members of `verification`.
///
/// The key set stays text until [`KeySet::parse_uploaded`] reads it: a parsed value may have lost
/// members that came twice.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationFields {
    r#type: VerificationType,
    #[serde(default, deserialize_with = "given")]
    discovery_url: Option<Option<String>>,
    jwks: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VerificationType {
    Discovery,
    UploadedJwks,
}

/// Why a provider's `verification` is refused.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    #[error("`verification` has not the form that it is saved in: {0}.")]
    Shape(#[from] serde_json::Error),
    #[error("'verification.jwks' belongs to the type \"uploaded_jwks\" only.")]
    JwksWithDiscovery,
    #[error("'verification.discovery_url' belongs to the type \"discovery\" only.")]
    DiscoveryUrlWithJwks,
    #[error("Missing required parameter: 'verification.jwks'.")]
    JwksMissing,
    #[error("Invalid 'verification.jwks'. {0}")]
    Jwks(#[from] JwksError),
}

impl KeySourceError {
    /// Path of the field at fault, for an error's `param`.
    pub fn path(&self) -> String {
        match self {
            Self::Shape(_) => "verification".to_owned(),
            Self::DiscoveryUrlWithJwks => "verification.discovery_url".to_owned(),
            Self::JwksWithDiscovery | Self::JwksMissing => "verification.jwks".to_owned(),
            Self::Jwks(problem) => match problem.path() {
                Some(path) => format!("verification.jwks.{path}"),
                None => "verification.jwks".to_owned(),
            },
        }
    }
}

impl KeySource {
    pub fn parse(fields: VerificationFields) -> Result<Self, KeySourceError> {
        match fields.r#type {
            VerificationType::Discovery if fields.jwks.is_some() => {
                Err(KeySourceError::JwksWithDiscovery)
            }
            VerificationType::Discovery => Ok(Self::Discovery {
                url: fields.discovery_url.flatten(),
            }),
            VerificationType::UploadedJwks if fields.discovery_url.is_some() => {
                Err(KeySourceError::DiscoveryUrlWithJwks)
            }
            VerificationType::UploadedJwks => {
                let jwks = fields.jwks.ok_or(KeySourceError::JwksMissing)?;
                Ok(Self::Uploaded {
                    keys: KeySet::parse_uploaded(jwks.get().as_bytes())?,
                    document: serde_json::from_str(jwks.get())?,
                })
            }
        }
    }

    /// Reads what a store holds. Stores hold `null` for a provider whose source nobody ever set.
    pub fn stored(stored: &Value) -> Result<Self, KeySourceError> {
        if stored.is_null() {
            return Ok(Self::default());
        }
        // From text, not from the value: a `RawValue` can only be read from text.
        Self::parse(serde_json::from_str(&stored.to_string())?)
    }

    /// The form that the Admin API shows and stores hold.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Discovery { url } => json!({"type": "discovery", "discovery_url": url}),
            Self::Uploaded { document, .. } => json!({"type": "uploaded_jwks", "jwks": document}),
        }
    }
}

/// A member that is there, `null` too.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<KeySource, KeySourceError> {
        KeySource::parse(serde_json::from_str(text)?)
    }

    fn jwks() -> &'static str {
        r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#
    }

    #[test]
    fn stores_are_read_in_each_form_that_was_ever_written() {
        let url = json!({"type": "discovery", "discovery_url": "https://issuer.example/"});
        assert_eq!(KeySource::stored(&url).unwrap().to_json(), url);
        let default = json!({"type": "discovery", "discovery_url": null});
        assert_eq!(KeySource::stored(&default).unwrap().to_json(), default);
        assert_eq!(KeySource::stored(&Value::Null).unwrap().to_json(), default);
        let document: Value = serde_json::from_str(jwks()).unwrap();
        let uploaded = json!({"type": "uploaded_jwks", "jwks": document});
        assert_eq!(KeySource::stored(&uploaded).unwrap().to_json(), uploaded);
    }

    #[test]
    fn members_belong_to_one_type() {
        for (text, path) in [
            (r#"{"type": "discovery", "jwks": {}}"#, "verification.jwks"),
            (
                r#"{"type": "uploaded_jwks", "discovery_url": null, "jwks": {}}"#,
                "verification.discovery_url",
            ),
            (r#"{"type": "uploaded_jwks"}"#, "verification.jwks"),
            (
                r#"{"type": "uploaded_jwks", "jwks": {"keys": []}}"#,
                "verification.jwks.keys",
            ),
            (r#"{"type": "magic"}"#, "verification"),
        ] {
            assert_eq!(parse(text).unwrap_err().path(), path, "{text}");
        }
    }

    #[test]
    fn members_that_come_twice_are_seen() {
        let text = jwks().replacen(r#""kid": "a""#, r#""kid": "a", "kid": "b""#, 1);
        let text = format!(r#"{{"type": "uploaded_jwks", "jwks": {text}}}"#);
        assert!(matches!(
            parse(&text),
            Err(KeySourceError::Jwks(JwksError::DuplicateMember))
        ));
    }
}
