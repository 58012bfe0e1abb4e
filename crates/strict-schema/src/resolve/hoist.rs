//! Definitions belong at the top level; whatever a `$ref` points to goes there.
//!
//! Nested `$defs` move up under their own names. A target that is no definition
//! (`#/properties/home`) becomes one, and a `$ref` takes its place, so nothing is
//! copied and recursion stays recursion. A schema that was embedded in another
//! with its `$defs` has references that lead nowhere (`#/$defs/X` from inside
//! `properties/a`); they are right again when X has moved up, and when there is
//! only one X that they can have meant.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::changes::Changes;
use super::moves::Moves;
use super::{ChangeCode, Level};
use crate::keyword::{Keyword, Shape};
use crate::path::{At, join, schema_at, tokens};
use crate::reference::{Target, fragment};

const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// Moves definitions and targets to the top level. False: there was nothing to do.
pub(super) fn hoist(work: &mut Value, moves: &mut Moves, changes: &mut Changes) -> bool {
    let mut survey = Survey::default();
    survey.node(work, true);
    if !survey.nested && survey.targets.is_empty() {
        return false;
    }
    let mut hoist = Hoist {
        moves,
        changes,
        relocated: Moves::default(),
        renames: HashMap::new(),
    };
    if survey.nested {
        let mut lifted = Lift::default();
        lift(work, &At::Root, &mut lifted);
        for pointer in lifted.empty {
            let code = ChangeCode::KeywordDropped;
            hoist.changes.add(code, Level::B, || pointer);
        }
        hoist.place(work, lifted.definitions);
    }
    hoist.extract(work, survey.targets);
    rewrite_references(work, &hoist.relocated);
    true
}

#[derive(Default)]
struct Survey {
    nested: bool,
    /// Pointers that references have and that are no definition.
    targets: BTreeSet<String>,
}

impl Survey {
    fn node(&mut self, node: &Value, root: bool) {
        let Value::Object(map) = node else { return };
        for (key, below) in map {
            let Some(keyword) = Keyword::of(key) else {
                continue;
            };
            match (keyword, below) {
                (Keyword::Ref, Value::String(reference)) => {
                    if let Target::Elsewhere(tokens) = Target::of(reference) {
                        let pointer = tokens
                            .iter()
                            .fold(String::new(), |at, token| join(&at, token));
                        self.targets.insert(pointer);
                    }
                }
                (Keyword::Defs | Keyword::Definitions, Value::Object(_)) => self.nested |= !root,
                _ => {}
            }
            match (keyword.shape(), below) {
                (Shape::Map, Value::Object(named)) => {
                    for child in named.values() {
                        self.node(child, false);
                    }
                }
                (Shape::List | Shape::SchemaOrList, Value::Array(list)) => {
                    for child in list {
                        self.node(child, false);
                    }
                }
                (Shape::Schema | Shape::SchemaOrList, child) => self.node(child, false),
                _ => {}
            }
        }
    }
}

struct Lifted {
    keyword: &'static str,
    name: String,
    schema: Value,
    /// Where it was.
    pointer: String,
}

/// What was taken out of a schema.
#[derive(Default)]
struct Lift {
    definitions: Vec<Lifted>,
    /// Where there was a place for definitions, and none in it.
    empty: Vec<String>,
}

/// Takes every nested definition out, the innermost first.
fn lift(node: &mut Value, at: &At<'_>, out: &mut Lift) {
    let Value::Object(map) = node else { return };
    for (key, below) in map.iter_mut() {
        let Some(keyword) = Keyword::of(key) else {
            continue;
        };
        let at = at.key(key);
        match (keyword.shape(), below) {
            (Shape::Map, Value::Object(named)) => {
                named
                    .iter_mut()
                    .for_each(|(name, schema)| lift(schema, &at.key(name), out));
            }
            (Shape::List | Shape::SchemaOrList, Value::Array(list)) => {
                list.iter_mut()
                    .enumerate()
                    .for_each(|(i, schema)| lift(schema, &at.index(i), out));
            }
            (Shape::Schema | Shape::SchemaOrList, schema) => lift(schema, &at, out),
            _ => {}
        }
    }
    if at.is_root() {
        return;
    }
    for keyword in DEFINITIONS {
        if map.get(keyword).is_some_and(Value::is_object)
            && let Some(Value::Object(named)) = map.shift_remove(keyword)
        {
            let at = at.key(keyword);
            if named.is_empty() {
                out.empty.push(at.pointer());
            }
            for (name, schema) in named {
                let pointer = at.key(&name).pointer();
                out.definitions.push(Lifted {
                    keyword,
                    name,
                    schema,
                    pointer,
                });
            }
        }
    }
}

struct Hoist<'a> {
    moves: &'a mut Moves,
    changes: &'a mut Changes,
    /// From a pointer of the original to the pointer of the definition.
    relocated: Moves,
    /// The last number that a name was given.
    renames: HashMap<String, usize>,
}

