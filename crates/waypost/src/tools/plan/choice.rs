//! `tool_choice`, understood: what the model must do and what it may call.

use serde_json::Value;

use crate::{
    model::ClientTool,
    tools::callable::{Callable, Kind, TOOL_SEARCH},
};

/// What is asked of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It may call no tool.
    None,
    /// It may answer or call.
    Auto,
    /// It must call a tool.
    Required,
}

/// A `tool_choice`, applied to the callable tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub mode: Mode,
    /// Whether each callable may be called.
    pub allowed: Vec<bool>,
    /// The one that is named, where one is.
    pub named: Option<usize>,
}

impl Choice {
    /// Reads what the API writes. What it does not write means `auto`.
    pub fn new(choice: Option<&Value>, callables: &[Callable<'_>]) -> Self {
        let all = |mode| Self {
            mode,
            allowed: vec![mode != Mode::None; callables.len()],
            named: None,
        };
        let only = |mode, entries: &[Value]| {
            let mut allowed = vec![false; callables.len()];
            for entry in entries {
                mark(entry, callables, &mut allowed);
            }
            Self {
                mode,
                allowed,
                named: None,
            }
        };
        match choice {
            Some(Value::String(word)) => all(match word.as_str() {
                "none" => Mode::None,
                "required" => Mode::Required,
                _ => Mode::Auto,
            }),
            Some(choice @ Value::Object(_)) => match choice["type"].as_str() {
                Some("allowed_tools") => {
                    let mode = if choice["mode"] == "required" {
                        Mode::Required
                    } else {
                        Mode::Auto
                    };
                    let entries = choice["tools"].as_array();
                    only(mode, entries.map(Vec::as_slice).unwrap_or_default())
                }
                Some(kind)
                    if ClientTool::of_choice(kind).is_some()
                        || matches!(
                            kind,
                            "function" | "custom" | "mcp" | TOOL_SEARCH | "namespace"
                        ) =>
                {
                    let mut choice = only(Mode::Required, std::slice::from_ref(choice));
                    let mut places = choice.allowed.iter().enumerate().filter(|(_, a)| **a);
                    if let (Some((at, _)), None) = (places.next(), places.next()) {
                        choice.named = Some(at);
                    }
                    choice
                }
                _ => all(Mode::Auto),
            },
            _ => all(Mode::Auto),
        }
    }

    /// Whether any tool may be called.
    pub fn allows_any(&self) -> bool {
        self.allowed.iter().any(|allowed| *allowed)
    }
}

/// Marks the tools that an entry (`{"type": "function", "name": …}` and its
/// like) means. A name without a namespace means the tool that has none; where
/// there is no such tool, those of that name in any: often the name is all that
/// a client knows.
fn mark(entry: &Value, callables: &[Callable<'_>], allowed: &mut [bool]) {
    let plain = callables
        .iter()
        .position(|callable| callable.namespace.is_none() && fits(entry, callable));
    match plain {
        Some(at) if entry["type"] != "mcp" && entry["type"] != "namespace" => allowed[at] = true,
        _ => {
            for (callable, allowed) in callables.iter().zip(allowed) {
                *allowed |= fits(entry, callable);
            }
        }
    }
}

fn fits(entry: &Value, callable: &Callable<'_>) -> bool {
    let text = |key: &str| entry[key].as_str();
    match text("type") {
        // A server's tools are callable under its label.
        Some("mcp") => {
            text("server_label") == callable.namespace
                && text("name").is_none_or(|name| name == callable.name)
        }
        Some("namespace") => text("name") == callable.namespace,
        Some(TOOL_SEARCH) => callable.kind == Kind::Search,
        Some(kind) if ClientTool::of_choice(kind).is_some() => {
            ClientTool::of_choice(kind).map(Kind::Client) == Some(callable.kind)
        }
        kind => {
            let kind = if kind == Some("custom") {
                Kind::Custom
            } else {
                Kind::Function
            };
            kind == callable.kind
                && text("name") == Some(callable.name)
                && text("namespace").is_none_or(|space| callable.namespace == Some(space))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{model::Generation, tools::callable::callables};

    fn choice(value: Value) -> Choice {
        let generation: Generation = serde_json::from_value(json!({
            "model": "m", "items": [], "tools": [
                {"type": "function", "name": "f"},
                {"type": "custom", "name": "c"},
                {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]},
            ]
        }))
        .unwrap();
        Choice::new(Some(&value), &callables(&generation))
    }

    #[test]
    fn every_form_is_understood() {
        let table = [
            (json!("none"), Mode::None, [false, false, false], None),
            (json!("auto"), Mode::Auto, [true, true, true], None),
            (json!("required"), Mode::Required, [true, true, true], None),
            (
                json!({"type": "custom", "name": "c"}),
                Mode::Required,
                [false, true, false],
                Some(1),
            ),
            (
                json!({"type": "function", "name": "f", "namespace": "n"}),
                Mode::Required,
                [false, false, true],
                Some(2),
            ),
            (
                json!({"type": "function", "name": "f"}),
                Mode::Required,
                [true, false, false],
                Some(0),
            ),
            (
                json!({"type": "mcp", "server_label": "n"}),
                Mode::Required,
                [false, false, true],
                Some(2),
            ),
            (
                json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "c"}]}),
                Mode::Auto,
                [false, true, false],
                None,
            ),
            (
                json!({"type": "allowed_tools", "mode": "required", "tools": []}),
                Mode::Required,
                [false, false, false],
                None,
            ),
        ];
        for (value, mode, allowed, named) in table {
            let got = choice(value.clone());
            assert_eq!(
                (got.mode, &got.allowed[..], got.named),
                (mode, &allowed[..], named),
                "{value}"
            );
        }
    }
}
