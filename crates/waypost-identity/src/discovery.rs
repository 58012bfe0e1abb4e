//! The provider's discovery document (OpenID Connect Discovery §3, RFC 8414 §2): of all it says,
//! only `issuer` and `jwks_uri` are read.

use outbound::AllowedUrl;
use serde_json::{Map, Value};

use crate::issuer::same_issuer;
use crate::issuer_url::{IssuerRules, IssuerUrlError};
use crate::json::{JsonFault, parse_object};
use crate::text::quote;

/// Largest accepted discovery document, in bytes.
pub const MAX_DISCOVERY_BYTES: usize = 64 * 1024;
const MAX_DISCOVERY_DEPTH: usize = 16;

/// What a discovery document says that matters here, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    pub issuer: String,
    pub jwks_uri: AllowedUrl,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    #[error(
        "The discovery document is {bytes} bytes long; at most {MAX_DISCOVERY_BYTES} are accepted."
    )]
    TooLarge { bytes: usize },
    #[error("The discovery document is not a JSON object.")]
    NotAnObject,
    #[error("The discovery document repeats a member name within one object.")]
    DuplicateMember,
    #[error("The discovery document is nested more than {MAX_DISCOVERY_DEPTH} levels deep.")]
    TooDeep,
    #[error("The discovery document has no string `{member}`.")]
    Missing { member: &'static str },
    #[error("The discovery document's `issuer` is {got}, but the provider's issuer is {expected}.")]
    IssuerMismatch { expected: String, got: String },
    #[error("The discovery document's `jwks_uri` is refused. {0}")]
    JwksUri(IssuerUrlError),
}

impl Discovery {
    /// Reads a document that was fetched for the provider with this `issuer`.
    ///
    /// Its own `issuer` must be the provider's (Discovery §4.3), unless the operator configured a
    /// custom discovery URL: that exists for documents which live under another name. Tokens must
    /// carry the provider's issuer either way.
    pub fn parse(
        bytes: &[u8],
        issuer: &str,
        custom_discovery_url: bool,
        rules: &IssuerRules,
    ) -> Result<Self, DiscoveryError> {
        if bytes.len() > MAX_DISCOVERY_BYTES {
            return Err(DiscoveryError::TooLarge { bytes: bytes.len() });
        }
        let document = parse_object(bytes, MAX_DISCOVERY_DEPTH).map_err(|fault| match fault {
            JsonFault::Syntax | JsonFault::NotAnObject => DiscoveryError::NotAnObject,
            JsonFault::DuplicateMember => DiscoveryError::DuplicateMember,
            JsonFault::TooDeep => DiscoveryError::TooDeep,
        })?;
        let found = string(&document, "issuer")?;
        if !custom_discovery_url && !same_issuer(found, issuer) {
            let (expected, got) = (quote(issuer), quote(found));
            return Err(DiscoveryError::IssuerMismatch { expected, got });
        }
        let jwks_uri = string(&document, "jwks_uri")?;
        let jwks_uri = rules.jwks_uri(jwks_uri).map_err(DiscoveryError::JwksUri)?;
        Ok(Self {
            issuer: found.to_owned(),
            jwks_uri,
        })
    }
}

fn string<'d>(
    document: &'d Map<String, Value>,
    member: &'static str,
) -> Result<&'d str, DiscoveryError> {
    document
        .get(member)
        .and_then(Value::as_str)
        .ok_or(DiscoveryError::Missing { member })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://issuer.example";

    fn parse(document: &Value, custom: bool) -> Result<Discovery, DiscoveryError> {
        let rules = IssuerRules::new(["http://127.0.0.1:9000"]).unwrap();
        Discovery::parse(document.to_string().as_bytes(), ISSUER, custom, &rules)
    }

    #[test]
    fn issuer_and_jwks_uri_are_read_and_the_rest_is_ignored() {
        let document = json!({
            "issuer": "https://issuer.example/",
            "jwks_uri": "https://keys.example/jwks?p=1",
            "scopes_supported": ["openid"],
        });
        let discovery = parse(&document, false).unwrap();
        assert_eq!(
            discovery.jwks_uri.url().as_str(),
            "https://keys.example/jwks?p=1"
        );
        assert_eq!(discovery.issuer, "https://issuer.example/");
    }

    #[test]
    fn a_foreign_issuer_needs_a_custom_discovery_url() {
        let document = json!({"issuer": "https://evil.example", "jwks_uri": "https://k.example/j"});
        let refused = parse(&document, false);
        assert!(
            matches!(refused, Err(DiscoveryError::IssuerMismatch { .. })),
            "{refused:?}"
        );
        assert!(parse(&document, true).is_ok());
    }

    #[test]
    fn a_jwks_uri_is_vetted_like_every_address() {
        for uri in [
            "http://keys.example/jwks",
            "https://169.254.169.254/latest",
            "https://localhost/jwks",
            "http://127.0.0.1:9001/jwks",
            "https://u:p@keys.example/jwks",
            "file:///etc/passwd",
        ] {
            let refused = parse(&json!({"issuer": ISSUER, "jwks_uri": uri}), false);
            assert!(
                matches!(refused, Err(DiscoveryError::JwksUri(_))),
                "{uri}: {refused:?}"
            );
        }
        let private = json!({"issuer": ISSUER, "jwks_uri": "http://127.0.0.1:9000/jwks"});
        assert!(parse(&private, false).is_ok());
    }

    #[test]
    fn broken_documents_are_refused() {
        let rules = IssuerRules::default();
        let parse = |bytes: &[u8]| Discovery::parse(bytes, ISSUER, false, &rules);
        assert_eq!(parse(b"<html>"), Err(DiscoveryError::NotAnObject));
        assert_eq!(parse(b"[]"), Err(DiscoveryError::NotAnObject));
        assert_eq!(
            parse(b"{}"),
            Err(DiscoveryError::Missing { member: "issuer" })
        );
        let twice = br#"{"issuer":"https://issuer.example","issuer":"https://evil.example"}"#;
        assert_eq!(parse(twice), Err(DiscoveryError::DuplicateMember));
        let no_uri = br#"{"issuer":"https://issuer.example","jwks_uri":null}"#;
        assert_eq!(
            parse(no_uri),
            Err(DiscoveryError::Missing { member: "jwks_uri" })
        );
        let bytes = MAX_DISCOVERY_BYTES + 1;
        assert_eq!(
            parse(&vec![b' '; bytes]),
            Err(DiscoveryError::TooLarge { bytes })
        );
    }
}
