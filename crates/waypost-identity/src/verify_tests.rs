use serde_json::json;

use super::*;
use crate::forge::{
    AUDIENCE, ISSUER, KEYS, NOW, OWN_ISSUER, P256, check, claims, claims_with, header, policy,
    refused, token, token_of, verify,
};
use crate::policy::PolicyError;

#[test]
fn every_algorithm_verifies_with_its_key() {
    for algorithm in Algorithm::ALL {
        let verified = check(&token(algorithm, &header(algorithm), &claims())).unwrap();
        assert_eq!(verified.algorithm(), algorithm);
        assert_eq!(verified.sub(), "system:serviceaccount:default:worker");
        assert_eq!(verified.iss(), ISSUER);
        assert_eq!((verified.iat(), verified.exp()), (NOW - 10, NOW + 600));
        assert_eq!(verified.kid(), header(algorithm)["kid"]);
        assert_eq!(Value::Object(verified.raw().clone()), claims());
    }
}

#[test]
fn an_algorithm_outside_the_policy_is_refused() {
    let only_rsa = policy()
        .with_algorithms([Algorithm::Rs256].into_iter().collect())
        .unwrap();
    let refusal = verify(&token_of(&claims()), &only_rsa, &KEYS, NOW);
    assert_eq!(
        refusal,
        Err(Refusal::AlgorithmNotAllowed {
            algorithm: Algorithm::Es256
        })
    );
    let rs256 = token(Algorithm::Rs256, &header(Algorithm::Rs256), &claims());
    assert!(verify(&rs256, &only_rsa, &KEYS, NOW).is_ok());
}

#[test]
fn every_required_claim_is_required() {
    for claim in ["iss", "aud", "sub", "exp", "iat"] {
        let token = token_of(&claims_with(&json!({ claim: null })));
        assert_eq!(check(&token), Err(Refusal::ClaimMissing { claim }));
    }
}

#[test]
fn claims_of_the_wrong_type_are_refused() {
    for (claim, values) in [
        (
            "iss",
            vec![json!(1), json!([ISSUER]), json!({}), json!(true)],
        ),
        (
            "sub",
            vec![
                json!(7),
                json!(["a"]),
                json!(""),
                json!("a\u{0}b"),
                json!("a\nb"),
            ],
        ),
        (
            "aud",
            vec![
                json!(1),
                json!([]),
                json!({}),
                json!([AUDIENCE, 1]),
                json!([null]),
            ],
        ),
        (
            "exp",
            vec![
                json!("1900000000"),
                json!(true),
                json!([NOW + 9]),
                json!(1e300),
            ],
        ),
        (
            "iat",
            vec![json!("1"), json!({}), json!(-9.1e15), json!(u64::MAX)],
        ),
        ("nbf", vec![json!("1"), json!(false), json!(i64::MIN)]),
    ] {
        for value in values {
            let refusal = check(&token_of(&claims_with(&json!({ claim: value }))));
            assert!(
                matches!(refusal, Err(Refusal::ClaimInvalid { claim: found, .. }) if found == claim),
                "{claim} = {value}: {refusal:?}"
            );
        }
    }
}

#[test]
fn a_null_claim_is_not_a_missing_claim() {
    for claim in ["iss", "sub", "aud", "exp", "iat", "nbf"] {
        let mut claims = claims();
        claims[claim] = Value::Null;
        assert_eq!(refused(&token_of(&claims)), "claim_invalid", "{claim}");
    }
}

#[test]
fn the_issuer_folds_one_trailing_slash_only() {
    let iss = |iss: &str| check(&token_of(&claims_with(&json!({"iss": iss}))));
    assert_eq!(
        iss("https://issuer.example/").unwrap().iss(),
        "https://issuer.example/"
    );
    for other in [
        "https://issuer.example//",
        "https://ISSUER.example",
        "http://issuer.example",
        "",
    ] {
        assert!(
            matches!(iss(other), Err(Refusal::IssuerMismatch { .. })),
            "{other}"
        );
    }
    let slashed = TrustPolicy::new("https://issuer.example/", AUDIENCE, OWN_ISSUER).unwrap();
    assert!(verify(&token_of(&claims()), &slashed, &KEYS, NOW).is_ok());
}

