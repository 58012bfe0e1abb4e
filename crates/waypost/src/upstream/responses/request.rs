//! A generation as a Responses API request of the upstream.

use serde_json::{Map, Value, json};

use crate::{
    model::{ClientTool, ModelRequest},
    upstream::dialect::Capabilities,
};

/// The body of a streaming, stateless Responses request.
pub fn request_body(ask: &ModelRequest, can: &Capabilities) -> Value {
    let generation = &*ask.generation;
    let mut body = Map::new();
    body.insert("model".into(), json!(generation.model));
    body.insert(
        "input".into(),
        Value::Array(ask.items().map(|item| input_item(item, can)).collect()),
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
    put("text", ask.text().map(text));
    put(
        "reasoning",
        generation.reasoning.clone().map(|own| reasoning(own, can)),
    );
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
        if can.openai_hints || name != "prompt_cache_options" {
            put(name, Some(value.clone()));
        }
    }
    Value::Object(body)
}

/// Which reasoning a model sees again is for the models that know of it.
fn reasoning(mut reasoning: Value, can: &Capabilities) -> Value {
    if !can.openai_hints
        && let Some(fields) = reasoning.as_object_mut()
    {
        fields.remove("context");
    }
    reasoning
}

/// The echo says that a format has no description; a request leaves it out.
fn text(text: &Value) -> Value {
    let mut text = text.clone();
    if let Some(format) = text.get_mut("format").and_then(Value::as_object_mut) {
        format.retain(|_, value| !value.is_null());
    }
    text
}

/// Our ids mean nothing to the upstream, except a reasoning item's, which goes
/// with its encrypted content, and those of calls whose form demands one.
///
/// Without an id an assistant's message is none of OpenAI's output items, and
/// servers that go by its types refuse such content (codex #12669, over vLLM).
/// A plain string they take.
fn input_item(item: &Value, can: &Capabilities) -> Value {
    let mut item = item.clone();
    if !can.responses_tools
        && item["role"] == "assistant"
        && let Some(parts) = item["content"].as_array()
    {
        let words = |part: &Value| {
            part["text"]
                .as_str()
                .or(part["refusal"].as_str())
                .map(str::to_owned)
        };
        item["content"] = Value::String(parts.iter().filter_map(words).collect());
    }
    if !can.openai_hints {
        for list in ["content", "output"] {
            let parts = item.get_mut(list).and_then(Value::as_array_mut);
            for part in parts.into_iter().flatten() {
                if let Some(part) = part.as_object_mut() {
                    part.remove("prompt_cache_breakpoint");
                }
            }
        }
    }
    let client = ClientTool::of_call(&item).or(ClientTool::of_output(&item));
    if let Some(object) = item.as_object_mut()
        && object.get("type").and_then(Value::as_str) != Some("reasoning")
    {
        if client.is_none() {
            object.remove("id");
            object.remove("status");
        }
        // An empty list of them is refused there.
        for checks in ["pending_safety_checks", "acknowledged_safety_checks"] {
            if object
                .get(checks)
                .is_some_and(|checks| *checks == json!([]))
            {
                object.remove(checks);
            }
        }
    }
    item
}
