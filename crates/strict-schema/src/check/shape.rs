//! What an object and an array must say.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::finding::{Finding, SHOWN, ViolationKind};
use super::walk::Walk;
use crate::facts::Facts;
use crate::keyword::{Keyword, get};
use crate::path::{At, python_value};

impl<'a> Walk<'a> {
    pub(super) fn object(&mut self, facts: &Facts<'a>, at: &At<'_>) {
        let closed = facts.additional == Some(&Value::Bool(false));
        let Some(properties) = facts.properties else {
            if at.is_root() || closed {
                let tail = "object schema missing properties.";
                self.add(Finding::at(ViolationKind::FreeFormObject, at, "", tail));
            }
            if !closed {
                let kind = match facts.additional {
                    Some(Value::Object(_)) => ViolationKind::MapObject,
                    _ if at.is_root() => ViolationKind::OpenObject,
                    _ => ViolationKind::FreeFormObject,
                };
                self.add(Finding::open(kind, at));
            }
            return;
        };
        let Value::Object(properties) = properties else {
            return self.add(Finding::malformed(
                at,
                properties,
                "is not of type 'object'",
            ));
        };
        if !closed {
            let kind = match facts.additional {
                Some(Value::Object(_)) => ViolationKind::MapObject,
                _ => ViolationKind::OpenObject,
            };
            self.add(Finding::open(kind, at));
        }
        if facts.any_of.is_some() && !at.is_root() {
            self.add(Finding::not_permitted(at, "anyOf"));
        }
        self.properties += properties.len();
        if self.count_chars {
            self.chars += properties
                .keys()
                .map(|name| name.chars().count())
                .sum::<usize>();
        }
        self.required(properties, facts.required, at);
    }

    fn required(&mut self, properties: &Map<String, Value>, required: Option<&Value>, at: &At<'_>) {
        let keys = match required {
            None => {
                let tail = properties
                    .keys()
                    .next()
                    .map(|key| format!(" Missing '{key}'."));
                let first = properties.keys().next().map_or("", String::as_str);
                let tail = tail.unwrap_or_default();
                self.add(Finding::required(
                    ViolationKind::OptionalProperty,
                    at,
                    first,
                    &tail,
                ));
                return;
            }
            Some(Value::Array(keys)) if keys.iter().all(Value::is_string) => keys,
            Some(Value::Array(keys)) => {
                if let Some(key) = keys.iter().find(|key| !key.is_string()) {
                    self.add(Finding::malformed(at, key, "is not of type 'string'"));
                }
                return;
            }
            Some(other) => {
                return self.add(Finding::malformed(at, other, "is not of type 'array'"));
            }
        };
        let as_written = keys.len() == properties.len()
            && keys
                .iter()
                .zip(properties.keys())
                .all(|(key, name)| key == name);
        if as_written {
            for (name, schema) in properties {
                if says_nothing(schema) && !self.full() {
                    self.extra_required(ViolationKind::RequiredWithoutSchema, at, name);
                }
            }
            return;
        }
        let listed: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
        for name in properties
            .keys()
            .filter(|name| !listed.contains(name.as_str()))
        {
            if self.full() {
                return;
            }
            let tail = format!(" Missing '{name}'.");
            self.add(Finding::required(
                ViolationKind::OptionalProperty,
                at,
                name,
                &tail,
            ));
        }
        if listed.len() < keys.len() {
            let all = Value::Array(keys.clone());
            self.add(Finding::malformed(at, &all, "has non-unique elements"));
        }
        for key in keys.iter().filter_map(Value::as_str) {
            if self.full() {
                return;
            }
            let kind = match properties.get(key) {
                None => ViolationKind::UndeclaredRequired,
                Some(schema) if says_nothing(schema) => ViolationKind::RequiredWithoutSchema,
                Some(_) => continue,
            };
            self.extra_required(kind, at, key);
        }
    }

    fn extra_required(&mut self, kind: ViolationKind, at: &At<'_>, key: &str) {
        let tail = format!(" Extra required key '{key}' supplied.");
        self.add(Finding::required(kind, at, key, &tail));
    }

    pub(super) fn array(&mut self, facts: &Facts<'a>, at: &At<'_>) {
        match facts.items {
            Some(items @ Value::Array(_)) => {
                let at = at.key("items");
                let shown = python_value(items, SHOWN);
                let tail = format!("{shown} is not of type 'object', 'boolean'.");
                self.add(Finding::at(ViolationKind::TupleItems, &at, "", &tail));
            }
            Some(_) => {}
            None if facts.present.has(Keyword::PrefixItems) => {}
            None => {
                let tail = "array schema missing items.";
                self.add(Finding::at(ViolationKind::ArrayWithoutItems, at, "", tail));
            }
        }
    }
}

/// A property schema that OpenAI's validator treats as if it were not there.
fn says_nothing(schema: &Value) -> bool {
    match schema {
        Value::Bool(_) => true,
        Value::Object(map) => {
            map.is_empty()
                || get(map, "type").is_some_and(|name| name == "object")
                    && !["properties", "anyOf", "oneOf", "allOf", "$ref"]
                        .iter()
                        .any(|key| get(map, key).is_some())
        }
        _ => false,
    }
}
