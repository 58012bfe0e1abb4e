//! `/v1/organization/audit_logs`

use serde_json::{Value, json};

use crate::harness::{Client, TestServer};

const PATH: &str = "/v1/organization/audit_logs";

async fn events(admin: &Client, query: &str) -> Vec<Value> {
    let list = admin
        .get(&format!("{PATH}?limit=100&{query}"))
        .await
        .ok()
        .json;
    list["data"].as_array().expect("a list").clone()
}

fn types(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().expect("a type"))
        .collect()
}

#[tokio::test]
async fn every_change_is_told_with_actor_address_and_request() {
    let server = TestServer::start().await;
    let root = server.admin();
    let key = root
        .post("/v1/organization/admin_api_keys", json!({"name": "ops"}))
        .await
        .ok();
    let admin = server.client(&key.text("value"));
    let project = admin
        .post("/v1/organization/projects", json!({"name": "p"}))
        .await
        .ok();
    let project_id = project.text("id");
    let one = format!("/v1/organization/projects/{project_id}");
    admin.post(&one, json!({"name": "q"})).await.ok();
    let account = admin
        .post(&format!("{one}/service_accounts"), json!({"name": "w"}))
        .await
        .ok();
    let account_id = account.text("id");
    let account_path = format!("{one}/service_accounts/{account_id}");
    admin
        .post(&account_path, json!({"role": "owner"}))
        .await
        .ok();
    let providers = "/v1/organization/workload_identity_providers";
    let provider = admin
        .post(
            providers,
            json!({
                "name": "i", "type": "oidc", "audience": "a",
                "issuer": "https://issuer.example.com",
            }),
        )
        .await
        .ok();
    let provider_id = provider.text("id");
    let provider_path = format!("{providers}/{provider_id}");
    admin
        .post(&provider_path, json!({"enabled": false}))
        .await
        .ok();
    let rule = admin
        .post(
            &format!("{provider_path}/federation_rules"),
            json!({
                "attribute_matchers": {"sub": "a"},
                "project_id": project_id, "service_account_id": account_id,
            }),
        )
        .await
        .ok();
    let rule_path = format!("{provider_path}/federation_rules/{}", rule.text("id"));
    admin.post(&rule_path, json!({"name": "r"})).await.ok();
    admin.delete(&rule_path).await.ok();
    admin.delete(&provider_path).await.ok();
    let keys = admin.get(&format!("{one}/api_keys")).await.ok();
    let worker_key = keys.json["data"][0]["id"].as_str().expect("an id");
    admin
        .delete(&format!("{one}/api_keys/{worker_key}"))
        .await
        .ok();
    admin.delete(&account_path).await.ok();
    admin.post(&format!("{one}/archive"), json!({})).await.ok();

    let mut all = events(&root, "").await;
    all.reverse();
    assert_eq!(
        types(&all),
        [
            "api_key.created",
            "project.created",
            "project.updated",
            "service_account.created",
            "api_key.created",
            "service_account.updated",
            "workload_identity_provider.created",
            "workload_identity_provider.updated",
            "workload_identity_provider_mapping.created",
            "workload_identity_provider_mapping.updated",
            "workload_identity_provider_mapping.deleted",
            "workload_identity_provider.deleted",
            "api_key.deleted",
            "service_account.deleted",
            "project.archived",
        ]
    );
    let payload = |n: usize| &all[n][all[n]["type"].as_str().expect("a type")];
    assert_eq!(
        payload(0),
        &json!({"id": key.json["id"], "data": {"scopes": []}})
    );
    assert_eq!(
        payload(1),
        &json!({"id": project_id, "data": {"name": "p", "title": "p"}})
    );
    assert_eq!(
        payload(2),
        &json!({"id": project_id, "changes_requested": {"title": "q", "name": "q"}})
    );
    assert_eq!(
        payload(3),
        &json!({"id": account_id, "data": {"role": "member"}})
    );
    assert_eq!(payload(4)["id"], worker_key);
    assert_eq!(
        payload(5),
        &json!({"id": account_id, "changes_requested": {"role": "owner"}})
    );
    assert_eq!(payload(6)["data"]["issuer"], "https://issuer.example.com");
    assert_eq!(
        payload(7),
        &json!({"id": provider_id, "changes_requested": {"enabled": false}})
    );
    assert_eq!(payload(8)["identity_provider_id"], provider_id.as_str());
    assert_eq!(
        payload(8)["data"]["attribute_matchers"],
        json!({"sub": "a"})
    );
    assert_eq!(payload(9)["changes_requested"], json!({"name": "r"}));
    assert_eq!(
        payload(10),
        &json!({
            "id": rule.json["id"],
            "identity_provider_id": provider_id,
            "project_id": project_id,
            "service_account_id": account_id,
        })
    );
    assert_eq!(payload(11), &json!({"id": provider_id, "name": "i"}));

    let told = &all[1];
    assert_eq!(told["actor"]["type"], "api_key");
    assert_eq!(told["actor"]["api_key"]["id"], key.json["id"]);
    assert_eq!(told["ip_address"], "127.0.0.1");
    assert_eq!(
        told["request_id"],
        project.headers["x-request-id"].to_str().expect("text")
    );
    assert_eq!(all[3]["project"], json!({"id": project_id, "name": "q"}));
    assert_eq!(all[0]["actor"]["api_key"]["id"], "key_bootstrap");

    // No secret got in.
    let text = json!(all).to_string();
    assert!(
        !text.contains("sk-admin-") && !text.contains("sk-svcacct-"),
        "{text}"
    );
}

