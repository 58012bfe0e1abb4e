//! What can go wrong with a server, in the three shapes of the Responses API.

use std::time::Duration;

use http::StatusCode;
use outbound::client::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// `mcp_call.error` (the union `McpToolCallError` of the API's types).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CallError {
    /// The server answered with a JSON-RPC error, or not as the protocol says.
    McpProtocolError { code: i64, message: String },
    /// The tool ran and failed: the content blocks of its result.
    McpToolExecutionError { content: Value },
    /// No answer of the protocol came: the server's HTTP status, or the one
    /// that a gateway would give (502 broken, 504 late).
    HttpError { code: u16, message: String },
}

/// Why there is no result. Display is for the caller: it holds no address, no
/// URL and nothing that the server could have echoed of a secret, except in
/// [`McpError::Rpc`], whose text is the server's own.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// A JSON-RPC error.
    #[error("{message}")]
    Rpc {
        code: i64,
        message: String,
        /// Versions of the protocol that the server says it speaks.
        versions: Vec<String>,
    },
    /// Something that the protocol has no place for.
    #[error("The MCP server's answer is not MCP: {0}.")]
    Protocol(&'static str),
    /// An HTTP status without an answer of the protocol.
    #[error("The MCP server answered {0}.")]
    Status(StatusCode),
    #[error("The MCP server answered {0} with a redirect, which is not followed.")]
    Redirect(StatusCode),
    /// Inside, the operator's reason.
    #[error("The MCP server cannot be reached.")]
    Unreachable(#[source] Error),
    #[error("The MCP server's host leads to an address that is not public.")]
    NotPublic(#[source] Error),
    #[error("The connection to the MCP server broke before its answer was whole.")]
    Broken(#[source] Error),
    #[error("The MCP server did not answer within {} s.", .0.as_secs_f32())]
    Late(Duration),
    #[error("The MCP server's answer is larger than {0} bytes.")]
    TooLarge(usize),
    #[error("The MCP server lists more than {0} tools.")]
    TooManyTools(usize),
    /// The session that a message was for is unknown: the server has not
    /// looked at the message.
    #[error("The MCP server has ended the session.")]
    SessionEnded,
}

impl From<Error> for McpError {
    fn from(error: Error) -> Self {
        match error {
            Error::Resolve(_) | Error::Addresses | Error::NoConnection(_) => {
                Self::Unreachable(error)
            }
            Error::NotPublic { .. } => Self::NotPublic(error),
            Error::Broken(_) => Self::Broken(error),
            Error::TooLarge(max) => Self::TooLarge(max),
        }
    }
}

impl McpError {
    /// How it stands in `mcp_call.error`.
    pub fn call_error(&self) -> CallError {
        let message = self.to_string();
        let http = |code: StatusCode| CallError::HttpError {
            code: code.as_u16(),
            message: message.clone(),
        };
        match self {
            Self::Rpc { code, .. } => CallError::McpProtocolError {
                code: *code,
                message,
            },
            // JSON-RPC 2.0's "internal error": ours is the nearest there is.
            Self::Protocol(_) | Self::TooManyTools(_) => CallError::McpProtocolError {
                code: -32603,
                message,
            },
            Self::Status(status) | Self::Redirect(status) => http(*status),
            Self::SessionEnded => http(StatusCode::NOT_FOUND),
            Self::Unreachable(_) | Self::NotPublic(_) | Self::Broken(_) | Self::TooLarge(_) => {
                http(StatusCode::BAD_GATEWAY)
            }
            Self::Late(_) => http(StatusCode::GATEWAY_TIMEOUT),
        }
    }

    /// The operator's reason, where there is more to say than to the caller.
    pub fn cause(&self) -> Option<&Error> {
        match self {
            Self::Unreachable(cause) | Self::NotPublic(cause) | Self::Broken(cause) => Some(cause),
            _ => None,
        }
    }
}

impl CallError {
    /// The tool's failure with a text of our own.
    pub fn execution(text: &str) -> Self {
        Self::McpToolExecutionError {
            content: json!([{"type": "text", "text": text}]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_operators_alone() {
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let refused = McpError::from(Error::NotPublic { address });
        let shape = json!({"type": "http_error", "code": 502,
            "message": "The MCP server's host leads to an address that is not public."});
        assert_eq!(json!(refused.call_error()), shape);
        let cause = refused.cause().expect("the operator's reason").to_string();
        assert!(cause.contains("127.0.0.1"), "{cause}");
    }

    #[test]
    fn the_three_shapes() {
        for (error, shape) in [
            (
                McpError::Rpc {
                    code: -32602,
                    message: "Unknown tool".to_owned(),
                    versions: Vec::new(),
                }
                .call_error(),
                json!({"type": "mcp_protocol_error", "code": -32602, "message": "Unknown tool"}),
            ),
            (
                CallError::execution("no"),
                json!({"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "no"}]}),
            ),
            (
                McpError::Status(StatusCode::UNAUTHORIZED).call_error(),
                json!({"type": "http_error", "code": 401, "message": "The MCP server answered 401 Unauthorized."}),
            ),
            (
                McpError::Late(Duration::from_mins(1)).call_error(),
                json!({"type": "http_error", "code": 504, "message": "The MCP server did not answer within 60 s."}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&error).expect("JSON"), shape);
            assert_eq!(
                serde_json::from_value::<CallError>(shape).expect("an error"),
                error
            );
        }
    }
}
