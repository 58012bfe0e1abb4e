//! The root: an object, and nothing that a root must not say.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{ease, objects};
use crate::keyword::Keyword;
use crate::limits::{Limits, Size};
use crate::path::join;
use crate::reference::{MAX_CHAIN, Target, fragment};
use crate::types::TypeSet;

/// What a root must not say.
const REFUSED: [&str; 8] = [
    "$ref",
    "$dynamicRef",
    "anyOf",
    "oneOf",
    "allOf",
    "enum",
    "const",
    "not",
];
/// What is gathered in one object.
const MERGED: [&str; 4] = ["$ref", "anyOf", "oneOf", "allOf"];
/// Names under which something can be found, once.
const IDENTITIES: [&str; 3] = ["$id", "$anchor", "$dynamicAnchor"];

/// `None` where the root says that it is something other than an object.
pub(super) fn mend(mut schema: Value, guards: &Limits) -> Option<Value> {
    inline(&mut schema, guards);
    if changes(&schema) && refers_to_itself(&schema) {
        keep(&mut schema);
        inline(&mut schema, guards);
    }
    if is_of_old_draft(&schema)
        && let Value::Object(root) = &mut schema
        && root.contains_key("$ref")
    {
        root.retain(|key, _| key == "$ref" || stays(key));
        inline(&mut schema, guards);
    }
    if let Some(types) = schema.get("type").and_then(TypeSet::read)
        && !types.meets(TypeSet::OBJECT)
    {
        return None;
    }
    if MERGED.iter().any(|key| schema.get(key).is_some()) {
        merge(&mut schema, guards);
        // It counts what the branches have looked at.
        schema
            .as_object_mut()?
            .shift_remove("unevaluatedProperties");
    }
    let root = schema.as_object_mut()?;
    for key in REFUSED {
        root.shift_remove(key);
    }
    root.shift_remove("type");
    root.shift_insert(0, "type".to_owned(), "object".into());
    if !root.get("properties").is_some_and(Value::is_object) {
        root.insert("properties".to_owned(), json!({}));
    }
    Some(schema)
}

/// Whether the root will mean something else.
fn changes(root: &Value) -> bool {
    let is_object = root.get("type").and_then(TypeSet::read) == Some(TypeSet::OBJECT);
    !is_object || REFUSED.iter().any(|key| root.get(key).is_some())
}

/// Before draft 2019-09 nothing beside a `$ref` had a meaning.
fn is_of_old_draft(schema: &Value) -> bool {
    let draft = schema.get("$schema").and_then(Value::as_str).unwrap_or("");
    ["draft-03", "draft-04", "draft-06", "draft-07"]
        .iter()
        .any(|old| draft.contains(old))
}

/// Whether a keyword constrains nothing beside a `$ref`.
fn stays(key: &str) -> bool {
    key == "$id"
        || Keyword::of(key).is_none_or(|keyword| {
            keyword.is_annotation() || matches!(keyword, Keyword::Defs | Keyword::Definitions)
        })
}

/// Puts what a root that is only a reference refers to in the root's place. References round in a
/// circle are gone already.
fn inline(schema: &mut Value, guards: &Limits) {
    let Value::Object(root) = &*schema else {
        return;
    };
    let is_old = is_of_old_draft(schema);
    let is_only_reference = |map: &Map<String, Value>| {
        let is_alone = is_old && !std::ptr::eq(map, root);
        map.contains_key("$ref") && (is_alone || map.keys().all(|key| key == "$ref" || stays(key)))
    };
    let mut target = root;
    for _ in 0..=MAX_CHAIN {
        if !is_only_reference(target) {
            break;
        }
        let reference = target.get("$ref").and_then(Value::as_str).map(Target::of);
        match reference.and_then(|reference| reference.node(schema)) {
            Some(Value::Object(next)) => target = next,
            _ => break,
        }
    }
    if std::ptr::eq(target, root) || is_only_reference(target) {
        return;
    }
    let copy: Map<String, Value> = if space(schema, guards)
        .and_then(|space| target.values().try_fold(space, take))
        .is_some()
    {
        let kept = target
            .iter()
            .filter(|(key, _)| !IDENTITIES.contains(&key.as_str()));
        kept.map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    } else {
        Map::new()
    };
    let Value::Object(root) = schema else { return };
    let mut copy = Some(copy);
    for (key, value) in std::mem::take(root) {
        if key == "$ref" {
            for (key, value) in copy.take().into_iter().flatten() {
                root.entry(key).or_insert(value);
            }
        } else {
            root.insert(key, value);
        }
    }
}

