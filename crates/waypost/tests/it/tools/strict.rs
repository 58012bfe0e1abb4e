//! `strict: true`: refused in OpenAI's words where the schema is not strict.

use serde_json::{Value, json};

use super::{closed_object, echoed, map_object, open_object, post};
use crate::support::World;

fn strict(name: &str, parameters: Value) -> Value {
    json!({"type": "function", "name": name, "parameters": parameters, "strict": true})
}

/// Message, param and code of a refused request.
async fn refused(world: &World, body: Value) -> (Value, Value) {
    let reply = post(world, body).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    let error = &reply.json["error"];
    assert_eq!(error["type"], "invalid_request_error");
    let keys: Vec<_> = error.as_object().expect("an error").keys().collect();
    assert_eq!(keys, ["message", "type", "param", "code", "details"]);
    (
        json!([error["message"], error["param"], error["code"]]),
        error["details"].clone(),
    )
}

#[tokio::test]
async fn a_strict_schema_stays_as_it_is() {
    let world = World::start().await;
    let tools = echoed(&world, json!([strict("f", closed_object())])).await;
    assert_eq!(tools[0]["strict"], true);
    assert_eq!(
        tools[0]["parameters"].to_string(),
        closed_object().to_string()
    );
    let tools = echoed(&world, json!([strict("f", Value::Null)])).await;
    assert_eq!(tools[0]["strict"], true);
}

#[tokio::test]
async fn the_first_violation_is_the_message_and_all_are_in_the_details() {
    let world = World::start().await;
    let schema = json!({
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "object", "properties": {"c": {"type": "string", "format": "uri"}},
                  "required": ["c"]},
        },
        "required": ["a"],
        "additionalProperties": false,
    });
    let tools = json!([strict("ok", closed_object()), strict("f", schema)]);
    let (error, details) = refused(&world, json!({"tools": tools})).await;
    let missing = "Invalid schema for function 'f': In context=(), 'required' is required to be \
                   supplied and to be an array including every key in properties. Missing 'b'.";
    assert_eq!(
        error,
        json!([
            missing,
            "tools[1].parameters",
            "invalid_function_parameters"
        ])
    );
    let details = details.as_array().expect("details");
    assert_eq!(details.len(), 3, "{details:?}");
    assert_eq!(details[0]["message"], missing);
    assert_eq!(
        details[1]["message"],
        "Invalid schema for function 'f': In context=('properties', 'b'), \
         'additionalProperties' is required to be supplied and to be false."
    );
    assert_eq!(details[1]["pointer"], "/properties/b");
    assert_eq!(
        details[2]["message"],
        "Invalid schema for function 'f': In context=('properties', 'b', 'properties', 'c'), \
         'uri' is not a valid format"
    );
    for detail in details {
        let keys: Vec<_> = detail.as_object().expect("one").keys().collect();
        assert_eq!(keys, ["message", "param", "code", "pointer", "kind"]);
        assert_eq!(detail["param"], "tools[1].parameters");
        assert!(detail["kind"].as_str().is_some_and(|kind| !kind.is_empty()));
    }
    assert!(world.upstream.requests().is_empty(), "nothing was asked");
}

#[tokio::test]
async fn within_a_namespace_and_within_an_item() {
    let world = World::start().await;
    let namespace = json!({"type": "namespace", "name": "crm", "description": "d",
        "tools": [strict("ok", closed_object()), strict("f", open_object())]});
    let message = "Invalid schema for function 'f': In context=(), 'additionalProperties' is \
                   required to be supplied and to be false.";
    let (error, _) = refused(&world, json!({"tools": [namespace]})).await;
    assert_eq!(
        error,
        json!([
            message,
            "tools[0].tools[1].parameters",
            "invalid_function_parameters"
        ])
    );
    let input = json!([
        {"role": "user", "content": "x"},
        {"type": "additional_tools", "role": "developer", "tools": [strict("f", open_object())]},
    ]);
    let (error, details) = refused(&world, json!({"input": input})).await;
    let param = "input[1].tools[0].parameters";
    assert_eq!(
        error,
        json!([message, param, "invalid_function_parameters"])
    );
    assert_eq!(details[0]["param"], param);
}

#[tokio::test]
async fn the_root_must_be_an_object_whatever_strict_says() {
    let world = World::start().await;
    for (schema, tail) in [
        (
            json!({"type": "array", "items": {"type": "string"}}),
            "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'.",
        ),
        (
            json!({"description": "untyped"}),
            "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'.",
        ),
        (
            json!({"type": "object", "properties": {}, "anyOf": [{"required": []}]}),
            "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' \
             at the top level.",
        ),
    ] {
        for strict in [json!(null), json!(true), json!(false)] {
            let tools = json!([{"type": "function", "name": "f", "parameters": schema,
                "strict": strict}]);
            let (error, _) = refused(&world, json!({"tools": tools})).await;
            assert_eq!(
                error,
                json!([
                    format!("Invalid schema for function 'f': {tail}"),
                    "tools[0].parameters",
                    "invalid_function_parameters"
                ]),
                "{strict}"
            );
        }
    }
}

#[tokio::test]
async fn a_refusal_is_about_this_tool_even_when_the_schema_is_known() {
    let world = World::start().await;
    for name in ["first", "second"] {
        let (error, _) = refused(&world, json!({"tools": [strict(name, map_object())]})).await;
        let message = error[0].as_str().expect("a message");
        assert!(
            message.starts_with(&format!("Invalid schema for function '{name}': ")),
            "{message}"
        );
    }
}
