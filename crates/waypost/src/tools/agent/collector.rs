//! One turn's answer, sorted: what goes on to the client as it is, what
//! becomes an item of MCP, and what the next turn has to be told.

use serde_json::{Value, json};
use waypost_engine::id;

use crate::{
    model::{CallKind, ClientTool, Delta, Finish, Usage},
    tools::mcp::{
        catalogue::{Catalogue, Entry},
        items,
    },
};

/// What came of one turn so far.
#[derive(Debug, Default)]
pub(super) struct TurnCollector {
    calls: Vec<Open>,
    /// Messages and reasoning, for the next turn.
    record: Vec<Value>,
    pub(super) usage: Option<Usage>,
    pub(super) finish: Option<Finish>,
    /// The client is to answer a call of its own.
    pub(super) calls_client: bool,
    /// Calls that were made beyond what is allowed, and left out.
    pub(super) ignored: usize,
}

/// A call of a tool of a server, whole.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Of its item; `None` where a person has to allow it first.
    pub(super) key: Option<u64>,
    pub(super) entry: Entry,
    pub(super) item: Value,
    pub(super) arguments: String,
}

#[derive(Debug)]
struct Open {
    key: u64,
    call: Call,
}

#[derive(Debug)]
enum Call {
    /// Its name has not come yet.
    Unnamed {
        call_id: Option<String>,
        arguments: String,
    },
    /// The client's own.
    Client,
    Server(Box<Wanted>),
    Ignored,
}

/// Keeps the keys of items that a turn makes apart from those of the agent's.
const OF_THE_TURN: u64 = 1 << 63;

/// What the sorting needs to know, beside the turn.
pub(super) struct Sorting<'a> {
    pub(super) catalogue: &'a Catalogue,
    /// Tokens of the turns before.
    pub(super) spent: Usage,
    /// Calls that may still be made.
    pub(super) calls_left: u64,
    /// Keys of own items.
    pub(super) next_key: &'a mut u64,
}

impl TurnCollector {
    /// Takes in a delta; what the client sees of it goes to `out`.
    pub(super) fn take(&mut self, delta: Delta, sorting: &mut Sorting<'_>, out: &mut Vec<Delta>) {
        match delta {
            Delta::ToolCall { .. } => self.call(delta, sorting, out),
            Delta::CallEnd { key } => {
                let of_client = |open: &Open| open.key == key && matches!(open.call, Call::Client);
                if self.calls.iter().any(of_client) {
                    out.push(delta);
                }
            }
            Delta::Usage(usage) => self.usage = Some(usage),
            Delta::Spent(usage) => out.push(Delta::Spent(sorting.spent + usage)),
            Delta::Finish(finish) => self.finish = Some(finish),
            Delta::ItemAdded { key, item } => out.push(Delta::ItemAdded {
                key: key | OF_THE_TURN,
                item,
            }),
            Delta::ItemEvent { key, kind, fields } => out.push(Delta::ItemEvent {
                key: key | OF_THE_TURN,
                kind,
                fields,
            }),
            Delta::ItemDone { key, item } => {
                self.calls_client |= ClientTool::of_call(&item).is_some();
                // What a search found is there in the next turn.
                self.record.push(item.clone());
                out.push(Delta::ItemDone {
                    key: key | OF_THE_TURN,
                    item,
                });
            }
            other => {
                self.note(&other);
                out.push(other);
            }
        }
    }

