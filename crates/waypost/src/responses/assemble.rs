//! Deltas of a model server become the Responses API's events and items.
//!
//! One assembler per response. It keeps what the contract promises: items are
//! announced before they grow, every part is closed before its item, output
//! indexes are dense and never reused, and what the deltas said is what the
//! `.done` events and the final `output` say.
//!
//! Reasoning and messages come one after the other. Function calls stay open
//! beside each other, because servers interleave parallel calls, until they are
//! said to have ended, or until the end.

use serde_json::{Value, json};
use waypost_engine::{events::EventBatchBuilder, id};

use super::events::Event;
use crate::upstream::generation::{CallKind, Delta, Finish, Usage};

mod items;
mod own;
mod replay;

use items::{Call, Open, OpenKind, Own, Part, add_part, close_part, close_summary_part, push};

/// Turns deltas into events and collects the output.
#[derive(Debug, Default)]
pub struct Assembler {
    /// Output items by index; `None` while open.
    output: Vec<Option<Value>>,
    /// The reasoning item or message that grows now.
    open: Option<Open>,
    calls: Vec<Call>,
    /// Open items of this server's own making.
    own: Vec<Own>,
    /// White space that may turn out to be nothing but a model's habit around
    /// tool calls; see [`Assembler::text`].
    held: String,
    /// Whether the request has tools: only then is white space held.
    pub hold_blank_text: bool,
    phase: Option<String>,
    /// Of this attempt.
    usage: Option<Usage>,
    /// Of the turns that earlier attempts finished.
    spent_before: Usage,
    finish: Option<Finish>,
    /// Deltas of text delivered by earlier attempts: about as many tokens.
    carried_tokens: u64,
    /// Items, calls and parts begun so far.
    pieces: usize,
    /// An answer that goes on where an earlier attempt stopped: the model's
    /// fresh reasoning has no place in it.
    continuing: bool,
}

impl Assembler {
    /// Takes in one delta and appends the events it makes.
    pub fn apply(&mut self, delta: Delta, out: &mut EventBatchBuilder) {
        match delta {
            Delta::Message { phase } => {
                if matches!(
                    self.open,
                    Some(Open {
                        kind: OpenKind::Message { .. },
                        ..
                    })
                ) {
                    self.close_open("completed", out);
                }
                self.phase = phase;
            }
            Delta::Text { text, logprobs } => self.text(text, logprobs, out),
            Delta::Annotation(annotation) => self.annotation(annotation, out),
            Delta::Refusal(text) => self.refusal(&text, out),
            Delta::Reasoning(text) => self.reasoning(&text, out),
            Delta::ReasoningSummary { index, text } => self.summary(index, &text, out),
            Delta::ReasoningEncrypted(sealed) => self.encrypted(sealed),
            Delta::ReasoningBreak => {
                if matches!(
                    self.open,
                    Some(Open {
                        kind: OpenKind::Reasoning { .. },
                        ..
                    })
                ) {
                    self.close_open("completed", out);
                }
            }
            Delta::ToolCall {
                key,
                kind,
                call_id,
                name,
                namespace,
                arguments,
            } => {
                let at = self.call_at(key, kind);
                let call = &mut self.calls[at];
                call.begin(call_id, name, namespace);
                if call.index.is_none() && !call.name.is_empty() {
                    self.announce(at, out);
                }
                self.grow_call(at, &arguments, out);
            }
            Delta::CallEnd { key } => self.call_end(key, out),
            Delta::ItemAdded { key, item } => self.own_added(key, item, out),
            Delta::ItemEvent { key, kind, fields } => self.own_event(key, kind, &fields, out),
            Delta::ItemDone { key, item } => self.own_done(key, item, out),
            // Answered before it could come here.
            Delta::ToolSearch { .. } => {}
            Delta::Usage(usage) | Delta::Spent(usage) => self.usage = Some(usage),
            Delta::Finish(finish) => self.finish = Some(finish),
        }
    }

    /// Why the model stopped, once it said so.
    pub fn finished(&self) -> Option<Finish> {
        self.finish
    }

