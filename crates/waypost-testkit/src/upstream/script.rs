//! What the scripted model server does with one model name.
//!
//! A script is a flat set of fields with defaults, written as JSON (`POST /__script`), as a Rust
//! struct, or as a query string inside a model name: `scripted?tokens=200&delay_ms=5`. Flags take
//! `1`, `0`, `true`, `false`. Unknown fields are refused: a misspelt fault would be a test that
//! cannot fail.
//!
//! Counts named `*_after` count deltas of one call: reasoning, text and refusal tokens, and tool
//! call fragments, in the order they are sent.

use serde::{Deserialize, Serialize};

use super::notation::{flag, optional_text, text};

/// Tokens of an answer whose script says nothing about its content.
const DEFAULT_TOKENS: usize = 8;
/// Deltas per write when there is no delay between writes.
const DEFAULT_COALESCE: usize = 64;
/// Upper bounds, so that a typing error cannot eat the machine.
const MAX_TOKENS: usize = 10_000_000;
const MAX_TOKEN_BYTES: usize = 1 << 20;
const MAX_TOOLS: usize = 128;
const MAX_FRAGMENTS: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of a flat script"
)]
pub struct Script {
    /// Text tokens of the full answer. Default 8; 0 when the script refuses or calls tools.
    pub tokens: Option<usize>,
    pub shape: Shape,
    /// Bytes of each token with `shape=filler`, at least 10.
    pub token_bytes: usize,

    /// Wait before the response headers.
    pub slow_headers_ms: u64,
    /// Wait between the headers and the first byte of the body.
    pub first_delay_ms: u64,
    /// Wait between writes.
    pub delay_ms: u64,
    /// Deltas per write. Default 1 with a delay, 64 without.
    pub coalesce: Option<usize>,

    /// Reasoning tokens (`r0 r1 …`) before the answer.
    pub reasoning_tokens: usize,
    pub reasoning_field: ReasoningField,
    /// Refuse with this text, one word a delta.
    #[serde(deserialize_with = "optional_text")]
    pub refusal: Option<String>,
    /// Send logprobs with every text token (chat dialect, and `logprobs` of the responses one).
    #[serde(deserialize_with = "flag")]
    pub logprobs: bool,

    /// Parallel tool calls.
    pub tools: usize,
    /// Names of the tool calls, comma-separated, used in turn. Default: the request's function
    /// tools, else `get_weather`.
    #[serde(deserialize_with = "text")]
    pub tool_names: String,
    /// Arguments of every tool call, sent as they are.
    #[serde(deserialize_with = "text")]
    pub tool_args: String,
    /// Fragments that the arguments are cut into.
    pub tool_fragments: usize,
    pub tool_style: ToolStyle,
    pub tool_text: ToolText,
    /// Send the fragments of parallel calls in turn instead of call after call.
    #[serde(deserialize_with = "flag")]
    pub tool_interleave: bool,
    /// Rounds of tool calls since the last user message before the model answers with text.
    pub tool_rounds: usize,
    /// Responses dialect: no `function_call_arguments.delta`, only `.done`.
    #[serde(deserialize_with = "flag")]
    pub args_only_in_done: bool,

    pub finish_reason: Finish,
    pub usage: UsageAt,
    pub prompt_tokens: u64,
    pub cached_tokens: u64,

    /// Send nothing for `stall_ms` after so many deltas; for ever when `stall_ms` is 0.
    pub stall_after: Option<usize>,
    pub stall_ms: u64,
    /// TCP RST after so many deltas. A plain answer is reset before its headers.
    pub reset_after: Option<usize>,
    /// End the body properly after so many deltas, with no finish reason and no `[DONE]`. A plain
    /// answer is cut in half, with a matching `Content-Length`.
    pub eof_after: Option<usize>,
    /// Close the connection in the middle of the chunked body (FIN, no last chunk). A plain
    /// answer ends before its `Content-Length`.
    pub cut_after: Option<usize>,
    /// Send one chunk that is not JSON after so many deltas, then go on. A plain answer is not
    /// JSON.
    pub malformed_after: Option<usize>,
    /// Send an error object as a chunk (`error` event in the responses dialect) after so many
    /// deltas, then end. A plain answer is a 500.
    pub error_after: Option<usize>,

    /// Cut every write inside its first multi-byte character.
    #[serde(deserialize_with = "flag")]
    pub split_utf8: bool,
    /// Cut every write into pieces of so many bytes, each its own TCP segment.
    pub write_bytes: Option<usize>,
    /// CRLF line endings.
    #[serde(deserialize_with = "flag")]
    pub crlf: bool,
    /// A comment line before every so many events; 0 for none.
    pub comments: usize,
    /// Spread each JSON over several `data:` lines.
    #[serde(deserialize_with = "flag")]
    pub multiline: bool,
    /// No space after `data:`.
    #[serde(deserialize_with = "flag")]
    pub tight: bool,
    /// No `[DONE]` (chat). The responses dialect has none unless `with_done`.
    #[serde(deserialize_with = "flag")]
    pub no_done: bool,
    /// `[DONE]` at the end of a responses stream, as Open Responses wants it.
    #[serde(deserialize_with = "flag")]
    pub with_done: bool,
    /// Responses dialect: a typed `keepalive` event, which consumes a sequence number, after
    /// every so many deltas; 0 for none.
    pub keepalive: usize,

