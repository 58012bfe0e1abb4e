//! Chat Completions chunks as deltas. Pure: data lines go in.
//!
//! Servers differ in a dozen small ways; each way met in the field is a test
//! below. Two rules must not bend: a stream is finished only when the server
//! gave a finish reason, and a field of an odd type costs nothing but itself.

use serde::Deserialize;
use serde_json::Value;

use super::calls::{Calls, Piece};
use crate::{
    model::{CallKind, Delta, Finish},
    upstream::{
        error::UpstreamError,
        lenient::{self, Halves, number_of},
        logprobs, tokens,
    },
};

/// Reads one answer, streamed or whole.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each can be without the others"
)]
pub struct ChatDecoder {
    wants_logprobs: bool,
    finished: bool,
    done: bool,
    /// Something was said in deltas.
    said: bool,
    calls: Calls,
    halves: Halves<Text>,
}

/// The texts of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Content,
    Reasoning,
    Refusal,
    Call { key: u64, kind: CallKind },
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default, deserialize_with = "lenient::list")]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Value,
    #[serde(default)]
    error: Value,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, deserialize_with = "lenient::number")]
    index: Option<u64>,
    #[serde(default, deserialize_with = "lenient::object")]
    delta: Option<Message>,
    /// Of an answer that is not streamed; some servers send it in a chunk.
    #[serde(default, deserialize_with = "lenient::object")]
    message: Option<Message>,
    #[serde(default, deserialize_with = "lenient::text")]
    finish_reason: Option<String>,
    #[serde(default, deserialize_with = "lenient::object")]
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize, Default)]
struct Message {
    #[serde(default)]
    content: Value,
    #[serde(default)]
    reasoning_content: Value,
    #[serde(default)]
    reasoning: Value,
    #[serde(default, deserialize_with = "lenient::text")]
    refusal: Option<String>,
    #[serde(default)]
    annotations: Value,
    #[serde(default, deserialize_with = "lenient::list")]
    tool_calls: Vec<CallPiece>,
    /// What calls were before there were several.
    #[serde(default, deserialize_with = "lenient::object")]
    function_call: Option<FunctionPiece>,
}

#[derive(Deserialize)]
struct CallPiece {
    #[serde(default, deserialize_with = "lenient::number")]
    index: Option<u64>,
    #[serde(default, deserialize_with = "lenient::text")]
    id: Option<String>,
    #[serde(default, deserialize_with = "lenient::object")]
    function: Option<FunctionPiece>,
    #[serde(default, deserialize_with = "lenient::object")]
    custom: Option<CustomPiece>,
}

#[derive(Deserialize)]
struct CustomPiece {
    #[serde(default, deserialize_with = "lenient::text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    input: Option<String>,
}

#[derive(Deserialize)]
struct FunctionPiece {
    #[serde(default, deserialize_with = "lenient::text")]
    name: Option<String>,
    #[serde(default)]
    arguments: Value,
}

#[derive(Deserialize)]
struct Logprobs {
    #[serde(default)]
    content: Value,
}

impl ChatDecoder {
    /// Some servers send log probabilities to everyone.
    pub fn new(wants_logprobs: bool) -> Self {
        Self {
            wants_logprobs,
            ..Self::default()
        }
    }

    /// Reads one `data:` payload and appends what it says.
    pub fn data(&mut self, data: &str, out: &mut Vec<Delta>) -> Result<(), UpstreamError> {
        let data = data.trim();
        if data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        if data.is_empty() {
            return Ok(());
        }
        self.read(data, out).map(drop)
    }

    /// Reads an answer that came whole, where a stream was asked for.
    pub fn whole(&mut self, body: &str, out: &mut Vec<Delta>) -> Result<(), UpstreamError> {
        if !self.read(body, out)? {
            return Err(UpstreamError::Malformed(
                "an answer without a choice".into(),
            ));
        }
        // It came to its end, whether or not it says why.
        self.finish(Finish::Stop, out);
        self.done = true;
        Ok(())
    }

    /// Whether the answer is whole: nothing more need be read.
    pub fn is_done(&self) -> bool {
        self.done && self.finished
    }

    /// The stream ended. An end without a finish reason is a broken answer,
    /// never a complete one.
    pub fn end(&self) -> Result<(), UpstreamError> {
        if self.finished {
            return Ok(());
        }
        Err(UpstreamError::Broken(
            if self.done {
                "[DONE] without a finish reason"
            } else {
                "end without a finish reason"
            }
            .into(),
        ))
    }

