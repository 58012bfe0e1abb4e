//! The turns of one response: the model is asked again as long as it calls
//! tools that this server runs.

use std::sync::Arc;

use super::turn::{Step, Turn};
use crate::{
    app::AppRef,
    upstream::{
        Upstream,
        error::UpstreamError,
        generation::{Delta, Generation, Prefix},
    },
};

/// A response's turns.
pub struct Agent {
    turn: Turn,
}

impl Agent {
    /// Asks the model for the first turn. With `prefix`, it is to continue that
    /// text.
    pub async fn open(
        app: &AppRef,
        upstream: &Arc<Upstream>,
        generation: &Arc<Generation>,
        prefix: Option<&Prefix>,
    ) -> Result<Self, UpstreamError> {
        let turn = Turn::open(app, upstream, generation, prefix).await?;
        Ok(Self { turn })
    }

    /// Appends the next deltas to `out`. Cancel-safe: a dropped future loses
    /// nothing.
    pub async fn next(&mut self, out: &mut Vec<Delta>) -> Result<Step, UpstreamError> {
        self.turn.next(out).await
    }
}
