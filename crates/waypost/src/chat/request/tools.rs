//! `tools`, and `functions` before them.

use std::collections::HashSet;

use serde_json::{Map, Value, json};
use strict_schema::{Where, empty_parameters};

use super::{Result, unknown_key};
use crate::{
    chat::schema,
    config::ToolsConfig,
    http::error::ApiError,
    responses::fields::{Fields, bad_word, missing, unknown, wrong_type},
};

/// Tools of one request.
const MAX_TOOLS: usize = 128;
/// Characters of a tool's name (Chat Completions).
const MAX_NAME: usize = 64;

/// The tools of a request, in the form of [`Generation::tools`].
///
/// [`Generation::tools`]: crate::upstream::generation::Generation
#[derive(Debug, Default)]
pub struct Tools {
    pub list: Vec<Value>,
    /// One is strict, or a custom tool.
    pub must_be_enforced: bool,
    /// They came as `functions`.
    pub legacy: bool,
    /// The path of a key that no tool has.
    pub unknown: Option<String>,
}

impl Tools {
    /// Whether there is a tool of that type and name.
    pub fn has(&self, kind: &str, name: &str) -> bool {
        self.list
            .iter()
            .any(|tool| tool["type"] == kind && tool["name"] == name)
    }
}

/// Reads and checks both fields.
pub fn read(fields: &mut Fields<'_>, config: &ToolsConfig) -> Result<Tools> {
    let tools = list(fields, "tools")?;
    let functions = list(fields, "functions")?;
    if !tools.is_empty() && !functions.is_empty() {
        return Err(
            ApiError::invalid("'tools' and 'functions' cannot be used together.")
                .param("functions")
                .code("invalid_value"),
        );
    }
    let mut out = Tools {
        legacy: !functions.is_empty(),
        ..Tools::default()
    };
    for (index, tool) in tools.iter().enumerate() {
        let tool = read_tool(tool, index, config, &mut out)?;
        out.list.push(tool);
    }
    for (index, function) in functions.iter().enumerate() {
        let function = read_legacy(function, index, &mut out)?;
        out.list.push(function);
    }
    let mut names = HashSet::new();
    for (index, tool) in out.list.iter().enumerate() {
        if !names.insert(tool["name"].as_str()) {
            let kind = tool["type"].as_str().unwrap_or_default();
            let param = if out.legacy {
                format!("functions[{index}].name")
            } else {
                format!("tools[{index}].{kind}.name")
            };
            return Err(ApiError::invalid("Tool names must be unique")
                .param(param)
                .code("invalid_value"));
        }
    }
    Ok(out)
}

fn list<'a>(fields: &mut Fields<'a>, name: &'static str) -> Result<&'a [Value]> {
    let list = fields.array(name)?.map(Vec::as_slice).unwrap_or_default();
    if list.len() > MAX_TOOLS {
        return Err(ApiError::invalid(format!(
            "Invalid '{name}': array too long. Expected an array with maximum length {MAX_TOOLS}, \
             but got an array with length {} instead.",
            list.len()
        ))
        .param(name)
        .code("array_above_max_length"));
    }
    Ok(list)
}

fn read_tool(tool: &Value, index: usize, config: &ToolsConfig, out: &mut Tools) -> Result<Value> {
    let path = format!("tools[{index}]");
    let mut fields = Fields::new(tool, &path)?;
    let type_path = fields.path("type");
    let kind = fields.string("type")?.ok_or_else(|| missing(&type_path))?;
    let inner_path = fields.path(kind);
    match kind {
        "function" => {
            let function = fields
                .value("function")
                .ok_or_else(|| missing(&inner_path))?;
            // A common slip, which would be silently without effect.
            if tool.get("strict").is_some() {
                return Err(unknown(&fields.path("strict")));
            }
            note(out, unknown_key(tool, &path, &["type", "function"]));
            let known = &["name", "description", "parameters", "strict"];
            note(out, unknown_key(function, &inner_path, known));
            read_function(function, &inner_path, index, config, out)
        }
        "custom" => {
            let custom = fields.value("custom").ok_or_else(|| missing(&inner_path))?;
            note(out, unknown_key(tool, &path, &["type", "custom"]));
            let known = &["name", "description", "format"];
            note(out, unknown_key(custom, &inner_path, known));
            out.must_be_enforced = true;
            read_custom(custom, &inner_path)
        }
        other => Err(bad_word(&type_path, other, &["function", "custom"])),
    }
}

