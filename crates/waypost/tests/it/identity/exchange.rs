//! `POST /oauth/token` when all is well.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use waypost_testkit::issuer::Alg;

use super::{AUDIENCE, GRANT, JWT, SUBJECT, World, assert_uncached, is_accepted, post_form};

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three segments");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("JSON")
}

#[tokio::test]
async fn a_workload_without_a_key_gets_a_token_and_uses_it() {
    let world = World::discovering().await;
    let reply = world.exchange(&world.subject_token()).await.ok();
    assert_uncached(&reply);
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(
        reply.json["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    assert_eq!(reply.json["token_type"], "Bearer");
    let expires_in = reply.json["expires_in"].as_i64().expect("seconds");
    assert!((3595..=3600).contains(&expires_in), "{expires_in}");
    let token = reply.text("access_token");
    assert!(
        token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
    );
    let claims = claims_of(&token);
    assert_eq!(claims["exp"], reply.json["expires_at"]);
    assert_eq!(
        claims["exp"].as_i64().expect("seconds") - claims["iat"].as_i64().expect("seconds"),
        expires_in
    );
    assert_eq!(claims["iss"], world.server.base_url);
    assert_eq!(claims["sub"], world.tenant.service_account_id);
    assert_eq!(claims["client_id"], world.provider_id);
    assert_eq!(claims["rule_id"], world.rule_id);
    assert_eq!(claims["project_id"], world.tenant.project_id);
    assert!(reply.json.get("scope").is_none(), "{}", reply.text);
    assert!(reply.json.get("refresh_token").is_none(), "{}", reply.text);
    assert!(is_accepted(&world.server.client(&token)).await);

    // Keys at hand: no more fetches.
    for _ in 0..5 {
        world.access_token().await;
    }
    let fetches = world.issuer.fetches();
    assert_eq!((fetches.discovery, fetches.jwks), (1, 1));
    assert_eq!(world.counted("issued").await, 6);

    let events = world.audited("waypost.token.issued", 6).await;
    let event = events.last().expect("the first");
    let payload = &event["waypost.token.issued"];
    assert_eq!(payload["id"], claims["jti"]);
    assert_eq!(payload["subject"], SUBJECT);
    assert_eq!(payload["federation_rule_id"], world.rule_id);
    assert_eq!(event["project"]["id"], world.tenant.project_id);
    assert!(!event.to_string().contains(&token[token.len() - 40..]));
    assert!(!world.server.log().contains(&token));
}

#[tokio::test]
async fn every_algorithm_is_accepted() {
    let world = World::discovering().await;
    for alg in Alg::ALL {
        world.issuer.rotate(alg, true);
        // Each key is unknown at first; the cooldown lets one fetch through.
        tokio::time::sleep(std::time::Duration::from_millis(520)).await;
        let reply = world.exchange(&world.subject_token()).await;
        assert_eq!(reply.status, 200, "{alg:?}: {}", reply.text);
    }
}

#[tokio::test]
async fn uploaded_keys_cause_no_fetch() {
    let world = World::uploaded().await;
    assert!(is_accepted(&world.workload().await).await);
    let fetches = world.issuer.fetches();
    assert_eq!((fetches.discovery, fetches.jwks), (0, 0));
}

#[tokio::test]
async fn form_bodies_prefixes_and_tolerated_parameters() {
    let world = World::uploaded().await;
    let form = |more: &str| {
        let token = world.subject_token();
        format!(
            "grant_type={}&subject_token_type={}&subject_token={token}&identity_provider_id={}&service_account_id={}{more}",
            GRANT.replace(':', "%3A"),
            JWT.replace(':', "%3A"),
            world.provider_id,
            world.tenant.service_account_id
        )
    };
    let client = world.server.anonymous();
    for path in ["/oauth/token", "/v1/oauth/token", "/some/base/oauth/token"] {
        post_form(&client, path, form("")).await.ok();
    }
    post_form(
        &client,
        "/oauth/token",
        form("&audience=a&audience=b&resource=x&scope=admin&client_id=&unknown=1"),
    )
    .await
    .ok();

    let mut body = world.request(&world.subject_token());
    body["subject_token_type"] = json!("urn:ietf:params:oauth:token-type:id_token");
    body["requested_token_type"] = json!("urn:ietf:params:oauth:token-type:access_token");
    body["scope"] = json!("api.organization.tunnel.write");
    body["client_id"] = json!("client");
    body["audience"] = json!(["a", "b"]);
    body["extra"] = json!({"nested": [1]});
    body["actor_token"] = json!(null);
    let reply = world.send(body).await.ok();
    assert!(reply.json.get("scope").is_none(), "a scope was granted");
}

#[tokio::test]
async fn a_token_never_outlives_the_subject_token() {
    let world = World::uploaded().await;
    let short = world.issuer.token(SUBJECT, AUDIENCE, 120);
    let reply = world.exchange(&short).await.ok();
    let expires_in = reply.json["expires_in"].as_i64().expect("seconds");
    assert!((115..=120).contains(&expires_in), "{expires_in}");
    let long = world.issuer.token(SUBJECT, AUDIENCE, 86_400);
    assert_eq!(world.exchange(&long).await.ok().json["expires_in"], 3600);
}

#[tokio::test]
async fn permissions_narrow_and_are_shown() {
    let world = World::uploaded().await;
    let restricted = json!({"permissions": {"type": "restricted",
        "scopes": ["api.model.request", "api.model.read"]}});
    world.admin_post(&world.rule_path(), restricted).await;
    let reply = world.exchange(&world.subject_token()).await.ok();
    assert_eq!(reply.json["scope"], "api.model.read api.model.request");
    let workload = world.server.client(&reply.text("access_token"));
    assert_eq!(workload.get("/v1/models").await.status, 200);
    let refused = workload.get("/v1/responses/resp_none").await;
    refused.error(403, None, Some("missing_scope"));

    // A token has no more than its rule gives at present, and no more than it
    // was issued with.
    let other = json!({"permissions": {"type": "restricted", "scopes": ["api.responses.read"]}});
    world.admin_post(&world.rule_path(), other).await;
    let refused = workload.get("/v1/models").await;
    refused.error(403, None, Some("missing_scope"));
    let refused = workload.get("/v1/responses/resp_none").await;
    refused.error(403, None, Some("missing_scope"));
    let all = json!({"permissions": {"type": "service_account_default"}});
    world.admin_post(&world.rule_path(), all).await;
    assert_eq!(workload.get("/v1/models").await.status, 200);
    let refused = workload.get("/v1/responses/resp_none").await;
    refused.error(403, None, Some("missing_scope"));
}
