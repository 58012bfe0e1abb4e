//! What is asked of a model server and what it says back, free of any dialect.
//!
//! A [`Generation`] is everything that a run needs; it is also what a job
//! stores, so that a run after a crash asks for the same thing. An adapter
//! turns it into its own request and the answer into [`Delta`]s.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strict_schema::Restore;

use crate::tools::mcp::{McpAccess, approval::Approved};

/// One request to a model, with its whole context.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Generation {
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Responses API items: earlier turns, then this request's input.
    pub items: Vec<Value>,
    /// Tools as the response echoes them: resolved, with `strict` said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// How finished arguments become what the client's own schema says, for
    /// tools whose schema was rewritten so that they differ. By `name`, or
    /// `namespace.name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restores: BTreeMap<String, Restore>,
    /// The client's own schemas of tools for which it left `strict` out, where
    /// they say less than the resolved ones. By the same names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own_schemas: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// `Some` when log probabilities are wanted: how many alternatives each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// `text` as the Responses API writes it: `format`, `verbosity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Value>,
    /// `reasoning` as the Responses API writes it: `effort`, `summary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Value>,
    /// Passed to upstreams that know them: `prompt_cache_key`,
    /// `prompt_cache_options`, `safety_identifier`, `user`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub hints: serde_json::Map<String, Value>,
    /// Calls of this server's own tools that one response may make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tool_calls: Option<u64>,
    /// Calls that a person has just allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<Approved>,
    /// The response that this is for, and its project.
    #[serde(default)]
    pub response_id: String,
    #[serde(default)]
    pub project_id: String,
    /// How to reach its MCP servers: never stored like this.
    #[serde(skip)]
    pub mcp: McpAccess,
    /// The same, sealed, in a stored job only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp_sealed: Option<String>,
    /// Fields of a Chat Completions request that nothing above stands for
    /// (`stop`, `seed`, a server's own). Chat servers get them as they came.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, Value>,
    /// The client asked for `reasoning.encrypted_content`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypted_reasoning: bool,
}

impl Generation {
    /// Takes what was written already off the limit. Model servers refuse a
    /// limit of nothing.
    pub fn spend(&mut self, output_tokens: u64) {
        if let Some(max) = &mut self.max_output_tokens {
            *max = max.saturating_sub(output_tokens).max(1);
        }
    }
}

/// What one request to a model server says: a generation, and where the server
/// has to be told something else, that. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    pub generation: Arc<Generation>,
    /// In place of what the generation says. Without it no tools are sent.
    pub adapted: Option<Arc<Adapted>>,
    /// Items after all others.
    pub appended: Vec<Value>,
}

/// A generation's tools and what depends on them, in one server's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Adapted {
    /// Goes after the instructions.
    pub preamble: Option<String>,
    /// `None`: the generation's own items.
    pub items: Option<Vec<Value>>,
    /// As the Responses API writes tools, down-levelled, with flat names.
    pub tools: Vec<Value>,
    pub tool_choice: Option<Value>,
    pub parallel_tool_calls: Option<bool>,
    /// `None`: the generation's own `text`.
    pub text: Option<Value>,
    /// For an answer that is asked for again, without tools, of a server that
    /// takes no format beside them.
    pub answer: Option<Answer>,
}

/// What a server is told of an answer's form where there are no tools.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub preamble: Option<String>,
    pub text: Value,
}

impl ModelRequest {
    /// The generation as it is, without its tools.
    pub fn plain(generation: &Arc<Generation>) -> Self {
        Self {
            generation: generation.clone(),
            adapted: None,
            appended: Vec::new(),
        }
    }

    /// What the model is told before everything else.
    pub fn instructions(&self) -> Option<String> {
        match (self.preamble(), self.generation.instructions.as_deref()) {
            (Some(preamble), Some(own)) => Some(format!("{own}\n\n{preamble}")),
            (one, other) => one.or(other).map(str::to_owned),
        }
    }

    /// What of that is not the client's own.
    pub fn preamble(&self) -> Option<&str> {
        self.adapted.as_ref()?.preamble.as_deref()
    }

    /// The context, in order.
    pub fn items(&self) -> impl Iterator<Item = &Value> {
        let own = &self.generation.items;
        let items = self
            .adapted
            .as_ref()
            .and_then(|adapted| adapted.items.as_ref());
        items.unwrap_or(own).iter().chain(&self.appended)
    }

    /// The tools to send.
    pub fn tools(&self) -> &[Value] {
        self.adapted.as_ref().map_or(&[], |adapted| &adapted.tools)
    }

    /// How they may be used.
    pub fn tool_choice(&self) -> Option<&Value> {
        self.adapted.as_ref()?.tool_choice.as_ref()
    }

    /// Whether several calls are allowed in one answer.
    pub fn parallel_tool_calls(&self) -> Option<bool> {
        self.adapted.as_ref()?.parallel_tool_calls
    }

    /// `text` as the Responses API writes it.
    pub fn text(&self) -> Option<&Value> {
        let own = self.generation.text.as_ref();
        let text = self
            .adapted
            .as_ref()
            .and_then(|adapted| adapted.text.as_ref());
        text.or(own)
    }
}

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

/// Text of an answer that an earlier attempt delivered and this one continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// All of the open message's text so far. It may end inside a word.
    pub text: String,
    /// How many deltas it came in: about as many tokens.
    pub tokens: u64,
}
