//! Responses API events of an upstream as deltas. Pure: data lines go in.
//!
//! What the deltas brought is reconciled with what the `.done` events and the
//! finished items say: some servers send arguments or text only there.

use std::{borrow::Cow, collections::HashMap};

use http::StatusCode;
use serde_json::{Map, Value};

use super::items::Items;
use crate::{
    model::{CallKind, ClientTool, Delta, Finish},
    upstream::{
        error::UpstreamError,
        lenient::{self, Halves, number_of, text_of},
        logprobs, tokens,
    },
};

/// Texts of one answer that are kept track of.
const MAX_TEXTS: usize = 4096;
/// Fields of an event that say where it belongs, not what it says.
const OF_THE_EVENT: [&str; 5] = [
    "type",
    "sequence_number",
    "item_id",
    "output_index",
    "obfuscation",
];

/// Reads one answer, streamed or whole.
#[derive(Debug, Default)]
pub struct ResponsesDecoder {
    wants_logprobs: bool,
    finished: bool,
    items: Items,
    halves: Halves<(u64, u64, Kind)>,
    /// Bytes delivered so far, by output index, part and kind of text.
    delivered: HashMap<(u64, u64, Kind), usize>,
    messages: u64,
    reasonings: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Text,
    Refusal,
    Reasoning,
    Summary,
    Arguments,
    Input,
}

