//! Responses items as Chat Completions messages (spec: the map and pitfalls of
//! the Responses guide's migration notes; each pitfall is a test of the
//! request's).

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::turns;
use crate::{
    model::ModelRequest,
    upstream::{dialect::Capabilities, error::UpstreamError},
};

/// The context of a request.
pub fn messages(ask: &ModelRequest, can: &Capabilities) -> Result<Vec<Value>, UpstreamError> {
    let mut out: Vec<Value> = Vec::with_capacity(ask.generation.items.len() + 1);
    let mut names: HashMap<&str, &str> = HashMap::new();
    // What goes to the model in the user's name, before the message with this number.
    let mut asides: Vec<(usize, Value)> = Vec::new();
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
                names.extend(call_id(item).zip(item["name"].as_str()));
                let function = json!({"name": item["name"], "arguments": item["arguments"]});
                push_call(&mut out, item, "function", function);
            }
            "custom_tool_call" => {
                names.extend(call_id(item).zip(item["name"].as_str()));
                let custom = json!({"name": item["name"], "input": item["input"]});
                push_call(&mut out, item, "custom", custom);
            }
            "function_call_output" | "custom_tool_call_output" => {
                let content = content_parts(&item["output"], index)?;
                let (content, moved) = turns::result(content, can);
                out.push(json!({
                    "role": "tool",
                    "tool_call_id": item["call_id"],
                    "content": content,
                }));
                chat_fields(&mut out, item);
                if !moved.is_empty() {
                    let id = call_id(item).unwrap_or_default();
                    let name = names.get(id).copied().unwrap_or("the tool");
                    asides.push((out.len(), turns::from_result(name, id, moved)));
                }
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
    Ok(turns::place(ask, can, out, asides))
}

fn call_id(item: &Value) -> Option<&str> {
    item["call_id"].as_str()
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
                None => return Err(unsupported("An image without 'image_url'")),
            },
            Some("input_file") => {
                let mut file = Map::new();
                for key in ["file_data", "filename"] {
                    if let Some(value) = part.get(key).filter(|v| !v.is_null()) {
                        file.insert(key.into(), value.clone());
                    }
                }
                if !file.contains_key("file_data") {
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