    /// Reads a chunk; whether there was a choice in it.
    fn read(&mut self, json: &str, out: &mut Vec<Delta>) -> Result<bool, UpstreamError> {
        let read = lenient::read::<Chunk>(json)
            .map_err(|error| UpstreamError::Malformed(error.to_string()))?;
        let Some(chunk) = read.value else {
            return Ok(false);
        };
        if let Some(error) = UpstreamError::told(&chunk.error) {
            return Err(error);
        }
        let mut has_choice = false;
        for choice in chunk.choices {
            // We never ask for more than one choice.
            if choice.index.unwrap_or(0) == 0 {
                has_choice = true;
                self.choice(choice, read.halved, out)?;
            }
        }
        out.extend(tokens::of_chat(&chunk.usage).map(Delta::Usage));
        Ok(has_choice)
    }

    fn choice(
        &mut self,
        choice: Choice,
        halved: bool,
        out: &mut Vec<Delta>,
    ) -> Result<(), UpstreamError> {
        // Some servers repeat the whole message at the end of its deltas.
        let message = choice.message.filter(|_| !self.said);
        let message = choice.delta.or(message).unwrap_or_default();
        // Some send the same reasoning under both names.
        let mut reasoning = Vec::new();
        words(message.reasoning_content, Text::Reasoning, &mut reasoning);
        if reasoning.is_empty() {
            words(message.reasoning, Text::Reasoning, &mut reasoning);
        }
        for (_, piece) in reasoning {
            self.say(Text::Reasoning, piece, halved, Vec::new(), out);
        }
        let logprobs = choice.logprobs.filter(|_| self.wants_logprobs);
        let mut logprobs = logprobs::complete(logprobs.map(|l| l.content).unwrap_or_default());
        let mut content = Vec::new();
        words(message.content, Text::Content, &mut content);
        if content.is_empty() && !logprobs.is_empty() {
            content.push((Text::Content, String::new()));
        }
        for (text, piece) in content {
            let logprobs = match text {
                Text::Content => std::mem::take(&mut logprobs),
                _ => Vec::new(),
            };
            self.say(text, piece, halved, logprobs, out);
        }
        if let Some(piece) = message.refusal {
            self.say(Text::Refusal, piece, halved, Vec::new(), out);
        }
        annotations(&message.annotations, out);
        let legacy = message.function_call.map(|function| CallPiece {
            index: Some(0),
            id: None,
            function: Some(function),
            custom: None,
        });
        let legacy = legacy.filter(|_| message.tool_calls.is_empty());
        for piece in message.tool_calls.into_iter().chain(legacy) {
            self.call_piece(piece, halved, out)?;
        }
        match choice.finish_reason.as_deref() {
            // A word for null, at some servers.
            None | Some("" | "null" | "None") => {}
            Some("length" | "max_tokens" | "model_length") => self.finish(Finish::Length, out),
            Some("content_filter") => self.finish(Finish::ContentFilter, out),
            Some(reason @ ("error" | "abort" | "aborted" | "cancelled")) => {
                return Err(UpstreamError::Broken(format!("finish reason '{reason}'")));
            }
            Some(_) => self.finish(Finish::Stop, out),
        }
        Ok(())
    }

    fn finish(&mut self, finish: Finish, out: &mut Vec<Delta>) {
        if self.finished {
            return;
        }
        self.end_halves(|_| true, out);
        self.finished = true;
        out.push(Delta::Finish(finish));
    }

    /// The next piece of a text other than a call's.
    fn say(
        &mut self,
        text: Text,
        piece: String,
        halved: bool,
        logprobs: Vec<Value>,
        out: &mut Vec<Delta>,
    ) {
        if piece.is_empty() && logprobs.is_empty() {
            return;
        }
        self.said = true;
        self.end_halves(
            |open| open != text && !matches!(open, Text::Call { .. }),
            out,
        );
        let piece = self.halves.join(text, piece, halved);
        if piece.is_empty() && logprobs.is_empty() {
            return;
        }
        out.push(match text {
            Text::Content => Delta::Text {
                text: piece,
                logprobs,
            },
            Text::Refusal => Delta::Refusal(piece),
            Text::Reasoning | Text::Call { .. } => Delta::Reasoning(piece),
        });
    }

