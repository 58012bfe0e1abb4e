//! `allOf` into one node, where that says exactly the same.
//!
//! Merging comes before closing: two open objects share the properties of both,
//! and are then closed together. A part that is closed already allows only its
//! own properties, so the merged object keeps the intersection. Whatever has no
//! exact merge leaves the node as it was, for the check to refuse.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::rewrite::Rewriter;
use super::{ChangeCode, Level};
use crate::keyword::{ANNOTATIONS, Keyword, KeywordSet};
use crate::limits::{Limits, Size};
use crate::path::{At, join, push_index, push_token};
use crate::reference::{Target, definition};
use crate::types::TypeSet;

/// Nodes that inlining may add to one schema. Below the guard's budget, so that
/// a schema built to multiply is given up within milliseconds.
const MAX_INLINED: usize = 20_000;

/// Parts within parts.
const MAX_NESTING: usize = 32;

/// Merges the `allOf` of a node into it. Leaves the node alone if that cannot be
/// done exactly.
pub(super) fn all_of(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    let pointer = at.pointer();
    let mut merged = false;
    // An inlined part may have an `allOf` of its own.
    for _ in 0..MAX_NESTING {
        let done = match map.get("allOf") {
            Some(Value::Array(parts)) if parts.len() == 1 && only_annotated(map) => {
                inline(rewriter, map, &pointer)
            }
            Some(Value::Array(parts)) if !parts.is_empty() => merge(rewriter, map, &pointer),
            _ => break,
        };
        if !done {
            break;
        }
        merged = true;
    }
    if merged {
        rewriter.changed(at, ChangeCode::AllOfMerged, Level::B);
    }
}

fn only_annotated(map: &Map<String, Value>) -> bool {
    map.keys().all(|key| {
        key == "allOf" || key == "nullable" || Keyword::of(key).is_none_or(Keyword::is_annotation)
    })
}

/// One part beside annotations: its keywords take the place of `allOf`. What the
/// node says itself wins.
fn inline(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, pointer: &str) -> bool {
    let part = match map.get("allOf").and_then(|parts| parts.get(0)) {
        Some(Value::Object(part)) => part.clone(),
        Some(Value::Bool(true)) => Map::new(),
        _ => return false,
    };
    let old = format!("{pointer}/allOf/0");
    let mut merged = Map::new();
    for (key, value) in std::mem::take(map) {
        if key == "allOf" {
            for (key, value) in &part {
                merged.entry(key.clone()).or_insert_with(|| value.clone());
                rewriter.moves.add(join(pointer, key), &join(&old, key));
            }
        } else {
            merged.insert(key, value);
        }
    }
    *map = merged;
    true
}

/// A part of the conjunction, and where it was written.
struct Part {
    map: Map<String, Value>,
    pointer: String,
}

fn merge(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, pointer: &str) -> bool {
    let mut parts = Vec::new();
    let mut seen = HashSet::new();
    let original = rewriter.moves.original(pointer);
    if !collect(rewriter, map, original, &mut parts, &mut seen, 0) {
        return false;
    }
    let mut merged = Map::new();
    let mut first = true;
    for part in &parts {
        let fits = if first {
            merged = part.map.clone();
            true
        } else {
            conjoin(&mut merged, &part.map)
        };
        first = false;
        if !fits {
            return false;
        }
    }
    // The node's own annotations describe this use of the parts.
    let mut node = Map::new();
    for (key, value) in map.iter() {
        if Keyword::of(key).is_none_or(Keyword::is_annotation) {
            merged.shift_remove(key);
            node.insert(key.clone(), value.clone());
        }
    }
    node.extend(merged);
    if let Some(Value::Object(properties)) = node.get("properties") {
        for name in properties.keys() {
            let place = |part: &&Part| {
                part.map
                    .get("properties")
                    .is_some_and(|p| p.get(name).is_some())
            };
            if let Some(part) = parts.iter().find(place) {
                let below = join("/properties", name);
                let old = format!("{}{below}", part.pointer);
                rewriter.moves.set(format!("{pointer}{below}"), old);
            }
        }
    }
    *map = node;
    true
}

