//! One answer as a sequence of beats, before any dialect.
//!
//! [`Answer`] fixes at the start what the whole answer is (limits, prefill, tool calls, finish
//! reason); iterating yields the deltas in order. Both dialects and both the streamed and the
//! plain form are made from the same beats, so they cannot disagree.

use std::collections::VecDeque;
use std::sync::Arc;

use super::kinds::{Finish, ToolStyle, ToolText};
use super::plan::{CallKind, Part, Plan};
use super::request::Ask;
use super::script::Script;
use super::tokens::{self, Position};

/// One step of an answer. All but [`Beat::ToolEnd`] carry a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    Reasoning(usize),
    /// A text token, less its first `skip` bytes.
    Text(Position),
    /// Like `Text`, and the first tool call begins in the same chunk.
    TextAndToolBegin(Position),
    /// A piece of a text that is written out.
    Said {
        text: usize,
        piece: usize,
    },
    /// A word of the refusal.
    Refusal(usize),
    ToolBegin(usize),
    ToolPiece {
        call: usize,
        piece: usize,
    },
    ToolEnd(usize),
}

impl Beat {
    pub(super) fn is_delta(self) -> bool {
        !matches!(self, Self::ToolEnd(_))
    }
}

/// A tool call of the answer.
#[derive(Debug, Clone)]
pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) kind: CallKind,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) arguments: Cut,
}

/// A text and where its pieces end.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    pub(super) text: String,
    ends: Vec<usize>,
}

impl Cut {
    fn new(script: &Script, text: String) -> Self {
        Self {
            ends: script.cuts(&text),
            text,
        }
    }

    pub(super) fn piece(&self, piece: usize) -> &str {
        let from = piece.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[from..self.ends[piece]]
    }
}

/// What every beat of one answer needs.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) script: Arc<Script>,
    /// A number that is this call's own, for ids.
    pub(super) serial: u64,
    pub(super) model: String,
    pub(super) calls: Vec<ToolCall>,
    pub(super) said: Vec<Cut>,
    /// `None` if the answer ends without a finish reason.
    pub(super) finish: Option<&'static str>,
    pub(super) refusal_words: Vec<String>,
    pub(super) completion_tokens: usize,
    pub(super) reasoning_tokens: usize,
    pub(super) include_usage: bool,
    /// The prefix that this answer continues, if it does.
    pub(super) continued: Option<String>,
}

/// The beats that are still to come.
#[derive(Debug)]
pub(super) struct Answer {
    reasoning: std::ops::Range<usize>,
    refusal: std::ops::Range<usize>,
    text: std::ops::Range<usize>,
    skip: usize,
    tools: VecDeque<Beat>,
    tools_first: bool,
    tool_in_last_text: bool,
}

impl Answer {
    pub(super) fn new(script: Arc<Script>, ask: &Ask, plan: Plan, serial: u64) -> (Self, Facts) {
        let continued = ask
            .prefix
            .clone()
            .filter(|_| !script.ignore_prefill && (!script.vllm_prefill || ask.continues));
        let start = continued
            .as_deref()
            .map_or_else(Position::default, |prefix| {
                tokens::position_after(&script, prefix)
            });

        let limit = ask.max_tokens.unwrap_or(usize::MAX);
        let reasoning = if continued.is_some() {
            0
        } else {
            script.reasoning_tokens
        };
        let wanted = script
            .text_tokens(!plan.parts.is_empty())
            .saturating_sub(start.index);
        let reasoning_tokens = reasoning.min(limit);
        let text_tokens = wanted.min(limit - reasoning_tokens);
        let limited = reasoning_tokens < reasoning || text_tokens < wanted;

        let refusal_words: Vec<String> = match &script.refusal {
            Some(text) if !limited => text.split_inclusive(' ').map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let parts = if limited { Vec::new() } else { plan.parts };
        let (calls, said, tool_beats) = play(&script, parts, serial);
        let tool_deltas = tool_beats.iter().filter(|beat| beat.is_delta()).count();
        let finish = match script.finish_reason {
            Finish::Auto if limited || plan.truncated => Some("length"),
            Finish::Auto if !calls.is_empty() => Some("tool_calls"),
            Finish::Auto | Finish::Stop => Some("stop"),
            Finish::Length => Some("length"),
            Finish::ToolCalls => Some("tool_calls"),
            Finish::ContentFilter => Some("content_filter"),
            Finish::Absent => None,
        };
        let answer = Self {
            reasoning: 0..reasoning_tokens,
            refusal: 0..refusal_words.len(),
            text: start.index..start.index + text_tokens,
            skip: start.skip,
            tool_in_last_text: script.tool_text == ToolText::SameChunk
                && matches!(tool_beats.first(), Some(Beat::ToolBegin(_))),
            tools: tool_beats.into(),
            tools_first: script.tool_text == ToolText::After,
        };
        let facts = Facts {
            serial,
            model: ask.model.clone(),
            calls,
            said,
            finish,
            completion_tokens: reasoning_tokens + text_tokens + refusal_words.len() + tool_deltas,
            refusal_words,
            reasoning_tokens,
            include_usage: ask.include_usage,
            continued,
            script,
        };
        (answer, facts)
    }

    fn next_text(&mut self) -> Option<Beat> {
        let index = self.text.next()?;
        let position = Position {
            index,
            skip: std::mem::take(&mut self.skip),
        };
        if self.tool_in_last_text && self.text.is_empty() {
            self.tools.pop_front();
            return Some(Beat::TextAndToolBegin(position));
        }
        Some(Beat::Text(position))
    }
}

impl Iterator for Answer {
    type Item = Beat;

