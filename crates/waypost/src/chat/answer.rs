//! An answer as one `chat.completion` object.

use serde_json::{Map, Value, json};
use waypost_engine::id;

use crate::{
    clock,
    model::{CallKind, Delta, Finish, Usage},
};

/// What is the same in all chunks of an answer.
#[derive(Debug, Clone)]
pub struct Label {
    pub id: String,
    /// Unix seconds.
    pub created: i64,
    pub model: String,
    /// Calls are answered as `function_call`.
    pub legacy: bool,
}

impl Label {
    pub fn new(model: String, legacy: bool) -> Self {
        Self {
            id: id::fresh("chatcmpl-"),
            created: clock::seconds(clock::now()),
            model,
            legacy,
        }
    }
}

/// A call, from its first piece on.
#[derive(Debug)]
pub struct Call {
    key: u64,
    pub id: String,
    pub kind: CallKind,
    pub name: String,
    /// Arguments, or input; a stream keeps only those before the name.
    pub arguments: String,
}

/// The calls of an answer in the order of their first pieces: their places are
/// their `index`.
#[derive(Debug, Default)]
pub struct Calls(pub Vec<Call>);

impl Calls {
    /// Takes in what a piece says of its call beside the arguments: its index.
    pub fn piece(
        &mut self,
        key: u64,
        kind: CallKind,
        call_id: Option<String>,
        name: Option<String>,
    ) -> usize {
        let at = self.0.iter().position(|call| call.key == key);
        let at = at.unwrap_or_else(|| {
            self.0.push(Call {
                key,
                id: String::new(),
                kind,
                name: String::new(),
                arguments: String::new(),
            });
            self.0.len() - 1
        });
        let call = &mut self.0[at];
        if let (true, Some(id)) = (call.id.is_empty(), call_id) {
            call.id = id;
        }
        if let (true, Some(name)) = (call.name.is_empty(), name) {
            call.name = name;
        }
        at
    }
}

/// Collects an answer.
#[derive(Debug, Default)]
pub struct Answer {
    content: String,
    refusal: String,
    reasoning: String,
    annotations: Vec<Value>,
    logprobs: Vec<Value>,
    calls: Calls,
    usage: Option<Usage>,
    finish: Option<Finish>,
}

impl Answer {
    /// What the model server reported so far.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Takes in one delta.
    pub fn apply(&mut self, delta: Delta) {
        match delta {
            Delta::Message { .. } => self.content.push_str(break_before(&self.content)),
            Delta::Text { text, logprobs } => {
                self.content.push_str(&text);
                self.logprobs.extend(logprobs);
            }
            Delta::Annotation(annotation) => self.annotations.extend(chat_annotation(&annotation)),
            Delta::Refusal(text) => self.refusal.push_str(&text),
            Delta::Reasoning(text) => self.reasoning.push_str(&text),
            Delta::ToolCall {
                key,
                kind,
                call_id,
                name,
                arguments,
                ..
            } => {
                let at = self.calls.piece(key, kind, call_id, name);
                self.calls.0[at].arguments.push_str(&arguments);
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

    /// The object; `None` if the model never said that it was done.
    pub fn finish(self, label: &Label) -> Option<Value> {
        let finish = finish_reason(self.finish?, !self.calls.0.is_empty(), label.legacy);
        let or_null = |text: String| {
            if text.is_empty() {
                Value::Null
            } else {
                Value::String(text)
            }
        };
        let mut message = Map::new();
        message.insert("role".into(), json!("assistant"));
        let silent = !self.calls.0.is_empty() || !self.refusal.is_empty();
        let content = if silent {
            or_null(self.content)
        } else {
            Value::String(self.content)
        };
        message.insert("content".into(), content);
        message.insert("refusal".into(), or_null(self.refusal));
        if !self.reasoning.is_empty() {
            message.insert("reasoning_content".into(), json!(self.reasoning));
        }
        message.insert("annotations".into(), json!(self.annotations));
        let mut calls = self.calls.0.into_iter();
        if label.legacy {
            if let Some(call) = calls.next() {
                let call = json!({"name": call.name, "arguments": call.arguments});
                message.insert("function_call".into(), call);
            }
        } else {
            let calls: Vec<Value> = calls.map(whole_call).collect();
            if !calls.is_empty() {
                message.insert("tool_calls".into(), Value::Array(calls));
            }
        }
        let logprobs = if self.logprobs.is_empty() {
            Value::Null
        } else {
            json!({"content": self.logprobs, "refusal": null})
        };
        let mut object = json!({
            "id": label.id,
            "object": "chat.completion",
            "created": label.created,
            "model": label.model,
            "choices": [{
                "index": 0,
                "message": message,
                "logprobs": logprobs,
                "finish_reason": finish,
            }],
        });
        // Null where the model server told nothing.
        let usage = self.usage.filter(|usage| usage.reported);
        object["usage"] = usage.map_or(Value::Null, usage_object);
        Some(object)
    }
}

fn whole_call(call: Call) -> Value {
    let id = if call.id.is_empty() {
        id::fresh("call_")
    } else {
        call.id
    };
    match call.kind {
        CallKind::Function => json!({
            "id": id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }),
        CallKind::Custom => json!({
            "id": id,
            "type": "custom",
            "custom": {"name": call.name, "input": call.arguments},
        }),
    }
}

/// What stands between two messages of the Responses API in one of Chat.
pub fn break_before(content: &str) -> &'static str {
    if content.is_empty() { "" } else { "\n\n" }
}

/// The API's word for an end.
pub fn finish_reason(finish: Finish, has_calls: bool, legacy: bool) -> &'static str {
    match finish {
        Finish::Length => "length",
        Finish::ContentFilter => "content_filter",
        Finish::Stop if has_calls && legacy => "function_call",
        Finish::Stop if has_calls => "tool_calls",
        Finish::Stop => "stop",
    }
}

/// Token counts as Chat Completions writes them.
pub fn usage_object(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens.saturating_add(usage.output_tokens),
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    })
}

/// The one kind of annotation that both APIs have, nested in this one.
pub fn chat_annotation(annotation: &Value) -> Option<Value> {
    let mut inner = annotation.as_object()?.clone();
    if inner.shift_remove("type")? != "url_citation" {
        return None;
    }
    Some(json!({"type": "url_citation", "url_citation": inner}))
}
