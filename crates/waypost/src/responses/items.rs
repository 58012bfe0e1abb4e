//! Input items: checked, given ids, and written the way `input_items` shows
//! them.

use serde_json::{Map, Value, json};
use waypost_engine::id;

use super::fields::{Fields, bad_word, missing, unsupported, wrong_type};
use crate::{http::error::ApiError, tools::mcp};

/// Characters of a string input (API reference).
const MAX_STRING_INPUT: usize = 10_485_760;
/// Items of one request.
const MAX_ITEMS: usize = 10_000;

const ROLES: &[&str] = &["assistant", "system", "developer", "user"];
const TYPES: &[&str] = &[
    "message",
    "function_call",
    "function_call_output",
    "reasoning",
    "mcp_list_tools",
    "mcp_call",
    "mcp_approval_request",
    "mcp_approval_response",
];
const PHASES: &[&str] = &["commentary", "final_answer"];
const STATUSES: &[&str] = &["in_progress", "completed", "incomplete"];

type Result<T, E = ApiError> = std::result::Result<T, E>;

/// The request's `input` as items.
pub fn parse_input(input: &Value) -> Result<Vec<Value>> {
    match input {
        Value::String(text) if text.len() > MAX_STRING_INPUT => {
            let len = text.chars().count();
            if len <= MAX_STRING_INPUT {
                return Ok(vec![user_message(text)]);
            }
            Err(ApiError::invalid(format!(
                "Invalid 'input': string too long. Expected a string with maximum length \
                 {MAX_STRING_INPUT}, but got a string with length {len} instead."
            ))
            .param("input")
            .code("string_above_max_length"))
        }
        Value::String(text) => Ok(vec![user_message(text)]),
        Value::Array(items) if items.len() > MAX_ITEMS => Err(ApiError::invalid(format!(
            "Invalid 'input': array too long. Expected an array with maximum length {MAX_ITEMS}, \
             but got an array with length {} instead.",
            items.len()
        ))
        .param("input")
        .code("array_above_max_length")),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| parse_item(item, &format!("input[{at}]")))
            .collect(),
        other => Err(wrong_type("input", "a string or an array of items", other)),
    }
}

fn user_message(text: &str) -> Value {
    json!({
        "id": id::fresh("msg_"),
        "type": "message",
        "status": "completed",
        "content": [{"type": "input_text", "text": text}],
        "role": "user",
    })
}

fn parse_item(item: &Value, path: &str) -> Result<Value> {
    let mut fields = Fields::new(item, path)?;
    let kind = match fields.string("type")? {
        Some(kind) => kind,
        // The API's short form of a message has no type.
        None if item.get("role").is_some() => "message",
        None => return Err(missing(&fields.path("type"))),
    };
    match kind {
        "message" => message(fields),
        "function_call" => function_call(fields),
        "function_call_output" => function_call_output(fields),
        "reasoning" => reasoning(fields),
        "item_reference" => Err(unsupported(
            &fields.path("type"),
            "References to stored items are not supported; send the item itself, or continue with \
             'previous_response_id'.",
        )),
        other => {
            let path = fields.path("type");
            mcp::input::item(other, fields).unwrap_or_else(|| Err(bad_word(&path, other, TYPES)))
        }
    }
}

fn message(mut fields: Fields<'_>) -> Result<Value> {
    let role_path = fields.path("role");
    let role = fields
        .word("role", ROLES)?
        .ok_or_else(|| missing(&role_path))?;
    let path = fields.path("content");
    let content = match fields.value("content").ok_or_else(|| missing(&path))? {
        Value::String(text) if role == "assistant" => {
            json!([{"type": "output_text", "text": text, "annotations": [], "logprobs": []}])
        }
        Value::String(text) => json!([{"type": "input_text", "text": text}]),
        Value::Array(parts) => parts
            .iter()
            .enumerate()
            .map(|(at, part)| content_part(part, &format!("{path}[{at}]"), role == "assistant"))
            .collect::<Result<Value>>()?,
        other => {
            return Err(wrong_type(
                &path,
                "a string or an array of content parts",
                other,
            ));
        }
    };
    let mut item = json!({
        "id": item_id(&mut fields, "msg_")?,
        "type": "message",
        "status": fields.word("status", STATUSES)?.unwrap_or("completed"),
        "content": content,
        "role": role,
    });
    if let Some(phase) = fields.word("phase", PHASES)? {
        item["phase"] = json!(phase);
    }
    fields.end()?;
    Ok(item)
}

