//! The admin API.

use serde_json::json;

use super::Tape;
use crate::harness::TestServer;

#[tokio::test]
async fn administration() {
    let server = TestServer::start().await;
    let mut tape = Tape::new("admin", &[(&server.base_url, "http://waypost")]);
    let admin = server.admin();
    let all = "/v1/organization";

    let projects = format!("{all}/projects");
    let project = tape
        .post(&admin, &projects, json!({"name": "one"}))
        .await
        .ok()
        .text("id");
    tape.post(&admin, &projects, json!({"name": ""})).await;
    tape.post(&admin, &projects, json!({"name": "two", "color": 1}))
        .await;
    let one = format!("{projects}/{project}");
    tape.get(&admin, &one).await;
    tape.post(&admin, &one, json!({"name": "renamed"})).await;
    tape.get(&admin, &format!("{projects}?limit=1")).await;
    tape.get(&admin, &format!("{projects}?limit=x")).await;
    tape.get(&admin, &format!("{projects}/proj_none")).await;

    let accounts = format!("{one}/service_accounts");
    let account = tape
        .post(&admin, &accounts, json!({"name": "worker"}))
        .await
        .ok()
        .text("id");
    tape.get(&admin, &accounts).await;
    tape.get(&admin, &format!("{accounts}/{account}")).await;
    tape.post(
        &admin,
        &format!("{accounts}/{account}"),
        json!({"role": "viewer"}),
    )
    .await;
    let keys = format!("{accounts}/{account}/api_keys");
    let body = json!({"name": "second", "scopes": ["api.model.request"]});
    tape.post(&admin, &keys, body).await;
    tape.post(&admin, &keys, json!({"scopes": ["api.none"]}))
        .await;
    let listed = tape.get(&admin, &format!("{one}/api_keys")).await.ok();
    let key = listed.json["data"][0]["id"]
        .as_str()
        .expect("a key")
        .to_owned();
    tape.get(&admin, &format!("{one}/api_keys/{key}")).await;
    tape.post(
        &admin,
        &format!("{one}/api_keys/{key}"),
        json!({"name": "again"}),
    )
    .await;
    tape.delete(&admin, &format!("{one}/api_keys/{key}")).await;
    tape.delete(&admin, &format!("{one}/api_keys/{key}")).await;

    let admin_keys = format!("{all}/admin_api_keys");
    let made = tape
        .post(&admin, &admin_keys, json!({"name": "ops"}))
        .await
        .ok();
    let key = made.text("id");
    tape.get(&admin, &admin_keys).await;
    tape.get(&admin, &format!("{admin_keys}/{key}")).await;
    tape.delete(&admin, &format!("{admin_keys}/{key}")).await;

    let providers = format!("{all}/workload_identity_providers");
    let provider = json!({
        "name": "prod", "type": "oidc", "audience": "https://api.openai.com/v1",
        "issuer": "https://issuer.example.com",
    });
    let id = tape
        .post(&admin, &providers, provider.clone())
        .await
        .ok()
        .text("id");
    tape.post(&admin, &providers, provider).await;
    tape.post(
        &admin,
        &providers,
        json!({"name": "x", "issuer": "http://localhost"}),
    )
    .await;
    let one_provider = format!("{providers}/{id}");
    tape.get(&admin, &providers).await;
    tape.get(&admin, &one_provider).await;
    tape.post(
        &admin,
        &one_provider,
        json!({"audience": "other", "enabled": false}),
    )
    .await;
    let rules = format!("{one_provider}/federation_rules");
    let rule = json!({"project_id": project, "service_account_id": account, "name": "jobs",
        "attribute_matchers": {"sub": "system:serviceaccount:prod:*"}});
    let rule_id = tape
        .post(&admin, &rules, rule.clone())
        .await
        .ok()
        .text("id");
    tape.post(&admin, &rules, rule).await;
    tape.get(&admin, &rules).await;
    tape.get(&admin, &format!("{rules}/{rule_id}")).await;
    tape.post(
        &admin,
        &format!("{rules}/{rule_id}"),
        json!({"enabled": false}),
    )
    .await;
    tape.delete(&admin, &one_provider).await;
    tape.delete(&admin, &format!("{rules}/{rule_id}")).await;
    tape.delete(&admin, &one_provider).await;

    tape.delete(&admin, &format!("{accounts}/{account}")).await;
    tape.post(&admin, &format!("{one}/archive"), json!({}))
        .await;
    tape.post(&admin, &one, json!({"name": "late"})).await;
    tape.get(&admin, &format!("{projects}?include_archived=true"))
        .await;
    tape.get(&admin, &format!("{all}/audit_logs?limit=100"))
        .await;
    tape.get(
        &admin,
        &format!("{all}/audit_logs?limit=1&event_types[]=project.created"),
    )
    .await;
    tape.compare();
}
