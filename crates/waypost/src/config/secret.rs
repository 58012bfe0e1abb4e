//! Secrets of the configuration: written as they are, or as `env:NAME` or
//! `file:PATH`.
//!
//! They are looked up while the file is read, so that an error points at the
//! line that named them. A relative `file:` path in a configuration file starts
//! at that file's directory ([`relative_to`]), elsewhere at the working
//! directory.

use std::{
    borrow::Cow,
    cell::RefCell,
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// What a secret prints as, everywhere.
pub(super) const MASK: &str = "********";
/// The largest secret file that is read.
const MAX_FILE: u64 = 64 * 1024;

thread_local! {
    /// Where relative paths start while a configuration file is read.
    static BASE: RefCell<PathBuf> = RefCell::default();
}

/// Runs `read`, in which `file:` paths start at `base`.
pub(super) fn relative_to<T>(base: &Path, read: impl FnOnce() -> T) -> T {
    struct Reset(PathBuf);
    impl Drop for Reset {
        fn drop(&mut self) {
            BASE.set(std::mem::take(&mut self.0));
        }
    }
    let _reset = Reset(BASE.replace(base.to_owned()));
    read()
}

/// A string that does not print.
#[derive(Clone)]
pub struct Secret {
    value: SecretString,
    /// The reference that it was looked up by, if any.
    reference: Option<String>,
}

impl Secret {
    /// Reads a configuration value: `env:NAME`, `file:PATH`, or the secret
    /// itself. The error says what is missing and never holds a secret.
    pub fn look_up(text: String) -> Result<Self, String> {
        let (value, reference) = find(text)?;
        Ok(Self {
            value: value.into(),
            reference,
        })
    }

    /// The value of an environment variable: a reference, or the secret itself.
    pub(super) fn of_variable(name: &str, value: String) -> Result<Self, String> {
        let mut secret = Self::look_up(value)?;
        secret
            .reference
            .get_or_insert_with(|| format!("env:{name}"));
        Ok(secret)
    }

    /// The secret itself; only for where it is used.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }
}

/// The secret that `value` means, and the reference to it with an absolute
/// path.
fn find(value: String) -> Result<(String, Option<String>), String> {
    if let Some(name) = value.strip_prefix("env:") {
        return match std::env::var(name) {
            Ok(found) if !found.is_empty() => Ok((found, Some(value))),
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
        let path = BASE.with_borrow(|base| base.join(path));
        let path = path.display();
        let mut text = String::new();
        fs::File::open(path.to_string())
            .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
            .map_err(|error| format!("cannot read the file {path}: {error}"))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(format!("the file {path} is empty"));
        }
        return Ok((text.to_owned(), Some(format!("file:{path}"))));
    }
    if value.is_empty() {
        return Err("is empty; leave it out instead".to_owned());
    }
    Ok((value, None))
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self {
            value: text.into(),
            reference: None,
        }
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

/// As the reference that it was given by, else masked.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.reference.as_deref().unwrap_or(MASK))
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "secret"})
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
