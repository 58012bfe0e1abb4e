//! Searches for tools are answered within the turn: the model goes on with what
//! was found.

use std::sync::Arc;

use futures::FutureExt;

use super::{Enforced, Opening, open};
use crate::{
    model::Delta,
    tools::{
        emulate::read::Reader,
        plan::{self, Plan},
        search,
    },
};

impl Enforced {
    /// Answers the searches for tools of an answer that has ended, and asks the
    /// model to go on; `None` if there were none, or if the client has calls to
    /// answer first.
    pub(super) fn search(&mut self, out: &mut Vec<Delta>) -> Option<Opening> {
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
        let context = Arc::clone(&self.context);
        let loosened = self.loosened;
        Some(
            async move {
                let plan = if loosened {
                    plan::loosened(&context, &next, false).await?
                } else {
                    plan::plan(&context, &next, false).await?
                };
                let plan = plan.unwrap_or_else(|| Plan::free(&next));
                let (plan, answer) = open(&context, plan, None).await?;
                Ok((Some(plan), answer))
            }
            .boxed(),
        )
    }

    /// The model goes on after a search.
    pub(super) fn goes_on(&mut self, plan: Plan) {
        self.ask = plan.ask;
        self.loosened = plan.loosened;
        self.enforcer.goes_on(plan.rules);
        self.emulated = plan.emulated.map(|e| (e, Reader::new(e.may_answer)));
        self.reply.clear();
    }
}
