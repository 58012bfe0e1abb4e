//! Takes a request's credentials out of what its server says.
//!
//! Servers repeat what they were sent: proxies that show headers, error texts
//! that quote a token. What a server says becomes items, rows and the model's
//! context, so its credentials go no further than [`super::peer`], through
//! which every answer passes. This is against carelessness: a server that wants
//! to tell its own token can always write it in another way.
//!
//! Easy to break: it must come before anything is cut to a length, or the
//! beginning of a token stays.

use std::{collections::BTreeSet, fmt, fmt::Write};

use aho_corasick::{AhoCorasick, MatchKind};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use zeroize::Zeroize;

use super::{address::ServerUrl, secrets::Credentials};

/// What stands in a secret's place.
const MARK: &str = "[redacted]";
/// Shorter values are no secrets, and would take words out of every text.
const MIN_SECRET: usize = 8;
/// Values that are as long, of letters and digits, are secrets under any name:
/// shorter ones say `production` or `repos,issues`, and so do honest results.
const MIN_TOKEN: usize = 20;
/// What the last word of a name says of its value.
const SECRET_NAMES: &[&str] = &[
    "auth",
    "authorization",
    "code",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "key",
    "pass",
    "passwd",
    "password",
    "pat",
    "secret",
    "session",
    "sig",
    "signature",
    "token",
];

/// Finds the credentials of one server, in one pass. It does not print.
pub(super) struct Redactor(Option<AhoCorasick>);

impl Redactor {
    pub(super) fn new(credentials: &Credentials, url: &ServerUrl) -> Self {
        let mut secrets = BTreeSet::new();
        for (name, value) in credentials.values() {
            add(name, value.expose_secret(), &mut secrets);
        }
        add_url(url.expose(), &mut secrets);
        // The longest first: `Bearer x` rather than `x`.
        let finder = (!secrets.is_empty())
            .then(|| {
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostLongest)
                    .build(&secrets)
                    .ok()
            })
            .flatten();
        for mut secret in secrets {
            secret.zeroize();
        }
        Self(finder)
    }

    pub(super) fn text(&self, text: &mut String) {
        if let Some(finder) = &self.0
            && finder.is_match(text.as_str())
        {
            let marks = vec![MARK; finder.patterns_len()];
            *text = finder.replace_all(text, &marks);
        }
    }

    /// All strings of a value and all keys. The depth is bounded by the parser.
    pub(super) fn value(&self, value: &mut Value) {
        let Some(finder) = &self.0 else { return };
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(map) => {
                if map.keys().any(|key| finder.is_match(key.as_str())) {
                    let clean = |(mut key, item): (String, Value)| {
                        self.text(&mut key);
                        (key, item)
                    };
                    *map = std::mem::take(map)
                        .into_iter()
                        .map(clean)
                        .collect::<Map<_, _>>();
                }
                map.values_mut().for_each(|item| self.value(item));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor(********)")
    }
}

/// A header's value, and what follows its scheme (`Bearer`, `Basic`).
fn add(name: &str, value: &str, to: &mut BTreeSet<String>) {
    let value = value.trim();
    if is_secret(name, value) {
        add_forms(value, to);
        if let Some((_scheme, bare)) = value.split_once(' ') {
            add_forms(bare.trim(), to);
        }
    }
}

/// What of a URL is a credential with some servers.
fn add_url(url: &str, to: &mut BTreeSet<String>) {
    let url = url.split('#').next().unwrap_or_default();
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let path = address.split_once("://").map_or(address, |(_, rest)| rest);
    for segment in path.split('/').skip(1) {
        if is_token(segment) {
            add_forms(segment, to);
        }
    }
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        if is_secret(name, value) {
            add_forms(value, to);
        }
    }
}

fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let last = name.rsplit(|c: char| !c.is_ascii_alphanumeric()).next();
    // `apikey` and `accessToken` are written as one word.
    let says_so = |word: &&str| {
        last == Some(*word) || matches!(*word, "key" | "secret" | "token") && name.ends_with(*word)
    };
    SECRET_NAMES.iter().any(says_so) || is_token(value)
}

fn is_token(value: &str) -> bool {
    value.len() >= MIN_TOKEN
        && value.bytes().any(|byte| byte.is_ascii_digit())
        && value.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A secret as it may stand in a text: itself, within JSON (where some writers
/// escape slashes too), and within a URL.
fn add_forms(secret: &str, to: &mut BTreeSet<String>) {
    if secret.len() < MIN_SECRET {
        return;
    }
    let quoted = Value::from(secret).to_string();
    let quoted = quoted.trim_matches('"');
    to.insert(secret.to_owned());
    to.insert(quoted.to_owned());
    to.insert(quoted.replace('/', "\\/"));
    to.insert(percent_encoded(secret));
    if let Some(decoded) = percent_decoded(secret) {
        to.insert(decoded);
    }
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// `None` if there is nothing to decode, or too little left.
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        out.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(out)
        .ok()
        .filter(|text| text.len() >= MIN_SECRET)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{config::McpConfig, mcp::ServerRules};

    fn redactor(authorization: Option<&str>, headers: Value, query: &str) -> Redactor {
        let credentials = Credentials::read(authorization, Some(&headers)).expect("credentials");
        let url = format!("https://mcp.example.com/mcp{query}");
        let url = ServerRules::new(&McpConfig::default()).check(&url);
        Redactor::new(&credentials, &url.expect("a URL"))
    }

    fn text(redactor: &Redactor, text: &str) -> String {
        let mut text = text.to_owned();
        redactor.text(&mut text);
        text
    }

    #[test]
    fn every_form_of_a_secret_is_found() {
        let one = redactor(
            Some("tok/en+1234=="),
            json!({"x-key": "pa\"ss word", "x-auth": "Basic dXNlcjpwYXNz", "x-team": "engineering"}),
            "/s/abcdefghijklmnopqrs1/mcp?apiKey=query%2Fsecret&toolsets=repositories",
        );
        for (said, expected) in [
            ("Bearer tok/en+1234== is bad", "Bearer [redacted] is bad"),
            (r"tok\/en+1234==", "[redacted]"),
            ("tok%2Fen%2B1234%3D%3D", "[redacted]"),
            (r#"{"k": "pa\"ss word"}"#, r#"{"k": "[redacted]"}"#),
            ("Basic dXNlcjpwYXNz", "[redacted]"),
            ("dXNlcjpwYXNz", "[redacted]"),
            ("query%2Fsecret query/secret", "[redacted] [redacted]"),
            ("/s/abcdefghijklmnopqrs1/mcp", "/s/[redacted]/mcp"),
            (
                "engineering has repositories",
                "engineering has repositories",
            ),
        ] {
            assert_eq!(text(&one, said), expected);
        }
        assert!(!format!("{one:?}").contains("tok"));
    }

    #[test]
    fn values_lose_them_in_strings_and_keys() {
        let one = redactor(Some("s3cret-token"), json!(null), "");
        let mut value = json!({"a": ["x s3cret-token", 1, null], "s3cret-token": {"b": true}});
        one.value(&mut value);
        assert_eq!(
            value,
            json!({"a": ["x [redacted]", 1, null], "[redacted]": {"b": true}})
        );
    }

    #[test]
    fn without_secrets_nothing_is_changed() {
        let one = redactor(Some("short"), json!({"x": ""}), "?a=b");
        assert_eq!(text(&one, "short b"), "short b");
    }
}
