//! A model that broke the rules is asked again: with what it wrote, what was
//! wrong, and what of it can stay.

use std::sync::Arc;

use futures::FutureExt;

use super::{Enforced, Opening};
use crate::{
    model::{Adapted, Delta, Prefix},
    tools::{
        emulate::{read::Reader, transcript},
        enforce::{About, Outcome, Violation, shortened},
        plan,
    },
    upstream::error::UpstreamError,
};

impl Enforced {
    /// Asks the model again, or says why that is not possible.
    pub(super) fn ask_again(
        &mut self,
        violation: &Violation,
        out: &mut Vec<Delta>,
    ) -> Result<Opening, UpstreamError> {
        let may = !violation.delivered && self.reasks < self.context.tools.config.max_reasks;
        tracing::info!(
            upstream = %self.context.upstream.name,
            problem = violation.sentence(),
            asks_again = may,
            "a model broke the rules of its tools"
        );
        let outcome = if may {
            Outcome::Reasked
        } else {
            Outcome::Failed
        };
        self.enforcer.outcomes.push(outcome);
        self.count();
        if !may {
            return Err(UpstreamError::Violation(violation.sentence()));
        }
        self.reasks += 1;
        let beginning = self.good_beginning(violation);
        self.correct(violation);
        self.enforcer.again();
        out.push(Delta::Spent(self.enforcer.spent()));
        self.deltas.clear();
        self.reply.clear();
        if let Some((emulated, reader)) = &mut self.emulated {
            *reader = Reader::new(emulated.may_answer);
        }
        if let Some(beginning) = &beginning {
            // It was good before; what it brings is delivered with the rest.
            self.deltas.push(Delta::Text {
                text: beginning.text.clone(),
                logprobs: Vec::new(),
            });
        }
        let context = Arc::clone(&self.context);
        let mut ask = self.ask.clone();
        let narrows = self.emulated.is_some()
            && !self.loosened
            && matches!(violation.about, About::Call { .. });
        if matches!(violation.about, About::Text { .. })
            && self.enforcer.accepted().is_empty()
            && let Some(adapted) = ask.adapted.as_deref()
            && let Some(answer) = &adapted.answer
        {
            // The model chose to answer: now the server can be given the format.
            ask.adapted = Some(Arc::new(Adapted {
                preamble: answer.preamble.clone(),
                items: adapted.items.clone(),
                text: Some(answer.text.clone()),
                ..Adapted::default()
            }));
        }
        Ok(async move {
            let plain = ask.adapted.clone();
            if narrows && let Some(text) = plan::narrower(&context, &ask.generation).await {
                let mut adapted = ask.adapted.as_deref().cloned().unwrap_or_default();
                adapted.text = Some(text);
                ask.adapted = Some(Arc::new(adapted));
            }
            let beginning = beginning.as_ref();
            let answer = super::ask(&context, &ask, beginning).await;
            let answer = match answer {
                // The wider form was taken before.
                Err(error) if narrows && error.is_about_a_grammar() => {
                    ask.adapted = plain;
                    super::ask(&context, &ask, beginning).await
                }
                answer => answer,
            };
            Ok((None, answer?))
        }
        .boxed())
    }

    /// The part of a reply that can stay: what came before the violation.
    /// Templates trim a message's end, so it ends in no white space.
    pub(super) fn good_beginning(&self, violation: &Violation) -> Option<Prefix> {
        if !self.keeps_beginnings {
            return None;
        }
        let good = match (&violation.about, &self.emulated) {
            (About::Text { .. }, None) => violation.written.get(..violation.good)?,
            (About::Call { .. }, Some(_)) => {
                let start = self.reply.rfind(&violation.written)?;
                self.reply.get(..start + violation.good)?
            }
            (About::Form, Some(_)) => self.reply.get(..violation.good)?,
            _ => return None,
        };
        let text = good.trim_end().to_owned();
        (!text.is_empty()).then_some(Prefix { text, tokens: 0 })
    }

    /// Adds to the context what the model did, and what was wrong with it.
    ///
    /// What it wrote is shown as text, not as a call: servers parse the
    /// arguments of calls in the context, and these cannot be parsed.
    pub(super) fn correct(&mut self, violation: &Violation) {
        let emulated = self.emulated.is_some();
        self.ask.appended.clear();
        let mut said = self.enforcer.said().unwrap_or_default().trim().to_owned();
        let wrote = if emulated && !self.reply.is_empty() {
            violation_text(&self.reply)
        } else {
            violation.shown().to_owned()
        };
        let mut say = |text: &str| {
            if !text.is_empty() && !said.contains(text) {
                if !said.is_empty() {
                    said.push('\n');
                }
                said.push_str(text);
            }
        };
        let accepted = self.enforcer.accepted();
        match &violation.about {
            About::Call { wire, .. } if !emulated => say(&format!("{wire}: {wrote}")),
            About::NotOffered { name } if !emulated => say(&shortened(name)),
            _ => say(&wrote),
        }
        let mut correction = violation.correction(emulated);
        if !accepted.is_empty() {
            correction.push_str(" These calls were accepted; do not repeat them:");
            for call in accepted {
                correction.push('\n');
                correction.push_str(&transcript::call(&call.name, &call.arguments));
            }
        }
        if said.is_empty() {
            // Templates want the sides to take turns.
            said.push_str("(no reply)");
        }
        self.ask.appended.push(transcript::assistant(&said));
        self.ask.appended.push(transcript::user(&correction));
    }
}

fn violation_text(reply: &str) -> String {
    let end = reply.floor_char_boundary(4096);
    reply[..end].to_owned()
}