impl ResponsesDecoder {
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
        if data.is_empty() || data == "[DONE]" {
            return Ok(());
        }
        let read = lenient::read::<Map<String, Value>>(data)
            .map_err(|error| UpstreamError::Malformed(error.to_string()))?;
        let Some(event) = read.value.map(Value::Object) else {
            return Ok(());
        };
        self.event(event, read.halved, out)
    }

    /// Reads a response that came whole, where a stream was asked for.
    pub fn whole(&mut self, body: &str, out: &mut Vec<Delta>) -> Result<(), UpstreamError> {
        let read = lenient::read::<Map<String, Value>>(body)
            .map_err(|error| UpstreamError::Malformed(error.to_string()))?;
        let response = read.value.map(Value::Object).unwrap_or_default();
        if let Some(error) = UpstreamError::told(&response["error"]) {
            return Err(error);
        }
        let Some(output) = response["output"].as_array() else {
            return Err(UpstreamError::Malformed("a response without output".into()));
        };
        for (index, item) in (0..).zip(output) {
            let key = self.added(index, item, out)?;
            self.done(key, item, read.halved, out);
        }
        let kind = match text_of(&response["status"]).as_deref() {
            Some("incomplete") => "response.incomplete",
            Some("failed" | "cancelled") => "response.failed",
            _ => "response.completed",
        };
        let end = serde_json::json!({"type": kind, "response": response});
        self.event(end, read.halved, out)
    }

    fn event(
        &mut self,
        mut event: Value,
        halved: bool,
        out: &mut Vec<Delta>,
    ) -> Result<(), UpstreamError> {
        let index = number_of(&event["output_index"]).unwrap_or_default();
        let output = self.items.key_of(index, &event);
        let name = taken(&mut event, "type");
        match name.as_str() {
            "response.output_item.added" => {
                self.added(index, &event["item"], out)?;
            }
            "response.output_text.annotation.added" => {
                out.push(Delta::Annotation(event["annotation"].clone()));
            }
            "response.output_item.done" => {
                let item = &event["item"];
                let announced = self.items.announced(index, item);
                // Some servers announce nothing.
                let key = match announced {
                    Some(key) => key,
                    None => self.added(index, item, out)?,
                };
                self.done(key, item, halved, out);
            }
            "response.completed" => self.finish(&event["response"], Finish::Stop, out),
            "response.incomplete" => {
                let reason = &event["response"]["incomplete_details"]["reason"];
                let finish = if reason == "content_filter" {
                    Finish::ContentFilter
                } else {
                    Finish::Length
                };
                self.finish(&event["response"], finish, out);
            }
            "response.failed" => {
                let error = &event["response"]["error"];
                let status = match text_of(&error["code"]).as_deref() {
                    Some("rate_limit_exceeded") => StatusCode::TOO_MANY_REQUESTS,
                    Some("server_error") | None => StatusCode::INTERNAL_SERVER_ERROR,
                    Some(_) => StatusCode::BAD_REQUEST,
                };
                return Err(UpstreamError::from_object(status, error));
            }
            // Flat in the API, nested at some servers.
            "error" => {
                let error = UpstreamError::told(&event["error"]);
                return Err(error
                    .or_else(|| UpstreamError::told(&event))
                    .unwrap_or_else(|| {
                        UpstreamError::from_object(StatusCode::INTERNAL_SERVER_ERROR, &event)
                    }));
            }
            // Chat's form of it.
            "" => {
                if let Some(error) = UpstreamError::told(&event["error"]) {
                    return Err(error);
                }
            }
            name => {
                if let Some((kind, part, words)) = text_event(name) {
                    let part = part.and_then(|field| number_of(&event[field]));
                    let place = (output, part.unwrap_or_default(), kind);
                    self.words(place, &mut event, words, halved, out);
                } else if let Some(kind) = ClientTool::call_event(name)
                    && let Value::Object(mut fields) = event
                {
                    fields.retain(|name, _| !OF_THE_EVENT.contains(&name.as_str()));
                    let key = output;
                    out.push(Delta::ItemEvent { key, kind, fields });
                }
                // Others are lifecycle, part boundaries, keepalive, whatever is new.
            }
        }
        if self.delivered.len() > MAX_TEXTS {
            return Err(UpstreamError::TooLarge(format!(
                "more than {MAX_TEXTS} texts in one answer"
            )));
        }
        Ok(())
    }

    /// Whether the answer is whole: nothing more need be read.
    pub fn is_done(&self) -> bool {
        self.finished
    }

    /// The stream ended.
    pub fn end(&self) -> Result<(), UpstreamError> {
        if self.finished {
            Ok(())
        } else {
            Err(UpstreamError::Broken("end without a terminal event".into()))
        }
    }

    /// An item is announced; its key.
    fn added(
        &mut self,
        index: u64,
        item: &Value,
        out: &mut Vec<Delta>,
    ) -> Result<u64, UpstreamError> {
        let (key, is_new) = self.items.announce(index, item)?;
        if !is_new {
            return Ok(key);
        }
        let text = |key: &str| text_of(&item[key]).map(Cow::into_owned);
        match item["type"].as_str().filter(|kind| !kind.is_empty()) {
            Some("message") => {
                self.messages += 1;
                let phase = text("phase");
                if self.messages > 1 || phase.is_some() {
                    out.push(Delta::Message { phase });
                }
            }
            Some("reasoning") => {
                self.reasonings += 1;
                if self.reasonings > 1 {
                    out.push(Delta::ReasoningBreak);
                }
            }
            Some(kind @ ("function_call" | "custom_tool_call")) => out.push(Delta::ToolCall {
                key,
                kind: if kind == "function_call" {
                    CallKind::Function
                } else {
                    CallKind::Custom
                },
                call_id: text("call_id"),
                name: text("name"),
                namespace: text("namespace"),
                arguments: String::new(),
            }),
            // The server's own search among the tools that it was given.
            Some("tool_search_call" | "tool_search_output") => out.push(Delta::ItemAdded {
                key,
                item: item.clone(),
            }),
            // A call that the client is to answer, of a tool that it runs.
            Some(_) if ClientTool::of_call(item).is_some() => out.push(Delta::ItemAdded {
                key,
                item: item.clone(),
            }),
            Some(other) => {
                return Err(UpstreamError::Malformed(format!(
                    "an output item of type '{other}', for which nobody asked"
                )));
            }
            // What it is its events may say.
            None => {}
        }
        Ok(key)
    }

    /// The finished item holds what its deltas may have left out.
    fn done(&mut self, key: u64, item: &Value, halved: bool, out: &mut Vec<Delta>) {
        self.items.done(key);
        let parts = |name: &str| (0..).zip(item[name].as_array().into_iter().flatten());
        let text = |value: &Value| text_of(value).unwrap_or_default().into_owned();
        match item["type"].as_str().unwrap_or_default() {
            "function_call" => {
                let arguments = match &item["arguments"] {
                    // Some servers send the object itself.
                    object @ Value::Object(_) => object.to_string(),
                    other => text(other),
                };
                self.reconcile((key, 0, Kind::Arguments), &arguments, halved, out);
            }
            "custom_tool_call" => {
                self.reconcile((key, 0, Kind::Input), &text(&item["input"]), halved, out);
            }
            "tool_search_call" | "tool_search_output" => out.push(Delta::ItemDone {
                key,
                item: item.clone(),
            }),
            _ if ClientTool::of_call(item).is_some() => out.push(Delta::ItemDone {
                key,
                item: item.clone(),
            }),
            "message" => {
                if let Value::String(text) = &item["content"] {
                    self.reconcile((key, 0, Kind::Text), text, halved, out);
                }
                for (at, part) in parts("content") {
                    self.reconcile((key, at, Kind::Text), &text(&part["text"]), halved, out);
                    let refusal = text(&part["refusal"]);
                    self.reconcile((key, at, Kind::Refusal), &refusal, halved, out);
                }
            }
            "reasoning" => {
                for (at, part) in parts("content") {
                    let words = text(&part["text"]);
                    self.reconcile((key, at, Kind::Reasoning), &words, halved, out);
                }
                for (at, part) in parts("summary") {
                    let words = text(&part["text"]);
                    self.reconcile((key, at, Kind::Summary), &words, halved, out);
                }
                if let Some(sealed) = item["encrypted_content"].as_str() {
                    out.push(Delta::ReasoningEncrypted(sealed.into()));
                }
            }
            _ => {}
        }
    }

    /// More of a text has come, or all of it.
    fn words(
        &mut self,
        place: (u64, u64, Kind),
        event: &mut Value,
        words: Words,
        halved: bool,
        out: &mut Vec<Delta>,
    ) {
        match words {
            Words::Next => {
                let logprobs = match place {
                    (.., Kind::Text) if self.wants_logprobs => {
                        let list = event.get_mut("logprobs").map(Value::take);
                        logprobs::complete(list.unwrap_or_default())
                    }
                    _ => Vec::new(),
                };
                let text = taken(event, "delta");
                let text = self.halves.join(place, text, halved);
                self.deliver(place, text, logprobs, out);
            }
            Words::All(field) => {
                let text = text_of(&event[field]).unwrap_or_default();
                self.reconcile(place, &text, halved, out);
            }
        }
    }

    fn deliver(
        &mut self,
        place: (u64, u64, Kind),
        text: String,
        logprobs: Vec<Value>,
        out: &mut Vec<Delta>,
    ) {
        if text.is_empty() {
            return;
        }
        *self.delivered.entry(place).or_default() += text.len();
        let (key, part, kind) = place;
        out.push(match kind {
            Kind::Text => Delta::Text { text, logprobs },
            Kind::Refusal => Delta::Refusal(text),
            Kind::Reasoning => Delta::Reasoning(text),
            Kind::Summary => Delta::ReasoningSummary {
                index: part as usize,
                text,
            },
            Kind::Arguments | Kind::Input => Delta::ToolCall {
                key,
                kind: if kind == Kind::Input {
                    CallKind::Custom
                } else {
                    CallKind::Function
                },
                call_id: None,
                name: None,
                namespace: None,
                arguments: text,
            },
        });
    }

    /// Delivers the rest of a text of which only a beginning came in deltas.
    fn reconcile(
        &mut self,
        place: (u64, u64, Kind),
        whole: &str,
        halved: bool,
        out: &mut Vec<Delta>,
    ) {
        if whole.is_empty() {
            return;
        }
        // The half that was waited for is in the whole.
        self.halves.end(place);
        let mut whole = self.halves.join(place, whole.to_owned(), halved);
        if self.halves.end(place) {
            whole.push(char::REPLACEMENT_CHARACTER);
        }
        let have = self.delivered.get(&place).copied().unwrap_or_default();
        if let Some(rest) = whole.get(have..) {
            self.deliver(place, rest.to_owned(), vec![], out);
        }
    }

    fn finish(&mut self, response: &Value, finish: Finish, out: &mut Vec<Delta>) {
        for place in self.halves.open() {
            if self.halves.end(place) {
                let alone = char::REPLACEMENT_CHARACTER.to_string();
                self.deliver(place, alone, vec![], out);
            }
        }
        let usage = tokens::of_responses(&response["usage"]);
        out.extend(usage.map(Delta::Usage));
        self.finished = true;
        out.push(Delta::Finish(finish));
    }
}

