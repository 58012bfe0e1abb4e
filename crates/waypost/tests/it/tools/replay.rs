//! Items that are sent back: ids, calls and their outputs, in OpenAI's words.

use serde_json::{Value, json};

use super::{function, open_object, post};
use crate::support::{World, id_of};

fn call(id: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"})
}

fn output(id: &str) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": "1"})
}

/// The message of a 400 with param `input` and no code.
async fn refused(world: &World, input: Value) -> String {
    post(world, json!({"input": input}))
        .await
        .error(400, Some("input"), None)
}

#[tokio::test]
async fn every_call_has_its_output_and_every_output_its_call() {
    let world = World::start().await;
    let custom = json!({"type": "custom_tool_call", "call_id": "c", "name": "t", "input": "x"});
    let custom_output = json!({"type": "custom_tool_call_output", "call_id": "c", "output": "y"});
    let search = json!({"type": "tool_search_call", "call_id": "s", "arguments": {}});
    let search_output = json!({"type": "tool_search_output", "call_id": "s", "tools": []});
    for (input, message) in [
        (
            json!([call("a")]),
            "No tool output found for function call a.",
        ),
        (
            json!([call("a"), call("b"), output("a")]),
            "No tool output found for function call b.",
        ),
        (
            json!([custom]),
            "No tool output found for custom tool call c.",
        ),
        (
            json!([search]),
            "No tool output found for tool search call s.",
        ),
        (
            json!([output("a")]),
            "No tool call found for function call output with call_id a.",
        ),
        (
            json!([output("a"), call("a")]),
            "No tool call found for function call output with call_id a.",
        ),
        (
            json!([call("a"), output("a"), output("a")]),
            "No tool call found for function call output with call_id a.",
        ),
        (
            json!([custom_output]),
            "No tool call found for custom tool call output with call_id c.",
        ),
        (
            json!([call("c"), custom_output]),
            "No tool call found for custom tool call output with call_id c.",
        ),
        (
            json!([search_output]),
            "No tool call found for tool search output with call_id s.",
        ),
    ] {
        assert_eq!(refused(&world, input).await, message);
    }
    // Parallel calls in any order; an id again once its call is answered.
    let input = json!([
        call("a"),
        call("b"),
        output("b"),
        output("a"),
        call("a"),
        output("a")
    ]);
    post(&world, json!({"input": input})).await.ok();
    // What the server searched for needs no answer.
    let input = json!([{"role": "user", "content": "x"},
        {"type": "tool_search_call", "arguments": {"paths": ["a"]}, "call_id": null}]);
    post(&world, json!({"model": "native?tokens=1", "input": input}))
        .await
        .ok();
}