    /// Answer with this status and an error body.
    pub status: Option<u16>,
    /// `Retry-After` of that error, in seconds.
    pub retry_after: Option<u64>,
    /// The error body is HTML, as a proxy in between would send it. Status 502 unless set.
    #[serde(deserialize_with = "flag")]
    pub html_body: bool,
    /// The script's faults (`status`, `*_after`) strike only the first so many calls of this
    /// model name. With no fault in the script those calls are 503.
    pub fail_first: u64,

    /// Start over although the last message is the assistant's.
    #[serde(deserialize_with = "flag")]
    pub ignore_prefill: bool,
    /// Continue only when the request says `continue_final_message: true` and
    /// `add_generation_prompt: false`, as vLLM does; else start over.
    #[serde(deserialize_with = "flag")]
    pub vllm_prefill: bool,
    /// 400 when the last message is the assistant's.
    #[serde(deserialize_with = "flag")]
    pub reject_prefill: bool,
    /// Repeat the prefix in a plain answer, as llama.cpp does.
    #[serde(deserialize_with = "flag")]
    pub repeat_prefix_in_plain: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            tokens: None,
            shape: Shape::Numbers,
            token_bytes: 1024,
            slow_headers_ms: 0,
            first_delay_ms: 0,
            delay_ms: 0,
            coalesce: None,
            reasoning_tokens: 0,
            reasoning_field: ReasoningField::ReasoningContent,
            refusal: None,
            logprobs: false,
            tools: 0,
            tool_names: String::new(),
            tool_args: r#"{"city":"Paris","days":3}"#.to_owned(),
            tool_fragments: 4,
            tool_style: ToolStyle::Fragments,
            tool_text: ToolText::Before,
            tool_interleave: false,
            tool_rounds: 1,
            args_only_in_done: false,
            finish_reason: Finish::Auto,
            usage: UsageAt::Auto,
            prompt_tokens: 11,
            cached_tokens: 0,
            stall_after: None,
            stall_ms: 0,
            reset_after: None,
            eof_after: None,
            cut_after: None,
            malformed_after: None,
            error_after: None,
            split_utf8: false,
            write_bytes: None,
            crlf: false,
            comments: 0,
            multiline: false,
            tight: false,
            no_done: false,
            with_done: false,
            keepalive: 0,
            status: None,
            retry_after: None,
            html_body: false,
            fail_first: 0,
            ignore_prefill: false,
            vllm_prefill: false,
            reject_prefill: false,
            repeat_prefix_in_plain: false,
        }
    }
}

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

impl Script {
    pub(super) fn check(&self) -> Result<(), String> {
        let bounded = [
            ("tokens", self.tokens.unwrap_or(0), MAX_TOKENS),
            ("reasoning_tokens", self.reasoning_tokens, MAX_TOKENS),
            ("token_bytes", self.token_bytes, MAX_TOKEN_BYTES),
            ("tools", self.tools, MAX_TOOLS),
            ("tool_fragments", self.tool_fragments, MAX_FRAGMENTS),
        ];
        for (name, value, limit) in bounded {
            if value > limit {
                return Err(format!(
                    "bad script: `{name}` is {value}, the limit is {limit}"
                ));
            }
        }
        let positive = [
            ("token_bytes (at least 10)", self.token_bytes >= 10),
            ("tool_fragments", self.tool_fragments > 0),
            ("coalesce", self.coalesce != Some(0)),
            ("write_bytes", self.write_bytes != Some(0)),
        ];
        for (name, holds) in positive {
            if !holds {
                return Err(format!("bad script: `{name}` is too small"));
            }
        }
        if self
            .status
            .is_some_and(|status| !(200..=599).contains(&status))
        {
            return Err("bad script: `status` is not between 200 and 599".to_owned());
        }
        Ok(())
    }

    pub(super) fn text_tokens(&self, calls_tools: bool) -> usize {
        let nothing_else = self.refusal.is_none() && !calls_tools;
        self.tokens
            .unwrap_or(if nothing_else { DEFAULT_TOKENS } else { 0 })
    }

    pub(super) fn deltas_per_write(&self) -> usize {
        self.coalesce.unwrap_or(if self.delay_ms == 0 {
            DEFAULT_COALESCE
        } else {
            1
        })
    }

    fn has_fault(&self) -> bool {
        self.status.is_some()
            || self.html_body
            || self.stall_after.is_some()
            || self.reset_after.is_some()
            || self.eof_after.is_some()
            || self.cut_after.is_some()
            || self.malformed_after.is_some()
            || self.error_after.is_some()
    }

    /// The script of the calls that `fail_first` spares, and of those that it strikes.
    pub(super) fn split_failures(self) -> (Self, Self) {
        if self.fail_first == 0 {
            return (self.clone(), self);
        }
        let sound = Self {
            status: None,
            retry_after: None,
            html_body: false,
            stall_after: None,
            reset_after: None,
            eof_after: None,
            cut_after: None,
            malformed_after: None,
            error_after: None,
            ..self.clone()
        };
        let mut failing = self;
        if !failing.has_fault() {
            failing.status = Some(503);
        }
        (sound, failing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fail_first_splits_off_the_faults() {
        let (sound, failing) = Script::from_query("reset_after=3&fail_first=1")
            .unwrap()
            .split_failures();
        assert_eq!((sound.reset_after, failing.reset_after), (None, Some(3)));
        let (sound, failing) = Script::from_query("fail_first=1").unwrap().split_failures();
        assert_eq!((sound.status, failing.status), (None, Some(503)));
    }
}
