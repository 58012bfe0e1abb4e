//! What is open in an answer, and how each looks on the wire.

use serde_json::{Value, json};
use waypost_engine::{events::EventBatchBuilder, id};

use crate::{
    model::{CallKind, MAX_ID},
    responses::events::{Event, push},
};

#[derive(Debug)]
pub(super) struct Open {
    pub(super) index: u64,
    pub(super) id: String,
    pub(super) kind: OpenKind,
}

#[derive(Debug)]
pub(super) enum OpenKind {
    Message {
        phase: Option<String>,
        parts: Vec<Part>,
    },
    Reasoning {
        text: Option<String>,
        summary: Vec<String>,
        encrypted: Option<String>,
    },
}

/// A content part of a message; only the last one is open.
#[derive(Debug)]
pub(super) enum Part {
    Text {
        text: String,
        logprobs: Vec<Value>,
        annotations: Vec<Value>,
    },
    Refusal {
        text: String,
    },
}

#[derive(Debug)]
pub(super) struct Call {
    /// Tells parallel calls of one answer apart.
    pub(super) key: u64,
    /// `None` until it is announced, which waits for its name.
    pub(super) index: Option<u64>,
    pub(super) id: String,
    pub(super) kind: CallKind,
    pub(super) call_id: String,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    /// JSON text, or a custom tool's input.
    pub(super) arguments: String,
}

/// An item that this server makes itself, while it is open.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) key: u64,
    pub(super) index: u64,
    /// As it was announced, with the arguments that came since.
    pub(super) item: Value,
    /// The arguments are whole: its call may have been made.
    pub(super) is_intent: bool,
}

impl Own {
    /// Takes in an event about a call's arguments; others change nothing.
    pub(super) fn note(&mut self, kind: &str, field: impl Fn(&'static str) -> Value) {
        match kind {
            "response.mcp_call_arguments.delta" => {
                if let (Value::String(arguments), Value::String(delta)) =
                    (&mut self.item["arguments"], field("delta"))
                {
                    arguments.push_str(&delta);
                }
            }
            "response.mcp_call_arguments.done" => {
                self.item["arguments"] = field("arguments");
                self.is_intent = true;
            }
            _ => {}
        }
    }
}

impl Open {
    pub(super) fn item(&self, status: &str) -> Value {
        match &self.kind {
            OpenKind::Message { phase, parts } => {
                let mut item = json!({
                    "id": self.id,
                    "type": "message",
                    "status": status,
                    "content": parts.iter().map(Part::json).collect::<Vec<_>>(),
                    "role": "assistant",
                });
                if let Some(phase) = phase {
                    item["phase"] = json!(phase);
                }
                item
            }
            OpenKind::Reasoning {
                text,
                summary,
                encrypted,
            } => {
                let part = |text: &String, kind| json!({"type": kind, "text": text});
                let mut item = json!({
                    "id": self.id,
                    "type": "reasoning",
                    "status": status,
                    "summary": summary.iter().map(|t| part(t, "summary_text")).collect::<Vec<_>>(),
                    "content": text.iter().map(|t| part(t, "reasoning_text")).collect::<Vec<_>>(),
                });
                if let Some(sealed) = encrypted {
                    item["encrypted_content"] = json!(sealed);
                }
                item
            }
        }
    }
}

impl Call {
    /// A call that has not begun.
    pub(super) fn new(key: u64, kind: CallKind) -> Self {
        let prefix = match kind {
            CallKind::Function => "fc_",
            CallKind::Custom => "ctc_",
        };
        Self {
            key,
            index: None,
            id: id::fresh(prefix),
            kind,
            call_id: String::new(),
            name: String::new(),
            namespace: None,
            arguments: String::new(),
        }
    }

    pub(super) fn has_whole_arguments(&self) -> bool {
        self.kind == CallKind::Custom
            || serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments).is_ok()
    }

