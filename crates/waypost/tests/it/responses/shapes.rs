//! Every way in which a model server may answer: the stream is proper, what it
//! builds is what `GET` returns, and an answer without a stream is the same.

use serde_json::{Value, json};

use crate::support::{World, answer_of, checked, declare_tools, id_of, output_text};

/// Text in all forms that the wire can give it.
const TEXTS: &[&str] = &[
    "tokens=20",
    "tokens=1",
    "tokens=40&coalesce=1",
    "tokens=30&shape=emoji",
    "tokens=30&shape=emoji&split_utf8=1&coalesce=1",
    "tokens=30&shape=emoji&crlf=1",
    "tokens=1&shape=emoji&write_bytes=13&coalesce=1",
    "tokens=2&write_bytes=29&crlf=1",
    "tokens=20&comments=2",
    "tokens=20&multiline=1",
    "tokens=20&tight=1",
    "tokens=300&shape=filler&token_bytes=2000",
];

/// A response without what two runs cannot share.
fn comparable(response: &Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for own in ["id", "call_id", "created_at", "completed_at", "background"] {
                    map.shift_remove(own);
                }
                map.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut response = response.clone();
    strip(&mut response);
    response
}

/// Runs a request in all four ways; they agree. The response.
async fn all_ways(world: &World, body: Value) -> Value {
    let name = body["model"].to_string();
    let mut events = world.stream(body.clone()).await;
    let streamed = checked(&events.collect().await);
    assert!(events.done, "{name}: no [DONE]");
    let stored = world.get(&id_of(&streamed)).await.ok().json;
    assert_eq!(stored, streamed, "{name}: GET differs from the stream");

    let plain = world.create(body.clone()).await;
    assert_eq!(comparable(&plain), comparable(&streamed), "{name}: plain");
    let stored = world.get(&id_of(&plain)).await.ok().json;
    assert_eq!(stored, plain, "{name}: GET differs from the answer");

    let mut body = body;
    body["background"] = json!(true);
    let mut events = world.stream(body.clone()).await;
    let behind = checked(&events.collect().await);
    assert!(events.done, "{name}: no [DONE] in the background");
    assert_eq!(
        comparable(&behind),
        comparable(&streamed),
        "{name}: background"
    );
    let stored = world.get(&id_of(&behind)).await.ok().json;
    assert_eq!(
        stored, behind,
        "{name}: GET differs from the background stream"
    );

    let polled = world.create(body).await;
    assert_eq!(polled["status"], "queued");
    assert_eq!(polled["output"], json!([]));
    assert_eq!(polled["usage"], Value::Null);
    let polled = world.ended(&id_of(&polled)).await;
    assert_eq!(comparable(&polled), comparable(&streamed), "{name}: polled");
    streamed
}

fn ask(model: String) -> Value {
    let mut body = json!({"model": model, "input": "Count."});
    declare_tools(&mut body);
    body
}

fn types(response: &Value) -> Vec<&str> {
    let output = response["output"].as_array().expect("output");
    output
        .iter()
        .filter_map(|item| item["type"].as_str())
        .collect()
}

#[tokio::test]
async fn text() {
    let world = World::start().await;
    for dialect in ["chat", "native"] {
        for query in TEXTS {
            let model = format!("{dialect}?{query}");
            let response = all_ways(&world, ask(model.clone())).await;
            assert_eq!(response["status"], "completed", "{model}");
            assert_eq!(types(&response), ["message"], "{model}");
            assert_eq!(output_text(&response), answer_of(&model), "{model}");
            assert!(response["completed_at"].is_u64(), "{model}");
            assert_eq!(response["model"], model);
        }
    }
}

#[tokio::test]
async fn reasoning_under_both_names() {
    let world = World::start().await;
    for model in [
        "chat?reasoning_tokens=5&tokens=4",
        "chat?reasoning_tokens=5&tokens=4&reasoning_field=reasoning",
        "native?reasoning_tokens=5&tokens=4",
    ] {
        let response = all_ways(&world, ask(model.to_owned())).await;
        assert_eq!(types(&response), ["reasoning", "message"], "{model}");
        let item = &response["output"][0];
        assert_eq!(
            item["content"],
            json!([{"type": "reasoning_text", "text": "r0 r1 r2 r3 r4 "}]),
            "{model}"
        );
        assert_eq!(output_text(&response), "0 1 2 3 ");
        assert_eq!(
            response["usage"]["output_tokens_details"]["reasoning_tokens"], 5,
            "{model}: {}",
            response["usage"]
        );
    }
}

