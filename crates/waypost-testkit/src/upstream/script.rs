//! What the scripted model server does with one model name.
//!
//! A script is a flat set of fields with defaults, written as JSON (`POST /__script`), as a Rust
//! struct, or as a query string inside a model name: `scripted?tokens=200&delay_ms=5`. Flags take
//! `1`, `0`, `true`, `false`. Unknown fields are refused: a misspelt fault would be a test that
//! cannot fail.
//!
//! Beside the numbered tokens an answer may be written out: `say=TEXT`, `call=NAME:ARGUMENTS` and
//! `custom=NAME:INPUT`, as often as wanted and in this order, `+` and `%XX` decoded; `say64`,
//! `call64` and `custom64` take unpadded base64url after the name. `NAMESPACE/NAME` names a
//! namespace's tool (responses dialect). They are cut like `tool_args`: into `tool_fragments`
//! pieces, or by `cut_at`, `cut_bytes`, `cut_seed`.
//!
//! `then` begins the script of the next request, so `call=f:oops&then&call=f:{}` answers the first
//! request with bad arguments and all others with good ones. Each part stands for itself; nothing
//! is inherited. Requests are counted per model name: `key=` makes one that is a test's own, and
//! `GET /__requests?key=` lists what came for it and how far the answers got.
//!
//! `generate=calls` acts like an engine with constrained decoding: the arguments of calls, and the
//! text under a `response_format` (or its relatives of vLLM, SGLang, llama.cpp, Ollama, TGI), are
//! minimal valid instances of the request's schemas; `tool_choice` and `parallel_tool_calls` are
//! honoured. `ignores`, `break` and `refuse_*` make it a worse one. A `call` or `custom` step says
//! what is sent when that tool is called. Grammars other than regular expressions are not generated
//! from: there the script's `custom`s and `say`s are needed.
//!
//! Counts named `*_after` count deltas of one call: reasoning, text and refusal tokens, and tool
//! call fragments, in the order they are sent.

use serde::{Deserialize, Serialize};

use super::kinds::{
    Break, BreakWhen, Finish, Generate, Ignored, ReasoningField, RefuseStyle, Shape, ToolStyle,
    ToolText, UsageAt,
};
use super::notation::{flag, list, optional_text, text};
use super::steps::Step;

/// Tokens of an answer whose script says nothing about its content.
const DEFAULT_TOKENS: usize = 8;
/// Deltas per write when there is no delay between writes.
const DEFAULT_COALESCE: usize = 64;
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of a flat script"
)]
pub struct Script {
    /// Makes the model name a test's own; `GET /__requests?key=` finds its requests.
    #[serde(deserialize_with = "text")]
    pub key: String,

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

    /// Parallel tool calls. With `generate`, at least one where there are tools to call.
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

    /// Texts and calls in their order: `say`, `call`, `custom` of the query notation.
    pub steps: Vec<Step>,
    /// Cut every argument and said text after so many bytes, comma-separated, ascending.
    #[serde(deserialize_with = "list")]
    pub cut_at: Vec<usize>,
    /// Cut them into pieces of so many bytes.
    pub cut_bytes: Option<usize>,
    /// Cut them into pieces of 1 to 12 bytes, by chance that this number seeds.
    pub cut_seed: Option<u64>,
    /// The scripts of the second and all further requests; the last one stays.
    pub then: Vec<Script>,

    pub generate: Generate,
    /// Branch of the first `anyOf` or `oneOf` met in a schema; any later one takes its first.
    pub branch: usize,
    /// Optional properties too.
    #[serde(deserialize_with = "flag")]
    pub optional: bool,
    /// With line breaks and indentation.
    #[serde(deserialize_with = "flag")]
    pub pretty: bool,
    #[serde(deserialize_with = "list")]
    pub ignores: Vec<Ignored>,
    /// What is wrong with what is generated. A `break` that finds nothing to break is a 400.
    #[serde(rename = "break", deserialize_with = "list")]
    pub breaks: Vec<Break>,
    pub break_when: BreakWhen,
    /// 400 if a schema of the request has one of these keywords.
    #[serde(deserialize_with = "list")]
    pub refuse_keywords: Vec<String>,
    /// 400 if the request has one of these fields.
    #[serde(deserialize_with = "list")]
    pub refuse_fields: Vec<String>,
    pub refuse_style: RefuseStyle,
    /// What `/api/show` says that this model can do, and `/props?model=` of its template.
    #[serde(deserialize_with = "list")]
    pub capabilities: Vec<String>,

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
    /// That object's `code` (chat dialect).
    pub error_code: Option<u16>,

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

    /// Answer with these bytes, whatever was asked for: `status` or 200, as `content_type`.
    #[serde(deserialize_with = "optional_text")]
    pub body: Option<String>,
    /// Of `body`. Default `application/json`.
    #[serde(deserialize_with = "optional_text")]
    pub content_type: Option<String>,
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
            key: String::new(),
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
            steps: Vec::new(),
            cut_at: Vec::new(),
            cut_bytes: None,
            cut_seed: None,
            then: Vec::new(),
            generate: Generate::Off,
            branch: 0,
            optional: false,
            pretty: false,
            ignores: Vec::new(),
            breaks: Vec::new(),
            break_when: BreakWhen::Always,
            refuse_keywords: Vec::new(),
            refuse_fields: Vec::new(),
            refuse_style: RefuseStyle::OpenAi,
            capabilities: Vec::new(),
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
            error_code: None,
            split_utf8: false,
            write_bytes: None,
            crlf: false,
            comments: 0,
            multiline: false,
            tight: false,
            no_done: false,
            with_done: false,
            keepalive: 0,
            body: None,
            content_type: None,
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

impl Script {
    pub(super) fn text_tokens(&self, has_more: bool) -> usize {
        let nothing_else = self.refusal.is_none() && !has_more;
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

    /// The names in `tool_names`.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tool_names.split(',').filter(|name| !name.is_empty())
    }

    pub(super) fn ignores(&self, part: Ignored) -> bool {
        self.ignores.contains(&part)
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
