//! One turn of a model, with its calls as the client may rely on them.
//!
//! Flow: the [`wire::plan`] says what the server is asked and what the model is
//! held to; deltas go through the [`Reader`] where tools are emulated, and
//! through the [`Enforcer`]. What violates the rules ends the answer, and the
//! model is asked again, with what was wrong, as often as the configuration
//! allows.
//!
//! Easy to break: [`Turn::next`] may be dropped at any await. So a request that
//! is being opened, and deltas that were read, belong to the turn.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};

use super::{
    emulate::{
        read::{NoReply, Piece, Reader},
        transcript,
    },
    enforce::{About, Enforcer, Outcome, Violation, shortened},
    search,
    wire::{self, Emulated, Plan},
};
use crate::{
    app::AppRef,
    config::StructuredOutput,
    upstream::{
        Upstream,
        error::UpstreamError,
        generation::{Ask, CallKind, Delta, Generation, Prefix, Wire},
        stream::{self, AnswerStream},
    },
};

/// What came of asking for the next deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more.
    More,
    /// Everything given so far must be safe before the next deltas are asked
    /// for: what comes next has effects outside.
    Flush,
    /// The answer is whole.
    Done,
}

/// One answer of a model server, or several until one is good.
pub struct Turn {
    answer: Source,
    rules: Box<Enforced>,
}

/// How an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// By the rules.
    Enforced,
    /// Nothing was asked of it but words: it is passed on as it comes, until it
    /// calls something.
    Words {
        /// The client has some.
        said: bool,
    },
    /// Passed on, whatever it is.
    Anything,
}

/// What the metrics call it when a server is asked without its schemas.
const LOOSENED: &str = "loosened";

/// Where the next deltas come from.
enum Source {
    Opening(Opening),
    Open(AnswerStream),
    Ended,
}

/// A request on its way, and what is to hold then, if that is something else.
type Opening = BoxFuture<'static, Result<(Option<Plan>, AnswerStream), UpstreamError>>;

struct Enforced {
    app: AppRef,
    upstream: Arc<Upstream>,
    reading: Reading,
    ask: Ask,
    enforcer: Enforcer,
    emulated: Option<(Emulated, Reader)>,
    /// The server's engine does not take the schemas: nothing but the check
    /// here holds the model to them.
    loosened: bool,
    /// The text of an emulated reply, to show it to the model again.
    reply: String,
    /// Nothing constrains the text of an answer, and the server can go on with
    /// one: a good beginning can be kept.
    keeps_beginnings: bool,
    reasks: u32,
    /// Tokens that were taken off the limit already.
    counted: u64,
    searches: usize,
    /// Read and not yet taken in.
    deltas: Vec<Delta>,
}

impl Turn {
    /// Asks the model. With `prefix`, it is to continue that text.
    pub async fn open(
        app: &AppRef,
        upstream: &Arc<Upstream>,
        generation: &Arc<Generation>,
        prefix: Option<&Prefix>,
    ) -> Result<Self, UpstreamError> {
        let plan = wire::plan(app, upstream, generation, prefix.is_some()).await?;
        let reading = match plan {
            Some(_) => Reading::Enforced,
            None => Reading::Words {
                said: prefix.is_some(),
            },
        };
        let plan = plan.unwrap_or_else(|| Plan::free(generation));
        let (plan, answer) = open(app, upstream, plan, prefix).await?;
        let reader = plan.emulated.map(|e| (e, Reader::new(e.may_answer)));
        Ok(Self {
            answer: Source::Open(answer),
            rules: Box::new(Enforced {
                app: app.clone(),
                upstream: upstream.clone(),
                reading,
                ask: plan.ask,
                enforcer: Enforcer::new(plan.rules),
                emulated: reader,
                loosened: plan.loosened,
                reply: String::new(),
                keeps_beginnings: upstream.capabilities.prefill.is_some()
                    && upstream.capabilities.structured_output == StructuredOutput::None,
                reasks: 0,
                counted: 0,
                searches: 0,
                deltas: Vec::new(),
            }),
        })
    }

    /// Goes on after so many searches of the same response.
    #[must_use]
    pub fn after_searches(mut self, searches: usize) -> Self {
        self.rules.searches = searches;
        self
    }

    /// Lets calls through although the model has no tools: for whoever has its
    /// own use for them.
    #[must_use]
    pub fn with_any_calls(mut self) -> Self {
        if let Reading::Words { .. } = self.rules.reading {
            self.rules.reading = Reading::Anything;
        }
        self
    }

