//! What an access token may do, and for how long.

use std::time::Duration;

use serde_json::json;

use super::{PROVIDERS, World, is_accepted, post_form};
use crate::harness::Client;

/// Within a second of a change. (It is at once, but that is no promise.)
async fn is_refused_soon(workload: &Client) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    workload
        .get("/v1/models")
        .await
        .error(401, None, Some("token_revoked"));
}

#[tokio::test]
async fn disabling_provider_or_rule_refuses_tokens_and_enabling_revives_them() {
    let world = World::uploaded().await;
    let workload = world.workload().await;
    for path in [world.provider_path(), world.rule_path()] {
        assert!(is_accepted(&workload).await);
        world.admin_post(&path, json!({"enabled": false})).await;
        is_refused_soon(&workload).await;
        world.admin_post(&path, json!({"enabled": true})).await;
    }
    assert!(is_accepted(&workload).await);
}

#[tokio::test]
async fn an_edit_of_the_trust_refuses_tokens_for_good() {
    let world = World::uploaded().await;
    let trust = json!({"audience": "another"});
    let back = json!({"audience": super::AUDIENCE});
    let workload = world.workload().await;
    world
        .admin_post(&world.provider_path(), json!({"name": "renamed"}))
        .await;
    assert!(is_accepted(&workload).await, "a name is no trust");
    world.admin_post(&world.provider_path(), trust).await;
    is_refused_soon(&workload).await;
    world.admin_post(&world.provider_path(), back).await;
    is_refused_soon(&workload).await;
    assert!(is_accepted(&world.workload().await).await);
}

#[tokio::test]
async fn deleting_or_archiving_refuses_tokens() {
    let world = World::uploaded().await;
    let admin = world.server.admin();
    let workload = world.workload().await;
    admin.delete(&world.rule_path()).await.ok();
    is_refused_soon(&workload).await;
    // Another rule for the same pair does not revive it.
    let rule = json!({
        "project_id": world.tenant.project_id,
        "service_account_id": world.tenant.service_account_id,
        "attribute_matchers": {"sub": super::SUBJECT},
    });
    let rules = format!("{PROVIDERS}/{}/federation_rules", world.provider_id);
    world.admin_post(&rules, rule).await;
    is_refused_soon(&workload).await;

    let workload = world.workload().await;
    admin.delete(&world.account_path()).await.ok();
    is_refused_soon(&workload).await;
    admin.delete(&world.provider_path()).await.ok();
    is_refused_soon(&workload).await;

    let world = World::uploaded().await;
    let workload = world.workload().await;
    let archive = format!(
        "/v1/organization/projects/{}/archive",
        world.tenant.project_id
    );
    world.admin_post(&archive, json!({})).await;
    is_refused_soon(&workload).await;
}

#[tokio::test]
async fn whoever_holds_a_token_can_revoke_it() {
    let world = World::uploaded().await;
    let token = world.access_token().await;
    let other = world.workload().await;
    let workload = world.server.client(&token);
    let client = world.server.anonymous();
    assert!(is_accepted(&workload).await);
    let (signed, _) = token.rsplit_once('.').expect("three segments");
    for unknown in [
        "nonsense".to_owned(),
        format!("{signed}.{}", "A".repeat(86)),
    ] {
        let reply = client
            .post("/oauth/revoke", json!({"token": unknown}))
            .await
            .ok();
        super::assert_uncached(&reply);
    }
    assert!(is_accepted(&workload).await);
    let form = format!("token={token}&token_type_hint=access_token");
    post_form(&client, "/oauth/revoke", form.clone()).await.ok();
    workload
        .get("/v1/models")
        .await
        .error(401, None, Some("token_revoked"));
    post_form(&client, "/v1/oauth/revoke", form).await.ok();
    assert!(is_accepted(&other).await);
    let reply = client.post("/oauth/revoke", json!({})).await;
    super::assert_oauth_error(&reply, 400, "invalid_request");
    assert_eq!(world.audited("waypost.token.revoked", 1).await.len(), 1);
}

#[tokio::test]
async fn tokens_and_revocations_survive_a_restart() {
    let mut world = World::uploaded().await;
    let (kept, revoked) = (world.access_token().await, world.access_token().await);
    let client = world.server.anonymous();
    client
        .post("/oauth/revoke", json!({"token": revoked}))
        .await
        .ok();
    world.server.restart().await;
    assert!(is_accepted(&world.server.client(&kept)).await);
    assert!(!is_accepted(&world.server.client(&revoked)).await);
    world.server.kill9().await;
    world.server.restart().await;
    assert!(is_accepted(&world.server.client(&kept)).await);
    assert!(!is_accepted(&world.server.client(&revoked)).await);
}

#[tokio::test]
async fn a_token_is_for_its_project_alone() {
    let world = World::uploaded().await;
    let workload = world.workload().await;
    for path in [
        "/v1/organization/projects",
        "/v1/organization/audit_logs",
        "/v1/organization/admin_api_keys",
        PROVIDERS,
    ] {
        let reply = workload.get(path).await;
        reply.error(403, None, Some("admin_key_required"));
    }
    let reply = workload
        .post("/v1/organization/projects", json!({"name": "x"}))
        .await;
    reply.error(403, None, Some("admin_key_required"));
}

#[tokio::test]
async fn expired_and_forged_tokens_are_401() {
    let world = World::uploaded().await;
    let short = world.issuer.token(super::SUBJECT, super::AUDIENCE, 2);
    let token = world.exchange(&short).await.ok().text("access_token");
    let workload = world.server.client(&token);
    assert!(is_accepted(&workload).await);
    // Any change of a token makes it another one.
    for at in [5, token.len() / 2, token.len() - 10] {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(bytes).expect("ASCII");
        let reply = world.server.client(&forged).get("/v1/models").await;
        reply.error(401, None, Some("invalid_api_key"));
    }
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    workload
        .get("/v1/models")
        .await
        .error(401, None, Some("token_expired"));
    for subject_token in [world.subject_token(), "workload-identity-auth".to_owned()] {
        let reply = world.server.client(&subject_token).get("/v1/models").await;
        reply.error(401, None, Some("invalid_api_key"));
    }
}
