//! Responses items as Chat Completions messages (spec: the map and pitfalls of
//! the Responses guide's migration notes; each pitfall is a test here).

use serde_json::{Map, Value, json};

use crate::upstream::{
    dialect::{Capabilities, FormatShape, Prefill},
    error::UpstreamError,
    generation::{Ask, Prefix},
};

/// The body of a streaming Chat Completions request. With `prefix`, the
/// unfinished answer is handed back to be continued.
pub fn request_body(
    ask: &Ask,
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

fn messages(ask: &Ask, can: &Capabilities) -> Result<Vec<Value>, UpstreamError> {
    let mut out: Vec<Value> = Vec::with_capacity(ask.generation.items.len() + 1);
    let system = if can.developer_role {
        "developer"
    } else {
        "system"
    };
    if let Some(instructions) = ask.instructions() {
        out.push(json!({"role": system, "content": instructions}));
    }
    for (index, item) in ask.items().enumerate() {
        match item
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or("message")
        {
            "message" => {
                let role = match item["role"].as_str().unwrap_or("user") {
                    "developer" if !can.developer_role => "system",
                    other => other,
                };
                if role == "assistant" {
                    push_assistant(&mut out, item);
                    chat_fields(&mut out, item);
                } else {
                    let content = content_parts(&item["content"], index)?;
                    out.push(json!({"role": role, "content": content}));
                    chat_fields(&mut out, item);
                }
            }
            "function_call" => {
                let function = json!({"name": item["name"], "arguments": item["arguments"]});
                push_call(&mut out, item, "function", function);
            }
            "custom_tool_call" => {
                let custom = json!({"name": item["name"], "input": item["input"]});
                push_call(&mut out, item, "custom", custom);
            }
            "function_call_output" | "custom_tool_call_output" => {
                out.push(json!({
                    "role": "tool",
                    "tool_call_id": item["call_id"],
                    "content": content_parts(&item["output"], index)?,
                }));
                chat_fields(&mut out, item);
            }
            // Chat templates have no place for another turn's reasoning.
            "reasoning" => {}
            other => {
                return Err(UpstreamError::Unsupported {
                    message: format!(
                        "Items of type '{other}' cannot be sent to this model's server, which \
                         speaks Chat Completions."
                    ),
                    param: "input".into(),
                });
            }
        }
    }
    Ok(out)
}

/// An assistant's words; refusals are words too.
fn push_assistant(out: &mut Vec<Value>, item: &Value) {
    let text = match &item["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|p| {
                p.get("text")
                    .or_else(|| p.get("refusal"))
                    .and_then(Value::as_str)
            })
            .collect(),
        _ => String::new(),
    };
    out.push(json!({"role": "assistant", "content": text}));
}

/// What a Chat Completions request said of this message beyond its item.
fn chat_fields(out: &mut [Value], item: &Value) {
    if let Some(Value::Object(message)) = out.last_mut()
        && let Some(fields) = item.get("chat_fields").and_then(Value::as_object)
    {
        message.extend(fields.clone());
    }
}

/// Consecutive calls, and the words right before them, are one assistant
/// message: servers refuse a tool message that does not follow all its calls.
fn push_call(out: &mut Vec<Value>, item: &Value, kind: &str, called: Value) {
    let call = json!({"id": item["call_id"], "type": kind, kind: called});
    if let Some(Value::Object(last)) = out.last_mut()
        && last.get("role").and_then(Value::as_str) == Some("assistant")
    {
        if let Some(Value::Array(calls)) = last.get_mut("tool_calls") {
            calls.push(call);
        } else {
            last.insert("tool_calls".into(), json!([call]));
        }
        return;
    }
    out.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
}

/// Content as a plain string where it is only text (every server knows that),
/// as parts where it is more.
fn content_parts(content: &Value, index: usize) -> Result<Value, UpstreamError> {
    let Value::Array(parts) = content else {
        return Ok(content.clone());
    };
    let is_text = |p: &Value| {
        matches!(
            p["type"].as_str(),
            Some("input_text" | "output_text" | "text" | "refusal")
        )
    };
    let text_of = |p: &Value| {
        p.get("text")
            .or_else(|| p.get("refusal"))
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    if parts.len() == 1 && is_text(&parts[0]) {
        return Ok(Value::String(text_of(&parts[0])));
    }
    let mut out = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        let unsupported = |what: &str| UpstreamError::Unsupported {
            message: format!("{what} cannot be sent to this model's server."),
            param: format!("input[{index}].content[{at}]"),
        };
        out.push(match part["type"].as_str() {
            _ if is_text(part) => json!({"type": "text", "text": text_of(part)}),
            Some("input_image") => match part["image_url"].as_str() {
                Some(url) => {
                    let mut image = json!({"url": url});
                    if let Some(detail) = part["detail"].as_str() {
                        image["detail"] = json!(detail);
                    }
                    json!({"type": "image_url", "image_url": image})
                }
                None => return Err(unsupported("An image given by 'file_id'")),
            },
            Some("input_file") => {
                let mut file = Map::new();
                for key in ["file_data", "filename", "file_id"] {
                    if let Some(value) = part.get(key).filter(|v| !v.is_null()) {
                        file.insert(key.into(), value.clone());
                    }
                }
                if !file.contains_key("file_data") && !file.contains_key("file_id") {
                    return Err(unsupported("A file given by 'file_url'"));
                }
                json!({"type": "file", "file": file})
            }
            // Only Chat Completions requests have these.
            Some("input_audio" | "audio_url" | "video_url") => part.clone(),
            other => {
                return Err(unsupported(&format!(
                    "Content of type '{}'",
                    other.unwrap_or("?")
                )));
            }
        });
    }
    Ok(Value::Array(out))
}

/// Tools and the choice among them get nested.
fn tools(ask: &Ask, body: &mut Map<String, Value>) {
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
