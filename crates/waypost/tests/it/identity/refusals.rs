//! Every row of the error table, and the limits.

use serde_json::{Map, Value, json};
use waypost_testkit::{
    Issuer,
    issuer::{Alg, SigningKey, now, sign_hs256, unsigned},
};

use super::{AUDIENCE, SUBJECT, World, assert_oauth_error, post_form};

const OPAQUE: &str = "No enabled service account mapping admits this subject token.";

/// About providers, keys and signatures callers are told nothing.
const OPAQUE_REASONS: [&str; 7] = [
    "unknown_kid",
    "key_algorithm_mismatch",
    "signature_invalid",
    "issuer_mismatch",
    "own_token",
    "unknown_provider",
    "provider_disabled",
];

#[tokio::test]
async fn malformed_requests_are_400() {
    let world = World::uploaded().await;
    let client = world.server.anonymous();
    let good = || world.request(&world.subject_token());
    let required = [
        "grant_type",
        "subject_token",
        "subject_token_type",
        "identity_provider_id",
        "service_account_id",
    ];
    for name in required {
        for bad in [
            json!(null),
            json!(""),
            json!("  "),
            json!(7),
            json!([good()[name]]),
        ] {
            let mut body = good();
            body[name] = bad.clone();
            let reply = world.send(body).await;
            let said = assert_oauth_error(&reply, 400, "invalid_request");
            assert!(said.contains(name), "{name} = {bad}: {said}");
        }
        let mut body = good();
        body.as_object_mut().expect("an object").shift_remove(name);
        let said = assert_oauth_error(&world.send(body).await, 400, "invalid_request");
        assert!(said.contains(name), "{said}");
    }
    for (name, bad) in [
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:saml2",
        ),
        (
            "subject_token_type",
            "urn:openai:params:oauth:token-type:x509",
        ),
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:refresh_token",
        ),
        ("actor_token", "x"),
        ("actor_token_type", super::JWT),
    ] {
        let mut body = good();
        body[name] = json!(bad);
        assert_oauth_error(&world.send(body).await, 400, "invalid_request");
    }
    let mut body = good();
    body["scope"] = json!(["api.model.read"]);
    assert_oauth_error(&world.send(body).await, 400, "invalid_request");

    let mut body = good();
    body["grant_type"] = json!("client_credentials");
    assert_oauth_error(&world.send(body).await, 400, "unsupported_grant_type");

    let text = good().to_string();
    let twice = format!(
        "{},\"grant_type\":\"{}\"}}",
        &text[..text.len() - 1],
        super::GRANT
    );
    for (kind, body) in [
        ("application/json", twice),
        ("application/json", "{".to_owned()),
        ("application/json", "[]".to_owned()),
        ("application/json", "\"x\"".to_owned()),
        ("application/json", String::new()),
        ("text/plain", text),
    ] {
        let request = client
            .request(reqwest::Method::POST, "/oauth/token")
            .header("content-type", kind)
            .body(body);
        assert_oauth_error(&client.send(request).await, 400, "invalid_request");
    }
    let reply = post_form(
        &client,
        "/oauth/token",
        "grant_type=a&grant_type=a".to_owned(),
    )
    .await;
    assert_oauth_error(&reply, 400, "invalid_request");
    client
        .get("/oauth/token")
        .await
        .error(405, None, Some("method_not_allowed"));
}

#[tokio::test]
async fn bodies_and_tokens_are_bounded() {
    let world = World::uploaded().await;
    let mut body = world.request(&world.subject_token());
    body["padding"] = json!("x".repeat(66_000));
    assert_oauth_error(&world.send(body).await, 400, "invalid_request");

    // A good token, but too long: refused before anything is verified.
    let mut claims = world.issuer.claims(SUBJECT, AUDIENCE, 3600);
    claims["padding"] = json!("x".repeat(12_500));
    let token = world.issuer.sign(&claims);
    assert!(token.len() > 16 * 1024);
    let reply = world.exchange(&token).await;
    let said = assert_oauth_error(&reply, 401, "invalid_subject_token");
    assert!(said.contains("at most 16384"), "{said}");
    assert_eq!(world.counted("token_too_large").await, 1);
    claims["padding"] = json!("x".repeat(10_000));
    world.exchange(&world.issuer.sign(&claims)).await.ok();
}