    /// Whether a tool of a server was called: to do it all again would be more
    /// than a second try.
    pub fn had_effects(&self) -> bool {
        let open = self.own.iter().map(|own| &own.item);
        self.output
            .iter()
            .flatten()
            .chain(open)
            .any(|item| item["type"] == "mcp_call")
    }

    /// How many items, calls and parts there are: a server may invent any
    /// number of them.
    pub fn pieces(&self) -> usize {
        self.pieces
    }

    /// Closes what is open and returns the output. `status` is that of the
    /// items still open: `completed` or `incomplete`. An incomplete item has to
    /// be the last one (Open Responses), so a call that others follow and whose
    /// arguments are whole is complete: models write one call after the other.
    pub fn close(&mut self, status: &str, out: &mut EventBatchBuilder) -> Vec<Value> {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() && self.calls.is_empty() && self.output.is_empty() {
            // The whole answer is white space: still what the model said.
            self.deliver_text(&held, Vec::new(), out);
        }
        self.close_open(status, out);
        self.close_own(status, out);
        for at in 0..self.calls.len() {
            if self.calls[at].index.is_none() {
                // It never got a name: what the server sent is still shown.
                self.announce(at, out);
            }
        }
        let last = (self.output.len() as u64).saturating_sub(1);
        for call in std::mem::take(&mut self.calls) {
            let output_index = call.index.unwrap_or(last);
            let whole = output_index < last && call.has_whole_arguments();
            let item = call.item(if whole { "completed" } else { status });
            push(out, &call.done(output_index));
            self.item_done(output_index, item, out);
        }
        self.output.iter().flatten().cloned().collect()
    }

    /// Token counts in the API's shape; null when the server gave none.
    pub fn usage(&self) -> Value {
        if self.usage.is_none() && self.spent_before == Usage::default() {
            return Value::Null;
        }
        let usage = self.spent();
        json!({
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {
                "cached_tokens": usage.cached_tokens,
                "cache_write_tokens": 0,
            },
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens.saturating_add(usage.output_tokens),
        })
    }

    /// Tokens of all attempts so far. After a continuation the text of the
    /// attempt that broke off is counted by its deltas: an estimate, since its
    /// counts died with it.
    pub fn spent(&self) -> Usage {
        let Some(usage) = self.usage else {
            return self.spent_before;
        };
        let input_tokens = usage.input_tokens.saturating_sub(self.carried_tokens);
        let fresh = Usage {
            input_tokens,
            cached_tokens: usage.cached_tokens.min(input_tokens),
            output_tokens: usage.output_tokens.saturating_add(self.carried_tokens),
            ..usage
        };
        self.spent_before + fresh
    }

    /// Models put blank text before and between tool calls. It is held back
    /// until something visible follows, so that it does not become a message
    /// of its own; where something visible follows, nothing is lost.
    fn text(&mut self, text: String, logprobs: Vec<Value>, out: &mut EventBatchBuilder) {
        let in_message = matches!(
            self.open,
            Some(Open {
                kind: OpenKind::Message { .. },
                ..
            })
        );
        let may_hold = self.hold_blank_text && !in_message && logprobs.is_empty();
        if may_hold && text.trim().is_empty() {
            self.held.push_str(&text);
            return;
        }
        let text = if self.held.is_empty() {
            text
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.push_str(&text);
            held
        };
        self.deliver_text(&text, logprobs, out);
    }

    fn deliver_text(&mut self, delta: &str, new: Vec<Value>, out: &mut EventBatchBuilder) {
        self.open_message(out);
        let Some(Open {
            index,
            id,
            kind: OpenKind::Message { parts, .. },
        }) = &mut self.open
        else {
            return;
        };
        if !matches!(parts.last(), Some(Part::Text { .. })) {
            close_part(*index, id, parts, out);
            let part = Part::Text {
                text: String::new(),
                logprobs: vec![],
                annotations: vec![],
            };
            add_part(*index, id, parts, part, out);
            self.pieces += 1;
        }
        let content_index = parts.len() as u64 - 1;
        if let Some(Part::Text { text, logprobs, .. }) = parts.last_mut() {
            text.push_str(delta);
            push(
                out,
                &Event::TextDelta {
                    item_id: id,
                    output_index: *index,
                    content_index,
                    delta,
                    logprobs: &new,
                },
            );
            logprobs.extend(new);
        }
    }

