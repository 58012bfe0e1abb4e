//! What is open in an answer, and how each looks on the wire.

use serde_json::{Value, json};
use waypost_engine::events::EventBatchBuilder;

use crate::responses::events::{Event, encode};

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
    pub(super) call_id: String,
    pub(super) name: String,
    pub(super) arguments: String,
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
    pub(super) fn has_whole_arguments(&self) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments).is_ok()
    }

    /// The item as it is announced: without arguments.
    pub(super) fn opening(&self) -> Value {
        let mut item = self.item("in_progress");
        item["arguments"] = json!("");
        item
    }

    pub(super) fn item(&self, status: &str) -> Value {
        json!({
            "id": self.id,
            "type": "function_call",
            "status": status,
            "arguments": self.arguments,
            "call_id": self.call_id,
            "name": self.name,
        })
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

pub(super) fn push(out: &mut EventBatchBuilder, event: &Event<'_>) {
    out.push(&encode(event));
}
