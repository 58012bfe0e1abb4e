//! Calls: begun, grown, judged, delivered.

use serde_json::{Value, json};
use waypost_engine::id;

use super::{
    About, Accepted, Enforcer, Entry, Judge, Outcome, Tool, Violation,
    call::{Call, Problem, State},
};
use crate::{
    model::{CallKind, Delta, MAX_ID},
    tools::callable::Kind,
};

impl Enforcer {
    pub(super) fn call_at(&mut self, key: u64) -> usize {
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
    pub(super) fn grow(&mut self, at: usize, out: &mut Vec<Delta>) -> Result<(), Box<Violation>> {
        if self.calls[at].tool.is_none() {
            if self.calls[at].name.is_none() {
                return Ok(());
            }
            self.identify(at, out)?;
        }
        let call = &mut self.calls[at];
        call.read();
        if call.problem.is_some() && !call.may_be_repaired() {
            self.outcomes.push(Outcome::StoppedEarly);
            return Err(Box::new(self.about_call(at)));
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
        // Nothing of a repeated call is to be seen.
        call.held |= !self.repeatable.is_empty();
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
                Kind::Function | Kind::Search | Kind::Client(_) => CallKind::Function,
            },
            call_id: call.call_id.clone().filter(|_| opening),
            name: opening.then(|| tool.name.clone()),
            namespace: tool.shown_namespace().filter(|_| opening),
            arguments,
        }
    }

    /// Another call begins: models write one after the other, so those whose
    /// arguments are whole and valid have ended. Servers that send calls beside
    /// each other begin them before the others are whole.
    pub(super) fn finish_whole(
        &mut self,
        beginning: u64,
        out: &mut Vec<Delta>,
    ) -> Result<(), Box<Violation>> {
        if self.calls.iter().any(|call| call.key == beginning) {
            return Ok(());
        }
        for at in 0..self.calls.len() {
            let call = &mut self.calls[at];
            let Some(tool) = call.tool.filter(|_| call.state == State::Open) else {
                continue;
            };
            let tool = &self.rules.tools[tool];
            let ends = call.problem.is_none()
                && tool.kind != Kind::Search
                && !matches!(tool.judge, Judge::Input(_))
                && call.written.trim_end().ends_with('}')
                && call.judge(tool).is_ok_and(|judged| !judged.repaired);
            if ends {
                let key = call.out_key;
                self.finish_call(at, true, false, out)?;
                self.emit(Delta::CallEnd { key }, out);
            }
        }
        Ok(())
    }

    /// A call has ended: the verdict.
    pub(super) fn finish_call(
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
        // What was delivered has to be the beginning of what is.
        let shown = call.shown.unwrap_or(0);
        let goes_on = |call: &Call, text: &str| text.starts_with(&call.showable()[..shown]);
        let judged = call.judge(tool);
        let (text, outcome) = match judged {
            Ok(judged) if !judged.repaired && judged.by_own => {
                (judged.text, Some(Outcome::ValidByOwnSchema))
            }
            Ok(judged) if !judged.repaired => (judged.text, Some(Outcome::Valid)),
            // It broke off because the answer did: that is no fault.
            _ if cut_off => (call.showable().to_owned(), None),
            Ok(judged) if goes_on(call, &judged.text) => (judged.text, Some(Outcome::Repaired)),
            _ if !tool.strict && (last || call.shown.is_some()) => {
                (call.written.clone(), Some(Outcome::PassedRaw))
            }
            judged => {
                call.problem.get_or_insert_with(|| {
                    judged.err().unwrap_or_else(|| Problem {
                        good: call.written.len(),
                        sentence: "The arguments end before they are whole.".to_owned(),
                    })
                });
                return Err(Box::new(self.about_call(at)));
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
        let repeats = |before: &Accepted| {
            let same = || json_of(&before.arguments) == json_of(&call.written);
            before.name == tool.wire.1 && same()
        };
        if call.shown.is_none()
            && let Some(before) = self.repeatable.iter().position(repeats)
        {
            // The model was told not to, and some do: it was meant once.
            self.repeatable.remove(before);
            self.outcomes.push(Outcome::Cut);
            self.queue
                .retain(|entry| !matches!(entry, Entry::Held(held) if *held == at));
            self.flush(out);
            return;
        }
        self.accepted.push(Accepted {
            name: tool.wire.1.clone(),
            arguments: call.written.clone(),
        });
        let key = call.out_key;
        let deltas = match tool.kind {
            Kind::Search if tool.searches_here => vec![Delta::ToolSearch {
                arguments: meant(&text),
            }],
            Kind::Search => search(key, &self.answerable_id(at), meant(&text)),
            Kind::Client(client) => client.call(key, &self.answerable_id(at), &text),
            Kind::Custom | Kind::Function => {
                let opening = call.shown.is_none();
                let rest = text[call.shown.unwrap_or(0).min(text.len())..].to_owned();
                call.shown = Some(text.len());
                let piece = opening || !rest.is_empty();
                Vec::from_iter(piece.then(|| self.piece(at, tool_at, opening, rest)))
            }
        };
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

    /// The call's id, if it can be sent back and no other call has it; else a
    /// fresh one.
    fn answerable_id(&self, at: usize) -> String {
        let mut others = (0..self.calls.len()).filter(|other| *other != at);
        let own = self.calls[at].call_id.as_ref();
        own.filter(|id| (1..=MAX_ID).contains(&id.len()))
            .filter(|id| !others.any(|other| self.calls[other].call_id.as_ref() == Some(id)))
            .cloned()
            .unwrap_or_else(|| id::fresh("call_"))
    }

    pub(super) fn about_call(&self, at: usize) -> Violation {
        let call = &self.calls[at];
        let tool = call.tool.map(|tool| &self.rules.tools[tool]);
        let problem = call.problem.as_ref();
        Violation {
            about: About::Call {
                label: tool.map(Tool::label).unwrap_or_default(),
                wire: tool.map(|tool| tool.wire.1.clone()).unwrap_or_default(),
            },
            problem: problem.map(|p| p.sentence.clone()).unwrap_or_default(),
            written: call.written.clone(),
            good: problem.map_or(0, |p| p.good),
            delivered: call.shown.is_some(),
        }
    }
}

/// What the arguments mean; their text where they mean nothing.
fn json_of(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap_or_else(|_| Value::String(arguments.to_owned()))
}

/// The arguments of a search; null where they are no JSON.
fn meant(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap_or_default()
}

/// A search for tools: an item for the client to answer.
fn search(key: u64, call_id: &str, arguments: Value) -> Vec<Delta> {
    let item = |status: &str, arguments: Value| {
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
    let with_id = |mut item: Value| {
        item["id"] = json!(id);
        item
    };
    vec![
        Delta::ItemAdded {
            key,
            item: with_id(item("in_progress", json!({}))),
        },
        Delta::ItemDone {
            key,
            item: with_id(item("completed", arguments)),
        },
    ]
}