impl Hoist<'_> {
    /// Puts the lifted definitions at the top level.
    fn place(&mut self, work: &mut Value, lifted: Vec<Lifted>) {
        let mut first: HashMap<(&str, &str), usize> = HashMap::new();
        let mut ambiguous: HashSet<(&str, &str)> = HashSet::new();
        for (index, one) in lifted.iter().enumerate() {
            let id = (one.keyword, one.name.as_str());
            let other = *first.entry(id).or_insert(index);
            if lifted[other].schema != one.schema {
                ambiguous.insert(id);
            }
        }
        let ambiguous: HashSet<(&str, String)> = ambiguous
            .into_iter()
            .map(|(keyword, name)| (keyword, name.to_owned()))
            .collect();
        let Some(root) = work.as_object_mut() else {
            return;
        };
        for Lifted {
            keyword,
            name,
            schema,
            pointer,
        } in lifted
        {
            let Some(definitions) = definitions(root, keyword) else {
                continue;
            };
            let new = match definitions.get(&name) {
                Some(same) if *same == schema => name,
                None if !ambiguous.contains(&(keyword, name.clone())) => {
                    definitions.insert(name.clone(), schema);
                    name
                }
                _ => {
                    let name = self.free_name(definitions, &name);
                    definitions.insert(name.clone(), schema);
                    name
                }
            };
            self.record(join(&format!("/{keyword}"), &new), pointer);
        }
    }

    /// Makes definitions of the targets that are none.
    fn extract(&mut self, work: &mut Value, targets: BTreeSet<String>) {
        // Lifting may have moved them, or made definitions of them.
        let mut places: Vec<(String, String)> = targets
            .into_iter()
            .map(|old| (self.relocated.original(&old), old))
            .collect();
        // The deepest first: the others stay where they are meanwhile.
        places.sort_by_key(|(place, _)| Reverse(place.matches('/').count()));
        for (place, old) in places {
            let Some(tokens) = tokens(&place) else {
                continue;
            };
            if self.relocated.get(&old).is_some() || schema_at(work, &tokens).is_none() {
                continue;
            }
            let is_definition = tokens.len() == 2 && DEFINITIONS.contains(&tokens[0].as_str());
            if tokens.is_empty() || is_definition {
                continue;
            }
            let hint: String = tokens
                .iter()
                .rev()
                .find(|token| !token.bytes().all(|byte| byte.is_ascii_digit()))
                .map_or("schema", String::as_str)
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() || c == '_' || c == '-' {
                        c
                    } else {
                        '_'
                    }
                })
                .take(64)
                .collect();
            let Some(taken) = work.pointer_mut(&place).map(Value::take) else {
                continue;
            };
            let Some(root) = work.as_object_mut() else {
                return;
            };
            let Some(definitions) = definitions(root, "$defs") else {
                return;
            };
            let name = if definitions.contains_key(&hint) {
                self.free_name(definitions, &hint)
            } else {
                hint
            };
            definitions.insert(name.clone(), taken);
            let new = join("/$defs", &name);
            if let Some(hole) = work.pointer_mut(&place) {
                *hole = json!({"$ref": fragment(&new)});
            }
            self.moves.add(new.clone(), &place);
            self.relocated.set(old.clone(), new);
            let moves = &self.moves;
            let code = ChangeCode::DefinitionHoisted;
            self.changes.add(code, Level::B, || moves.original(&place));
        }
    }

    fn free_name(&mut self, definitions: &Map<String, Value>, name: &str) -> String {
        let number = self.renames.entry(name.to_owned()).or_insert(1);
        loop {
            *number += 1;
            let candidate = format!("{name}_{number}");
            if !definitions.contains_key(&candidate) {
                return candidate;
            }
        }
    }

    fn record(&mut self, new: String, old: String) {
        let code = ChangeCode::DefinitionHoisted;
        self.changes.add(code, Level::B, || old.clone());
        if self.moves.get(&new).is_none() {
            self.moves.set(new.clone(), old.clone());
        }
        self.relocated.set(old, new);
    }
}

/// The definitions of the top level, made if there are none. `None` where the
/// keyword holds something else.
fn definitions<'r>(
    root: &'r mut Map<String, Value>,
    keyword: &str,
) -> Option<&'r mut Map<String, Value>> {
    root.entry(keyword)
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
}

fn rewrite_references(node: &mut Value, relocated: &Moves) {
    let Value::Object(map) = node else { return };
    for (key, below) in map.iter_mut() {
        if key == "$ref"
            && let Value::String(reference) = below
            && let Target::Elsewhere(tokens) = Target::of(reference)
        {
            let pointer = tokens
                .iter()
                .fold(String::new(), |at, token| join(&at, token));
            if let Some(new) = relocated.get(&pointer) {
                *reference = fragment(new);
            }
            continue;
        }
        match (Keyword::of(key).map(Keyword::shape), below) {
            (Some(Shape::Map), Value::Object(named)) => {
                for schema in named.values_mut() {
                    rewrite_references(schema, relocated);
                }
            }
            (Some(Shape::List | Shape::SchemaOrList), Value::Array(list)) => {
                for schema in list.iter_mut() {
                    rewrite_references(schema, relocated);
                }
            }
            (Some(Shape::Schema | Shape::SchemaOrList), schema) => {
                rewrite_references(schema, relocated);
            }
            _ => {}
        }
    }
}
