//! `tools`, and `functions` before them.

use std::collections::HashSet;

use serde_json::{Map, Value, json};
use strict_schema::Where;

use super::{Result, unknown_key};
use crate::{
    http::{
        error::ApiError,
        fields::{Fields, bad_word, missing, unknown, wrong_type},
    },
    tools::{
        declare::{Declarer, names},
        prepare::{Place, Preparer},
    },
};

/// Tools of one request.
const MAX_TOOLS: usize = 128;
/// Characters of a tool's name (Chat Completions).
const MAX_NAME: usize = 64;

/// The tools of a request, in the form of [`Generation::tools`].
///
/// [`Generation::tools`]: crate::model::Generation
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
pub fn read(fields: &mut Fields<'_>, declarer: &mut Declarer<'_>) -> Result<Tools> {
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
        let tool = read_tool(tool, index, declarer, &mut out)?;
        out.list.push(tool);
    }
    for (index, function) in functions.iter().enumerate() {
        let function = read_legacy(function, index, declarer.preparer(), &mut out)?;
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

fn read_tool(
    tool: &Value,
    index: usize,
    declarer: &mut Declarer<'_>,
    out: &mut Tools,
) -> Result<Value> {
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
            note(out, unknown_key(tool, &path, &["type", "function"])?);
            let known = &["name", "description", "parameters", "strict"];
            note(out, unknown_key(function, &inner_path, known)?);
            read_function(function, &inner_path, index, declarer.preparer(), out)
        }
        "custom" => {
            let custom = fields.value("custom").ok_or_else(|| missing(&inner_path))?;
            note(out, unknown_key(tool, &path, &["type", "custom"])?);
            let known = &["name", "description", "format"];
            note(out, unknown_key(custom, &inner_path, known)?);
            out.must_be_enforced = true;
            read_custom(custom, &inner_path, declarer)
        }
        other => Err(bad_word(&type_path, other, &["function", "custom"])),
    }
}

fn read_function(
    function: &Value,
    path: &str,
    index: usize,
    preparer: &Preparer,
    out: &mut Tools,
) -> Result<Value> {
    let mut fields = Fields::new(function, path)?;
    let name = names::required(&mut fields, MAX_NAME)?;
    let description = fields.string("description")?;
    // Left out it is false, unlike in the Responses API.
    let strict = fields.bool("strict")?.unwrap_or(false);
    let given = parameters(&mut fields)?;
    let checked = preparer.function(given, Some(strict), place(index, name))?;
    let parameters = checked.parameters.as_ref().or(given);
    out.must_be_enforced |= strict;
    Ok(function_tool(name, description, parameters, strict))
}

/// One of `functions`: what the API had before tools.
fn read_legacy(
    function: &Value,
    index: usize,
    preparer: &Preparer,
    out: &mut Tools,
) -> Result<Value> {
    let path = format!("functions[{index}]");
    let mut fields = Fields::new(function, &path)?;
    let name = names::required(&mut fields, MAX_NAME)?;
    if function.get("strict").is_some() {
        return Err(ApiError::invalid(format!(
            "Invalid function definition for '{name}': the 'strict' parameter is only permitted \
             in 'tools'."
        ))
        .param(fields.path("strict")));
    }
    let description = fields.string("description")?;
    let parameters = parameters(&mut fields)?;
    preparer
        .function(parameters, Some(false), place(index, name))
        .map_err(|error| {
            let param = fields.path("parameters");
            // They name a tool's place.
            error.param(param).details(Vec::new())
        })?;
    note(
        out,
        unknown_key(function, &path, &["name", "description", "parameters"])?,
    );
    Ok(function_tool(name, description, parameters, false))
}

fn read_custom(custom: &Value, path: &str, declarer: &mut Declarer<'_>) -> Result<Value> {
    let mut fields = Fields::new(custom, path)?;
    let name = names::required(&mut fields, MAX_NAME)?;
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
            // The Responses API, and so the inner form, has no nesting here.
            format = declarer.grammar(&mut grammar)?;
            grammar.end()?;
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

fn function_tool(
    name: &str,
    description: Option<&str>,
    parameters: Option<&Value>,
    strict: bool,
) -> Value {
    json!({
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters,
        "strict": strict,
    })
}

fn place(index: usize, name: &str) -> Place<'_> {
    Place {
        at: Where::ChatTool { index, name },
        item: None,
    }
}

fn note(out: &mut Tools, unknown: Option<String>) {
    if out.unknown.is_none() {
        out.unknown = unknown;
    }
}