    fn call_piece(
        &mut self,
        piece: CallPiece,
        halved: bool,
        out: &mut Vec<Delta>,
    ) -> Result<(), UpstreamError> {
        let id = piece.id.filter(|id| !id.is_empty());
        let mut kind = CallKind::Function;
        let (name, arguments) = match (piece.function, piece.custom) {
            (_, Some(custom)) => {
                kind = CallKind::Custom;
                (custom.name, Value::String(custom.input.unwrap_or_default()))
            }
            (Some(function), None) => (function.name, function.arguments),
            (None, None) => (None, Value::Null),
        };
        let name = name.filter(|name| !name.is_empty());
        // Arguments should be a string; some servers send the object itself.
        let arguments = match arguments {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        };
        if id.is_none() && name.is_none() && arguments.is_empty() {
            // It says nothing, and must not begin a call without a name.
            return Ok(());
        }
        let place = self.calls.place(&Piece {
            index: piece.index,
            id: id.as_deref(),
            name: name.as_deref(),
            arguments: &arguments,
            kind,
        })?;
        self.said = true;
        if place.repeats {
            return Ok(());
        }
        self.end_halves(|open| !matches!(open, Text::Call { .. }), out);
        let (key, kind) = (place.key, place.kind);
        let arguments = self
            .halves
            .join(Text::Call { key, kind }, arguments, halved);
        out.push(Delta::ToolCall {
            key,
            kind,
            call_id: id,
            name,
            namespace: None,
            arguments,
        });
        Ok(())
    }

    /// Ends texts whose last character has no second half.
    fn end_halves(&mut self, ends: impl Fn(Text) -> bool, out: &mut Vec<Delta>) {
        for text in self.halves.open() {
            if ends(text) && self.halves.end(text) {
                let alone = char::REPLACEMENT_CHARACTER.to_string();
                out.push(match text {
                    Text::Content => Delta::Text {
                        text: alone,
                        logprobs: Vec::new(),
                    },
                    Text::Reasoning => Delta::Reasoning(alone),
                    Text::Refusal => Delta::Refusal(alone),
                    Text::Call { key, kind } => Delta::ToolCall {
                        key,
                        kind,
                        call_id: None,
                        name: None,
                        namespace: None,
                        arguments: alone,
                    },
                });
            }
        }
    }
}

/// The words of a field: a text, or parts. Thinking that stands among the parts
/// of an answer (Mistral's Magistral) is reasoning.
fn words(field: Value, kind: Text, out: &mut Vec<(Text, String)>) {
    match field {
        Value::String(text) if !text.is_empty() => out.push((kind, text)),
        Value::Number(_) | Value::Bool(_) => out.push((kind, field.to_string())),
        Value::Array(parts) => {
            for part in parts {
                words(part, kind, out);
            }
        }
        Value::Object(mut part) => {
            let is_thought = part
                .get("type")
                .and_then(Value::as_str)
                .is_some_and(|kind| kind.starts_with("thinking") || kind.starts_with("reasoning"));
            let kind = if is_thought { Text::Reasoning } else { kind };
            for name in ["text", "thinking", "reasoning", "content", "refusal"] {
                if let Some(inner @ (Value::String(_) | Value::Array(_))) = part.shift_remove(name)
                {
                    words(inner, kind, out);
                    return;
                }
            }
        }
        Value::String(_) | Value::Null => {}
    }
}

/// Sources that the text names, as the Responses API writes them. What has no
/// address is none.
fn annotations(field: &Value, out: &mut Vec<Delta>) {
    for annotation in field.as_array().into_iter().flatten() {
        let inner = match &annotation["url_citation"] {
            inner @ Value::Object(_) => inner,
            _ if annotation["type"] == "url_citation" => annotation,
            _ => continue,
        };
        let Some(url) = inner["url"].as_str().filter(|url| !url.is_empty()) else {
            continue;
        };
        let at = |key: &str| number_of(&inner[key]).unwrap_or_default();
        out.push(Delta::Annotation(serde_json::json!({
            "type": "url_citation",
            "start_index": at("start_index"),
            "end_index": at("end_index"),
            "url": url,
            "title": inner["title"].as_str().unwrap_or_default(),
        })));
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