    fn next(&mut self) -> Option<Beat> {
        if let Some(index) = self.reasoning.next() {
            return Some(Beat::Reasoning(index));
        }
        if self.tools_first
            && let Some(beat) = self.tools.pop_front()
        {
            return Some(beat);
        }
        self.next_text()
            .or_else(|| self.refusal.next().map(Beat::Refusal))
            .or_else(|| self.tools.pop_front())
    }
}

/// The plan's calls and texts, and their beats in order. With `tool_interleave`, calls that follow
/// one another take turns.
fn play(script: &Script, parts: Vec<Part>, serial: u64) -> (Vec<ToolCall>, Vec<Cut>, Vec<Beat>) {
    let (mut calls, mut said, mut beats) = (Vec::new(), Vec::new(), Vec::new());
    let mut parts = parts.into_iter().peekable();
    while let Some(part) = parts.next() {
        match part {
            Part::Say(text) => {
                let cut = Cut::new(script, text);
                let text = said.len();
                beats.extend((0..cut.ends.len()).map(|piece| Beat::Said { text, piece }));
                said.push(cut);
            }
            Part::Call(call) => {
                let index = calls.len();
                calls.push(ToolCall {
                    id: format!("call_{serial:08x}_{index}"),
                    kind: call.kind,
                    name: call.name,
                    namespace: call.namespace,
                    arguments: Cut::new(script, call.arguments),
                });
                if !script.tool_interleave {
                    tool_beats(script, &calls, index..index + 1, &mut beats);
                } else if !matches!(parts.peek(), Some(Part::Call(_))) {
                    let begun = beats.iter().filter(|beat| matches!(beat, Beat::ToolEnd(_)));
                    tool_beats(script, &calls, begun.count()..index + 1, &mut beats);
                }
            }
        }
    }
    (calls, said, beats)
}

/// Calls that take turns, piece by piece.
fn tool_beats(
    script: &Script,
    calls: &[ToolCall],
    range: std::ops::Range<usize>,
    beats: &mut Vec<Beat>,
) {
    let pieces = |call: usize| match script.tool_style {
        ToolStyle::OneChunk | ToolStyle::ArgsAtEnd => 0,
        _ => calls[call].arguments.ends.len(),
    };
    beats.extend(range.clone().map(Beat::ToolBegin));
    for piece in 0..range.clone().map(pieces).max().unwrap_or(0) {
        let turn = range.clone().filter(|call| piece < pieces(*call));
        beats.extend(turn.map(|call| Beat::ToolPiece { call, piece }));
    }
    beats.extend(range.map(Beat::ToolEnd));
}

#[cfg(test)]
mod tests {
    use super::Beat::{Said, ToolBegin, ToolEnd, ToolPiece};
    use super::*;

    fn answer(query: &str, ask: &Ask) -> (Vec<Beat>, Facts) {
        let script = Arc::new(Script::from_query(query).unwrap());
        let plan = Plan::of(&script, ask, false, b"{}").unwrap();
        let (answer, facts) = Answer::new(script, ask, plan, 1);
        (answer.collect(), facts)
    }

    #[test]
    fn max_tokens_cuts_reasoning_first_and_drops_tools() {
        let ask = Ask {
            max_tokens: Some(3),
            ..Ask::default()
        };
        let (beats, facts) = answer("reasoning_tokens=2&tokens=5&tools=1", &ask);
        assert_eq!(beats.len(), 3);
        assert_eq!((facts.finish, facts.completion_tokens), (Some("length"), 3));
        assert!(facts.calls.is_empty());
    }

    #[test]
    fn tool_calls_stop_after_their_rounds() {
        let ask = Ask {
            tool_rounds: 1,
            ..Ask::default()
        };
        let (beats, facts) = answer("tools=2", &ask);
        assert!(beats.iter().all(|beat| matches!(beat, Beat::Text(_))));
        assert_eq!((beats.len(), facts.finish), (8, Some("stop")));
    }

    #[test]
    fn argument_pieces_join_to_the_arguments_at_any_count() {
        for fragments in [1, 2, 7, 100] {
            let query = format!("tools=1&tool_fragments={fragments}&tool_args={{\"a\":\"é漢🦀\"}}");
            let (_, facts) = answer(&query, &Ask::default());
            let arguments = &facts.calls[0].arguments;
            let joined: String = (0..fragments).map(|piece| arguments.piece(piece)).collect();
            assert_eq!(joined, facts.script.tool_args);
        }
    }

    #[test]
    fn interleaved_calls_take_turns() {
        let (beats, _) = answer(
            "tools=2&tool_fragments=1&tool_interleave=1",
            &Ask::default(),
        );
        let piece = |call| ToolPiece { call, piece: 0 };
        let expected = [
            ToolBegin(0),
            ToolBegin(1),
            piece(0),
            piece(1),
            ToolEnd(0),
            ToolEnd(1),
        ];
        assert_eq!(beats, expected);
    }

    #[test]
    fn steps_keep_their_order_and_calls_between_texts_take_turns() {
        let query = "call=a:12&call=b:3&say=x&call=c:4&cut_bytes=1&tool_interleave=1";
        let (beats, facts) = answer(query, &Ask::default());
        let piece = |call, piece| ToolPiece { call, piece };
        let expected = [
            ToolBegin(0),
            ToolBegin(1),
            piece(0, 0),
            piece(1, 0),
            piece(0, 1),
            ToolEnd(0),
            ToolEnd(1),
            Said { text: 0, piece: 0 },
            ToolBegin(2),
            piece(2, 0),
            ToolEnd(2),
        ];
        assert_eq!(beats, expected);
        assert_eq!((facts.finish, facts.calls.len()), (Some("tool_calls"), 3));
    }
}
