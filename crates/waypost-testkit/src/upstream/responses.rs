//! The Responses dialect, as a native upstream speaks it: its own ids and sequence numbers.
//!
//! Items open when their first delta comes and close when another kind of delta does, so the
//! events pair up whatever the order of beats. The items collected on the way are the terminal
//! event's `output`.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Beat, Facts};
use super::chat::logprob;
use super::frame::{Frames, put_json};
use super::kinds::UsageAt;
use super::plan::CallKind;
use super::player::Encoder;
use super::unix_now;
use super::words::{CallWords, Part};
use super::{request::Ask, tokens};

pub(super) struct Responses {
    facts: Arc<Facts>,
    id: String,
    created_at: u64,
    tools: Value,
    sequence: u64,
    items: Vec<Value>,
    /// The reasoning or message item that deltas go to.
    open: Option<Open>,
    /// Output index of each tool call that has begun.
    call_at: Vec<usize>,
}

struct Open {
    part: Part,
    at: usize,
    text: String,
    logprobs: Vec<Value>,
}

impl Responses {
    pub(super) fn new(facts: Arc<Facts>, ask: &Ask) -> Self {
        let tools = ask
            .tools
            .as_ref()
            .and_then(|tools| serde_json::from_str(tools.get()).ok());
        Self {
            id: format!("resp_scripted{:08x}", facts.serial),
            created_at: unix_now(),
            tools: tools.unwrap_or_else(|| json!([])),
            sequence: 0,
            items: Vec::new(),
            open: None,
            call_at: Vec::new(),
            facts,
        }
    }

