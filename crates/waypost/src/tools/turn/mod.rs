//! One turn of a model, with its calls as the client may rely on them.
//!
//! Flow: the [`plan::plan`] says what the server is asked and what the model is
//! held to; deltas go through the [`Reader`] where tools are emulated, and
//! through the [`Enforcer`]. What violates the rules ends the answer, and the
//! model is asked again, with what was wrong, as often as the configuration
//! allows.
//!
//! Easy to break: [`Turn::next`] may be dropped at any await. So a request that
//! is being opened, and deltas that were read, belong to the turn.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{
    RunContext,
    emulate::read::Reader,
    enforce::{Enforcer, Violation},
    plan::{self, Emulated, Plan},
};
use crate::{
    config::StructuredOutput,
    model::{Delta, Generation, ModelRequest, Prefix},
    upstream::{
        error::UpstreamError,
        stream::{self, AnswerStream},
    },
};

mod again;
mod reply;
mod searching;

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

/// What the metrics call it when a server is asked without its schemas, and
/// without a forced call.
const LOOSENED: &str = "loosened";
const UNFORCED: &str = "unforced";

/// Where the next deltas come from.
enum Source {
    Opening(Opening),
    Open(AnswerStream),
    Ended,
}

/// A request on its way, and what is to hold then, if that is something else.
type Opening = BoxFuture<'static, Result<(Option<Plan>, AnswerStream), UpstreamError>>;

struct Enforced {
    context: Arc<RunContext>,
    reading: Reading,
    ask: ModelRequest,
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
        context: &Arc<RunContext>,
        generation: &Arc<Generation>,
        prefix: Option<&Prefix>,
    ) -> Result<Self, UpstreamError> {
        let plan = plan::plan(context, generation, prefix.is_some()).await?;
        let reading = match plan {
            Some(_) => Reading::Enforced,
            None => Reading::Words {
                said: prefix.is_some(),
            },
        };
        let plan = plan.unwrap_or_else(|| Plan::free(generation));
        let (plan, answer) = open(context, plan, prefix).await?;
        let can = &context.upstream.capabilities;
        let reader = plan.emulated.map(|e| (e, Reader::new(e.may_answer)));
        Ok(Self {
            answer: Source::Open(answer),
            rules: Box::new(Enforced {
                context: Arc::clone(context),
                reading,
                ask: plan.ask,
                enforcer: Enforcer::new(plan.rules),
                emulated: reader,
                loosened: plan.loosened,
                reply: String::new(),
                keeps_beginnings: can.prefill.is_some()
                    && can.structured_output == StructuredOutput::None,
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

/// Sends the request. If the server refuses it, retries once without the schemas
/// that its engine cannot take, or without the forced call (`DeepSeek` takes no
/// such choice while it thinks); our own checks still enforce both.
async fn open(
    context: &RunContext,
    mut plan: Plan,
    prefix: Option<&Prefix>,
) -> Result<(Plan, AnswerStream), UpstreamError> {
    let refused = match ask(context, &plan.ask, prefix).await {
        Ok(answer) => return Ok((plan, answer)),
        Err(refused) => refused,
    };
    let upstream = &context.upstream;
    let can = &upstream.capabilities;
    let outcome = if can.compiles_grammars && !plan.loosened && refused.is_about_a_grammar() {
        let generation = &plan.ask.generation;
        match plan::loosened(context, generation, prefix.is_some()).await? {
            Some(loosened) => plan = loosened,
            None => return Err(refused),
        }
        LOOSENED
    } else if !can.constrains_tools && refused.is_about_a_choice() && plan.unforce() {
        UNFORCED
    } else {
        return Err(refused);
    };
    tracing::warn!(
        upstream = %upstream.name,
        error = %refused,
        outcome,
        "the model server refuses a request as it is; asking for less, and checking more here"
    );
    (context.tools.metrics).tool_outcome(&upstream.name, outcome);
    let answer = ask(context, &plan.ask, prefix).await?;
    Ok((plan, answer))
}

async fn ask(
    context: &RunContext,
    request: &ModelRequest,
    prefix: Option<&Prefix>,
) -> Result<AnswerStream, UpstreamError> {
    let (upstreams, upstream) = (&context.tools.upstreams, &context.upstream);
    stream::open(upstreams, upstream, request, &context.project_id, prefix).await
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
        let last = self.reasks >= self.context.tools.config.max_reasks;
        self.enforcer.end(last, out)?;
        Ok(false)
    }

    /// Hands what happened to the metrics.
    fn count(&mut self) {
        for outcome in self.enforcer.outcomes.drain(..) {
            let (metrics, upstream) = (&self.context.tools.metrics, &self.context.upstream);
            metrics.tool_outcome(&upstream.name, outcome.word());
        }
    }
}

#[cfg(test)]
mod tests;
