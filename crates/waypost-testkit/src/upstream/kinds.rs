//! The words that a script's fields take.

use serde::{Deserialize, Serialize};

/// The text of token `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// `i` and a space.
    Numbers,
    /// `i`, then an emoji or CJK character (some of several code points), then a space.
    Emoji,
    /// `i` in eight digits, filled up with `x` to `token_bytes`, the last byte a space.
    Filler,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningField {
    ReasoningContent,
    Reasoning,
}

/// How tool calls come in a chat stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolStyle {
    /// Id and name first, then argument fragments: OpenAI's way.
    Fragments,
    /// Id, name and all arguments in one chunk.
    OneChunk,
    /// The first delta has only the name; the id comes with the second.
    LateId,
    /// No id at all.
    NoId,
    /// No `index` in any delta.
    NoIndex,
    /// Arguments come whole, in the chunk that carries the finish reason.
    ArgsAtEnd,
    /// Empty argument deltas and empty delta objects between the fragments.
    EmptyDeltas,
}

/// Where text goes when there are tool calls too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolText {
    Before,
    After,
    /// The last text token shares its chunk with the first tool call (chat dialect).
    SameChunk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// `length` when `max_tokens` cut the answer, else `tool_calls` or `stop`.
    Auto,
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
    /// No finish reason and no terminal event; `[DONE]` still comes.
    Absent,
}

/// Where a stream reports usage. A plain answer has it unless it is `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageAt {
    /// In a last chunk with empty `choices`, if the request asks with `include_usage`.
    Auto,
    /// In a last chunk with empty `choices`.
    Last,
    /// In the chunk with the finish reason.
    Finish,
    None,
}

/// Whether arguments and structured text are made from the request's schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generate {
    Off,
    /// Calls tools where `tool_choice` leaves it open.
    Calls,
    /// Answers with text, or the asked format, where `tool_choice` leaves it open.
    Text,
}

/// A part of the request that the model server takes no notice of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// The template knows no tools: they never reach the model.
    Tools,
    /// Every choice is read as `auto`.
    ToolChoice,
    ParallelToolCalls,
    /// `response_format` and its relatives.
    Format,
}

/// A known way in which generated JSON is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Break {
    /// A markdown fence around it.
    Fence,
    /// A `<think>` block before it.
    Think,
    /// Sentences before and after it.
    Prose,
    /// No JSON at all.
    NotJson,
    TrailingComma,
    /// The last bracket is missing.
    Unclosed,
    /// Half of it, with the finish reason `length`.
    Truncated,
    SingleQuotes,
    /// `True`, `False`, `None`.
    Python,
    /// Every number is a string.
    StringNumber,
    /// The first string is a number.
    WrongType,
    ExtraKey,
    /// The root's first key is missing.
    MissingKey,
    /// The first enum has a value that it does not list.
    WrongEnum,
    /// The first list is its first item.
    BareItem,
}

/// Which of the generated calls `break` strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakWhen {
    Always,
    /// Those that an engine which constrains strict tools only would leave open: of tools without
    /// `strict: true`, unless `tool_choice` forces a call.
    NotStrict,
}

/// Whose words a refusal of the request's schemas or fields has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefuseStyle {
    #[serde(rename = "openai")]
    OpenAi,
    #[serde(rename = "llama.cpp")]
    LlamaCpp,
    Vllm,
    Sglang,
    Ollama,
}
