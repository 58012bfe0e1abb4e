//! `/v1/organization/projects`

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Client, TestServer};

const PATH: &str = "/v1/organization/projects";

async fn create(admin: &Client, name: &str) -> Value {
    admin.post(PATH, json!({ "name": name })).await.ok().json
}

#[tokio::test]
async fn a_project_lives_and_is_archived() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let project = create(&admin, "Search").await;
    let id = project["id"].as_str().expect("an id");
    assert!(id.starts_with("proj_"));
    let keys: BTreeSet<_> = project.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys.into_iter().collect::<Vec<_>>(),
        [
            "archived_at",
            "created_at",
            "external_key_id",
            "id",
            "name",
            "object",
            "status"
        ]
    );
    assert_eq!(project["object"], "organization.project");
    assert_eq!(project["status"], "active");
    assert_eq!(project["archived_at"], Value::Null);

    let one = format!("{PATH}/{id}");
    assert_eq!(admin.get(&one).await.ok().json, project);

    let updated = admin.post(&one, json!({"name": "Find"})).await.ok().json;
    assert_eq!(updated["name"], "Find");
    let same = admin.post(&one, json!({"name": null})).await.ok().json;
    assert_eq!(same, updated);

    let archived = admin
        .post(&format!("{one}/archive"), json!({}))
        .await
        .ok()
        .json;
    assert_eq!(archived["status"], "archived");
    assert!(archived["archived_at"].is_i64());
    let again = admin
        .post(&format!("{one}/archive"), json!({}))
        .await
        .ok()
        .json;
    assert_eq!(again, archived);
    admin
        .post(&one, json!({"name": "x"}))
        .await
        .error(400, None, Some("invalid_state"));

    assert_eq!(admin.get(PATH).await.ok().json["data"], json!([]));
    let all = admin
        .get(&format!("{PATH}?include_archived=true"))
        .await
        .ok();
    assert_eq!(all.json["data"][0]["id"], id);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = TestServer::start().await;
    let admin = server.admin();
    for (body, param, code) in [
        (json!({}), "name", "missing_required_parameter"),
        (json!({"name": ""}), "name", "invalid_value"),
        (json!({"name": "x".repeat(257)}), "name", "invalid_value"),
        (json!({"name": "a\u{7}"}), "name", "invalid_value"),
        (json!({"name": null}), "name", "invalid_type"),
        (
            json!({"name": "a", "residency": "EU_STORAGE_PROCESSING"}),
            "residency",
            "unsupported_parameter",
        ),
        (
            json!({"name": "a", "geography": "EU"}),
            "geography",
            "unsupported_parameter",
        ),
    ] {
        admin
            .post(PATH, body)
            .await
            .error(400, Some(param), Some(code));
    }
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("after=resp_1", "after"),
        ("before=proj_1", "before"),
    ] {
        let reply = admin.get(&format!("{PATH}?{query}")).await;
        assert_eq!(reply.json["error"]["param"], param, "{}", reply.text);
        assert_eq!(reply.status, 400);
    }
    admin
        .get(&format!("{PATH}/proj_nobody"))
        .await
        .error(404, None, None);
    admin
        .post(&format!("{PATH}/proj_nobody"), json!({"name": "a"}))
        .await
        .error(404, None, None);
}

#[tokio::test]
async fn pages_are_stable_while_others_create() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let mut before = Vec::new();
    for n in 0..25 {
        before.push(create(&admin, &format!("p{n}")).await["id"].clone());
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin
            .get(&format!("{PATH}?limit=7{cursor}"))
            .await
            .ok()
            .json;
        let data = page["data"].as_array().expect("a list").clone();
        assert_eq!(page["object"], "list");
        assert_eq!(page["first_id"], data[0]["id"]);
        assert_eq!(page["last_id"], data[data.len() - 1]["id"]);
        seen.extend(data.into_iter().map(|project| project["id"].clone()));
        if page["has_more"] == false {
            break;
        }
        assert!(seen.len() < 100, "the list does not end");
        cursor = format!("&after={}", page["last_id"].as_str().expect("an id"));
        if seen.len() < 20 {
            create(&admin, "late").await;
        }
    }
    assert_eq!(seen[..25], before);
    let unique: BTreeSet<_> = seen.iter().map(Value::to_string).collect();
    assert_eq!(unique.len(), seen.len());
    assert_eq!(seen.len(), 27);
    // The default is 20.
    let page = admin.get(PATH).await.ok().json;
    assert_eq!(page["data"].as_array().expect("a list").len(), 20);
    assert_eq!(page["has_more"], true);
}

#[tokio::test]
async fn what_was_answered_survives_a_crash() {
    let mut server = TestServer::start().await;
    let tenant = server.project("p").await;
    let before = server.admin().get(PATH).await.ok().json;
    server.kill9().await;
    server.restart().await;
    assert_eq!(server.admin().get(PATH).await.ok().json, before);
    // The key too, of which only a hash was kept.
    server
        .client(&tenant.key)
        .get(PATH)
        .await
        .error(403, None, Some("admin_key_required"));
}
