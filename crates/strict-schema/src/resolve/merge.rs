//! `allOf` into one node, where that says exactly the same.
//!
//! Merging comes before closing: two open objects share the properties of both,
//! and are then closed together. A part that is closed already allows only its
//! own properties, so the merged object keeps the intersection. Whatever has no
//! exact merge leaves the node as it was, for the check to refuse.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::conjoin::conjoin;
use super::rewrite::Rewriter;
use super::{ChangeCode, Level};
use crate::keyword::{Keyword, KeywordSet};
use crate::limits::{Limits, Size};
use crate::path::{At, join, push_index, push_token};
use crate::reference::{Target, definition};

/// Nodes that inlining may add to one schema. Below the guard's budget, so that
/// a schema built to multiply is given up within milliseconds.
const MAX_INLINED: usize = 5_000;

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
        Some(Value::Object(part)) if !has_a_name(part) => part.clone(),
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

/// Whether references mean another place inside this schema, or may mean it itself.
fn has_a_name(schema: &Map<String, Value>) -> bool {
    const NAMES: KeywordSet = KeywordSet::of(&[
        Keyword::Id,
        Keyword::Anchor,
        Keyword::DynamicAnchor,
        Keyword::RecursiveAnchor,
    ]);
    KeywordSet::of_schema(schema).meets(NAMES)
}

/// A part of the conjunction, and where it was written: a pointer into the
/// original, or for the node itself its present place.
struct Part {
    map: Map<String, Value>,
    pointer: String,
    is_node: bool,
}

impl Part {
    /// Where in the original something below the part was.
    fn place(&self, rewriter: &Rewriter<'_>, below: &str) -> String {
        let place = format!("{}{below}", self.pointer);
        if self.is_node {
            rewriter.moves.original(&place)
        } else {
            place
        }
    }
}

fn merge(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, pointer: &str) -> bool {
    let mut parts = Vec::new();
    let mut seen = HashSet::new();
    if !collect(rewriter, map, pointer.to_owned(), &mut parts, &mut seen, 0) {
        return false;
    }
    let mut merged = Map::new();
    let mut first = true;
    for part in &parts {
        let fits = if first {
            merged.clone_from(&part.map);
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
    for (key, value) in &node {
        let Some(part) = parts.iter().find(|part| part.map.contains_key(key)) else {
            continue;
        };
        rewriter
            .moves
            .set(join(pointer, key), part.place(rewriter, &join("", key)));
        let (true, Value::Object(properties)) = (key == "properties", value) else {
            continue;
        };
        for name in properties.keys() {
            let declares = |part: &&Part| {
                part.map
                    .get("properties")
                    .is_some_and(|properties| properties.get(name).is_some())
            };
            if let Some(part) = parts.iter().find(declares) {
                let below = join("/properties", name);
                rewriter
                    .moves
                    .set(format!("{pointer}{below}"), part.place(rewriter, &below));
            }
        }
    }
    *map = node;
    true
}

/// Gathers the conjuncts of a node, references resolved, each definition once.
/// `pointer` is the place in the original, and at depth 0 the present place.
fn collect<'s>(
    rewriter: &mut Rewriter<'s>,
    map: &Map<String, Value>,
    pointer: String,
    parts: &mut Vec<Part>,
    seen: &mut HashSet<(&'static str, String)>,
    depth: usize,
) -> bool {
    if depth > MAX_NESTING || depth > 0 && has_a_name(map) {
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
            let map = std::mem::take(&mut own);
            parts.push(Part {
                map,
                pointer: pointer.clone(),
                is_node: depth == 0,
            });
        }
        before = false;
        for (index, part) in list.iter().enumerate() {
            let mut place = format!("{pointer}/allOf");
            push_index(&mut place, index);
            if depth == 0 {
                place = rewriter.moves.original(&place);
            }
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
        parts.push(Part {
            map: own,
            pointer,
            is_node: depth == 0,
        });
    }
    rewriter.inlined <= MAX_INLINED
}
