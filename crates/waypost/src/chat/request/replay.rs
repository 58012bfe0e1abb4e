//! Calls of earlier turns and their results: each result follows its call, and
//! each call has its result, before the conversation goes on.

use serde_json::Value;

use super::Result;
use crate::http::error::ApiError;

/// Ids named in one error.
const MAX_NAMED: usize = 16;

/// Checks the order of calls and results. Whatever has not the shape of a
/// message is left to who reads it.
pub fn check(messages: &[Value]) -> Result<()> {
    let mut open: Option<Open<'_>> = None;
    for (index, message) in messages.iter().enumerate() {
        if message["role"] == "tool" {
            let Some(open) = &mut open else {
                return Err(ApiError::invalid(
                    "messages with role 'tool' must be a response to a preceeding message with \
                     'tool_calls'.",
                )
                .param(role(index)));
            };
            if let Some(id) = message["tool_call_id"].as_str() {
                open.answer(id, index)?;
            }
            continue;
        }
        if let Some(open) = open.take() {
            open.close(Some(index))?;
        }
        open = Open::of(message);
    }
    match open {
        Some(open) => open.close(None),
        None => Ok(()),
    }
}

/// The calls of the last assistant message.
struct Open<'a> {
    /// With whether their result has come.
    ids: Vec<(&'a str, bool)>,
}

impl<'a> Open<'a> {
    fn of(message: &'a Value) -> Option<Self> {
        if message["role"] != "assistant" {
            return None;
        }
        let calls = message["tool_calls"].as_array().filter(|c| !c.is_empty())?;
        let ids = calls.iter().filter_map(|call| call["id"].as_str());
        Some(Self {
            ids: ids.map(|id| (id, false)).collect(),
        })
    }

    fn answer(&mut self, id: &str, index: usize) -> Result<()> {
        let Some((_, answered)) = self.ids.iter_mut().find(|(known, _)| *known == id) else {
            let id: String = id.chars().take(128).collect();
            return Err(ApiError::invalid(format!(
                "Invalid parameter: 'tool_call_id' of '{id}' not found in 'tool_calls' of \
                 previous message."
            ))
            .param(format!("messages.[{index}].tool_call_id")));
        };
        *answered = true;
        Ok(())
    }

    /// `next` is the message that comes instead of the results that lack.
    fn close(self, next: Option<usize>) -> Result<()> {
        let lacking: Vec<&str> = self
            .ids
            .iter()
            .filter(|(_, answered)| !answered)
            .map(|(id, _)| *id)
            .take(MAX_NAMED)
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(format!(
            "An assistant message with 'tool_calls' must be followed by tool messages responding \
             to each 'tool_call_id'. The following tool_call_ids did not have response messages: \
             {}",
            lacking.join(", ")
        ))
        .param(next.map_or_else(|| "messages".to_owned(), role)))
    }
}

fn role(index: usize) -> String {
    format!("messages.[{index}].role")
}
