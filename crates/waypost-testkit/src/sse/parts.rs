//! One output item under the stream checker: its parts and streamed arguments.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::{Judged, ensure};

/// Events of streamed strings that are not content parts: prefix, field of `.done` and of the
/// item.
const ARGUMENTS: [(&str, &str); 3] = [
    ("response.function_call_arguments", "arguments"),
    ("response.mcp_call_arguments", "arguments"),
    ("response.custom_tool_call_input", "input"),
];

/// Events of text parts: prefix, part type, list they are in, field with the text.
const TEXTS: [(&str, &str, List, &str); 4] = [
    ("response.output_text", "output_text", List::Content, "text"),
    ("response.refusal", "refusal", List::Content, "refusal"),
    (
        "response.reasoning_text",
        "reasoning_text",
        List::Content,
        "text",
    ),
    (
        "response.reasoning_summary_text",
        "summary_text",
        List::Summary,
        "text",
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum List {
    Content,
    Summary,
}

impl List {
    fn index_field(self) -> &'static str {
        match self {
            Self::Content => "content_index",
            Self::Summary => "summary_index",
        }
    }

    fn item_field(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Summary => "summary",
        }
    }
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    added: Value,
    parts: BTreeMap<List, Vec<Part>>,
    arguments: Streamed,
    done: Option<Value>,
}

#[derive(Debug)]
struct Part {
    kind: String,
    text: Streamed,
    closed: Option<Value>,
}

/// A string that comes in deltas.
#[derive(Debug, Default)]
struct Streamed {
    text: String,
    deltas: usize,
    done: bool,
}