    fn annotation(&mut self, annotation: Value, out: &mut EventBatchBuilder) {
        let Some(Open {
            index,
            id,
            kind: OpenKind::Message { parts, .. },
        }) = &mut self.open
        else {
            return;
        };
        let content_index = (parts.len() as u64).saturating_sub(1);
        if let Some(Part::Text { annotations, .. }) = parts.last_mut() {
            push(
                out,
                &Event::AnnotationAdded {
                    item_id: id,
                    output_index: *index,
                    content_index,
                    annotation_index: annotations.len() as u64,
                    annotation: &annotation,
                },
            );
            annotations.push(annotation);
        }
    }

    fn refusal(&mut self, delta: &str, out: &mut EventBatchBuilder) {
        self.open_message(out);
        let Some(Open {
            index,
            id,
            kind: OpenKind::Message { parts, .. },
        }) = &mut self.open
        else {
            return;
        };
        if !matches!(parts.last(), Some(Part::Refusal { .. })) {
            close_part(*index, id, parts, out);
            add_part(
                *index,
                id,
                parts,
                Part::Refusal {
                    text: String::new(),
                },
                out,
            );
            self.pieces += 1;
        }
        let content_index = parts.len() as u64 - 1;
        if let Some(Part::Refusal { text }) = parts.last_mut() {
            text.push_str(delta);
            push(
                out,
                &Event::RefusalDelta {
                    item_id: id,
                    output_index: *index,
                    content_index,
                    delta,
                },
            );
        }
    }

    fn reasoning(&mut self, delta: &str, out: &mut EventBatchBuilder) {
        if self.continuing {
            return;
        }
        self.open_reasoning(out);
        if let Some(Open {
            index,
            id,
            kind: OpenKind::Reasoning { text, .. },
        }) = &mut self.open
        {
            if text.is_none() {
                push(
                    out,
                    &Event::PartAdded {
                        item_id: id,
                        output_index: *index,
                        content_index: 0,
                        part: &json!({"type": "reasoning_text", "text": ""}),
                    },
                );
            }
            text.get_or_insert_default().push_str(delta);
            push(
                out,
                &Event::ReasoningDelta {
                    item_id: id,
                    output_index: *index,
                    content_index: 0,
                    delta,
                },
            );
        }
    }

    fn summary(&mut self, part: usize, delta: &str, out: &mut EventBatchBuilder) {
        if self.continuing {
            return;
        }
        self.open_reasoning(out);
        if let Some(Open {
            index,
            id,
            kind: OpenKind::Reasoning { summary, .. },
        }) = &mut self.open
        {
            // Parts come in order; whatever number the server gave, ours are dense.
            if summary.is_empty() || part >= summary.len() {
                close_summary_part(*index, id, summary, out);
                summary.push(String::new());
                self.pieces += 1;
                push(
                    out,
                    &Event::SummaryPartAdded {
                        item_id: id,
                        output_index: *index,
                        summary_index: summary.len() as u64 - 1,
                        part: &json!({"type": "summary_text", "text": ""}),
                    },
                );
            }
            let summary_index = summary.len() as u64 - 1;
            if let Some(text) = summary.last_mut() {
                text.push_str(delta);
            }
            push(
                out,
                &Event::SummaryDelta {
                    item_id: id,
                    output_index: *index,
                    summary_index,
                    delta,
                },
            );
        }
    }

    /// The sealed form belongs to the reasoning item that is open, or that was
    /// last: servers send it with the finished item.
    fn encrypted(&mut self, sealed: String) {
        if let Some(Open {
            kind: OpenKind::Reasoning { encrypted, .. },
            ..
        }) = &mut self.open
        {
            *encrypted = Some(sealed);
        }
    }

    /// The place of the call with this key; a new one if it is new.
    fn call_at(&mut self, key: u64, kind: CallKind) -> usize {
        if let Some(at) = self.calls.iter().position(|c| c.key == key) {
            return at;
        }
        self.pieces += 1;
        self.calls.push(Call::new(key, kind));
        self.calls.len() - 1
    }