fn read_function(
    function: &Value,
    path: &str,
    index: usize,
    config: &ToolsConfig,
    out: &mut Tools,
) -> Result<Value> {
    let mut fields = Fields::new(function, path)?;
    let name = name(&mut fields)?;
    let description = fields.string("description")?;
    let strict = fields.bool("strict")?.unwrap_or(false);
    let parameters = parameters(&mut fields)?;
    let at = Where::ChatTool { index, name };
    let parameters = match parameters {
        Some(schema) if strict => {
            schema::check_strict(schema, config, at)?;
            schema.clone()
        }
        Some(schema) => {
            schema::check_any(schema, at)?;
            schema.clone()
        }
        None if strict => empty_parameters(),
        None => Value::Null,
    };
    out.must_be_enforced |= strict;
    Ok(function_tool(name, description, parameters, strict))
}

/// One of `functions`: what the API had before tools.
fn read_legacy(function: &Value, index: usize, out: &mut Tools) -> Result<Value> {
    let path = format!("functions[{index}]");
    let mut fields = Fields::new(function, &path)?;
    let name = name(&mut fields)?;
    if function.get("strict").is_some() {
        return Err(ApiError::invalid(format!(
            "Invalid function definition for '{name}': the 'strict' parameter is only permitted \
             in 'tools'."
        ))
        .param(fields.path("strict")));
    }
    let description = fields.string("description")?;
    let parameters = parameters(&mut fields)?;
    if let Some(schema) = parameters {
        schema::check_any(schema, Where::ChatTool { index, name })
            .map_err(|error| error.param(fields.path("parameters")))?;
    }
    note(
        out,
        unknown_key(function, &path, &["name", "description", "parameters"]),
    );
    let parameters = parameters.cloned().unwrap_or_default();
    Ok(function_tool(name, description, parameters, false))
}

fn read_custom(custom: &Value, path: &str) -> Result<Value> {
    let mut fields = Fields::new(custom, path)?;
    let name = name(&mut fields)?;
    let description = fields.string("description")?;
    let mut format = json!({"type": "text"});
    if let Some(mut given) = fields.object("format")? {
        let type_path = given.path("type");
        let kind = given
            .word("type", &["text", "grammar"])?
            .ok_or_else(|| missing(&type_path))?;
        if kind == "grammar" {
            let grammar_path = given.path("grammar");
            let mut grammar = given
                .object("grammar")?
                .ok_or_else(|| missing(&grammar_path))?;
            let syntax_path = grammar.path("syntax");
            let syntax = grammar
                .word("syntax", &["lark", "regex"])?
                .ok_or_else(|| missing(&syntax_path))?;
            let definition = grammar.required_string("definition")?;
            grammar.end()?;
            // The Responses API, and so the inner form, has no nesting here.
            format = json!({"type": "grammar", "syntax": syntax, "definition": definition});
        }
        given.end()?;
    }
    let mut tool = Map::new();
    tool.insert("type".into(), json!("custom"));
    tool.insert("name".into(), json!(name));
    if let Some(description) = description {
        tool.insert("description".into(), json!(description));
    }
    tool.insert("format".into(), format);
    Ok(Value::Object(tool))
}

fn parameters<'a>(fields: &mut Fields<'a>) -> Result<Option<&'a Value>> {
    let path = fields.path("parameters");
    match fields.value("parameters") {
        Some(schema) if !schema.is_object() => Err(wrong_type(&path, "an object", schema)),
        other => Ok(other),
    }
}

fn function_tool(name: &str, description: Option<&str>, parameters: Value, strict: bool) -> Value {
    json!({
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters,
        "strict": strict,
    })
}

/// A name of a tool or format.
pub fn name<'a>(fields: &mut Fields<'a>) -> Result<&'a str> {
    let path = fields.path("name");
    let name = fields.string("name")?.ok_or_else(|| missing(&path))?;
    let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() {
        return Err(ApiError::invalid(format!(
            "Invalid '{path}': empty string. Expected a string with minimum length 1, but got an \
             empty string instead."
        ))
        .param(path)
        .code("empty_string"));
    }
    if !name.bytes().all(valid) {
        return Err(ApiError::invalid(format!(
            "Invalid '{path}': string does not match pattern. Expected a string that matches the \
             pattern '^[a-zA-Z0-9_-]+$'."
        ))
        .param(path)
        .code("invalid_value"));
    }
    if name.len() > MAX_NAME {
        return Err(ApiError::invalid(format!(
            "Invalid '{path}': string too long. Expected a string with maximum length {MAX_NAME}, \
             but got a string with length {} instead.",
            name.len()
        ))
        .param(path)
        .code("string_above_max_length"));
    }
    Ok(name)
}

fn note(out: &mut Tools, unknown: Option<String>) {
    if out.unknown.is_none() {
        out.unknown = unknown;
    }
}
