//! The words of an answer: free, held, or of a structure.

use serde::de::IgnoredAny;
use serde_json::Value;
use strict_schema::ArgumentChecker;

use super::{About, Enforcer, Outcome, TextRule, Violation, call::may_be_repaired, violation};
use crate::{model::Delta, tools::schema::Compiled};

#[derive(Default)]
pub(super) struct Text {
    pub checker: Option<ArgumentChecker>,
    /// All of it where it has a structure, else its beginning.
    pub written: String,
    pub held: Vec<Delta>,
    pub delivered: bool,
    /// How many bytes are good, and what comes then.
    pub problem: Option<(usize, String)>,
}

impl Enforcer {
    pub(super) fn begin_text(&mut self) {
        self.text.checker = self
            .rules
            .text
            .as_ref()
            .and_then(|rule| rule.compiled.checker());
    }

    /// Words have come.
    pub(super) fn words(
        &mut self,
        text: String,
        logprobs: Vec<Value>,
        out: &mut Vec<Delta>,
    ) -> Result<(), Box<Violation>> {
        let state = &mut self.text;
        // Of free words the beginning will do, to show them to the model.
        if self.rules.text.is_some() || state.written.len() < violation::MAX_SHOWN {
            state.written.push_str(&text);
        }
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
                return Err(Box::new(self.about_text(About::Text { format }, problem)));
            }
        }
        let wait = self.text.problem.is_some()
            || rule.is_some_and(|rule| rule.hold)
            || self.rules.hold_text && self.accepted.is_empty() && self.calls.is_empty()
            || self.corrects && !self.rules.tools.is_empty();
        if wait || rule.is_some() {
            self.held_bytes += text.len();
        }
        let delta = Delta::Text { text, logprobs };
        if wait {
            self.text.held.push(delta);
        } else {
            self.text.delivered = true;
            self.emit(delta, out);
        }
        Ok(())
    }

    /// The answer has ended: what is held of its words. With `last`, what was
    /// only wished for is let go.
    pub(super) fn finish_text(
        &mut self,
        whole: bool,
        called: bool,
        last: bool,
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
        let written = &self.text.written;
        let problem = self.text.problem.as_ref().map(|(_, problem)| problem);
        let may_change = !self.text.delivered;
        match judge(rule, written, problem, may_change, last) {
            Ok(Judged::Good(outcome)) => {
                self.outcomes.push(outcome);
                out.extend(held);
                Ok(())
            }
            // Talk beside a call is no answer.
            _ if called && may_change => Ok(()),
            Ok(Judged::Repaired(text)) => {
                self.outcomes.push(Outcome::Repaired);
                out.push(Delta::Text {
                    text,
                    logprobs: Vec::new(),
                });
                Ok(())
            }
            Err(problem) => {
                let format = rule.name.clone();
                Err(Box::new(self.about_text(About::Text { format }, problem)))
            }
        }
    }

    pub(super) fn about_text(&self, about: About, problem: String) -> Violation {
        let text = &self.text;
        let good = text.problem.as_ref().map_or(0, |(good, _)| *good);
        Violation {
            delivered: text.delivered && about != About::Missing,
            about,
            problem,
            written: text.written.clone(),
            good,
        }
    }
}

/// What an answer with a structure is worth.
enum Judged {
    /// It stays as it is.
    Good(Outcome),
    Repaired(String),
}

/// The verdict on a whole answer, in which `problem` was found while it came.
/// `may_change`: the client has nothing of it yet.
fn judge(
    rule: &TextRule,
    written: &str,
    problem: Option<&String>,
    may_change: bool,
    last: bool,
) -> Result<Judged, String> {
    let verdict = |compiled: &Compiled, strict| {
        let verdict = compiled.verdict(written, strict);
        verdict
            .map(|_| ())
            .map_err(|wrong| violation::problems(&wrong))
    };
    let promised = match problem {
        Some(problem) => Err(problem.clone()),
        None => verdict(&rule.compiled, true),
    };
    let Some(wish) = &rule.wish else {
        let repaired = || rule.compiled.repair(written).filter(|_| may_change);
        return match promised {
            Ok(()) => Ok(Judged::Good(Outcome::Valid)),
            Err(problem) => repaired().map(Judged::Repaired).ok_or(problem),
        };
    };
    let wished = promised.clone().and_then(|()| verdict(wish, false));
    let Err(problem) = wished else {
        return Ok(Judged::Good(Outcome::Valid));
    };
    if may_change && let Some(text) = wish.repair(written) {
        return Ok(Judged::Repaired(text));
    }
    // Nothing that is JSON fails over a schema that is not strict.
    if last || !may_change {
        if serde_json::from_str::<IgnoredAny>(written).is_ok() {
            return Ok(Judged::Good(Outcome::PassedRaw));
        }
        if may_change && let Some(text) = rule.compiled.repair(written) {
            return Ok(Judged::Repaired(text));
        }
    }
    Err(problem)
}
