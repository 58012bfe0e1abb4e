//! What a request that runs here becomes for the model server.

use serde_json::{Value, json};

use super::{PATH, strict, weather, world};

const PIXEL: &str = "data:image/png;base64,iVBORw0KGgo=";

fn conversation() -> Value {
    json!([
        {"role": "system", "content": "s"},
        {"role": "developer", "content": [{"type": "text", "text": "d"}]},
        {"role": "user", "name": "ann", "content": [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            {"type": "file", "file": {"file_data": "data:text/plain;base64,eA==", "filename": "x"}},
        ]},
        {"role": "assistant", "content": "let me see", "refusal": null, "annotations": [],
            "audio": null, "function_call": null, "parsed": {"a": 1}, "reasoning_content": "hm",
            "provider_fields": {"kept": [1]}, "tool_calls": [
            {"id": "call_1", "type": "function",
                "function": {"name": "get_weather", "arguments": "{\"city\":\"a\",\"days\":1}"}},
            {"id": "functions.get_weather:1", "type": "function", "index": 1,
                "function": {"name": "get_weather", "arguments": "{\"city\":\"b\",\"days\":2}"}},
        ]},
        {"role": "tool", "tool_call_id": "functions.get_weather:1", "content": "rain"},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "sun"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "user", "content": "why?"},
    ])
}

#[tokio::test]
async fn for_a_chat_server() {
    let world = world("").await;
    let body = strict(
        "openai?tools=1&tokens=0",
        json!({
            "messages": conversation(),
            "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
            "parallel_tool_calls": false,
            "max_tokens": 77,
            "temperature": 0.25,
            "top_p": 0.5,
            "stop": ["x"],
            "seed": 7,
            "presence_penalty": 0.5,
            "frequency_penalty": -0.5,
            "logit_bias": {"5": 1},
            "logprobs": true,
            "top_logprobs": 2,
            "user": "u",
            "metadata": {"a": "b"},
            "store": false,
            "reasoning_effort": "low",
            "verbosity": "high",
            "service_tier": "flex",
            "top_k": 3,
            "chat_template_kwargs": {"enable_thinking": false},
            "response_format": {"type": "text"},
            "n": 1,
            "stream_options": null,
        }),
    );
    world.client().post(PATH, body.clone()).await.ok();
    let mut sent = world.last_request();
    let messages = sent["messages"].take();
    let mut expected = conversation();
    expected[1]["content"] = json!("d");
    expected[3] = json!({"role": "assistant", "content": "let me see", "reasoning_content": "hm",
        "provider_fields": {"kept": [1]}, "tool_calls": expected[3]["tool_calls"]});
    let call = expected[3]["tool_calls"][1]
        .as_object_mut()
        .expect("a call");
    call.remove("index");
    expected[5]["content"] = json!("sun");
    expected[6]["content"] = json!("no");
    assert_eq!(messages, expected);
    for (name, value) in body.as_object().expect("an object") {
        match name.as_str() {
            "messages" | "max_tokens" | "response_format" | "n" | "stream_options" => {}
            name => assert_eq!(&sent[name], value, "{name}"),
        }
    }
    assert_eq!(sent["max_completion_tokens"], 77);
    assert_eq!(sent["stream_options"], json!({"include_usage": true}));
    for absent in ["max_tokens", "n", "response_format"] {
        assert!(sent.get(absent).is_none(), "{absent}");
    }
}

#[tokio::test]
async fn for_a_chat_server_sound_goes_along() {
    let world = world("").await;
    let parts = json!([
        {"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/v"}},
    ]);
    let messages = json!([{"role": "user", "content": parts}]);
    let body = strict("chat?tokens=1", json!({"messages": messages}));
    world.client().post(PATH, body).await.ok();
    assert_eq!(world.last_request()["messages"], messages);
    let body = strict("native?tokens=1", json!({"messages": messages}));
    let reply = world.client().post(PATH, body).await;
    reply.error(
        400,
        Some("messages[0].content[0].type"),
        Some("unsupported_parameter"),
    );
}