    /// Appends the next deltas to `out`. Cancel-safe: a dropped future loses
    /// nothing.
    pub async fn next(&mut self, out: &mut Vec<Delta>) -> Result<Step, UpstreamError> {
        if let Source::Opening(opening) = &mut self.answer {
            let opened = opening.await;
            self.answer = Source::Ended;
            let (plan, answer) = opened?;
            self.answer = Source::Open(answer);
            if let Some(plan) = plan {
                self.rules.goes_on(plan);
            }
        }
        let Source::Open(answer) = &mut self.answer else {
            return Ok(Step::Done);
        };
        let rules = &mut self.rules;
        let more = if rules.reading == Reading::Enforced {
            answer.next(&mut rules.deltas).await?
        } else {
            let before = out.len();
            let more = answer.next(out).await?;
            if !rules.is_called(out, before) {
                return Ok(if more { Step::More } else { Step::Done });
            }
            more
        };
        let taken = rules.take(more, out);
        rules.count();
        match taken {
            Ok(true) => Ok(Step::More),
            Ok(false) => {
                if let Some(opening) = rules.search(out) {
                    self.answer = Source::Opening(opening);
                    return Ok(Step::More);
                }
                self.answer = Source::Ended;
                Ok(Step::Done)
            }
            Err(mut violation) => {
                violation.delivered |= rules.reading == Reading::Words { said: true };
                rules.reading = Reading::Enforced;
                // Dropping the answer ends the request at the model server.
                self.answer = Source::Ended;
                self.answer = Source::Opening(rules.ask_again(&violation, out)?);
                Ok(Step::More)
            }
        }
    }
}

/// Asks for an answer; where the server's engine cannot take the schemas, once
/// more without them: the check here is what makes calls valid in any case.
async fn open(
    app: &AppRef,
    upstream: &Arc<Upstream>,
    plan: Plan,
    prefix: Option<&Prefix>,
) -> Result<(Plan, AnswerStream), UpstreamError> {
    let refused = match stream::open(&app.upstreams, upstream, &plan.ask, prefix).await {
        Ok(answer) => return Ok((plan, answer)),
        Err(refused) => refused,
    };
    let compiles = upstream.capabilities.compiles_grammars && !plan.loosened;
    if !(compiles && refused.is_about_a_grammar()) {
        return Err(refused);
    }
    let generation = &plan.ask.generation;
    let Some(plan) = wire::loosened(app, upstream, generation, prefix.is_some()).await? else {
        return Err(refused);
    };
    tracing::warn!(
        upstream = %upstream.name,
        error = %refused,
        "the model server's engine cannot take the schemas of a request; asking without them"
    );
    app.metrics.tool_outcome(&upstream.name, LOOSENED);
    let answer = stream::open(&app.upstreams, upstream, &plan.ask, prefix).await?;
    Ok((plan, answer))
}

impl Enforced {
    /// Whether the model calls something in an answer that was to be words
    /// alone. What came with that is taken back from `out`, to be judged.
    fn is_called(&mut self, out: &mut Vec<Delta>, before: usize) -> bool {
        let Reading::Words { said } = &mut self.reading else {
            return false;
        };
        let is_call = |delta: &Delta| matches!(delta, Delta::ToolCall { .. });
        if out[before..].iter().any(is_call) {
            self.deltas = out.split_off(before);
            return true;
        }
        *said |= out[before..]
            .iter()
            .any(|delta| matches!(delta, Delta::Text { .. } | Delta::Refusal(_)));
        false
    }

    /// Takes in what was read; whether there is more to come.
    fn take(&mut self, more: bool, out: &mut Vec<Delta>) -> Result<bool, Box<Violation>> {
        for delta in std::mem::take(&mut self.deltas) {
            match (&mut self.emulated, delta) {
                (Some(_), Delta::Text { text, .. }) => self.reply(&text, out)?,
                (_, delta) => self.enforcer.take(delta, out)?,
            }
        }
        if more && !self.enforcer.has_enough() {
            return Ok(true);
        }
        if let Some((_, reader)) = &mut self.emulated
            && self.enforcer.ended_by_itself()
        {
            let mut pieces = Vec::new();
            let ended = reader.end(&mut pieces);
            self.pieces(pieces, out)?;
            ended.map_err(|wrong| Box::new(self.form(&wrong)))?;
        }
        let last = self.reasks >= self.app.config.tools.max_reasks;
        self.enforcer.end(last, out)?;
        Ok(false)
    }

    /// Takes in text of a reply whose tools are emulated.
    fn reply(&mut self, text: &str, out: &mut Vec<Delta>) -> Result<(), Box<Violation>> {
        let Some((_, reader)) = &mut self.emulated else {
            return Ok(());
        };
        self.reply.push_str(text);
        let mut pieces = Vec::new();
        let read = reader.push(text, &mut pieces);
        self.pieces(pieces, out)?;
        read.map_err(|wrong| Box::new(self.form(&wrong)))
    }

    fn pieces(&mut self, pieces: Vec<Piece>, out: &mut Vec<Delta>) -> Result<(), Box<Violation>> {
        for piece in pieces {
            let delta = match piece {
                Piece::Text(text) => Delta::Text {
                    text,
                    logprobs: Vec::new(),
                },
                Piece::Thought(text) => Delta::Reasoning(text),
                Piece::Call {
                    key,
                    name,
                    arguments,
                } => Delta::ToolCall {
                    key,
                    kind: CallKind::Function,
                    call_id: None,
                    name,
                    namespace: None,
                    arguments,
                },
            };
            self.enforcer.take(delta, out)?;
        }
        Ok(())
    }

