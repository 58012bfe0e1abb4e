//! The context in words that a model server takes: calls of tools that it
//! knows under other names or not at all, and items that no other API has.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::names;
use crate::{
    model::ClientTool,
    tools::{callable::TOOL_SEARCH, custom::unwrap},
};

/// What a model server takes as the Responses API writes it.
#[derive(Debug, Clone, Copy)]
pub struct Takes {
    pub custom: bool,
    /// Everything else: namespaces, tool search, tools that come as items,
    /// tools of a fixed form that the client runs.
    pub all: bool,
}

/// The name under which the model server knows a tool.
pub type NameOf<'a> = &'a dyn Fn(Option<&str>, &str) -> String;

/// Whether any item has to be rewritten.
pub fn need_rewriting(items: &[Value], takes: Takes) -> bool {
    items.iter().any(|item| !stays(item, takes))
}

/// The items, each as the server takes it.
pub fn rewrite<'a>(items: &'a [Value], takes: Takes, name: NameOf<'_>) -> Vec<Cow<'a, Value>> {
    let mut out = Vec::with_capacity(items.len());
    // A search without a call id is followed by its result.
    let mut searches = 0;
    for item in items {
        if stays(item, takes) {
            out.push(Cow::Borrowed(item));
            continue;
        }
        let text = |key: &str| item[key].as_str();
        let called = |fallback: &str| name(text("namespace"), text("name").unwrap_or(fallback));
        let call = |call_id: &Value, name: String, arguments: String| {
            json!({
                "type": "function_call",
                "call_id": call_id,
                "name": name,
                "arguments": arguments,
            })
        };
        let output = |call_id: &Value, output: &Value| json!({"type": "function_call_output", "call_id": call_id, "output": output});
        match text("type").unwrap_or_default() {
            "function_call" => {
                let arguments = text("arguments").unwrap_or_default().to_owned();
                out.push(Cow::Owned(call(&item["call_id"], called(""), arguments)));
            }
            "custom_tool_call" if takes.custom => {
                let mut item = item.clone();
                item["name"] = json!(called(""));
                if let Some(object) = item.as_object_mut() {
                    object.shift_remove("namespace");
                }
                out.push(Cow::Owned(item));
            }
            "custom_tool_call" => {
                let input = unwrap::wrap(text("input").unwrap_or_default());
                out.push(Cow::Owned(call(&item["call_id"], called(""), input)));
            }
            "custom_tool_call_output" => {
                out.push(Cow::Owned(output(&item["call_id"], &item["output"])));
            }
            "tool_search_call" => {
                searches += 1;
                let call_id = search_id(item, searches);
                let arguments = item["arguments"].to_string();
                let name = name(None, TOOL_SEARCH);
                out.push(Cow::Owned(call(&call_id, name, arguments)));
            }
            "tool_search_output" => {
                let call_id = search_id(item, searches);
                out.push(Cow::Owned(output(&call_id, &json!(found(item, name)))));
            }
            "mcp_call" => {
                let name = name(text("server_label"), text("name").unwrap_or_default());
                let arguments = text("arguments").unwrap_or("{}").to_owned();
                out.push(Cow::Owned(call(&item["id"], name, arguments)));
                let said = match (&item["output"], &item["error"]) {
                    (Value::Null, Value::Null) => json!("No output."),
                    (Value::Null, error) => json!(format!("Error: {error}")),
                    (said, _) => said.clone(),
                };
                out.push(Cow::Owned(output(&item["id"], &said)));
            }
            _ => {
                if let Some(tool) = ClientTool::of_call(item) {
                    let name = name(None, tool.name());
                    let arguments = tool.arguments(item);
                    out.push(Cow::Owned(call(&item["call_id"], name, arguments)));
                } else if let Some(tool) = ClientTool::of_output(item) {
                    let said = tool.output(item);
                    out.push(Cow::Owned(output(&item["call_id"], &said)));
                }
                // Others bring tools or ask a person; the model need not see them.
            }
        }
    }
    out
}

/// Whether the server takes the item as it is.
fn stays(item: &Value, takes: Takes) -> bool {
    match item["type"].as_str().unwrap_or("message") {
        "function_call" => {
            takes.all
                || item["namespace"].is_null()
                    && item["name"]
                        .as_str()
                        .is_none_or(|n| names::flat(None, n) == n)
        }
        "custom_tool_call" => takes.all || takes.custom && item["namespace"].is_null(),
        "custom_tool_call_output" => takes.custom,
        "tool_search_call" | "tool_search_output" | "additional_tools" => takes.all,
        "mcp_call" | "mcp_list_tools" | "mcp_approval_request" | "mcp_approval_response" => false,
        _ => {
            takes.all
                || ClientTool::of_call(item).is_none() && ClientTool::of_output(item).is_none()
        }
    }
}

fn search_id(item: &Value, searches: usize) -> Value {
    match &item["call_id"] {
        Value::String(id) => json!(id),
        _ => json!(format!("call_search_{searches}")),
    }
}

/// What a search brought, in words: the tools themselves are among the tools.
fn found(item: &Value, name: NameOf<'_>) -> String {
    let mut names = Vec::new();
    for tool in item["tools"].as_array().into_iter().flatten() {
        let own = tool["name"].as_str().unwrap_or_default();
        match tool["tools"].as_array() {
            Some(inner) => names.extend(
                inner
                    .iter()
                    .filter_map(|tool| tool["name"].as_str())
                    .map(|inner| name(Some(own), inner)),
            ),
            None => names.push(name(None, own)),
        }
    }
    if names.is_empty() {
        "No tools were found.".to_owned()
    } else {
        format!("These tools can be called now: {}.", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_become_what_the_server_takes() {
        let items = [
            json!({"type": "message", "role": "user", "content": "hi"}),
            json!({"type": "function_call", "call_id": "a", "name": "f", "namespace": "n", "arguments": "{}"}),
            json!({"type": "function_call_output", "call_id": "a", "output": "1"}),
            json!({"type": "custom_tool_call", "call_id": "b", "name": "c", "input": "x\"y"}),
            json!({"type": "custom_tool_call_output", "call_id": "b", "output": "2"}),
            json!({"type": "tool_search_call", "call_id": null, "arguments": {"q": 1}}),
            json!({"type": "tool_search_output", "call_id": null, "tools": [
                {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]}]}),
            json!({"type": "mcp_list_tools", "server_label": "s", "tools": []}),
            json!({"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "t", "arguments": "{}", "output": "3", "error": null}),
        ];
        let chat = Takes {
            custom: false,
            all: false,
        };
        let flat: NameOf<'_> = &|space, name| names::flat(space, name);
        assert!(need_rewriting(&items, chat));
        let out: Vec<Value> = rewrite(&items, chat, flat)
            .into_iter()
            .map(Cow::into_owned)
            .collect();
        let call = |id: &str, name: &str, arguments: &str| json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments});
        let result = |id: &str, output: &str| json!({"type": "function_call_output", "call_id": id, "output": output});
        assert_eq!(
            out[1..],
            [
                call("a", "n__f", "{}"),
                result("a", "1"),
                call("b", "c", r#"{"input":"x\"y"}"#),
                result("b", "2"),
                call("call_search_1", "tool_search", r#"{"q":1}"#),
                result("call_search_1", "These tools can be called now: n__g."),
                call("mcp_1", "s__t", "{}"),
                result("mcp_1", "3"),
            ]
        );
        let openai = Takes {
            custom: true,
            all: true,
        };
        assert!(!need_rewriting(&items[..7], openai));
        assert!(
            need_rewriting(&items, openai),
            "no server runs our MCP calls"
        );
    }
}
