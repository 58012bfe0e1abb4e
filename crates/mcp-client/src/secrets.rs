//! What a request sends along for a server: `authorization` and `headers`.
//!
//! Easy to break: this type prints nothing and serialises nowhere; the ways out
//! are [`Credentials::seal_text`], for encryption, and within this module the
//! request itself and the [redactor](super::redact).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// Headers of one server.
const MAX_HEADERS: usize = 32;
/// Their names and values together, and `authorization` alone.
const MAX_BYTES: usize = 16 * 1024;
/// Headers that the protocol or the connection owns.
const OWNED: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const PROTOCOL_PREFIX: &str = "mcp-";

/// What goes along with every message to a server.
#[derive(Clone, Default)]
pub struct Credentials {
    authorization: Option<SecretString>,
    headers: Vec<(HeaderName, SecretString)>,
}

/// Why credentials are refused. Display is for the caller and holds no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    #[error("'authorization' must be an OAuth access token of visible ASCII characters.")]
    Authorization,
    #[error("'headers' must be an object whose values are strings.")]
    Shape,
    #[error("{0} is not the name of an HTTP header.")]
    Name(String),
    #[error("The value of the header {0} holds characters that no header may hold.")]
    Value(HeaderName),
    #[error("The header {0} cannot be set: it belongs to the protocol or the connection.")]
    Owned(HeaderName),
    #[error(
        "'authorization' and an Authorization header are both given; give only one of the two."
    )]
    Twice,
    #[error("There are more than {MAX_HEADERS} headers, or more than {MAX_BYTES} bytes of them.")]
    TooLarge,
}

impl Credentials {
    /// Reads the two fields of a tool. A token may be written with its
    /// `Bearer ` in front.
    pub fn read(
        authorization: Option<&str>,
        headers: Option<&Value>,
    ) -> Result<Self, CredentialsError> {
        let authorization = authorization
            .map(|token| {
                let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
                let fine = !token.is_empty()
                    && token.len() <= MAX_BYTES
                    && token.bytes().all(|byte| byte.is_ascii_graphic());
                fine.then(|| SecretString::from(token.to_owned()))
                    .ok_or(CredentialsError::Authorization)
            })
            .transpose()?;
        let headers = match headers {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(headers)) => read_headers(headers)?,
            Some(_) => return Err(CredentialsError::Shape),
        };
        if authorization.is_some()
            && headers
                .iter()
                .any(|(name, _)| name == header::AUTHORIZATION)
        {
            return Err(CredentialsError::Twice);
        }
        Ok(Self {
            authorization,
            headers,
        })
    }

    /// The values with the names of their headers, to find them in what a server says.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value));
        let authorization = self.authorization.iter();
        authorization
            .map(|token| (header::AUTHORIZATION.as_str(), token))
            .chain(headers)
    }

    /// Puts them into a request. They are marked as secrets there.
    pub(crate) fn apply(&self, to: &mut HeaderMap) {
        let sensitive = |text: &str| {
            let mut value = HeaderValue::from_str(text).expect("checked when it was read");
            value.set_sensitive(true);
            value
        };
        for (name, value) in &self.headers {
            to.append(name, sensitive(value.expose_secret()));
        }
        if let Some(token) = &self.authorization {
            let value = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
            to.insert(header::AUTHORIZATION, sensitive(&value));
        }
    }

    /// Everything as text, to be encrypted at once; [`Credentials::unseal`]
    /// reads it.
    pub fn seal_text(&self) -> Zeroizing<String> {
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.expose_secret().into()))
            .collect();
        let authorization = self.authorization.as_ref().map(ExposeSecret::expose_secret);
        Zeroizing::new(
            serde_json::json!({"authorization": authorization, "headers": headers}).to_string(),
        )
    }

    /// The reverse of [`Credentials::seal_text`]; `None` for anything else.
    pub fn unseal(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        Self::read(value["authorization"].as_str(), Some(&value["headers"])).ok()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(********)")
    }
}

fn read_headers(
    headers: &Map<String, Value>,
) -> Result<Vec<(HeaderName, SecretString)>, CredentialsError> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_BYTES {
        return Err(CredentialsError::TooLarge);
    }
    headers
        .iter()
        .map(|(text, value)| {
            let name = HeaderName::from_bytes(text.as_bytes())
                .map_err(|_| CredentialsError::Name(quote(text)))?;
            if OWNED.contains(&name.as_str()) || name.as_str().starts_with(PROTOCOL_PREFIX) {
                return Err(CredentialsError::Owned(name));
            }
            let value = value.as_str().ok_or(CredentialsError::Shape)?;
            if HeaderValue::from_str(value).is_err() {
                return Err(CredentialsError::Value(name));
            }
            Ok((name, SecretString::from(value.to_owned())))
        })
        .collect()
}

/// The beginning of a name that is none, printable.
fn quote(text: &str) -> String {
    let start: String = text.chars().take(64).collect();
    format!("'{}'", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_prints_and_everything_arrives() {
        let headers = json!({"X-Key": "s3cret-key", "x-team": "a"});
        let credentials =
            Credentials::read(Some("Bearer s3cret-token"), Some(&headers)).expect("credentials");
        assert!(!format!("{credentials:?}").contains("s3cret"));
        let again = Credentials::unseal(&credentials.seal_text()).expect("what was sealed");
        for credentials in [credentials, again] {
            let mut map = HeaderMap::new();
            credentials.apply(&mut map);
            assert_eq!(map["authorization"], "Bearer s3cret-token");
            assert_eq!(map["x-key"], "s3cret-key");
            assert!(!format!("{map:?}").contains("s3cret"));
        }
    }

    #[test]
    fn what_cannot_be_a_header_is_refused_without_its_value() {
        for (authorization, headers, word) in [
            (Some("s3cret\r\nx: y"), json!(null), "authorization"),
            (Some(""), json!(null), "authorization"),
            (None, json!(["s3cret"]), "object"),
            (None, json!({"x": 1}), "strings"),
            (None, json!({"x y": "s3cret"}), "'x y'"),
            (None, json!({"x": "s3cret\n"}), "header x"),
            (None, json!({"Host": "s3cret"}), "header host"),
            (None, json!({"Mcp-Session-Id": "s3cret"}), "mcp-session-id"),
            (None, json!({"Transfer-Encoding": "chunked"}), "belongs to"),
            (
                Some("s3cret"),
                json!({"Authorization": "s3cret"}),
                "only one",
            ),
            (None, json!({"x": "s3cret".repeat(4000)}), "bytes"),
        ] {
            let refused = Credentials::read(authorization, Some(&headers))
                .expect_err(word)
                .to_string();
            assert!(refused.contains(word), "{refused}");
            assert!(!refused.contains("s3cret"), "{refused}");
        }
    }
}
