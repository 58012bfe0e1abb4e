//! An assembler's state from the log that it wrote: what a run after a crash
//! goes on from.

use serde_json::Value;

use super::{Assembler, Call, Open, OpenKind, Own, Part};
use crate::{
    model::{CallKind, ClientTool, Prefix, Usage},
    tools::{
        agent::{Earlier, OpenItem},
        search,
    },
};

impl Assembler {
    /// Takes in an event of the log. What changes no state is passed over.
    pub fn replay(&mut self, event: &Value) {
        let index = event["output_index"].as_u64().unwrap_or_default();
        let delta = event["delta"].as_str().unwrap_or_default();
        match event["type"].as_str().unwrap_or_default() {
            "response.output_item.added" => self.replay_added(index, &event["item"]),
            "response.output_item.done" => {
                if self.open.as_ref().is_some_and(|open| open.index == index) {
                    self.open = None;
                }
                self.calls.retain(|call| call.index != Some(index));
                self.own.retain(|own| own.index != index);
                if let Some(slot) = self.output.get_mut(index as usize) {
                    *slot = Some(event["item"].clone());
                }
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                if let Some(call) = self.calls.iter_mut().find(|c| c.index == Some(index)) {
                    call.arguments.push_str(delta);
                }
            }
            kind @ ("response.mcp_call_arguments.delta" | "response.mcp_call_arguments.done") => {
                if let Some(own) = self.own.iter_mut().find(|own| own.index == index) {
                    own.note(kind, |name| event[name].clone());
                }
            }
            kind => {
                if let Some(open) = self.open.as_mut().filter(|open| open.index == index) {
                    open.replay(kind, delta, event);
                    if kind == "response.output_text.delta" {
                        self.carried_tokens += 1;
                    }
                }
            }
        }
    }

    /// What earlier attempts spent, as far as somebody kept it.
    pub fn spent_before(&mut self, spent: Usage) {
        self.spent_before = spent;
    }

    /// All that was replayed so far is among what was spent.
    pub fn is_counted(&mut self) {
        self.carried_tokens = 0;
    }

    /// Whether this response has had tools looked up by the server.
    pub fn searched(&self) -> bool {
        self.output.iter().flatten().any(search::is_found)
    }

    /// Whether a search was the last thing that happened. Thoughts about it may
    /// have followed.
    pub fn ends_with_search(&self) -> bool {
        let mut items = self.output.iter().flatten().rev();
        let last = items.find(|item| item["type"] != "reasoning");
        self.own.is_empty() && last.is_some_and(search::is_found)
    }

    /// The text that a model server can be asked to continue: when all that is
    /// open is one message with nothing but text.
    pub fn open_text(&self) -> Option<Prefix> {
        let Some(Open {
            kind: OpenKind::Message { parts, .. },
            ..
        }) = &self.open
        else {
            return None;
        };
        match parts.as_slice() {
            [Part::Text { text, .. }]
                if self.calls.is_empty()
                    && self.own.is_empty()
                    && !self.called_client()
                    && !text.is_empty() =>
            {
                Some(Prefix {
                    text: text.clone(),
                    tokens: self.carried_tokens,
                })
            }
            _ => None,
        }
    }

    /// What a run with tools of this server goes on from: where only items of
    /// its own making are open, or none.
    pub fn between_turns(&self) -> Option<Earlier> {
        self.is_between_turns().then(|| self.earlier())
    }

    /// Whether nothing of the model's is open, and nothing waits for the client.
    pub fn is_between_turns(&self) -> bool {
        let of_client = |own: &Own| is_for_client(&own.item);
        self.open.is_none()
            && self.calls.is_empty()
            && !self.own.iter().any(of_client)
            && !self.called_client()
    }

    /// Whether something of an MCP server's is open: a call of it may be under
    /// way.
    pub fn may_be_calling(&self) -> bool {
        let mut kinds = self.own.iter().filter_map(|own| own.item["type"].as_str());
        kinds.any(|kind| kind.starts_with("mcp_"))
    }

