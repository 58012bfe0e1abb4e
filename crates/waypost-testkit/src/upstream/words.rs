//! What the responses dialect calls the parts of its items and its kinds of calls.

use serde_json::{Value, json};

use super::plan::CallKind;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Reasoning,
    Text,
    Refusal,
}

impl Part {
    pub(super) fn value(self, text: &str, logprobs: &[Value]) -> Value {
        match self {
            Self::Reasoning => json!({"type": "reasoning_text", "text": text}),
            Self::Text => json!({"type": "output_text", "text": text, "annotations": [],
                "logprobs": logprobs}),
            Self::Refusal => json!({"type": "refusal", "refusal": text}),
        }
    }

    pub(super) fn delta_event(self) -> &'static str {
        match self {
            Self::Reasoning => "response.reasoning_text.delta",
            Self::Text => "response.output_text.delta",
            Self::Refusal => "response.refusal.delta",
        }
    }

    pub(super) fn done_event(self) -> (&'static str, &'static str) {
        match self {
            Self::Reasoning => ("response.reasoning_text.done", "text"),
            Self::Text => ("response.output_text.done", "text"),
            Self::Refusal => ("response.refusal.done", "refusal"),
        }
    }
}

/// What the wire calls a kind of call.
pub(super) struct CallWords {
    pub(super) prefix: &'static str,
    pub(super) kind: &'static str,
    pub(super) field: &'static str,
    /// Events of the arguments' pieces and of their end; a search has none.
    pub(super) delta: Option<&'static str>,
    pub(super) done: Option<&'static str>,
}

impl CallWords {
    pub(super) fn of(kind: CallKind) -> Self {
        match kind {
            CallKind::Function => Self {
                prefix: "fc",
                kind: "function_call",
                field: "arguments",
                delta: Some("response.function_call_arguments.delta"),
                done: Some("response.function_call_arguments.done"),
            },
            CallKind::Custom => Self {
                prefix: "ctc",
                kind: "custom_tool_call",
                field: "input",
                delta: Some("response.custom_tool_call_input.delta"),
                done: Some("response.custom_tool_call_input.done"),
            },
            CallKind::Search => Self {
                prefix: "tsc",
                kind: "tool_search_call",
                field: "arguments",
                delta: None,
                done: None,
            },
        }
    }
}
