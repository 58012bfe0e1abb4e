//! `tool_choice`, and `function_call` before it.

use serde_json::{Value, json};

use super::{Result, tools::Tools, unknown_key};
use crate::http::{
    error::ApiError,
    fields::{Fields, bad_word, missing, wrong_type},
};

const WORDS: &[&str] = &["none", "auto", "required"];

/// What of the tools the model is to call, as the Responses API writes it.
#[derive(Debug, Default)]
pub struct Choice {
    pub value: Option<Value>,
    /// The path of a key that no choice has.
    pub unknown: Option<String>,
}

impl Choice {
    pub fn is_allowed_tools(&self) -> bool {
        let value = self.value.as_ref();
        value.is_some_and(|value| value["type"] == "allowed_tools")
    }
}

/// Reads and checks both fields against the tools.
pub fn read(fields: &mut Fields<'_>, tools: &Tools) -> Result<Choice> {
    let legacy = fields.value("function_call");
    match (fields.value("tool_choice"), legacy) {
        (Some(choice), _) => tool_choice(choice, tools),
        (None, Some(choice)) => function_call(choice, tools),
        (None, None) => Ok(Choice::default()),
    }
}

fn tool_choice(choice: &Value, tools: &Tools) -> Result<Choice> {
    if let Value::String(word) = choice {
        if !WORDS.contains(&word.as_str()) {
            return Err(bad_word("tool_choice", word, WORDS));
        }
        if word == "required" && !offers_tools(tools) {
            return Err(without_tools("tool_choice", "tools"));
        }
        return Ok(Choice {
            value: Some(json!(word)),
            unknown: None,
        });
    }
    if !choice.is_object() {
        return Err(wrong_type("tool_choice", "a string or an object", choice));
    }
    if !offers_tools(tools) {
        return Err(without_tools("tool_choice", "tools"));
    }
    let path = "tool_choice";
    let mut fields = Fields::new(choice, path)?;
    let kind = required_word(&mut fields, &["function", "custom", "allowed_tools"])?;
    if kind != "allowed_tools" {
        let (value, unknown) = named(choice, path, kind, tools)?;
        return Ok(Choice {
            value: Some(value),
            unknown,
        });
    }
    let inner_path = fields.path("allowed_tools");
    let inner = fields
        .value("allowed_tools")
        .ok_or_else(|| missing(&inner_path))?;
    let outside = unknown_key(choice, path, &["type", "allowed_tools"])?;
    let mut unknown = outside.or(unknown_key(inner, &inner_path, &["mode", "tools"])?);
    let mut inner = Fields::new(inner, &inner_path)?;
    let mode_path = inner.path("mode");
    let mode = inner
        .word("mode", &["auto", "required"])?
        .ok_or_else(|| missing(&mode_path))?;
    let list_path = inner.path("tools");
    let list = inner.array("tools")?.ok_or_else(|| missing(&list_path))?;
    if list.is_empty() {
        return Err(ApiError::invalid(format!(
            "Invalid '{list_path}': empty array. Expected an array with minimum length 1, but got \
             an empty array instead."
        ))
        .param(list_path)
        .code("empty_array"));
    }
    let mut allowed = Vec::with_capacity(list.len());
    for (at, tool) in list.iter().enumerate() {
        let path = format!("{list_path}[{at}]");
        let kind = required_word(&mut Fields::new(tool, &path)?, &["function", "custom"])?;
        let (tool, unknown_here) = named(tool, &path, kind, tools)?;
        unknown = unknown.or(unknown_here);
        allowed.push(tool);
    }
    Ok(Choice {
        value: Some(json!({"type": "allowed_tools", "mode": mode, "tools": allowed})),
        unknown,
    })
}

/// `{"type": "function", "function": {"name": …}}`, or the same of a custom
/// tool.
fn named(choice: &Value, path: &str, kind: &str, tools: &Tools) -> Result<(Value, Option<String>)> {
    let inner_path = format!("{path}.{kind}");
    let inner = choice
        .get(kind)
        .filter(|inner| !inner.is_null())
        .ok_or_else(|| missing(&inner_path))?;
    let name = Fields::new(inner, &inner_path)?.required_string("name")?;
    if !tools.has(kind, name) {
        let what = if kind == "function" {
            "function"
        } else {
            "custom tool"
        };
        return Err(no_such("tool_choice", what, name, "tools"));
    }
    let unknown = unknown_key(choice, path, &["type", kind])?;
    let unknown = unknown.or(unknown_key(inner, &inner_path, &["name"])?);
    Ok((json!({"type": kind, "name": name}), unknown))
}

fn function_call(choice: &Value, tools: &Tools) -> Result<Choice> {
    let value = match choice {
        Value::String(word) if word == "none" || word == "auto" => json!(word),
        Value::String(word) => return Err(bad_word("function_call", word, &WORDS[..2])),
        Value::Object(_) => {
            if !tools.legacy {
                return Err(without_tools("function_call", "functions"));
            }
            let name = Fields::new(choice, "function_call")?.required_string("name")?;
            if !tools.has("function", name) {
                return Err(no_such("function_call", "function", name, "functions"));
            }
            json!({"type": "function", "name": name})
        }
        other => return Err(wrong_type("function_call", "a string or an object", other)),
    };
    Ok(Choice {
        value: Some(value),
        unknown: unknown_key(choice, "function_call", &["name"])?,
    })
}

/// `tool_choice` belongs to `tools`, not to `functions`.
fn offers_tools(tools: &Tools) -> bool {
    !tools.legacy && !tools.list.is_empty()
}

fn required_word<'a>(fields: &mut Fields<'a>, words: &[&'static str]) -> Result<&'a str> {
    let path = fields.path("type");
    fields.word("type", words)?.ok_or_else(|| missing(&path))
}

fn without_tools(field: &'static str, of: &str) -> ApiError {
    ApiError::invalid(format!(
        "Invalid value for '{field}': '{field}' is only allowed when '{of}' are specified."
    ))
    .param(field)
}

fn no_such(field: &'static str, what: &str, name: &str, of: &str) -> ApiError {
    let name: String = name.chars().take(64).collect();
    ApiError::invalid(format!(
        "Invalid value for '{field}': no {what} named '{name}' was specified in the '{of}' \
         parameter."
    ))
    .param(field)
}
