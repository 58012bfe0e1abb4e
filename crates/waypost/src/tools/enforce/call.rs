//! One call as it comes: what was written, what of it can be shown, and the
//! verdict.

use serde_json::Value;
use strict_schema::ArgumentChecker;

use super::{
    rules::{Judge, Tool},
    violation,
};
use crate::tools::{
    custom::{
        Check, Grammar,
        unwrap::{self, Unwrap},
    },
    schema::Compiled,
};

/// A call of one answer.
pub(super) struct Call {
    /// The server's number for it.
    pub key: u64,
    /// Ours.
    pub out_key: u64,
    pub call_id: Option<String>,
    pub name: Option<(Option<String>, String)>,
    pub tool: Option<usize>,
    /// Arguments as the server sends them.
    pub written: String,
    /// How much of them was read.
    read: usize,
    reading: Reading,
    /// It has JSON arguments, not an input.
    has_arguments: bool,
    /// The first thing that is wrong.
    pub problem: Option<Problem>,
    /// Bytes of what the client gets that it has; `None` before the call is
    /// announced.
    pub shown: Option<usize>,
    pub held: bool,
    pub state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// All of it was delivered, or may not be.
    Done,
}

/// Where what was written stopped being valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Bytes of what was written that are good.
    pub good: usize,
    pub sentence: String,
}

enum Reading {
    /// Passed on as it is.
    Blind,
    /// Good is what any of these takes.
    Json(Vec<ArgumentChecker>),
    /// The input itself.
    Input(Check),
    Wrapped {
        unwrap: Unwrap,
        check: Check,
        input: String,
    },
}

/// What a whole call turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// Arguments or input for the client.
    pub text: String,
    pub repaired: bool,
    /// Valid by the client's own schema only.
    pub by_own: bool,
}

impl Call {
    pub fn new(key: u64, out_key: u64) -> Self {
        Self {
            key,
            out_key,
            call_id: None,
            name: None,
            tool: None,
            written: String::new(),
            read: 0,
            reading: Reading::Blind,
            has_arguments: false,
            problem: None,
            shown: None,
            held: false,
            state: State::Open,
        }
    }

    /// It is known what is called.
    pub fn begin(&mut self, at: usize, tool: &Tool) {
        self.tool = Some(at);
        self.held = tool.hold;
        self.has_arguments = matches!(tool.judge, Judge::Arguments(_));
        self.reading = match &tool.judge {
            // What is not guaranteed may be written in any way until it ends.
            Judge::Arguments(compiled) if tool.strict => {
                checkers(compiled, tool).map_or(Reading::Blind, Reading::Json)
            }
            Judge::Arguments(_) | Judge::Input(None) => Reading::Blind,
            Judge::Input(Some(grammar)) => Reading::Input(grammar.begin()),
            Judge::Wrapped(grammar) => Reading::Wrapped {
                unwrap: Unwrap::default(),
                check: grammar.as_ref().map_or(Check::Text, Grammar::begin),
                input: String::new(),
            },
        };
    }

    /// Reads what has come; the first thing that is wrong goes to `problem`.
    pub fn read(&mut self) {
        let fresh = &self.written[self.read..];
        if self.problem.is_none() {
            self.problem = match &mut self.reading {
                Reading::Blind => None,
                Reading::Json(checkers) => {
                    let mut last = None;
                    checkers.retain_mut(|checker| {
                        last = checker.push(fresh.as_bytes()).err();
                        last.is_none()
                    });
                    last.filter(|_| checkers.is_empty())
                        .map(|mismatch| Problem {
                            good: mismatch.offset,
                            sentence: violation::problem(&mismatch),
                        })
                }
                Reading::Input(check) => check.push(fresh).err().map(broken),
                Reading::Wrapped {
                    unwrap,
                    check,
                    input,
                } => {
                    let before = input.len();
                    let unwrapped = unwrap.push(fresh, input).err().map(|wrong| Problem {
                        good: wrong.offset,
                        sentence: format!("Expected {}.", wrong.expected),
                    });
                    let checked = check.push(&input[before..]).err().map(|good| Problem {
                        good: self.read,
                        ..broken(good)
                    });
                    checked.or(unwrapped)
                }
            };
        }
        self.read = self.written.len();
    }

