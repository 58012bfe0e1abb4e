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
        set.lookup("shared", Algorithm::Es256),
        Lookup::Unusable(JwkProblem::Symmetric)
    ));
    assert!(set.knows("enc") && !set.knows("other"));
}

fn finds(set: &KeySet, kid: &str, algorithm: Algorithm) -> bool {
    matches!(set.lookup(kid, algorithm), Lookup::Found(_))
}

/// Real issuers publish one kid for signing and for encryption, for each algorithm, or for two
/// key types.
#[test]
fn of_entries_with_one_kid_the_one_that_fits_the_algorithm_is_used() {
    let mut encrypting = named(RSA.jwk(), "k");
    encrypting["use"] = json!("enc");
    let rs = |alg: &str| {
        let mut jwk = named(RSA.jwk(), "k");
        jwk["alg"] = json!(alg);
        jwk
    };
    for (keys, fitting, usable) in [
        (
            json!([encrypting, named(P256.jwk(), "k")]),
            vec![Algorithm::Es256],
            1,
        ),
        (
            json!([rs("RS256"), rs("RS512")]),
            vec![Algorithm::Rs256, Algorithm::Rs512],
            2,
        ),
        (
            json!([named(P384.jwk(), "k"), named(P256.jwk(), "k"), rs("PS256")]),
            vec![Algorithm::Es256, Algorithm::Es384, Algorithm::Ps256],
            3,
        ),
        (
            json!([named(P256.jwk(), "k"), {"kty": "oct", "kid": "k"}]),
            vec![Algorithm::Es256],
            1,
        ),
    ] {
        let reversed: Vec<_> = keys.as_array().unwrap().iter().rev().cloned().collect();
        for keys in [keys.clone(), json!(reversed)] {
            let set = fetched(&json!({ "keys": keys }));
            assert_eq!(set.usable(), usable, "{keys}");
            for algorithm in Algorithm::ALL {
                let expected = fitting.contains(&algorithm);
                assert_eq!(finds(&set, "k", algorithm), expected, "{algorithm}: {keys}");
            }
        }
        uploaded(&json!({ "keys": [named(P256.jwk(), "k"), rs("RS256")] })).unwrap_err();
    }
}

#[test]
fn two_keys_for_one_kid_and_algorithm_fail_closed_in_any_order() {
    let good = named(P256.jwk(), "k");
    let other = named(P384.jwk(), "k");
    for (keys, usable) in [
        (json!([good, good]), 0),
        (json!([good, other, good]), 1),
        (json!([other, good, good]), 1),
    ] {
        let set = fetched(&json!({ "keys": keys }));
        assert_eq!(set.usable(), usable, "{keys}");
        assert!(matches!(
            set.lookup("k", Algorithm::Es256),
            Lookup::Unusable(JwkProblem::DuplicateKid { earlier: 0 })
        ));
    }
}

#[test]
fn a_kid_whose_private_key_the_set_discloses_serves_nobody() {
    let good = named(P256.jwk(), "k");
    let mut private = good.clone();
    private["d"] = json!("AQ");
    for keys in [
        json!([good, private]),
        json!([private, good]),
        json!([private, good, good]),
    ] {
        let set = fetched(&json!({ "keys": keys }));
        assert_eq!(set.usable(), 0, "{keys}");
        assert!(matches!(
            set.lookup("k", Algorithm::Es256),
            Lookup::Unusable(JwkProblem::PrivateMaterial)
        ));
    }
}

#[test]
fn an_upload_with_a_kid_twice_names_both_entries() {
    let keys = [ED.jwk(), P256.jwk(), named(P384.jwk(), ED.kid)];
    let error = uploaded(&json!({ "keys": keys })).unwrap_err().to_string();
    assert!(error.contains("`keys[2].kid`"), "{error}");
    assert!(error.contains("`keys[0]`"), "{error}");
}
