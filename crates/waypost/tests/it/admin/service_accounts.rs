//! `/v1/organization/projects/{project_id}/service_accounts`

use serde_json::{Value, json};

use crate::harness::TestServer;

#[tokio::test]
async fn an_account_with_a_key_and_one_without() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let tenant = server.project("p").await;
    let path = format!(
        "/v1/organization/projects/{}/service_accounts",
        tenant.project_id
    );

    let account = admin
        .post(&path, json!({"name": "w", "expires_in_seconds": 60}))
        .await
        .ok()
        .json;
    assert_eq!(account["object"], "organization.project.service_account");
    assert_eq!(account["role"], "member");
    let key = &account["api_key"];
    assert_eq!(
        key["object"],
        "organization.project.service_account.api_key"
    );
    assert!(
        key["value"]
            .as_str()
            .expect("a key")
            .starts_with("sk-svcacct-")
    );
    let time = |name: &str| key[name].as_i64().expect("a time");
    assert!((50..=60).contains(&(time("expires_at") - time("created_at"))));

    let keyless = admin
        .post(
            &path,
            json!({"name": "k", "create_service_account_only": true}),
        )
        .await
        .ok()
        .json;
    assert_eq!(keyless["role"], "none");
    assert_eq!(keyless["api_key"], Value::Null);
    admin
        .post(
            &path,
            json!({"name": "k", "create_service_account_only": true, "expires_in_seconds": 5}),
        )
        .await
        .error(400, Some("expires_in_seconds"), Some("invalid_value"));

    let list = admin.get(&path).await.ok().json;
    assert_eq!(list["data"].as_array().expect("a list").len(), 3);
    assert!(!list.to_string().contains("sk-svcacct-"));

    let one = format!("{path}/{}", keyless["id"].as_str().expect("an id"));
    let updated = admin
        .post(&one, json!({"name": "n", "role": "owner"}))
        .await
        .ok()
        .json;
    assert_eq!(
        (&updated["name"], &updated["role"]),
        (&json!("n"), &json!("owner"))
    );
    assert_eq!(admin.get(&one).await.ok().json, updated);
    admin
        .post(&one, json!({"role": "none"}))
        .await
        .error(400, Some("role"), Some("invalid_value"));

    let deleted = admin.delete(&one).await.ok().json;
    assert_eq!(
        deleted,
        json!({
            "object": "organization.project.service_account.deleted",
            "id": keyless["id"],
            "deleted": true,
        })
    );
    admin.get(&one).await.error(404, None, None);
}

#[tokio::test]
async fn another_project_s_account_is_not_there() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let (a, b) = (server.project("a").await, server.project("b").await);
    let wrong = format!(
        "/v1/organization/projects/{}/service_accounts/{}",
        a.project_id, b.service_account_id
    );
    admin.get(&wrong).await.error(404, None, None);
    admin
        .post(&wrong, json!({"name": "x"}))
        .await
        .error(404, None, None);
    admin.delete(&wrong).await.error(404, None, None);
    admin
        .post(&format!("{wrong}/api_keys"), json!({}))
        .await
        .error(404, None, None);
}

#[tokio::test]
async fn an_archived_project_takes_no_accounts_and_its_keys_end() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let tenant = server.project("p").await;
    let project = format!("/v1/organization/projects/{}", tenant.project_id);
    // A good key of the wrong kind, here: 403.
    let worker = server.client(&tenant.key);
    worker
        .get(&project)
        .await
        .error(403, None, Some("admin_key_required"));
    admin
        .post(&format!("{project}/archive"), json!({}))
        .await
        .ok();
    worker
        .get(&project)
        .await
        .error(401, None, Some("invalid_api_key"));
    admin
        .post(
            &format!("{project}/service_accounts"),
            json!({"name": "late"}),
        )
        .await
        .error(400, None, Some("invalid_state"));
}
