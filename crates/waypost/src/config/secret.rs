//! Secrets of the configuration: written as they are, or as `env:NAME` or
//! `file:PATH`.
//!
//! They are looked up while the file is read, so that an error points at the
//! line that named them.

use std::{fmt, fs, io::Read};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// What a secret prints as, everywhere.
const MASK: &str = "********";
/// The largest secret file that is read.
const MAX_FILE: u64 = 64 * 1024;

/// A string that does not print.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Reads a configuration value: `env:NAME`, `file:PATH`, or the secret
    /// itself. The error says what is missing and never holds a secret.
    pub fn look_up(value: String) -> Result<Self, String> {
        if let Some(name) = value.strip_prefix("env:") {
            return match std::env::var(name) {
                Ok(found) if !found.is_empty() => Ok(found.into()),
                Ok(_) => Err(format!("the environment variable {name} is empty")),
                Err(std::env::VarError::NotPresent) => {
                    Err(format!("the environment variable {name} is not set"))
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    Err(format!("the environment variable {name} is not UTF-8"))
                }
            };
        }
        if let Some(path) = value.strip_prefix("file:") {
            let mut text = String::new();
            fs::File::open(path)
                .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
                .map_err(|error| format!("cannot read the file {path}: {error}"))?;
            let text = text.trim_end_matches(['\r', '\n']);
            if text.is_empty() {
                return Err(format!("the file {path} is empty"));
            }
            return Ok(text.to_owned().into());
        }
        if value.is_empty() {
            return Err("is empty; leave it out instead".to_owned());
        }
        Ok(value.into())
    }

    /// The secret itself; only for where it is used.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::look_up(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::look_up("hunter2".to_owned()).expect("a literal");
        assert_eq!(secret.expose(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert_eq!(
            serde_json::to_string(&secret).expect("a string"),
            format!("\"{MASK}\"")
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Secret::look_up("env:WAYPOST_NO_SUCH_VARIABLE".to_owned()).unwrap_err();
        assert!(error.contains("WAYPOST_NO_SUCH_VARIABLE"), "{error}");
        let error = Secret::look_up("file:/no/such/file".to_owned()).unwrap_err();
        assert!(error.contains("/no/such/file"), "{error}");
    }

    #[test]
    fn a_file_loses_its_last_newline_only() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), " key \n").expect("written");
        let secret = Secret::look_up(format!("file:{}", file.path().display())).expect("read");
        assert_eq!(secret.expose(), " key ");
    }
}
