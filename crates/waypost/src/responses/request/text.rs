//! `text`: what form the answer is to have.

use serde_json::{Map, Value, json};
use strict_schema::Where;

use super::Result;
use crate::{
    http::{
        error::ApiError,
        fields::{Fields, bad_word, missing, wrong_type},
    },
    tools::{declare::names, prepare::Preparer},
};

/// Reads `text`. Always with a `format`, as the contract echoes it.
pub(super) fn text(fields: &mut Fields<'_>, preparer: &Preparer) -> Result<Value> {
    let mut out = Map::new();
    out.insert("format".into(), json!({"type": "text"}));
    if let Some(mut text) = fields.object("text")? {
        if let Some(format) = text.object("format")? {
            out.insert("format".into(), self::format(format, preparer)?);
        }
        if let Some(verbosity) = text.word("verbosity", &["low", "medium", "high"])? {
            out.insert("verbosity".into(), json!(verbosity));
        }
        text.end()?;
    }
    Ok(Value::Object(out))
}

fn format(mut format: Fields<'_>, preparer: &Preparer) -> Result<Value> {
    let path = format.path("type");
    let kind = format.string("type")?.ok_or_else(|| missing(&path))?;
    let value = match kind {
        "text" | "json_object" => json!({"type": kind}),
        "json_schema" => {
            let description = format.string("description")?;
            let name = names::required(&mut format, names::MAX_FORMAT)?;
            let path = format.path("schema");
            let schema = format.value("schema").ok_or_else(|| missing(&path))?;
            if !schema.is_object() {
                return Err(wrong_type(&path, "an object", schema));
            }
            // Left out it is false, unlike a function's: nothing is rewritten.
            let strict = format.bool("strict")?.unwrap_or(false);
            preparer.format(schema, strict, Where::ResponsesFormat { name })?;
            json!({
                "type": "json_schema",
                "description": description,
                "name": name,
                "schema": schema,
                "strict": strict,
            })
        }
        other => {
            return Err(bad_word(
                &path,
                other,
                &["text", "json_object", "json_schema"],
            ));
        }
    };
    format.end()?;
    Ok(value)
}

/// A model that is to answer in JSON, and is not told so in words, may write
/// white space without end: the input's messages must say it. Instructions do
/// not count.
pub(super) fn says_json(text: Option<&Value>, items: &[Value]) -> Result<()> {
    let wanted = text.is_some_and(|text| text["format"]["type"] == "json_object");
    if !wanted || items.iter().any(mentions_json) {
        return Ok(());
    }
    Err(ApiError::invalid(
        "Response input messages must contain the word 'json' in some form to use 'text.format' \
         of type 'json_object'.",
    )
    .param("text.format"))
}

fn mentions_json(item: &Value) -> bool {
    let says = |text: &Value| {
        let bytes = text.as_str().unwrap_or_default().as_bytes();
        bytes
            .windows(4)
            .any(|word| word.eq_ignore_ascii_case(b"json"))
    };
    item["type"] == "message"
        && match &item["content"] {
            Value::Array(parts) => parts.iter().any(|part| says(&part["text"])),
            content => says(content),
        }
}