#[test]
fn the_audience_is_one_exact_element() {
    let aud = |aud: Value| check(&token_of(&claims_with(&json!({"aud": aud}))));
    assert!(aud(json!(AUDIENCE)).is_ok());
    assert!(aud(json!(["x", AUDIENCE])).is_ok());
    for other in [
        json!("x"),
        json!(""),
        json!("https://api.openai.com/v1/"),
        json!("https://api.openai.com/v1 x"),
        json!("HTTPS://api.openai.com/v1"),
        json!(["x", "https://api.openai.com"]),
    ] {
        assert!(
            matches!(aud(other.clone()), Err(Refusal::AudienceMismatch { .. })),
            "{other}"
        );
    }
}

/// CVE-2024-5798 (Vault JWT auth): an `aud` that is a string instead of a list was not checked.
#[test]
fn cve_2024_5798_a_string_audience_is_checked() {
    let token = token_of(&claims_with(&json!({"aud": "https://other.example"})));
    assert_eq!(refused(&token), "audience_mismatch");
}

#[test]
fn the_subject_is_bounded() {
    let sub = |length| {
        check(&token_of(&claims_with(
            &json!({"sub": "é".repeat(length / 2)}),
        )))
    };
    assert!(sub(MAX_SUBJECT_BYTES).is_ok());
    assert_eq!(
        sub(MAX_SUBJECT_BYTES + 2).unwrap_err().code(),
        "claim_invalid"
    );
}

#[test]
fn times_are_tolerated_within_the_skew_and_no_further() {
    let skew = i64::from(DEFAULT_SKEW_SECONDS);
    let code = |changes: Value| check(&token_of(&claims_with(&changes))).map_err(|r| r.code());
    let accepted = |changes: Value| assert_eq!(code(changes.clone()).err(), None, "{changes}");
    let refused = |changes: Value, expected| assert_eq!(code(changes).err(), Some(expected));
    accepted(json!({"exp": NOW - skew + 1, "iat": NOW - 100}));
    refused(json!({"exp": NOW - skew, "iat": NOW - 100}), "expired");
    accepted(json!({"iat": NOW + skew}));
    refused(json!({"iat": NOW + skew + 1}), "issued_in_future");
    accepted(json!({"nbf": NOW + skew}));
    refused(json!({"nbf": NOW + skew + 1}), "not_yet_valid");
    accepted(json!({"nbf": -5}));
    refused(json!({"exp": NOW - 10}), "expiry_not_after_issue");
    refused(json!({"exp": NOW - 11}), "expiry_not_after_issue");
    refused(json!({"iat": 0, "exp": -1}), "expiry_not_after_issue");
    refused(
        json!({"iat": -9_007_199_254_740_992_i64, "exp": 0}),
        "expired",
    );
}

#[test]
fn fractions_of_seconds_are_rounded_down() {
    let token = token_of(&claims_with(
        &json!({"iat": 1_799_999_990.9, "exp": 1_800_000_600.75}),
    ));
    let verified = check(&token).unwrap();
    assert_eq!((verified.iat(), verified.exp()), (NOW - 10, NOW + 600));
}

#[test]
fn the_skew_can_be_set_to_nothing() {
    let token = token_of(&claims());
    let strict = |now| Presented::read(&token, 0, now).err();
    assert_eq!(strict(NOW + 599), None);
    assert_eq!(
        strict(NOW + 600),
        Some(Refusal::Expired {
            exp: NOW + 600,
            now: NOW + 600,
            skew: 0
        })
    );
    let early = strict(NOW - 11).unwrap();
    assert_eq!(early.code(), "issued_in_future");
}

#[test]
fn extreme_clocks_do_not_overflow() {
    let token = token_of(&claims());
    for now in [i64::MIN, -1, 0, i64::MAX] {
        assert!(verify(&token, &policy(), &KEYS, now).is_err());
    }
}