#[tokio::test]
async fn tokens_that_do_not_verify_are_401_and_told_what_they_show() {
    let world = World::uploaded().await;
    let issuer = &world.issuer;
    let key = issuer.key();
    let claims = || issuer.claims(SUBJECT, AUDIENCE, 3600);
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        issuer.sign(&claims)
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims
            .as_object_mut()
            .expect("an object")
            .shift_remove(name);
        issuer.sign(&claims)
    };
    let header = |name: &str, value: Value| {
        key.sign_with_header(&Map::from_iter([(name.to_owned(), value)]), &claims())
    };
    let good = issuer.sign(&claims());
    let (signed, signature) = good.rsplit_once('.').expect("three segments");
    let stranger = SigningKey::generate(Alg::ES256, &key.kid);
    let payload = claims().to_string();
    let own = world.access_token().await;
    let mut expired = claims();
    expired["iat"] = json!(now() - 3600);
    expired["exp"] = json!(now() - 1800);

    let cases = [
        ("not_compact", "abc".to_owned()),
        ("not_compact", signed.to_owned()),
        ("encrypted", format!("{good}.a.b")),
        ("not_base64url", format!("{signed}.{signature}=")),
        (
            "algorithm_none",
            unsigned("{\"alg\":\"none\",\"kid\":\"key-1\"}", &payload),
        ),
        (
            "algorithm_symmetric",
            sign_hs256(
                issuer.jwks_json().as_bytes(),
                "{\"alg\":\"HS256\",\"kid\":\"key-1\"}",
                &payload,
            ),
        ),
        ("algorithm_unsupported", header("alg", json!("ES256K"))),
        ("kid_missing", header("kid", Value::Null)),
        ("unknown_kid", header("kid", json!("other"))),
        ("critical_header", header("crit", json!(["exp"]))),
        ("type_not_accepted", header("typ", json!("secevent+jwt"))),
        ("key_algorithm_mismatch", header("alg", json!("RS256"))),
        ("signature_invalid", stranger.sign(&claims())),
        ("signature_invalid", format!("{signed}.{}", "A".repeat(86))),
        (
            "issuer_mismatch",
            with("iss", json!("https://other.example")),
        ),
        (
            "audience_mismatch",
            with("aud", json!("https://other.example")),
        ),
        ("audience_mismatch", with("aud", json!(["a", "b"]))),
        ("claim_invalid", with("aud", json!([AUDIENCE, 1]))),
        ("claim_missing", without("iss")),
        ("claim_missing", without("aud")),
        ("claim_missing", without("sub")),
        ("claim_missing", without("exp")),
        ("claim_missing", without("iat")),
        ("claim_invalid", with("exp", json!("9999999999"))),
        ("expired", issuer.sign(&expired)),
        (
            "expiry_not_after_issue",
            issuer.token(SUBJECT, AUDIENCE, -3600),
        ),
        ("issued_in_future", with("iat", json!(now() + 600))),
        ("not_yet_valid", with("nbf", json!(now() + 600))),
        ("own_token", with("iss", json!(world.server.base_url))),
        ("own_token", own),
    ];
    let mut counts: Map<String, Value> = Map::new();
    for (reason, token) in cases {
        let reply = world.exchange(&token).await;
        if OPAQUE_REASONS.contains(&reason) {
            assert_eq!(assert_oauth_error(&reply, 401, "invalid_grant"), OPAQUE);
        } else {
            let said = assert_oauth_error(&reply, 401, "invalid_subject_token");
            assert!(said.starts_with("The token"), "{reason}: {said}");
            assert!(!said.contains("example"), "{reason}: {said}");
        }
        let count = counts.get(reason).and_then(Value::as_u64).unwrap_or(0) + 1;
        counts.insert(reason.to_owned(), count.into());
        assert_eq!(world.counted(reason).await, count, "{reason}: {token}");
        assert!(
            !world.server.log().contains(&token) || token.len() < 10,
            "{reason}"
        );
    }

    // Within the skew, but with no life left to pass on.
    let mut spent = claims();
    spent["iat"] = json!(now() - 3600);
    spent["exp"] = json!(now() - 5);
    let reply = world.exchange(&issuer.sign(&spent)).await;
    assert_oauth_error(&reply, 401, "invalid_subject_token");
    assert_eq!(world.counted("subject_token_spent").await, 1);

    // The operator is told what the caller is not.
    let events = world.audited("waypost.token.refused", 30).await;
    let event = events
        .iter()
        .find(|event| event["waypost.token.refused"]["reason"] == "issuer_mismatch")
        .expect("the event");
    let payload = &event["waypost.token.refused"];
    assert!(
        payload["detail"]
            .as_str()
            .expect("text")
            .contains("https://other.example")
    );
    assert_eq!(payload["identity_provider_id"], world.provider_id);
    let log = world.server.wait_for_log("issuer_mismatch").await;
    assert!(log.contains("https://other.example"), "{log}");
    assert!(
        log.contains(
            payload["subject_token"]["sha256_prefix"]
                .as_str()
                .expect("text")
        )
    );
}