fn content_part(part: &Value, path: &str, assistant: bool) -> Result<Value> {
    let mut fields = Fields::new(part, path)?;
    let type_path = fields.path("type");
    let kind = fields.string("type")?.ok_or_else(|| missing(&type_path))?;
    let kinds: &[&str] = if assistant {
        &["output_text", "refusal"]
    } else {
        &["input_text", "input_image", "input_file"]
    };
    let mut out = Map::new();
    out.insert("type".into(), json!(kind));
    let mut copy = |fields: &mut Fields<'_>, name: &'static str| -> Result<bool> {
        let value = fields.string(name)?;
        if let Some(value) = value {
            out.insert(name.into(), json!(value));
        }
        Ok(value.is_some())
    };
    match kind {
        // Tolerated on either side: clients echo what they were given.
        "input_text" | "output_text" => {
            if !copy(&mut fields, "text")? {
                return Err(missing(&fields.path("text")));
            }
            if kind == "output_text" {
                for name in ["annotations", "logprobs"] {
                    let list = fields.array(name)?.cloned().unwrap_or_default();
                    out.insert(name.into(), Value::Array(list));
                }
            }
            fields.value("prompt_cache_breakpoint");
        }
        "refusal" => {
            if !copy(&mut fields, "refusal")? {
                return Err(missing(&fields.path("refusal")));
            }
        }
        "input_image" if !assistant => {
            let detail = fields.word("detail", &["auto", "low", "high", "original"])?;
            let url = copy(&mut fields, "image_url")?;
            let file = copy(&mut fields, "file_id")?;
            if !url && !file {
                return Err(missing(&fields.path("image_url")));
            }
            out.insert("detail".into(), json!(detail.unwrap_or("auto")));
        }
        "input_file" if !assistant => {
            let mut any = false;
            for name in ["file_data", "file_url", "file_id"] {
                any |= copy(&mut fields, name)?;
            }
            if !any {
                return Err(missing(&fields.path("file_data")));
            }
            copy(&mut fields, "filename")?;
            copy(&mut fields, "detail")?;
        }
        other => return Err(bad_word(&type_path, other, kinds)),
    }
    fields.end()?;
    Ok(Value::Object(out))
}

fn function_call(mut fields: Fields<'_>) -> Result<Value> {
    let item = json!({
        "id": item_id(&mut fields, "fc_")?,
        "type": "function_call",
        "status": fields.word("status", STATUSES)?.unwrap_or("completed"),
        "arguments": fields.required_string("arguments")?,
        "call_id": fields.required_string("call_id")?,
        "name": fields.required_string("name")?,
    });
    fields.end()?;
    Ok(item)
}

fn function_call_output(mut fields: Fields<'_>) -> Result<Value> {
    let path = fields.path("output");
    let output = match fields.value("output").ok_or_else(|| missing(&path))? {
        Value::String(text) => json!(text),
        Value::Array(parts) => parts
            .iter()
            .enumerate()
            .map(|(at, part)| content_part(part, &format!("{path}[{at}]"), false))
            .collect::<Result<Value>>()?,
        other => {
            return Err(wrong_type(
                &path,
                "a string or an array of content parts",
                other,
            ));
        }
    };
    let item = json!({
        "id": item_id(&mut fields, "fco_")?,
        "type": "function_call_output",
        "status": fields.word("status", STATUSES)?.unwrap_or("completed"),
        "call_id": fields.required_string("call_id")?,
        "output": output,
    });
    fields.end()?;
    Ok(item)
}

/// Kept whole: clients must be able to send back what they were given.
fn reasoning(mut fields: Fields<'_>) -> Result<Value> {
    let mut item = json!({
        "id": item_id(&mut fields, "rs_")?,
        "type": "reasoning",
        "summary": fields.array("summary")?.cloned().unwrap_or_default(),
    });
    if let Some(content) = fields.array("content")? {
        item["content"] = json!(content);
    }
    if let Some(sealed) = fields.string("encrypted_content")? {
        item["encrypted_content"] = json!(sealed);
    }
    if let Some(status) = fields.word("status", STATUSES)? {
        item["status"] = json!(status);
    }
    fields.end()?;
    Ok(item)
}

/// The client's own id, or a fresh one.
fn item_id(fields: &mut Fields<'_>, prefix: &str) -> Result<String> {
    Ok(fields
        .bounded_string("id", 128)?
        .map_or_else(|| id::fresh(prefix), str::to_owned))
}