/// What may still be added to a schema.
fn space(schema: &Value, guards: &Limits) -> Option<Limits> {
    take(guards.clone(), schema)
}

/// The space that is left when a value is added.
pub(super) fn take(space: Limits, value: &Value) -> Option<Limits> {
    let size = Size::of(value, &space).ok()?;
    Some(Limits {
        max_bytes: space.max_bytes - size.bytes,
        max_nodes: space.max_nodes - size.nodes,
        max_depth: space.max_depth,
    })
}

/// Whether something refers to the root, or to a part of it that is no definition.
fn refers_to_itself(schema: &Value) -> bool {
    let mut references = HashSet::new();
    ease::references(schema, &mut references);
    references
        .into_iter()
        .any(|reference| below_root(reference).is_some())
}

/// The pointer of a reference to the root, or to a part of it that is no definition.
fn below_root(reference: &str) -> Option<String> {
    let target = Target::of(reference);
    match &target {
        Target::Root => Some(String::new()),
        Target::Elsewhere(tokens) => {
            let first = tokens.first().map(String::as_str);
            (!matches!(first, Some("$defs" | "definitions"))).then(|| target.pointer())
        }
        Target::Definition { .. } | Target::Foreign => None,
    }
}

/// Makes a definition of the root, so that what refers to it still finds what it means.
fn keep(schema: &mut Value) {
    let Value::Object(root) = schema else { return };
    let name = {
        let is_free = |name: &String| root.get("$defs").is_none_or(|all| all.get(name).is_none());
        let names = std::iter::once("root".to_owned()).chain((2..).map(|n| format!("root{n}")));
        match names.into_iter().find(is_free) {
            Some(name) => name,
            None => return,
        }
    };
    let place = join("/$defs", &name);
    ease::redirect(schema, &|reference| {
        Some(fragment(&format!("{place}{}", below_root(reference)?)))
    });
    let Value::Object(root) = schema else { return };
    let mut original = std::mem::take(root);
    root.insert("$ref".to_owned(), fragment(&place).into());
    for key in ["$schema", "$id", "definitions", "$defs"] {
        if let Some(value) = original.shift_remove(key) {
            root.insert(key.to_owned(), value);
        }
    }
    let definitions = root.entry("$defs").or_insert_with(|| json!({}));
    if let Value::Object(definitions) = definitions {
        definitions.insert(name, original.into());
    }
}

/// Puts what the root's reference and the branches of its unions declare into the root.
fn merge(schema: &mut Value, guards: &Limits) {
    let replaced = MERGED
        .into_iter()
        .chain(["properties", "required", "additionalProperties"]);
    let space = {
        let Value::Object(root) = &*schema else {
            return;
        };
        let left = root
            .iter()
            .filter(|(key, _)| !replaced.clone().any(|name| name == *key));
        left.map(|(_, value)| value).try_fold(guards.clone(), take)
    };
    let Some(space) = space else { return };
    let merged = objects::read(schema, is_of_old_draft(schema), space);
    let Value::Object(root) = schema else { return };
    root.insert("properties".to_owned(), merged.properties.into());
    if merged.required.is_empty() {
        root.shift_remove("required");
    } else {
        root.insert("required".to_owned(), merged.required.into());
    }
    // Beside patterns, the root's own word is about fewer names than before.
    let has_patterns = root.contains_key("patternProperties");
    if !(has_patterns && root.contains_key("additionalProperties")) {
        match merged.rest {
            Some(rest) => root.insert("additionalProperties".to_owned(), rest),
            None => root.shift_remove("additionalProperties"),
        };
    }
}