    fn event(&mut self, name: &'static str, fields: Value, out: &mut Frames) {
        let mut event = json!({"type": name, "sequence_number": self.sequence});
        self.sequence += 1;
        if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
            event.extend(fields);
        }
        out.event(Some(name), |out| put_json(out, &event));
    }

    fn response(&self, status: &str, error: &Value) -> Value {
        let facts = &self.facts;
        let terminal = matches!(status, "completed" | "incomplete");
        let reason = match facts.finish {
            Some("length") => json!({"reason": "max_output_tokens"}),
            Some("content_filter") => json!({"reason": "content_filter"}),
            _ => Value::Null,
        };
        let prompt = facts.script.prompt_tokens;
        let usage = (terminal && facts.script.usage != UsageAt::None).then(|| {
            json!({
                "input_tokens": prompt,
                "input_tokens_details": {"cached_tokens": facts.script.cached_tokens},
                "output_tokens": facts.completion_tokens,
                "output_tokens_details": {"reasoning_tokens": facts.reasoning_tokens},
                "total_tokens": prompt + facts.completion_tokens as u64,
            })
        });
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "completed_at": (status == "completed").then_some(self.created_at),
            "status": status,
            "background": false,
            "error": error,
            "incomplete_details": if status == "incomplete" { reason } else { Value::Null },
            "instructions": null,
            "max_output_tokens": null,
            "model": facts.model,
            "output": self.items,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": {"effort": null, "summary": null},
            "store": false,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": self.tools,
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": usage,
            "metadata": {},
        })
    }

    fn lifecycle(&mut self, name: &'static str, status: &str, error: &Value, out: &mut Frames) {
        let response = self.response(status, error);
        self.event(name, json!({"response": response}), out);
    }

    fn add_item(&mut self, item: Value, out: &mut Frames) -> usize {
        let at = self.items.len();
        let fields = json!({"output_index": at, "item": item});
        self.event("response.output_item.added", fields, out);
        self.items.push(item);
        at
    }

    fn item_id(&self, at: usize) -> Value {
        self.items[at]["id"].clone()
    }

    /// Opens the item that `part` belongs to unless it is open already.
    fn open(&mut self, part: Part, out: &mut Frames) {
        if self.open.as_ref().is_some_and(|open| open.part == part) {
            return;
        }
        self.close_open("completed", out);
        let at = self.items.len();
        let serial = self.facts.serial;
        let item = match part {
            Part::Reasoning => json!({"id": format!("rs_scripted{serial:08x}_{at}"),
                "type": "reasoning", "status": "in_progress", "summary": [], "content": []}),
            Part::Text | Part::Refusal => json!({"id": format!("msg_scripted{serial:08x}_{at}"),
                "type": "message", "status": "in_progress", "role": "assistant", "content": []}),
        };
        let at = self.add_item(item, out);
        self.open = Some(Open {
            part,
            at,
            text: String::new(),
            logprobs: Vec::new(),
        });
        let mut fields = self.place(at);
        fields["part"] = part.value("", &[]);
        self.event("response.content_part.added", fields, out);
    }

    fn place(&self, at: usize) -> Value {
        json!({"item_id": self.item_id(at), "output_index": at, "content_index": 0})
    }

    fn delta(&mut self, part: Part, text: &str, out: &mut Frames) {
        self.open(part, out);
        let Some(open) = &mut self.open else { return };
        open.text.push_str(text);
        let at = open.at;
        let with_logprobs = self.facts.script.logprobs && part == Part::Text;
        if part == Part::Text && !with_logprobs {
            self.text_delta(at, text, out);
            return;
        }
        let logprobs: Vec<Value> = with_logprobs.then(|| logprob(text)).into_iter().collect();
        open.logprobs.extend_from_slice(&logprobs);
        let mut fields = self.place(at);
        fields["delta"] = json!(text);
        if part == Part::Text {
            fields["logprobs"] = json!(logprobs);
        }
        self.event(part.delta_event(), fields, out);
    }

    /// The event of the hot path, written without a JSON tree. No shape of text needs escapes.
    fn text_delta(&mut self, at: usize, text: &str, out: &mut Frames) {
        let sequence = self.sequence;
        self.sequence += 1;
        let id = self.items[at]["id"].as_str().unwrap_or_default();
        out.event(Some("response.output_text.delta"), |out| {
            let written = write!(
                out,
                r#"{{"type":"response.output_text.delta","sequence_number":{sequence},"item_id":"{id}","output_index":{at},"content_index":0,"delta":"{text}","logprobs":[]}}"#
            );
            written.expect("buffers grow");
        });
    }

    fn close_open(&mut self, status: &str, out: &mut Frames) {
        let Some(Open {
            part,
            at,
            text,
            logprobs,
        }) = self.open.take()
        else {
            return;
        };
        let mut fields = self.place(at);
        let (name, field) = part.done_event();
        fields[field] = json!(text);
        if part == Part::Text {
            fields["logprobs"] = json!(logprobs);
        }
        self.event(name, fields, out);
        let value = part.value(&text, &logprobs);
        let mut fields = self.place(at);
        fields["part"] = value.clone();
        self.event("response.content_part.done", fields, out);
        self.items[at]["content"] = json!([value]);
        self.item_done(at, status, out);
    }

    fn item_done(&mut self, at: usize, status: &str, out: &mut Frames) {
        self.items[at]["status"] = json!(status);
        let fields = json!({"output_index": at, "item": self.items[at]});
        self.event("response.output_item.done", fields, out);
    }

    /// A text that may need escapes.
    fn said(&mut self, text: &str, out: &mut Frames) {
        self.open(Part::Text, out);
        let Some(open) = &mut self.open else { return };
        open.text.push_str(text);
        let mut fields = self.place(self.items.len() - 1);
        fields["delta"] = json!(text);
        fields["logprobs"] = json!([]);
        self.event(Part::Text.delta_event(), fields, out);
    }

    fn tool_begin(&mut self, call: usize, out: &mut Frames) {
        self.close_open("completed", out);
        let serial = self.facts.serial;
        let at = self.items.len();
        let tool = &self.facts.calls[call];
        let words = CallWords::of(tool.kind);
        let mut item = json!({"id": format!("{}_scripted{serial:08x}_{at}", words.prefix),
            "type": words.kind, "status": "in_progress", "call_id": tool.id});
        if tool.kind == CallKind::Search {
            item["execution"] = json!("client");
            item[words.field] = json!({});
        } else {
            item["name"] = json!(tool.name);
            item[words.field] = json!("");
        }
        if let Some(namespace) = &tool.namespace {
            item["namespace"] = json!(namespace);
        }
        let at = self.add_item(item, out);
        self.call_at.push(at);
    }

    fn tool_delta(&mut self, call: usize, arguments: &str, out: &mut Frames) {
        let at = self.call_at[call];
        let Some(name) = CallWords::of(self.facts.calls[call].kind).delta else {
            return;
        };
        let fields = json!({"item_id": self.item_id(at), "output_index": at, "delta": arguments});
        self.event(name, fields, out);
    }

    fn tool_end(&mut self, call: usize, out: &mut Frames) {
        let at = self.call_at[call];
        let facts = self.facts.clone();
        let tool = &facts.calls[call];
        let words = CallWords::of(tool.kind);
        let mut fields = json!({"item_id": self.item_id(at), "output_index": at});
        if tool.kind == CallKind::Function {
            fields["name"] = json!(tool.name);
        }
        fields[words.field] = json!(tool.arguments.text);
        if let Some(name) = words.done {
            self.event(name, fields, out);
        }
        self.items[at][words.field] = match tool.kind {
            CallKind::Search => serde_json::from_str(&tool.arguments.text).unwrap_or_default(),
            _ => json!(tool.arguments.text),
        };
        self.item_done(at, "completed", out);
    }
}

