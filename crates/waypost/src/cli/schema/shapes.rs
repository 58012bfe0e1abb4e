//! Finds tools and schemas in a JSON document, in every shape that people keep them in.
//!
//! A document is one of: a request body (`tools`, `functions`, `text.format`, `response_format`), a
//! `tools/list` result of MCP or the JSON-RPC reply around it, an array of tools, one tool, or a
//! bare JSON Schema. Anything else holds nothing.

use serde::Serialize;
use serde_json::{Map, Value};

/// How the schema is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shape {
    /// `{type: function, name, parameters}` of the Responses API.
    ResponsesFunction,
    /// `{type: function, function: {name, parameters}}` of Chat Completions.
    ChatFunction,
    /// An entry of `functions`, the legacy form of Chat Completions.
    LegacyFunction,
    /// `{name, inputSchema}` of the Model Context Protocol.
    Mcp,
    /// `{name, input_schema}` of the Messages API.
    Messages,
    /// `text.format` of a Responses request.
    ResponsesFormat,
    /// `response_format` of a Chat Completions request.
    ChatFormat,
    /// A JSON Schema by itself.
    Schema,
}

/// A schema to judge.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub shape: Shape,
    pub name: Option<&'a str>,
    pub namespace: Option<&'a str>,
    /// `Some` where `strict` is said.
    pub strict: Option<bool>,
    /// `None`: the tool has none, and takes no arguments.
    pub schema: Option<&'a Value>,
    /// Of the tool, and of its schema, in the document.
    pub tool_pointer: String,
    pub schema_pointer: String,
    /// Its place in `tools`, and inside its namespace.
    pub index: usize,
    pub inner: Option<usize>,
}

/// Everything in a document; `None` when it is none of the known kinds. A request body with hosted
/// tools alone is known and holds nothing.
pub(super) fn find(document: &Value) -> Option<Vec<Found<'_>>> {
    let mut found = Vec::new();
    match document {
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                if !tool(entry, &format!("/{index}"), index, &mut found) {
                    found.push(bare(entry, &format!("/{index}"), index)?);
                }
            }
        }
        Value::Object(object) => {
            if !body(object, "", &mut found)
                && !reply(object, &mut found)
                && !tool(document, "", 0, &mut found)
            {
                found.push(bare(document, "", 0)?);
            }
        }
        _ => return None,
    }
    Some(found)
}

/// A request body or a `tools/list` result.
fn body<'a>(object: &'a Map<String, Value>, at: &str, found: &mut Vec<Found<'a>>) -> bool {
    let mut is_body = false;
    if let Some(Value::Array(tools)) = object.get("tools")
        // A namespace has tools too.
        && object.get("type").is_none()
    {
        is_body = true;
        for (index, entry) in tools.iter().enumerate() {
            tool(entry, &format!("{at}/tools/{index}"), index, found);
        }
    }
    if let Some(Value::Array(functions)) = object.get("functions") {
        is_body = true;
        for (index, entry) in functions.iter().enumerate() {
            let pointer = format!("{at}/functions/{index}");
            if let Some(object) = entry.as_object() {
                found.push(wrapped(
                    Shape::LegacyFunction,
                    object,
                    "parameters",
                    pointer.clone(),
                    pointer,
                    index,
                ));
            }
        }
    }
    let text_format = object.get("text").and_then(|text| text.get("format"));
    if let Some(Value::Object(format)) = text_format
        && format.get("type").is_some_and(|kind| kind == "json_schema")
    {
        is_body = true;
        let pointer = format!("{at}/text/format");
        found.push(wrapped(
            Shape::ResponsesFormat,
            format,
            "schema",
            pointer.clone(),
            pointer,
            0,
        ));
    }
    let response_format = object.get("response_format");
    if let Some(Value::Object(format)) = response_format.and_then(|f| f.get("json_schema")) {
        is_body = true;
        let pointer = format!("{at}/response_format");
        let inner = format!("{pointer}/json_schema");
        found.push(wrapped(
            Shape::ChatFormat,
            format,
            "schema",
            pointer,
            inner,
            0,
        ));
    }
    is_body
}

/// A JSON-RPC reply to `tools/list`.
fn reply<'a>(object: &'a Map<String, Value>, found: &mut Vec<Found<'a>>) -> bool {
    match object.get("result") {
        Some(Value::Object(result)) if object.contains_key("jsonrpc") => {
            body(result, "/result", found)
        }
        _ => false,
    }
}

