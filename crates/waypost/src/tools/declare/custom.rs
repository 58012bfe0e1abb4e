//! Custom tools: their input is text, free or of a grammar.

use regex::RegexBuilder;
use serde_json::{Map, Value, json};

use super::{Result, allowed_callers, not_async};
use crate::{
    http::error::ApiError,
    responses::fields::{Fields, bad_word, missing},
    tools::custom::check_lark,
};

/// Bytes of a grammar (llguidance's own limit is on what it compiles to).
const MAX_DEFINITION: usize = 500_000;
/// Bytes of a compiled regular expression.
const MAX_REGEX: usize = 1024 * 1024;
/// How much of an engine's complaint is sent.
const MAX_DETAIL: usize = 500;

/// A custom tool, whose `type` and `name` have been read.
pub(super) fn custom(mut fields: Fields<'_>, name: &str) -> Result<Value> {
    let description = fields.string("description")?;
    let format = format(&mut fields)?;
    let defer_loading = fields.bool("defer_loading")?;
    let callers = allowed_callers(&mut fields)?;
    not_async(&mut fields)?;
    fields.end()?;
    let mut tool = Map::with_capacity(6);
    tool.insert("type".into(), json!("custom"));
    tool.insert("description".into(), json!(description));
    tool.insert("name".into(), json!(name));
    tool.insert("format".into(), format);
    if let Some(defer) = defer_loading {
        tool.insert("defer_loading".into(), json!(defer));
    }
    if let Some(callers) = callers {
        tool.insert("allowed_callers".into(), json!(callers));
    }
    Ok(Value::Object(tool))
}

fn format(fields: &mut Fields<'_>) -> Result<Value> {
    let Some(mut format) = fields.object("format")? else {
        return Ok(json!({"type": "text"}));
    };
    let path = format.path("type");
    let value = match format.string("type")?.ok_or_else(|| missing(&path))? {
        "text" => json!({"type": "text"}),
        "grammar" => {
            let path = format.path("syntax");
            let syntax = format
                .word("syntax", &["lark", "regex"])?
                .ok_or_else(|| missing(&path))?;
            let definition = format.sized_string("definition", MAX_DEFINITION)?;
            let checked = match syntax {
                "lark" => check_lark(definition),
                _ => check_regex(definition),
            };
            checked.map_err(|why| refused(&format.path("definition"), syntax, &why))?;
            json!({"type": "grammar", "syntax": syntax, "definition": definition})
        }
        other => return Err(bad_word(&path, other, &["text", "grammar"])),
    };
    format.end()?;
    Ok(value)
}

/// The syntax is that of the `regex` crate. The input must match as a whole,
/// so the expression is compiled anchored.
fn check_regex(definition: &str) -> Result<(), String> {
    if definition.contains(['\n', '\r']) {
        return Err("the expression must be on one line".to_owned());
    }
    RegexBuilder::new(&format!(r"\A(?:{definition})\z"))
        .size_limit(MAX_REGEX)
        .build()
        .map(|_| ())
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("it takes more than {limit} bytes compiled")
            }
            // The last line says what is wrong; those before draw where.
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.trim_start_matches("error: ").to_owned()
            }
        })
}

fn refused(path: &str, syntax: &str, why: &str) -> ApiError {
    let why: String = why
        .trim_end_matches('.')
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_DETAIL)
        .collect();
    ApiError::invalid(format!(
        "Invalid '{path}': not a valid {syntax} grammar: {why}."
    ))
    .param(path.to_owned())
    .code("invalid_value")
}
