//! Routing to model servers, and how each is spoken to.

use serde_json::json;
use waypost_testkit::ScriptedUpstream;

use crate::harness::TestServer;

#[tokio::test]
async fn the_first_that_matches_serves_and_is_spoken_to_in_its_own_way() {
    let exact = ScriptedUpstream::start().await.expect("one");
    let prefix = ScriptedUpstream::start().await.expect("another");
    let config = format!(
        r#"
[[upstreams]]
name = "exact"
base_url = "{}/"
models = ["gpt-x"]
dialect = "openai"
api_key = "env:MODEL_KEY"
headers = {{ "x-team" = "blue" }}

[[upstreams]]
name = "prefix"
base_url = "{}"
models = ["gpt-*"]
"#,
        exact.base_url(),
        prefix.base_url()
    );
    let server = TestServer::builder()
        .config(&config)
        .env("MODEL_KEY", "sk-model-server")
        .start()
        .await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    let body = |model: &str| {
        json!({"model": model, "input": [{"role": "developer", "content": "d"},
            {"role": "user", "content": "u"}], "max_output_tokens": 50, "prompt_cache_key": "k"})
    };
    client.post("/v1/responses", body("gpt-x")).await.ok();
    client.post("/v1/responses", body("gpt-y")).await.ok();
    let (one, two) = (exact.requests(), prefix.requests());
    assert_eq!((one.len(), two.len()), (1, 1));
    assert_eq!(one[0].headers["authorization"], "Bearer sk-model-server");
    assert_eq!(one[0].headers["x-team"], "blue");
    let sent = one[0].json();
    assert_eq!(sent["max_completion_tokens"], 50);
    assert_eq!(sent["messages"][0]["role"], "developer");
    assert_eq!(sent["prompt_cache_key"], "k");
    assert!(!two[0].headers.contains_key("authorization"));
    assert!(!two[0].headers.contains_key("x-team"));
    let sent = two[0].json();
    assert_eq!(sent["max_tokens"], 50);
    assert_eq!(sent["messages"][0]["role"], "system");
    assert!(sent.get("prompt_cache_key").is_none());
    let log = server.log();
    assert!(
        !log.contains("sk-model-server") && !log.contains(&tenant.key),
        "a secret was logged"
    );
}

#[tokio::test]
async fn the_environment_names_one() {
    let upstream = ScriptedUpstream::start().await.expect("one");
    for (api, route) in [
        ("chat", "/v1/chat/completions"),
        ("responses", "/v1/responses"),
    ] {
        let server = TestServer::builder()
            .env("WAYPOST_UPSTREAM_URL", &upstream.base_url())
            .env("WAYPOST_UPSTREAM_API", api)
            .env("WAYPOST_UPSTREAM_API_KEY", "sk-from-env")
            .start()
            .await;
        let tenant = server.project("p").await;
        let client = server.client(&tenant.key);
        let body = json!({"model": "anything?tokens=2", "input": "x"});
        client.post("/v1/responses", body).await.ok();
        let requests = upstream.requests();
        let last = requests.last().expect("a request");
        assert_eq!(last.route, route);
        assert_eq!(last.headers["authorization"], "Bearer sk-from-env");
    }
}

#[tokio::test]
async fn without_a_model_server_it_says_whose_turn_it_is() {
    // It looks at the usual local ports; a developer may have one there.
    for port in [11434, 8000, 8080, 1234] {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            eprintln!("SKIPPED: something listens on port {port} of this machine");
            return;
        }
    }
    let server = TestServer::start().await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    for background in [false, true] {
        let body = json!({"model": "any", "input": "x", "background": background});
        let reply = client.post("/v1/responses", body).await;
        let message = reply.error(503, None, Some("no_upstream"));
        assert!(message.contains("[[upstreams]]"), "{message}");
    }
    let body = json!({"model": "any", "messages": []});
    let reply = client.post("/v1/chat/completions", body).await;
    reply.error(503, None, Some("no_upstream"));
    let list = client.get("/v1/models").await.ok().json;
    assert_eq!(list["data"], json!([]));
}
