//! Control routes of the issuer, for tests in other languages.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::service::Shared;
use super::{Alg, Fault};

impl Shared {
    /// `{claims, header?, kid?}`, or `{header_text, payload_text, kid?}` for text that is signed
    /// as it is.
    pub(super) fn sign(&self, body: &[u8]) -> Result<Value, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Sign {
            #[serde(default)]
            claims: Value,
            #[serde(default)]
            header: Map<String, Value>,
            header_text: Option<String>,
            payload_text: Option<String>,
            kid: Option<String>,
        }
        let sign: Sign = read(body)?;
        let key = match &sign.kid {
            Some(kid) => self
                .key_named(kid)
                .ok_or_else(|| format!("no key is named `{kid}`"))?,
            None => self.key(),
        };
        let token = match (&sign.header_text, &sign.payload_text) {
            (Some(header), Some(payload)) => key.sign_text(header, payload),
            (None, None) => key.sign_with_header(&sign.header, &sign.claims),
            _ => return Err("`header_text` and `payload_text` go together".to_owned()),
        };
        Ok(json!({"token": token}))
    }

    /// `{sub, aud, lifetime?, claims?}`: a standard token, `claims` added or put over its own.
    pub(super) fn token(&self, body: &[u8]) -> Result<Value, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Token {
            sub: String,
            aud: Value,
            #[serde(default = "one_hour")]
            lifetime: i64,
            #[serde(default)]
            claims: Map<String, Value>,
        }
        let token: Token = read(body)?;
        let claims = self.claims(&token.sub, &token.aud, token.lifetime, token.claims);
        Ok(json!({"token": self.key().sign(&claims), "claims": claims}))
    }

    pub(super) fn rotate_from(&self, body: &[u8]) -> Result<Value, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Rotate {
            #[serde(default)]
            alg: Alg,
            #[serde(default)]
            keep_old: bool,
        }
        let rotate: Rotate = read(body)?;
        Ok(json!({"kid": self.rotate(rotate.alg, rotate.keep_old).kid}))
    }

    pub(super) fn fault_from(&self, body: &[u8]) -> Result<Value, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Faults {
            discovery: Option<Fault>,
            jwks: Option<Fault>,
        }
        let faults: Faults = read(body)?;
        self.set_faults(faults.discovery, faults.jwks);
        Ok(json!({}))
    }
}

fn one_hour() -> i64 {
    3600
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
