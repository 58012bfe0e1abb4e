//! Keywords with values that they cannot have, and older spellings.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::ease::settle;
use crate::keyword::{Keyword, Shape};
use crate::malformed::{complaint, is_never};
use crate::types::TypeSet;

/// What respelling did to what a schema means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Change {
    Same,
    /// Something went that had no meaning, by the letter; its author saw one.
    Less,
    /// The schema takes more than before.
    Looser,
}

/// Makes each keyword of a schema and of those below it well-formed, or takes it away.
pub(super) fn respell(map: &mut Map<String, Value>) -> Change {
    let mut change = modernize(map);
    let keys: Vec<String> = map.keys().cloned().collect();
    for key in keys {
        let (Some(keyword), Some(value)) = (Keyword::of(&key), map.get_mut(&key)) else {
            continue;
        };
        if complaint(keyword, value).is_some() {
            change = change.max(match keyword {
                // No value at all.
                Keyword::Enum if value.is_array() => Change::Looser,
                _ if keyword.is_annotation() => Change::Same,
                _ => Change::Less,
            });
            if !repaired(keyword, value) {
                map.shift_remove(&key);
                continue;
            }
        }
        let change_below = match (keyword.shape(), value) {
            (Shape::Map, Value::Object(named)) => named
                .values_mut()
                .filter(|schema| keyword != Keyword::Dependencies || !schema.is_array())
                .fold(Change::Same, |before, schema| before.max(below(schema))),
            (Shape::List, Value::Array(branches)) => branches
                .iter_mut()
                .fold(Change::Same, |before, branch| before.max(below(branch))),
            (Shape::Schema | Shape::SchemaOrList, schema) => below(schema),
            _ => Change::Same,
        };
        if change_below != Change::Same {
            settle(map, keyword);
            change = change.max(change_below);
        }
    }
    let is_array = map
        .get("type")
        .and_then(TypeSet::read)
        .is_some_and(|types| types.meets(TypeSet::ARRAY));
    if is_array && !map.contains_key("items") {
        map.insert("items".to_owned(), json!({}));
    }
    change
}

/// What is no schema allows anything.
fn below(schema: &mut Value) -> Change {
    match schema {
        Value::Object(map) => respell(map),
        Value::Bool(_) => Change::Same,
        other => {
            *other = json!({});
            Change::Less
        }
    }
}

/// Older spellings: draft 4's boolean bounds, tuples, and `{"not": {}}` for `false`.
fn modernize(map: &mut Map<String, Value>) -> Change {
    for (exclusive, bound) in [
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ] {
        if map.get(exclusive) == Some(&Value::Bool(true))
            && map.get(bound).is_some_and(Value::is_number)
            && let Some(value) = map.shift_remove(bound)
        {
            map.insert(exclusive.to_owned(), value);
        }
    }
    if let Some(additional) = map.get_mut("additionalProperties")
        && is_never(additional)
    {
        *additional = Value::Bool(false);
    }
    let Some(items) = map.get_mut("items") else {
        return Change::Same;
    };
    let Value::Array(places) = items else {
        return Change::Same;
    };
    *items = match places.len() {
        0 => json!({}),
        1 => places[0].take(),
        _ => json!({"anyOf": places}),
    };
    // There may be more places than the list has.
    if map.get("additionalItems") != Some(&Value::Bool(false)) {
        map.insert("items".to_owned(), json!({}));
    }
    map.shift_remove("additionalItems");
    Change::Looser
}

/// Whether a malformed value could be made a good one that allows no less.
fn repaired(keyword: Keyword, value: &mut Value) -> bool {
    match (keyword, &mut *value) {
        (Keyword::Required, Value::Array(keys)) => {
            let mut names: Vec<Value> = Vec::new();
            let mut known = HashSet::new();
            for key in keys.iter() {
                if let Value::String(name) = key
                    && known.insert(name.as_str())
                {
                    names.push(key.clone());
                }
            }
            *keys = names;
            true
        }
        (Keyword::Properties, _) => {
            *value = json!({});
            true
        }
        _ => false,
    }
}