    /// The calls of servers' tools, in order.
    pub(super) fn wanted(&mut self, out: &mut Vec<Delta>) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for Open { key, call } in std::mem::take(&mut self.calls) {
            match call {
                Call::Server(call) => wanted.push(*call),
                // It never got a name: what the server sent is still shown.
                Call::Unnamed { call_id, arguments } => {
                    self.calls_client = true;
                    out.push(Delta::ToolCall {
                        key,
                        kind: CallKind::Function,
                        call_id,
                        name: None,
                        namespace: None,
                        arguments,
                    });
                }
                Call::Client | Call::Ignored => {}
            }
        }
        wanted
    }

    /// What the model said, as items for the next turn.
    pub(super) fn into_record(self) -> Vec<Value> {
        self.record
    }

    /// A piece of a call. Whose it is can be told once its name has come.
    fn call(&mut self, piece: Delta, sorting: &mut Sorting<'_>, out: &mut Vec<Delta>) {
        let Delta::ToolCall {
            key,
            kind,
            call_id,
            name,
            namespace,
            arguments,
        } = &piece
        else {
            return;
        };
        let at = self.place(*key);
        match &mut self.calls[at].call {
            Call::Client => {
                out.push(piece);
                return;
            }
            Call::Server(wanted) => {
                grow(wanted, arguments, out);
                return;
            }
            Call::Ignored => return,
            Call::Unnamed {
                call_id: first,
                arguments: before,
            } => {
                before.push_str(arguments);
                if first.is_none() {
                    first.clone_from(call_id);
                }
            }
        }
        let Some(name) = name else { return };
        let unnamed = std::mem::replace(&mut self.calls[at].call, Call::Ignored);
        let Call::Unnamed { call_id, arguments } = unnamed else {
            return;
        };
        let entry = sorting
            .catalogue
            .by_function(name)
            .filter(|_| *kind == CallKind::Function && namespace.is_none());
        self.calls[at].call = if let Some(entry) = entry {
            self.begin(entry, &arguments, sorting, out)
        } else {
            self.calls_client = true;
            out.push(Delta::ToolCall {
                key: *key,
                kind: *kind,
                call_id,
                name: Some(name.clone()),
                namespace: namespace.clone(),
                arguments,
            });
            Call::Client
        };
    }

    /// The place of the call with this key; a new one if it is new.
    fn place(&mut self, key: u64) -> usize {
        let known = self.calls.iter().position(|open| open.key == key);
        known.unwrap_or_else(|| {
            let call = Call::Unnamed {
                call_id: None,
                arguments: String::new(),
            };
            self.calls.push(Open { key, call });
            self.calls.len() - 1
        })
    }

    fn begin(
        &mut self,
        entry: &Entry,
        arguments: &str,
        sorting: &mut Sorting<'_>,
        out: &mut Vec<Delta>,
    ) -> Call {
        let begun = self
            .calls
            .iter()
            .filter(|open| matches!(&open.call, Call::Server(wanted) if wanted.key.is_some()))
            .count() as u64;
        if entry.needs_approval {
            return Call::Server(Box::new(Wanted {
                key: None,
                item: Value::Null,
                arguments: arguments.to_owned(),
                entry: entry.clone(),
            }));
        }
        if begun >= sorting.calls_left {
            self.ignored += 1;
            return Call::Ignored;
        }
        let key = *sorting.next_key;
        *sorting.next_key += 1;
        let item = items::call(&entry.label, &entry.tool.name, None);
        out.push(Delta::ItemAdded {
            key,
            item: item.clone(),
        });
        out.push(items::event(key, "response.mcp_call.in_progress"));
        let mut wanted = Wanted {
            key: Some(key),
            entry: entry.clone(),
            item,
            arguments: String::new(),
        };
        grow(&mut wanted, arguments, out);
        Call::Server(Box::new(wanted))
    }

    /// Keeps what the next turn has to know. Model servers that speak
    /// Responses want reasoning back with the calls that it led to.
    fn note(&mut self, delta: &Delta) {
        match delta {
            Delta::Message { phase } => {
                let mut message = message();
                if let Some(phase) = phase {
                    message["phase"] = json!(phase);
                }
                self.record.push(message);
            }
            Delta::Text { text, .. } | Delta::Refusal(text) => {
                let message = self.last("message", message);
                append(&mut message["content"][0]["text"], text);
            }
            Delta::Reasoning(text) => {
                let reasoning = self.last("reasoning", reasoning);
                if reasoning["content"][0].is_null() {
                    reasoning["content"] = json!([{"type": "reasoning_text", "text": ""}]);
                }
                append(&mut reasoning["content"][0]["text"], text);
            }
            Delta::ReasoningSummary { index, text } => {
                let reasoning = self.last("reasoning", reasoning);
                if let Some(parts) = reasoning["summary"].as_array_mut() {
                    if parts.is_empty() || *index >= parts.len() {
                        parts.push(json!({"type": "summary_text", "text": ""}));
                    }
                    if let Some(part) = parts.last_mut() {
                        append(&mut part["text"], text);
                    }
                }
            }
            Delta::ReasoningEncrypted(sealed) => {
                self.last("reasoning", reasoning)["encrypted_content"] = json!(sealed);
            }
            Delta::ReasoningBreak => self.record.push(reasoning()),
            _ => {}
        }
    }

    /// The last item if it is of this type; a new one otherwise.
    fn last(&mut self, kind: &str, new: fn() -> Value) -> &mut Value {
        if self.record.last().is_none_or(|item| item["type"] != kind) {
            self.record.push(new());
        }
        self.record.last_mut().expect("one was put there")
    }
}

fn grow(wanted: &mut Wanted, arguments: &str, out: &mut Vec<Delta>) {
    if arguments.is_empty() {
        return;
    }
    wanted.arguments.push_str(arguments);
    if let Some(key) = wanted.key {
        out.push(items::arguments_delta(key, arguments));
    }
}

fn append(to: &mut Value, text: &str) {
    if let Value::String(before) = to {
        before.push_str(text);
    }
}

fn message() -> Value {
    json!({"id": id::fresh("msg_"), "type": "message", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": "", "annotations": [], "logprobs": []}]})
}

fn reasoning() -> Value {
    json!({"id": id::fresh("rs_"), "type": "reasoning", "summary": []})
}

#[cfg(test)]
#[path = "collector_tests.rs"]
mod tests;
