//! A generation as a Responses API request of the upstream.

use serde_json::{Map, Value, json};

use crate::upstream::generation::Ask;

/// The body of a streaming, stateless Responses request.
pub fn request_body(ask: &Ask) -> Value {
    let generation = &*ask.generation;
    let mut body = Map::new();
    body.insert("model".into(), json!(generation.model));
    body.insert(
        "input".into(),
        Value::Array(ask.items().map(input_item).collect()),
    );
    body.insert("stream".into(), json!(true));
    body.insert("store".into(), json!(false));
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.into(), value);
        }
    };
    put("instructions", ask.instructions().map(Value::String));
    put("temperature", generation.temperature.map(|v| json!(v)));
    put("top_p", generation.top_p.map(|v| json!(v)));
    put(
        "max_output_tokens",
        generation.max_output_tokens.map(|v| json!(v)),
    );
    put("text", ask.text().cloned());
    put("reasoning", generation.reasoning.clone());
    let mut include = Vec::new();
    if let Some(top) = generation.top_logprobs {
        include.push("message.output_text.logprobs");
        if top > 0 {
            put("top_logprobs", Some(json!(top)));
        }
    }
    if generation.encrypted_reasoning {
        include.push("reasoning.encrypted_content");
    }
    if !include.is_empty() {
        put("include", Some(json!(include)));
    }
    if !ask.tools().is_empty() {
        put("tools", Some(json!(ask.tools())));
        put("tool_choice", ask.tool_choice().cloned());
        put(
            "parallel_tool_calls",
            ask.parallel_tool_calls().map(Value::Bool),
        );
    }
    for (name, value) in &generation.hints {
        put(name, Some(value.clone()));
    }
    Value::Object(body)
}

/// Our ids mean nothing to the upstream, except a reasoning item's, which goes
/// with its encrypted content.
fn input_item(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(object) = item.as_object_mut()
        && object.get("type").and_then(Value::as_str) != Some("reasoning")
    {
        object.remove("id");
        object.remove("status");
    }
    item
}
