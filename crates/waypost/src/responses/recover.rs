//! What an earlier attempt left in the log, and how to go on from it.
//!
//! The one rule: text already delivered is never altered. So a run goes on
//! from scratch when nothing was delivered, from the open message's text where
//! the model server can continue an answer, and not at all otherwise.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use waypost_engine::events::EventBatch;

use super::{assemble::Assembler, events::type_of};
use crate::{
    tools::agent::{self, Earlier},
    upstream::{
        Upstream,
        generation::{Generation, Prefix, Usage},
    },
};

/// What a run keeps beside the log: what its turns have cost, which no event
/// says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Of all turns that ended, over all attempts.
    pub spent: Usage,
    /// The events before this number are theirs. Not all of them may have been
    /// written.
    pub events: u64,
}

impl Note {
    pub fn encode(&self) -> Bytes {
        let json = serde_json::to_vec(self).expect("numbers are JSON");
        json.into()
    }

    /// A note of another version of this program is as good as none.
    pub fn decode(note: &[u8]) -> Option<Self> {
        serde_json::from_slice(note).ok()
    }
}

/// What a log says, folded.
#[derive(Debug, Default)]
pub struct Folded {
    /// `response.in_progress` is there already.
    pub announced: bool,
    assembler: Assembler,
    note: Note,
    /// Events read.
    events: u64,
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
    /// Going on would repeat or alter what was delivered.
    GiveUp {
        assembler: Box<Assembler>,
        why: &'static str,
    },
}

impl Folded {
    /// Begins at the first event, with what was kept beside the log.
    pub fn new(note: Option<Note>) -> Self {
        let note = note.unwrap_or_default();
        let mut assembler = Assembler::default();
        assembler.spent_before(note.spent);
        Self {
            announced: false,
            assembler,
            note,
            events: 0,
        }
    }

    /// Takes in the next stretch of the log.
    pub fn read(&mut self, batch: &EventBatch) {
        for event in batch.iter() {
            if self.events == self.note.events {
                self.assembler.is_counted();
            }
            self.events += 1;
            match type_of(&event) {
                "response.created" | "response.queued" => {}
                "response.in_progress" => self.announced = true,
                _ => {
                    // Our own log, written by `events::encode`: it parses.
                    if let Ok(event) = serde_json::from_slice(&event) {
                        self.assembler.replay(&event);
                    }
                }
            }
        }
    }

    /// How to go on at this upstream.
    pub fn plan(self, upstream: &Upstream, generation: &Generation) -> Plan {
        let mut assembler = Box::new(self.assembler);
        if self.events <= self.note.events {
            assembler.is_counted();
        }
        if assembler.is_untouched() {
            return Plan::Run {
                assembler,
                prefix: None,
                earlier: Earlier::default(),
            };
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
        let Some(prefix) = assembler.open_text() else {
            return Plan::GiveUp {
                assembler,
                why: "where it cannot be continued",
            };
        };
        match can_continue(upstream, generation) {
            Ok(()) => {
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
            Err(why) => Plan::GiveUp { assembler, why },
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
    use crate::upstream::generation::{Delta, Finish};

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
            ..Usage::default()
        };
        first.apply(Delta::Spent(spent), &mut out);
        let note = Note {
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
            let note = Note::decode(&note.encode());
            let mut folded = Folded::new(note);
            for batch in batches {
                folded.read(batch);
            }
            let mut assembler = folded.assembler;
            assembler.apply(
                Delta::Usage(Usage {
                    input_tokens: 20,
                    output_tokens: 4,
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
        assert_eq!(Note::decode(b"another version's"), None);
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
