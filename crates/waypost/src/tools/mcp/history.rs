//! What a model is told of MCP items: calls of functions and their outputs,
//! which every model server understands.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{catalogue::Catalogue, items};
use crate::model::Generation;

/// The same generation for the model, where its context has items of MCP and
/// its tools no server.
pub fn told(generation: &Generation) -> Option<Arc<Generation>> {
    generation.items.iter().any(is_mcp).then(|| {
        Arc::new(Generation {
            items: for_model(&generation.items, &Catalogue::default()),
            ..generation.clone()
        })
    })
}

/// The items of a context without any of MCP. Every call gets an output: chat
/// templates refuse one without.
pub fn for_model(context: &[Value], catalogue: &Catalogue) -> Vec<Value> {
    if !context.iter().any(is_mcp) {
        return context.to_vec();
    }
    let made: HashSet<&str> = context
        .iter()
        .filter(|item| items::is(item, "mcp_call"))
        .filter_map(|item| item["approval_request_id"].as_str())
        .collect();
    let answers: HashMap<&str, &Value> = context
        .iter()
        .filter(|item| items::is(item, "mcp_approval_response"))
        .filter_map(|item| Some((item["approval_request_id"].as_str()?, item)))
        .collect();
    let mut out = Vec::with_capacity(context.len());
    for item in context {
        match item["type"].as_str() {
            Some("mcp_list_tools" | "mcp_approval_response") => {}
            Some("mcp_call") => tell(item, &output_of(item), catalogue, &mut out),
            Some("mcp_approval_request") => {
                let id = item["id"].as_str().unwrap_or_default();
                if !made.contains(id) {
                    let output = not_made(answers.get(id).copied());
                    tell(item, &output, catalogue, &mut out);
                }
            }
            _ => out.push(item.clone()),
        }
    }
    out
}

/// A call and its output.
fn tell(item: &Value, output: &str, catalogue: &Catalogue, out: &mut Vec<Value>) {
    let text = |key: &str| item[key].as_str().unwrap_or_default();
    let arguments = match text("arguments") {
        "" => "{}",
        arguments => arguments,
    };
    out.push(json!({
        "id": item["id"],
        "type": "function_call",
        "status": "completed",
        "arguments": arguments,
        "call_id": item["id"],
        "name": catalogue.name_of(text("server_label"), text("name")),
    }));
    out.push(json!({
        "type": "function_call_output",
        "status": "completed",
        "call_id": item["id"],
        "output": output,
    }));
}

fn is_mcp(item: &Value) -> bool {
    item["type"]
        .as_str()
        .is_some_and(|kind| kind.starts_with("mcp_"))
}

/// What a model reads as a call's output.
fn output_of(call: &Value) -> String {
    if let Some(output) = call["output"].as_str() {
        return output.to_owned();
    }
    let error = &call["error"];
    let said = match error["type"].as_str() {
        Some("mcp_tool_execution_error") => match &error["content"] {
            Value::Array(blocks) => {
                let texts: Vec<String> = blocks
                    .iter()
                    .map(|block| match block["text"].as_str() {
                        Some(text) => text.to_owned(),
                        None => block.to_string(),
                    })
                    .collect();
                texts.join("\n")
            }
            other => other.to_string(),
        },
        Some(_) => error["message"].as_str().unwrap_or_default().to_owned(),
        None => return "The call has no result.".to_owned(),
    };
    format!("The call failed: {said}")
}

fn not_made(answer: Option<&Value>) -> String {
    match answer {
        Some(answer) if answer["approve"] == true => {
            "The call was allowed, but has not been made.".to_owned()
        }
        Some(answer) => match answer["reason"].as_str() {
            Some(reason) => format!("The user did not allow this call: {reason}"),
            None => "The user did not allow this call.".to_owned(),
        },
        None => "The user has not said whether this call is allowed. It was not made.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_an_output_and_the_rest_is_as_it_was() {
        let call = |id: &str, approval: Value, output: Value, error: Value| {
            json!({"id": id, "type": "mcp_call", "server_label": "s", "name": "t",
                "arguments": "", "output": output, "error": error, "approval_request_id": approval})
        };
        let request = |id: &str| {
            json!({"id": id, "type": "mcp_approval_request", "server_label": "s", "name": "t",
                "arguments": "{}"})
        };
        let answer = |id: &str, approve: bool, reason: Value| {
            json!({"type": "mcp_approval_response", "approval_request_id": id, "approve": approve,
                "reason": reason})
        };
        let message = json!({"type": "message", "role": "user", "content": "go"});
        let context = [
            message.clone(),
            json!({"type": "mcp_list_tools", "server_label": "s", "tools": []}),
            call("mcp_1", json!(null), json!("fine"), json!(null)),
            call(
                "mcp_2",
                json!(null),
                json!(null),
                json!({"type": "mcp_tool_execution_error",
                "content": [{"type": "text", "text": "no"}, {"type": "image"}]}),
            ),
            call(
                "mcp_3",
                json!(null),
                json!(null),
                json!({"type": "http_error", "code": 401,
                "message": "Unauthorized."}),
            ),
            call("mcp_4", json!(null), json!(null), json!(null)),
            request("r1"),
            answer("r1", true, json!(null)),
            call("mcp_5", json!("r1"), json!("allowed"), json!(null)),
            request("r2"),
            answer("r2", false, json!("not now")),
            request("r3"),
        ];
        let told = for_model(&context, &Catalogue::default());
        assert_eq!(told[0], message);
        let outputs: Vec<&str> = told
            .iter()
            .filter_map(|item| item["output"].as_str())
            .collect();
        assert_eq!(
            outputs,
            [
                "fine",
                "The call failed: no\n{\"type\":\"image\"}",
                "The call failed: Unauthorized.",
                "The call has no result.",
                "allowed",
                "The user did not allow this call: not now",
                "The user has not said whether this call is allowed. It was not made.",
            ]
        );
        assert_eq!(told.len(), 1 + 2 * outputs.len());
        for pair in told[1..].chunks(2) {
            assert_eq!(pair[0]["type"], "function_call");
            assert_eq!(pair[0]["name"], "s__t");
            assert_eq!(pair[0]["arguments"], "{}");
            assert_eq!(pair[0]["call_id"], pair[1]["call_id"]);
        }
    }
}
