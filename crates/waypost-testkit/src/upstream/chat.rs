//! The chat completions dialect.
//!
//! In a stream everything but the delta is the same in each chunk, so it is rendered once per
//! answer; a text token costs three copies into the outgoing buffer.

use std::fmt::Write;
use std::sync::Arc;

use bytes::BytesMut;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Beat, Facts};
use super::frame::{Frames, put_json};
use super::kinds::{ReasoningField, ToolStyle, UsageAt};
use super::plan::CallKind;
use super::player::Encoder;
use super::tokens;
use super::unix_now;

const AFTER_DELTA: &str = r#"},"logprobs":null,"finish_reason":null}]}"#;

pub(super) struct Chat {
    facts: Arc<Facts>,
    /// A chunk up to and with `"choices":[`.
    head: String,
    token: String,
}

impl Chat {
    pub(super) fn new(facts: Arc<Facts>) -> Self {
        let model = Value::from(facts.model.as_str());
        let head = format!(
            r#"{{"id":"chatcmpl-scripted{:08x}","object":"chat.completion.chunk","created":{},"model":{model},"system_fingerprint":"fp_scripted","choices":["#,
            facts.serial,
            unix_now(),
        );
        Self {
            facts,
            head,
            token: String::new(),
        }
    }

    /// A chunk whose delta's fields `write` writes.
    fn chunk(&self, out: &mut Frames, write: impl FnOnce(&mut BytesMut)) {
        out.event(None, |out| {
            out.extend_from_slice(self.head.as_bytes());
            out.extend_from_slice(br#"{"index":0,"delta":{"#);
            write(out);
            out.extend_from_slice(AFTER_DELTA.as_bytes());
        });
    }

    fn text(&mut self, position: tokens::Position, tool: Option<Value>, out: &mut Frames) {
        self.token.clear();
        tokens::write_token(&self.facts.script, position.index, &mut self.token);
        // No shape needs JSON escapes.
        let text = &self.token[position.skip..];
        if self.facts.script.logprobs || tool.is_some() {
            let logprobs = self
                .facts
                .script
                .logprobs
                .then(|| json!({"content": [logprob(text)]}));
            let mut delta = json!({"content": text});
            if let Some(tool) = tool {
                delta["tool_calls"] = json!([tool]);
            }
            let choice =
                json!({"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": null});
            self.choice(&choice, None, out);
            return;
        }
        self.chunk(out, |out| {
            out.extend_from_slice(br#""content":""#);
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\"");
        });
    }

    fn choice(&self, choice: &Value, usage: Option<&Value>, out: &mut Frames) {
        out.event(None, |out| {
            out.extend_from_slice(self.head.as_bytes());
            put_json(out, choice);
            out.extend_from_slice(b"]");
            if let Some(usage) = usage {
                out.extend_from_slice(br#","usage":"#);
                put_json(out, usage);
            }
            out.extend_from_slice(b"}");
        });
    }

    fn tool_delta(&self, delta: &Value, out: &mut Frames) {
        self.chunk(out, |out| {
            out.extend_from_slice(br#""tool_calls":["#);
            put_json(out, delta);
            out.extend_from_slice(b"]");
        });
    }

    fn tool_begin(&self, call: usize) -> Value {
        let style = self.facts.script.tool_style;
        let tool = &self.facts.calls[call];
        let (kind, field) = words(tool.kind);
        let mut function = json!({"name": tool.name});
        match style {
            ToolStyle::OneChunk => function[field] = json!(tool.arguments.text),
            ToolStyle::ArgsAtEnd => {}
            _ => function[field] = json!(""),
        }
        let mut delta = self.tool(call);
        if !matches!(style, ToolStyle::LateId | ToolStyle::NoId) {
            delta.insert("id".to_owned(), json!(tool.id));
        }
        delta.insert("type".to_owned(), json!(kind));
        delta.insert(kind.to_owned(), function);
        Value::Object(delta)
    }

    /// A delta with more of the arguments.
    fn more(&self, call: usize, text: &str) -> Map<String, Value> {
        let (kind, field) = words(self.facts.calls[call].kind);
        let mut delta = self.tool(call);
        delta.insert(kind.to_owned(), json!({field: text}));
        delta
    }

    fn tool_piece(&self, call: usize, piece: usize, out: &mut Frames) {
        let style = self.facts.script.tool_style;
        let tool = &self.facts.calls[call];
        let delta = |text: &str| {
            let mut delta = self.more(call, text);
            if style == ToolStyle::LateId && piece == 0 {
                delta.insert("id".to_owned(), json!(tool.id));
            }
            Value::Object(delta)
        };
        if style == ToolStyle::EmptyDeltas {
            self.tool_delta(&delta(""), out);
            self.chunk(out, |_| {});
        }
        self.tool_delta(&delta(tool.arguments.piece(piece)), out);
    }

    fn tool(&self, call: usize) -> Map<String, Value> {
        let mut delta = Map::new();
        if self.facts.script.tool_style != ToolStyle::NoIndex {
            delta.insert("index".to_owned(), json!(call));
        }
        delta
    }

    fn field(&self, name: &str, text: &str, out: &mut Frames) {
        self.chunk(out, |out| {
            let _ = write!(out, "\"{name}\":");
            put_json(out, &text);
        });
    }
}

impl Encoder for Chat {
    fn open(&mut self, out: &mut Frames) {
        self.chunk(out, |out| {
            out.extend_from_slice(br#""role":"assistant","content":"""#);
        });
    }

    fn beat(&mut self, beat: Beat, out: &mut Frames) {
        match beat {
            Beat::Text(position) => self.text(position, None, out),
            Beat::TextAndToolBegin(position) => {
                let tool = self.tool_begin(0);
                self.text(position, Some(tool), out);
            }
            Beat::Reasoning(index) => {
                let name = reasoning_field(self.facts.script.reasoning_field);
                self.field(name, &format!("r{index} "), out);
            }
            Beat::Refusal(word) => self.field("refusal", &self.facts.refusal_words[word], out),
            Beat::Said { text, piece } => {
                self.field("content", self.facts.said[text].piece(piece), out);
            }
            Beat::ToolBegin(call) => self.tool_delta(&self.tool_begin(call), out),
            Beat::ToolPiece { call, piece } => self.tool_piece(call, piece, out),
            Beat::ToolEnd(_) => {}
        }
    }

    fn close(&mut self, out: &mut Frames) {
        let script = &self.facts.script;
        let usage = usage(&self.facts);
        if let Some(reason) = self.facts.finish {
            let mut delta = json!({});
            if script.tool_style == ToolStyle::ArgsAtEnd && !self.facts.calls.is_empty() {
                let whole = |call: usize| self.more(call, &self.facts.calls[call].arguments.text);
                delta["tool_calls"] = (0..self.facts.calls.len()).map(whole).collect();
            }
            let choice =
                json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason});
            let here = script.usage == UsageAt::Finish;
            self.choice(&choice, here.then_some(&usage), out);
        }
        let asked = script.usage == UsageAt::Auto && self.facts.include_usage;
        if asked || script.usage == UsageAt::Last {
            out.event(None, |out| {
                out.extend_from_slice(self.head.as_bytes());
                out.extend_from_slice(br#"],"usage":"#);
                put_json(out, &usage);
                out.extend_from_slice(b"}");
            });
        }
        if !script.no_done {
            out.event(None, |out| out.extend_from_slice(b"[DONE]"));
        }
    }

    fn malformed(&mut self, out: &mut Frames) {
        self.chunk(out, |out| out.extend_from_slice(br#""content": oops""#));
    }

    fn error(&mut self, out: &mut Frames) {
        let mut error = super::error_object(500, "The scripted model failed.");
        error["code"] = json!(self.facts.script.error_code);
        out.json(None, &json!({"error": error}));
    }

    fn keepalive(&mut self, _: &mut Frames) {}
}

/// The same answer as one JSON document.
pub(super) fn plain(answer: Answer, facts: &Facts) -> Value {
    let mut text = match &facts.continued {
        Some(prefix) if facts.script.repeat_prefix_in_plain => prefix.clone(),
        _ => String::new(),
    };
    let mut token = String::new();
    let mut reasoning = String::new();
    let mut logprobs = Vec::new();
    for beat in answer {
        match beat {
            Beat::Text(position) | Beat::TextAndToolBegin(position) => {
                token.clear();
                tokens::write_token(&facts.script, position.index, &mut token);
                text.push_str(&token[position.skip..]);
                if facts.script.logprobs {
                    logprobs.push(logprob(&token[position.skip..]));
                }
            }
            Beat::Reasoning(index) => {
                let _ = write!(reasoning, "r{index} ");
            }
            Beat::Said { text: said, piece } => text.push_str(facts.said[said].piece(piece)),
            _ => {}
        }
    }
    let calls = facts.calls.iter().enumerate().map(|(index, call)| {
        let (kind, field) = words(call.kind);
        let mut object = json!({"index": index, "id": call.id, "type": kind,
            kind: {"name": call.name, field: call.arguments.text}});
        if facts.script.tool_style == ToolStyle::NoId {
            object.as_object_mut().map(|object| object.remove("id"));
        }
        object
    });
    let refusal = (!facts.refusal_words.is_empty()).then(|| facts.refusal_words.concat());
    let content = (!text.is_empty()).then_some(text);
    let mut message = json!({"role": "assistant", "content": content, "refusal": refusal});
    if !facts.calls.is_empty() {
        message["tool_calls"] = calls.collect();
    }
    if !reasoning.is_empty() {
        message[reasoning_field(facts.script.reasoning_field)] = json!(reasoning);
    }
    let logprobs = facts
        .script
        .logprobs
        .then(|| json!({"content": logprobs, "refusal": null}));
    let mut document = json!({
        "id": format!("chatcmpl-scripted{:08x}", facts.serial),
        "object": "chat.completion",
        "created": unix_now(),
        "model": facts.model,
        "system_fingerprint": "fp_scripted",
        "choices": [{"index": 0, "message": message, "logprobs": logprobs,
            "finish_reason": facts.finish}],
    });
    if facts.script.usage != UsageAt::None {
        document["usage"] = usage(facts);
    }
    document
}

fn usage(facts: &Facts) -> Value {
    let prompt = facts.script.prompt_tokens;
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": facts.completion_tokens,
        "total_tokens": prompt + facts.completion_tokens as u64,
        "prompt_tokens_details": {"cached_tokens": facts.script.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": facts.reasoning_tokens},
    })
}

pub(super) fn logprob(text: &str) -> Value {
    json!({"token": text, "logprob": -0.25, "bytes": text.as_bytes(),
        "top_logprobs": [{"token": text, "logprob": -0.25, "bytes": text.as_bytes()}]})
}

/// A call's type, which is also its field, and the name of its arguments there.
fn words(kind: CallKind) -> (&'static str, &'static str) {
    match kind {
        // Chat has no searches: the request's tools are read from its own forms only.
        CallKind::Function | CallKind::Search => ("function", "arguments"),
        CallKind::Custom => ("custom", "input"),
    }
}

fn reasoning_field(field: ReasoningField) -> &'static str {
    match field {
        ReasoningField::ReasoningContent => "reasoning_content",
        ReasoningField::Reasoning => "reasoning",
    }
}
