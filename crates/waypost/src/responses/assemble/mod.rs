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

use super::{
    events::{Event, push},
    object,
};
use crate::model::{Delta, Finish, Usage};

mod calls;
mod items;
mod message;
mod own;
mod reasoning;
mod replay;

pub use replay::is_for_client;

use items::{Call, Open, OpenKind, Own, Part, close_part, close_summary_part};

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
    /// Sources that were named before any text that names them.
    early: Vec<Value>,
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

    /// Token counts in the API's shape; null when no server gave any.
    pub fn usage(&self) -> Value {
        let usage = self.spent();
        if usage.reported {
            object::usage(usage)
        } else {
            Value::Null
        }
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
mod tests;
