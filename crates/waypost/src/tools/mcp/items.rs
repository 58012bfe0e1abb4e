//! The items and events of MCP, as the Responses API has them.

use mcp_client::{CallError, Outcome, Tool};
use serde_json::{Map, Value, json};
use waypost_engine::id;

use crate::model::Delta;

/// `mcp_list_tools`, before anything is known. It has an `error` only where
/// there is one: clients refuse null there (Vercel AI SDK).
pub fn list(label: &str) -> Value {
    json!({
        "id": id::fresh("mcpl_"),
        "type": "mcp_list_tools",
        "server_label": label,
        "tools": [],
    })
}

/// `mcp_call`, before its arguments are known.
pub fn call(label: &str, name: &str, approval_request_id: Option<&str>) -> Value {
    json!({
        "id": id::fresh("mcp_"),
        "type": "mcp_call",
        "status": "in_progress",
        "approval_request_id": approval_request_id,
        "arguments": "",
        "error": null,
        "name": name,
        "output": null,
        "server_label": label,
    })
}

/// `mcp_approval_request`
pub fn approval_request(label: &str, name: &str, arguments: &str) -> Value {
    json!({
        "id": id::fresh("mcpr_"),
        "type": "mcp_approval_request",
        "arguments": arguments,
        "name": name,
        "server_label": label,
    })
}

/// Writes into a call how it ended.
pub fn end_call(item: &mut Value, outcome: Outcome) {
    match outcome {
        Outcome::Output(text) => {
            item["status"] = "completed".into();
            item["output"] = text.into();
        }
        Outcome::Failed(error) => fail_call(item, &error),
    }
}

/// Writes into a call why it failed.
pub fn fail_call(item: &mut Value, error: &CallError) {
    item["status"] = "failed".into();
    item["error"] = json!(error);
}

/// The tools of a list; none if it failed.
pub fn tools(list: &Value) -> Vec<Tool> {
    let tools = list["tools"].as_array().into_iter().flatten();
    tools
        .filter_map(|tool| serde_json::from_value(tool.clone()).ok())
        .collect()
}

pub fn is(item: &Value, kind: &str) -> bool {
    item["type"] == kind
}

/// An event with nothing but its place.
pub fn event(key: u64, kind: &'static str) -> Delta {
    Delta::ItemEvent {
        key,
        kind,
        fields: Map::new(),
    }
}

/// A piece of a call's arguments.
pub fn arguments_delta(key: u64, delta: &str) -> Delta {
    with(key, "response.mcp_call_arguments.delta", "delta", delta)
}

/// All of a call's arguments. What follows is the call itself: this event in a
/// log says that the call may have been made.
pub fn arguments_done(key: u64, arguments: &str) -> Delta {
    with(
        key,
        "response.mcp_call_arguments.done",
        "arguments",
        arguments,
    )
}

fn with(key: u64, kind: &'static str, name: &str, text: &str) -> Delta {
    let mut fields = Map::new();
    fields.insert(name.to_owned(), text.into());
    Delta::ItemEvent { key, kind, fields }
}
