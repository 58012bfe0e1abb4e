//! Chat Completions chunks as deltas. Pure: data lines go in.
//!
//! Servers differ in a dozen small ways; each way met in the field is a test
//! below. The one rule that must not bend: an answer is finished only when the
//! server gave a finish reason.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::upstream::{
    error::UpstreamError,
    generation::{CallKind, Delta, Finish, Usage},
};

/// Function calls of one answer.
const MAX_CALLS: usize = 256;

/// Reads one streamed answer.
#[derive(Debug, Default)]
pub struct ChatDecoder {
    finished: bool,
    done: bool,
    /// The key of the call that a fragment without index and id belongs to.
    last_call: Option<u64>,
    /// Ids seen, by key: servers that send no index are told apart by id.
    calls: Vec<(u64, Option<String>)>,
    /// The calls of custom tools.
    custom: Vec<u64>,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    delta: Option<ChunkDelta>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize, Default)]
struct ChunkDelta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<Value>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallPiece>>,
}

#[derive(Deserialize)]
struct CallPiece {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<FunctionPiece>,
    #[serde(default)]
    custom: Option<CustomPiece>,
}

#[derive(Deserialize)]
struct CustomPiece {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Option<String>,
}

#[derive(Deserialize)]
struct FunctionPiece {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct Logprobs {
    #[serde(default)]
    content: Option<Vec<Value>>,
}

impl ChatDecoder {
    /// Reads one `data:` payload and appends what it says.
    pub fn data(&mut self, data: &str, out: &mut Vec<Delta>) -> Result<(), UpstreamError> {
        let data = data.trim();
        if data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        if data.is_empty() {
            return Ok(());
        }
        let chunk: Chunk =
            serde_json::from_str(data).map_err(|e| UpstreamError::Malformed(e.to_string()))?;
        if let Some(error) = chunk.error.filter(|e| !e.is_null()) {
            let status = error
                .get("code")
                .and_then(Value::as_u64)
                .and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok())
                .filter(|status| status.is_client_error() || status.is_server_error())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Err(UpstreamError::from_object(status, &error));
        }
        for choice in chunk.choices {
            // We never ask for more than one choice.
            if choice.index.unwrap_or(0) == 0 {
                self.choice(choice, out)?;
            }
        }
        if let Some(usage) = chunk.usage.filter(Value::is_object) {
            out.push(Delta::Usage(read_usage(&usage)));
        }
        Ok(())
    }

    /// Whether the answer is whole: nothing more need be read.
    pub fn is_done(&self) -> bool {
        self.done && self.finished
    }

    /// The stream ended. An end without a finish reason is a broken answer,
    /// never a complete one.
    pub fn end(&self) -> Result<(), UpstreamError> {
        if self.finished {
            return Ok(());
        }
        Err(UpstreamError::Broken(
            if self.done {
                "[DONE] without a finish reason"
            } else {
                "end without a finish reason"
            }
            .into(),
        ))
    }

    fn choice(&mut self, choice: Choice, out: &mut Vec<Delta>) -> Result<(), UpstreamError> {
        let delta = choice.delta.unwrap_or_default();
        // Some servers send the same reasoning under both names.
        let reasoning = delta
            .reasoning_content
            .filter(|t| !t.is_empty())
            .or_else(|| delta.reasoning.and_then(|r| r.as_str().map(str::to_owned)));
        if let Some(text) = reasoning.filter(|t| !t.is_empty()) {
            out.push(Delta::Reasoning(text));
        }
        let logprobs = choice.logprobs.and_then(|l| l.content).unwrap_or_default();
        if let Some(text) = delta
            .content
            .filter(|t| !t.is_empty() || !logprobs.is_empty())
        {
            out.push(Delta::Text { text, logprobs });
        }
        if let Some(text) = delta.refusal.filter(|t| !t.is_empty()) {
            out.push(Delta::Refusal(text));
        }
        for piece in delta.tool_calls.unwrap_or_default() {
            self.call_piece(piece, out)?;
        }
        if let Some(reason) = choice.finish_reason.filter(|r| !r.is_empty()) {
            let finish = match reason.as_str() {
                "length" | "max_tokens" | "model_length" => Finish::Length,
                "content_filter" => Finish::ContentFilter,
                "error" | "abort" | "aborted" | "cancelled" => {
                    return Err(UpstreamError::Broken(format!("finish reason '{reason}'")));
                }
                _ => Finish::Stop,
            };
            if !self.finished {
                self.finished = true;
                out.push(Delta::Finish(finish));
            }
        }
        Ok(())
    }

    fn call_piece(&mut self, piece: CallPiece, out: &mut Vec<Delta>) -> Result<(), UpstreamError> {
        let id = piece.id.filter(|id| !id.is_empty());
        let is_custom = piece.custom.is_some();
        let (name, arguments) = match (piece.function, piece.custom) {
            (_, Some(custom)) => (custom.name, custom.input.map(Value::String)),
            (Some(function), None) => (function.name, function.arguments),
            (None, None) => (None, None),
        };
        let name = name.filter(|n| !n.is_empty());
        // Arguments should be a string; some servers send the object itself.
        let arguments = match arguments {
            Some(Value::String(text)) => text,
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        let known = |id: &String| {
            self.calls
                .iter()
                .find(|(_, seen)| seen.as_ref() == Some(id))
                .map(|(key, _)| *key)
        };
        let key = match (piece.index, &id) {
            (Some(index), _) => index,
            // No index: an id seen before goes on, a new id or a new name
            // opens a call, anything else belongs to the last one.
            (None, Some(id)) => known(id).unwrap_or(self.calls.len() as u64),
            (None, None) if name.is_some() => self.calls.len() as u64,
            (None, None) => self.last_call.unwrap_or(0),
        };
        self.last_call = Some(key);
        if !self.calls.iter().any(|(k, _)| *k == key) {
            if self.calls.len() == MAX_CALLS {
                return Err(UpstreamError::Malformed(format!(
                    "more than {MAX_CALLS} function calls"
                )));
            }
            self.calls.push((key, id.clone()));
        }
        if is_custom && !self.custom.contains(&key) {
            self.custom.push(key);
        }
        out.push(Delta::ToolCall {
            key,
            kind: if self.custom.contains(&key) {
                CallKind::Custom
            } else {
                CallKind::Function
            },
            call_id: id,
            name,
            namespace: None,
            arguments,
        });
        Ok(())
    }
}

/// Token counts, as far as they can be read: an answer that is whole does not
/// fail over them.
fn read_usage(usage: &Value) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    Usage {
        input_tokens: count(&usage["prompt_tokens"]),
        cached_tokens: count(&usage["prompt_tokens_details"]["cached_tokens"]),
        output_tokens: count(&usage["completion_tokens"]),
        reasoning_tokens: count(&usage["completion_tokens_details"]["reasoning_tokens"]),
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
