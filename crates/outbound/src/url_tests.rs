use proptest::prelude::*;

use super::*;

fn rules() -> UrlRules {
    UrlRules::new(["http://127.0.0.1:9000", "https://idp.corp.example:8443/"]).unwrap()
}

#[test]
fn discovery_urls_are_derived_from_the_issuer() {
    let url = |issuer| rules().discovery_url(issuer, None).unwrap().to_string();
    let expected = "https://i.example/.well-known/openid-configuration";
    assert_eq!(url("https://i.example"), expected);
    assert_eq!(url("https://i.example/"), expected);
    assert_eq!(
        url("https://i.example:443"),
        "https://i.example:443/.well-known/openid-configuration"
    );
    assert_eq!(
        url("https://i.example/t/v2.0"),
        "https://i.example/t/v2.0/.well-known/openid-configuration"
    );
    assert_eq!(
        url("http://127.0.0.1:9000"),
        "http://127.0.0.1:9000/.well-known/openid-configuration"
    );
}

#[test]
fn a_custom_discovery_url_is_a_base_or_the_document() {
    let custom = |url| rules().discovery_url("https://i.example", Some(url));
    let expected = "https://keys.example/a/.well-known/openid-configuration";
    for given in [
        "https://keys.example/a",
        "https://keys.example/a/",
        expected,
    ] {
        assert_eq!(custom(given).unwrap().as_str(), expected);
    }
    assert!(matches!(
        custom("http://keys.example"),
        Err(UrlError::NotHttps { .. })
    ));
    assert_eq!(custom("https://keys.example/?a=b"), Err(UrlError::Query));
}

#[test]
fn issuers_that_are_fetched_must_be_public_https() {
    let refused = |issuer: &str| rules().discovery_url(issuer, None).expect_err(issuer);
    for issuer in [
        "http://i.example",
        "http://127.0.0.1:9001",
        "http://127.0.0.1",
    ] {
        assert!(
            matches!(refused(issuer), UrlError::NotHttps { .. }),
            "{issuer}"
        );
    }
    for issuer in ["https://i.example:8443", "https://i.example:80"] {
        assert!(
            matches!(refused(issuer), UrlError::CustomPort { .. }),
            "{issuer}"
        );
    }
    for issuer in [
        "https://127.0.0.1",
        "https://8.8.8.8",
        "https://[::1]",
        "https://[::ffff:7f00:1]",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost",
        "https://api.localhost",
        "https://kubernetes",
        "https://printer.local",
        "https://metadata.google.internal",
    ] {
        assert!(
            matches!(refused(issuer), UrlError::NotPublic { .. }),
            "{issuer}"
        );
    }
    let error = refused("http://127.0.0.1:9001").to_string();
    assert!(
        error.contains("allow_private_issuers lists exactly http://127.0.0.1:9001"),
        "{error}"
    );
}

#[test]
fn a_private_origin_is_allowed_exactly_or_not_at_all() {
    let rules = rules();
    let allowed = |url: &str| rules.discovery_url(url, None).is_ok();
    for url in [
        "http://127.0.0.1:9000",
        "http://127.0.0.1:9000/realm",
        "https://idp.corp.example:8443",
    ] {
        assert!(allowed(url), "{url}");
    }
    for url in [
        "https://127.0.0.1:9000",
        "http://127.0.0.2:9000",
        "http://localhost:9000",
        "http://127.0.0.1:90000",
        "http://127.0.0.1:09000",
        "http://127.0.0.1:9000@evil.example",
        "http://127.0.0.1:9000.evil.example",
        "http://idp.corp.example:8443",
        "https://idp.corp.example:8444",
        "https://sub.idp.corp.example:8443",
    ] {
        assert!(!allowed(url), "{url}");
    }
}

#[test]
fn issuers_with_uploaded_keys_may_be_any_https_name() {
    for issuer in [
        "https://kubernetes.default.svc.cluster.local",
        "https://kubernetes:6443",
        "https://10.0.0.1",
        "http://127.0.0.1:9000",
    ] {
        assert!(rules().check_issuer(issuer).is_ok(), "{issuer}");
    }
    for (issuer, error) in [
        ("https://i.example?x=1", UrlError::Query),
        ("https://i.example/?", UrlError::Query),
        ("https://i.example#f", UrlError::Fragment),
        ("https://user@i.example", UrlError::Credentials),
        ("https://user:pass@i.example", UrlError::Credentials),
        ("spiffe://example.org", UrlError::Scheme),
        ("javascript:alert(1)", UrlError::Scheme),
        ("i.example", UrlError::Scheme),
        ("", UrlError::Scheme),
    ] {
        assert_eq!(rules().check_issuer(issuer), Err(error), "{issuer}");
    }
    let plain = rules().check_issuer("http://i.example").unwrap_err();
    assert!(matches!(plain, UrlError::NotHttps { .. }), "{plain}");
}

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
    assert_eq!(
        (url.origin().host(), url.origin().port()),
        ("i.example", 8443)
    );
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
    assert!(UrlRules::new(["http://*:9000"]).is_err());
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
        let _ = rules().discovery_url(&text, None);
        let _ = rules().jwks_uri(&text);
    }
}