impl Encoder for Responses {
    fn open(&mut self, out: &mut Frames) {
        self.lifecycle("response.created", "in_progress", &Value::Null, out);
        self.lifecycle("response.in_progress", "in_progress", &Value::Null, out);
    }

    fn beat(&mut self, beat: Beat, out: &mut Frames) {
        match beat {
            Beat::Reasoning(index) => self.delta(Part::Reasoning, &format!("r{index} "), out),
            Beat::Text(position) => {
                let token = tokens::token(&self.facts.script, position.index);
                self.delta(Part::Text, &token[position.skip..], out);
            }
            Beat::TextAndToolBegin(position) => {
                self.beat(Beat::Text(position), out);
                self.tool_begin(0, out);
            }
            Beat::Refusal(word) => {
                let facts = self.facts.clone();
                self.delta(Part::Refusal, &facts.refusal_words[word], out);
            }
            Beat::Said { text, piece } => {
                let facts = self.facts.clone();
                self.said(facts.said[text].piece(piece), out);
            }
            Beat::ToolBegin(call) => self.tool_begin(call, out),
            Beat::ToolPiece { call, piece } => {
                let facts = self.facts.clone();
                if !facts.script.args_only_in_done {
                    self.tool_delta(call, facts.calls[call].arguments.piece(piece), out);
                }
            }
            Beat::ToolEnd(call) => self.tool_end(call, out),
        }
    }

    fn close(&mut self, out: &mut Frames) {
        let incomplete = matches!(self.facts.finish, Some("length" | "content_filter"));
        let status = if incomplete {
            "incomplete"
        } else {
            "completed"
        };
        self.close_open(status, out);
        if self.facts.finish.is_some() {
            let name = if incomplete {
                "response.incomplete"
            } else {
                "response.completed"
            };
            self.lifecycle(name, status, &Value::Null, out);
        }
        if self.facts.script.with_done {
            out.event(None, |out| out.extend_from_slice(b"[DONE]"));
        }
    }

    fn malformed(&mut self, out: &mut Frames) {
        let text = format!(
            r#"{{"type":"response.output_text.delta","sequence_number":{},"delta": oops"#,
            self.sequence
        );
        self.sequence += 1;
        out.event(Some("response.output_text.delta"), |out| {
            out.extend_from_slice(text.as_bytes());
        });
    }

    fn error(&mut self, out: &mut Frames) {
        let message = "The scripted model failed.";
        let fields = json!({"code": "server_error", "message": message, "param": null});
        self.event("error", fields, out);
        let error = json!({"code": "server_error", "message": message});
        self.lifecycle("response.failed", "failed", &error, out);
    }

    fn keepalive(&mut self, out: &mut Frames) {
        self.event("keepalive", json!({}), out);
    }
}

/// The same answer as one JSON document: what its stream's terminal event carries.
pub(super) fn plain(answer: Answer, facts: Arc<Facts>, ask: &Ask) -> Value {
    let script = facts.script.clone();
    let mut encoder = Responses::new(facts, ask);
    let mut unseen = Frames::new(&script);
    for beat in answer {
        encoder.beat(beat, &mut unseen);
        unseen.take();
    }
    let status = match encoder.facts.finish {
        Some("length" | "content_filter") => "incomplete",
        Some(_) => "completed",
        None => "in_progress",
    };
    encoder.close_open(status, &mut unseen);
    encoder.response(status, &Value::Null)
}
