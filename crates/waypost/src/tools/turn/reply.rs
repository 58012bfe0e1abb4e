//! Replies whose tools are emulated: read as they come, and taken in as if the
//! server had sent calls.

use super::Enforced;
use crate::{
    model::{CallKind, Delta},
    tools::{
        emulate::read::{NoReply, Piece},
        enforce::{About, Violation},
    },
};

impl Enforced {
    /// Takes in text of a reply whose tools are emulated.
    pub(super) fn reply(&mut self, text: &str, out: &mut Vec<Delta>) -> Result<(), Box<Violation>> {
        let Some((_, reader)) = &mut self.emulated else {
            return Ok(());
        };
        self.reply.push_str(text);
        let mut pieces = Vec::new();
        let read = reader.push(text, &mut pieces);
        self.pieces(pieces, out)?;
        read.map_err(|wrong| Box::new(self.form(&wrong)))
    }

    pub(super) fn pieces(
        &mut self,
        pieces: Vec<Piece>,
        out: &mut Vec<Delta>,
    ) -> Result<(), Box<Violation>> {
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

    pub(super) fn form(&self, wrong: &NoReply) -> Violation {
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
}
