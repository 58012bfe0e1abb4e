//! Calls that a person had to allow: which of them are to be made now.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::items;
use crate::{
    http::{error::ApiError, places::Places},
    model::Generation,
};

/// A call that was allowed and has not been made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    pub request_id: String,
    pub label: String,
    pub name: String,
    pub arguments: String,
}

/// The calls that the approvals of a request's input allow, and that are not
/// in its context. An approval counts in the request that brings it, never
/// later: what became of the call in a response that was cancelled is not
/// known.
pub fn pending(context: &[Value], input: &[Value]) -> Vec<Approved> {
    let made: HashSet<&str> = context
        .iter()
        .filter(|item| items::is(item, "mcp_call"))
        .filter_map(|item| item["approval_request_id"].as_str())
        .collect();
    let mut seen = HashSet::new();
    input
        .iter()
        .filter(|item| items::is(item, "mcp_approval_response") && item["approve"] == true)
        .filter_map(|answer| {
            let id = answer["approval_request_id"].as_str()?;
            let request = request(context, id)?;
            let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
            (!made.contains(id) && seen.insert(id)).then(|| Approved {
                request_id: id.to_owned(),
                label: text("server_label"),
                name: text("name"),
                arguments: text("arguments"),
            })
        })
        .collect()
}

/// Checks the approvals of a request's input, which stands at the end of its
/// context: each answers a request that is there, and the call can be made.
/// `places` are those of the input's items as it came.
pub fn check(generation: &Generation, input: &[Value], places: &Places) -> Result<(), ApiError> {
    let (context, tools) = (&generation.items, &generation.tools);
    let answers = input.iter().enumerate();
    for (at, answer) in answers.filter(|(_, item)| items::is(item, "mcp_approval_response")) {
        let refused = |message: String| {
            Err(ApiError::invalid(message)
                .param(format!("input[{}].approval_request_id", places.of(at)))
                .code("invalid_value"))
        };
        let id = answer["approval_request_id"].as_str().unwrap_or_default();
        let Some(request) = request(context, id) else {
            return refused(format!(
                "No approval request with id '{}' is in the context.",
                id.escape_debug()
            ));
        };
        let has_server = tools
            .iter()
            .any(|tool| super::is_server(tool) && tool["server_label"] == request["server_label"]);
        if answer["approve"] == true && !has_server {
            return refused(format!(
                "The approved call is for the MCP server {}, which is not in 'tools'.",
                request["server_label"]
            ));
        }
    }
    Ok(())
}

fn request<'a>(context: &'a [Value], id: &str) -> Option<&'a Value> {
    context
        .iter()
        .rfind(|item| items::is(item, "mcp_approval_request") && item["id"] == id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_approved_call_is_made_once() {
        let request = json!({"id": "r1", "type": "mcp_approval_request", "server_label": "s",
            "name": "t", "arguments": "{}"});
        let yes =
            json!({"type": "mcp_approval_response", "approval_request_id": "r1", "approve": true});
        let no =
            json!({"type": "mcp_approval_response", "approval_request_id": "r1", "approve": false});
        let made = json!({"type": "mcp_call", "approval_request_id": "r1"});
        let count = |context: &[&Value]| {
            let context: Vec<Value> = context.iter().map(|&item| item.clone()).collect();
            let input: Vec<Value> = context
                .iter()
                .filter(|item| items::is(item, "mcp_approval_response"))
                .cloned()
                .collect();
            assert!(pending(&context, &[]).is_empty());
            pending(&context, &input).len()
        };
        assert_eq!(count(&[&request, &yes]), 1);
        assert_eq!(count(&[&request, &yes, &yes]), 1);
        assert_eq!(count(&[&request, &no]), 0);
        assert_eq!(count(&[&request, &yes, &made]), 0);
        assert_eq!(count(&[&yes]), 0);

        let tools = [json!({"type": "mcp", "server_label": "s"})];
        let checked = |items: &[Value], tools: &[Value]| {
            let generation = Generation {
                items: items.to_vec(),
                tools: tools.to_vec(),
                ..Generation::default()
            };
            check(&generation, std::slice::from_ref(&yes), &Places::default())
        };
        let context = [request, yes.clone()];
        assert!(checked(&context, &tools).is_ok());
        assert!(checked(&context, &[]).is_err());
        assert!(checked(&context[1..], &tools).is_err());
    }
}
