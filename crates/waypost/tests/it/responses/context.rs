//! `previous_response_id`: what the model server is told of earlier turns.

use serde_json::{Value, json};

use crate::support::{World, id_of, output_text};

async fn refused(world: &World, id: &str, code: &str) -> String {
    let body = json!({"model": "chat", "input": "x", "previous_response_id": id});
    let reply = world.client().post("/v1/responses", body).await;
    reply.error(400, Some("previous_response_id"), Some(code))
}

#[tokio::test]
async fn a_chain_tells_every_turn() {
    let world = World::start().await;
    for dialect in ["chat", "native"] {
        let mut previous = Value::Null;
        let mut expected = Vec::new();
        // Foreground, streamed and background turns are all turns.
        for turn in 0..6 {
            let model = format!("{dialect}?tokens={}", turn + 1);
            let mut body = json!({
                "model": model,
                "input": format!("question {turn}"),
                "instructions": format!("instructions {turn}"),
                "previous_response_id": previous,
                "background": turn % 3 == 2,
            });
            if previous.is_null() {
                body.as_object_mut()
                    .expect("an object")
                    .remove("previous_response_id");
            }
            // Right after the terminal event it can be continued.
            let response = if turn % 3 == 0 {
                world.create(body).await
            } else {
                world.stream(body).await.checked().await
            };
            assert_eq!(response["previous_response_id"], previous);
            expected.push(("user".to_owned(), format!("question {turn}")));
            let request = world.last_request();
            assert_eq!(told(&request), expected, "{dialect} {turn}");
            // Instructions are the present turn's alone.
            let text = request.to_string();
            assert!(text.contains(&format!("instructions {turn}")));
            assert!(turn == 0 || !text.contains(&format!("instructions {}", turn - 1)));
            expected.push(("assistant".to_owned(), output_text(&response)));
            previous = json!(id_of(&response));
        }
    }
}

/// Roles and texts of a model request, without instructions.
fn told(request: &Value) -> Vec<(String, String)> {
    let list = request["messages"]
        .as_array()
        .or(request["input"].as_array());
    list.expect("messages")
        .iter()
        .filter(|message| message["role"] != "system")
        .map(|message| {
            let text = match &message["content"] {
                Value::String(text) => text.clone(),
                parts => parts[0]["text"].as_str().unwrap_or_default().to_owned(),
            };
            (
                message["role"].as_str().unwrap_or_default().to_owned(),
                text,
            )
        })
        .collect()
}

