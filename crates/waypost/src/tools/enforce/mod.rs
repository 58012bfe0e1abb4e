//! Holding a model to its tools: deltas of a model server go in, deltas that
//! the client may rely on come out. Pure.
//!
//! Flow: [`Enforcer::take`] for each delta, [`Enforcer::end`] when the answer
//! has ended. Either may say that something is wrong; whoever asked the model
//! then asks again ([`Enforcer::again`]) or fails.
//!
//! Easy to break: what was delivered cannot be taken back. So everything that
//! goes out passes [`Enforcer::emit`], which keeps the order, and a call that is
//! held keeps everything behind it waiting.

mod call;
mod calls;
mod rules;
mod text;
mod violation;

use std::collections::VecDeque;

pub use self::{
    rules::{Judge, Rules, TextRule, Tool},
    violation::{About, Violation, shortened},
};
use crate::model::{ClientTool, Delta, Finish, Usage};
use call::{Call, State};
use text::Text;

/// Most of what follows the only allowed call that is read, for the sake of
/// the token counts at the end.
const MAX_CUT: usize = 64 * 1024;
/// Most that is held back of one answer, in bytes.
const MAX_HELD: usize = 32 * 1024 * 1024;

/// What became of a call or an answer, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Valid,
    /// Not by the resolved schema, but by the client's own.
    ValidByOwnSchema,
    Repaired,
    PassedRaw,
    StoppedEarly,
    Reasked,
    Failed,
    /// A call beyond the one that is allowed.
    Cut,
}

impl Outcome {
    /// A stable word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::ValidByOwnSchema => "valid_by_own_schema",
            Self::Repaired => "repaired",
            Self::PassedRaw => "passed_raw",
            Self::StoppedEarly => "stopped_early",
            Self::Reasked => "reasked",
            Self::Failed => "failed",
            Self::Cut => "cut",
        }
    }
}

/// Holds one turn of a model to the rules.
pub struct Enforcer {
    pub rules: Rules,
    /// The calls of the answer that comes now.
    calls: Vec<Call>,
    /// Calls that the client has, from earlier answers too: what the model is
    /// told when it is asked again.
    accepted: Vec<Accepted>,
    /// Those of earlier answers that this one has not repeated.
    repeatable: Vec<Accepted>,
    queue: VecDeque<Entry>,
    text: Text,
    finish: Option<Finish>,
    refused: bool,
    usage: Usage,
    /// The counts of the answer that comes now, once it says them.
    reported: Option<Usage>,
    /// Deltas of the answer that comes now: about as many tokens.
    pieces: u64,
    next_key: u64,
    /// The answer corrects an earlier one.
    corrects: bool,
    held_bytes: usize,
    /// What happened since somebody looked.
    pub outcomes: Vec<Outcome>,
}

/// A call that the client has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub name: String,
    pub arguments: String,
}

/// What goes out, in order.
enum Entry {
    Ready(Delta),
    /// The call at this place, when it is known to be valid.
    Held(usize),
}

impl Enforcer {
    pub fn new(rules: Rules) -> Self {
        let mut enforcer = Self {
            rules,
            calls: Vec::new(),
            accepted: Vec::new(),
            repeatable: Vec::new(),
            queue: VecDeque::new(),
            text: Text::default(),
            finish: None,
            refused: false,
            usage: Usage::default(),
            reported: None,
            pieces: 0,
            next_key: 0,
            corrects: false,
            held_bytes: 0,
            outcomes: Vec::new(),
        };
        enforcer.begin_text();
        enforcer
    }

