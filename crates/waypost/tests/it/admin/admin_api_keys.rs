//! `/v1/organization/admin_api_keys`

use serde_json::{Value, json};

use crate::harness::TestServer;

const PATH: &str = "/v1/organization/admin_api_keys";

#[tokio::test]
async fn an_admin_key_works_until_it_is_deleted() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let made = admin
        .post(PATH, json!({"name": "ops", "expires_in_seconds": 3600}))
        .await
        .ok();
    let value = made.text("value");
    assert!(value.starts_with("sk-admin-"));
    assert_eq!(made.json["object"], "organization.admin_api_key");
    assert_eq!(made.json["owner"]["type"], "user");
    let time = |key: &str| made.json[key].as_i64().expect("a time");
    assert!((3590..=3600).contains(&(time("expires_at") - time("created_at"))));

    let ops = server.client(&value);
    let listed = ops.get(PATH).await.ok().json;
    assert_eq!(listed["data"][0]["id"], made.json["id"]);
    assert_eq!(listed["data"][0].get("value"), None);
    assert!(!listed.to_string().contains(&value));

    let one = format!("{PATH}/{}", made.text("id"));
    let shown = ops.get(&one).await.ok().json;
    assert!(shown["last_used_at"].is_i64());
    assert_eq!(shown["redacted_value"], made.json["redacted_value"]);

    let deleted = ops.delete(&one).await.ok().json;
    assert_eq!(deleted["object"], "organization.admin_api_key.deleted");
    ops.get(PATH)
        .await
        .error(401, None, Some("invalid_api_key"));
    admin.get(&one).await.error(404, None, None);
}

#[tokio::test]
async fn both_orders_page_without_gaps() {
    let server = TestServer::start().await;
    let admin = server.admin();
    for n in 0..5 {
        admin
            .post(PATH, json!({"name": format!("k{n}")}))
            .await
            .ok();
    }
    for (order, expected) in [
        ("", ["k0", "k1", "k2", "k3", "k4"]),
        ("order=asc&", ["k0", "k1", "k2", "k3", "k4"]),
        ("order=desc&", ["k4", "k3", "k2", "k1", "k0"]),
    ] {
        let first = admin.get(&format!("{PATH}?{order}limit=3")).await.ok().json;
        assert_eq!(first["has_more"], true);
        let after = first["last_id"].as_str().expect("an id");
        let second = admin
            .get(&format!("{PATH}?{order}limit=3&after={after}"))
            .await
            .ok()
            .json;
        assert_eq!(second["has_more"], false);
        let names: Vec<&Value> = [&first, &second]
            .into_iter()
            .flat_map(|page| page["data"].as_array().expect("a list"))
            .map(|key| &key["name"])
            .collect();
        assert_eq!(names, expected);
    }
}
