//! `/v1/organization/workload_identity_providers/{…}/federation_rules`

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, TestServer};

const PROVIDERS: &str = "/v1/organization/workload_identity_providers";

async fn provider(admin: &Client, name: &str) -> String {
    let made = admin
        .post(
            PROVIDERS,
            json!({
                "name": name, "type": "oidc", "audience": "a",
                "issuer": "https://issuer.example.com",
            }),
        )
        .await
        .ok();
    format!("{PROVIDERS}/{}", made.text("id"))
}

#[tokio::test]
async fn a_rule_is_made_changed_and_deleted() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let tenant = server.project("p").await;
    let provider = provider(&admin, "one").await;
    let rules = format!("{provider}/federation_rules");
    let matchers = json!({"sub": "repo:openai/*", "run_attempt": 1, "protected": true});
    let made = admin
        .post(
            &rules,
            json!({
                "attribute_matchers": matchers,
                "project_id": tenant.project_id,
                "service_account_id": tenant.service_account_id,
            }),
        )
        .await
        .ok();
    let id = made.text("id");
    assert!(id.starts_with("wifr_"));
    assert_eq!(
        made.json,
        json!({
            "id": id,
            "object": "organization.workload_identity_federation_rule",
            "workload_identity_provider_id": provider.rsplit('/').next(),
            "project_id": tenant.project_id,
            "service_account_id": tenant.service_account_id,
            "attribute_matchers": matchers,
            "permissions": {"type": "service_account_default"},
            "name": null,
            "description": null,
            "enabled": true,
            "created_at": made.json["created_at"],
            "updated_at": made.json["updated_at"],
        })
    );
    // One rule for a provider and a service account.
    admin
        .post(
            &rules,
            json!({
                "attribute_matchers": {"sub": "other"},
                "project_id": tenant.project_id,
                "service_account_id": tenant.service_account_id,
            }),
        )
        .await
        .error(409, None, Some("already_exists"));

    let one = format!("{rules}/{id}");
    let restricted = json!({"type": "restricted", "scopes": ["api.model.request"]});
    let changed = admin
        .post(
            &one,
            json!({"permissions": restricted, "name": "n", "enabled": false}),
        )
        .await
        .ok()
        .json;
    assert_eq!(changed["permissions"], restricted);
    assert_eq!(changed["attribute_matchers"], matchers);
    assert_eq!(admin.get(&one).await.ok().json, changed);
    let by_account = |account: &str| format!("{rules}?service_account_id={account}");
    let list = admin
        .get(&by_account(&tenant.service_account_id))
        .await
        .ok()
        .json;
    assert_eq!(list["data"], json!([changed]));
    let list = admin.get(&by_account("svc_acct_other")).await.ok().json;
    assert_eq!(list["data"], json!([]));

    admin
        .delete(&provider)
        .await
        .error(400, None, Some("invalid_state"));
    let deleted = admin.delete(&one).await.ok().json;
    assert_eq!(
        deleted,
        json!({
            "object": "organization.workload_identity_federation_rule.deleted",
            "id": id,
            "deleted": true,
        })
    );
    admin.get(&one).await.error(404, None, None);
    admin.delete(&provider).await.ok();
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let tenant = server.project("p").await;
    let other = server.project("other").await;
    let rules = format!("{}/federation_rules", provider(&admin, "one").await);
    let body = |key: &str, value: Value| {
        let mut body = json!({
            "attribute_matchers": {"sub": "a"},
            "project_id": tenant.project_id,
            "service_account_id": tenant.service_account_id,
        });
        body[key] = value;
        body
    };
    for (key, value, status, param) in [
        ("attribute_matchers", json!({}), 400, "attribute_matchers"),
        (
            "attribute_matchers",
            json!({"sub": "*"}),
            400,
            "attribute_matchers",
        ),
        (
            "attribute_matchers",
            json!({"sub": "a*b"}),
            400,
            "attribute_matchers",
        ),
        (
            "attribute_matchers",
            json!({"sub": ["a"]}),
            400,
            "attribute_matchers",
        ),
        (
            "attribute_matchers",
            json!({"openai.team": "a"}),
            400,
            "attribute_matchers",
        ),
        (
            "permissions",
            json!({"type": "restricted", "scopes": []}),
            400,
            "permissions.scopes",
        ),
        (
            "permissions",
            json!({"type": "restricted", "scopes": ["api.model.read", "api.mtls.write"]}),
            400,
            "permissions.scopes[1]",
        ),
        (
            "permissions",
            json!({"type": "all"}),
            400,
            "permissions.type",
        ),
        (
            "service_account_id",
            json!(other.service_account_id),
            404,
            "service_account_id",
        ),
        (
            "service_account_id",
            json!("svc_acct_nobody"),
            404,
            "service_account_id",
        ),
    ] {
        let reply = admin.post(&rules, body(key, value.clone())).await;
        assert_eq!(reply.status, status, "{value}: {}", reply.text);
        assert_eq!(
            reply.json["error"]["param"], param,
            "{value}: {}",
            reply.text
        );
    }
    // Two rows of one name: JSON readers disagree which one counts.
    let twice = format!(
        r#"{{"attribute_matchers": {{"sub": "a", "sub": "b"}}, "project_id": "{}", "service_account_id": "{}"}}"#,
        tenant.project_id, tenant.service_account_id
    );
    let request = admin
        .request(Method::POST, &rules)
        .header("content-type", "application/json")
        .body(twice);
    admin.send(request).await.error(
        400,
        Some("attribute_matchers.sub"),
        Some("duplicate_parameter"),
    );

    admin
        .post(
            &format!("{PROVIDERS}/wip_nobody/federation_rules"),
            body("enabled", json!(true)),
        )
        .await
        .error(404, None, None);
    assert_eq!(admin.get(&rules).await.ok().json["data"], json!([]));
}
