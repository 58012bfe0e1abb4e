//! What an answer holds beside its numbered tokens: calls and texts, in their order.
//!
//! They are the script's steps, or as many equal calls as `tools` says, or what an engine that
//! reads the request would make ([`super::engine`]). Calls stop after `tool_rounds` rounds of
//! results, except in a script with `then`: there the number of the request decides alone.

use super::engine::{self, Refused};
use super::kinds::Generate;
use super::request::Ask;
use super::script::Script;
use super::steps::Step;

/// The parts of one answer.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) parts: Vec<Part>,
    /// The finish reason is `length`.
    pub(super) truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Say(String),
    Call(Planned),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) kind: CallKind,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) arguments: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    Function,
    Custom,
    /// A search for tools that the client runs (responses dialect).
    Search,
}

impl Plan {
    /// `by_attempt`: the script is one of several for this model name.
    pub(super) fn of(
        script: &Script,
        ask: &Ask,
        by_attempt: bool,
        body: &[u8],
    ) -> Result<Self, Refused> {
        if !script.refuse_keywords.is_empty() || !script.refuse_fields.is_empty() {
            engine::refuse(script, body)?;
        }
        let may_call = by_attempt || ask.tool_rounds < script.tool_rounds;
        if script.generate != Generate::Off {
            return engine::answer(script, body, may_call);
        }
        let mut parts: Vec<Part> = script.steps.iter().map(Part::from).collect();
        if script.tools > 0 {
            parts = numbered_calls(script, ask);
        }
        let calls = parts.iter().any(|part| matches!(part, Part::Call(_)));
        if calls && !may_call {
            parts.clear();
        }
        Ok(Self {
            parts,
            truncated: false,
        })
    }
}

impl From<&Step> for Part {
    fn from(step: &Step) -> Self {
        let planned = |kind, call: &super::steps::Call| {
            Self::Call(Planned {
                kind,
                name: call.name.clone(),
                namespace: call.namespace.clone(),
                arguments: call.arguments.clone(),
            })
        };
        match step {
            Step::Say(text) => Self::Say(text.clone()),
            Step::Call(call) => planned(CallKind::Function, call),
            Step::Custom(call) => planned(CallKind::Custom, call),
        }
    }
}

/// `tools` calls with the same arguments, names in turn.
fn numbered_calls(script: &Script, ask: &Ask) -> Vec<Part> {
    let scripted: Vec<&str> = script.names().collect();
    let asked: Vec<&str> = ask.tool_names.iter().map(String::as_str).collect();
    let names = if scripted.is_empty() { asked } else { scripted };
    let call = |index: usize| {
        let name = names.get(index % names.len().max(1));
        Part::Call(Planned {
            kind: CallKind::Function,
            name: (*name.unwrap_or(&"get_weather")).to_owned(),
            namespace: None,
            arguments: script.tool_args.clone(),
        })
    };
    (0..script.tools).map(call).collect()
}