    /// Takes a delta of the model server. An error is something that nothing
    /// later in the answer can set right.
    pub fn take(&mut self, delta: Delta, out: &mut Vec<Delta>) -> Result<(), Box<Violation>> {
        match delta {
            Delta::ToolCall {
                key,
                kind: _,
                call_id,
                name,
                namespace,
                arguments,
            } => {
                self.pieces += 1;
                self.held_bytes += arguments.len();
                self.finish_whole(key, out)?;
                let at = self.call_at(key);
                let call = &mut self.calls[at];
                call.call_id = call.call_id.take().or(call_id);
                if let (None, Some(name)) = (&call.name, name) {
                    call.name = Some((namespace, name));
                }
                if call.state == State::Open {
                    call.written.push_str(&arguments);
                    self.grow(at, out)?;
                }
            }
            Delta::Text { text, logprobs } => {
                self.pieces += 1;
                self.words(text, logprobs, out)?;
            }
            Delta::Finish(finish) => self.finish = self.finish.or(Some(finish)),
            Delta::ItemDone { key, item } => {
                // A server that knows the client's tools calls them so.
                if let Some(tool) = ClientTool::of_call(&item) {
                    self.accepted.push(Accepted {
                        name: tool.name().to_owned(),
                        arguments: tool.arguments(&item),
                    });
                }
                self.emit(Delta::ItemDone { key, item }, out);
            }
            Delta::Usage(usage) => self.reported = Some(usage),
            Delta::Refusal(text) => {
                self.refused = true;
                self.emit(Delta::Refusal(text), out);
            }
            other => {
                self.pieces += u64::from(matches!(other, Delta::Reasoning(_)));
                self.emit(other, out);
            }
        }
        if self.held_bytes > MAX_HELD {
            return Err(Box::new(Violation {
                about: About::Form,
                problem: format!("It has more than {MAX_HELD} bytes."),
                written: String::new(),
                good: 0,
                delivered: true,
            }));
        }
        Ok(())
    }

    /// The answer has ended by itself. With `last`, the model is not asked
    /// again: what need not be valid passes as it is.
    pub fn end(&mut self, last: bool, out: &mut Vec<Delta>) -> Result<(), Box<Violation>> {
        let whole = self.finish.is_none_or(|finish| finish == Finish::Stop);
        for at in 0..self.calls.len() {
            if self.calls[at].state == State::Open {
                self.finish_call(at, whole, last, out)?;
            }
        }
        self.flush(out);
        let called = !self.accepted.is_empty();
        if whole && self.rules.must_call && !called {
            return Err(Box::new(self.about_text(About::Missing, String::new())));
        }
        self.finish_text(whole, called, last, out)?;
        self.sum_usage();
        out.push(Delta::Usage(self.usage));
        out.push(Delta::Finish(self.finish.unwrap_or(Finish::Stop)));
        Ok(())
    }

    /// The model is asked again: what comes now is another answer.
    pub fn again(&mut self) {
        self.sum_usage();
        self.calls.clear();
        self.queue.clear();
        self.text = Text::default();
        self.begin_text();
        self.finish = None;
        self.held_bytes = 0;
        self.corrects = true;
        self.repeatable.clone_from(&self.accepted);
    }

    /// The model goes on, by other rules: what it did so far was good.
    pub fn goes_on(&mut self, rules: Rules) {
        self.rules = rules;
        self.again();
        self.accepted.clear();
        self.repeatable.clear();
        self.corrects = false;
    }