#[tokio::test]
async fn what_was_refused_is_not_told() {
    let server = TestServer::start().await;
    let admin = server.admin();
    admin
        .post("/v1/organization/projects", json!({"name": ""}))
        .await;
    admin
        .delete("/v1/organization/admin_api_keys/key_nobody")
        .await;
    assert_eq!(events(&admin, "").await, Vec::<Value>::new());
}

#[tokio::test]
async fn all_filters_and_both_cursors_work() {
    let server = TestServer::start().await;
    let root = server.admin();
    let (a, b) = (server.project("a").await, server.project("b").await);
    let key = root
        .post("/v1/organization/admin_api_keys", json!({"name": "ops"}))
        .await
        .ok();
    let ops = server.client(&key.text("value"));
    ops.post(
        &format!("/v1/organization/projects/{}", a.project_id),
        json!({"name": "a2"}),
    )
    .await
    .ok();

    let all = events(&root, "").await;
    assert_eq!(all.len(), 8);
    let found = events(&root, &format!("project_ids[]={}", b.project_id)).await;
    assert_eq!(
        types(&found),
        [
            "api_key.created",
            "service_account.created",
            "project.created"
        ]
    );
    let both = format!(
        "project_ids[]={}&project_ids[]={}",
        a.project_id, b.project_id
    );
    assert_eq!(events(&root, &both).await.len(), 7);
    let found = events(
        &root,
        "event_types[]=project.updated&event_types[]=project.archived",
    )
    .await;
    assert_eq!(types(&found), ["project.updated"]);
    let found = events(&root, &format!("actor_ids[]={}", key.text("id"))).await;
    assert_eq!(types(&found), ["project.updated"]);
    let found = events(&root, &format!("resource_ids[]={}", b.service_account_id)).await;
    assert_eq!(types(&found), ["service_account.created"]);
    assert_eq!(events(&root, "actor_emails[]=a@example.com").await.len(), 0);
    assert_eq!(events(&root, "tenant_only=true").await.len(), 0);
    let reply = root
        .get(&format!(
            "{PATH}?tenant_only=true&event_types[]=project.created"
        ))
        .await;
    reply.error(400, Some("event_types"), Some("invalid_value"));

    let at = all[0]["effective_at"].as_i64().expect("a time");
    let first = all[7]["effective_at"].as_i64().expect("a time");
    for (query, expected) in [
        (
            format!("effective_at[gte]={first}&effective_at[lte]={at}"),
            8,
        ),
        (format!("effective_at[gt]={at}"), 0),
        (format!("effective_at[lt]={first}"), 0),
        (format!("effective_at[gt]={}", first - 1), 8),
        (format!("effective_at[lt]={}", at + 1), 8),
        (format!("effective_at[gt]={}", i64::MAX), 0),
    ] {
        assert_eq!(events(&root, &query).await.len(), expected, "{query}");
    }
    let inside = |event: &&Value| event["effective_at"].as_i64().expect("a time") == at;
    let same_second = all.iter().filter(inside).count();
    let query = format!("effective_at[gte]={at}");
    assert_eq!(events(&root, &query).await.len(), same_second);

    let ids: Vec<_> = all
        .iter()
        .map(|event| event["id"].as_str().expect("an id"))
        .collect();
    assert!(ids.iter().all(|id| id.starts_with("audit_log-")));
    let page = root
        .get(&format!("{PATH}?limit=3&after={}", ids[1]))
        .await
        .ok()
        .json;
    let got: Vec<_> = page["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|e| &e["id"])
        .collect();
    assert_eq!(got, ids[2..5]);
    assert_eq!(page["has_more"], true);
    let page = root
        .get(&format!("{PATH}?limit=2&before={}", ids[4]))
        .await
        .ok()
        .json;
    let got: Vec<_> = page["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|e| &e["id"])
        .collect();
    assert_eq!(got, ids[2..4]);
    let reply = root
        .get(&format!("{PATH}?after={}&before={}", ids[0], ids[1]))
        .await;
    reply.error(400, Some("before"), Some("invalid_value"));
}