#[test]
fn the_lifetime_can_be_limited() {
    let limited = |seconds| {
        let policy = policy().with_max_lifetime_seconds(seconds).unwrap();
        verify(&token_of(&claims()), &policy, &KEYS, NOW)
    };
    assert!(limited(610).is_ok());
    assert_eq!(
        limited(609),
        Err(Refusal::LifetimeTooLong {
            seconds: 610,
            max: 609
        })
    );
    assert_eq!(
        policy().with_max_lifetime_seconds(0).unwrap_err(),
        PolicyError::NoLifetime
    );
}

#[test]
fn an_unknown_kid_is_reported_only_for_an_otherwise_good_token() {
    let mut header = header(Algorithm::Es256);
    header["kid"] = json!("rotated");
    let unknown = check(&token(Algorithm::Es256, &header, &claims())).unwrap_err();
    assert_eq!(
        unknown,
        Refusal::UnknownKid {
            kid: "\"rotated\"".to_owned()
        }
    );
    assert!(unknown.may_be_cured_by_new_keys());
    for changes in [
        json!({"exp": NOW - 99, "iat": NOW - 999}),
        json!({"iss": "https://other.example"}),
        json!({"aud": "other"}),
        json!({"sub": ""}),
    ] {
        let token = token(Algorithm::Es256, &header, &claims_with(&changes));
        let refusal = check(&token).unwrap_err();
        assert!(!refusal.may_be_cured_by_new_keys(), "{changes}: {refusal}");
    }
}

