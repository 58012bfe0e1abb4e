//! One turn of a model, with its calls as the client may rely on them.

use std::sync::Arc;

use crate::{
    app::AppRef,
    upstream::{
        Upstream,
        error::UpstreamError,
        generation::{Ask, Delta, Generation, Prefix, Wire},
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

/// One answer of a model server.
pub struct Turn {
    answer: AnswerStream,
}

impl Turn {
    /// Asks the model. With `prefix`, it is to continue that text.
    pub async fn open(
        app: &AppRef,
        upstream: &Arc<Upstream>,
        generation: &Arc<Generation>,
        prefix: Option<&Prefix>,
    ) -> Result<Self, UpstreamError> {
        let ask = Ask {
            wire: Some(Arc::new(Wire {
                tools: generation.tools.clone(),
                tool_choice: generation.tool_choice.clone(),
                parallel_tool_calls: generation.parallel_tool_calls,
                ..Wire::default()
            })),
            ..Ask::plain(generation)
        };
        let answer = stream::open(&app.upstreams, upstream, &ask, prefix).await?;
        Ok(Self { answer })
    }

    /// Appends the next deltas to `out`. Cancel-safe: a dropped future loses
    /// nothing.
    pub async fn next(&mut self, out: &mut Vec<Delta>) -> Result<Step, UpstreamError> {
        Ok(if self.answer.next(out).await? {
            Step::More
        } else {
            Step::Done
        })
    }
}