#[tokio::test]
async fn for_a_server_that_speaks_responses() {
    let world = world("").await;
    let body = strict(
        "native?tools=1&tokens=0",
        json!({
            "messages": conversation(),
            "tool_choice": "required",
            "parallel_tool_calls": true,
            "max_completion_tokens": 77,
            "temperature": 0.25,
            "user": "u",
            "metadata": {"a": "b"},
            "service_tier": "flex",
            "prompt_cache_key": "k",
            "reasoning_effort": "low",
            "verbosity": "high",
            "logprobs": true,
            "response_format": {"type": "json_schema", "json_schema":
                {"name": "n", "schema": {"type": "object"}}},
        }),
    );
    world.client().post(PATH, body).await.ok();
    let sent = world.last_request();
    let message =
        |role: &str, content: Value| json!({"type": "message", "role": role, "content": content});
    let text = |text: &str| json!([{"type": "input_text", "text": text}]);
    let arguments = |city: &str, days: u8| format!("{{\"city\":\"{city}\",\"days\":{days}}}");
    assert_eq!(
        sent["input"],
        json!([
            message("system", text("s")),
            message("developer", text("d")),
            message("user", json!([
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": PIXEL, "detail": "low"},
                {"type": "input_file", "file_data": "data:text/plain;base64,eA==", "filename": "x"},
            ])),
            message("assistant", json!([{"type": "output_text", "text": "let me see"}])),
            {"type": "function_call", "call_id": "call_1", "name": "get_weather",
                "arguments": arguments("a", 1)},
            {"type": "function_call", "call_id": "functions.get_weather:1", "name": "get_weather",
                "arguments": arguments("b", 2)},
            {"type": "function_call_output", "call_id": "functions.get_weather:1",
                "output": "rain"},
            {"type": "function_call_output", "call_id": "call_1", "output": text("sun")},
            message("assistant", json!([{"type": "refusal", "refusal": "no"}])),
            message("user", text("why?")),
        ])
    );
    let function = &weather()["function"];
    let tool = &sent["tools"][0];
    assert_eq!(tool["type"], "function");
    for name in ["name", "description", "parameters", "strict"] {
        assert_eq!(tool[name], function[name], "{name}");
    }
    for (name, value) in [
        ("tool_choice", json!("required")),
        ("parallel_tool_calls", json!(true)),
        ("max_output_tokens", json!(77)),
        ("temperature", json!(0.25)),
        ("user", json!("u")),
        ("metadata", json!({"a": "b"})),
        ("service_tier", json!("flex")),
        ("prompt_cache_key", json!("k")),
        ("store", json!(false)),
        ("include", json!(["message.output_text.logprobs"])),
    ] {
        assert_eq!(sent[name], value, "{name}");
    }
    assert_eq!(sent["reasoning"]["effort"], "low");
    assert_eq!(sent["text"]["verbosity"], "high");
    assert_eq!(
        sent["text"]["format"],
        json!({"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": false})
    );
}

#[tokio::test]
async fn a_plain_question_to_a_server_that_speaks_responses() {
    let world = world("").await;
    let body = json!({"model": "native?tokens=3", "messages": [{"role": "user", "content": "x"}]});
    let answer = world.client().post(PATH, body).await.ok().json;
    assert_eq!(answer["choices"][0]["message"]["content"], "0 1 2 ");
    let sent = world.last_request();
    for absent in ["tools", "tool_choice", "text", "temperature"] {
        assert!(sent.get(absent).is_none(), "{absent}");
    }
}

/// There are no files here, and the ids of the model server's account are those
/// of all projects. What is passed on is the model server's to judge.
#[tokio::test]
async fn files_by_id_are_refused_where_the_request_runs_here() {
    let world = world("").await;
    let messages = json!([{"role": "user", "content": [
        {"type": "text", "text": "read"}, {"type": "file", "file": {"file_id": "file_1"}}]}]);
    for model in ["openai?tokens=1", "native?tokens=1"] {
        let reply = world
            .client()
            .post(PATH, strict(model, json!({"messages": messages})))
            .await;
        let message = reply.error(
            400,
            Some("messages[0].content[1].file.file_id"),
            Some("unsupported_parameter"),
        );
        assert!(message.contains("file_data"), "{message}");
    }
    assert!(world.upstream.requests().is_empty());
    let plain = json!({"model": "openai?tokens=1", "messages": messages});
    world.client().post(PATH, plain).await.ok();
    assert_eq!(world.last_request()["messages"], messages);
}