    fn form(&self, wrong: &NoReply) -> Violation {
        Violation {
            about: About::Form,
            problem: format!(
                "After {} bytes, {} was expected.",
                wrong.offset, wrong.expected
            ),
            written: self.reply.clone(),
            good: wrong.offset,
            delivered: self.enforcer.said().is_some() || self.enforcer.shows_a_call(),
        }
    }

    /// Asks the model again, or says why that is not possible.
    fn ask_again(
        &mut self,
        violation: &Violation,
        out: &mut Vec<Delta>,
    ) -> Result<Opening, UpstreamError> {
        let may = !violation.delivered && self.reasks < self.app.config.tools.max_reasks;
        tracing::info!(
            upstream = %self.upstream.name,
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
        let app = self.app.clone();
        let upstream = self.upstream.clone();
        let mut ask = self.ask.clone();
        let narrows = self.emulated.is_some()
            && !self.loosened
            && matches!(violation.about, About::Call { .. });
        if matches!(violation.about, About::Text { .. })
            && self.enforcer.accepted().is_empty()
            && let Some(wire) = ask.wire.as_deref()
            && let Some(answer) = &wire.answer
        {
            // The model chose to answer: now the server can be given the format.
            ask.wire = Some(Arc::new(Wire {
                preamble: answer.preamble.clone(),
                items: wire.items.clone(),
                text: Some(answer.text.clone()),
                ..Wire::default()
            }));
        }
        Ok(async move {
            let plain = ask.wire.clone();
            if narrows && let Some(text) = wire::narrower(&app, &upstream, &ask.generation).await {
                let mut wire = ask.wire.as_deref().cloned().unwrap_or_default();
                wire.text = Some(text);
                ask.wire = Some(Arc::new(wire));
            }
            let beginning = beginning.as_ref();
            let answer = stream::open(&app.upstreams, &upstream, &ask, beginning).await;
            let answer = match answer {
                // The wider form was taken before.
                Err(error) if narrows && error.is_about_a_grammar() => {
                    ask.wire = plain;
                    stream::open(&app.upstreams, &upstream, &ask, beginning).await
                }
                answer => answer,
            };
            Ok((None, answer?))
        }
        .boxed())
    }

    /// Answers the searches for tools of an answer that has ended, and asks the
    /// model to go on; `None` if there were none, or if the client has calls to
    /// answer first.
    fn search(&mut self, out: &mut Vec<Delta>) -> Option<Opening> {
        let mut found = Vec::new();
        let mut said = Vec::with_capacity(out.len());
        for delta in out.drain(..) {
            let Delta::ToolSearch { arguments } = delta else {
                said.push(delta);
                continue;
            };
            let tools = search::find(&self.ask.generation, &arguments);
            for item in search::items(&arguments, &tools) {
                let key = self.enforcer.fresh_key();
                let opening = search::opening(&item);
                said.push(Delta::ItemAdded { key, item: opening });
                found.push(item.clone());
                said.push(Delta::ItemDone { key, item });
            }
        }
        *out = said;
        // Each search became two items.
        let for_client = self.enforcer.accepted().len() > found.len() / 2;
        if found.is_empty() || for_client {
            return None;
        }
        self.searches += 1;
        out.retain(|delta| !matches!(delta, Delta::Usage(_) | Delta::Finish(_)));
        let spent = self.enforcer.spent();
        out.extend([
            Delta::Spent(spent),
            Delta::Message { phase: None },
            Delta::ReasoningBreak,
        ]);
        let last = self.searches >= search::MAX_SEARCHES;
        let mut next = search::after(&self.ask.generation, &found, last);
        next.spend(spent.output_tokens - self.counted);
        self.counted = spent.output_tokens;
        let next = Arc::new(next);
        let (app, upstream) = (self.app.clone(), self.upstream.clone());
        let loosened = self.loosened;
        Some(
            async move {
                let plan = if loosened {
                    wire::loosened(&app, &upstream, &next, false).await?
                } else {
                    wire::plan(&app, &upstream, &next, false).await?
                };
                let plan = plan.unwrap_or_else(|| Plan::free(&next));
                let (plan, answer) = open(&app, &upstream, plan, None).await?;
                Ok((Some(plan), answer))
            }
            .boxed(),
        )
    }

    /// The model goes on after a search.
    fn goes_on(&mut self, plan: Plan) {
        self.ask = plan.ask;
        self.loosened = plan.loosened;
        self.enforcer.goes_on(plan.rules);
        self.emulated = plan.emulated.map(|e| (e, Reader::new(e.may_answer)));
        self.reply.clear();
    }

    /// The part of a reply that can stay: what came before the violation.
    /// Templates trim a message's end, so it ends in no white space.
    fn good_beginning(&self, violation: &Violation) -> Option<Prefix> {
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
    fn correct(&mut self, violation: &Violation) {
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

    /// Hands what happened to the metrics.
    fn count(&mut self) {
        for outcome in self.enforcer.outcomes.drain(..) {
            self.app
                .metrics
                .tool_outcome(&self.upstream.name, outcome.word());
        }
    }
}

fn violation_text(reply: &str) -> String {
    let end = reply.floor_char_boundary(4096);
    reply[..end].to_owned()
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
