use proptest::prelude::*;

use super::*;

fn rules() -> IssuerRules {
    IssuerRules::new(["http://127.0.0.1:9000", "https://idp.corp.example:8443/"]).unwrap()
}

#[test]
fn discovery_urls_are_derived_from_the_issuer() {
    let url = |issuer| {
        rules()
            .discovery_url(issuer, None)
            .unwrap()
            .url()
            .to_string()
    };
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
        assert_eq!(custom(given).unwrap().url().as_str(), expected);
    }
    assert!(matches!(
        custom("http://keys.example"),
        Err(IssuerUrlError::NotHttps { .. })
    ));
    assert_eq!(
        custom("https://keys.example/?a=b"),
        Err(IssuerUrlError::Query)
    );
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
            matches!(refused(issuer), IssuerUrlError::NotHttps { .. }),
            "{issuer}"
        );
    }
    for issuer in ["https://i.example:8443", "https://i.example:80"] {
        assert!(
            matches!(refused(issuer), IssuerUrlError::CustomPort { .. }),
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
            matches!(refused(issuer), IssuerUrlError::NotPublic { .. }),
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
        ("https://i.example?x=1", IssuerUrlError::Query),
        ("https://i.example/?", IssuerUrlError::Query),
        ("https://i.example#f", UrlError::Fragment.into()),
        ("https://user@i.example", UrlError::Credentials.into()),
        ("https://user:pass@i.example", UrlError::Credentials.into()),
        ("spiffe://example.org", UrlError::Scheme.into()),
        ("javascript:alert(1)", UrlError::Scheme.into()),
        ("i.example", UrlError::Scheme.into()),
        ("", UrlError::Scheme.into()),
    ] {
        assert_eq!(rules().check_issuer(issuer), Err(error), "{issuer}");
    }
    let plain = rules().check_issuer("http://i.example").unwrap_err();
    assert!(matches!(plain, IssuerUrlError::NotHttps { .. }), "{plain}");
}

proptest! {
    #[test]
    fn arbitrary_addresses_never_panic(text in "\\PC{0,60}|https?://[a-z0-9.:/?@\\[\\]%-]{0,40}") {
        let _ = rules().check_issuer(&text);
        let _ = rules().jwks_uri(&text);
        if let Ok(url) = rules().discovery_url(&text, None) {
            prop_assert!(url.url().path().ends_with(WELL_KNOWN));
        }
    }
}
