//! What a `tools/call` result becomes: `mcp_call.output` is one text.
//!
//! Text blocks are joined by line breaks; every other block (image, audio,
//! resource, link) stands there as its JSON. `structuredContent` follows as
//! JSON, unless a text block already says the same, as MCP recommends to
//! servers.

use serde_json::{Value, json};

use super::error::{CallError, McpError};

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Output(String),
    Failed(CallError),
}

impl Outcome {
    /// A stable word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Output(_) => "completed",
            Self::Failed(CallError::McpToolExecutionError { .. }) => "tool_error",
            Self::Failed(CallError::McpProtocolError { .. }) => "protocol_error",
            Self::Failed(CallError::HttpError { .. }) => "http_error",
        }
    }

    /// Reads a `CallToolResult`.
    pub(crate) fn read(mut result: Value) -> Result<Self, McpError> {
        if !result.is_object() {
            return Err(McpError::Protocol("a result of a call is an object"));
        }
        let content = match result["content"].take() {
            Value::Array(content) => content,
            Value::Null => Vec::new(),
            _ => return Err(McpError::Protocol("the content of a result is a list")),
        };
        let structured = result.get_mut("structuredContent").map(Value::take);
        Ok(if result["isError"].as_bool() == Some(true) {
            let content = match structured {
                Some(structured) if content.is_empty() => {
                    json!([{"type": "text", "text": structured.to_string()}])
                }
                _ => content.into(),
            };
            Self::Failed(CallError::McpToolExecutionError { content })
        } else {
            Self::Output(text(&content, structured.as_ref()))
        })
    }
}

fn text(content: &[Value], structured: Option<&Value>) -> String {
    let mut out = String::new();
    let mut add = |text: &str| {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(text);
    };
    let mut said = false;
    for block in content {
        match (block["type"].as_str(), block["text"].as_str()) {
            (Some("text"), Some(text)) => {
                said |= structured.is_some_and(|value| {
                    serde_json::from_str(text).is_ok_and(|v: Value| v == *value)
                });
                add(text);
            }
            _ => add(&block.to_string()),
        }
    }
    match structured {
        Some(structured) if !said => add(&structured.to_string()),
        _ => {}
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(result: Value) -> String {
        match Outcome::read(result).expect("a result") {
            Outcome::Output(text) => text,
            Outcome::Failed(error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn texts_are_joined_and_the_rest_is_json() {
        assert_eq!(
            output(json!({"content": [
                {"type": "text", "text": "a"},
                {"type": "image", "data": "AA==", "mimeType": "image/png"},
                {"type": "text", "text": "b"},
            ]})),
            "a\n{\"type\":\"image\",\"data\":\"AA==\",\"mimeType\":\"image/png\"}\nb"
        );
        assert_eq!(output(json!({"content": []})), "");
    }

    #[test]
    fn structured_content_is_said_once() {
        let structured = json!({"sum": 3});
        assert_eq!(
            output(json!({"content": [], "structuredContent": structured})),
            r#"{"sum":3}"#
        );
        let same = json!([{"type": "text", "text": "{ \"sum\": 3 }"}]);
        assert_eq!(
            output(json!({"content": same, "structuredContent": structured})),
            r#"{ "sum": 3 }"#
        );
        let other = json!([{"type": "text", "text": "three"}]);
        assert_eq!(
            output(json!({"content": other, "structuredContent": structured})),
            "three\n{\"sum\":3}"
        );
    }

    #[test]
    fn a_failure_of_the_tool_keeps_its_content() {
        let content = json!([{"type": "text", "text": "no such file"}]);
        assert_eq!(
            Outcome::read(json!({"isError": true, "content": content})).expect("a result"),
            Outcome::Failed(CallError::McpToolExecutionError { content })
        );
        for junk in [json!("x"), json!({"content": "x"}), json!(null)] {
            assert!(Outcome::read(junk).is_err());
        }
    }
}
