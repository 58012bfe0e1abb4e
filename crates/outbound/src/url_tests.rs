use proptest::prelude::*;

use super::*;
use crate::OriginRules;

/// Spellings that two URL parsers read differently, from published SSRF collections.
#[test]
fn ambiguous_urls_are_refused() {
    for url in [
        "https://i.example\\@evil.example",
        "https://i.example\\.evil.example",
        "https:\\\\i.example",
        "https:/i.example",
        "https:i.example",
        "//i.example",
        "https:///i.example",
        "https://",
        "https://:443",
        "https://i.example:",
        "https://i.example:0",
        "https://i.example:+443",
        "https://i.example:65536",
        "https://i.example:4430000000",
        "https://i.example.",
        "https://.i.example",
        "https://i..example",
        "https://i.exa mple",
        "https://i.example/a b",
        "https://i.example/\t",
        " https://i.example",
        "https://i.example\n",
        "https://i.ex\u{e4}mple",
        "https://i%2eexample",
        "https://i.example/a/../b",
        "https://i.example/%2e%2E/b",
        "https://i.example/.",
        "https://127.1",
        "https://2130706433",
        "https://0x7f.0.0.1",
        "https://0x7f000001",
        "https://0177.0.0.1",
        "https://127.0.0.0x1",
        "https://127.0.0.1.",
        "https://[::1",
        "https://::1",
        "https://[::1]x",
        "https://[::1%25eth0]",
        "https://[127.0.0.1]",
        "https://(i.example)",
    ] {
        assert!(WebUrl::parse(url).is_err(), "{url:?} was accepted");
    }
    assert_eq!(
        WebUrl::parse(&format!("https://i.example/{}", "a".repeat(2048))),
        Err(UrlError::TooLong)
    );
}

#[test]
fn urls_fall_into_their_parts() {
    let url = WebUrl::parse("HTTPS://I.Example:8443/a/b?c=/d").unwrap();
    assert_eq!(url.origin().to_string(), "https://i.example:8443");
    assert_eq!(url.origin().host(), "i.example");
    assert_eq!((url.path(), url.query()), ("/a/b", "?c=/d"));
    let url = WebUrl::parse("http://[::1]:80?x").unwrap();
    assert_eq!(url.origin().to_string(), "http://[::1]");
    assert_eq!((url.path(), url.path_and_query()), ("", "?x"));
    assert!(!url.origin().is_https());
}

#[test]
fn origins_are_origins_only() {
    assert_eq!(
        Origin::parse("https://a.example").unwrap(),
        Origin::parse("https://A.example:443/").unwrap()
    );
    assert_ne!(
        Origin::parse("https://a.example").unwrap(),
        Origin::parse("http://a.example:443").unwrap()
    );
    assert_eq!(
        Origin::parse("https://a.example/x"),
        Err(UrlError::NotAnOrigin)
    );
    assert_eq!(
        Origin::parse("https://a.example?x"),
        Err(UrlError::NotAnOrigin)
    );
    assert_eq!(Origin::parse("*"), Err(UrlError::Scheme));
    assert!(OriginRules::new(["http://*:9000"]).is_err());
}

proptest! {
    #[test]
    fn arbitrary_urls_never_panic_and_parts_add_up(text in "\\PC{0,60}|https?://[a-z0-9.:/?@\\[\\]%-]{0,40}") {
        if let Ok(url) = WebUrl::parse(&text) {
            prop_assert_eq!(url.as_str(), &text);
            let tail = [url.path(), url.query()].concat();
            prop_assert!(text.ends_with(&tail));
            let origin = Origin::parse(&url.origin().to_string()).unwrap();
            prop_assert_eq!(&origin, url.origin());
        }
        if let Ok(rules) = OriginRules::new([text.as_str()]) {
            let url = WebUrl::parse(&text).unwrap();
            prop_assert!(rules.lists(url.origin()));
            prop_assert!(rules.check(url).is_ok_and(|url| url.is_listed()));
        }
    }
}
