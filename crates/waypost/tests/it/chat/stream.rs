//! Streamed answers of requests that run here.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{ARGUMENTS, PATH, strict, world};
use crate::support::{Events, World};

async fn open(world: &World, mut body: Value) -> Events {
    body["stream"] = json!(true);
    let client = world.client();
    Events::open(client.request(Method::POST, PATH).json(&body)).await
}

async fn chunks(world: &World, body: Value) -> Vec<Value> {
    let mut events = open(world, body).await;
    let chunks = events.collect().await;
    assert!(events.done, "no [DONE]");
    chunks
}

/// Puts the chunks together as clients do, and checks what clients rely on.
fn message(chunks: &[Value]) -> (Value, String) {
    let mut message = Map::new();
    let mut calls: Vec<Value> = Vec::new();
    let mut finish = None;
    let add = |target: &mut Value, text: &Value| {
        let known = target.as_str().unwrap_or_default();
        *target = json!(format!("{known}{}", text.as_str().expect("text")));
    };
    let first = &chunks[0];
    for (at, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        for same in ["id", "created", "model"] {
            assert_eq!(chunk[same], first[same]);
        }
        let choices = chunk["choices"].as_array().expect("choices");
        let Some(choice) = choices.first() else {
            assert_eq!(at, chunks.len() - 1, "only the last chunk has no choice");
            continue;
        };
        assert!(finish.is_none(), "something follows the finish reason");
        let delta = choice["delta"].as_object().expect("a delta");
        assert_eq!(delta.contains_key("role"), at == 0, "{chunk}");
        for (name, value) in delta {
            match (name.as_str(), value) {
                ("tool_calls", Value::Array(pieces)) => {
                    for piece in pieces {
                        let index = piece["index"].as_u64().expect("an index") as usize;
                        let kind = if piece.get("custom").is_some() {
                            "custom"
                        } else {
                            "function"
                        };
                        let text = if kind == "custom" {
                            "input"
                        } else {
                            "arguments"
                        };
                        if index == calls.len() {
                            assert_eq!(piece["type"], kind);
                            assert!(!piece["id"].as_str().expect("an id").is_empty());
                            assert!(!piece[kind]["name"].as_str().expect("a name").is_empty());
                            assert_eq!(piece[kind][text], "");
                            calls.push(piece.clone());
                        } else {
                            let keys: Vec<_> = piece.as_object().expect("one").keys().collect();
                            assert_eq!(keys, ["index", kind]);
                            assert_eq!(piece[kind].as_object().expect("one").len(), 1);
                            add(&mut calls[index][kind][text], &piece[kind][text]);
                        }
                    }
                }
                ("function_call", value) => {
                    let call = message.entry("function_call").or_insert_with(|| json!({}));
                    for (name, value) in value.as_object().expect("one") {
                        add(&mut call[name], value);
                    }
                }
                ("role", value) => {
                    message.insert("role".into(), value.clone());
                }
                (_, Value::Null) => {}
                (name, value) => add(message.entry(name).or_insert(Value::Null), value),
            }
        }
        finish = choice["finish_reason"].as_str().map(str::to_owned);
    }
    for call in &mut calls {
        call.as_object_mut().expect("an object").remove("index");
    }
    if !calls.is_empty() {
        message.insert("tool_calls".into(), json!(calls));
    }
    (Value::Object(message), finish.expect("a finish reason"))
}

#[tokio::test]
async fn calls() {
    let world = world("").await;
    for kind in ["openai", "native", "chat"] {
        for more in [
            "",
            "&tool_style=late_id",
            "&tool_style=no_index",
            "&tool_interleave=1",
        ] {
            let model = format!("{kind}?tools=2&tokens=0{more}");
            let chunks = chunks(&world, strict(&model, json!({}))).await;
            assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
            let (message, finish) = message(&chunks);
            assert_eq!(finish, "tool_calls", "{model}");
            assert_eq!(chunks[0]["choices"][0]["delta"]["content"], Value::Null);
            let calls = message["tool_calls"].as_array().expect("calls");
            assert_eq!(calls.len(), 2);
            for call in calls {
                let function = json!({"name": "get_weather", "arguments": ARGUMENTS});
                assert_eq!(call["function"], function, "{model}");
            }
            assert_ne!(calls[0]["id"], calls[1]["id"]);
        }
    }
}

#[tokio::test]
async fn a_custom_call() {
    let world = world("").await;
    for kind in ["openai", "native"] {
        let body = json!({
            "model": format!("{kind}?custom=run:print(1)"),
            "messages": [{"role": "user", "content": "x"}],
            "tools": [{"type": "custom", "custom": {"name": "run"}}],
        });
        let (message, finish) = message(&chunks(&world, body).await);
        assert_eq!(finish, "tool_calls");
        let call = &message["tool_calls"][0];
        assert_eq!(call["type"], "custom");
        assert_eq!(call["custom"], json!({"name": "run", "input": "print(1)"}));
    }
}

