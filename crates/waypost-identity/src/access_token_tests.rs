use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::forge::{AUDIENCE, NOW, OWN_ISSUER};
use crate::signing_key::SigningKey;
use crate::text::encode_base64url;
use crate::{Scope, mint};

fn claims() -> AccessClaims {
    AccessClaims {
        service_account_id: "svc_acct_1".to_owned(),
        project_id: "proj_1".to_owned(),
        provider_id: "wip_1".to_owned(),
        rule_id: "wifr_1".to_owned(),
        token_id: "jti_1".to_owned(),
        issued_at: NOW,
        expires_at: NOW + 3600,
        scopes: None,
        trust_epoch: 7,
    }
}

fn verifier(keys: &[&SigningKey]) -> AccessTokenVerifier {
    let keys = keys.iter().map(|key| key.public_jwk());
    AccessTokenVerifier::new(OWN_ISSUER, AUDIENCE, keys).unwrap()
}

/// A token with any header and payload, signed by our own key.
fn signed(key: &SigningKey, header: &str, payload: &str) -> String {
    let input = format!("{}.{}", encode_base64url(header), encode_base64url(payload));
    format!(
        "{input}.{}",
        encode_base64url(key.sign(input.as_bytes()).unwrap())
    )
}

fn good_header(key: &SigningKey) -> String {
    format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{}"}}"#, key.kid())
}

fn good_payload() -> Value {
    json!({
        "iss": OWN_ISSUER, "aud": AUDIENCE, "sub": "svc_acct_1", "client_id": "wip_1",
        "rule_id": "wifr_1", "project_id": "proj_1", "iat": NOW, "exp": NOW + 3600,
        "jti": "jti_1", "trust_epoch": 7,
    })
}

#[test]
fn minted_claims_come_back() {
    let key = SigningKey::generate().unwrap();
    for scopes in [
        None,
        Some([Scope::ModelRead, Scope::TunnelUse].into_iter().collect()),
    ] {
        let minted = AccessClaims { scopes, ..claims() };
        let token = mint(&key, OWN_ISSUER, AUDIENCE, &minted).unwrap();
        assert_eq!(verifier(&[&key]).verify(token.expose(), NOW), Ok(minted));
    }
}

#[test]
fn previous_keys_still_verify_and_dropped_ones_do_not() {
    let (old, new) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let token = mint(&old, OWN_ISSUER, AUDIENCE, &claims()).unwrap();
    assert!(verifier(&[&new, &old]).verify(token.expose(), NOW).is_ok());
    let dropped = verifier(&[&new]).verify(token.expose(), NOW);
    assert_eq!(dropped, Err(AccessTokenRefusal::UnknownKey));
    let none = verifier(&[]).verify(token.expose(), NOW);
    assert_eq!(none, Err(AccessTokenRefusal::UnknownKey));
}

#[test]
fn expiry_is_exact() {
    let key = SigningKey::generate().unwrap();
    let token = mint(&key, OWN_ISSUER, AUDIENCE, &claims()).unwrap();
    let at = |now| verifier(&[&key]).verify(token.expose(), now).map(|_| ());
    assert_eq!(at(NOW + 3599), Ok(()));
    assert_eq!(at(NOW + 3600), Err(AccessTokenRefusal::Expired));
    assert_eq!(at(NOW - 60), Ok(()));
    assert_eq!(at(NOW - 61), Err(AccessTokenRefusal::IssuedInFuture));
    assert_eq!(at(i64::MAX), Err(AccessTokenRefusal::Expired));
    assert_eq!(at(i64::MIN), Err(AccessTokenRefusal::IssuedInFuture));
}

#[test]
fn only_the_header_that_we_print_is_accepted() {
    let key = SigningKey::generate().unwrap();
    let verifier = verifier(&[&key]);
    let payload = good_payload().to_string();
    assert!(
        verifier
            .verify(&signed(&key, &good_header(&key), &payload), NOW)
            .is_ok()
    );
    let kid = key.kid();
    for header in [
        format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#),
        r#"{"alg":"ES256","typ":"at+jwt"}"#.to_owned(),
        format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}","crit":["x"]}}"#),
    ] {
        let verdict = verifier.verify(&signed(&key, &header, &payload), NOW);
        assert_eq!(verdict, Err(AccessTokenRefusal::UnknownKey), "{header}");
    }
}

