//! Turns of the model: asked with what is known by then, sorted as they come,
//! and what they want done next.

use std::sync::Arc;

use futures::FutureExt;

use super::{Doing, MAX_TURNS, Making, Todo, ToolLoop};
use crate::{
    model::{Delta, Finish, Generation},
    tools::{
        agent::collector::{Sorting, TurnCollector, Wanted},
        mcp::{catalogue::Catalogue, choice, history, items},
        turn::Turn,
    },
    upstream::error::UpstreamError,
};

impl ToolLoop {
    pub(super) fn ask(&mut self) {
        let spent = self.spent_before.saturating_add(self.usage.output_tokens);
        let left = self
            .base
            .max_output_tokens
            .map(|max| max.saturating_sub(spent));
        if left == Some(0) {
            self.finish = Finish::Length;
            self.todo.push_front(Todo::End);
            return;
        }
        self.offered = self.calls_left() > 0 && self.turns < MAX_TURNS;
        let nothing = Catalogue::default();
        let offer = if self.offered {
            &self.catalogue
        } else {
            &nothing
        };
        let mut tools = self.tools.clone();
        tools.extend(offer.functions());
        let is_first = self.turns == 0 && self.offered;
        let choice = choice::for_turn(self.base.tool_choice.as_ref(), offer, is_first);
        let choice = match choice {
            Ok(choice) => choice,
            Err(message) => {
                self.failure = Some(UpstreamError::Unsupported {
                    message,
                    param: "tool_choice".to_owned(),
                });
                return;
            }
        };
        let generation = Arc::new(Generation {
            items: history::for_model(&self.history, &self.catalogue),
            tool_choice: choice.filter(|_| !tools.is_empty()),
            tools,
            max_output_tokens: left,
            ..self.base.clone()
        });
        self.turns += 1;
        let context = Arc::clone(&self.context);
        let prefix = self.prefix.take();
        self.collector = TurnCollector::default();
        // Calls beyond what is allowed are ignored, not held against the model.
        let ignores = !self.offered;
        self.doing = Doing::Asking(
            async move {
                let turn = Turn::open(&context, &generation, prefix.as_ref()).await?;
                Ok(if ignores { turn.with_any_calls() } else { turn })
            }
            .boxed(),
        );
    }

    pub(super) fn sort(&mut self, out: &mut Vec<Delta>) {
        let calls_left = if self.offered { self.calls_left() } else { 0 };
        let mut sorting = Sorting {
            catalogue: &self.catalogue,
            spent: self.usage,
            calls_left,
            next_key: &mut self.next_key,
        };
        for delta in self.scratch.drain(..) {
            self.collector.take(delta, &mut sorting, out);
        }
    }

    /// The model is done with this turn. Whether calls follow, which must not
    /// be made before what was given so far is safe.
    pub(super) fn end_turn(&mut self, out: &mut Vec<Delta>) -> bool {
        let mut collector = std::mem::take(&mut self.collector);
        if let Some(usage) = collector.usage {
            self.usage = self.usage + usage;
            out.push(Delta::Usage(self.usage));
        }
        if collector.finish != Some(Finish::Stop) {
            // Cut off: what calls there are may not be whole. Without any
            // finish the run says so itself.
            match collector.finish {
                Some(finish) => self.finish = finish,
                None => {
                    self.failure =
                        Some(UpstreamError::Broken("end without a finish reason".into()));
                }
            }
            self.todo.push_back(Todo::End);
            return false;
        }
        let wanted = collector.wanted(out);
        let mut ends = collector.calls_client;
        // A model that calls what it was not offered comes to no end.
        let goes_on = !wanted.is_empty() || (collector.ignored > 0 && self.offered);
        self.history.extend(collector.into_record());
        let mut flush = false;
        for Wanted {
            key,
            entry,
            item,
            arguments,
        } in wanted
        {
            if let Some(key) = key {
                out.push(items::arguments_done(key, &arguments));
                self.calls += 1;
                flush = true;
                self.todo.push_back(Todo::Make(Making {
                    key,
                    item,
                    arguments,
                }));
            } else {
                // A person decides: this response ends with the question.
                ends = true;
                let key = self.fresh_key();
                let item = items::approval_request(&entry.label, &entry.tool.name, &arguments);
                out.push(Delta::ItemAdded {
                    key,
                    item: item.clone(),
                });
                out.push(Delta::ItemDone { key, item });
            }
        }
        let asks = goes_on && !ends;
        if asks || flush {
            out.push(Delta::Spent(self.usage));
        }
        self.todo
            .push_back(if asks { Todo::Ask } else { Todo::End });
        flush
    }
}
