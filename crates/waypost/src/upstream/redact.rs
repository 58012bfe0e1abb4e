//! Which values of a configuration are a model server's credentials: its words
//! go into logs and to callers, and some quote the key that they were sent.

use outbound::redact::{Redactor, Secrets};

use crate::config;

/// Finds the credentials of one model server.
pub(super) fn redactor(config: &config::Upstream) -> Redactor {
    let mut secrets = Secrets::default();
    for secret in config.api_key.iter().chain(config.headers.values()) {
        secrets.add_header(secret.expose());
    }
    // A proxy may answer in the server's place, and fail in its own words.
    let proxy = config.proxy.as_ref().map(config::Secret::expose);
    if let Some(proxy) = proxy.and_then(|proxy| reqwest::Url::parse(proxy).ok()) {
        secrets.add(proxy.password().unwrap_or(proxy.username()));
    }
    Redactor::new(&secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_and_words_stay() {
        let mut config = config::Upstream::at("one".to_owned(), "http://one/v1".to_owned());
        config.api_key = Some("sk-model-server".to_owned().into());
        config.proxy = Some("http://waypost:s3cret%2Fword@proxy:3128".to_owned().into());
        for (name, value) in [("x-auth", "Bearer abcdefgh"), ("x-team", "blue")] {
            let value = value.to_owned().into();
            config.headers.insert(name.to_owned(), value);
        }
        let mut text =
            "key sk-model-server, 'Bearer abcdefgh', abcdefgh, s3cret/word, blue".to_owned();
        redactor(&config).text(&mut text);
        assert_eq!(
            text,
            "key [redacted], '[redacted]', [redacted], [redacted], blue"
        );
    }
}