    fn grow_call(&mut self, at: usize, arguments: &str, out: &mut EventBatchBuilder) {
        if arguments.is_empty() {
            return;
        }
        let call = &mut self.calls[at];
        call.arguments.push_str(arguments);
        if let Some(output_index) = call.index {
            push(out, &call.delta(output_index, arguments));
        }
    }

    fn call_end(&mut self, key: u64, out: &mut EventBatchBuilder) {
        let ended = |call: &Call| call.key == key && call.index.is_some();
        let Some(at) = self.calls.iter().position(ended) else {
            return;
        };
        let call = self.calls.remove(at);
        let Some(output_index) = call.index else {
            return;
        };
        push(out, &call.done(output_index));
        self.item_done(output_index, call.item("completed"), out);
    }

    /// Opens the item of a call, with the arguments that came before it.
    fn announce(&mut self, at: usize, out: &mut EventBatchBuilder) {
        self.held.clear();
        self.close_open("completed", out);
        let output_index = self.output.len() as u64;
        self.output.push(None);
        // An id that another call has could not be answered.
        let call_id = &self.calls[at].call_id;
        let other = |item: &Value| item["call_id"] == call_id.as_str();
        let taken = self.output.iter().flatten().any(other)
            || (0..self.calls.len()).any(|i| {
                i != at && self.calls[i].index.is_some() && self.calls[i].call_id == *call_id
            });
        let call = &mut self.calls[at];
        call.index = Some(output_index);
        if call.call_id.is_empty() || taken {
            call.call_id = id::fresh("call_");
        }
        push(
            out,
            &Event::ItemAdded {
                output_index,
                item: &call.opening(),
            },
        );
        if !call.arguments.is_empty() {
            push(out, &call.delta(output_index, &call.arguments));
        }
    }

    fn open_message(&mut self, out: &mut EventBatchBuilder) {
        if matches!(
            self.open,
            Some(Open {
                kind: OpenKind::Message { .. },
                ..
            })
        ) {
            return;
        }
        self.close_open("completed", out);
        let phase = self.phase.take();
        self.open(
            OpenKind::Message {
                phase,
                parts: Vec::new(),
            },
            "msg_",
            out,
        );
    }

    fn open_reasoning(&mut self, out: &mut EventBatchBuilder) {
        if matches!(
            self.open,
            Some(Open {
                kind: OpenKind::Reasoning { .. },
                ..
            })
        ) {
            return;
        }
        self.close_open("completed", out);
        let kind = OpenKind::Reasoning {
            text: None,
            summary: Vec::new(),
            encrypted: None,
        };
        self.open(kind, "rs_", out);
    }

    fn open(&mut self, kind: OpenKind, prefix: &str, out: &mut EventBatchBuilder) {
        let open = Open {
            index: self.output.len() as u64,
            id: id::fresh(prefix),
            kind,
        };
        self.pieces += 1;
        self.output.push(None);
        push(
            out,
            &Event::ItemAdded {
                output_index: open.index,
                item: &open.item("in_progress"),
            },
        );
        self.open = Some(open);
    }

    fn close_open(&mut self, status: &str, out: &mut EventBatchBuilder) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        match &mut open.kind {
            OpenKind::Message { parts, .. } => close_part(open.index, &open.id, parts, out),
            OpenKind::Reasoning { text, summary, .. } => {
                close_summary_part(open.index, &open.id, summary, out);
                if let Some(text) = text {
                    push(
                        out,
                        &Event::ReasoningDone {
                            item_id: &open.id,
                            output_index: open.index,
                            content_index: 0,
                            text,
                        },
                    );
                    push(
                        out,
                        &Event::PartDone {
                            item_id: &open.id,
                            output_index: open.index,
                            content_index: 0,
                            part: &json!({"type": "reasoning_text", "text": text}),
                        },
                    );
                }
            }
        }
        let item = open.item(status);
        self.item_done(open.index, item, out);
    }

    fn item_done(&mut self, index: u64, item: Value, out: &mut EventBatchBuilder) {
        push(
            out,
            &Event::ItemDone {
                output_index: index,
                item: &item,
            },
        );
        if let Some(slot) = self.output.get_mut(index as usize) {
            *slot = Some(item);
        }
    }
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
mod tests;