#[tokio::test]
async fn earlier_turns_are_part_of_the_conversation() {
    let world = World::start().await;
    let parameters = json!({"type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
    let tools = json!([function("get_weather", parameters)]);
    let first = world
        .create(json!({"model": "chat?tools=2", "input": "x", "tools": tools}))
        .await;
    let calls: Vec<&str> = first["output"]
        .as_array()
        .expect("output")
        .iter()
        .filter_map(|item| item["call_id"].as_str())
        .collect();
    assert_eq!(calls.len(), 2);
    let next = async |input: Value| {
        post(
            &world,
            json!({"previous_response_id": id_of(&first), "input": input, "tools": tools}),
        )
        .await
    };
    let message = next(json!("go on")).await.error(400, Some("input"), None);
    assert_eq!(
        message,
        format!("No tool output found for function call {}.", calls[0])
    );
    let message = next(json!([output(calls[0])]))
        .await
        .error(400, Some("input"), None);
    assert_eq!(
        message,
        format!("No tool output found for function call {}.", calls[1])
    );
    let message = next(json!([
        output(calls[0]),
        output(calls[1]),
        output("call_x")
    ]))
    .await
    .error(400, Some("input"), None);
    assert_eq!(
        message,
        "No tool call found for function call output with call_id call_x."
    );
    // Sending again what the chain has already.
    let again = json!([first["output"][0], output(calls[0]), output(calls[1])]);
    let message = next(again).await.error(400, Some("input"), None);
    let id = first["output"][0]["id"].as_str().expect("an id");
    assert!(
        message.starts_with(&format!("Duplicate item found with id {id}.")),
        "{message}"
    );
    next(json!([output(calls[1]), output(calls[0])])).await.ok();
}

#[tokio::test]
async fn ids_look_like_ids_of_their_items() {
    let world = World::start().await;
    let with_id = |mut item: Value, id: &str| {
        item["id"] = json!(id);
        item
    };
    let message = json!({"role": "user", "content": "x"});
    let reasoning = json!({"type": "reasoning", "summary": []});
    let custom = json!({"type": "custom_tool_call", "call_id": "c", "name": "t", "input": "x"});
    for (item, id, begins) in [
        (message.clone(), "fc_1", "msg"),
        (reasoning.clone(), "msg_1", "rs"),
        (call("a"), "call_1", "fc"),
        (output("a"), "out_1", "fc"),
        (custom.clone(), "fc_1", "ctc"),
    ] {
        let reply = post(&world, json!({"input": [message, with_id(item, id)]})).await;
        let said = reply.error(400, Some("input[1].id"), Some("invalid_value"));
        assert_eq!(
            said,
            format!("Invalid 'input[1].id': '{id}'. Expected an ID that begins with '{begins}'.")
        );
    }
    let reply = post(
        &world,
        json!({"input": [with_id(message.clone(), "msg:1")]}),
    )
    .await;
    let said = reply.error(400, Some("input[0].id"), Some("invalid_value"));
    assert_eq!(
        said,
        "Invalid 'input[0].id': 'msg:1'. Expected an ID that contains letters, numbers, \
         underscores, or dashes, but this value contained additional characters."
    );
    let long = format!("msg_{}", "x".repeat(61));
    let reply = post(&world, json!({"input": [with_id(message.clone(), &long)]})).await;
    reply.error(400, Some("input[0].id"), Some("string_above_max_length"));

    let twice = json!([
        with_id(message.clone(), "msg_1"),
        with_id(message.clone(), "msg_1")
    ]);
    let said = refused(&world, twice).await;
    assert!(
        said.starts_with("Duplicate item found with id msg_1."),
        "{said}"
    );
    // Leaving ids out, and any reasoning, is always right.
    let input = json!([message, call("a"), output("a"), with_id(reasoning, "rs_1")]);
    post(&world, json!({"input": input})).await.ok();
}

#[tokio::test]
async fn a_call_names_its_namespace() {
    let world = World::start().await;
    let tools = json!([
        function("f", open_object()),
        {"type": "namespace", "name": "crm", "description": "d", "tools": [
            function("create_widget", open_object()), function("f", open_object())]},
    ]);
    let mut widget = call("a");
    widget["name"] = json!("create_widget");
    let input = |call: &Value| json!([{"role": "user", "content": "x"}, call, output("a")]);
    let reply = post(&world, json!({"tools": tools, "input": input(&widget)})).await;
    let message = reply.error(400, Some("input[1].namespace"), None);
    assert_eq!(
        message,
        "Missing namespace for function_call 'create_widget'. It does not exist in the default \
         namespace. Round-trip the model's function_call item with its namespace field included."
    );
    widget["namespace"] = json!("crm");
    let native = |input: Value| json!({"model": "native?tokens=1", "tools": tools, "input": input});
    let reply = post(&world, native(input(&widget))).await.ok();
    let path = format!("/v1/responses/{}/input_items?order=asc", reply.text("id"));
    let items = world.client().get(&path).await.ok().json;
    assert_eq!(items["data"][1]["namespace"], "crm");
    // One of the default namespace, and one that nothing declares any more.
    post(&world, native(input(&call("a")))).await.ok();
    let mut gone = call("a");
    gone["name"] = json!("gone");
    post(&world, native(input(&gone))).await.ok();
}

#[tokio::test]
async fn a_declared_output_schema_means_json() {
    let world = World::start().await;
    let tools = json!([
        {"type": "function", "name": "f", "parameters": open_object(),
         "output_schema": {"type": "object"}},
        function("g", open_object()),
    ]);
    let answer = async |name: &str, said: Value| {
        let mut call = call("a");
        call["name"] = json!(name);
        let mut output = output("a");
        output["output"] = said;
        post(&world, json!({"tools": tools, "input": [call, output]})).await
    };
    let message =
        answer("f", json!("sunny"))
            .await
            .error(400, Some("input"), Some("invalid_value"));
    assert_eq!(
        message,
        "Invalid function_call_output.output: expected a JSON string because the function \
         declares output_schema."
    );
    answer("f", json!("{\"sky\": \"blue\"}")).await.ok();
    answer("g", json!("sunny")).await.ok();
    answer("f", json!([{"type": "input_text", "text": "sunny"}]))
        .await
        .ok();
}

#[tokio::test]
async fn outputs_are_text_or_parts() {
    let world = World::start().await;
    let image = json!({"type": "input_image", "image_url": "data:image/png;base64,AA==",
        "detail": "auto"});
    for (said, stored) in [
        (json!("text"), json!("text")),
        (json!(""), json!("")),
        (
            json!([{"type": "input_text", "text": "t"}, image]),
            json!([{"type": "input_text", "text": "t"}, image]),
        ),
    ] {
        let mut out = output("a");
        out["output"] = said;
        let mut custom_out = out.clone();
        custom_out["type"] = json!("custom_tool_call_output");
        let custom = json!({"type": "custom_tool_call", "call_id": "a", "name": "t",
            "input": "x"});
        let input = json!([call("a"), out, custom, custom_out]);
        let reply = post(&world, json!({"model": "native?tokens=1", "input": input}))
            .await
            .ok();
        let path = format!("/v1/responses/{}/input_items?order=asc", reply.text("id"));
        let items = world.client().get(&path).await.ok().json;
        assert_eq!(items["data"][1]["output"], stored);
        assert_eq!(items["data"][3]["output"], stored);
        assert_eq!(items["data"][2]["input"], "x");
    }
    for (said, param) in [
        (json!({"ok": true}), "input[1].output"),
        (json!([{"type": "output_audio"}]), "input[1].output[0].type"),
    ] {
        let mut out = output("a");
        out["output"] = said;
        let reply = post(&world, json!({"input": [call("a"), out]})).await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.json["error"]["param"], param, "{}", reply.text);
    }
}