/// What an event about a text has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    /// The next words, in `delta`.
    Next,
    /// All of them, in that field.
    All(&'static str),
}

/// Of an event about a text: which one, the field that numbers it within its
/// item, and the words.
fn text_event(name: &str) -> Option<(Kind, Option<&'static str>, Words)> {
    let (text, end) = name.strip_prefix("response.")?.rsplit_once('.')?;
    let (kind, part, field) = match text {
        "output_text" => (Kind::Text, Some("content_index"), "text"),
        "refusal" => (Kind::Refusal, Some("content_index"), "refusal"),
        "reasoning_text" | "reasoning" => (Kind::Reasoning, Some("content_index"), "text"),
        "reasoning_summary_text" => (Kind::Summary, Some("summary_index"), "text"),
        "function_call_arguments" => (Kind::Arguments, None, "arguments"),
        "custom_tool_call_input" => (Kind::Input, None, "input"),
        _ => return None,
    };
    let words = match end {
        "delta" => Words::Next,
        "done" => Words::All(field),
        _ => return None,
    };
    Some((kind, part, words))
}

/// The text of a field, which it has no more: what comes in a thousand pieces
/// is not copied.
fn taken(of: &mut Value, field: &str) -> String {
    match of.get_mut(field).map(Value::take) {
        Some(Value::String(text)) => text,
        Some(other) => text_of(&other).unwrap_or_default().into_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
