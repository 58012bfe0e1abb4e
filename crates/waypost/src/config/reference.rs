//! Every key of the configuration, its default and what it means, in one list.
//!
//! The list is made from the structs: meanings are the fields' doc comments,
//! defaults come from `Default`. So a meaning is written once, and a test finds
//! a key without one. `waypost config check` prints the list with the values in
//! effect, `docs/configuration.md` with the defaults.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// A section, in the order of the file: `""` for the top, `http`, `tools.mcp`.
#[derive(Debug)]
pub struct Section {
    pub name: String,
    pub meaning: String,
    /// There may be any number of it: `[[name]]`.
    pub repeats: bool,
    pub keys: Vec<Key>,
}

/// One key of a section.
#[derive(Debug)]
pub struct Key {
    pub name: String,
    pub meaning: String,
    /// What may be written: a duration, one of some words.
    pub form: String,
    /// Something that may be written, as TOML.
    pub example: String,
    /// `None`: without this key something else holds, as the meaning says.
    pub default: Option<toml::Value>,
    /// The section cannot do without it.
    pub required: bool,
    /// Its value is a secret, or a table of secrets.
    pub secret: bool,
}

/// All sections.
pub fn sections() -> Vec<Section> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<Config>();
    let defaults = toml::Value::try_from(Config::default()).expect("defaults print");
    let mut found = Vec::new();
    let top = Place {
        name: String::new(),
        repeats: false,
    };
    collect(schema.as_value(), Some(&defaults), top, &mut found);
    found
}

struct Place {
    name: String,
    repeats: bool,
}

/// Adds the section of this schema and those in it.
fn collect(schema: &Value, defaults: Option<&toml::Value>, place: Place, found: &mut Vec<Section>) {
    let none = serde_json::Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut keys = Vec::new();
    let mut below = Vec::new();
    for (name, property) in properties {
        let default = defaults.and_then(|table| table.get(name));
        let kind = without_null(property);
        let path = match place.name.as_str() {
            "" => name.clone(),
            section => format!("{section}.{name}"),
        };
        if kind["properties"].is_object() {
            below.push((kind, default, path, false));
        } else if kind["items"]["properties"].is_object() {
            below.push((&kind["items"], None, path, true));
        } else {
            let own = property["default"].clone();
            let own = toml::Value::try_from(own).ok();
            keys.push(Key {
                name: name.clone(),
                meaning: meaning(property),
                form: form(kind),
                example: example(kind),
                default: default.cloned().or(own),
                required: required.contains(&name.as_str()),
                secret: is_secret(kind),
            });
        }
    }
    found.push(Section {
        name: place.name,
        meaning: meaning(schema),
        repeats: place.repeats,
        keys,
    });
    for (schema, defaults, name, repeats) in below {
        collect(schema, defaults, Place { name, repeats }, found);
    }
}

/// The schema of what is there when something is.
fn without_null(schema: &Value) -> &Value {
    let either = schema["anyOf"].as_array();
    match either {
        Some(either) if either.iter().any(|one| one["type"] == "null") => {
            let some = either.iter().find(|one| one["type"] != "null");
            some.unwrap_or(schema)
        }
        _ => schema,
    }
}

/// A doc comment as one paragraph.
fn meaning(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is(schema: &Value, kind: &str) -> bool {
    schema["type"] == kind
        || schema["type"]
            .as_array()
            .is_some_and(|types| types.iter().any(|one| one == kind))
}

fn is_secret(schema: &Value) -> bool {
    schema["format"] == "secret" || schema["additionalProperties"]["format"] == "secret"
}

/// What may be written.
fn form(schema: &Value) -> String {
    let words = choices(schema);
    if !words.is_empty() {
        return words.join(", ");
    }
    match schema["format"].as_str() {
        Some("secret") => return "a secret: `env:NAME`, `file:PATH`, or itself".to_owned(),
        Some("duration") => return "a duration, like `\"30s\"` or `\"7d\"`".to_owned(),
        Some("size") => return "a size, like `\"32MiB\"`".to_owned(),
        Some("address") => {
            return "an address and a port, like `\"127.0.0.1:9464\"`".to_owned();
        }
        Some(format) if is(schema, "string") => return format!("a {format}"),
        _ => {}
    }
    if is(schema, "boolean") {
        "`true` or `false`"
    } else if is(schema, "integer") {
        "a number"
    } else if is(schema, "array") {
        "a list of strings"
    } else if is_secret(schema) {
        "a table of secrets"
    } else if is(schema, "object") {
        "a table of strings"
    } else {
        "a string"
    }
    .to_owned()
}

/// A value of the right form, as TOML.
fn example(schema: &Value) -> String {
    if let Some(word) = choices(schema).first() {
        return word.split('`').nth(1).unwrap_or_default().to_owned();
    }
    match schema["format"].as_str() {
        Some("secret") => "\"env:NAME\"",
        Some("size") => "\"32MiB\"",
        Some("address") => "\"127.0.0.1:9464\"",
        Some(format) if format.starts_with("duration") => "\"30s\"",
        _ if is(schema, "boolean") => "false",
        _ if is(schema, "integer") => "1",
        _ if is(schema, "array") => "[]",
        _ if is(schema, "object") => "{}",
        _ => "\"\"",
    }
    .to_owned()
}

/// The words of an enumeration, each with its meaning if it has one.
fn choices(schema: &Value) -> Vec<String> {
    let plain = schema["enum"].as_array().into_iter().flatten();
    let plain = plain.filter_map(|word| word.as_str().map(|word| format!("`\"{word}\"`")));
    let told = schema["oneOf"].as_array().into_iter().flatten();
    let told = told.flat_map(|one| match one["const"].as_str() {
        Some(word) => {
            let meaning = meaning(one);
            let meaning = meaning.trim_end_matches('.');
            vec![if meaning.is_empty() {
                format!("`\"{word}\"`")
            } else {
                format!("`\"{word}\"` ({meaning})")
            }]
        }
        None => choices(one),
    });
    plain.chain(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_section_has_a_meaning() {
        let sections = sections();
        for section in &sections {
            assert!(!section.meaning.is_empty(), "[{}]", section.name);
            for key in &section.keys {
                assert!(
                    key.meaning.ends_with(['.', ')']),
                    "{}.{} has no doc comment that is a sentence: {:?}",
                    section.name,
                    key.name,
                    key.meaning
                );
            }
        }
        let has = |section: &str, key: &str| {
            sections
                .iter()
                .filter(|one| one.name == section)
                .any(|one| one.keys.iter().any(|one| one.name == key))
        };
        assert!(has("", "data_dir") && has("tls", "cert") && has("tools.mcp", "max_tools"));
        assert!(has("upstreams", "base_url"));
        assert!(!has("", "admin_key"), "it cannot stand in a file");
    }
}
