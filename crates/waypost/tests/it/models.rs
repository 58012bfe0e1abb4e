//! `GET /v1/models`.

use serde_json::{Value, json};

use crate::harness::TestServer;

#[tokio::test]
async fn what_the_model_servers_have() {
    let one = waypost_testkit::ScriptedUpstream::start()
        .await
        .expect("one");
    let two = waypost_testkit::ScriptedUpstream::start()
        .await
        .expect("another");
    one.install("shared", waypost_testkit::Script::default());
    one.install("org/name-7b", waypost_testkit::Script::default());
    two.install("shared", waypost_testkit::Script::default());
    two.install("hidden", waypost_testkit::Script::default());
    let config = format!(
        "[[upstreams]]\nname = \"one\"\nbase_url = \"{}\"\nmodels = [\"scripted\", \"shared\", \"org/*\"]\ndialect = \"generic\"\n\
         [[upstreams]]\nname = \"two\"\nbase_url = \"{}\"\nmodels = [\"shared\", \"named-only\"]\n\
         [[upstreams]]\nname = \"down\"\nbase_url = \"http://127.0.0.1:9/v1\"\nmodels = [\"away\"]\n",
        one.base_url(),
        two.base_url()
    );
    let server = TestServer::builder().config(&config).start().await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    let list = client.get("/v1/models").await.ok().json;
    assert_eq!(list["object"], "list");
    let ids: Vec<&str> = list["data"]
        .as_array()
        .expect("data")
        .iter()
        .filter_map(|model| model["id"].as_str())
        .collect();
    assert_eq!(
        ids,
        ["away", "named-only", "org/name-7b", "scripted", "shared"]
    );
    for id in ids {
        let model = client.get(&format!("/v1/models/{id}")).await.ok().json;
        assert_eq!(model["id"], id);
        assert_eq!(model["object"], "model");
        assert!(
            model["created"].is_u64() && model["owned_by"].is_string(),
            "{model}"
        );
    }
    let one_more = client.get("/v1/models/org%2Fname-7b").await.ok().json;
    assert_eq!(one_more["id"], "org/name-7b");
    let reply = client.get("/v1/models/hidden").await;
    let message = reply.error(404, Some("model"), Some("model_not_found"));
    assert_eq!(message, "The model 'hidden' does not exist");
    // Many ask, each model server is asked once; one that could not be told would be asked again.
    assert_eq!(one.stats().calls["/v1/models"], 1);
    let nobody = server.anonymous().get("/v1/models").await;
    assert_eq!(nobody.status, 401);
    let admin = server.admin().get("/v1/models").await;
    assert_eq!(admin.status, 403, "{}", admin.text);
    assert_eq!(
        list["data"][0],
        json!({"id": "away", "object": "model", "created": 0, "owned_by": "down"})
    );
    assert!(
        !list
            .as_object()
            .is_some_and(|l| l.values().any(Value::is_null))
    );
}
