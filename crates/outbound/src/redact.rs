//! Takes credentials out of what other servers say.
//!
//! Servers repeat what they were sent: proxies that show headers, error texts
//! that quote a key. Whoever speaks to servers collects what it sends them
//! ([`Secrets`]), and their words go on without it ([`Redactor`]). This is
//! against carelessness: a server that wants to tell its own key can always
//! write it in another way.
//!
//! Easy to break: it must come before anything is cut to a length, or the
//! beginning of a key stays.

use std::fmt::{self, Write};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// What stands in a secret's place.
const MARK: &str = "[redacted]";
/// Shorter values are no secrets, and would take words out of every text.
const MIN_SECRET: usize = 8;

/// Secrets in every form that they may have in a text. They are wiped from
/// memory when this is dropped; what finds them has to keep them.
#[derive(Default)]
pub struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    /// Adds a secret: itself, within JSON, and within a URL.
    pub fn add(&mut self, secret: &str) {
        if secret.len() < MIN_SECRET {
            return;
        }
        self.form(secret.to_owned());
        let json = Zeroizing::new(Value::from(secret).to_string());
        let json = json.trim_matches('"');
        self.form(json.to_owned());
        // Some writers escape slashes too, others what HTML knows.
        self.form(json.replace('/', "\\/"));
        for upper in [true, false] {
            self.form(html_safe(json, upper));
            // In a path slashes may stay.
            self.form(percent_encoded(secret, b"", upper));
            self.form(percent_encoded(secret, b"/", upper));
        }
        if let Some(decoded) = percent_decoded(secret) {
            self.form(decoded);
        }
    }

    /// Adds a header's value, and what follows its scheme (`Bearer`, `Basic`).
    pub fn add_header(&mut self, value: &str) {
        let value = value.trim();
        self.add(value);
        let Some((scheme, bare)) = value.split_once(' ') else {
            return;
        };
        let bare = bare.trim();
        self.add(bare);
        if scheme.eq_ignore_ascii_case("basic")
            && let Ok(decoded) = STANDARD.decode(bare)
            && let Ok(decoded) = String::from_utf8(decoded).map(Zeroizing::new)
            && let Some((_user, password)) = decoded.split_once(':')
        {
            self.add(&decoded);
            self.add(password);
        }
    }

    fn form(&mut self, form: String) {
        let form = Zeroizing::new(form);
        if form.len() >= MIN_SECRET && !self.0.contains(&form) {
            self.0.push(form);
        }
    }
}

/// Finds secrets in one pass. It does not print.
#[derive(Clone, Default)]
pub struct Redactor(Option<AhoCorasick>);

