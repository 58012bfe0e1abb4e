//! Input items: checked, given ids, and written the way `input_items` shows
//! them.
//!
//! An item is looked at by itself here. Whether it fits to the others (a call
//! and its output) is for [`super::call_pairing`], which sees the whole context.

use serde_json::{Value, json};
use waypost_engine::id;

use self::ids::Prefix;
use super::references;
use crate::{
    http::{
        error::ApiError,
        fields::{Fields, bad_word, missing, unsupported, wrong_type},
        places::Places,
    },
    model::ClientTool,
    tools::{declare::Declarer, mcp},
};

mod calls;
mod client;
mod ids;
mod message;
mod tools;

/// Characters of a string input, of arguments and of outputs (API reference).
const MAX_TEXT: usize = 10_485_760;
/// Bytes of what a client notes on an item for itself.
const MAX_PASSTHROUGH: usize = 16 * 1024;
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
    "local_shell_call",
    "local_shell_call_output",
    "shell_call",
    "shell_call_output",
    "apply_patch_call",
    "apply_patch_call_output",
    "computer_call",
    "computer_call_output",
    "mcp_list_tools",
    "mcp_call",
    "mcp_approval_request",
    "mcp_approval_response",
    "item_reference",
];
/// Items of the API that stand for what this server does not do, and why.
const UNSUPPORTED: &[(&str, &str)] = &[
    (
        "compaction",
        "Compaction is not supported; send the items themselves.",
    ),
    (
        "compaction_trigger",
        "Compaction is not supported; send the items themselves.",
    ),
    (
        "configuration_update",
        "What is set holds for the whole request; send it as the request's own fields.",
    ),
    ("program", "Programmatic tool calling is not supported."),
    (
        "program_output",
        "Programmatic tool calling is not supported.",
    ),
];
const STATUSES: &[&str] = &["in_progress", "completed", "incomplete"];

type Result<T, E = ApiError> = std::result::Result<T, E>;

/// The request's `input` as items, and where they stood in it.
pub fn parse_input(input: &Value, declarer: &mut Declarer<'_>) -> Result<(Vec<Value>, Places)> {
    match input {
        Value::String(text) if text.len() > MAX_TEXT => {
            let len = text.chars().count();
            if len <= MAX_TEXT {
                return Ok((vec![user_message(text)], Places::default()));
            }
            Err(ApiError::invalid(format!(
                "Invalid 'input': string too long. Expected a string with maximum length \
                 {MAX_TEXT}, but got a string with length {len} instead."
            ))
            .param("input")
            .code("string_above_max_length"))
        }
        Value::String(text) => Ok((vec![user_message(text)], Places::default())),
        Value::Array(items) if items.len() > MAX_ITEMS => Err(ApiError::invalid(format!(
            "Invalid 'input': array too long. Expected an array with maximum length {MAX_ITEMS}, \
             but got an array with length {} instead.",
            items.len()
        ))
        .param("input")
        .code("array_above_max_length")),
        Value::Array(items) => Places::gather(
            items
                .iter()
                .enumerate()
                .map(|(at, item)| parse_item(item, &format!("input[{at}]"), declarer)),
        ),
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

/// `None`: it is left out.
fn parse_item(item: &Value, path: &str, declarer: &mut Declarer<'_>) -> Result<Option<Value>> {
    let mut fields = Fields::new(item, path)?;
    let kind = match fields.string("type")? {
        Some(kind) => kind,
        // The API's short form of a message has no type.
        None if item.get("role").is_some() => "message",
        None if item.get("id").is_some() => "item_reference",
        None => return Err(missing(&fields.path("type"))),
    };
    if declarer.ignored.item(kind) {
        return Ok(None);
    }
    // Codex marks its items with the turn that they belong to.
    fields.opaque(
        "internal_chat_message_metadata_passthrough",
        MAX_PASSTHROUGH,
    )?;
    if let Some(tool) = ClientTool::of_call(item) {
        return client::call(tool, fields).map(Some);
    }
    if let Some(tool) = ClientTool::of_output(item) {
        return client::output(tool, fields).map(Some);
    }
    let item = match kind {
        "message" => message::message(fields),
        "reasoning" => reasoning(fields),
        "function_call" => calls::function_call(fields),
        "function_call_output" => calls::function_call_output(fields),
        "custom_tool_call" => calls::custom_tool_call(fields),
        "custom_tool_call_output" => calls::custom_tool_call_output(fields),
        "tool_search_call" => tools::tool_search_call(fields),
        "tool_search_output" => tools::tool_search_output(fields, declarer),
        "additional_tools" => tools::additional_tools(fields, declarer),
        "item_reference" => references::parse(fields),
        other => {
            let path = fields.path("type");
            if let Some((_, why)) = UNSUPPORTED.iter().find(|(kind, _)| *kind == other) {
                let why = format!("Items of type '{other}' are not supported. {why}");
                return Err(unsupported(&path, &why));
            }
            mcp::input::item(other, fields).unwrap_or_else(|| Err(bad_word(&path, other, TYPES)))
        }
    };
    item.map(Some)
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