#[tokio::test]
async fn refusals() {
    let world = World::start().await;
    for model in [
        "chat?refusal=I+cannot+do+that.",
        "native?refusal=I+cannot+do+that.",
    ] {
        let response = all_ways(&world, ask(model.to_owned())).await;
        assert_eq!(response["status"], "completed");
        assert_eq!(
            response["output"][0]["content"],
            json!([{"type": "refusal", "refusal": "I cannot do that."}]),
            "{model}"
        );
    }
}

#[tokio::test]
async fn tool_calls_in_every_variant() {
    let world = World::start().await;
    let arguments = json!({"city": "Paris", "days": 3});
    let parameters = json!({"type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
    let tools = json!([
        {"type": "function", "name": "get_weather", "parameters": parameters},
        {"type": "function", "name": "get_time", "parameters": parameters},
    ]);
    let mut models = Vec::new();
    for style in [
        "fragments",
        "one_chunk",
        "late_id",
        "no_id",
        "no_index",
        "args_at_end",
        "empty_deltas",
    ] {
        for more in [
            "tools=1",
            "tools=2",
            "tools=3&tool_fragments=9",
            "tools=2&tool_fragments=1",
            "tools=2&tokens=3",
            "tools=2&tokens=3&tool_text=after",
            "tools=2&tokens=3&tool_text=same_chunk",
            "tools=2&reasoning_tokens=2",
        ] {
            models.push(format!("chat?tool_style={style}&{more}"));
        }
        // Without an index only the order of fragments tells calls apart.
        if !matches!(style, "no_index") {
            models.push(format!("chat?tool_style={style}&tools=3&tool_interleave=1"));
        }
    }
    for more in [
        "tools=1",
        "tools=3",
        "tools=3&tool_interleave=1",
        "tools=2&args_only_in_done=1",
        "tools=2&tokens=3",
        "tools=2&tokens=3&tool_text=after",
        "tools=2&reasoning_tokens=2",
    ] {
        models.push(format!("native?{more}"));
    }
    for (at, model) in models.into_iter().enumerate() {
        let mut body = ask(model.clone());
        body["tools"] = tools.clone();
        let response = if at % 4 == 0 || model.starts_with("native") {
            all_ways(&world, body).await
        } else {
            world.stream(body).await.checked().await
        };
        assert_eq!(response["status"], "completed", "{model}");
        let script = crate::support::script(&model);
        let output = response["output"].as_array().expect("output");
        let calls: Vec<&Value> = output
            .iter()
            .filter(|item| item["type"] == "function_call")
            .collect();
        assert_eq!(calls.len(), script.tools, "{model}: {response}");
        let mut ids = Vec::new();
        for (at, call) in calls.iter().enumerate() {
            let name = ["get_weather", "get_time"][at % 2];
            assert_eq!(call["name"], name, "{model}");
            let text = call["arguments"].as_str().expect("arguments");
            let read: Value = serde_json::from_str(text).expect(&model);
            assert_eq!(read, arguments, "{model}");
            assert_eq!(call["status"], "completed", "{model}");
            let id = call["call_id"].as_str().expect("call_id");
            assert!(!id.is_empty() && call["id"] != id, "{model}");
            ids.push(id.to_owned());
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), calls.len(), "{model}: call ids repeat");
        assert_eq!(
            output_text(&response),
            waypost_testkit::upstream::expected_text(&script, script.tokens.unwrap_or(0)),
            "{model}"
        );
    }
}

#[tokio::test]
async fn logprobs() {
    let world = World::start().await;
    for dialect in ["chat", "native"] {
        let model = format!("{dialect}?tokens=5&logprobs=1");
        let mut body = ask(model.clone());
        body["include"] = json!(["message.output_text.logprobs"]);
        let response = all_ways(&world, body).await;
        let logprobs = response["output"][0]["content"][0]["logprobs"]
            .as_array()
            .expect("logprobs");
        let tokens: String = logprobs
            .iter()
            .filter_map(|entry| entry["token"].as_str())
            .collect();
        assert_eq!(tokens, answer_of(&model), "{model}");
        assert!(logprobs.iter().all(|entry| entry["logprob"].is_number()));
        // The server sends them all the same; nobody asked.
        let response = all_ways(&world, ask(model.clone())).await;
        assert_eq!(response["output"][0]["content"][0]["logprobs"], json!([]));
    }
}

#[tokio::test]
async fn ends_other_than_completed() {
    let world = World::start().await;
    for dialect in ["chat", "native"] {
        for (reason, expected) in [
            ("length", "max_output_tokens"),
            ("content_filter", "content_filter"),
        ] {
            let model = format!("{dialect}?tokens=6&finish_reason={reason}");
            let response = all_ways(&world, ask(model.clone())).await;
            assert_eq!(response["status"], "incomplete", "{model}");
            assert_eq!(response["incomplete_details"], json!({"reason": expected}));
            assert_eq!(response["completed_at"], Value::Null);
            assert_eq!(response["error"], Value::Null);
            assert_eq!(response["output"][0]["status"], "incomplete", "{model}");
            assert_eq!(output_text(&response), answer_of(&model));
        }
        // The limit itself, where the model server enforces it.
        let model = format!("{dialect}?tokens=100");
        let mut body = ask(model.clone());
        body["max_output_tokens"] = json!(16);
        let response = all_ways(&world, body).await;
        assert_eq!(
            response["incomplete_details"]["reason"],
            "max_output_tokens"
        );
        let text = output_text(&response);
        assert!(
            answer_of(&model).starts_with(&text) && text.contains("15"),
            "{text}"
        );
        assert_eq!(response["max_output_tokens"], 16);
        // A limit in the middle of parallel calls.
        let model = format!("{dialect}?tools=2&finish_reason=length");
        let response = all_ways(&world, ask(model.clone())).await;
        assert_eq!(response["status"], "incomplete", "{model}");
        assert_eq!(response["output"][0]["status"], "completed", "{model}");
        assert_eq!(response["output"][1]["status"], "incomplete", "{model}");
    }
}

#[tokio::test]
async fn usage_wherever_it_comes() {
    let world = World::start().await;
    for query in [
        "usage=auto",
        "usage=last",
        "usage=finish",
        "usage=last&no_done=1",
    ] {
        let model = format!("chat?tokens=9&cached_tokens=4&{query}");
        let response = all_ways(&world, ask(model.clone())).await;
        assert_eq!(
            response["usage"],
            json!({
                "input_tokens": 11,
                "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
                "output_tokens": 9,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 20,
            }),
            "{model}"
        );
    }
    let response = all_ways(&world, ask("native?tokens=9&cached_tokens=4".into())).await;
    assert_eq!(
        response["usage"]["input_tokens_details"]["cached_tokens"],
        4
    );
    assert_eq!(response["usage"]["total_tokens"], 20);
    let response = all_ways(&world, ask("chat?tokens=9&usage=none".into())).await;
    // Nobody reported any; see `servers`.
    assert_eq!(response["usage"]["total_tokens"], 0);
    assert_eq!(response["status"], "completed");
}

#[tokio::test]
async fn the_habits_of_native_servers() {
    let world = World::start().await;
    for query in [
        "tokens=12&keepalive=3",
        "tokens=12&with_done=1",
        "tokens=12&keepalive=1&with_done=1&crlf=1",
        "tools=2&args_only_in_done=1&keepalive=2",
    ] {
        let model = format!("native?{query}");
        let mut events = world.stream(ask(model.clone())).await;
        let events = events.collect().await;
        checked(&events);
        assert!(
            events.iter().all(|event| event["type"] != "keepalive"),
            "{model}"
        );
        all_ways(&world, ask(model)).await;
    }
    let request = world.last_request();
    assert_eq!(request["store"], false);
    assert_eq!(request["stream"], true);
    assert!(request.get("background").is_none());
    assert!(request.get("previous_response_id").is_none());
}
