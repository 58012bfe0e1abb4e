use proptest::prelude::*;
use serde_json::json;

use super::*;

fn matchers(value: &Value) -> AttributeMatchers {
    AttributeMatchers::parse(value).unwrap()
}

fn claims(value: &Value) -> VerifiedClaims {
    VerifiedClaims::for_matching(value.as_object().unwrap().clone())
}

fn admits(rows: &Value, claim_set: &Value) -> bool {
    matchers(rows).matches(&claims(claim_set)).is_ok()
}

#[test]
fn every_row_must_match() {
    let rows = json!({"sub": "repo:a/b", "ref": "refs/heads/main", "protected": true, "run": 3});
    let good = json!({"sub": "repo:a/b", "ref": "refs/heads/main", "protected": true, "run": 3,
        "extra": "ignored"});
    assert!(admits(&rows, &good));
    for key in ["sub", "ref", "protected", "run"] {
        let mut missing = good.clone();
        missing.as_object_mut().unwrap().remove(key);
        assert!(!admits(&rows, &missing), "{key}");
        let mut other = good.clone();
        other[key] = json!("other");
        assert!(!admits(&rows, &other), "{key}");
    }
}

#[test]
fn types_are_strict() {
    let cases = [
        (json!("1"), json!(1), false),
        (json!(1), json!("1"), false),
        (json!("true"), json!(true), false),
        (json!(true), json!("true"), false),
        (json!(1), json!(true), false),
        (json!(0), json!(false), false),
        (json!(true), json!(true), true),
        (json!(true), json!(false), false),
        (json!(1), json!(1), true),
        (json!(1), json!(1.0), true),
        (json!(1.0), json!(1), true),
        (json!(1), json!(1.5), false),
        (json!(-0.0), json!(0), true),
        (json!(0.1), json!(0.1), true),
        (json!(u64::MAX), json!(u64::MAX), true),
        (json!(u64::MAX), json!(u64::MAX - 1), false),
        (
            json!(9_007_199_254_740_993_u64),
            json!(9_007_199_254_740_992.0),
            false,
        ),
        (
            json!(9_007_199_254_740_991_u64),
            json!(9_007_199_254_740_991.0),
            true,
        ),
        (json!(i64::MIN), json!(i64::MIN as f64), false),
    ];
    for (expected, got, matches) in cases {
        assert_eq!(
            admits(&json!({"c": expected}), &json!({"c": got})),
            matches,
            "{expected} {got}"
        );
    }
}

#[test]
fn strings_compare_as_bytes() {
    for (expected, got) in [
        ("Main", "main"),
        ("main", "main "),
        ("main", ""),
        ("", "x"),
        // Composed and decomposed é.
        ("caf\u{e9}", "cafe\u{301}"),
        ("a/b", "a%2Fb"),
    ] {
        assert!(
            !admits(&json!({"c": expected}), &json!({"c": got})),
            "{expected} {got}"
        );
    }
    assert!(admits(&json!({"c": ""}), &json!({"c": ""})));
}

#[test]
fn a_missing_claim_is_not_the_empty_string() {
    let mismatch = matchers(&json!({"c": ""}))
        .matches(&claims(&json!({})))
        .unwrap_err();
    assert_eq!(
        mismatch.to_string(),
        "The row \"c\" expects \"\"; the token has no such claim."
    );
}

#[test]
fn lists_objects_and_null_match_nothing_but_aud_may_be_a_list() {
    for got in [json!(["a"]), json!({"a": 1}), json!(null), json!([])] {
        assert!(
            !admits(&json!({"groups": "a"}), &json!({"groups": got})),
            "{got}"
        );
    }
    assert!(admits(&json!({"aud": "b"}), &json!({"aud": ["a", "b"]})));
    assert!(admits(
        &json!({"aud": "https://b/*"}),
        &json!({"aud": ["a", "https://b/c"]})
    ));
    assert!(admits(&json!({"aud": "a"}), &json!({"aud": "a"})));
    assert!(!admits(&json!({"aud": "c"}), &json!({"aud": ["a", "b"]})));
    assert!(!admits(&json!({"aud": "a"}), &json!({"aud": [["a"]]})));
    assert!(!admits(&json!({"aud": "a"}), &json!({"aud": []})));
}

#[test]
fn a_trailing_star_is_a_plain_prefix() {
    let rows = json!({"sub": "repo:openai/*"});
    for sub in [
        "repo:openai/",
        "repo:openai/a",
        "repo:openai/a:ref:refs/heads/b/c",
        "repo:openai/*",
    ] {
        assert!(admits(&rows, &json!({"sub": sub})), "{sub}");
    }
    for sub in [
        "repo:openai",
        "repo:openai-evil/a",
        "Repo:openai/a",
        " repo:openai/a",
    ] {
        assert!(!admits(&rows, &json!({"sub": sub})), "{sub}");
    }
    assert!(!admits(&json!({"sub": "1*"}), &json!({"sub": 12})));
}

#[test]
fn a_star_in_a_claim_is_no_wildcard() {
    assert!(!admits(
        &json!({"sub": "repo:a/b"}),
        &json!({"sub": "repo:*"})
    ));
}

#[test]
fn wildcards_elsewhere_are_refused_at_save() {
    let refused = |value: &str| AttributeMatchers::parse(&json!({"sub": value})).unwrap_err();
    assert!(matches!(refused("*"), MatcherError::BareWildcard { .. }));
    for value in ["repo:*:prod", "repo/*/main", "**", "a**", "*a", "a*b*"] {
        let error = refused(value);
        assert!(
            matches!(error, MatcherError::MisplacedWildcard { .. }),
            "{value}"
        );
        assert!(error.to_string().contains("\"sub\""), "{error}");
    }
}

