//! JSON-RPC 2.0 as MCP uses it.

use serde_json::{Map, Value, json};

use super::error::McpError;

/// The longest text of a server's error that is kept.
const MAX_ERROR_TEXT: usize = 4 * 1024;
/// Versions of the protocol that are read from one error.
const MAX_VERSIONS: usize = 32;

/// A message from a server, as far as it matters to who waits for an answer.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The answer.
    Answer(Result<Value, McpError>),
    /// The server asks something itself.
    Request { id: Value, method: String },
    /// A notification, or an answer to somebody else.
    Other,
}

pub(crate) fn request(id: u64, method: &str, params: Map<String, Value>) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

pub(crate) fn notification(method: &str, params: Map<String, Value>) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// Our answer to a server's own request: none of what it could ask for was
/// offered to it, except `ping`.
pub(crate) fn reply(id: Value, method: &str) -> Value {
    if method == "ping" {
        return json!({"jsonrpc": "2.0", "id": id, "result": {}});
    }
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "Method not found"}})
}

/// Reads a message, or a batch of them (protocol 2025-03-26), for who waits for
/// the answer to `id`.
pub(crate) fn read(message: Value, id: u64) -> Vec<Incoming> {
    match message {
        Value::Array(batch) => batch.into_iter().map(|one| read_one(one, id)).collect(),
        one => vec![read_one(one, id)],
    }
}

fn read_one(mut message: Value, id: u64) -> Incoming {
    if let Some(method) = message["method"].as_str() {
        let method = method.to_owned();
        return match message["id"].take() {
            Value::Null => Incoming::Other,
            id => Incoming::Request { id, method },
        };
    }
    let ours = match &message["id"] {
        Value::Number(number) => number.as_u64() == Some(id),
        // Some servers give the number back as text.
        Value::String(text) => text.parse() == Ok(id),
        // Allowed for an error only, when the server could not read the id.
        Value::Null => message.get("error").is_some(),
        _ => false,
    };
    if !ours {
        return Incoming::Other;
    }
    if let Some(error) = message.get("error").filter(|error| error.is_object()) {
        return Incoming::Answer(Err(rpc_error(error)));
    }
    match message.get_mut("result") {
        Some(result) => Incoming::Answer(Ok(result.take())),
        None => Incoming::Answer(Err(McpError::Protocol(
            "it has neither a result nor an error",
        ))),
    }
}

fn rpc_error(error: &Value) -> McpError {
    McpError::Rpc {
        code: error["code"].as_i64().unwrap_or(-32603),
        message: error["message"].as_str().unwrap_or("").to_owned(),
        versions: versions(error),
    }
}

/// The versions of the protocol that an error says its server speaks: in its
/// data, or else as dates in its text.
fn versions(error: &Value) -> Vec<String> {
    let data = &error["data"];
    let listed = [&data["supported"], &data["supportedVersions"]];
    let listed = listed.into_iter().find_map(Value::as_array);
    let is_date = |text: &&str| {
        text.len() == 10
            && text.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
    };
    let versions: Vec<&str> = if let Some(listed) = listed {
        listed.iter().filter_map(Value::as_str).collect()
    } else {
        let text = error["message"].as_str().unwrap_or("");
        let is_part = |c: char| c.is_ascii_digit() || c == '-';
        text.split(|c| !is_part(c)).collect()
    };
    let versions = versions.into_iter().filter(is_date).take(MAX_VERSIONS);
    versions.map(str::to_owned).collect()
}

/// A JSON-RPC error with as much of its text as is kept, and never none.
pub(crate) fn bounded(code: i64, mut message: String, versions: Vec<String>) -> McpError {
    message.truncate(message.floor_char_boundary(MAX_ERROR_TEXT));
    if message.is_empty() {
        "The MCP server gave no reason.".clone_into(&mut message);
    }
    McpError::Rpc {
        code,
        message,
        versions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let one = |message| read(message, 7).pop().expect("a message");
        for id in [json!(7), json!("7")] {
            let answer = one(json!({"jsonrpc": "2.0", "id": id, "result": {"a": 1}}));
            assert!(matches!(answer, Incoming::Answer(Ok(_))), "{answer:?}");
        }
        for (message, code) in [
            (
                json!({"id": 7, "error": {"code": -32601, "message": "x"}}),
                -32601,
            ),
            (json!({"id": null, "error": {"code": -32700}}), -32700),
        ] {
            let Incoming::Answer(Err(McpError::Rpc {
                code: got, message, ..
            })) = one(message)
            else {
                panic!("no error");
            };
            assert_eq!(got, code);
            let McpError::Rpc { message, .. } = bounded(got, message, Vec::new()) else {
                panic!("no error");
            };
            assert!(!message.is_empty());
        }
        for other in [
            json!({"id": 8, "result": {}}),
            json!({"method": "notifications/progress"}),
            json!({"id": null, "result": {}}),
            json!("x"),
            json!(null),
        ] {
            assert!(matches!(one(other), Incoming::Other));
        }
        let ping = one(json!({"id": "s1", "method": "ping"}));
        assert!(matches!(ping, Incoming::Request { .. }));
        assert!(matches!(
            one(json!({"id": 7})),
            Incoming::Answer(Err(McpError::Protocol(_)))
        ));
        let batch = json!([{"method": "x"}, {"id": 7, "result": {}}]);
        assert_eq!(read(batch, 7).len(), 2);
    }

    #[test]
    fn long_errors_are_cut_at_a_character() {
        let McpError::Rpc { message, .. } = bounded(1, "é".repeat(MAX_ERROR_TEXT), Vec::new())
        else {
            panic!("no error");
        };
        assert_eq!(message.len(), MAX_ERROR_TEXT);
    }
}
