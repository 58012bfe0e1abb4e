//! What is asked of a model server as a Chat Completions request.

use serde_json::{Map, Value, json};

use super::messages::messages;
use crate::{
    model::{ModelRequest, Prefix},
    upstream::{
        dialect::{Capabilities, FormatShape, Prefill},
        error::UpstreamError,
    },
};

/// The body of a streaming Chat Completions request. With `prefix`, the
/// unfinished answer is handed back to be continued.
pub fn request_body(
    ask: &ModelRequest,
    capabilities: &Capabilities,
    prefix: Option<&Prefix>,
) -> Result<Value, UpstreamError> {
    let generation = &*ask.generation;
    let mut body = Map::new();
    body.insert("model".into(), json!(generation.model));
    let mut messages = messages(ask, capabilities)?;
    if let Some(prefix) = prefix {
        messages.push(json!({"role": "assistant", "content": prefix.text}));
        if capabilities.prefill == Some(Prefill::ContinueFinalMessage) {
            body.insert("continue_final_message".into(), json!(true));
            body.insert("add_generation_prompt".into(), json!(false));
        }
    }
    body.insert("messages".into(), Value::Array(messages));
    body.insert("stream".into(), json!(true));
    body.insert("stream_options".into(), json!({"include_usage": true}));
    tools(ask, &mut body);
    if let Some(temperature) = generation.temperature {
        body.insert("temperature".into(), json!(temperature));
    }
    if let Some(top_p) = generation.top_p {
        body.insert("top_p".into(), json!(top_p));
    }
    if let Some(top) = generation.top_logprobs {
        body.insert("logprobs".into(), json!(true));
        if top > 0 {
            body.insert("top_logprobs".into(), json!(top));
        }
    }
    if let Some(max) = generation.max_output_tokens {
        let spent = prefix.map_or(0, |p| p.tokens);
        let name = if capabilities.max_completion_tokens {
            "max_completion_tokens"
        } else {
            "max_tokens"
        };
        body.insert(name.into(), json!(max.saturating_sub(spent).max(1)));
    }
    if let Some(format) = ask.text().and_then(|t| t.get("format"))
        && let Some(format) = response_format(format, capabilities.format_shape)
    {
        body.insert("response_format".into(), format);
    }
    if let Some(effort) = generation.reasoning.as_ref().and_then(|r| r.get("effort"))
        && !effort.is_null()
    {
        body.insert("reasoning_effort".into(), effort.clone());
    }
    if capabilities.openai_hints {
        for (name, value) in &generation.hints {
            body.insert(name.clone(), value.clone());
        }
        if let Some(verbosity) = ask.text().and_then(|t| t.get("verbosity")) {
            body.insert("verbosity".into(), verbosity.clone());
        }
    } else if let Some(user) = generation.hints.get("user") {
        body.insert("user".into(), user.clone());
    }
    for (name, value) in &generation.extra {
        // What is said above is said with more knowledge.
        body.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(Value::Object(body))
}

/// Tools and the choice among them get nested.
fn tools(ask: &ModelRequest, body: &mut Map<String, Value>) {
    let nested: Vec<Value> = ask
        .tools()
        .iter()
        .map(|tool| {
            if tool["type"] == "custom" {
                return json!({"type": "custom", "custom": custom(tool)});
            }
            let mut function = Map::new();
            for key in ["name", "description", "parameters", "strict"] {
                if let Some(value) = tool.get(key).filter(|v| !v.is_null()) {
                    function.insert(key.into(), value.clone());
                }
            }
            json!({"type": "function", "function": function})
        })
        .collect();
    if nested.is_empty() {
        return;
    }
    body.insert("tools".into(), Value::Array(nested));
    match ask.tool_choice() {
        Some(Value::String(word)) => {
            body.insert("tool_choice".into(), json!(word));
        }
        Some(choice) => {
            let kind = choice["type"].as_str().unwrap_or("function");
            body.insert(
                "tool_choice".into(),
                json!({"type": kind, kind: {"name": choice["name"]}}),
            );
        }
        None => {}
    }
    if let Some(parallel) = ask.parallel_tool_calls() {
        body.insert("parallel_tool_calls".into(), json!(parallel));
    }
}

/// A custom tool; its grammar is nested once more than in the Responses API.
fn custom(tool: &Value) -> Value {
    let mut custom = Map::new();
    for key in ["name", "description"] {
        if let Some(value) = tool.get(key).filter(|v| !v.is_null()) {
            custom.insert(key.into(), value.clone());
        }
    }
    let format = &tool["format"];
    if format["type"] == "grammar" {
        let grammar = json!({"syntax": format["syntax"], "definition": format["definition"]});
        custom.insert(
            "format".into(),
            json!({"type": "grammar", "grammar": grammar}),
        );
    } else if format.is_object() {
        custom.insert("format".into(), format.clone());
    }
    Value::Object(custom)
}

fn response_format(format: &Value, shape: FormatShape) -> Option<Value> {
    match format["type"].as_str()? {
        "json_schema" if shape == FormatShape::Value => {
            Some(json!({"type": "json", "value": format["schema"]}))
        }
        // No schema of properties says "any object".
        "json_object" if shape == FormatShape::Value => None,
        "json_object" => Some(json!({"type": "json_object"})),
        "json_schema" => {
            let mut schema = Map::new();
            for key in ["name", "description", "schema", "strict"] {
                if let Some(value) = format.get(key).filter(|v| !v.is_null()) {
                    schema.insert(key.into(), value.clone());
                }
            }
            Some(json!({"type": "json_schema", "json_schema": schema}))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
