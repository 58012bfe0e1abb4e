//! What an earlier attempt left in the log, and how to go on from it.
//!
//! The one rule: what a reader may have been given is never altered. So a run
//! goes on from scratch when nothing was delivered, and from the open message's
//! text where the model server can continue an answer. Otherwise the turn that
//! broke off is taken back, if no reader has anything of it, and asked for again;
//! and if one has, the run does not go on.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use waypost_engine::events::EventBatch;

use super::{
    assemble::{Assembler, is_for_client},
    events::{is_about_an_item, type_of},
};
use crate::{
    model::{Generation, Prefix, Usage},
    tools::agent::{self, Earlier},
    upstream::Upstream,
};

/// What a run keeps beside the log: what its turns have cost, which no event
/// says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Of all turns that ended, over all attempts.
    pub spent: Usage,
    /// The events before this number are theirs. Not all of them may have been
    /// written.
    pub events: u64,
}

impl Checkpoint {
    pub fn encode(&self) -> Bytes {
        let json = serde_json::to_vec(self).expect("numbers are JSON");
        json.into()
    }

    /// A checkpoint of another version of this program is as good as none.
    pub fn decode(checkpoint: &[u8]) -> Option<Self> {
        serde_json::from_slice(checkpoint).ok()
    }
}

/// What a log says, folded.
#[derive(Debug, Default)]
pub struct Folded {
    /// `response.in_progress` is there already.
    pub announced: bool,
    assembler: Assembler,
    checkpoint: Checkpoint,
    /// Events read.
    events: u64,
    /// Readers may have been given the events before this number.
    pub read_to: u64,
    /// Where the turn begins that may have broken off.
    turn: u64,
    /// Where the whole thoughts end that it begins with.
    thoughts: u64,
    /// Whether it has more than them.
    has_more: bool,
    /// Where the last thing ends that this server did itself.
    acted: u64,
}

/// How to go on.
#[derive(Debug)]
pub enum Plan {
    /// Ask the model and append to what `assembler` holds. With `prefix`, the
    /// model is asked to continue that text. What is finished is the context
    /// of what comes.
    Run {
        assembler: Box<Assembler>,
        prefix: Option<Prefix>,
        earlier: Earlier,
    },
    /// Take the events from this number on back, then plan again; `why` if that
    /// leads nowhere.
    TakeBack {
        to: u64,
        assembler: Box<Assembler>,
        why: &'static str,
    },
    /// Going on would repeat or alter what was delivered.
    GiveUp {
        assembler: Box<Assembler>,
        why: &'static str,
    },
}

impl Folded {
    /// Begins at the first event, with what was kept beside the log.
    pub fn new(checkpoint: Option<Checkpoint>) -> Self {
        let checkpoint = checkpoint.unwrap_or_default();
        let mut assembler = Assembler::default();
        assembler.spent_before(checkpoint.spent);
        Self {
            announced: false,
            assembler,
            checkpoint,
            events: 0,
            read_to: 0,
            turn: 0,
            thoughts: 0,
            has_more: false,
            acted: 0,
        }
    }

    /// Takes in the next stretch of the log, as far as the event before `end`.
    pub fn read(&mut self, batch: &EventBatch, end: u64) {
        for event in batch.iter() {
            if self.events == end {
                return;
            }
            if self.events == self.checkpoint.events {
                self.assembler.is_counted();
                self.turn_begins();
            }
            self.events += 1;
            if !is_about_an_item(&event) {
                self.announced |= type_of(&event) == "response.in_progress";
                self.turn_begins();
            } else if let Ok(event) = serde_json::from_slice(&event) {
                // Our own log, written by `events::encode`: it parses.
                self.assembler.replay(&event);
                self.follow_turn(&event);
            }
        }
    }

    /// A turn begins here, unless something of the model's is open: where the
    /// model was asked once more, what it said before goes on.
    fn turn_begins(&mut self) {
        if !self.assembler.is_between_turns() {
            return;
        }
        self.turn = self.events;
        self.thoughts = self.events;
        self.has_more = false;
    }

    /// Keeps where the open turn begins, and where its first thoughts end. What
    /// this server did itself ends a turn.
    fn follow_turn(&mut self, event: &Value) {
        let item = &event["item"];
        let is_thought = item["type"] == "reasoning";
        match event["type"].as_str() {
            Some("response.output_item.added") => self.has_more |= !is_thought,
            Some("response.output_item.done") if is_thought && !self.has_more => {
                self.thoughts = self.events;
            }
            Some("response.output_item.done") if !is_the_models(item) => {
                self.acted = self.events;
                self.turn_begins();
            }
            _ => {}
        }
    }