    /// What the client may have of a call that is not held. Nothing, as long as
    /// it may turn out to be one of the ways to write no arguments.
    pub fn showable(&self) -> &str {
        if self.has_arguments && "null".starts_with(self.written.trim()) {
            return "";
        }
        match &self.reading {
            Reading::Wrapped { input, .. } => input,
            Reading::Blind | Reading::Json(_) | Reading::Input(_) => &self.written,
        }
    }

    /// Whether what is wrong may still be what [`strict_schema::repair`] sets
    /// right, so that reading on is worth it. Everything else can only get
    /// longer, not better.
    pub fn may_be_repaired(&self) -> bool {
        let Some(problem) = &self.problem else {
            return true;
        };
        if matches!(self.reading, Reading::Input(_)) {
            return false;
        }
        if matches!(self.reading, Reading::Wrapped { .. }) {
            // Inside the input nothing is repaired; around it, anything may be.
            return !self.written.trim_start().starts_with('{');
        }
        may_be_repaired(&self.written, problem.good)
    }

    /// The verdict on a call that has ended.
    pub fn judge(&mut self, tool: &Tool) -> Result<Judged, Problem> {
        match &tool.judge {
            Judge::Input(_) => {
                let whole = match &mut self.reading {
                    Reading::Input(check) => check.is_complete(&self.written),
                    _ => true,
                };
                match &self.problem {
                    Some(problem) => Err(problem.clone()),
                    None if !whole => Err(unfinished(&self.written)),
                    None => Ok(Judged {
                        text: self.written.clone(),
                        repaired: false,
                        by_own: false,
                    }),
                }
            }
            Judge::Arguments(compiled) => {
                // What some servers send for no arguments.
                let is_none = matches!(self.written.trim(), "" | "null");
                let text = if is_none { "{}" } else { &self.written };
                let problem = self.problem.as_ref().filter(|_| !is_none);
                judge_arguments(tool, compiled, text, problem)
            }
            Judge::Wrapped(grammar) => {
                let Reading::Wrapped {
                    unwrap,
                    check,
                    input,
                } = &mut self.reading
                else {
                    return Err(Problem {
                        good: 0,
                        sentence: String::new(),
                    });
                };
                if self.problem.is_none() && unwrap.is_complete() && check.is_complete(input) {
                    return Ok(Judged {
                        text: input.clone(),
                        repaired: false,
                        by_own: false,
                    });
                }
                let problem = self.problem.clone();
                let problem = problem.unwrap_or_else(|| unfinished(&self.written));
                let fits = |input: &str| {
                    let mut check = grammar.as_ref().map_or(Check::Text, Grammar::begin);
                    check.push(input).is_ok() && check.is_complete(input)
                };
                unwrapped(&self.written)
                    .filter(|input| fits(input))
                    .map(|text| Judged {
                        text,
                        repaired: true,
                        by_own: false,
                    })
                    .ok_or(problem)
            }
        }
    }
}

/// What reads a strict tool's arguments as they come; `None` where a schema
/// cannot be followed.
fn checkers(compiled: &Compiled, tool: &Tool) -> Option<Vec<ArgumentChecker>> {
    let mut checkers = Vec::new();
    // What the resolved schema takes the client's own takes too, unless the
    // arguments' form was changed.
    if tool.own.is_none() || !tool.restore.is_empty() {
        checkers.push(compiled.checker()?);
    }
    if let Some(own) = &tool.own {
        checkers.push(own.checker()?);
    }
    Some(checkers)
}

