//! Headers that repeat a message's content for intermediaries, as protocol
//! 2026-07-28 requires: `Mcp-Method`, `Mcp-Name` and `Mcp-Param-…`.
//!
//! A tool's schema may mark arguments with `x-mcp-header`; a marked argument of
//! a call goes into a header too. A tool whose marks are wrong is not to be
//! used (same source), so that it is left out of the list.

use std::collections::HashSet;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

const MARK: &str = "x-mcp-header";
/// Properties nested deeper are not looked at.
const MAX_DEPTH: usize = 32;
/// Headers made from arguments.
const MAX_MARKS: usize = 64;

/// The headers of a request.
pub(crate) fn standard(to: &mut HeaderMap, method: &str, name: Option<&str>) {
    let mut insert = |header: &'static str, text: &str| {
        // What cannot be a header was encoded; a method is ours.
        if let Ok(value) = HeaderValue::from_str(&encode(text)) {
            to.insert(header, value);
        }
    };
    insert("mcp-method", method);
    if let Some(name) = name {
        insert("mcp-name", name);
    }
}

/// The headers for a call's marked arguments.
pub(crate) fn params(to: &mut HeaderMap, schema: &Value, arguments: &Map<String, Value>) {
    let mut marks = Vec::new();
    collect(schema, &mut Vec::new(), &mut marks);
    for (path, header) in marks {
        let argument = path[1..]
            .iter()
            .try_fold(arguments.get(path[0]), |value, key| {
                value.map(|value| value.get(key))
            })
            .flatten();
        let text = match argument {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(flag)) => flag.to_string(),
            Some(Value::Number(number)) => number.to_string(),
            _ => continue,
        };
        let name = header
            .as_str()
            .and_then(|header| HeaderName::try_from(format!("mcp-param-{header}")).ok());
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_str(&encode(&text))) {
            to.insert(name, value);
        }
    }
}

/// Whether a schema's marks are as they must be: header names, each once, on
/// string, integer or boolean properties.
pub(crate) fn marks_are_fine(schema: &Value) -> bool {
    let mut marks = Vec::new();
    collect(schema, &mut Vec::new(), &mut marks);
    let mut seen = HashSet::new();
    let each = marks.iter().all(|(path, header)| {
        let property = path
            .iter()
            .fold(schema, |schema, key| &schema["properties"][*key]);
        let primitive = matches!(
            property["type"].as_str(),
            Some("string" | "integer" | "boolean")
        );
        let token = header
            .as_str()
            .filter(|header| HeaderName::try_from(*header).is_ok());
        primitive && token.is_some_and(|header| seen.insert(header.to_ascii_lowercase()))
    });
    each && marks.len() <= MAX_MARKS && count(schema, 0) == marks.len()
}

/// Marks on paths of `properties` alone, from the root.
fn collect<'a>(
    schema: &'a Value,
    path: &mut Vec<&'a str>,
    out: &mut Vec<(Vec<&'a str>, &'a Value)>,
) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    if path.len() >= MAX_DEPTH {
        return;
    }
    for (name, property) in properties {
        path.push(name);
        if let Some(header) = property.get(MARK) {
            out.push((path.clone(), header));
        }
        collect(property, path, out);
        path.pop();
    }
}

/// Marks anywhere in a schema: data and property names do not count.
fn count(schema: &Value, depth: usize) -> usize {
    if depth > 2 * MAX_DEPTH {
        return 0;
    }
    match schema {
        Value::Array(items) => items.iter().map(|item| count(item, depth + 1)).sum(),
        Value::Object(schema) => schema
            .iter()
            .map(|(key, value)| match (key.as_str(), value) {
                (MARK, _) => 1,
                ("default" | "const" | "enum" | "examples", _) => 0,
                (
                    "properties" | "$defs" | "definitions" | "patternProperties"
                    | "dependentSchemas",
                    Value::Object(schemas),
                ) => schemas
                    .values()
                    .map(|schema| count(schema, depth + 1))
                    .sum(),
                _ => count(value, depth + 1),
            })
            .sum(),
        _ => 0,
    }
}

/// Text that a header cannot hold as it is goes as `=?base64?…?=`.
fn encode(text: &str) -> String {
    let plain = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
        && text.trim() == text
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    if plain {
        text.to_owned()
    } else {
        format!("=?base64?{}?=", BASE64_STANDARD.encode(text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn marked_arguments_become_headers() {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"type": "object", "properties": {
                "n": {"type": "integer", "x-mcp-header": "N"}}},
            "absent": {"type": "string", "x-mcp-header": "Absent"},
            "x-mcp-header": {"type": "string"},
        }});
        assert!(marks_are_fine(&schema));
        let arguments = json!({"region": " Zürich", "deep": {"n": 3}});
        let mut headers = HeaderMap::new();
        standard(&mut headers, "tools/call", Some("größe"));
        params(
            &mut headers,
            &schema,
            arguments.as_object().expect("an object"),
        );
        assert_eq!(headers["mcp-method"], "tools/call");
        assert_eq!(headers["mcp-name"], "=?base64?Z3LDtsOfZQ==?=");
        assert_eq!(headers["mcp-param-region"], "=?base64?IFrDvHJpY2g=?=");
        assert_eq!(headers["mcp-param-n"], "3");
        assert!(!headers.contains_key("mcp-param-absent"));
    }

    #[test]
    fn wrong_marks_are_found() {
        let mark = |property: Value| json!({"type": "object", "properties": {"a": property}});
        for schema in [
            mark(json!({"type": "string", "x-mcp-header": ""})),
            mark(json!({"type": "string", "x-mcp-header": "a b"})),
            mark(json!({"type": "string", "x-mcp-header": 1})),
            mark(json!({"type": "object", "x-mcp-header": "A"})),
            mark(json!({"type": "array", "items": {"type": "string", "x-mcp-header": "A"}})),
            json!({"x-mcp-header": "A"}),
            json!({"properties": {
                "a": {"type": "string", "x-mcp-header": "A"},
                "b": {"type": "string", "x-mcp-header": "a"}}}),
        ] {
            assert!(!marks_are_fine(&schema), "{schema}");
        }
        assert!(marks_are_fine(&json!({"enum": [{"x-mcp-header": "A"}]})));
    }
}