#[tokio::test]
async fn what_no_rule_admits_is_401_invalid_grant() {
    let world = World::discovering().await;
    world.access_token().await;
    let refused = |reply: &crate::harness::Reply| {
        assert_eq!(assert_oauth_error(reply, 401, "invalid_grant"), OPAQUE);
    };

    for id in [
        "wip_00000000000000000000000000000000",
        "idp_x",
        "../..",
        "*",
    ] {
        let mut body = world.request(&world.subject_token());
        body["identity_provider_id"] = json!(id);
        refused(&world.send(body).await);
    }
    assert_eq!(world.counted("unknown_provider").await, 4);

    let mut body = world.request(&world.subject_token());
    body["service_account_id"] = json!("svc_acct_00000000000000000000000000000000");
    refused(&world.send(body).await);
    assert_eq!(world.counted("no_rule").await, 1);
    // Without a good token nobody learns which service accounts there are.
    let mut body = world.request("a.b.c");
    body["service_account_id"] = json!("svc_acct_00000000000000000000000000000000");
    assert_oauth_error(&world.send(body).await, 401, "invalid_subject_token");

    let stranger = world
        .issuer
        .token("system:serviceaccount:dev:reporter", AUDIENCE, 60);
    refused(&world.exchange(&stranger).await);
    assert_eq!(world.counted("rule_mismatch").await, 1);
    // The operator sees what was expected and what came.
    let log = world.server.wait_for_log("rule_mismatch").await;
    assert!(log.contains("system:serviceaccount:prod:*"), "{log}");
    assert!(log.contains("system:serviceaccount:dev:reporter"), "{log}");

    world
        .admin_post(&world.rule_path(), json!({"enabled": false}))
        .await;
    refused(&world.exchange(&world.subject_token()).await);
    assert_eq!(world.counted("rule_disabled").await, 1);
    world
        .admin_post(&world.rule_path(), json!({"enabled": true}))
        .await;
    world.access_token().await;

    world
        .admin_post(&world.provider_path(), json!({"enabled": false}))
        .await;
    refused(&world.exchange(&world.subject_token()).await);
    assert_eq!(world.counted("provider_disabled").await, 1);
    world
        .admin_post(&world.provider_path(), json!({"enabled": true}))
        .await;
    world.access_token().await;
    // Unknown providers and refused tokens fetched nothing.
    assert_eq!(world.issuer.fetches().jwks, 1);

    let archive = format!(
        "/v1/organization/projects/{}/archive",
        world.tenant.project_id
    );
    world.admin_post(&archive, json!({})).await;
    refused(&world.exchange(&world.subject_token()).await);
    assert_eq!(world.counted("project_archived").await, 1);
}

#[tokio::test]
async fn providers_share_nothing() {
    let world = World::uploaded().await;
    // The same issuer for another audience, with other keys.
    let other = Issuer::start().await.expect("an issuer");
    let provider = json!({
        "type": "oidc",
        "name": "other",
        "issuer": world.issuer.issuer(),
        "audience": "other-audience",
        "verification": {"type": "uploaded_jwks", "jwks": other.jwks()},
    });
    let id = world
        .admin_post(super::PROVIDERS, provider)
        .await
        .text("id");
    let rule = json!({
        "project_id": world.tenant.project_id,
        "service_account_id": world.tenant.service_account_id,
        "attribute_matchers": {"sub": SUBJECT},
    });
    let rules = format!("{}/{id}/federation_rules", super::PROVIDERS);
    world.admin_post(&rules, rule).await;

    let mut claims = world.issuer.claims(SUBJECT, "other-audience", 60);
    let exchange = |token: String| {
        let mut body = world.request(&token);
        body["identity_provider_id"] = json!(id);
        world.send(body)
    };
    exchange(other.sign(&claims)).await.ok();
    assert_oauth_error(
        &exchange(world.issuer.sign(&claims)).await,
        401,
        "invalid_grant",
    );
    claims["aud"] = json!(AUDIENCE);
    // Its own issuer signed it, so the wrong audience is told.
    let said = assert_oauth_error(
        &exchange(other.sign(&claims)).await,
        401,
        "invalid_subject_token",
    );
    assert!(said.contains("`aud`"), "{said}");
    let forged = exchange(world.issuer.sign(&claims)).await;
    assert_oauth_error(&forged, 401, "invalid_grant");
}

