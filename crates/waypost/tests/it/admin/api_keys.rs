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
async fn scopes_and_expiry_are_changed_at_once() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let tenant = server.project("p").await;
    let project = format!("/v1/organization/projects/{}", tenant.project_id);
    let keys = admin.get(&format!("{project}/api_keys")).await.ok().json;
    let id = keys["data"][0]["id"].as_str().expect("an id");
    let one = format!("{project}/api_keys/{id}");
    let worker = server.client(&tenant.key);
    worker.get("/v1/models").await.ok();

    let narrow = json!({"scopes": ["api.responses.read", "api.responses.read"]});
    let changed = admin.post(&one, narrow).await.ok().json;
    assert_eq!(changed["object"], "organization.project.api_key");
    assert_eq!(changed["id"], id);
    assert_eq!(changed["expires_at"], Value::Null);
    assert!(changed.get("value").is_none());
    worker
        .get("/v1/models")
        .await
        .error(403, None, Some("missing_scope"));
    // The scopes stay as they are; none restrict nothing.
    let changed = admin.post(&one, json!({"expires_in_seconds": 600})).await;
    let expires_at = changed.ok().json["expires_at"].as_i64().expect("a time");
    worker
        .get("/v1/models")
        .await
        .error(403, None, Some("missing_scope"));
    let changed = admin.post(&one, json!({"scopes": []})).await.ok().json;
    assert_eq!(changed["expires_at"], expires_at);
    worker.get("/v1/models").await.ok();

    for (body, param, code) in [
        (json!({}), None, "missing_required_parameter"),
        (json!({"scopes": null}), Some("scopes"), "invalid_type"),
        (
            json!({"expires_in_seconds": null}),
            Some("expires_in_seconds"),
            "invalid_type",
        ),
        (
            json!({"expires_in_seconds": 0}),
            Some("expires_in_seconds"),
            "invalid_value",
        ),
        (
            json!({"scopes": ["api.nothing"]}),
            Some("scopes[0]"),
            "invalid_value",
        ),
        (json!({"name": "x"}), Some("name"), "unknown_parameter"),
    ] {
        admin.post(&one, body).await.error(400, param, Some(code));
    }
    let path = "/v1/organization/audit_logs?event_types[]=api_key.updated";
    let events = admin.get(path).await.ok().json;
    let events = events["data"].as_array().expect("a list").clone();
    assert_eq!(events.len(), 3, "refused changes write none: {events:?}");
    let requested = |at: usize| events[at]["api_key.updated"].clone();
    let both = ["api.responses.read", "api.responses.read"];
    assert_eq!(
        requested(2),
        json!({"id": id, "changes_requested": {"scopes": both}})
    );
    assert_eq!(
        requested(1)["changes_requested"],
        json!({"expires_in_seconds": 600})
    );

    // Neither an expired key nor one that is gone or another project's is changed.
    let other = server.project("other").await;
    let elsewhere = format!(
        "/v1/organization/projects/{}/api_keys/{id}",
        other.project_id
    );
    let soon = json!({"expires_in_seconds": 1});
    admin
        .post(&elsewhere, soon.clone())
        .await
        .error(404, None, None);
    admin.post(&one, soon.clone()).await.ok();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    worker
        .get("/v1/models")
        .await
        .error(401, None, Some("expired_api_key"));
    admin
        .post(&one, soon.clone())
        .await
        .error(400, None, Some("invalid_state"));
    admin.delete(&one).await.ok();
    admin.post(&one, soon).await.error(404, None, None);
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
