//! Input items: checked, given ids, and written the way `input_items` shows
//! them.
//!
//! An item is looked at by itself here. Whether it fits to the others (a call
//! and its output) is for [`super::replay`], which sees the whole context.

use serde_json::{Value, json};
use waypost_engine::id;

pub use self::ids::MAX_ID as MAX_CALL_ID;
use self::ids::Prefix;
use super::fields::{Fields, bad_word, missing, unsupported, wrong_type};
use crate::{http::error::ApiError, tools::declare::Declarer};

mod calls;
mod ids;
mod message;
mod tools;

/// Characters of a string input, of arguments and of outputs (API reference).
const MAX_TEXT: usize = 10_485_760;
/// Items of one request.
const MAX_ITEMS: usize = 10_000;

const TYPES: &[&str] = &[
    "message",
    "reasoning",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "tool_search_call",
    "tool_search_output",
    "additional_tools",
];
const STATUSES: &[&str] = &["in_progress", "completed", "incomplete"];

type Result<T, E = ApiError> = std::result::Result<T, E>;

/// The request's `input` as items.
pub fn parse_input(input: &Value, declarer: &mut Declarer<'_>) -> Result<Vec<Value>> {
    match input {
        Value::String(text) if text.len() > MAX_TEXT => {
            let len = text.chars().count();
            if len <= MAX_TEXT {
                return Ok(vec![user_message(text)]);
            }
            Err(ApiError::invalid(format!(
                "Invalid 'input': string too long. Expected a string with maximum length \
                 {MAX_TEXT}, but got a string with length {len} instead."
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
            .map(|(at, item)| parse_item(item, &format!("input[{at}]"), declarer))
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

fn parse_item(item: &Value, path: &str, declarer: &mut Declarer<'_>) -> Result<Value> {
    let mut fields = Fields::new(item, path)?;
    let kind = match fields.string("type")? {
        Some(kind) => kind,
        // The API's short form of a message has no type.
        None if item.get("role").is_some() => "message",
        None => return Err(missing(&fields.path("type"))),
    };
    match kind {
        "message" => message::message(fields),
        "reasoning" => reasoning(fields),
        "function_call" => calls::function_call(fields),
        "function_call_output" => calls::function_call_output(fields),
        "custom_tool_call" => calls::custom_tool_call(fields),
        "custom_tool_call_output" => calls::custom_tool_call_output(fields),
        "tool_search_call" => tools::tool_search_call(fields),
        "tool_search_output" => tools::tool_search_output(fields, declarer),
        "additional_tools" => tools::additional_tools(fields, declarer),
        "mcp_list_tools" | "mcp_call" | "mcp_approval_request" | "mcp_approval_response" => Err(
            unsupported(&fields.path("type"), "MCP servers are not supported."),
        ),
        "item_reference" => Err(unsupported(
            &fields.path("type"),
            "References to stored items are not supported; send the item itself, or continue with \
             'previous_response_id'.",
        )),
        other => Err(bad_word(&fields.path("type"), other, TYPES)),
    }
}

/// Kept whole: clients must be able to send back what they were given.
fn reasoning(mut fields: Fields<'_>) -> Result<Value> {
    let mut item = json!({
        "id": ids::item_id(&mut fields, Prefix::Reasoning)?,
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