#[test]
fn rows_are_checked_at_save() {
    let refused = |value: Value| AttributeMatchers::parse(&value).unwrap_err();
    assert_eq!(refused(json!([])), MatcherError::NotAnObject);
    assert_eq!(refused(json!(null)), MatcherError::NotAnObject);
    assert_eq!(refused(json!({})), MatcherError::NoRows);
    assert_eq!(refused(json!({"": "a"})), MatcherError::EmptyKey);
    assert_eq!(
        refused(json!({"k".repeat(257): "a"})),
        MatcherError::KeyTooLong
    );
    assert!(AttributeMatchers::parse(&json!({"k".repeat(256): "a"})).is_ok());
    for value in [json!(null), json!([]), json!({}), json!(["a"])] {
        assert!(matches!(
            refused(json!({"a": value})),
            MatcherError::ValueType { .. }
        ));
    }
    assert!(matches!(
        refused(json!({"a": 1e300})),
        MatcherError::InexactNumber { .. }
    ));
    assert!(matches!(
        refused(json!({"a": "x".repeat(4097)})),
        MatcherError::ValueTooLong { .. }
    ));
    let rows =
        |count: usize| Value::Object((0..count).map(|i| (i.to_string(), json!(1))).collect());
    assert!(AttributeMatchers::parse(&rows(MAX_MATCHER_ROWS)).is_ok());
    let count = MAX_MATCHER_ROWS + 1;
    assert_eq!(refused(rows(count)), MatcherError::TooManyRows { count });
}

/// A raw claim of that name must never stand in for a derived attribute.
#[test]
fn derived_attributes_need_a_transformation() {
    for key in ["openai.team", "openai."] {
        let error = AttributeMatchers::parse(&json!({ key: "a" })).unwrap_err();
        assert!(
            matches!(error, MatcherError::NeedsTransformation { .. }),
            "{error}"
        );
    }
    assert!(AttributeMatchers::parse(&json!({"openai_team": "a"})).is_ok());
}

#[test]
fn a_mismatch_shows_what_was_expected_and_what_came() {
    let rows = matchers(&json!({"iss": "i", "repository": "org/*"}));
    let error = rows
        .matches(&claims(&json!({"iss": "i", "repository": "secret"})))
        .unwrap_err();
    assert_eq!(
        (&*error.row, &*error.expected),
        ("\"repository\"", "\"org/*\"")
    );
    assert_eq!(
        error.to_string(),
        "The row \"repository\" expects \"org/*\"; the token has \"secret\"."
    );
    for (claim, shown) in [
        (json!(5), "5"),
        (json!(true), "true"),
        (json!(null), "null"),
        (json!("a\nb"), r#""a\nb""#),
        (json!(["a", "b"]), r#"a list of "a b""#),
        (json!([1]), "a list"),
        (json!([]), "an empty list"),
        (json!({"a": "b"}), "an object"),
    ] {
        let error = rows
            .matches(&claims(&json!({"iss": "i", "repository": claim})))
            .unwrap_err();
        let sentence = error.to_string();
        assert!(
            sentence.ends_with(&format!("the token has {shown}.")),
            "{sentence}"
        );
    }
}

#[test]
fn prefixes_that_end_inside_a_name_are_warned_about() {
    let warned = |value: &str| matchers(&json!({"sub": value})).warnings();
    for value in ["repo:org/*", "ns:*", "user@*", "frag#*", "repo:org/repo"] {
        assert!(warned(value).is_empty(), "{value}");
    }
    for value in [
        "repo:org/repo*",
        "system:serviceaccount:prod*",
        "a.*",
        "org-*",
    ] {
        let warnings = warned(value);
        assert_eq!(warnings[0].key.as_deref(), Some("sub"), "{value}");
        assert!(
            warnings[0].message.contains("-evil"),
            "{}",
            warnings[0].message
        );
    }
}

#[test]
fn rules_without_an_identity_are_warned_about() {
    let rule_warning = |rows: Value| matchers(&rows).warnings().iter().any(|w| w.key.is_none());
    assert!(rule_warning(json!({"aud": "a"})));
    assert!(rule_warning(json!({"aud": "a", "iss": "i"})));
    assert!(!rule_warning(json!({"aud": "a", "sub": "s"})));
}

#[test]
fn rows_round_trip() {
    let rows = json!({"sub": "repo:a/*", "b": true, "n": 1.5, "i": -7, "s": ""});
    assert_eq!(serde_json::to_value(matchers(&rows)).unwrap(), rows);
}

proptest! {
    #[test]
    fn prefixes_match_exactly_what_starts_with_them(
        prefix in "[a-c:/]{1,4}", claim in "[a-c:/*]{0,8}",
    ) {
        let expected = claim.starts_with(&prefix);
        let rows = json!({"c": format!("{prefix}*")});
        prop_assert_eq!(admits(&rows, &json!({"c": claim})), expected);
    }

    #[test]
    fn parse_print_parse_is_stable(
        map in proptest::collection::btree_map("\\PC{0,5}", "\\PC{0,5}|[a-z]{1,3}\\*", 0..5),
    ) {
        let value = json!(map);
        if let Ok(parsed) = AttributeMatchers::parse(&value) {
            prop_assert_eq!(serde_json::to_value(&parsed).unwrap(), value);
        }
    }
}
