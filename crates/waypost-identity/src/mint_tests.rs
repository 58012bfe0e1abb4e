use serde_json::{Value, json};

use super::*;
use crate::forge::{AUDIENCE, NOW, OWN_ISSUER};
use crate::text::decode_base64url;

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

fn segments(token: &AccessToken) -> (Value, Value) {
    let parts: Vec<_> = token.expose().split('.').collect();
    let json = |part: &str| serde_json::from_slice(&decode_base64url(part).unwrap()).unwrap();
    (json(parts[0]), json(parts[1]))
}

#[test]
fn a_token_says_what_it_should() {
    let key = SigningKey::generate().unwrap();
    let token = mint(&key, OWN_ISSUER, AUDIENCE, &claims()).unwrap();
    let (header, payload) = segments(&token);
    assert_eq!(
        header,
        json!({"alg": "ES256", "typ": "at+jwt", "kid": key.kid()})
    );
    let expected = json!({
        "iss": OWN_ISSUER, "aud": AUDIENCE, "sub": "svc_acct_1", "client_id": "wip_1",
        "rule_id": "wifr_1", "project_id": "proj_1", "iat": NOW, "exp": NOW + 3600,
        "jti": "jti_1", "trust_epoch": 7,
    });
    assert_eq!(payload, expected);
    // RFC 6750 §2.1 b64token, which clients check.
    assert!(
        token
            .expose()
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    );
    assert!(token.expose().len() < 1024);
}

#[test]
fn scope_is_there_only_when_restricted() {
    let key = SigningKey::generate().unwrap();
    let scopes = ScopeSet::parse(["api.model.request", "api.model.read"]).ok();
    let token = mint(
        &key,
        OWN_ISSUER,
        AUDIENCE,
        &AccessClaims { scopes, ..claims() },
    )
    .unwrap();
    assert_eq!(
        segments(&token).1["scope"],
        "api.model.read api.model.request"
    );
}

#[test]
fn incomplete_or_long_lived_tokens_are_not_minted() {
    let key = SigningKey::generate().unwrap();
    let refused = |claims: AccessClaims| mint(&key, OWN_ISSUER, AUDIENCE, &claims).unwrap_err();
    for expires_at in [NOW, NOW - 1, NOW + 3601, i64::MAX, i64::MIN] {
        assert_eq!(
            refused(AccessClaims {
                expires_at,
                ..claims()
            }),
            MintError::Lifetime
        );
    }
    let empty = refused(AccessClaims {
        service_account_id: String::new(),
        ..claims()
    });
    assert_eq!(empty, MintError::Empty { field: "sub" });
    let no_scopes = AccessClaims {
        scopes: Some(ScopeSet::EMPTY),
        ..claims()
    };
    assert_eq!(refused(no_scopes), MintError::NoScopes);
    let no_issuer = mint(&key, "", AUDIENCE, &claims()).unwrap_err();
    assert_eq!(no_issuer, MintError::Empty { field: "iss" });
}

#[test]
fn an_access_token_never_outlives_its_subject_token() {
    assert_eq!(access_token_lifetime(NOW + 86_400, NOW), Ok(3600));
    assert_eq!(access_token_lifetime(NOW + 300, NOW), Ok(300));
    assert_eq!(access_token_lifetime(NOW + 1, NOW), Ok(1));
    for exp in [NOW, NOW - 30, i64::MIN] {
        assert_eq!(access_token_lifetime(exp, NOW), Err(SubjectTokenSpent));
    }
    assert_eq!(access_token_lifetime(i64::MAX, i64::MIN), Ok(3600));
}

#[test]
fn token_ids_differ_and_tokens_do_not_print() {
    let ids: std::collections::HashSet<_> = (0..100).map(|_| new_token_id().unwrap()).collect();
    assert_eq!(ids.len(), 100);
    let key = SigningKey::generate().unwrap();
    let token = mint(&key, OWN_ISSUER, AUDIENCE, &claims()).unwrap();
    assert_eq!(format!("{token:?}"), "AccessToken(hidden)");
}