/// A stranger with a well-formed token cannot tell which providers there are.
#[tokio::test]
async fn unknown_and_disabled_providers_answer_as_a_bad_signature_does() {
    let world = World::uploaded().await;
    let disabled = json!({
        "type": "oidc", "name": "disabled", "enabled": false,
        "issuer": world.issuer.issuer(), "audience": AUDIENCE,
        "verification": {"type": "uploaded_jwks", "jwks": world.issuer.jwks()},
    });
    let disabled = world
        .admin_post(super::PROVIDERS, disabled)
        .await
        .text("id");
    let ids = [
        world.provider_id.as_str(),
        "wip_00000000000000000000000000000000",
        &disabled,
    ];
    let answers = async |token: &str| {
        let mut answers = Vec::new();
        for id in ids {
            let mut body = world.request(token);
            body["identity_provider_id"] = json!(id);
            let reply = world.send(body).await;
            let mut headers = reply.headers.clone();
            for changing in ["x-request-id", "date", "openai-processing-ms"] {
                headers.remove(changing);
            }
            answers.push((reply.status, format!("{headers:?}"), reply.text));
        }
        answers
    };
    let same = |answers: &[(u16, String, String)]| {
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
    };
    // Forged tokens of every algorithm, and one under a key that is not there.
    for alg in [Alg::ES256, Alg::ES384, Alg::RS256, Alg::PS256, Alg::EdDSA] {
        let stranger = SigningKey::generate(alg, &world.issuer.key().kid);
        let claims = world.issuer.claims(SUBJECT, AUDIENCE, 600);
        let unknown = SigningKey::generate(alg, "unknown");
        for forged in [stranger.sign(&claims), unknown.sign(&claims)] {
            let answers = answers(&forged).await;
            same(&answers);
            assert_eq!(answers[0].0, 401);
            assert!(answers[0].2.contains(OPAQUE), "{}", answers[0].2);
        }
    }
    assert_eq!(world.counted("unknown_provider").await, 10);
    assert_eq!(world.counted("provider_disabled").await, 10);
    // What a token shows by itself is told before any provider is looked for.
    let mut expired = world.issuer.claims(SUBJECT, AUDIENCE, 600);
    expired["iat"] = json!(now() - 3600);
    expired["exp"] = json!(now() - 1800);
    let nameless = Map::from_iter([("kid".to_owned(), Value::Null)]);
    let key = world.issuer.key();
    for (token, told) in [
        (key.sign(&expired), "expired"),
        (key.sign_with_header(&nameless, &expired), "`kid`"),
        ("a.b.c".to_owned(), "base64url"),
    ] {
        let answers = answers(&token).await;
        same(&answers);
        assert!(answers[0].2.contains("invalid_subject_token"), "{told}");
        assert!(answers[0].2.contains(told), "{}", answers[0].2);
    }
    assert_eq!(world.counted("unknown_provider").await, 10);
}

/// The limit of a provider tells no more.
#[tokio::test]
async fn an_id_of_no_provider_has_the_limit_of_one() {
    let issuer = Issuer::start().await.expect("an issuer");
    let verification = json!({"type": "uploaded_jwks", "jwks": issuer.jwks()});
    let world = World::of(
        issuer,
        "exchanges_per_provider = 1",
        Some(verification),
        &[],
    )
    .await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let mut body = world.request(&world.subject_token());
        body["identity_provider_id"] = json!("wip_none");
        statuses.push(world.send(body).await.status);
    }
    assert_eq!(statuses[..2], [401, 401]);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn rates_are_bounded_for_clients_and_providers() {
    for (setting, reason) in [
        ("exchanges_per_client = 2", "client_rate"),
        ("exchanges_per_provider = 2", "provider_rate"),
    ] {
        let issuer = Issuer::start().await.expect("an issuer");
        let verification = json!({"type": "uploaded_jwks", "jwks": issuer.jwks()});
        let world = World::of(issuer, setting, Some(verification), &[]).await;
        let mut refused = 0;
        for _ in 0..12 {
            let reply = world.exchange(&world.subject_token()).await;
            if reply.status != 200 {
                assert_oauth_error(&reply, 429, "temporarily_unavailable");
                refused += 1;
            }
        }
        assert!(refused >= 3, "{reason}: {refused} of 12");
        assert_eq!(world.counted(reason).await, refused);
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        world.access_token().await;
    }
}

#[tokio::test]
async fn a_flood_of_refusals_does_not_fill_the_audit_log() {
    const FLOOD: usize = 600;
    let world = World::uploaded().await;
    let flood = (0..FLOOD).map(|_| world.exchange("a.b.c"));
    futures::future::join_all(flood).await;
    assert_eq!(world.counted("not_base64url").await, FLOOD as u64);
    // The next one that is written says how many were not.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    world.exchange("a.b.c").await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;

    let path = "/v1/organization/audit_logs?event_types[]=waypost.token.refused&limit=100";
    let mut events = Vec::new();
    let mut next = path.to_owned();
    loop {
        let page = world.server.admin().get(&next).await.ok();
        events.extend(page.json["data"].as_array().expect("a list").clone());
        if page.json["has_more"] == false {
            break;
        }
        next = format!("{path}&after={}", page.text("last_id"));
    }
    assert!((100..300).contains(&events.len()), "{}", events.len());
    let suppressed: u64 = events
        .iter()
        .filter_map(|event| event["waypost.token.refused"]["suppressed_before"].as_u64())
        .sum();
    assert_eq!(suppressed + events.len() as u64, FLOOD as u64 + 1);
}
