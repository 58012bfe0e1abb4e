//! An answer as `chat.completion.chunk` events.
//!
//! Easy to break: a call's first chunk has its index, id, type and name and no
//! arguments; the others have only the index and arguments. Clients put calls
//! together by that.

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde_json::{Map, Value, json};
use waypost_engine::id;

use super::answer::{Calls, Label, break_before, chat_annotation, finish_reason, usage_object};
use crate::{
    http::error::ApiError,
    model::{CallKind, Delta, Finish, Usage},
};

/// Writes an answer's chunks.
pub struct Chunks {
    label: Label,
    include_usage: bool,
    /// The first chunk, which says whose words these are, is out.
    begun: bool,
    has_text: bool,
    calls: Calls,
    /// Which calls are announced.
    announced: Vec<bool>,
    usage: Option<Usage>,
    finish: Option<Finish>,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Choice],
    /// Null in every chunk but the last, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Choice {
    index: u8,
    delta: Map<String, Value>,
    logprobs: Value,
    finish_reason: Option<&'static str>,
}

impl Chunks {
    /// What the model server reported so far.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    pub fn new(label: Label, include_usage: bool) -> Self {
        Self {
            label,
            include_usage,
            begun: false,
            has_text: false,
            calls: Calls::default(),
            announced: Vec::new(),
            usage: None,
            finish: None,
        }
    }

    /// Appends the chunks of one delta.
    pub fn apply(&mut self, delta: Delta, out: &mut BytesMut) {
        match delta {
            Delta::Message { .. } => {
                if self.has_text {
                    self.say("content", json!(break_before("x")), Value::Null, out);
                }
            }
            Delta::Text { text, logprobs } => {
                self.has_text |= !text.is_empty();
                let logprobs = if logprobs.is_empty() {
                    Value::Null
                } else {
                    json!({"content": logprobs, "refusal": null})
                };
                self.say("content", Value::String(text), logprobs, out);
            }
            Delta::Annotation(annotation) => {
                if let Some(annotation) = chat_annotation(&annotation) {
                    self.say("annotations", json!([annotation]), Value::Null, out);
                }
            }
            Delta::Refusal(text) => self.say("refusal", Value::String(text), Value::Null, out),
            Delta::Reasoning(text) => {
                self.say("reasoning_content", Value::String(text), Value::Null, out);
            }
            Delta::ToolCall {
                key,
                kind,
                call_id,
                name,
                arguments,
                ..
            } => {
                let at = self.calls.piece(key, kind, call_id, name);
                self.grow_call(at, arguments, out);
            }
            Delta::Usage(usage) | Delta::Spent(usage) => self.usage = Some(usage),
            Delta::Finish(finish) => self.finish = Some(finish),
            // Things of the Responses API, which no Chat request asks for.
            Delta::ReasoningSummary { .. }
            | Delta::ReasoningEncrypted(_)
            | Delta::ReasoningBreak
            | Delta::CallEnd { .. }
            | Delta::ItemAdded { .. }
            | Delta::ItemEvent { .. }
            | Delta::ItemDone { .. }
            | Delta::ToolSearch { .. } => {}
        }
    }

    /// Appends the end. `false` if the model never said that it was done.
    pub fn finish(&mut self, out: &mut BytesMut) -> bool {
        let Some(finish) = self.finish else {
            return false;
        };
        for at in 0..self.announced.len() {
            // It never got a name: what the server sent is still shown.
            self.announce(at, out);
        }
        self.begin(&json!(""), out);
        let reason = finish_reason(finish, !self.calls.0.is_empty(), self.label.legacy);
        self.chunk(Map::new(), Value::Null, Some(reason), out);
        // Without counts there is nothing that the chunk could say.
        let usage = self.usage.filter(|usage| usage.reported);
        if let Some(usage) = usage.filter(|_| self.include_usage) {
            self.write(&[], Some(usage_object(usage)), out);
        }
        out.put_slice(b"data: [DONE]\n\n");
        true
    }

    fn grow_call(&mut self, at: usize, arguments: String, out: &mut BytesMut) {
        if self.announced.len() <= at {
            self.announced.push(false);
        }
        if !self.announced[at] {
            if self.calls.0[at].name.is_empty() {
                self.calls.0[at].arguments.push_str(&arguments);
                return;
            }
            self.announce(at, out);
        }
        self.arguments(at, arguments, out);
    }

    fn announce(&mut self, at: usize, out: &mut BytesMut) {
        if std::mem::replace(&mut self.announced[at], true) {
            return;
        }
        self.begin(&Value::Null, out);
        let call = &mut self.calls.0[at];
        if call.id.is_empty() {
            call.id = id::fresh("call_");
        }
        let early = std::mem::take(&mut call.arguments);
        let delta = match call.kind {
            _ if self.label.legacy && at > 0 => return,
            _ if self.label.legacy => {
                one("function_call", json!({"name": call.name, "arguments": ""}))
            }
            CallKind::Function => one(
                "tool_calls",
                json!([{"index": at, "id": call.id, "type": "function",
                    "function": {"name": call.name, "arguments": ""}}]),
            ),
            CallKind::Custom => one(
                "tool_calls",
                json!([{"index": at, "id": call.id, "type": "custom",
                    "custom": {"name": call.name, "input": ""}}]),
            ),
        };
        self.chunk(delta, Value::Null, None, out);
        self.arguments(at, early, out);
    }

    fn arguments(&self, at: usize, arguments: String, out: &mut BytesMut) {
        if arguments.is_empty() || (self.label.legacy && at > 0) {
            return;
        }
        let delta = match self.calls.0[at].kind {
            _ if self.label.legacy => one("function_call", json!({"arguments": arguments})),
            CallKind::Function => one(
                "tool_calls",
                json!([{"index": at, "function": {"arguments": arguments}}]),
            ),
            CallKind::Custom => one(
                "tool_calls",
                json!([{"index": at, "custom": {"input": arguments}}]),
            ),
        };
        self.chunk(delta, Value::Null, None, out);
    }

    fn say(&mut self, field: &str, value: Value, logprobs: Value, out: &mut BytesMut) {
        self.begin(&json!(""), out);
        self.chunk(one(field, value), logprobs, None, out);
    }

    fn begin(&mut self, content: &Value, out: &mut BytesMut) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let mut delta = one("role", json!("assistant"));
        delta.insert("content".into(), content.clone());
        delta.insert("refusal".into(), Value::Null);
        self.chunk(delta, Value::Null, None, out);
    }

    fn chunk(
        &self,
        delta: Map<String, Value>,
        logprobs: Value,
        finish_reason: Option<&'static str>,
        out: &mut BytesMut,
    ) {
        let choice = Choice {
            index: 0,
            delta,
            logprobs,
            finish_reason,
        };
        self.write(&[choice], self.include_usage.then_some(Value::Null), out);
    }

    fn write(&self, choices: &[Choice], usage: Option<Value>, out: &mut BytesMut) {
        let chunk = Chunk {
            id: &self.label.id,
            object: "chat.completion.chunk",
            created: self.label.created,
            model: &self.label.model,
            choices,
            usage,
        };
        out.put_slice(b"data: ");
        serde_json::to_writer(out.writer(), &chunk).expect("strings and numbers always encode");
        out.put_slice(b"\n\n");
    }
}

/// The last event of an answer that failed.
pub fn error_event(error: &ApiError, out: &mut BytesMut) {
    out.put_slice(b"data: ");
    out.put_slice(&error.to_json());
    out.put_slice(b"\n\n");
}

fn one(field: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(field.to_owned(), value)])
}

#[cfg(test)]
#[path = "chunks_tests.rs"]
mod tests;
