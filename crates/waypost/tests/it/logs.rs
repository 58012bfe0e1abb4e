//! What an operator finds in the log of a failure.

use serde_json::{Value, json};
use waypost_testkit::ScriptedUpstream;

use crate::{harness::TestServer, support::World};

/// The JSON lines that hold the text.
async fn lines(server: &TestServer, text: &str) -> Vec<Value> {
    let lines = server.wait_for_log(text).await;
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn header(reply: &crate::harness::Reply, name: &str) -> String {
    reply.headers[name].to_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_failed_call_says_whose_it_was_and_what_was_asked() {
    let world = World::builder()
        .top("log = {format = \"json\"}")
        .start()
        .await;
    let client = world.client();
    let model = "chat?status=500";
    let messages = json!([{"role": "user", "content": "x"}]);
    let strict = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true,
        "schema": {"type": "object", "properties": {}, "required": [], "additionalProperties": false}}});
    for (path, body, asked) in [
        (
            "/v1/responses",
            json!({"model": model, "input": "x"}),
            "/chat/completions",
        ),
        (
            "/v1/responses",
            json!({"model": model, "input": "x", "stream": true}),
            "/chat/completions",
        ),
        (
            "/v1/responses",
            json!({"model": "native?status=500", "input": "x"}),
            "/responses",
        ),
        (
            "/v1/chat/completions",
            json!({"model": model, "messages": messages}),
            "/chat/completions",
        ),
        (
            "/v1/chat/completions",
            json!({"model": model, "messages": messages, "response_format": strict}),
            "/chat/completions",
        ),
        (
            "/v1/embeddings",
            json!({"model": model, "input": "x"}),
            "/embeddings",
        ),
    ] {
        let reply = client.post(path, body.clone()).await;
        assert!(reply.status >= 500, "{}", reply.text);
        let id = header(&reply, "x-request-id");
        let lines = lines(&world.server, &id).await;
        let failure = lines
            .iter()
            .find(|line| line["message"] == "the model server failed")
            .unwrap_or_else(|| panic!("{path}: {lines:?}"));
        assert_eq!(
            failure["url"],
            format!("{}{asked}", world.upstream.base_url()),
            "{path}"
        );
        assert_eq!(failure["model"], body["model"]);
        assert_eq!(failure["request_id"], id);
        let error = failure["error"].as_str().expect("a reason");
        assert!(error.contains("500"), "{error}");
        let is_response = failure["response_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("resp_"));
        assert_eq!(is_response, path == "/v1/responses", "{failure}");
    }
}

#[tokio::test]
async fn a_request_line_has_model_upstream_and_tokens() {
    let world = World::builder()
        .top("log = {format = \"json\"}")
        .start()
        .await;
    let client = world.client();
    let model = "chat?tokens=4&usage=last";
    let messages = json!([{"role": "user", "content": "x"}]);
    for (path, body) in [
        ("/v1/responses", json!({"model": model, "input": "x"})),
        (
            "/v1/responses",
            json!({"model": model, "input": "x", "stream": true}),
        ),
        (
            "/v1/chat/completions",
            json!({"model": model, "messages": messages}),
        ),
        (
            "/v1/chat/completions",
            json!({"model": model, "messages": messages, "stream": true,
            "stream_options": {"include_usage": true}}),
        ),
    ] {
        let reply = client.post(path, body.clone()).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let id = header(&reply, "x-request-id");
        let lines = lines(&world.server, &id).await;
        let line = &lines[0];
        assert_eq!(
            (&line["model"], &line["upstream"]),
            (&json!(model), &json!("chat")),
            "{line}"
        );
        assert_eq!(line["output_tokens"], 4, "{body}: {line}");
        assert!(line["input_tokens"].is_u64(), "{line}");
        assert_eq!(line["response_id"].is_string(), path == "/v1/responses");
    }
}

#[tokio::test]
async fn a_404_has_its_path_and_a_401_its_reason() {
    let server = TestServer::builder()
        .config("[log]\nformat = \"json\"")
        .start()
        .await;
    let reply = server.anonymous().get("/some/where?secret=hunter2").await;
    assert_eq!(reply.status, 404);
    let line = &lines(&server, &header(&reply, "x-request-id")).await[0];
    assert_eq!(line["path"], "/some/where");
    for (client, reason) in [
        (server.anonymous(), "missing"),
        (server.client("sk-nope"), "unknown_key"),
        (server.client("eyJhbGciOiJub25lIn0.e30."), "invalid_token"),
    ] {
        let reply = client.get("/v1/models").await;
        assert_eq!(reply.status, 401);
        let line = &lines(&server, &header(&reply, "x-request-id")).await[0];
        assert_eq!(line["refused"], reason);
        assert!(line.get("path").is_none(), "{line}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        server.anonymous().get(path).await.ok();
    }
    // It is written after those.
    let last = server.anonymous().get("/v1/nope").await;
    server.wait_for_log(&header(&last, "x-request-id")).await;
    let log = server.log();
    assert!(
        !log.contains("hunter2") && !log.contains("/healthz\",\"status"),
        "{log}"
    );
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!(!log.contains(&format!("\"route\":\"{path}\"")), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_base_url_is_never_blamed_on_the_client() {
    let upstream = ScriptedUpstream::start().await.expect("one");
    let base = upstream.base_url();
    let root = base.trim_end_matches("/v1");
    let config = format!(
        "[[upstreams]]\nname = \"wrong\"\nbase_url = \"{root}\"\n[[upstreams]]\nname = \"native\"\nbase_url = \"{root}\"\napi = \"responses\"\n"
    );
    let server = TestServer::builder().config(&config).start().await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    let messages = json!([{"role": "user", "content": "x"}]);
    for (path, body) in [
        ("/v1/responses", json!({"model": "m", "input": "x"})),
        (
            "/v1/responses",
            json!({"model": "m", "input": "x", "stream": true}),
        ),
        (
            "/v1/chat/completions",
            json!({"model": "m", "messages": messages}),
        ),
        ("/v1/embeddings", json!({"model": "m", "input": "x"})),
    ] {
        let reply = client.post(path, body).await;
        let message = reply.error(502, None, Some("upstream_error"));
        assert!(message.contains("no such endpoint"), "{message}");
        let line = server.wait_for_log(&header(&reply, "x-request-id")).await;
        assert!(
            line.contains("check base_url: does it end in /v1?"),
            "{line}"
        );
        assert!(line.contains(&format!("{root}/")), "{line}");
    }
}