#[test]
fn claims_that_we_do_not_issue_are_refused() {
    let key = SigningKey::generate().unwrap();
    let verifier = verifier(&[&key]);
    let verdict = |change: &dyn Fn(&mut Value)| {
        let mut payload = good_payload();
        change(&mut payload);
        verifier
            .verify(&signed(&key, &good_header(&key), &payload.to_string()), NOW)
            .map(|_| ())
    };
    assert_eq!(verdict(&|_| {}), Ok(()));
    let wrong = Err(AccessTokenRefusal::WrongIssuerOrAudience);
    assert_eq!(
        verdict(&|p| p["iss"] = json!("https://waypost.example/")),
        wrong
    );
    assert_eq!(verdict(&|p| p["aud"] = json!("other")), wrong);
    let malformed = Err(AccessTokenRefusal::Malformed);
    assert_eq!(verdict(&|p| p["aud"] = json!([AUDIENCE])), malformed);
    assert_eq!(verdict(&|p| p["exp"] = json!(NOW + 3601)), malformed);
    assert_eq!(verdict(&|p| p["exp"] = json!("never")), malformed);
    assert_eq!(verdict(&|p| p["trust_epoch"] = json!(-1)), malformed);
    assert_eq!(
        verdict(&|p| p["scope"] = json!("api.everything")),
        malformed
    );
    assert_eq!(verdict(&|p| p["admin"] = json!(true)), malformed);
    for claim in [
        "sub",
        "client_id",
        "rule_id",
        "project_id",
        "iat",
        "exp",
        "jti",
        "trust_epoch",
    ] {
        let remove = |p: &mut Value| drop(p.as_object_mut().unwrap().remove(claim));
        assert_eq!(verdict(&remove), malformed, "{claim}");
    }
    let twice = good_payload()
        .to_string()
        .replacen('{', r#"{"sub":"other","#, 1);
    let twice = verifier.verify(&signed(&key, &good_header(&key), &twice), NOW);
    assert_eq!(twice, Err(AccessTokenRefusal::Malformed));
}

/// An empty `scope` must read as "nothing", never as "no restriction".
#[test]
fn an_empty_scope_is_a_restriction() {
    let key = SigningKey::generate().unwrap();
    let mut payload = good_payload();
    payload["scope"] = json!("");
    let token = signed(&key, &good_header(&key), &payload.to_string());
    let claims = verifier(&[&key]).verify(&token, NOW).unwrap();
    assert_eq!(claims.scopes, Some(ScopeSet::EMPTY));
}

#[test]
fn other_bearers_are_refused_cheaply() {
    let key = SigningKey::generate().unwrap();
    let verify = |token: &str| verifier(&[&key]).verify(token, NOW).unwrap_err();
    assert_eq!(verify(""), AccessTokenRefusal::NotCompact);
    assert_eq!(verify("sk-svcacct-abc"), AccessTokenRefusal::NotCompact);
    assert_eq!(verify("a.b"), AccessTokenRefusal::NotCompact);
    assert_eq!(verify("a.b.c"), AccessTokenRefusal::UnknownKey);
    assert_eq!(verify(&".".repeat(4096)), AccessTokenRefusal::UnknownKey);
    assert_eq!(verify(&".".repeat(4097)), AccessTokenRefusal::TooLarge);
    let foreign = crate::forge::token_of(&crate::forge::claims());
    assert_eq!(verify(&foreign), AccessTokenRefusal::UnknownKey);
}

#[test]
fn any_flipped_bit_is_refused() {
    let key = SigningKey::generate().unwrap();
    let verifier = verifier(&[&key]);
    let token = mint(&key, OWN_ISSUER, AUDIENCE, &claims()).unwrap();
    for position in 0..token.expose().len() * 8 {
        let mut bytes = token.expose().as_bytes().to_vec();
        bytes[position / 8] ^= 1 << (position % 8);
        if let Ok(flipped) = String::from_utf8(bytes) {
            assert!(verifier.verify(&flipped, NOW).is_err(), "bit {position}");
        }
    }
}

proptest! {
    #[test]
    fn every_claim_set_round_trips(
        ids in proptest::array::uniform5("\\PC{1,20}"),
        issued_at in 0..i64::MAX - 3600,
        life in 1..=3600_i64,
        trust_epoch in any::<u64>(),
        bits in proptest::option::of(proptest::sample::subsequence(Scope::ALL.to_vec(), 1..=7)),
    ) {
        let key = SigningKey::generate().unwrap();
        let [service_account_id, project_id, provider_id, rule_id, token_id] = ids;
        let claims = AccessClaims {
            service_account_id,
            project_id,
            provider_id,
            rule_id,
            token_id,
            issued_at,
            expires_at: issued_at + life,
            scopes: bits.map(|scopes| scopes.into_iter().collect()),
            trust_epoch,
        };
        let token = mint(&key, OWN_ISSUER, AUDIENCE, &claims).unwrap();
        prop_assert_eq!(verifier(&[&key]).verify(token.expose(), issued_at), Ok(claims));
    }
}
