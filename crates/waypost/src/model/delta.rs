//! What a model server says, step by step.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Characters of an item's id, and of a call's.
pub const MAX_ID: usize = 64;
/// What one answer may hold: text, reasoning, arguments, annotations, log
/// probabilities, and [`DELTA_COST`] for every delta.
pub const MAX_OUTPUT: usize = 64 * 1024 * 1024;
/// What a delta counts beside its text: each becomes an event of the log.
const DELTA_COST: usize = 16;

/// A step of an answer. Adapters never send empty text.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// The next text belongs to a new message (servers that speak Responses
    /// can send several), with its `phase`.
    Message { phase: Option<String> },
    /// Visible text, with the log probabilities of its tokens if asked for.
    Text { text: String, logprobs: Vec<Value> },
    /// A source that the text names, as the Responses API writes it.
    Annotation(Value),
    /// The model declines, in words.
    Refusal(String),
    /// Raw reasoning text.
    Reasoning(String),
    /// Text of the reasoning summary's part with this index.
    ReasoningSummary { index: usize, text: String },
    /// The opaque form of the reasoning item that just went by.
    ReasoningEncrypted(String),
    /// The next reasoning belongs to a new item.
    ReasoningBreak,
    /// A piece of a call. The first piece of a `key` names it.
    ToolCall {
        /// Tells parallel calls apart within this answer.
        key: u64,
        kind: CallKind,
        call_id: Option<String>,
        name: Option<String>,
        /// The namespace of a function that has one.
        namespace: Option<String>,
        /// JSON text of a function call, plain text of a custom tool's input.
        arguments: String,
    },
    /// The call is whole and judged: nothing more of it comes. Calls that are
    /// not said to be end with the answer.
    CallEnd { key: u64 },
    /// An item that this server makes itself (`mcp_…`, `tool_search_…`): as it
    /// is announced. Its `key` is its own, apart from those of calls.
    ItemAdded { key: u64, item: Value },
    /// An event about it, without `item_id` and `output_index`.
    ItemEvent {
        key: u64,
        kind: &'static str,
        fields: serde_json::Map<String, Value>,
    },
    /// The finished item.
    ItemDone { key: u64, item: Value },
    /// The model looks for tools that it was not told of. A turn says it, and
    /// an agent takes it; nobody else sees it.
    ToolSearch { arguments: Value },
    /// Token counts; may come after [`Delta::Finish`].
    Usage(Usage),
    /// Token counts so far of a response that goes on with another request: a
    /// crash in there must not lose them.
    Spent(Usage),
    /// The model is done, and why.
    Finish(Finish),
}

impl Delta {
    /// What it counts of [`MAX_OUTPUT`].
    pub fn size(&self) -> usize {
        let json = |value: &Value| value.to_string().len();
        DELTA_COST
            + match self {
                Self::Text { text, logprobs } => {
                    text.len() + logprobs.iter().map(json).sum::<usize>()
                }
                Self::Refusal(text)
                | Self::Reasoning(text)
                | Self::ReasoningSummary { text, .. }
                | Self::ReasoningEncrypted(text) => text.len(),
                Self::Annotation(annotation) => json(annotation),
                Self::ToolCall {
                    call_id,
                    name,
                    namespace,
                    arguments,
                    ..
                } => {
                    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
                    arguments.len() + length(call_id) + length(name) + length(namespace)
                }
                Self::ItemAdded { item, .. } | Self::ItemDone { item, .. } => json(item),
                Self::ItemEvent { fields, .. } => fields.values().map(json).sum(),
                Self::Message { phase } => phase.as_ref().map_or(0, String::len),
                Self::ReasoningBreak
                | Self::CallEnd { .. }
                | Self::ToolSearch { .. }
                | Self::Usage(_)
                | Self::Spent(_)
                | Self::Finish(_) => 0,
            }
    }
}

/// What is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CallKind {
    /// A function: its arguments are JSON.
    #[default]
    Function,
    /// A custom tool: its input is text.
    Custom,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It was done (or called tools).
    Stop,
    /// `max_output_tokens` or the context window.
    Length,
    /// A filter cut it off.
    ContentFilter,
}

/// Token counts, as the Responses API has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub input_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    /// A model server said some of them. Else they are estimates: good for
    /// keeping to a limit, and never shown.
    #[serde(default)]
    pub reported: bool,
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(more.input_tokens),
            cached_tokens: self.cached_tokens.saturating_add(more.cached_tokens),
            output_tokens: self.output_tokens.saturating_add(more.output_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(more.reasoning_tokens),
            reported: self.reported || more.reported,
        }
    }
}
