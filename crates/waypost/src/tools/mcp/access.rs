//! How to reach the servers of one response: URLs and credentials, apart from
//! everything that is stored or shown.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, prelude::BASE64_STANDARD};
use mcp_client::Credentials;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::sealing::{MasterKey, MasterKeyError};

/// How to reach one server.
#[derive(Clone)]
pub struct Access {
    url: SecretString,
    pub credentials: Credentials,
}

/// Access to each server, by its label.
#[derive(Clone, Default)]
pub struct McpAccess(BTreeMap<String, Access>);

/// A job's sealed access that this server cannot open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the credentials of its MCP servers do not open: the master key has changed")]
pub struct Unreadable;

impl Access {
    pub fn new(url: &str, credentials: Credentials) -> Self {
        Self {
            url: SecretString::from(url.to_owned()),
            credentials,
        }
    }

    /// The whole URL; only for judging it and connecting.
    pub fn url(&self) -> &str {
        self.url.expose_secret()
    }
}

impl McpAccess {
    pub fn insert(&mut self, label: &str, access: Access) {
        self.0.insert(label.to_owned(), access);
    }

    pub fn get(&self, label: &str) -> Option<&Access> {
        self.0.get(label)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything, sealed for one response's job; `None` if there is nothing.
    pub fn seal(
        &self,
        key: &MasterKey,
        response_id: &str,
    ) -> Result<Option<String>, MasterKeyError> {
        if self.is_empty() {
            return Ok(None);
        }
        let each: Map<String, Value> = self
            .0
            .iter()
            .map(|(label, access)| {
                let sealed = json!([access.url(), *access.credentials.seal_text()]);
                (label.clone(), sealed)
            })
            .collect();
        let plain = Zeroizing::new(Value::Object(each).to_string());
        let sealed = key.seal(&purpose(response_id), plain.as_bytes())?;
        Ok(Some(BASE64_STANDARD.encode(sealed)))
    }

    /// The reverse of [`McpAccess::seal`].
    pub fn open(key: &MasterKey, response_id: &str, sealed: &str) -> Result<Self, Unreadable> {
        let sealed = BASE64_STANDARD.decode(sealed).map_err(|_| Unreadable)?;
        let plain = key
            .open(&purpose(response_id), &sealed)
            .map_err(|_| Unreadable)?;
        let each: BTreeMap<String, (String, String)> =
            serde_json::from_slice(&plain).map_err(|_| Unreadable)?;
        each.into_iter()
            .map(|(label, (url, credentials))| {
                let credentials = Credentials::unseal(&credentials).ok_or(Unreadable)?;
                Ok((label, Access::new(&url, credentials)))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// A sealed text opens in its own job only.
fn purpose(response_id: &str) -> String {
    format!("mcp servers of {response_id}")
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access(********)")
    }
}

impl fmt::Debug for McpAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("McpAccess").field(&self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_in_its_own_job_and_prints_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = MasterKey::load(None, dir.path(), false).expect("a key");
        let credentials =
            Credentials::read(Some("s3cret-token"), Some(&json!({"x-key": "s3cret-key"})))
                .expect("credentials");
        let mut access = McpAccess::default();
        assert!(access.seal(&key, "resp_1").expect("sealed").is_none());
        access.insert(
            "docs",
            Access::new("https://mcp.example.com/s3cret", credentials),
        );
        assert!(!format!("{access:?} {:?}", access.get("docs")).contains("s3cret"));
        let sealed = access
            .seal(&key, "resp_1")
            .expect("sealed")
            .expect("a text");
        assert!(!sealed.contains("s3cret"));
        let again = McpAccess::open(&key, "resp_1", &sealed).expect("opened");
        let access = again.get("docs").expect("access");
        assert_eq!(access.url(), "https://mcp.example.com/s3cret");
        assert!(access.credentials.seal_text().contains("s3cret-key"));
        assert_eq!(
            McpAccess::open(&key, "resp_2", &sealed).err(),
            Some(Unreadable)
        );
    }
}