/// The verdict on whole arguments: as they are, then repaired; by the resolved
/// schema, then by the client's own.
fn judge_arguments(
    tool: &Tool,
    compiled: &Compiled,
    text: &str,
    problem: Option<&Problem>,
) -> Result<Judged, Problem> {
    let own = tool.own.as_deref();
    let mut wrong = Vec::new();
    if problem.is_none() {
        match compiled.verdict(text, tool.strict) {
            Ok(value) => return Ok(valid(tool, value, text.to_owned(), false)),
            Err(mismatches) => wrong = mismatches,
        }
        match own.map(|own| own.verdict(text, true)) {
            Some(Ok(_)) => {
                return Ok(Judged {
                    text: text.to_owned(),
                    repaired: false,
                    by_own: true,
                });
            }
            // More than its own schema is not asked of the model.
            Some(Err(mismatches)) => wrong = mismatches,
            None => {}
        }
    }
    if let Some(repaired) = compiled.repair(text)
        && let Ok(value) = compiled.verdict(&repaired, tool.strict)
    {
        return Ok(valid(tool, value, repaired, true));
    }
    if let Some(own) = own
        && let Some(repaired) = own.repair(text)
        && own.verdict(&repaired, true).is_ok()
    {
        return Ok(Judged {
            text: repaired,
            repaired: true,
            by_own: true,
        });
    }
    Err(problem.cloned().unwrap_or_else(|| Problem {
        good: 0,
        sentence: violation::problems(&wrong),
    }))
}

fn valid(tool: &Tool, value: Value, text: String, repaired: bool) -> Judged {
    Judged {
        text: restored(tool, value, text),
        repaired,
        by_own: false,
    }
}

/// An input that leaves its grammar after so many bytes.
fn broken(good: usize) -> Problem {
    Problem {
        good,
        sentence: format!(
            "The input does not match the tool's grammar after its first {good} bytes."
        ),
    }
}

fn unfinished(written: &str) -> Problem {
    Problem {
        good: written.len(),
        sentence: "The input ends before it is whole.".to_owned(),
    }
}

/// The input of a custom tool's call that is not wrapped as it should be, where
/// only one can be meant.
fn unwrapped(written: &str) -> Option<String> {
    let text = written.trim();
    if let Some(repaired) = strict_schema::repair(text, &unwrap::schema("", None))
        && let Ok(Value::Object(object)) = serde_json::from_str(&repaired)
        && let Some(Value::String(input)) = object.get(unwrap::INPUT)
    {
        return Some(input.clone());
    }
    match text.chars().next()? {
        '{' => None,
        // The input as a JSON string, without the object around it.
        '"' => serde_json::from_str(text).ok(),
        // The input itself.
        _ => Some(text.to_owned()),
    }
}

/// Arguments for the client's own schema.
fn restored(tool: &Tool, mut value: Value, text: String) -> String {
    if tool.restore.is_empty() {
        return text;
    }
    tool.restore.apply(&mut value);
    value.to_string()
}

/// Whether a text that went wrong after `good` bytes may be one that
/// [`strict_schema::repair`] sets right: fences, other quotation marks, Python's
/// words, a comma too many, a number in quotation marks, a lone item.
pub(super) fn may_be_repaired(text: &str, good: usize) -> bool {
    let (before, rest) = text.split_at(text.floor_char_boundary(good));
    let mut rest = rest.chars();
    let Some(wrong) = rest.next() else {
        return true;
    };
    if wrong == ',' {
        // One too many, if nothing but an end follows.
        let next = rest.find(|c| !c.is_whitespace());
        return next.is_none_or(|next| matches!(next, '}' | ']'));
    }
    match before.trim_end().chars().next_back() {
        // Whatever stands before the JSON, or after it; a value of another kind than was asked for.
        None | Some(':' | '[' | '}') => true,
        Some(',') => matches!(wrong, '}' | ']' | '\'' | '"' | 'T' | 'F' | 'N'),
        Some('{') => wrong == '\'',
        _ => matches!(wrong, '\'' | '`'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_where_no_repair_can_help() {
        let table = [
            ("```json\n{}", 0, true),
            ("{'a': 1}", 1, true),
            (r#"{"a": "1"}"#, 6, true),
            (r#"{"a": 1,}"#, 8, true),
            (r#"{"a": True}"#, 6, true),
            (r#"{"b"#, 2, false),
            (r#"{"a": "re"#, 8, false),
            (r#"{"a": 1, "b"#, 10, false),
            (r#"{"a": 12"#, 7, false),
            (r#"{"a": 1, "#, 7, true),
            (r#"{"a": 1, }"#, 7, true),
            (r#"{"a": 1, "c"#, 7, false),
        ];
        for (text, good, expected) in table {
            assert_eq!(may_be_repaired(text, good), expected, "{text}");
        }
    }
}
