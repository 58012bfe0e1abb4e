//! What is asked for: fields that are refused by name, fields that are echoed,
//! and what reaches the model server.

use serde_json::{Value, json};

use crate::support::World;

async fn refused(world: &World, body: Value, param: Option<&str>, code: &str) -> String {
    let reply = world.client().post("/v1/responses", body).await;
    reply.error(400, param, Some(code))
}

#[tokio::test]
async fn a_bad_field_is_named() {
    let world = World::start().await;
    let model = "chat?tokens=2";
    for (body, param, code) in [
        (json!({"input": "x"}), "model", "missing_required_parameter"),
        (
            json!({"model": model}),
            "input",
            "missing_required_parameter",
        ),
        (json!({"model": 7, "input": "x"}), "model", "invalid_type"),
        (json!({"model": model, "input": 7}), "input", "invalid_type"),
        (
            json!({"model": model, "input": "x", "stream": "yes"}),
            "stream",
            "invalid_type",
        ),
        (
            json!({"model": model, "input": "x", "tempreature": 1}),
            "tempreature",
            "unknown_parameter",
        ),
        (
            json!({"model": model, "input": "x", "temperature": 3}),
            "temperature",
            "decimal_above_max_value",
        ),
        (
            json!({"model": model, "input": "x", "max_output_tokens": 1}),
            "max_output_tokens",
            "integer_below_min_value",
        ),
        (
            json!({"model": model, "input": [{"role": "king", "content": "x"}]}),
            "input[0].role",
            "invalid_value",
        ),
        (
            json!({"model": model, "input": [{"role": "user", "content": [{"type": "input_text"}]}]}),
            "input[0].content[0].text",
            "missing_required_parameter",
        ),
        (
            json!({"model": model, "input": "x", "conversation": "conv_1"}),
            "conversation",
            "unsupported_parameter",
        ),
        (
            json!({"model": model, "input": "x", "tools": [{"type": "computer_use_preview"}]}),
            "tools[0].type",
            "unsupported_parameter",
        ),
        (
            json!({"model": model, "input": "x", "tool_choice": "perhaps"}),
            "tool_choice",
            "invalid_value",
        ),
        (
            json!({"model": model, "input": "x", "include": ["everything"]}),
            "include[0]",
            "invalid_value",
        ),
        (
            json!({"model": model, "input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}}),
            "text.format.schema",
            "missing_required_parameter",
        ),
    ] {
        refused(&world, body, Some(param), code).await;
    }
    assert_eq!(
        world.upstream.requests().len(),
        0,
        "nothing was asked of the model"
    );
}

#[tokio::test]
async fn background_needs_store_unless_the_operator_allows_otherwise() {
    let world = World::start().await;
    let body = json!({"model": "chat", "input": "x", "background": true, "store": false});
    refused(&world, body, Some("background"), "unsupported_parameter").await;
}

#[tokio::test]
async fn the_echo_is_complete() {
    let world = World::start().await;
    let body = json!({
        "model": "chat?generate=calls",
        "input": "x as json",
        "instructions": "Be brief.",
        "temperature": 0.25,
        "top_p": 0.5,
        "max_output_tokens": 64,
        "max_tool_calls": 3,
        "metadata": {"team": "blue"},
        "parallel_tool_calls": false,
        "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": "u1",
        "prompt_cache_key": "k1",
        "prompt_cache_options": {"mode": "explicit", "ttl": "12h"},
        "background_options": {"continuation_id": "c1", "completion_window": "soonest"},
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "tool_choice": {"type": "function", "name": "f"},
        "truncation": "auto",
        "user": "someone",
    });
    let response = world.create(body.clone()).await;
    for key in [
        "instructions",
        "temperature",
        "top_p",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "parallel_tool_calls",
        "reasoning",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "text",
        "tool_choice",
        "truncation",
        "user",
    ] {
        assert_eq!(response[key], body[key], "{key}");
    }
    assert_eq!(response["tools"][0]["name"], "f");
    assert_eq!(response["tools"][0]["strict"], true);
    for key in [
        "id",
        "object",
        "created_at",
        "error",
        "incomplete_details",
        "instructions",
        "model",
        "tools",
        "output",
        "parallel_tool_calls",
        "metadata",
        "tool_choice",
        "temperature",
        "top_p",
        "store",
        "background",
        "previous_response_id",
        "service_tier",
        "usage",
        "status",
        "completed_at",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
    ] {
        assert!(response.get(key).is_some(), "{key} is missing");
    }
    assert!(
        response["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("resp_"))
    );

    // The first: a model that does not call the tool is asked again.
    let request = world.upstream.requests()[0].json();
    assert_eq!(request["temperature"], 0.25);
    assert_eq!(request["top_p"], 0.5);
    assert_eq!(request["max_tokens"], 64);
    assert_eq!(request["reasoning_effort"], "low");
    assert_eq!(request["parallel_tool_calls"], false);
    // Beside a tool that has to be called, this server is not given a format.
    assert!(request.get("response_format").is_none());
    assert_eq!(request["tools"][0]["function"]["name"], "f");
    assert_eq!(request["tool_choice"]["function"]["name"], "f");
    assert_eq!(request["stream"], true);
    assert_eq!(request["stream_options"]["include_usage"], true);
    for unknown in [
        "metadata",
        "store",
        "prompt_cache_options",
        "background_options",
        "verbosity",
    ] {
        assert!(request.get(unknown).is_none(), "{unknown}");
    }
    assert_eq!(
        request["messages"],
        json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "x as json"},
        ])
    );
}

#[tokio::test]
async fn images_reach_the_model_server() {
    let world = World::start().await;
    let url = "data:image/png;base64,iVBORw0KGgo=";
    let content = json!([
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": url, "detail": "low"},
    ]);
    let input = json!([{"role": "user", "content": content}]);
    world
        .create(json!({"model": "chat?tokens=1", "input": input}))
        .await;
    assert_eq!(
        world.last_request()["messages"][0]["content"],
        json!([
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        ])
    );
    world
        .create(json!({"model": "native?tokens=1", "input": input}))
        .await;
    assert_eq!(world.last_request()["input"][0]["content"], content);
}

#[tokio::test]
async fn an_unknown_model_and_no_model_server() {
    let upstream = waypost_testkit::ScriptedUpstream::start()
        .await
        .expect("one");
    let config = format!(
        "[[upstreams]]\nname = \"only\"\nbase_url = \"{}\"\nmodels = [\"known-*\", \"exact\"]\n",
        upstream.base_url()
    );
    let server = crate::harness::TestServer::builder()
        .config(&config)
        .start()
        .await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    for model in ["other", "know", "exact2"] {
        let reply = client
            .post("/v1/responses", json!({"model": model, "input": "x"}))
            .await;
        let message = reply.error(400, Some("model"), Some("model_not_found"));
        assert_eq!(
            message,
            format!("The requested model '{model}' does not exist.")
        );
    }
    for model in ["known-1", "exact"] {
        client
            .post("/v1/responses", json!({"model": model, "input": "x"}))
            .await
            .ok();
    }
}

#[tokio::test]
async fn a_body_that_is_not_json() {
    let world = World::start().await;
    let client = world.client();
    let post = || client.request(reqwest::Method::POST, "/v1/responses");
    let reply = client
        .send(
            post()
                .header("content-type", "application/json")
                .body("{\"model\": "),
        )
        .await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert_eq!(reply.json["error"]["type"], "invalid_request_error");
    let reply = client
        .send(post().header("content-type", "text/plain").body("hi"))
        .await;
    assert_eq!(reply.status, 415, "{}", reply.text);
}
