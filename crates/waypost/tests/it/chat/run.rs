//! Whole answers of requests that run here.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{ARGUMENTS, PATH, strict, weather, world};
use crate::support::until_within;

/// The dialects that a request may meet.
const KINDS: [&str; 3] = ["openai", "native", "chat"];

#[tokio::test]
async fn calls() {
    let world = world("").await;
    for kind in KINDS {
        for style in ["fragments", "one_chunk", "late_id", "no_id", "args_at_end"] {
            let model = format!("{kind}?tools=2&tokens=0&tool_style={style}");
            let reply = world
                .client()
                .post(PATH, strict(&model, json!({})))
                .await
                .ok();
            let answer = reply.json;
            assert!(
                answer["id"]
                    .as_str()
                    .expect("an id")
                    .starts_with("chatcmpl-")
            );
            assert_eq!(answer["object"], "chat.completion");
            assert!(answer["created"].as_u64().expect("a time") > 1_700_000_000);
            assert_eq!(answer["model"], model);
            let choices = answer["choices"].as_array().expect("choices");
            assert_eq!(choices.len(), 1);
            let choice = &choices[0];
            assert_eq!(choice["index"], 0);
            assert_eq!(choice["finish_reason"], "tool_calls", "{model}");
            assert_eq!(choice["logprobs"], Value::Null);
            let message = &choice["message"];
            assert_eq!(message["role"], "assistant");
            assert_eq!(message["content"], Value::Null, "{model}");
            assert_eq!(message["refusal"], Value::Null);
            assert_eq!(message["annotations"], json!([]));
            let calls = message["tool_calls"].as_array().expect("calls");
            assert_eq!(calls.len(), 2, "{model}: {answer}");
            assert_ne!(calls[0]["id"], calls[1]["id"]);
            for call in calls {
                assert!(!call["id"].as_str().expect("an id").is_empty());
                assert_eq!(call["type"], "function");
                assert_eq!(
                    call["function"],
                    json!({"name": "get_weather", "arguments": ARGUMENTS})
                );
            }
            let usage = &answer["usage"];
            assert_eq!(usage["prompt_tokens"], 11);
            assert_eq!(
                usage["total_tokens"].as_u64(),
                Some(11 + usage["completion_tokens"].as_u64().expect("a count"))
            );
            let sent = world.last_request();
            assert_eq!(sent["stream"], true);
            let tool = sent.pointer("/tools/0").expect("a tool");
            let function = tool.get("function").unwrap_or(tool);
            assert_eq!(function["strict"], true, "{sent}");
            assert_eq!(function["parameters"], weather()["function"]["parameters"]);
        }
    }
}

#[tokio::test]
async fn words_reasoning_and_refusals() {
    let world = world("").await;
    for kind in KINDS {
        let model = format!("{kind}?tokens=4&reasoning_tokens=2&logprobs=1&cached_tokens=5");
        let body = strict(&model, json!({"logprobs": true}));
        let answer = world.client().post(PATH, body).await.ok().json;
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "stop");
        assert_eq!(choice["message"]["content"], "0 1 2 3 ");
        assert!(choice["message"].get("tool_calls").is_none());
        let reasoning = choice["message"]["reasoning_content"].as_str();
        assert_eq!(reasoning.expect("reasoning").trim(), "r0 r1", "{model}");
        let logprobs = choice["logprobs"]["content"].as_array().expect("logprobs");
        assert_eq!(logprobs.len(), 4, "{model}");
        let usage = &answer["usage"];
        assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 5);
        assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 2);

        let model = format!("{kind}?refusal=I+will+not");
        let answer = world
            .client()
            .post(PATH, strict(&model, json!({})))
            .await
            .ok();
        let message = &answer.json["choices"][0]["message"];
        assert_eq!(message["content"], Value::Null);
        assert_eq!(
            message["refusal"].as_str().map(str::trim),
            Some("I will not")
        );

        for (reason, expected) in [("length", "length"), ("content_filter", "content_filter")] {
            let model = format!("{kind}?tokens=2&finish_reason={reason}");
            let answer = world
                .client()
                .post(PATH, strict(&model, json!({})))
                .await
                .ok();
            assert_eq!(
                answer.json["choices"][0]["finish_reason"], expected,
                "{model}"
            );
            assert_eq!(answer.json["choices"][0]["message"]["content"], "0 1 ");
        }
    }
}

#[tokio::test]
async fn a_format() {
    let world = world("").await;
    let schema = weather()["function"]["parameters"].clone();
    let format = json!({"type": "json_schema", "json_schema":
        {"name": "weather", "description": "d", "strict": true, "schema": schema}});
    for kind in KINDS {
        let body = json!({
            "model": format!("{kind}?say={ARGUMENTS}"),
            "messages": [{"role": "user", "content": "x"}],
            "response_format": format,
        });
        let answer = world.client().post(PATH, body).await.ok().json;
        assert_eq!(
            answer["choices"][0]["message"]["content"], ARGUMENTS,
            "{kind}"
        );
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        let sent = world.last_request();
        let sent = sent
            .pointer("/text/format")
            .or(sent.pointer("/response_format/json_schema"));
        let sent = sent.expect("a format");
        assert_eq!(
            (&sent["name"], &sent["strict"], &sent["schema"]),
            (&json!("weather"), &json!(true), &schema)
        );
    }
}

