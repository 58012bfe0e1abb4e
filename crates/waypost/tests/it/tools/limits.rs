//! Names, counts and sizes: each error of the catalogue with its number.

use serde_json::{Value, json};

use super::{function, open_object, post};
use crate::support::World;

/// E24.
#[tokio::test]
async fn names_are_plain() {
    let world = World::start().await;
    for name in ["get weather", "wetter.holen", "météo", "a/b"] {
        let tools = json!([function("ok", open_object()), function(name, open_object())]);
        let reply = post(&world, json!({"tools": tools})).await;
        let message = reply.error(400, Some("tools[1].name"), Some("invalid_value"));
        assert_eq!(
            message,
            "Invalid 'tools[1].name': string does not match pattern. Expected a string that \
             matches the pattern '^[a-zA-Z0-9_-]+$'."
        );
    }
    let long = |len: usize| json!({"tools": [function(&"n".repeat(len), open_object())]});
    post(
        &world,
        json!({"model": "native?tokens=1", "tools": long(128)["tools"]}),
    )
    .await
    .ok();
    let reply = post(&world, long(129)).await;
    let message = reply.error(400, Some("tools[0].name"), Some("string_above_max_length"));
    assert_eq!(
        message,
        "Invalid 'tools[0].name': string too long. Expected a string with maximum length 128, \
         but got a string with length 129 instead."
    );
    let namespace = json!({"type": "namespace", "name": "n".repeat(65), "description": "d",
        "tools": [function("f", open_object())]});
    let reply = post(&world, json!({"tools": [namespace]})).await;
    reply.error(400, Some("tools[0].name"), Some("string_above_max_length"));
}

/// E25.
#[tokio::test]
async fn a_list_has_128_tools_at_most() {
    let world = World::start().await;
    let tools = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|at| function(&format!("f{at}"), open_object()))
            .collect()
    };
    post(&world, json!({"tools": tools(128)})).await.ok();
    let message = |list: &str| {
        format!(
            "Invalid '{list}': array too long. Expected an array with maximum length 128, but \
             got an array with length 129 instead."
        )
    };
    let code = Some("array_above_max_length");
    let reply = post(&world, json!({"tools": tools(129)})).await;
    assert_eq!(reply.error(400, Some("tools"), code), message("tools"));
    let namespace =
        json!({"type": "namespace", "name": "n", "description": "d", "tools": tools(129)});
    let reply = post(&world, json!({"tools": [namespace]})).await;
    let list = "tools[0].tools";
    assert_eq!(reply.error(400, Some(list), code), message(list));
    let item = json!({"type": "additional_tools", "role": "developer", "tools": tools(129)});
    let reply = post(&world, json!({"input": [item]})).await;
    let list = "input[0].tools";
    assert_eq!(reply.error(400, Some(list), code), message(list));
}

/// E26.
#[tokio::test]
async fn names_are_unique() {
    let world = World::start().await;
    for (tools, param) in [
        (
            json!([function("f", open_object()), function("f", open_object())]),
            "tools[1].name",
        ),
        (
            json!([function("f", open_object()), {"type": "custom", "name": "f"}]),
            "tools[1].name",
        ),
        (
            json!([{"type": "namespace", "name": "n", "description": "d",
                "tools": [function("f", open_object()), {"type": "custom", "name": "f"}]}]),
            "tools[0].tools[1].name",
        ),
        (
            json!([{"type": "tool_search"}, {"type": "tool_search", "execution": "client"}]),
            "tools[1].name",
        ),
    ] {
        let message = post(&world, json!({"tools": tools})).await.error(
            400,
            Some(param),
            Some("invalid_value"),
        );
        assert_eq!(message, "Tool names must be unique");
    }
}

/// E29, and the sizes of what calls carry.
#[tokio::test]
async fn items_are_whole_and_within_bounds() {
    let world = World::start().await;
    let call = |more: Value| {
        let mut item =
            json!({"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"});
        for (key, value) in more.as_object().expect("an object") {
            item[key] = value.clone();
        }
        json!([item, {"type": "function_call_output", "call_id": item["call_id"], "output": "1"}])
    };
    let long = "c".repeat(65);
    for (input, param, code, message) in [
        (
            call(json!({"arguments": null})),
            "input[0].arguments",
            "missing_required_parameter",
            "Missing required parameter: 'input[0].arguments'.".to_owned(),
        ),
        (
            call(json!({"call_id": ""})),
            "input[0].call_id",
            "empty_string",
            "Invalid 'input[0].call_id': empty string. Expected a string with minimum length 1, \
             but got an empty string instead."
                .to_owned(),
        ),
        (
            call(json!({"call_id": long})),
            "input[0].call_id",
            "string_above_max_length",
            "Invalid 'input[0].call_id': string too long. Expected a string with maximum length \
             64, but got a string with length 65 instead."
                .to_owned(),
        ),
        (
            call(json!({"namespace": "a.b"})),
            "input[0].namespace",
            "invalid_value",
            "Invalid 'input[0].namespace': string does not match pattern. Expected a string that \
             matches the pattern '^[a-zA-Z0-9_-]+$'."
                .to_owned(),
        ),
        (
            call(json!({"caller": {"type": "program", "caller_id": "x"}})),
            "input[0].caller.type",
            "unsupported_parameter",
            "Unsupported parameter: 'input[0].caller.type'. Programmatic tool calling is not \
             supported; only 'direct' is."
                .to_owned(),
        ),
    ] {
        let reply = post(&world, json!({"input": input})).await;
        assert_eq!(reply.error(400, Some(param), Some(code)), message);
    }
    let ok = call(json!({"call_id": "c".repeat(64), "caller": {"type": "direct"}, "async": false}));
    post(&world, json!({"input": ok})).await.ok();

    let mut input = call(json!({}));
    input[1]["output"] = json!("é".repeat(10_485_761));
    let reply = post(&world, json!({"input": input})).await;
    let message = reply.error(
        400,
        Some("input[1].output"),
        Some("string_above_max_length"),
    );
    assert_eq!(
        message,
        "Invalid 'input[1].output': string too long. Expected a string with maximum length \
         10485760, but got a string with length 10485761 instead."
    );
}

#[tokio::test]
async fn a_key_that_comes_twice_is_refused_with_its_path() {
    let world = World::start().await;
    let send = async |body: &str| {
        let client = world.client();
        let request = client
            .request(reqwest::Method::POST, "/v1/responses")
            .header("content-type", "application/json")
            .body(body.to_owned());
        client.send(request).await
    };
    for (body, path) in [
        (r#"{"model":"chat","model":"other","input":"x"}"#, "model"),
        (
            r#"{"model":"chat","input":"x","tools":[{"type":"function","name":"f","parameters":
               {"type":"object","properties":{"a/b":{"type":"string"},"a/b":{"type":"null"}}}}]}"#,
            "tools[0].parameters.properties.a/b",
        ),
    ] {
        let reply = send(body).await;
        let message = reply.error(400, Some(path), Some("duplicate_parameter"));
        assert_eq!(message, format!("Parameter given twice: '{path}'."));
    }
    let deep = format!(
        "{{\"model\":\"chat\",\"input\":{}{}}}",
        "[".repeat(200),
        "]".repeat(200)
    );
    send(&deep).await.error(400, None, Some("invalid_json"));
    let message = send("{\"model\":\n nope}")
        .await
        .error(400, None, Some("invalid_json"));
    assert!(message.contains("line 2 column"), "{message}");
    let message = send("[]").await.error(400, None, Some("invalid_type"));
    assert_eq!(
        message,
        "Invalid type for the request body: expected an object, but got an array instead."
    );
}
