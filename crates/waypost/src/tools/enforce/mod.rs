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
mod rules;
mod violation;

use std::collections::VecDeque;

use serde_json::json;
use strict_schema::ArgumentChecker;
use waypost_engine::id;

pub use self::{
    rules::{Judge, Rules, TextRule, Tool},
    violation::{About, Violation},
};
use crate::{
    tools::{callable::Kind, custom::Grammar},
    upstream::generation::{CallKind, Delta, Finish, Usage},
};
use call::{Call, State, may_be_repaired};

/// Most that is held back of one answer, in bytes.
const MAX_HELD: usize = 32 * 1024 * 1024;

/// What became of a call or an answer, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Valid,
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

#[derive(Default)]
struct Text {
    checker: Option<ArgumentChecker>,
    written: String,
    held: Vec<Delta>,
    delivered: bool,
    problem: Option<(usize, String)>,
}

impl Enforcer {
    pub fn new(rules: Rules) -> Self {
        let mut enforcer = Self {
            rules,
            calls: Vec::new(),
            accepted: Vec::new(),
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
                self.held_bytes += text.len();
                self.words(text, logprobs, out)?;
            }
            Delta::Finish(finish) => self.finish = self.finish.or(Some(finish)),
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
            return Err(self.about_text(About::Missing, String::new()));
        }
        self.finish_text(whole, called, out)?;
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
        let fresh = self.reported.take().unwrap_or(Usage {
            output_tokens: pieces,
            ..Usage::default()
        });
        self.usage.input_tokens += fresh.input_tokens;
        self.usage.cached_tokens += fresh.cached_tokens;
        self.usage.output_tokens += fresh.output_tokens;
        self.usage.reasoning_tokens += fresh.reasoning_tokens;
    }

    fn call_at(&mut self, key: u64) -> usize {
        if let Some(at) = self.calls.iter().position(|call| call.key == key) {
            return at;
        }
        let mut call = Call::new(key, self.next_key);
        self.next_key += 1;
        if self.rules.one_call && !(self.calls.is_empty() && self.accepted.is_empty()) {
            call.state = State::Done;
            self.outcomes.push(Outcome::Cut);
        }
        self.calls.push(call);
        self.calls.len() - 1
    }

    /// More of a call has come.
    fn grow(&mut self, at: usize, out: &mut Vec<Delta>) -> Result<(), Box<Violation>> {
        if self.calls[at].tool.is_none() {
            if self.calls[at].name.is_none() {
                return Ok(());
            }
            self.identify(at, out)?;
        }
        let call = &mut self.calls[at];
        call.read();
        if call.problem.is_some() && call.shown.is_some() {
            return Err(self.about_call(at));
        }
        if call.problem.is_some() && !call.may_be_repaired() {
            self.outcomes.push(Outcome::StoppedEarly);
            return Err(self.about_call(at));
        }
        if call.problem.is_some() && !call.held {
            call.held = true;
            self.queue.push_back(Entry::Held(at));
        }
        if !call.held {
            self.show(at, out);
        }
        Ok(())
    }

    /// Finds out what is called.
    fn identify(&mut self, at: usize, out: &mut Vec<Delta>) -> Result<(), Box<Violation>> {
        let (namespace, name) = self.calls[at].name.clone().unwrap_or_default();
        let not_offered = |problem: &str| {
            Box::new(Violation {
                about: About::NotOffered { name: name.clone() },
                problem: problem.to_owned(),
                written: String::new(),
                good: 0,
                delivered: false,
            })
        };
        let Some(tool) = self.rules.find(namespace.as_deref(), &name) else {
            return Err(not_offered("There is no such tool."));
        };
        if !self.rules.tools[tool].allowed {
            return Err(not_offered("'tool_choice' does not allow it."));
        }
        if self.rules.hold_text && !self.corrects {
            // The words that came before the call go before it.
            for delta in std::mem::take(&mut self.text.held) {
                self.text.delivered = true;
                self.emit(delta, out);
            }
        }
        let call = &mut self.calls[at];
        call.begin(tool, &self.rules.tools[tool]);
        if call.held {
            self.queue.push_back(Entry::Held(at));
        }
        Ok(())
    }

    /// Delivers what can be delivered of a call that is not held.
    fn show(&mut self, at: usize, out: &mut Vec<Delta>) {
        let call = &self.calls[at];
        let Some(tool) = call.tool else { return };
        let from = call.shown.unwrap_or(0);
        let fresh = call.showable()[from..].to_owned();
        if fresh.is_empty() {
            return;
        }
        let opening = call.shown.is_none();
        let delta = self.piece(at, tool, opening, fresh.clone());
        self.calls[at].shown = Some(from + fresh.len());
        self.emit(delta, out);
    }

    fn piece(&self, at: usize, tool: usize, opening: bool, arguments: String) -> Delta {
        let call = &self.calls[at];
        let tool = &self.rules.tools[tool];
        Delta::ToolCall {
            key: call.out_key,
            kind: match tool.kind {
                Kind::Custom => CallKind::Custom,
                Kind::Function | Kind::Search => CallKind::Function,
            },
            call_id: call.call_id.clone().filter(|_| opening),
            name: opening.then(|| tool.name.clone()),
            namespace: tool.namespace.clone().filter(|_| opening),
            arguments,
        }
    }

    /// A call has ended: the verdict.
    fn finish_call(
        &mut self,
        at: usize,
        whole: bool,
        last: bool,
        out: &mut Vec<Delta>,
    ) -> Result<(), Box<Violation>> {
        let Some(tool_at) = self.calls[at].tool else {
            let name = String::new();
            return Err(Box::new(Violation {
                about: About::NotOffered { name },
                problem: "The call has no name.".to_owned(),
                written: self.calls[at].written.clone(),
                good: 0,
                delivered: false,
            }));
        };
        let tool = &self.rules.tools[tool_at];
        let call = &mut self.calls[at];
        let cut_off = !whole && call.problem.is_none();
        let (text, outcome) = match call.judge(tool) {
            Ok(judged) if !(judged.repaired && (cut_off || call.shown.is_some())) => {
                let outcome = if judged.repaired {
                    Outcome::Repaired
                } else {
                    Outcome::Valid
                };
                (judged.text, Some(outcome))
            }
            // It broke off because the answer did: that is no fault.
            _ if cut_off => (call.showable().to_owned(), None),
            Ok(_) => {
                call.problem.get_or_insert(call::Problem {
                    good: call.written.len(),
                    sentence: "The arguments end before they are whole.".to_owned(),
                });
                return Err(self.about_call(at));
            }
            Err(problem) => {
                if !tool.strict && (last || call.shown.is_some()) {
                    (call.written.clone(), Some(Outcome::PassedRaw))
                } else {
                    call.problem.get_or_insert(problem);
                    return Err(self.about_call(at));
                }
            }
        };
        self.outcomes.extend(outcome);
        self.deliver(at, tool_at, text, out);
        Ok(())
    }

    /// The call is what it is: the client gets what it has not got yet.
    fn deliver(&mut self, at: usize, tool_at: usize, text: String, out: &mut Vec<Delta>) {
        let tool = &self.rules.tools[tool_at];
        let call = &mut self.calls[at];
        call.state = State::Done;
        self.accepted.push(Accepted {
            name: tool.wire.1.clone(),
            arguments: call.written.clone(),
        });
        let mut deltas = Vec::new();
        if tool.kind == Kind::Search {
            deltas.extend(search(tool, call, &text));
        } else {
            let opening = call.shown.is_none();
            let rest = text[call.shown.unwrap_or(0).min(text.len())..].to_owned();
            call.shown = Some(text.len());
            if opening || !rest.is_empty() {
                deltas.push(self.piece(at, tool_at, opening, rest));
            }
        }
        let place = self
            .queue
            .iter()
            .position(|entry| matches!(entry, Entry::Held(held) if *held == at));
        match place {
            Some(place) => {
                self.queue.remove(place);
                for (offset, delta) in deltas.into_iter().enumerate() {
                    self.queue.insert(place + offset, Entry::Ready(delta));
                }
                self.flush(out);
            }
            None => {
                for delta in deltas {
                    self.emit(delta, out);
                }
            }
        }
    }

    /// Delivers, behind whatever waits.
    fn emit(&mut self, delta: Delta, out: &mut Vec<Delta>) {
        if self.queue.is_empty() {
            out.push(delta);
        } else {
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

    fn about_call(&self, at: usize) -> Box<Violation> {
        let call = &self.calls[at];
        let tool = call.tool.map(|tool| &self.rules.tools[tool]);
        let problem = call.problem.as_ref();
        Box::new(Violation {
            about: About::Call {
                label: tool.map(Tool::label).unwrap_or_default(),
                wire: tool.map(|tool| tool.wire.1.clone()).unwrap_or_default(),
            },
            problem: problem.map(|p| p.sentence.clone()).unwrap_or_default(),
            written: call.written.clone(),
            good: problem.map_or(0, |p| p.good),
            delivered: call.shown.is_some(),
        })
    }

    fn begin_text(&mut self) {
        self.text.checker = self
            .rules
            .text
            .as_ref()
            .and_then(|rule| rule.compiled.checker());
    }

    /// Words have come.
    fn words(
        &mut self,
        text: String,
        logprobs: Vec<serde_json::Value>,
        out: &mut Vec<Delta>,
    ) -> Result<(), Box<Violation>> {
        let state = &mut self.text;
        state.written.push_str(&text);
        if let (Some(checker), None) = (&mut state.checker, &state.problem)
            && let Err(mismatch) = checker.push(text.as_bytes())
        {
            state.problem = Some((mismatch.offset, violation::problem(&mismatch)));
        }
        let rule = self.rules.text.as_ref();
        if let (Some((good, problem)), Some(rule)) = (&self.text.problem, rule) {
            let hopeless = !may_be_repaired(&self.text.written, *good);
            // With tools it may be talk before a call.
            let decided = self.rules.tools.is_empty() && hopeless;
            if self.text.delivered || decided {
                if !self.text.delivered {
                    self.outcomes.push(Outcome::StoppedEarly);
                }
                let format = rule.name.clone();
                let problem = problem.clone();
                return Err(self.about_text(About::Text { format }, problem));
            }
        }
        let wait = self.text.problem.is_some()
            || rule.is_some_and(|rule| rule.hold)
            || self.rules.hold_text && self.accepted.is_empty() && self.calls.is_empty()
            || self.corrects && !self.rules.tools.is_empty();
        let delta = Delta::Text { text, logprobs };
        if wait {
            self.text.held.push(delta);
        } else {
            self.text.delivered = true;
            self.emit(delta, out);
        }
        Ok(())
    }

    /// The answer has ended: what is held of its words.
    fn finish_text(
        &mut self,
        whole: bool,
        called: bool,
        out: &mut Vec<Delta>,
    ) -> Result<(), Box<Violation>> {
        let held = std::mem::take(&mut self.text.held);
        let Some(rule) = &self.rules.text else {
            // Words around a corrected call are about the correction.
            if !(self.corrects && called) {
                out.extend(held);
            }
            return Ok(());
        };
        if self.refused && self.text.written.trim().is_empty() {
            return Ok(());
        }
        if !whole && self.text.problem.is_none() {
            out.extend(held);
            return Ok(());
        }
        let verdict = match &self.text.problem {
            Some((_, problem)) => Err(problem.clone()),
            None => rule
                .compiled
                .verdict(&self.text.written)
                .map(|_| ())
                .map_err(|mismatch| violation::problem(&mismatch)),
        };
        match verdict {
            Ok(()) => {
                self.outcomes.push(Outcome::Valid);
                out.extend(held);
                Ok(())
            }
            // Talk beside a call is no answer.
            Err(_) if called && !self.text.delivered => Ok(()),
            Err(problem) => {
                if !self.text.delivered
                    && let Some(text) = rule.compiled.repair(&self.text.written)
                {
                    self.outcomes.push(Outcome::Repaired);
                    out.push(Delta::Text {
                        text,
                        logprobs: Vec::new(),
                    });
                    return Ok(());
                }
                let format = rule.name.clone();
                Err(self.about_text(About::Text { format }, problem))
            }
        }
    }

    fn about_text(&self, about: About, problem: String) -> Box<Violation> {
        let text = &self.text;
        let good = text.problem.as_ref().map_or(0, |(good, _)| *good);
        Box::new(Violation {
            delivered: text.delivered && about != About::Missing,
            about,
            problem,
            written: text.written.clone(),
            good,
        })
    }
}

/// Most of what follows the only allowed call that is read, for the sake of
/// the token counts at the end.
const MAX_CUT: usize = 64 * 1024;

/// A search for tools: an item for the client to answer, or a word to whoever
/// answers it here.
fn search(tool: &Tool, call: &Call, arguments: &str) -> Vec<Delta> {
    let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap_or_default();
    if tool.searches_here {
        return vec![Delta::ToolSearch { arguments }];
    }
    let call_id = call.call_id.clone().unwrap_or_else(|| id::fresh("call_"));
    let item = |status: &str, arguments: serde_json::Value| {
        json!({
            "id": "",
            "type": "tool_search_call",
            "status": status,
            "execution": "client",
            "call_id": call_id,
            "arguments": arguments,
        })
    };
    let id = id::fresh("tsc_");
    let with_id = |mut item: serde_json::Value| {
        item["id"] = json!(id);
        item
    };
    vec![
        Delta::ItemAdded {
            key: call.out_key,
            item: with_id(item("in_progress", json!({}))),
        },
        Delta::ItemDone {
            key: call.out_key,
            item: with_id(item("completed", arguments)),
        },
    ]
}