#[tokio::test]
async fn a_function_of_old() {
    let world = world("").await;
    let body = json!({
        "model": "native?tools=1&tokens=0",
        "messages": [{"role": "user", "content": "x"}],
        "functions": [{"name": "get_weather"}],
    });
    let (message, finish) = message(&chunks(&world, body).await);
    assert_eq!(finish, "function_call");
    let call = json!({"name": "get_weather", "arguments": ARGUMENTS});
    assert_eq!(message["function_call"], call);
}

#[tokio::test]
async fn words_and_counts() {
    let world = world("").await;
    for kind in ["openai", "native", "chat"] {
        let model = format!("{kind}?tokens=5&reasoning_tokens=2&shape=emoji&logprobs=1");
        let body = strict(
            &model,
            json!({"stream_options": {"include_usage": true}, "logprobs": true}),
        );
        let chunks = chunks(&world, body).await;
        let (last, others) = chunks.split_last().expect("chunks");
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["total_tokens"].as_u64().expect("a count"), {
            let usage = &last["usage"];
            usage["prompt_tokens"].as_u64().expect("a count")
                + usage["completion_tokens"].as_u64().expect("a count")
        });
        assert!(others.iter().all(|chunk| chunk["usage"] == Value::Null
            && chunk.as_object().expect("an object").contains_key("usage")));
        let logprobs = others
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array());
        assert_eq!(logprobs.flatten().count(), 5, "{model}");
        let (message, finish) = message(&chunks);
        assert_eq!(finish, "stop");
        assert_eq!(message["content"], crate::support::answer_of(&model));
        assert_eq!(
            message["reasoning_content"].as_str().map(str::trim),
            Some("r0 r1")
        );
    }
}

#[tokio::test]
async fn arguments_come_as_they_are_written() {
    let world = world("").await;
    let body = strict(
        "openai?tools=1&tokens=0&tool_fragments=5&delay_ms=150",
        json!({}),
    );
    let mut events = open(&world, body).await;
    let mut growing = 0;
    while let Some(chunk) = events.next().await {
        let piece = &chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"];
        if piece.as_str().is_some_and(|text| !text.is_empty()) {
            growing += 1;
            if growing == 1 {
                assert_eq!(world.upstream.stats().active_calls, 1, "it came at the end");
            }
        }
    }
    assert_eq!(growing, 5);
}

#[tokio::test]
async fn failures() {
    let world = world("").await;
    for kind in ["openai", "native"] {
        // Before the answer began: an ordinary error.
        let body = strict(&format!("{kind}?status=500"), json!({"stream": true}));
        let reply = world.client().post(PATH, body).await;
        reply.error(502, None, Some("upstream_error"));
        // After: a last event, and no [DONE].
        for query in [
            "eof_after=3",
            "reset_after=3",
            "error_after=3",
            "malformed_after=3",
        ] {
            let model = format!("{kind}?tokens=9&coalesce=1&delay_ms=5&{query}");
            let mut events = open(&world, strict(&model, json!({}))).await;
            let chunks = events.collect().await;
            assert!(!events.done, "{model}");
            let (last, others) = chunks.split_last().expect("chunks");
            assert!(!others.is_empty(), "{model}");
            let error = last["error"].as_object().expect("an error");
            let keys: Vec<_> = error.keys().map(String::as_str).collect();
            assert_eq!(keys, ["message", "type", "param", "code"]);
            assert_eq!(error["type"], "server_error", "{model}: {last}");
        }
    }
    world.idle().await;
}

#[tokio::test]
async fn a_silent_model_server() {
    let world = world("keep_alive = \"100ms\"\nupstream_idle_timeout = \"1s\"").await;
    let body = strict("openai?tokens=3&first_delay_ms=700", json!({}));
    let mut events = open(&world, body).await;
    events.collect().await;
    assert!(events.done);
    assert!(events.comments() >= 2, "{} comments", events.comments());
    let body = strict("openai?tokens=9&stall_after=2&coalesce=1", json!({}));
    let mut events = open(&world, body).await;
    let chunks = events.collect().await;
    let error = &chunks.last().expect("chunks")["error"];
    assert_eq!(
        error["message"],
        "The model server stopped sending for 1 seconds."
    );
    world.idle().await;
}

#[tokio::test]
async fn a_stream_may_not_take_for_ever() {
    let world = world("max_duration = \"1s\"").await;
    let body = strict("openai?tokens=1000&delay_ms=20", json!({}));
    let mut events = open(&world, body).await;
    let chunks = events.collect().await;
    let error = &chunks.last().expect("chunks")["error"];
    assert_eq!(
        error["message"],
        "The response took longer than responses may take here."
    );
    world.idle().await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_slows_the_model_server_down() {
    let world = world("").await;
    // More than all buffers on the way hold.
    let body = strict(
        "openai?tokens=60000&shape=filler&token_bytes=1000",
        json!({}),
    );
    let events = open(&world, body).await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(
        world.upstream.stats().active_calls,
        1,
        "everything was taken in"
    );
    drop(events);
    world.idle().await;
}