/// One tool; `true` when it is one, also of a kind without a schema.
fn tool<'a>(entry: &'a Value, at: &str, index: usize, found: &mut Vec<Found<'a>>) -> bool {
    let Some(object) = entry.as_object() else {
        return false;
    };
    let kind = object.get("type").and_then(Value::as_str);
    let named = object.get("name").is_some_and(Value::is_string);
    match (kind, object.get("function"), object.get("tools")) {
        (Some("function"), Some(Value::Object(function)), _) => {
            let inner = format!("{at}/function");
            found.push(wrapped(
                Shape::ChatFunction,
                function,
                "parameters",
                at.to_owned(),
                inner,
                index,
            ));
            return true;
        }
        (Some("namespace"), _, Some(Value::Array(tools))) => {
            let from = found.len();
            for (inner, entry) in tools.iter().enumerate() {
                tool(entry, &format!("{at}/tools/{inner}"), inner, found);
            }
            for tool in &mut found[from..] {
                tool.namespace = object.get("name").and_then(Value::as_str);
                tool.inner = Some(tool.index);
                tool.index = index;
            }
            return true;
        }
        _ => {}
    }
    let (shape, key) = if named && object.contains_key("inputSchema") {
        (Shape::Mcp, "inputSchema")
    } else if named && object.contains_key("input_schema") {
        (Shape::Messages, "input_schema")
    } else if named && kind == Some("function") {
        (Shape::ResponsesFunction, "parameters")
    } else if named && kind.is_none() && object.contains_key("parameters") {
        (Shape::LegacyFunction, "parameters")
    } else {
        // Hosted and custom tools have no schema to judge.
        return kind.is_some_and(|kind| !is_type_name(kind)) && !is_schema(object) && named
            || kind.is_some_and(is_hosted);
    };
    found.push(wrapped(
        shape,
        object,
        key,
        at.to_owned(),
        at.to_owned(),
        index,
    ));
    true
}

/// `holder` has the name, `strict` and, below `key`, the schema.
fn wrapped<'a>(
    shape: Shape,
    holder: &'a Map<String, Value>,
    key: &str,
    tool_pointer: String,
    holder_pointer: String,
    index: usize,
) -> Found<'a> {
    Found {
        shape,
        name: holder.get("name").and_then(Value::as_str),
        namespace: None,
        strict: holder.get("strict").and_then(Value::as_bool),
        schema: holder.get(key).filter(|schema| !schema.is_null()),
        tool_pointer,
        schema_pointer: format!("{holder_pointer}/{key}"),
        index,
        inner: None,
    }
}

fn bare<'a>(value: &'a Value, at: &str, index: usize) -> Option<Found<'a>> {
    let object = value.as_object()?;
    if !is_schema(object) {
        return None;
    }
    Some(Found {
        shape: Shape::Schema,
        // What generators of schemas put there.
        name: object.get("title").and_then(Value::as_str),
        namespace: None,
        strict: None,
        schema: Some(value),
        tool_pointer: at.to_owned(),
        schema_pointer: at.to_owned(),
        index,
        inner: None,
    })
}

/// Told from other JSON by a keyword with the right kind of value: `$schema` alone is not enough,
/// for configuration files name their own schema with it.
fn is_schema(object: &Map<String, Value>) -> bool {
    let typed = match object.get("type") {
        Some(Value::String(name)) => is_type_name(name),
        Some(Value::Array(names)) => {
            !names.is_empty() && names.iter().all(|n| n.as_str().is_some_and(is_type_name))
        }
        _ => false,
    };
    let dialect = object.get("$schema").and_then(Value::as_str);
    typed
        || dialect.is_some_and(|uri| uri.contains("json-schema.org/"))
        || ["properties", "$defs", "definitions"]
            .iter()
            .any(|key| object.get(*key).is_some_and(Value::is_object))
        || ["anyOf", "oneOf", "allOf", "enum"]
            .iter()
            .any(|key| object.get(*key).is_some_and(Value::is_array))
        || object.get("$ref").is_some_and(Value::is_string)
}

fn is_type_name(name: &str) -> bool {
    matches!(
        name,
        "object" | "array" | "string" | "number" | "integer" | "boolean" | "null"
    )
}

fn is_hosted(kind: &str) -> bool {
    matches!(
        kind,
        "mcp"
            | "tool_search"
            | "file_search"
            | "code_interpreter"
            | "image_generation"
            | "local_shell"
            | "shell"
            | "apply_patch"
            | "programmatic_tool_calling"
    ) || kind.starts_with("web_search")
        || kind.starts_with("computer")
}

#[cfg(test)]
#[path = "shapes_tests.rs"]
mod tests;
