//! Is this a proper Responses stream?
//!
//! The rules are those of OpenAI's streaming documentation and Open Responses: sequence numbers
//! without a gap, `response.created` first, items and parts that open, fill and close in order,
//! deltas that join to what their `.done` says, one terminal event, last, whose `output` is what
//! the stream has built. A resumed stream is judged best after joining it to its first half;
//! [`check_stream_from`] judges it alone, as far as that is possible.

use std::collections::BTreeMap;

use serde_json::Value;

use super::parts::Item;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {position} `{kind}` (sequence_number {sequence}): {problem}")]
pub struct StreamFault {
    /// Position in the checked events, from 0; their number if the fault is a missing event.
    pub position: usize,
    pub kind: String,
    pub sequence: String,
    pub problem: String,
}

/// A stream that passed.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedStream {
    /// The `response` of the terminal event; `null` if a bare `error` event ended the stream.
    pub response: Value,
    /// The items of `response.output_item.done`, in order.
    pub items: Vec<Value>,
}

impl CheckedStream {
    /// The text of all `output_text` parts, as the SDKs' `output_text` joins it.
    pub fn output_text(&self) -> String {
        let messages = self.items.iter().filter(|item| item["type"] == "message");
        let parts = messages
            .filter_map(|item| item["content"].as_array())
            .flatten();
        let texts = parts.filter(|part| part["type"] == "output_text");
        texts.filter_map(|part| part["text"].as_str()).collect()
    }
}

/// Checks that `sequence_number` counts up by one from `start`.
pub fn gapless(events: &[Value], start: u64) -> Result<(), StreamFault> {
    for (position, (event, expected)) in events.iter().zip(start..).enumerate() {
        if event["sequence_number"].as_u64() != Some(expected) {
            return Err(fault(
                position,
                event,
                format!("expected sequence_number {expected}"),
            ));
        }
    }
    Ok(())
}

/// Panics unless [`gapless`].
#[track_caller]
pub fn assert_gapless(events: &[Value], start: u64) {
    if let Err(fault) = gapless(events, start) {
        panic!("{fault}");
    }
}

/// Judges a whole stream, from sequence number 0.
pub fn check_stream(events: &[Value]) -> Result<CheckedStream, StreamFault> {
    check_stream_from(events, 0)
}

/// Judges the part of a stream that begins with sequence number `start`. Unless that is 0, items
/// opened before the part are taken on trust.
pub fn check_stream_from(events: &[Value], start: u64) -> Result<CheckedStream, StreamFault> {
    gapless(events, start)?;
    let mut check = Check {
        partial: start > 0,
        ..Check::default()
    };
    for (position, event) in events.iter().enumerate() {
        check
            .event(event)
            .map_err(|problem| fault(position, event, problem))?;
    }
    check
        .end()
        .map_err(|problem| fault(events.len(), &Value::Null, problem))
}

fn fault(position: usize, event: &Value, problem: String) -> StreamFault {
    let kind = event["type"].as_str().unwrap_or("(none)").to_owned();
    StreamFault {
        position,
        kind,
        sequence: event["sequence_number"].to_string(),
        problem,
    }
}

pub(super) type Judged<T = ()> = Result<T, String>;

pub(super) fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Judged {
    if holds { Ok(()) } else { Err(problem()) }
}

#[derive(Default)]
struct Check {
    partial: bool,
    stage: Stage,
    id: Option<String>,
    items: BTreeMap<u64, Item>,
    errored: bool,
    response: Value,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Nothing,
    Created,
    Queued,
    InProgress,
    Output,
    Terminal,
}

impl Check {
    fn event(&mut self, event: &Value) -> Judged {
        let kind = event["type"].as_str().ok_or("`type` is not a string")?;
        ensure(self.stage != Stage::Terminal, || {
            "it follows the terminal event".to_owned()
        })?;
        ensure(!self.errored || kind == "response.failed", || {
            "only response.failed may follow an error event".to_owned()
        })?;
        // The official SDKs raise on any event with a truthy top-level `error`.
        ensure(event["error"].is_null(), || {
            "it has a top-level `error`".to_owned()
        })?;
        match kind {
            "response.created" => self.lifecycle(event, Stage::Created, &["queued", "in_progress"]),
            "response.queued" => self.lifecycle(event, Stage::Queued, &["queued"]),
            "response.in_progress" => self.lifecycle(event, Stage::InProgress, &["in_progress"]),
            "response.completed" => self.terminal(event, &["completed"]),
            "response.incomplete" => self.terminal(event, &["incomplete"]),
            "response.failed" => self.terminal(event, &["failed", "cancelled"]),
            "error" => self.error(event),
            "response.output_item.added" => self.item_added(event),
            "response.output_item.done" => {
                let (_, item) = self.place(event, "")?;
                item.map_or(Ok(()), |item| item.done(&event["item"]))
            }
            _ if kind.starts_with("response.") => {
                // Events of a shell's commands have the item's place alone.
                let names = !kind.starts_with("response.shell_call_command.");
                let (_, item) = self.place(event, if names { "item_id" } else { "" })?;
                item.map_or(Ok(()), |item| item.event(kind, event))
            }
            // Open Responses: other event types carry their vendor's prefix.
            _ if kind.contains(':') => Ok(()),
            _ => Err("unknown event type".to_owned()),
        }
    }

    fn lifecycle(&mut self, event: &Value, stage: Stage, statuses: &[&str]) -> Judged {
        let first = stage == Stage::Created;
        ensure(
            first == (self.stage == Stage::Nothing) || self.partial,
            || "response.created comes once, first".to_owned(),
        )?;
        ensure(self.stage < stage, || {
            format!("it comes too late: {:?} was before", self.stage)
        })?;
        self.stage = stage;
        let response = self.response_of(event, statuses)?;
        ensure(response["output"] == serde_json::json!([]), || {
            "`output` is not []".to_owned()
        })
    }