    /// Where the log can be cut so that the rest can be asked for again: nobody
    /// has read what lies behind it.
    fn unread(&self) -> Option<u64> {
        if self.assembler.may_be_calling() {
            return None;
        }
        // What this server did may have had effects.
        let kept = self.read_to.max(self.acted);
        let unread = |to: &u64| kept <= *to && *to < self.events;
        [self.turn, self.thoughts].into_iter().find(unread)
    }

    /// How to go on at this upstream.
    pub fn plan(self, upstream: &Upstream, generation: &Generation) -> Plan {
        let unread = self.unread();
        let mut assembler = Box::new(self.assembler);
        if self.events <= self.checkpoint.events {
            assembler.is_counted();
        }
        if assembler.is_untouched() {
            return again(assembler);
        }
        let runs_tools = agent::runs_tools(generation);
        if (runs_tools || assembler.ends_with_search())
            && let Some(earlier) = assembler.between_turns()
        {
            return Plan::Run {
                assembler,
                prefix: None,
                earlier,
            };
        }
        let open = assembler
            .open_text()
            .ok_or("where it cannot be continued")
            .and_then(|prefix| can_continue(upstream, generation).map(|()| prefix));
        match open {
            Ok(prefix) => {
                assembler.continue_message();
                let earlier = if runs_tools || assembler.searched() {
                    assembler.earlier()
                } else {
                    Earlier::default()
                };
                Plan::Run {
                    assembler,
                    prefix: Some(prefix),
                    earlier,
                }
            }
            Err(why) => match unread {
                Some(to) => Plan::TakeBack { to, assembler, why },
                // Its thoughts are whole: what they led to is asked for.
                None if assembler.has_only_thoughts() => again(assembler),
                None => Plan::GiveUp { assembler, why },
            },
        }
    }
}

/// The turn is asked for from its beginning.
fn again(assembler: Box<Assembler>) -> Plan {
    let earlier = Earlier {
        spent: assembler.spent(),
        ..Earlier::default()
    };
    Plan::Run {
        assembler,
        prefix: None,
        earlier,
    }
}

/// Whether an output item is what a model says or calls, and nothing that this
/// server did.
fn is_the_models(item: &Value) -> bool {
    matches!(item["type"].as_str(), Some("message" | "reasoning")) || is_for_client(item)
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
    use serde_json::json;
    use waypost_engine::events::EventBatchBuilder;

    use super::*;
    use crate::model::{Delta, Finish};

    /// The text of a turn that ended is counted in what was kept; that of one
    /// that broke off is counted by its deltas.
    #[test]
    fn what_was_kept_is_not_counted_twice() {
        let text = |text: &str| Delta::Text {
            text: text.to_owned(),
            logprobs: Vec::new(),
        };
        let mut first = Assembler::default();
        let mut out = EventBatchBuilder::default();
        for word in ["a", "b", "c"] {
            first.apply(text(word), &mut out);
        }
        let spent = Usage {
            input_tokens: 10,
            output_tokens: 3,
            reported: true,
            ..Usage::default()
        };
        first.apply(Delta::Spent(spent), &mut out);
        let checkpoint = Checkpoint {
            spent: first.spent(),
            events: out.count(),
        };
        let item = json!({"id": "tsc_1", "type": "tool_search_call", "status": "in_progress"});
        let key = 0;
        first.apply(
            Delta::ItemAdded {
                key,
                item: item.clone(),
            },
            &mut out,
        );
        first.apply(Delta::ItemDone { key, item }, &mut out);
        let lost = out.take();
        for word in ["d", "e"] {
            first.apply(text(word), &mut out);
        }
        let written = out.take();
        let usage = |batches: &[&EventBatch]| {
            let checkpoint = Checkpoint::decode(&checkpoint.encode());
            let mut folded = Folded::new(checkpoint);
            for batch in batches {
                folded.read(batch, u64::MAX);
            }
            let mut assembler = folded.assembler;
            assembler.apply(
                Delta::Usage(Usage {
                    input_tokens: 20,
                    output_tokens: 4,
                    reported: true,
                    ..Usage::default()
                }),
                &mut EventBatchBuilder::default(),
            );
            assembler.apply(
                Delta::Finish(Finish::Stop),
                &mut EventBatchBuilder::default(),
            );
            let usage = assembler.usage();
            (
                usage["input_tokens"].clone(),
                usage["output_tokens"].clone(),
            )
        };
        assert_eq!(usage(&[&lost]), (json!(30), json!(7)));
        // Two deltas of the second turn: what continues them says nothing of them.
        assert_eq!(usage(&[&lost, &written]), (json!(28), json!(9)));
        assert_eq!(Checkpoint::decode(b"another version's"), None);
    }

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