impl Item {
    pub(super) fn added(item: &Value) -> Judged<Self> {
        let id = item["id"].as_str().filter(|id| !id.is_empty());
        let id = id.ok_or("`item.id` is not a string")?.to_owned();
        ensure(item["type"].is_string(), || {
            "`item.type` is not a string".to_owned()
        })?;
        let status = &item["status"];
        ensure(status.is_null() || status == "in_progress", || {
            format!("the added item's status is {status}")
        })?;
        let is_empty = |field: &str| item[field].as_array().is_none_or(Vec::is_empty);
        ensure(is_empty("content") && is_empty("summary"), || {
            "the added item has content already".to_owned()
        })?;
        let parts = BTreeMap::new();
        Ok(Self {
            id,
            added: item.clone(),
            parts,
            arguments: Streamed::default(),
            done: None,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.done.is_none()
    }

    /// The item of `response.output_item.done`.
    pub(super) fn finished(&self) -> Option<&Value> {
        self.done.as_ref()
    }

    /// An event about this open item other than its end.
    pub(super) fn event(&mut self, kind: &str, event: &Value) -> Judged {
        match kind {
            "response.content_part.added" => return self.part_added(List::Content, event),
            "response.content_part.done" => return self.part_done(List::Content, event),
            "response.reasoning_summary_part.added" => {
                return self.part_added(List::Summary, event);
            }
            "response.reasoning_summary_part.done" => return self.part_done(List::Summary, event),
            _ => {}
        }
        for (prefix, field) in ARGUMENTS {
            match kind.strip_prefix(prefix) {
                Some(".delta") => return self.arguments.delta(event),
                Some(".done") => return self.arguments.done(&event[field], field),
                _ => {}
            }
        }
        for (prefix, part_kind, list, field) in TEXTS {
            let is_delta = match kind.strip_prefix(prefix) {
                Some(".delta") => true,
                Some(".done") => false,
                _ => continue,
            };
            ensure(
                part_kind != "output_text" || event["logprobs"].is_array(),
                || "`logprobs` is not an array".to_owned(),
            )?;
            let part = self.part(list, event)?;
            ensure(part.kind == part_kind, || {
                format!("the open part is `{}`", part.kind)
            })?;
            return if is_delta {
                part.text.delta(event)
            } else {
                part.text.done(&event[field], field)
            };
        }
        // Progress events of hosted tools and later additions: that the item is open is all.
        Ok(())
    }

    pub(super) fn done(&mut self, item: &Value) -> Judged {
        ensure(item["status"] != "in_progress", || {
            "its status is in_progress".to_owned()
        })?;
        for field in ["id", "type", "role", "call_id", "name"] {
            ensure(item[field] == self.added[field], || {
                format!(
                    "`{field}` was {}, now it is {}",
                    self.added[field], item[field]
                )
            })?;
        }
        for (list, parts) in &self.parts {
            let content = item[list.item_field()].as_array();
            let content = content.ok_or_else(|| format!("`{}` is missing", list.item_field()))?;
            ensure(content.len() == parts.len(), || {
                format!(
                    "it has {} parts, the stream had {}",
                    content.len(),
                    parts.len()
                )
            })?;
            for (part, value) in parts.iter().zip(content) {
                let closed = part.closed.as_ref().ok_or("a part is not done")?;
                ensure(closed == value, || {
                    format!("a part is {value}, it was done as {closed}")
                })?;
            }
        }
        let is_message = item["type"] == "message";
        let streamed = self.parts.get(&List::Content).map_or(0, Vec::len);
        let listed = item["content"].as_array().map_or(0, Vec::len);
        ensure(!is_message || streamed == listed, || {
            format!("the message has {listed} parts, the stream had {streamed}")
        })?;
        if let Some((_, field)) = ARGUMENTS.iter().find(|(_, field)| item[field].is_string()) {
            let streamed = &self.arguments;
            ensure(streamed.deltas == 0 || streamed.done, || {
                format!("`{field}` came in deltas, but its .done is missing")
            })?;
            ensure(
                !streamed.done || item[field] == streamed.text.as_str(),
                || {
                    format!(
                        "`{field}` is {}, the stream had {:?}",
                        item[field], streamed.text
                    )
                },
            )?;
        }
        self.done = Some(item.clone());
        Ok(())
    }

    fn part_added(&mut self, list: List, event: &Value) -> Judged {
        let kind = event["part"]["type"]
            .as_str()
            .ok_or("`part.type` is not a string")?;
        let parts = self.parts.entry(list).or_default();
        let field = list.index_field();
        ensure(event[field] == parts.len(), || {
            format!("`{field}` is {}, expected {}", event[field], parts.len())
        })?;
        ensure(parts.iter().all(|part| part.closed.is_some()), || {
            "the part before it is not done".to_owned()
        })?;
        parts.push(Part {
            kind: kind.to_owned(),
            text: Streamed::default(),
            closed: None,
        });
        Ok(())
    }

    fn part_done(&mut self, list: List, event: &Value) -> Judged {
        let part = self.part(list, event)?;
        let value = &event["part"];
        ensure(value["type"] == part.kind.as_str(), || {
            format!("the part was `{}`, now it is {}", part.kind, value["type"])
        })?;
        if let Some((_, _, _, field)) = TEXTS.iter().find(|(_, kind, ..)| *kind == part.kind) {
            ensure(part.text.done, || {
                "the part's own .done event is missing".to_owned()
            })?;
            ensure(value[field] == part.text.text.as_str(), || {
                format!("`part.{field}` is not the text of its .done event")
            })?;
        }
        part.closed = Some(value.clone());
        Ok(())
    }

    /// The open part that an event names.
    fn part(&mut self, list: List, event: &Value) -> Judged<&mut Part> {
        let field = list.index_field();
        let at = event[field]
            .as_u64()
            .ok_or_else(|| format!("`{field}` is not a number"))?;
        let part = self
            .parts
            .get_mut(&list)
            .and_then(|parts| parts.get_mut(at as usize));
        let part = part.ok_or_else(|| format!("no part was added at {field} {at}"))?;
        ensure(part.closed.is_none(), || {
            format!("the part at {field} {at} is done already")
        })?;
        Ok(part)
    }
}

impl Streamed {
    fn delta(&mut self, event: &Value) -> Judged {
        let delta = event["delta"].as_str().ok_or("`delta` is not a string")?;
        ensure(!self.done, || "a delta follows its .done".to_owned())?;
        self.text.push_str(delta);
        self.deltas += 1;
        Ok(())
    }

    /// Without deltas the `.done` is the text: that is how unstreamed arguments come.
    fn done(&mut self, value: &Value, field: &str) -> Judged {
        let text = value
            .as_str()
            .ok_or_else(|| format!("`{field}` is not a string"))?;
        ensure(!self.done, || "it is done twice".to_owned())?;
        self.done = true;
        if self.deltas == 0 {
            text.clone_into(&mut self.text);
            return Ok(());
        }
        ensure(self.text == text, || {
            format!("`{field}` is {text:?}, its deltas join to {:?}", self.text)
        })
    }
}
