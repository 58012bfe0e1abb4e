//! Which values of a request are its server's credentials.
//!
//! What a server says becomes items, rows and the model's context, so its
//! credentials go no further than [`super::peer`], through which every answer
//! passes.

use outbound::redact::{Redactor, Secrets};
use secrecy::ExposeSecret;

use super::{secrets::Credentials, transport::Transport};

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

/// Finds the credentials of one server, and what of its address is one.
pub(crate) fn redactor(credentials: &Credentials, transport: &dyn Transport) -> Redactor {
    let mut secrets = Secrets::default();
    for (name, value) in credentials.values() {
        let value = value.expose_secret();
        if is_secret(name, value.trim()) {
            secrets.add_header(value);
        }
    }
    transport.add_secrets(&mut secrets);
    Redactor::new(&secrets)
}

/// What of a URL is a credential with some servers.
pub(crate) fn add_url(url: &str, to: &mut Secrets) {
    let url = url.split('#').next().unwrap_or_default();
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let path = address.split_once("://").map_or(address, |(_, rest)| rest);
    for segment in path.split('/').skip(1) {
        if is_token(segment) {
            to.add(segment);
        }
    }
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        if is_secret(name, value) {
            to.add(value);
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use outbound::{OriginRules, WebUrl, client::Client};
    use serde_json::json;

    use super::*;
    use crate::Target;

    #[test]
    fn names_and_shapes_tell_what_is_secret() {
        let headers = json!({"x-key": "pa\"ss word", "x-auth": "Basic dXNlcjpwYXNz",
            "x-team": "engineering"});
        let credentials =
            Credentials::read(Some("tok/en+1234=="), Some(&headers)).expect("credentials");
        let url = "https://mcp.example.com/mcp/s/abcdefghijklmnopqrs1/mcp\
            ?apiKey=query%2Fsecret&toolsets=repositories";
        let url = WebUrl::parse(url).expect("a URL");
        let url = OriginRules::default().check(url);
        let target = Target::from(url.expect("a public URL"));
        let http = Arc::new(Client::new("test", Duration::ZERO));
        let one = redactor(&credentials, &*target.transport(&http));
        for (said, expected) in [
            ("Bearer tok/en+1234== is bad", "Bearer [redacted] is bad"),
            (r#"{"k": "pa\"ss word"}"#, r#"{"k": "[redacted]"}"#),
            ("dXNlcjpwYXNz", "[redacted]"),
            ("query%2Fsecret query/secret", "[redacted] [redacted]"),
            ("/s/abcdefghijklmnopqrs1/mcp", "/s/[redacted]/mcp"),
            (
                "engineering has repositories",
                "engineering has repositories",
            ),
        ] {
            let mut text = said.to_owned();
            one.text(&mut text);
            assert_eq!(text, expected);
        }
    }
}
