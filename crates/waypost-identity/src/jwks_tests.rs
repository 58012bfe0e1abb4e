use serde_json::json;

use super::*;
use crate::forge::{ED, P256, P384, RSA, all_keys};

fn uploaded(document: &Value) -> Result<KeySet, JwksError> {
    KeySet::parse_uploaded(document.to_string().as_bytes())
}

fn fetched(document: &Value) -> KeySet {
    KeySet::parse_fetched(document.to_string().as_bytes()).unwrap()
}

fn named(mut jwk: Value, kid: &str) -> Value {
    jwk["kid"] = json!(kid);
    jwk
}

#[test]
fn a_good_upload_holds_its_keys() {
    let keys: Vec<_> = all_keys()
        .into_iter()
        .map(crate::forge::TestKey::jwk)
        .collect();
    let set = uploaded(&json!({"keys": keys, "comment": "ignored"})).unwrap();
    assert_eq!(set.usable(), 5);
    assert!(set.skipped().is_empty());
    assert!(all_keys().iter().all(|key| set.knows(key.kid)));
    let mut kids: Vec<_> = set.iter().map(PublicKey::kid).collect();
    kids.sort_unstable();
    assert_eq!(kids, ["ed", "p256", "p384", "p521", "rsa"]);
}

#[test]
fn a_bad_upload_is_refused_with_the_path() {
    let private = {
        let mut jwk = P384.jwk();
        jwk["d"] = json!("AQ");
        jwk
    };
    let nameless = {
        let mut jwk = P384.jwk();
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let oct = json!({"kty": "oct", "kid": "s", "k": "AA"});
    for (bad, path) in [
        (private, "keys[2].d"),
        (nameless, "keys[2].kid"),
        (named(P384.jwk(), ""), "keys[2].kid"),
        (named(P384.jwk(), "ed"), "keys[2].kid"),
        (oct, "keys[2].kty"),
        (json!(7), "keys[2]"),
        (
            json!({"kty": "EC", "kid": "a", "crv": "P-256", "x": "AA"}),
            "keys[2].x",
        ),
    ] {
        let error = uploaded(&json!({"keys": [RSA.jwk(), ED.jwk(), bad]})).unwrap_err();
        assert_eq!(error.path(), Some(path), "{error}");
        assert!(
            error.to_string().starts_with(&format!("`{path}` ")),
            "{error}"
        );
    }
}

#[test]
fn documents_of_another_shape_are_refused() {
    for (text, error) in [
        ("", JwksError::NotJson),
        ("<html>", JwksError::NotJson),
        ("[]", JwksError::NotAnObject),
        ("{}", JwksError::KeysMissing),
        (r#"{"keys":{}}"#, JwksError::KeysNotAnArray),
        (r#"{"keys":null}"#, JwksError::KeysNotAnArray),
        (r#"{"keys":[]}"#, JwksError::NoKeys),
        (r#"{"keys":[],"keys":[]}"#, JwksError::DuplicateMember),
        (
            r#"{"keys":[{"kid":"a","kid":"b"}]}"#,
            JwksError::DuplicateMember,
        ),
        (
            r#"{"keys":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}"#,
            JwksError::TooDeep,
        ),
    ] {
        assert_eq!(
            KeySet::parse_uploaded(text.as_bytes()).unwrap_err(),
            error,
            "{text}"
        );
        assert_eq!(
            KeySet::parse_fetched(text.as_bytes()).unwrap_err(),
            error,
            "{text}"
        );
    }
}

#[test]
fn size_and_count_are_bounded() {
    let bytes = MAX_JWKS_BYTES + 1;
    let too_large = JwksError::TooLarge { bytes };
    assert_eq!(
        KeySet::parse_uploaded(&vec![b' '; bytes]).unwrap_err(),
        too_large
    );
    assert_eq!(
        KeySet::parse_fetched(&vec![b' '; bytes]).unwrap_err(),
        too_large
    );
    let keys = |count: usize| {
        let keys: Vec<_> = (0..count)
            .map(|i| named(ED.jwk(), &format!("k{i}")))
            .collect();
        json!({ "keys": keys })
    };
    assert_eq!(
        uploaded(&keys(MAX_JWKS_KEYS)).unwrap().usable(),
        MAX_JWKS_KEYS
    );
    let count = MAX_JWKS_KEYS + 1;
    assert_eq!(
        uploaded(&keys(count)).unwrap_err(),
        JwksError::TooManyKeys { count }
    );
}

#[test]
fn a_fetched_set_skips_what_it_cannot_use() {
    let set = fetched(&json!({"keys": [
        P256.jwk(),
        {"kty": "oct", "kid": "shared", "k": "AA"},
        {"kty": "RSA", "kid": "enc", "use": "enc", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256"},
        7,
        ED.jwk(),
    ]}));
    assert_eq!(set.usable(), 2);
    let reasons: Vec<_> = set
        .skipped()
        .iter()
        .map(|key| (key.index, &*key.reason))
        .collect();
    assert_eq!(
        reasons.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert!(
        reasons[0].1.starts_with("`keys[1].kty` is \"oct\""),
        "{reasons:?}"
    );
    assert!(reasons[1].1.starts_with("`keys[2].use` "), "{reasons:?}");
    assert_eq!(reasons[2].1, "`keys[3].kid` is missing.");
    assert_eq!(reasons[3].1, "`keys[4]` is not a JSON object.");
    assert!(matches!(
        set.lookup("shared"),
        Lookup::Unusable(JwkProblem::Symmetric)
    ));
    assert!(set.knows("enc") && !set.knows("other"));
}

#[test]
fn a_repeated_kid_fails_closed_in_any_order() {
    let good = named(P256.jwk(), "k");
    let other = named(P384.jwk(), "k");
    let broken = json!({"kty": "oct", "kid": "k"});
    for keys in [
        json!([good, other]),
        json!([good, good]),
        json!([good, broken]),
        json!([broken, good]),
        json!([good, other, good]),
    ] {
        let set = fetched(&json!({ "keys": keys }));
        assert_eq!(set.usable(), 0, "{keys}");
        assert!(matches!(
            set.lookup("k"),
            Lookup::Unusable(JwkProblem::DuplicateKid)
        ));
    }
}