/// Gathers the conjuncts of a node, references resolved, each definition once.
/// `pointer` is the node's place in the original.
fn collect<'s>(
    rewriter: &mut Rewriter<'s>,
    map: &Map<String, Value>,
    pointer: String,
    parts: &mut Vec<Part>,
    seen: &mut HashSet<(&'static str, String)>,
    depth: usize,
) -> bool {
    if depth > MAX_NESTING {
        return false;
    }
    if let Some(reference) = map.get("$ref") {
        let target = match reference.as_str().map(Target::of) {
            Some(Target::Definition { keyword, name }) => (keyword, name.into_owned()),
            _ => return false,
        };
        let constrains =
            |key: &String| key != "$ref" && Keyword::of(key).is_some_and(|k| !k.is_annotation());
        if map.keys().any(constrains) {
            return false;
        }
        let base: &'s Value = rewriter.base;
        let Some((_, schema)) = base
            .as_object()
            .and_then(|root| definition(root, target.0, &target.1))
        else {
            return false;
        };
        let Value::Object(schema) = schema else {
            return false;
        };
        let mut place = format!("/{}", target.0);
        push_token(&mut place, &target.1);
        // The same definition twice says nothing new. A definition that is a part
        // of itself says nothing at all; merging it once more ends the loop.
        if !seen.insert(target) {
            return true;
        }
        let place = rewriter.moves.original(&place);
        return collect(rewriter, schema, place, parts, seen, depth + 1);
    }
    let limits = Limits {
        max_nodes: MAX_INLINED,
        ..Limits::default()
    };
    let mut own = Map::new();
    let mut before = true;
    for (key, value) in map {
        if key != "allOf" {
            own.insert(key.clone(), value.clone());
            continue;
        }
        let Value::Array(list) = value else {
            return false;
        };
        // In the order they are written, for that is the order of the properties.
        if before && own.keys().any(|key| key == "properties") {
            parts.push(Part {
                map: std::mem::take(&mut own),
                pointer: pointer.clone(),
            });
        }
        before = false;
        for (index, part) in list.iter().enumerate() {
            let mut place = format!("{pointer}/allOf");
            push_index(&mut place, index);
            match part {
                Value::Bool(true) => {}
                Value::Object(part) => {
                    if !collect(rewriter, part, place, parts, seen, depth + 1) {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    }
    if let Ok(size) = Size::of(&Value::Object(own.clone()), &limits) {
        rewriter.inlined += size.nodes;
    } else {
        return false;
    }
    if !own.is_empty() {
        parts.push(Part { map: own, pointer });
    }
    rewriter.inlined <= MAX_INLINED
}

/// `a` and `b` as one schema. False where there is no exact one.
fn conjoin(a: &mut Map<String, Value>, b: &Map<String, Value>) -> bool {
    let (Some(a_open), Some(b_open)) = (openness(a), openness(b)) else {
        return false;
    };
    if !conjoin_properties(a, b, a_open, b_open) {
        return false;
    }
    for (key, value) in b {
        let Some(keyword) = Keyword::of(key) else {
            a.entry(key.clone()).or_insert_with(|| value.clone());
            continue;
        };
        if OBJECT_SHAPE.has(keyword) {
            continue;
        }
        let Some(own) = a.get_mut(key) else {
            if !tied(a, keyword) {
                return false;
            }
            a.insert(key.clone(), value.clone());
            continue;
        };
        if own == value || ANNOTATIONS.has(keyword) {
            continue;
        }
        let both = match keyword {
            Keyword::Type => intersect_types(own, value),
            Keyword::Minimum
            | Keyword::ExclusiveMinimum
            | Keyword::MinLength
            | Keyword::MinItems
            | Keyword::MinProperties => tighter(own, value, true),
            Keyword::Maximum
            | Keyword::ExclusiveMaximum
            | Keyword::MaxLength
            | Keyword::MaxItems
            | Keyword::MaxProperties => tighter(own, value, false),
            Keyword::Enum => intersect_values(own, value),
            Keyword::UniqueItems => Some(Value::Bool(true)),
            Keyword::Items if own.is_object() && value.is_object() => {
                Some(json!({"allOf": [own, value]}))
            }
            _ => None,
        };
        match both {
            Some(both) => *own = both,
            None => return false,
        }
    }
    true
}

const OBJECT_SHAPE: KeywordSet = KeywordSet::of(&[
    Keyword::Properties,
    Keyword::Required,
    Keyword::AdditionalProperties,
]);

/// Whether a keyword that only `b` has means the same beside those of `a`. It
/// does not where one keyword reads another of its own node.
fn tied(a: &Map<String, Value>, keyword: Keyword) -> bool {
    match keyword {
        Keyword::UnevaluatedProperties | Keyword::UnevaluatedItems | Keyword::PatternProperties => {
            false
        }
        Keyword::If | Keyword::Then | Keyword::Else => !["if", "then", "else"]
            .iter()
            .any(|key| a.contains_key(*key)),
        Keyword::Contains | Keyword::MinContains | Keyword::MaxContains => {
            !["contains", "minContains", "maxContains"]
                .iter()
                .any(|key| a.contains_key(*key))
        }
        Keyword::Items | Keyword::PrefixItems | Keyword::AdditionalItems => {
            !["items", "prefixItems", "additionalItems"]
                .iter()
                .any(|key| a.contains_key(*key))
        }
        // Null may come from one part and be refused by the other.
        Keyword::Nullable => false,
        _ => true,
    }
}

/// What an object does with keys it does not declare: `Some(true)` takes them,
/// `Some(false)` refuses them, `None` neither.
fn openness(map: &Map<String, Value>) -> Option<bool> {
    let unusual = ["patternProperties", "unevaluatedProperties", "nullable"];
    if unusual.iter().any(|key| map.contains_key(*key)) {
        return None;
    }
    match map.get("additionalProperties") {
        None | Some(Value::Bool(true)) => Some(true),
        Some(Value::Bool(false)) => Some(false),
        Some(_) => None,
    }
}

fn conjoin_properties(
    a: &mut Map<String, Value>,
    b: &Map<String, Value>,
    a_open: bool,
    b_open: bool,
) -> bool {
    let object = |map: &Map<String, Value>| match map.get("properties") {
        None => Some(Map::new()),
        Some(Value::Object(properties)) => Some(properties.clone()),
        Some(_) => None,
    };
    let (Some(mut ours), Some(theirs)) = (object(a), object(b)) else {
        return false;
    };
    let mut required: Vec<Value> = Vec::new();
    for map in [&*a, b] {
        match map.get("required") {
            None => {}
            Some(Value::Array(keys)) => {
                let new = keys.iter().filter(|key| !required.contains(key)).cloned();
                required.extend(new.collect::<Vec<_>>());
            }
            Some(_) => return false,
        }
    }
    if !b_open {
        ours.retain(|name, _| theirs.contains_key(name));
    }
    for (name, schema) in theirs {
        match ours.get_mut(&name) {
            Some(own) if *own == schema => {}
            Some(own) => *own = json!({"allOf": [own.take(), schema]}),
            None if a_open => {
                ours.insert(name, schema);
            }
            None => {}
        }
    }
    let lost = |key: &Value| key.as_str().is_none_or(|key| !ours.contains_key(key));
    if !(a_open && b_open) && required.iter().any(lost) {
        // Required by one part, refused by the other.
        return false;
    }
    if a.contains_key("properties") || b.contains_key("properties") {
        a.insert("properties".into(), Value::Object(ours));
    }
    if !required.is_empty() {
        a.insert("required".into(), Value::Array(required));
    }
    if !(a_open && b_open) {
        a.insert("additionalProperties".into(), Value::Bool(false));
    } else if let Some(open) = b.get("additionalProperties") {
        a.insert("additionalProperties".into(), open.clone());
    }
    true
}

fn intersect_types(a: &Value, b: &Value) -> Option<Value> {
    let both = TypeSet::read(a)?.intersect(TypeSet::read(b)?);
    (both != TypeSet::NONE).then(|| both.to_value())
}

fn tighter(a: &Value, b: &Value, larger: bool) -> Option<Value> {
    let (x, y) = (a.as_f64()?, b.as_f64()?);
    Some(if (x > y) == larger { a } else { b }.clone())
}

fn intersect_values(a: &Value, b: &Value) -> Option<Value> {
    let (a, b) = (a.as_array()?, b.as_array()?);
    let same = crate::check::values::same;
    if a.len().saturating_mul(b.len()) > 1_000_000 {
        return None;
    }
    let both: Vec<Value> = a
        .iter()
        .filter(|x| b.iter().any(|y| same(x, y)))
        .cloned()
        .collect();
    (!both.is_empty()).then_some(Value::Array(both))
}