    /// Takes in what a piece says of the call, as long as it is not announced:
    /// that waits for its name, and for its call id if it comes with it.
    pub(super) fn begin(
        &mut self,
        call_id: Option<String>,
        name: Option<String>,
        namespace: Option<String>,
    ) {
        if self.index.is_some() {
            return;
        }
        // A longer one could not be sent back: it gets a fresh one instead.
        let call_id = call_id.filter(|id| id.len() <= MAX_ID);
        if let (true, Some(call_id)) = (self.call_id.is_empty(), call_id) {
            self.call_id = call_id;
        }
        if let (true, Some(name)) = (self.name.is_empty(), name) {
            self.name = name;
        }
        self.namespace = self.namespace.take().or(namespace);
    }

    /// The event that brings a piece of it.
    pub(super) fn delta<'a>(&'a self, output_index: u64, delta: &'a str) -> Event<'a> {
        let item_id = &self.id;
        match self.kind {
            CallKind::Function => Event::ArgumentsDelta {
                item_id,
                output_index,
                delta,
            },
            CallKind::Custom => Event::CustomInputDelta {
                item_id,
                output_index,
                delta,
            },
        }
    }

    /// The event that says all of it.
    pub(super) fn done(&self, output_index: u64) -> Event<'_> {
        let item_id = &self.id;
        match self.kind {
            CallKind::Function => Event::ArgumentsDone {
                item_id,
                output_index,
                arguments: &self.arguments,
            },
            CallKind::Custom => Event::CustomInputDone {
                item_id,
                output_index,
                input: &self.arguments,
            },
        }
    }

    /// The item as it is announced: without arguments.
    pub(super) fn opening(&self) -> Value {
        let mut item = self.item("in_progress");
        let text = match self.kind {
            CallKind::Function => "arguments",
            CallKind::Custom => "input",
        };
        item[text] = json!("");
        item
    }

    pub(super) fn item(&self, status: &str) -> Value {
        let mut item = match self.kind {
            CallKind::Function => json!({
                "id": self.id,
                "type": "function_call",
                "status": status,
                "arguments": self.arguments,
                "call_id": self.call_id,
                "name": self.name,
            }),
            CallKind::Custom => json!({
                "id": self.id,
                "type": "custom_tool_call",
                "status": status,
                "call_id": self.call_id,
                "name": self.name,
                "input": self.arguments,
            }),
        };
        if let Some(namespace) = &self.namespace {
            item["namespace"] = json!(namespace);
        }
        item
    }
}

impl Part {
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Text {
                text,
                logprobs,
                annotations,
            } => json!({
                "type": "output_text",
                "annotations": annotations,
                "logprobs": logprobs,
                "text": text,
            }),
            Self::Refusal { text } => json!({"type": "refusal", "refusal": text}),
        }
    }
}

pub(super) fn add_part(
    index: u64,
    id: &str,
    parts: &mut Vec<Part>,
    part: Part,
    out: &mut EventBatchBuilder,
) {
    push(
        out,
        &Event::PartAdded {
            item_id: id,
            output_index: index,
            content_index: parts.len() as u64,
            part: &part.json(),
        },
    );
    parts.push(part);
}

pub(super) fn close_part(index: u64, id: &str, parts: &[Part], out: &mut EventBatchBuilder) {
    let Some(part) = parts.last() else { return };
    let content_index = parts.len() as u64 - 1;
    match part {
        Part::Text { text, logprobs, .. } => push(
            out,
            &Event::TextDone {
                item_id: id,
                output_index: index,
                content_index,
                text,
                logprobs,
            },
        ),
        Part::Refusal { text } => push(
            out,
            &Event::RefusalDone {
                item_id: id,
                output_index: index,
                content_index,
                refusal: text,
            },
        ),
    }
    push(
        out,
        &Event::PartDone {
            item_id: id,
            output_index: index,
            content_index,
            part: &part.json(),
        },
    );
}

pub(super) fn close_summary_part(
    index: u64,
    id: &str,
    summary: &[String],
    out: &mut EventBatchBuilder,
) {
    let Some(text) = summary.last() else { return };
    let summary_index = summary.len() as u64 - 1;
    push(
        out,
        &Event::SummaryDone {
            item_id: id,
            output_index: index,
            summary_index,
            text,
        },
    );
    push(
        out,
        &Event::SummaryPartDone {
            item_id: id,
            output_index: index,
            summary_index,
            part: &json!({"type": "summary_text", "text": text}),
        },
    );
}