#[tokio::test]
async fn tool_calls_and_their_results() {
    let world = World::start().await;
    let tools = json!([{"type": "function", "name": "get_weather", "parameters":
        {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}]);
    for dialect in ["chat", "native"] {
        let model = format!("{dialect}?tools=2&tokens=4");
        let first = world
            .create(json!({"model": model, "input": "Weather?", "tools": tools}))
            .await;
        let calls: Vec<&Value> = first["output"]
            .as_array()
            .expect("output")
            .iter()
            .filter(|item| item["type"] == "function_call")
            .collect();
        let outputs: Vec<Value> = calls
            .iter()
            .map(|call| {
                json!({"type": "function_call_output", "call_id": call["call_id"],
                    "output": "sunny"})
            })
            .collect();
        let second = world
            .create(json!({"model": model, "input": outputs, "tools": tools,
                "previous_response_id": first["id"]}))
            .await;
        assert_eq!(second["status"], "completed");
        assert_eq!(output_text(&second), "0 1 2 3 ", "{dialect}");
        let request = world.last_request();
        if dialect == "chat" {
            let messages = request["messages"].as_array().expect("messages");
            let roles: Vec<&str> = messages.iter().filter_map(|m| m["role"].as_str()).collect();
            assert_eq!(roles, ["user", "assistant", "tool", "tool"]);
            let told = messages[1]["tool_calls"].as_array().expect("calls");
            for (at, call) in calls.iter().enumerate() {
                assert_eq!(told[at]["id"], call["call_id"]);
                assert_eq!(messages[2 + at]["tool_call_id"], call["call_id"]);
            }
        } else {
            let kinds: Vec<&str> = request["input"]
                .as_array()
                .expect("input")
                .iter()
                .map(|item| item["type"].as_str().unwrap_or("message"))
                .collect();
            assert_eq!(kinds.iter().filter(|k| **k == "function_call").count(), 2);
            assert_eq!(
                kinds
                    .iter()
                    .filter(|k| **k == "function_call_output")
                    .count(),
                2
            );
        }
    }
}

#[tokio::test]
async fn what_cannot_be_continued() {
    let world = World::start().await;
    for id in ["resp_nothing", "nonsense"] {
        let message = refused(&world, id, "previous_response_not_found").await;
        assert_eq!(
            message,
            format!("Previous response with id '{id}' not found.")
        );
    }
    let other = world.server.project("other").await;
    let theirs = world
        .server
        .client(&other.key)
        .post("/v1/responses", json!({"model": "chat", "input": "x"}))
        .await
        .ok();
    refused(&world, &id_of(&theirs.json), "previous_response_not_found").await;

    let running = world.background("chat?tokens=100000&delay_ms=10").await;
    refused(&world, &running, "previous_response_not_ready").await;
    let path = format!("/v1/responses/{running}/cancel");
    world.client().post(&path, json!({})).await.ok();

    // A deleted turn breaks the chain.
    let first = id_of(&world.create(json!({"model": "chat", "input": "x"})).await);
    let second = world
        .create(json!({"model": "chat", "input": "y", "previous_response_id": first}))
        .await;
    world
        .client()
        .delete(&format!("/v1/responses/{first}"))
        .await
        .ok();
    refused(&world, &id_of(&second), "previous_response_not_found").await;
}

#[tokio::test]
async fn input_may_be_left_out_when_there_is_something_to_continue() {
    let world = World::start().await;
    let first = id_of(
        &world
            .create(json!({"model": "chat?tokens=2", "input": "x"}))
            .await,
    );
    world
        .create(json!({"model": "chat?tokens=2", "previous_response_id": first}))
        .await;
    let told = told(&world.last_request());
    assert_eq!(told.len(), 2);
}

/// `call_id` may be left out where one call waits (`responses/outputs.rs`).
#[tokio::test]
async fn an_output_without_a_call_id_answers_the_call_that_waits() {
    let world = World::start().await;
    let call = |id: &str, name: &str| json!({"type": "function_call", "call_id": id, "name": name, "arguments": "{}"});
    let output = |more: Value| {
        let mut item = json!({"type": "function_call_output", "output": "7"});
        for (key, value) in more.as_object().expect("an object") {
            item[key] = value.clone();
        }
        item
    };
    let ask = |items: Value| json!({"model": "chat?tokens=1", "input": items});
    let response = world
        .create(ask(json!([
            call("call_a", "f"),
            call("call_b", "g"),
            output(json!({"name": "g"})),
            output(json!({"call_id": null})),
        ])))
        .await;
    let sent = world.last_request();
    let ids: Vec<_> = sent["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .filter(|message| message["role"] == "tool")
        .map(|message| message["tool_call_id"].clone())
        .collect();
    assert_eq!(ids, ["call_b", "call_a"], "{sent}");
    // It is stored with the id.
    let path = format!("/v1/responses/{}/input_items?order=asc", id_of(&response));
    let items = world.client().get(&path).await.ok();
    assert_eq!(items.json["data"][2]["call_id"], "call_b");
    let two = ask(json!([
        call("a", "f"),
        call("b", "f"),
        output(json!({})),
        output(json!({}))
    ]));
    let refused = world.client().post("/v1/responses", two).await;
    let param = Some("input[2].call_id");
    refused.error(400, param, Some("missing_required_parameter"));
}
