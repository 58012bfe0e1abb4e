//! `/v1/organization/projects/{project_id}/api_keys`

use serde_json::{Value, json};

use crate::harness::TestServer;

#[tokio::test]
async fn keys_are_listed_redacted_and_deleted_at_once() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let tenant = server.project("p").await;
    let project = format!("/v1/organization/projects/{}", tenant.project_id);
    let account = format!("{project}/service_accounts/{}", tenant.service_account_id);

    let made = admin
        .post(
            &format!("{account}/api_keys"),
            json!({"name": "second", "scopes": ["api.model.read", "api.model.read"]}),
        )
        .await
        .ok()
        .json;
    let value = made["value"].as_str().expect("a key");
    assert_eq!(made["name"], "second");
    admin
        .post(
            &format!("{account}/api_keys"),
            json!({"scopes": ["api.model.read", "api.organization.projects.write"]}),
        )
        .await
        .error(400, Some("scopes[1]"), Some("invalid_value"));

    let keys = admin.get(&format!("{project}/api_keys")).await.ok().json;
    assert_eq!(keys["data"].as_array().expect("a list").len(), 2);
    let second = &keys["data"][1];
    assert_eq!(second["object"], "organization.project.api_key");
    assert_eq!(second["owner_project_access"], "active");
    assert_eq!(second["last_used_at"], Value::Null);
    assert_eq!(second["owner"]["type"], "service_account");
    assert_eq!(
        second["owner"]["service_account"]["id"],
        tenant.service_account_id
    );
    assert!(!keys.to_string().contains(&value[15..40]));
    let none = admin
        .get(&format!("{project}/api_keys?owner_project_access=inactive"))
        .await
        .ok()
        .json;
    assert_eq!(none["data"], json!([]));

    // A use shows at once.
    let worker = server.client(value);
    worker
        .get(&project)
        .await
        .error(403, None, Some("admin_key_required"));
    let one = format!("{project}/api_keys/{}", made["id"].as_str().expect("an id"));
    let shown = admin.get(&one).await.ok().json;
    assert!(shown["last_used_at"].is_i64(), "{shown}");

    let deleted = admin.delete(&one).await.ok().json;
    assert_eq!(deleted["object"], "organization.project.api_key.deleted");
    worker
        .get(&project)
        .await
        .error(401, None, Some("invalid_api_key"));
    admin.get(&one).await.error(404, None, None);
    admin.delete(&one).await.error(404, None, None);
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let tenant = server.project("p").await;
    let made = admin
        .post(
            &format!(
                "/v1/organization/projects/{}/service_accounts/{}/api_keys",
                tenant.project_id, tenant.service_account_id
            ),
            json!({"expires_in_seconds": 1}),
        )
        .await
        .ok();
    let worker = server.client(&made.text("value"));
    let path = "/v1/organization/projects";
    worker
        .get(path)
        .await
        .error(403, None, Some("admin_key_required"));
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    worker
        .get(path)
        .await
        .error(401, None, Some("expired_api_key"));
}

#[tokio::test]
async fn last_use_survives_a_restart() {
    let mut server = TestServer::start().await;
    let tenant = server.project("p").await;
    server
        .client(&tenant.key)
        .get("/v1/organization/projects")
        .await;
    let path = format!("/v1/organization/projects/{}/api_keys", tenant.project_id);
    let used = server.admin().get(&path).await.ok().json["data"][0]["last_used_at"].clone();
    assert!(used.is_i64());
    server.restart().await;
    let after = server.admin().get(&path).await.ok().json["data"][0]["last_used_at"].clone();
    assert_eq!(after, used);
}