impl Redactor {
    pub fn new(secrets: &Secrets) -> Self {
        // The longest first: `Bearer x` rather than `x`.
        let build = |patterns| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build::<_, &[u8]>(patterns)
        };
        let patterns = secrets.0.iter().map(|secret| secret.as_bytes());
        // It fails only of gigabytes, and headers have none.
        Self(
            (!secrets.0.is_empty())
                .then(|| build(patterns).ok())
                .flatten(),
        )
    }

    /// Whether there is nothing to look for.
    pub fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// Whether there is a secret in the text.
    pub fn finds(&self, text: impl AsRef<[u8]>) -> bool {
        let text = text.as_ref();
        self.0.as_ref().is_some_and(|finder| finder.is_match(text))
    }

    pub fn text(&self, text: &mut String) {
        if let Some(finder) = &self.0
            && finder.is_match(text.as_str())
        {
            let marks = vec![MARK; finder.patterns_len()];
            *text = finder.replace_all(text, &marks);
        }
    }

    /// All strings of a value and all keys. The depth is bounded by the parser.
    pub fn value(&self, value: &mut Value) {
        if self.0.is_none() {
            return;
        }
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(map) => {
                if map.keys().any(|key| self.finds(key)) {
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

    /// A whole document, JSON or not, as it came; `None` where nothing is to be
    /// taken out of it.
    pub fn document(&self, document: &[u8]) -> Option<String> {
        self.0.as_ref()?;
        let came = String::from_utf8_lossy(document);
        // JSON has more ways to write a character than could be looked for.
        let mut clean = match serde_json::from_str::<Value>(&came) {
            Ok(said) => {
                let mut clean = said.clone();
                self.value(&mut clean);
                (clean != said).then(|| clean.to_string())
            }
            Err(_) => None,
        }
        .unwrap_or_else(|| came.clone().into_owned());
        // A value has each key once, the text perhaps twice.
        self.text(&mut clean);
        (clean != came).then_some(clean)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor(********)")
    }
}

/// Hexadecimal digits of a character, as a writer prefers them.
fn hex(code: u32, digits: usize, upper: bool, to: &mut String) {
    // Writing to a string cannot fail.
    let _ = if upper {
        write!(to, "{code:0digits$X}")
    } else {
        write!(to, "{code:0digits$x}")
    };
}

/// JSON text as writers make it that think of HTML.
fn html_safe(json: &str, upper: bool) -> String {
    let mut out = String::with_capacity(6 * json.len());
    for c in json.chars() {
        if "<>&'+".contains(c) {
            out.push_str("\\u");
            hex(c.into(), 4, upper, &mut out);
        } else {
            out.push(c);
        }
    }
    out
}

fn percent_encoded(text: &str, kept: &[u8], upper: bool) -> String {
    let mut out = String::with_capacity(3 * text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            hex(byte.into(), 2, upper, &mut out);
        }
    }
    out
}

/// `None` if there is nothing to decode.
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
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        let mut found = Secrets::default();
        for secret in secrets {
            found.add_header(secret);
        }
        Redactor::new(&found)
    }

    fn text(redactor: &Redactor, text: &str) -> String {
        let mut text = text.to_owned();
        redactor.text(&mut text);
        text
    }

    #[test]
    fn every_form_of_a_secret_is_found() {
        let one = redactor(&[
            "tok/en+1234==",
            "pa\"ss word",
            "Basic dXNlcjpwYXNzd29yZA==",
            "query%2Fsecret",
            "Bearer abcdefgh",
            "blue",
        ]);
        for (said, expected) in [
            ("Bearer tok/en+1234== is bad", "Bearer [redacted] is bad"),
            (r"tok\/en+1234==", "[redacted]"),
            (r"tok/en\u002B1234==", "[redacted]"),
            (r"tok/en\u002b1234==", "[redacted]"),
            ("tok%2Fen%2B1234%3D%3D", "[redacted]"),
            ("tok%2fen%2b1234%3d%3d", "[redacted]"),
            ("tok/en%2B1234%3D%3D", "[redacted]"),
            (r#"{"k": "pa\"ss word"}"#, r#"{"k": "[redacted]"}"#),
            ("Basic dXNlcjpwYXNzd29yZA==", "[redacted]"),
            ("dXNlcjpwYXNzd29yZA==", "[redacted]"),
            ("user:password", "[redacted]"),
            ("no 'password'", "no '[redacted]'"),
            ("query%2Fsecret query/secret", "[redacted] [redacted]"),
            ("'Bearer abcdefgh', abcdefgh", "'[redacted]', [redacted]"),
            ("blue words stay", "blue words stay"),
        ] {
            assert_eq!(text(&one, said), expected);
            assert_eq!(one.finds(said), said != expected);
        }
        assert_eq!(format!("{one:?}"), "Redactor(********)");
    }

    #[test]
    fn values_lose_them_in_strings_and_keys() {
        let one = redactor(&["s3cret-token"]);
        let mut value = json!({"a": ["x s3cret-token", 1, null], "s3cret-token": {"b": true}});
        one.value(&mut value);
        assert_eq!(
            value,
            json!({"a": ["x [redacted]", 1, null], "[redacted]": {"b": true}})
        );
    }

    #[test]
    fn documents_lose_them_and_are_else_as_they_came() {
        let one = redactor(&["s3cret-token"]);
        for (came, expected) in [
            (r#"{"a" : 1.50, "b": "s3c"}"#, None),
            ("not JSON", None),
            (
                r#"{"a": "s3cret\u002dtoken"}"#,
                Some(r#"{"a":"[redacted]"}"#),
            ),
            // A reader would keep one of the two.
            (
                r#"{"a": "s3cret-token", "a": "b"}"#,
                Some(r#"{"a": "[redacted]", "a": "b"}"#),
            ),
            ("{oops: s3cret-token", Some("{oops: [redacted]")),
        ] {
            assert_eq!(one.document(came.as_bytes()).as_deref(), expected);
        }
        assert_eq!(one.document(b"\xff"), None);
    }

    #[test]
    fn without_secrets_nothing_is_changed() {
        let one = redactor(&["short", ""]);
        assert_eq!(text(&one, "short b"), "short b");
        assert_eq!(one.document(b"short"), None);
    }
}