    fn response_of<'e>(&mut self, event: &'e Value, statuses: &[&str]) -> Judged<&'e Value> {
        let response = &event["response"];
        let id = response["id"]
            .as_str()
            .ok_or("`response.id` is not a string")?;
        ensure(response["object"] == "response", || {
            "`response.object` is wrong".to_owned()
        })?;
        let known = self.id.get_or_insert_with(|| id.to_owned());
        ensure(known == id, || {
            format!("the response was `{known}`, now it is `{id}`")
        })?;
        let status = response["status"].as_str().unwrap_or_default();
        ensure(statuses.contains(&status), || {
            format!("`status` is `{status}`")
        })?;
        ensure(
            status == "completed" || response["completed_at"].is_null(),
            || "`completed_at` is set, but the response is not completed".to_owned(),
        )?;
        Ok(response)
    }

    fn error(&mut self, event: &Value) -> Judged {
        self.errored = true;
        ensure(event["message"].is_string(), || {
            "an error event needs a `message`".to_owned()
        })
    }

    fn item_added(&mut self, event: &Value) -> Judged {
        ensure(self.stage >= Stage::Created || self.partial, || {
            "it comes before response.created".to_owned()
        })?;
        self.stage = Stage::Output;
        let at = event["output_index"]
            .as_u64()
            .ok_or("`output_index` is not a number")?;
        let next = self.items.last_key_value().map(|(last, _)| last + 1);
        let next = next.or((!self.partial).then_some(0));
        ensure(next.is_none_or(|next| next == at), || {
            format!("`output_index` is {at}, expected {}", next.unwrap_or(0))
        })?;
        let item = Item::added(&event["item"])?;
        ensure(self.items.values().all(|other| other.id != item.id), || {
            format!("item id `{}` is used twice", item.id)
        })?;
        self.items.insert(at, item);
        Ok(())
    }

    /// The item that an event is about; `None` if it was opened before a partial stream.
    fn place(&mut self, event: &Value, id_field: &str) -> Judged<(u64, Option<&mut Item>)> {
        let at = event["output_index"]
            .as_u64()
            .ok_or("`output_index` is not a number")?;
        let partial = self.partial;
        let first = self.items.first_key_value().map(|(first, _)| *first);
        let Some(item) = self.items.get_mut(&at) else {
            let before = partial && first.is_none_or(|first| at < first);
            ensure(before, || format!("no item was added at output_index {at}"))?;
            return Ok((at, None));
        };
        ensure(item.is_open(), || {
            format!("item `{}` is done already", item.id)
        })?;
        if !id_field.is_empty() {
            ensure(event[id_field] == item.id.as_str(), || {
                format!(
                    "`{id_field}` is {}, the item is `{}`",
                    event[id_field], item.id
                )
            })?;
        }
        Ok((at, Some(item)))
    }

    fn terminal(&mut self, event: &Value, statuses: &[&str]) -> Judged {
        ensure(self.stage >= Stage::Created || self.partial, || {
            "it comes before response.created".to_owned()
        })?;
        let response = self.response_of(event, statuses)?;
        self.stage = Stage::Terminal;
        self.response = response.clone();
        let output = response["output"]
            .as_array()
            .ok_or("`output` is not an array")?;
        let status = response["status"].as_str().unwrap_or_default();
        let failed = !response["error"].is_null();
        ensure(failed == (status == "failed"), || {
            format!("`error` is {} in a {status} response", response["error"])
        })?;
        let reason = response["incomplete_details"]["reason"].is_string();
        ensure(reason == (status == "incomplete"), || {
            format!("`incomplete_details` is {}", response["incomplete_details"])
        })?;
        let unfinished = output
            .iter()
            .position(|item| item["status"] == "incomplete");
        // Calls that a server writes side by side break off together.
        let alone = |at: usize| {
            let beside = &output[at..];
            beside.len() == 1 || beside.iter().all(|item| item["type"] == "function_call")
        };
        ensure(unfinished.is_none_or(alone), || {
            "an incomplete item is not the last one".to_owned()
        })?;
        ensure(unfinished.is_none() || status != "completed", || {
            "an item is incomplete in a completed response".to_owned()
        })?;
        if status == "cancelled" && output.is_empty() {
            return Ok(());
        }
        self.compare_output(output, matches!(status, "completed" | "incomplete"))
    }

    /// `whole`: every item is done and nothing else is in the output. A failed response may leave
    /// an item open, and may or may not list it.
    fn compare_output(&self, output: &[Value], whole: bool) -> Judged {
        for (at, item) in &self.items {
            let listed = output.get(*at as usize);
            match item.finished() {
                Some(done) => ensure(listed == Some(done), || {
                    format!("`output[{at}]` is not the item that the stream built: {done}")
                })?,
                None if whole => return Err(format!("item `{}` is not done", item.id)),
                None => {}
            }
        }
        let count = self
            .items
            .last_key_value()
            .map_or(0, |(last, _)| *last as usize + 1);
        let too_many = output.len() > count && !(self.partial && self.items.is_empty());
        ensure(!too_many, || {
            format!("`output` has {} items, the stream {count}", output.len())
        })
    }

    fn end(self) -> Judged<CheckedStream> {
        ensure(self.stage == Stage::Terminal || self.errored, || {
            "the stream ends without a terminal event".to_owned()
        })?;
        let items = self
            .items
            .values()
            .filter_map(Item::finished)
            .cloned()
            .collect();
        Ok(CheckedStream {
            response: self.response,
            items,
        })
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