    /// Whether nothing was said yet but whole thoughts.
    pub fn has_only_thoughts(&self) -> bool {
        let is_thought = |item: &Option<Value>| {
            let item = item.as_ref();
            item.is_some_and(|item| item["type"] == "reasoning")
        };
        self.is_between_turns() && self.output.iter().all(is_thought)
    }

    /// Whether the client has a whole call to answer: the turn that made it is
    /// the last one, and it has not come to its end.
    fn called_client(&self) -> bool {
        self.output.iter().flatten().any(is_for_client)
    }

    /// What is finished, and what of this server's own making is open.
    pub fn earlier(&self) -> Earlier {
        let open = self.own.iter().map(|own| OpenItem {
            key: own.key,
            item: own.item.clone(),
            is_intent: own.is_intent,
        });
        Earlier {
            spent: self.spent_before,
            output: self.output.iter().flatten().cloned().collect(),
            open: open.collect(),
        }
    }

    /// Whether anything was delivered.
    pub fn is_untouched(&self) -> bool {
        self.output.is_empty()
    }

    /// From here on the open message grows: fresh reasoning has no place in it.
    pub fn continue_message(&mut self) {
        self.continuing = true;
    }

    fn replay_added(&mut self, index: u64, item: &Value) {
        self.output.push(None);
        let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
        let id = text("id");
        let kind = match item["type"].as_str() {
            Some(kind @ ("function_call" | "custom_tool_call")) => {
                let kind = match kind {
                    "function_call" => CallKind::Function,
                    _ => CallKind::Custom,
                };
                self.calls.push(Call {
                    index: Some(index),
                    id,
                    call_id: text("call_id"),
                    name: text("name"),
                    namespace: item["namespace"].as_str().map(str::to_owned),
                    ..Call::new(index, kind)
                });
                return;
            }
            Some(kind) if kind != "message" && kind != "reasoning" => {
                self.own.push(Own {
                    key: index,
                    index,
                    item: item.clone(),
                    is_intent: false,
                });
                return;
            }
            Some("reasoning") => OpenKind::Reasoning {
                text: None,
                summary: Vec::new(),
                encrypted: None,
            },
            _ => OpenKind::Message {
                phase: item["phase"].as_str().map(str::to_owned),
                parts: Vec::new(),
            },
        };
        // Deltas of an earlier message are not those of this one.
        self.carried_tokens = 0;
        self.open = Some(Open { index, id, kind });
    }
}

/// Whether an output item is a call that the client answers.
pub fn is_for_client(item: &Value) -> bool {
    match item["type"].as_str() {
        Some("function_call" | "custom_tool_call") => true,
        Some("tool_search_call") => item["execution"] == "client",
        _ => ClientTool::of_call(item).is_some(),
    }
}

impl Open {
    fn replay(&mut self, kind: &str, delta: &str, event: &Value) {
        match (&mut self.kind, kind) {
            (OpenKind::Message { parts, .. }, "response.content_part.added") => {
                parts.push(match event["part"]["type"].as_str() {
                    Some("refusal") => Part::Refusal {
                        text: String::new(),
                    },
                    _ => Part::Text {
                        text: String::new(),
                        logprobs: Vec::new(),
                        annotations: Vec::new(),
                    },
                });
            }
            (OpenKind::Message { parts, .. }, _) => match (parts.last_mut(), kind) {
                (Some(Part::Text { text, logprobs, .. }), "response.output_text.delta") => {
                    text.push_str(delta);
                    logprobs.extend(event["logprobs"].as_array().into_iter().flatten().cloned());
                }
                (Some(Part::Text { annotations, .. }), "response.output_text.annotation.added") => {
                    annotations.push(event["annotation"].clone());
                }
                (Some(Part::Refusal { text }), "response.refusal.delta") => text.push_str(delta),
                _ => {}
            },
            (OpenKind::Reasoning { text, .. }, "response.reasoning_text.delta") => {
                text.get_or_insert_default().push_str(delta);
            }
            (OpenKind::Reasoning { summary, .. }, "response.reasoning_summary_part.added") => {
                summary.push(String::new());
            }
            (OpenKind::Reasoning { summary, .. }, "response.reasoning_summary_text.delta") => {
                if let Some(text) = summary.last_mut() {
                    text.push_str(delta);
                }
            }
            _ => {}
        }
    }
}
