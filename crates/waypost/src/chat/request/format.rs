//! `response_format`.

use serde_json::{Map, Value, json};
use strict_schema::Where;

use super::{Result, unknown_key};
use crate::{
    config::UpstreamApi,
    http::{
        error::ApiError,
        fields::{Fields, bad_word, missing, unknown, wrong_type},
    },
    tools::{declare::names, prepare::Preparer},
};

const TYPES: &[&str] = &["text", "json_object", "json_schema"];

/// The output's format.
#[derive(Debug, Default)]
pub struct Format {
    kind: Kind,
    /// The path of a key that no format has.
    pub unknown: Option<String>,
}

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Text,
    JsonObject,
    /// As the Responses API writes it.
    JsonSchema {
        format: Map<String, Value>,
        strict: bool,
    },
    /// A model server's own.
    Foreign(Value),
}

/// Reads and checks the field.
pub fn read(fields: &mut Fields<'_>, preparer: &Preparer) -> Result<Format> {
    let Some(value) = fields.value("response_format") else {
        return Ok(Format::default());
    };
    let path = "response_format";
    let mut fields = Fields::new(value, path)?;
    let kind = fields
        .string("type")?
        .ok_or_else(|| missing("response_format.type"))?;
    if TYPES.contains(&kind) && value.get("strict").is_some() {
        // A common slip: it belongs into `json_schema`.
        return Err(unknown("response_format.strict"));
    }
    // Whatever the type: a look-alike could give it another.
    unknown_key(value, path, &["type", "json_schema", "schema", "strict"])?;
    let (kind, unknown) = match kind {
        "text" => (Kind::Text, unknown_key(value, path, &["type"])?),
        // Some servers take a schema beside it.
        "json_object" if value.get("schema").is_some() => (Kind::Foreign(value.clone()), None),
        "json_object" => (Kind::JsonObject, unknown_key(value, path, &["type"])?),
        "json_schema" => {
            let inner_path = "response_format.json_schema";
            let inner = fields
                .value("json_schema")
                .ok_or_else(|| missing(inner_path))?;
            let known = &["name", "description", "schema", "strict"];
            let unknown = unknown_key(value, path, &["type", "json_schema"])?;
            let unknown = unknown.or(unknown_key(inner, inner_path, known)?);
            (json_schema(inner, inner_path, preparer)?, unknown)
        }
        _ => (Kind::Foreign(value.clone()), None),
    };
    Ok(Format { kind, unknown })
}

fn json_schema(value: &Value, path: &str, preparer: &Preparer) -> Result<Kind> {
    let mut fields = Fields::new(value, path)?;
    let name = names::required(&mut fields, names::MAX_FORMAT)?;
    let strict = fields.bool("strict")?.unwrap_or(false);
    let mut format = Map::new();
    format.insert("type".into(), json!("json_schema"));
    format.insert("name".into(), json!(name));
    if let Some(description) = fields.string("description")? {
        format.insert("description".into(), json!(description));
    }
    let schema_path = fields.path("schema");
    match fields.value("schema") {
        Some(schema) if !schema.is_object() => {
            return Err(wrong_type(&schema_path, "an object", schema));
        }
        Some(schema) => {
            preparer.format(schema, strict, Where::ChatFormat { name })?;
            format.insert("schema".into(), schema.clone());
        }
        None if strict => return Err(missing(&schema_path)),
        None => {}
    }
    format.insert("strict".into(), json!(strict));
    Ok(Kind::JsonSchema { format, strict })
}

/// Models asked for JSON by the format alone write white space without end.
pub fn must_ask_for_json(messages: &[Value]) -> Result<()> {
    let says_json = |text: &str| {
        let mut windows = text.as_bytes().windows(4);
        windows.any(|w| w.eq_ignore_ascii_case(b"json"))
    };
    let asked = messages.iter().any(|message| match &message["content"] {
        Value::String(text) => says_json(text),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .any(says_json),
        _ => false,
    });
    if asked {
        return Ok(());
    }
    Err(ApiError::invalid(
        "'messages' must contain the word 'json' in some form, to use 'response_format' of type \
         'json_object'.",
    )
    .param("messages"))
}

impl Format {
    pub fn is_json_object(&self) -> bool {
        matches!(self.kind, Kind::JsonObject)
    }

    pub fn is_strict(&self) -> bool {
        matches!(self.kind, Kind::JsonSchema { strict: true, .. })
    }

    /// The format as `text` of the inner form. What only a chat server knows
    /// goes into `extra`.
    pub fn into_text(
        self,
        api: UpstreamApi,
        extra: &mut Map<String, Value>,
    ) -> Result<Option<Map<String, Value>>> {
        let format = match self.kind {
            Kind::Text => return Ok(None),
            Kind::JsonObject => json!({"type": "json_object"}),
            Kind::JsonSchema { format, .. } => {
                if api == UpstreamApi::Responses && !format.contains_key("schema") {
                    return Err(missing("response_format.json_schema.schema"));
                }
                Value::Object(format)
            }
            Kind::Foreign(value) if api == UpstreamApi::Chat => {
                extra.insert("response_format".into(), value);
                return Ok(None);
            }
            Kind::Foreign(value) => {
                if value["type"] == "json_object" {
                    return Err(unknown("response_format.schema"));
                }
                let word = value["type"].as_str().unwrap_or_default();
                return Err(bad_word("response_format.type", word, TYPES));
            }
        };
        let mut text = Map::new();
        text.insert("format".into(), format);
        Ok(Some(text))
    }
}