    /// A number that no call and no item has.
    pub fn fresh_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key - 1
    }

    /// The calls that the client has.
    pub fn accepted(&self) -> &[Accepted] {
        &self.accepted
    }

    /// Whether words of this answer were delivered.
    pub fn said(&self) -> Option<&str> {
        (self.text.delivered && !self.text.written.trim().is_empty())
            .then_some(self.text.written.as_str())
    }

    /// Whether every call that the rules allow was made: nothing that follows
    /// counts.
    pub fn has_enough(&self) -> bool {
        self.rules.one_call
            && self.held_bytes > MAX_CUT
            && self.calls.iter().any(|call| call.state == State::Done)
    }

    /// Tokens of the answers that ended.
    pub fn spent(&self) -> Usage {
        self.usage
    }

    /// Whether the answer came to its own end, and was not cut off.
    pub fn ended_by_itself(&self) -> bool {
        self.finish == Some(Finish::Stop)
    }

    /// Whether the client has part of a call of this answer.
    pub fn shows_a_call(&self) -> bool {
        let open = |call: &Call| call.state == State::Open && call.shown.is_some();
        self.calls.iter().any(open)
    }

    fn sum_usage(&mut self) {
        let pieces = std::mem::take(&mut self.pieces);
        // An estimate, for keeping to the limit.
        let fresh = self.reported.take().unwrap_or(Usage {
            output_tokens: pieces,
            ..Usage::default()
        });
        self.usage = self.usage + fresh;
    }

    /// Delivers, behind whatever waits.
    fn emit(&mut self, delta: Delta, out: &mut Vec<Delta>) {
        if self.queue.is_empty() {
            out.push(delta);
        } else {
            self.held_bytes += delta.size();
            self.queue.push_back(Entry::Ready(delta));
        }
    }

    fn flush(&mut self, out: &mut Vec<Delta>) {
        while let Some(Entry::Ready(_)) = self.queue.front() {
            if let Some(Entry::Ready(delta)) = self.queue.pop_front() {
                out.push(delta);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strict_schema::Restore;

    use super::*;
    use crate::{
        model::CallKind,
        tools::{callable::Kind, schema::Schemas},
    };

    type Flood = (&'static str, Box<dyn Fn() -> Delta>);

    /// An enforcer that holds a call which has begun.
    fn holding() -> Enforcer {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string"}},
            "required": ["a"], "additionalProperties": false});
        let tool = Tool {
            kind: Kind::Function,
            namespace: None,
            name: "f".to_owned(),
            wire: (None, "f".to_owned()),
            allowed: true,
            strict: true,
            hold: true,
            judge: Judge::Arguments(Schemas::default().compiled(&schema)),
            own: None,
            restore: Restore::default(),
            searches_here: false,
            under_its_name: false,
        };
        let mut enforcer = Enforcer::new(Rules {
            tools: vec![tool],
            ..Rules::default()
        });
        let call = Delta::ToolCall {
            key: 0,
            kind: CallKind::Function,
            call_id: None,
            name: Some("f".to_owned()),
            namespace: None,
            arguments: "{\"a\": \"".to_owned(),
        };
        let mut out = Vec::new();
        enforcer.take(call, &mut out).expect("a good beginning");
        assert!(out.is_empty(), "it is held");
        enforcer
    }

    /// Whatever waits behind a held call is counted, in few large pieces and in
    /// many small ones.
    #[test]
    fn what_waits_behind_a_held_call_is_bounded() {
        let logprobs = || (0..64).map(|at| json!({"token": at})).collect();
        let floods: [Flood; 6] = [
            ("reasoning", Box::new(|| Delta::Reasoning("x".repeat(4096)))),
            (
                "pieces of it",
                Box::new(|| Delta::Reasoning("x".to_owned())),
            ),
            ("breaks", Box::new(|| Delta::ReasoningBreak)),
            (
                "summaries",
                Box::new(|| Delta::ReasoningSummary {
                    index: 0,
                    text: "x".repeat(64),
                }),
            ),
            ("refusals", Box::new(|| Delta::Refusal("x".repeat(64)))),
            (
                "words",
                Box::new(move || Delta::Text {
                    text: "x".to_owned(),
                    logprobs: logprobs(),
                }),
            ),
        ];
        for (what, delta) in floods {
            let mut enforcer = holding();
            let mut out = Vec::new();
            let mut taken = 0;
            let violation = loop {
                match enforcer.take(delta(), &mut out) {
                    Ok(()) => taken += 1,
                    Err(violation) => break violation,
                }
                assert!(taken <= MAX_HELD, "{what} has no end");
            };
            assert!(out.is_empty(), "{what}: behind the call");
            // It cannot be asked for again: it would come again.
            assert!(violation.delivered, "{what}");
            assert!(violation.problem.contains("bytes"), "{what}");
        }
    }
}