#[tokio::test]
async fn custom_tools() {
    let world = world("").await;
    for kind in ["openai", "native"] {
        let body = json!({
            "model": format!("{kind}?custom=run:print(1)"),
            "messages": [{"role": "user", "content": "x"}],
            "tools": [{"type": "custom", "custom": {"name": "run", "description": "d", "format":
                {"type": "grammar", "grammar": {"syntax": "regex", "definition": "print.*"}}}}],
            "tool_choice": {"type": "custom", "custom": {"name": "run"}},
        });
        let answer = world.client().post(PATH, body).await.ok().json;
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{answer}");
        let call = &choice["message"]["tool_calls"][0];
        assert_eq!(call["type"], "custom");
        assert_eq!(call["custom"], json!({"name": "run", "input": "print(1)"}));
        let id = call["id"].as_str().expect("an id");

        // The call and its result come back.
        let body = json!({
            "model": format!("{kind}?tokens=2"),
            "messages": [
                {"role": "user", "content": "x"},
                choice["message"],
                {"role": "tool", "tool_call_id": id, "content": "1"},
            ],
            "tools": [{"type": "custom", "custom": {"name": "run"}}],
        });
        let answer = world.client().post(PATH, body).await.ok().json;
        assert_eq!(answer["choices"][0]["message"]["content"], "0 1 ");
        let sent = world.last_request();
        if kind == "native" {
            assert_eq!(sent["input"][1]["type"], "custom_tool_call");
            assert_eq!(sent["input"][2]["type"], "custom_tool_call_output");
            assert_eq!(sent["input"][2]["call_id"], id);
        } else {
            let call = &sent["messages"][1]["tool_calls"][0];
            assert_eq!(call["custom"], json!({"name": "run", "input": "print(1)"}));
            assert_eq!(sent["messages"][2]["tool_call_id"], id);
        }
    }
}

#[tokio::test]
async fn functions_of_old() {
    let world = world("").await;
    let mut function = weather()["function"].clone();
    function
        .as_object_mut()
        .expect("an object")
        .remove("strict");
    let body = json!({
        "model": "native?tools=1&tokens=0",
        "messages": [{"role": "user", "content": "x"}],
        "functions": [function],
        "function_call": {"name": "get_weather"},
    });
    let answer = world.client().post(PATH, body.clone()).await.ok().json;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "function_call");
    assert_eq!(
        choice["message"]["function_call"],
        json!({"name": "get_weather", "arguments": ARGUMENTS})
    );
    assert!(choice["message"].get("tool_calls").is_none());
    assert_eq!(
        world.last_request()["tool_choice"],
        json!({"type": "function", "name": "get_weather"})
    );

    let mut next = body;
    next["model"] = json!("native?tokens=1");
    next["function_call"] = json!("auto");
    next["messages"] = json!([
        {"role": "user", "content": "x"},
        choice["message"],
        {"role": "function", "name": "get_weather", "content": "sun"},
    ]);
    world.client().post(PATH, next).await.ok();
    let sent = world.last_request();
    let (call, result) = (&sent["input"][1], &sent["input"][2]);
    assert_eq!(call["type"], "function_call");
    assert_eq!(call["call_id"], result["call_id"]);
    assert_eq!(result["output"], "sun");
}

#[tokio::test]
async fn failures() {
    let world = world("").await;
    for kind in KINDS {
        let ask = |query: &str| strict(&format!("{kind}?{query}"), json!({}));
        let reply = world
            .client()
            .post(PATH, ask("status=429&retry_after=7"))
            .await;
        assert_eq!(reply.status, 429);
        assert_eq!(reply.headers["retry-after"], "7");
        for query in [
            "status=500",
            "status=401",
            "html_body=1",
            "eof_after=2",
            "malformed_after=1",
        ] {
            let reply = world.client().post(PATH, ask(query)).await;
            let message = reply.error(502, None, Some("upstream_error"));
            assert!(!message.contains('<'), "{message}");
        }
        let reply = world.client().post(PATH, ask("status=400")).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
    }
    world.idle().await;
}

#[tokio::test]
async fn an_answer_may_not_take_for_ever() {
    let world = world("max_duration = \"1s\"").await;
    let body = strict("openai?tokens=1000&delay_ms=20", json!({}));
    let reply = world.client().post(PATH, body).await;
    reply.error(503, None, None);
    world.idle().await;
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_model_server() {
    let world = world("").await;
    for stream in [false, true] {
        world.upstream.reset();
        let body = strict("openai?tokens=1000&delay_ms=20", json!({"stream": stream}));
        let request = world.client().request(Method::POST, PATH).json(&body);
        let waiting = tokio::spawn(async move {
            let answer = request.send().await.expect("an answer");
            answer.bytes().await
        });
        until_within(
            "the model server is asked",
            Duration::from_secs(5),
            async || world.upstream.stats().active_calls == 1,
        )
        .await;
        waiting.abort();
        until_within(
            "the model server is left",
            Duration::from_secs(5),
            async || world.upstream.stats().active_calls == 0,
        )
        .await;
    }
}

#[tokio::test]
async fn the_place_at_the_model_server_is_held_to_the_end() {
    let world = world("queue_timeout = \"200ms\"").await;
    let body = strict("openai?tokens=1000&delay_ms=20", json!({"stream": true}));
    let client = world.client();
    let open = || client.request(Method::POST, PATH).json(&body).send();
    let first = open().await.expect("a stream");
    let second = open().await.expect("a stream");
    let reply = world
        .client()
        .post(PATH, strict("openai?tokens=1", json!({})))
        .await;
    reply.error(429, None, Some("upstream_busy"));
    drop((first, second));
    world.idle().await;
    world
        .client()
        .post(PATH, strict("openai?tokens=1", json!({})))
        .await
        .ok();
}
