//! What an earlier attempt left in the log, and how to go on from it.
//!
//! The one rule: text already delivered is never altered. So a run goes on
//! from scratch when nothing was delivered, from the open message's text where
//! the model server can continue an answer, and not at all otherwise.

use serde_json::Value;
use waypost_engine::events::EventBatch;

use super::{
    assemble::{Assembler, OpenMessage},
    events::type_of,
};
use crate::upstream::{
    Upstream,
    generation::{Generation, Prefix},
};

/// What a log says, folded.
#[derive(Debug, Default)]
pub struct Folded {
    /// `response.in_progress` is there already.
    pub announced: bool,
    done: Vec<Option<Value>>,
    open: Vec<OpenItem>,
}

#[derive(Debug)]
struct OpenItem {
    index: u64,
    item: Value,
    parts: u64,
    text: String,
    logprobs: Vec<Value>,
    deltas: u64,
}

/// How to go on.
#[derive(Debug)]
pub enum Plan {
    /// Ask the model and append to what `assembler` holds. With `prefix`, the
    /// model is asked to continue that text.
    Run {
        assembler: Box<Assembler>,
        prefix: Option<Prefix>,
    },
    /// Going on would repeat or alter what was delivered.
    GiveUp {
        assembler: Box<Assembler>,
        why: &'static str,
    },
}

impl Folded {
    /// Takes in the next stretch of the log.
    pub fn read(&mut self, batch: &EventBatch) {
        for event in batch.iter() {
            match type_of(&event) {
                "response.in_progress" => self.announced = true,
                "response.output_item.added"
                | "response.output_item.done"
                | "response.content_part.added"
                | "response.output_text.delta" => self.event(&event),
                _ => {}
            }
        }
    }

    fn event(&mut self, event: &[u8]) {
        // Our own log, written by `events::encode`: it parses.
        let Ok(event) = serde_json::from_slice::<Value>(event) else {
            return;
        };
        let index = event["output_index"].as_u64().unwrap_or_default();
        let open = |open: &mut Vec<OpenItem>| open.iter().position(|o| o.index == index);
        match event["type"].as_str().unwrap_or_default() {
            "response.output_item.added" => {
                self.done.push(None);
                self.open.push(OpenItem {
                    index,
                    item: event["item"].clone(),
                    parts: 0,
                    text: String::new(),
                    logprobs: Vec::new(),
                    deltas: 0,
                });
            }
            "response.output_item.done" => {
                if let Some(at) = open(&mut self.open) {
                    self.open.remove(at);
                }
                if let Some(slot) = self.done.get_mut(index as usize) {
                    *slot = Some(event["item"].clone());
                }
            }
            "response.content_part.added" => {
                if let Some(at) = open(&mut self.open) {
                    self.open[at].parts += 1;
                }
            }
            _ => {
                if let Some(at) = open(&mut self.open) {
                    let item = &mut self.open[at];
                    item.deltas += 1;
                    item.text
                        .push_str(event["delta"].as_str().unwrap_or_default());
                    item.logprobs
                        .extend(event["logprobs"].as_array().cloned().unwrap_or_default());
                }
            }
        }
    }

    /// How to go on at this upstream.
    pub fn plan(mut self, upstream: &Upstream, generation: &Generation) -> Plan {
        if self.done.is_empty() {
            return Plan::Run {
                assembler: Box::default(),
                prefix: None,
            };
        }
        let opened = std::mem::take(&mut self.open);
        let (one, more) = {
            let mut items = opened.into_iter();
            (items.next(), items.count())
        };
        // Only the open item is missing from a dense list.
        let done: Vec<Value> = self.done.into_iter().flatten().collect();
        let Some(item) = one.filter(|_| more == 0) else {
            return give_up(done, None, "between two output items");
        };
        let is_text = item.item["type"] == "message" && item.parts == 1 && item.deltas > 0;
        let open = OpenMessage {
            index: item.index,
            id: item.item["id"].as_str().unwrap_or_default().to_owned(),
            phase: item.item["phase"].as_str().map(str::to_owned),
            text: item.text,
            logprobs: item.logprobs,
            deltas: item.deltas,
        };
        if !is_text {
            let message = (item.item["type"] == "message").then_some(open);
            return give_up(done, message, "inside an item that cannot be continued");
        }
        if let Err(why) = can_continue(upstream, generation) {
            return give_up(done, Some(open), why);
        }
        let prefix = Prefix {
            text: open.text.clone(),
            tokens: open.deltas,
        };
        Plan::Run {
            assembler: Box::new(Assembler::resume(done, Some(open))),
            prefix: Some(prefix),
        }
    }
}

/// Whether text that broke off can be continued at all.
fn can_continue(upstream: &Upstream, generation: &Generation) -> Result<(), &'static str> {
    if upstream.capabilities.prefill.is_none() {
        return Err("inside a message, and the model server cannot continue one");
    }
    // A server that constrains its output starts the grammar anew: the seam
    // would be in the middle of a JSON text.
    let format = generation
        .text
        .as_ref()
        .and_then(|t| t["format"]["type"].as_str());
    if format.is_some_and(|f| f != "text") {
        return Err("inside a structured answer, which cannot be continued");
    }
    Ok(())
}

fn give_up(done: Vec<Value>, open: Option<OpenMessage>, why: &'static str) -> Plan {
    Plan::GiveUp {
        assembler: Box::new(Assembler::resume(done, open)),
        why,
    }
}

/// Hides the seam between delivered text and its continuation.
///
/// Chat templates trim a message's end, so the prefix is sent without its
/// trailing white space, and the same white space is taken off the front of
/// what comes back. Where the model goes on differently, nothing is taken.
#[derive(Debug, Default)]
pub struct Seam {
    expected: String,
}

impl Seam {
    /// The prefix as it is sent, and the seam for what comes back.
    pub fn new(mut prefix: Prefix) -> (Prefix, Self) {
        let end = prefix.text.trim_end().len();
        let expected = prefix.text.split_off(end);
        (prefix, Self { expected })
    }

    /// The part of `text` that was not delivered before.
    pub fn pass<'a>(&mut self, text: &'a str) -> &'a str {
        if self.expected.is_empty() {
            return text;
        }
        if let Some(rest) = text.strip_prefix(self.expected.as_str()) {
            self.expected.clear();
            return rest;
        }
        if let Some(rest) = self.expected.strip_prefix(text) {
            self.expected = rest.to_owned();
            return "";
        }
        self.expected.clear();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(prefix: &str, pieces: &[&str]) -> String {
        let (sent, mut seam) = Seam::new(Prefix {
            text: prefix.into(),
            tokens: 1,
        });
        assert_eq!(sent.text, prefix.trim_end());
        let rest: String = pieces.iter().map(|p| seam.pass(p)).collect();
        format!("{prefix}{rest}")
    }

    #[test]
    fn white_space_at_the_seam_is_neither_lost_nor_doubled() {
        assert_eq!(through("one two ", &[" three"]), "one two three");
        assert_eq!(through("one two ", &["three"]), "one two three");
        assert_eq!(through("one tw", &["o three"]), "one two three");
        assert_eq!(through("one \n", &[" ", "\n", "two"]), "one \ntwo");
        assert_eq!(through("one", &[" two"]), "one two");
    }
}