/// A caller that could tell verdicts apart by their time would learn which providers there are.
#[test]
fn every_verdict_costs_one_verification() {
    let decoys = |verdict: &dyn Fn() -> Result<VerifiedClaims, Refusal>| {
        let before = decoy::spent();
        let code = verdict().map_err(|refusal| refusal.code()).err();
        (code, decoy::spent() - before)
    };
    let mut rotated = header(Algorithm::Es256);
    rotated["kid"] = json!("rotated");
    let mut foreign = header(Algorithm::Es256);
    foreign["kid"] = json!("rsa");
    let elsewhere = claims_with(&json!({"aud": "other"}));
    let good = token_of(&claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    for (token, code, expected) in [
        (good.clone(), None, 0),
        (token_of(&elsewhere), Some("audience_mismatch"), 0),
        (
            format!("{signed}.{}", "A".repeat(86)),
            Some("signature_invalid"),
            0,
        ),
        (
            token_of(&claims_with(&json!({"iss": "https://other.example"}))),
            Some("issuer_mismatch"),
            1,
        ),
        (
            token(Algorithm::Es256, &foreign, &claims()),
            Some("key_algorithm_mismatch"),
            1,
        ),
        (
            token(Algorithm::Es256, &rotated, &elsewhere),
            Some("audience_mismatch"),
            1,
        ),
        (
            token(Algorithm::Es256, &rotated, &claims()),
            Some("unknown_kid"),
            1,
        ),
    ] {
        let presented = Presented::read(&token, DEFAULT_SKEW_SECONDS, NOW).unwrap();
        let verdict = decoys(&|| presented.verify(&policy(), &KEYS));
        assert_eq!(verdict, (code, expected));
        // A token that is looked at again with newer keys costs nothing before.
        let first = decoys(&|| presented.verify_unless_newer_keys_help(&policy(), &KEYS));
        let again = code == Some("unknown_kid");
        assert_eq!(first, (code, if again { 0 } else { expected }));
    }
}

/// What is told needs no provider: the same token is refused by itself, with the same words.
#[test]
fn only_what_the_token_shows_is_told_and_a_wrong_audience_once_the_signature_holds() {
    let alone = |token: &str| {
        let read = Presented::read(token, DEFAULT_SKEW_SECONDS, NOW);
        read.err().and_then(|refusal| refusal.told())
    };
    for changes in [
        json!({"exp": NOW - 99, "iat": NOW - 999}),
        json!({"iat": NOW + 99}),
        json!({"nbf": NOW + 99}),
        json!({"exp": NOW - 10}),
        json!({"iss": null}),
        json!({"sub": 7}),
        json!({"aud": [1]}),
    ] {
        let token = token_of(&claims_with(&changes));
        let told = check(&token).unwrap_err().told();
        assert!(told.is_some(), "{changes}");
        assert_eq!(told, alone(&token));
    }
    let mut unknown = header(Algorithm::Es256);
    unknown["kid"] = json!("other");
    let mut foreign = header(Algorithm::Es256);
    foreign["kid"] = json!("rsa");
    let audience = claims_with(&json!({"aud": "other"}));
    let good = token_of(&claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    for token in [
        token_of(&claims_with(&json!({"iss": "https://other.example"}))),
        token_of(&claims_with(&json!({"iss": OWN_ISSUER}))),
        token(Algorithm::Es256, &unknown, &claims()),
        token(Algorithm::Es256, &foreign, &claims()),
        token(Algorithm::Es256, &unknown, &audience),
        format!("{signed}.{}", "A".repeat(86)),
    ] {
        assert_eq!(alone(&token), None);
        let refusal = check(&token).unwrap_err();
        assert_eq!(refusal.told(), None, "{refusal}");
    }
    let audience = check(&token_of(&audience)).unwrap_err();
    assert!(matches!(
        audience,
        Refusal::AudienceMismatch { signed: true, .. }
    ));
    let told = audience.told().unwrap();
    assert!(told.contains("`aud`") && !told.contains(AUDIENCE), "{told}");
}

#[test]
fn refusals_show_times_as_times() {
    let expired = claims_with(&json!({"exp": NOW - 3600, "iat": NOW - 7200}));
    let refusal = check(&token_of(&expired)).unwrap_err().to_string();
    assert!(
        refusal.contains("`exp` is 2027-01-15T07:00:00Z"),
        "{refusal}"
    );
    assert!(
        refusal.contains("the time is 2027-01-15T08:00:00Z"),
        "{refusal}"
    );
}

#[test]
fn a_key_that_a_fetched_set_repeats_serves_nobody() {
    let document = json!({"keys": [P256.jwk(), P256.jwk()]}).to_string();
    let keys = KeySet::parse_fetched(document.as_bytes()).unwrap();
    let refusal = verify(&token_of(&claims()), &policy(), &keys, NOW).unwrap_err();
    assert_eq!(refusal.code(), "key_unusable");
    assert!(!refusal.may_be_cured_by_new_keys());
    assert!(refusal.to_string().contains("repeats the kid"), "{refusal}");
}

#[test]
fn own_tokens_are_never_subject_tokens() {
    let own = token_of(&claims_with(&json!({"iss": "https://waypost.example/"})));
    assert_eq!(refused(&own), "own_token");
    let key = crate::SigningKey::generate().unwrap();
    let claims = crate::AccessClaims {
        service_account_id: "svc_acct_1".to_owned(),
        project_id: "proj_1".to_owned(),
        provider_id: "wip_1".to_owned(),
        rule_id: "wifr_1".to_owned(),
        token_id: "t".to_owned(),
        issued_at: NOW,
        expires_at: NOW + 60,
        scopes: None,
        trust_epoch: 1,
    };
    let minted = crate::mint(&key, OWN_ISSUER, AUDIENCE, &claims).unwrap();
    assert_eq!(refused(minted.expose()), "own_token");
}

#[test]
fn jti_is_exposed_when_it_is_a_real_one() {
    let jti = |value: Value| {
        let verified = check(&token_of(&claims_with(&json!({"jti": value})))).unwrap();
        verified.jti().map(str::to_owned)
    };
    assert_eq!(jti(json!("a1")), Some("a1".to_owned()));
    assert_eq!(jti(json!("")), None);
    assert_eq!(jti(json!(5)), None);
}

#[test]
fn verified_claims_do_not_print_what_they_hold() {
    let verified = check(&token_of(&claims())).unwrap();
    assert!(!format!("{verified:?}").contains("serviceaccount"));
}
