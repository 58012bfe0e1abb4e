//! The turns of one response: the model is asked again as long as it calls
//! tools that this server runs.
//!
//! A response without such tools is one [`Turn`] and nothing else; [`tool_loop`]
//! is for the others.
//!
//! Easy to break: a call of a tool is an effect outside. [`Step::Flush`] comes
//! before each one, so that the log knows of it before it is made.

use std::sync::Arc;

use serde_json::Value;

use self::tool_loop::ToolLoop;
use super::{
    RunContext, mcp, search,
    turn::{Step, Turn},
};
use crate::{
    model::{Delta, Generation, Prefix, Usage},
    upstream::error::UpstreamError,
};

mod collector;
mod tool_loop;

/// A response's turns.
pub struct Agent(Kind);

enum Kind {
    One(Turn),
    Many(Box<ToolLoop>),
}

/// What an earlier attempt at a response delivered.
#[derive(Debug, Default)]
pub struct Earlier {
    /// Tokens of its turns that ended.
    pub spent: Usage,
    /// Its finished items.
    pub output: Vec<Value>,
    /// Items of this server's own making that it left open.
    pub open: Vec<OpenItem>,
}

/// An item that was begun and not finished.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenItem {
    /// As [`Delta::ItemDone`] finds it.
    pub key: u64,
    pub item: Value,
    /// Its call may have been made.
    pub is_intent: bool,
}

impl Agent {
    /// Asks the model for the first turn. With `prefix`, it is to continue that
    /// text.
    pub async fn open(
        context: &Arc<RunContext>,
        generation: &Arc<Generation>,
        prefix: Option<&Prefix>,
    ) -> Result<Self, UpstreamError> {
        Self::resume(context, generation, prefix, Earlier::default()).await
    }

    /// Goes on from an earlier attempt.
    pub async fn resume(
        context: &Arc<RunContext>,
        generation: &Arc<Generation>,
        prefix: Option<&Prefix>,
        earlier: Earlier,
    ) -> Result<Self, UpstreamError> {
        if runs_tools(generation) {
            let tool_loop = ToolLoop::new(context, generation, prefix, earlier);
            return Ok(Self(Kind::Many(Box::new(tool_loop))));
        }
        let searches = earlier.output.iter().filter(|item| search::is_found(item));
        let searches = searches.count();
        let has_more = !earlier.output.is_empty() || earlier.spent.output_tokens > 0;
        let resumed = has_more.then(|| {
            let last = searches >= search::MAX_SEARCHES;
            let mut resumed = search::after(generation, &earlier.output, last);
            resumed.spend(earlier.spent.output_tokens);
            Arc::new(resumed)
        });
        let generation = resumed.as_ref().unwrap_or(generation);
        let told = mcp::history::told(generation);
        let turn = Turn::open(context, told.as_ref().unwrap_or(generation), prefix).await?;
        Ok(Self(Kind::One(turn.after_searches(searches))))
    }

    /// Appends the next deltas to `out`. Cancel-safe: a dropped future loses
    /// nothing.
    pub async fn next(&mut self, out: &mut Vec<Delta>) -> Result<Step, UpstreamError> {
        match &mut self.0 {
            Kind::One(turn) => turn.next(out).await,
            Kind::Many(tool_loop) => tool_loop.next(out).await,
        }
    }
}

/// Whether there may be more to a response than one turn.
pub fn runs_tools(generation: &Generation) -> bool {
    generation.tools.iter().any(mcp::is_server)
}
