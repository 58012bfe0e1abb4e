//! `text.format`: schemas of answers.

use serde_json::{Value, json};

use super::{closed_object, open_object, post};
use crate::support::World;

fn format(strict: Value, schema: Value) -> Value {
    json!({"model": "chat?generate=calls", "text": {"format": {"type": "json_schema",
        "name": "answer", "schema": schema, "strict": strict}}})
}

#[tokio::test]
async fn strict_left_out_is_false_and_nothing_is_rewritten() {
    let world = World::start().await;
    for strict in [json!(null), json!(false)] {
        let reply = post(&world, format(strict, open_object())).await.ok();
        let echo = &reply.json["text"]["format"];
        assert_eq!(echo["strict"], false);
        assert_eq!(echo["schema"].to_string(), open_object().to_string());
    }
    let reply = post(&world, format(json!(true), closed_object()))
        .await
        .ok();
    assert_eq!(reply.json["text"]["format"]["strict"], true);
}

#[tokio::test]
async fn a_strict_format_is_checked() {
    let world = World::start().await;
    let reply = post(&world, format(json!(true), open_object())).await;
    let error = &reply.json["error"];
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert_eq!(
        error["message"],
        "Invalid schema for response_format 'answer': In context=(), 'additionalProperties' is \
         required to be supplied and to be false."
    );
    assert_eq!(error["param"], "text.format.schema");
    assert_eq!(error["code"], "invalid_json_schema");
    assert_eq!(error["details"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn the_root_of_any_format_is_an_object() {
    let world = World::start().await;
    for strict in [json!(null), json!(true)] {
        let reply = post(
            &world,
            format(strict, json!({"type": "array", "items": {}})),
        )
        .await;
        assert_eq!(reply.status, 400, "{}", reply.text);
        assert_eq!(
            reply.json["error"]["message"],
            "Invalid schema for response_format 'answer': schema must be a JSON Schema of \
             'type: \"object\"', got 'type: \"array\"'."
        );
    }
}

#[tokio::test]
async fn a_formats_name_has_64_characters_at_most() {
    let world = World::start().await;
    let named = |name: String| {
        json!({"text": {"format": {"type": "json_schema", "name": name,
            "schema": closed_object()}}})
    };
    post(&world, named("n".repeat(64))).await.ok();
    let reply = post(&world, named("n".repeat(65))).await;
    reply.error(
        400,
        Some("text.format.name"),
        Some("string_above_max_length"),
    );
    let reply = post(&world, named("a b".to_owned())).await;
    let message = reply.error(400, Some("text.format.name"), Some("invalid_value"));
    assert_eq!(
        message,
        "Invalid 'text.format.name': string does not match pattern. Expected a string that \
         matches the pattern '^[a-zA-Z0-9_-]+$'."
    );
}

/// E23.
#[tokio::test]
async fn strict_belongs_to_json_schema() {
    let world = World::start().await;
    for (text, param) in [
        (
            json!({"format": {"type": "json_object", "strict": true}}),
            "text.format.strict",
        ),
        (json!({"strict": true}), "text.strict"),
    ] {
        let reply = post(&world, json!({"input": "json", "text": text})).await;
        let message = reply.error(400, Some(param), Some("unknown_parameter"));
        assert_eq!(message, format!("Unknown parameter: '{param}'."));
    }
}

/// E28.
#[tokio::test]
async fn json_object_needs_the_word_in_the_messages() {
    let world = World::start().await;
    let text = json!({"format": {"type": "json_object"}});
    for input in [
        json!("Answer."),
        json!([{"role": "user", "content": [{"type": "input_text", "text": "Answer."}]}]),
    ] {
        let body = json!({"input": input, "instructions": "Answer in JSON.", "text": text});
        let message = post(&world, body)
            .await
            .error(400, Some("text.format"), None);
        assert_eq!(
            message,
            "Response input messages must contain the word 'json' in some form to use \
             'text.format' of type 'json_object'."
        );
    }
    for input in [
        json!("Answer in JSON."),
        json!([{"role": "developer", "content": "Speak Json"}, {"role": "user", "content": "x"}]),
    ] {
        post(&world, json!({"input": input, "text": text}))
            .await
            .ok();
    }
    // An earlier turn said it.
    let first = post(&world, json!({"input": "as json, please"})).await.ok();
    let body = json!({"text": text, "previous_response_id": first.text("id")});
    post(&world, body).await.ok();
}
