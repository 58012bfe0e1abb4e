//! The walk that rewrites, and level A.
//!
//! Top-down: a node gets its final spelling before it is closed, and is closed
//! before its children are visited. Questions about the *meaning* of a part (are
//! these branches disjoint? what does this reference name?) are asked of `base`,
//! the schema before any narrowing: two branches that A has closed can be
//! disjoint where the originals overlap.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::changes::Changes;
use super::moves::Moves;
use super::restore::Places;
use super::{ChangeCode, Level, hoist, loose, spelling};
use crate::keyword::{ANNOTATIONS, Keyword, KeywordSet, Shape, get};
use crate::path::At;
use crate::profile::Profile;
use crate::types::TypeSet;

/// A schema as far as the rewrites could bring it.
pub(super) struct Outcome {
    pub schema: Value,
    pub changes: Changes,
    pub moves: Moves,
    pub places: Places,
}

pub(super) fn rewrite(schema: &Value, profile: &Profile) -> Outcome {
    let mut moves = Moves::default();
    let mut changes = Changes::default();
    let mut work = schema.clone();
    let hoisted =
        profile.rewrites.meaning_preserving && hoist::hoist(&mut work, &mut moves, &mut changes);
    // What was hoisted means the same at its new place; only then a second copy.
    let base = hoisted.then(|| work.clone());
    let mut rewriter = Rewriter {
        profile,
        base: base.as_ref().unwrap_or(schema),
        changes,
        moves,
        inlined: 0,
        looks: MAX_LOOKS,
        places: Places::default(),
    };
    if profile.rewrites.meaning_preserving {
        rewriter.root_reference(&mut work);
    }
    rewriter.node(&mut work, &At::Root, 0);
    let Rewriter {
        changes,
        moves,
        places,
        ..
    } = rewriter;
    Outcome {
        schema: work,
        changes,
        moves,
        places,
    }
}

/// References in a row that the root may be.
const MAX_ROOT_REFERENCES: usize = 16;

/// Nothing but the root's reference is rewritten.
pub(super) fn inline_root(schema: &Value, profile: &Profile) -> Option<Value> {
    let mut inlined = None;
    for _ in 0..MAX_ROOT_REFERENCES {
        let base = inlined.as_ref().unwrap_or(schema);
        if base.get("$ref").is_none() {
            break;
        }
        let mut rewriter = Rewriter {
            profile,
            base,
            changes: Changes::default(),
            moves: Moves::default(),
            inlined: 0,
            looks: MAX_LOOKS,
            places: Places::default(),
        };
        let mut work = base.clone();
        rewriter.root_reference(&mut work);
        if work == *base {
            break;
        }
        inlined = Some(work);
    }
    inlined
}

/// Levels that are rewritten. Wrapping makes a schema deeper than the guard lets
/// in; what is deeper still goes to the check as it is, and is refused there.
const MAX_DEPTH: usize = 150;

/// Nodes that are asked whether they accept null, for a whole schema.
const MAX_LOOKS: usize = 50_000;

pub(super) struct Rewriter<'a> {
    pub profile: &'a Profile,
    /// The schema before narrowing.
    pub base: &'a Value,
    pub changes: Changes,
    pub moves: Moves,
    /// Nodes that inlining has added.
    pub inlined: usize,
    /// Nodes that may still be asked whether they accept null.
    pub looks: usize,
    pub places: Places,
}

impl Rewriter<'_> {
    pub(super) fn changed(&mut self, at: &At<'_>, code: ChangeCode, level: Level) {
        let moves = &self.moves;
        self.changes
            .add(code, level, || moves.original(&at.pointer()));
    }

    fn node(&mut self, node: &mut Value, at: &At<'_>, depth: usize) {
        let Value::Object(map) = node else { return };
        if depth > MAX_DEPTH {
            return;
        }
        let mut present = KeywordSet::of_schema(map);
        if self.profile.rewrites.meaning_preserving && spelling::applies(self, map, present, at) {
            spelling::respell(self, map, at);
            present = KeywordSet::of_schema(map);
        }
        if loose::applies(self, present) {
            loose::loosen(self, map, at);
            present = KeywordSet::of_schema(map);
        }
        if present.has(Keyword::Type) || map.is_empty() {
            self.close(map, present, at);
        }
        if present.meets(BELOW) {
            self.children(map, at, depth);
        }
    }

    fn children(&mut self, map: &mut Map<String, Value>, at: &At<'_>, depth: usize) {
        for (key, below) in map.iter_mut() {
            let Some(keyword) = Keyword::of(key) else {
                continue;
            };
            if !BELOW.has(keyword) {
                continue;
            }
            let at = at.key(key);
            match (keyword.shape(), below) {
                (Shape::Map, Value::Object(named)) => {
                    for (name, schema) in named.iter_mut() {
                        self.node(schema, &at.key(name), depth + 2);
                    }
                }
                (Shape::List, Value::Array(branches)) => {
                    for (index, branch) in branches.iter_mut().enumerate() {
                        self.node(branch, &at.index(index), depth + 2);
                    }
                }
                (Shape::SchemaOrList, schema) => self.node(schema, &at, depth + 1),
                _ => {}
            }
        }
    }

    /// Level A on one node: an object is closed, and requires all it declares.
    fn close(&mut self, map: &mut Map<String, Value>, present: KeywordSet, at: &At<'_>) {
        if map.is_empty() {
            if !at.is_root() || !self.profile.choices.empty_root_is_an_object {
                return;
            }
            map.insert("type".into(), "object".into());
        } else {
            let object = match get(map, "type") {
                Some(Value::String(name)) => name == "object",
                Some(list) => TypeSet::read(list).is_some_and(|set| set.meets(TypeSet::OBJECT)),
                None => false,
            };
            if !object {
                return;
            }
        }
        let closed = get(map, "additionalProperties") == Some(&Value::Bool(false));
        if !present.has(Keyword::Properties) {
            // A free-form object stays one, unless it says that it is empty or is
            // the whole schema: then nobody can have meant anything.
            let bare = present.but(BARE).but(ANNOTATIONS) == KeywordSet::EMPTY;
            let requires = get(map, "required").is_some_and(|keys| keys != &Value::Array(vec![]));
            let root = at.is_root() && self.profile.choices.bare_root_is_closed;
            let open = present.has(Keyword::AdditionalProperties) && !closed;
            if !bare || requires || open || !(closed || root) {
                return;
            }
            map.insert("properties".into(), Value::Object(Map::new()));
            self.changed(at, ChangeCode::PropertiesAdded, Level::A);
        }
        if get(map, "additionalProperties").is_none() {
            map.insert("additionalProperties".into(), Value::Bool(false));
            self.changed(at, ChangeCode::ObjectClosed, Level::A);
        }
        self.require_all(map, at);
    }

    fn require_all(&mut self, map: &mut Map<String, Value>, at: &At<'_>) {
        let Some(Value::Object(properties)) = get(map, "properties") else {
            return;
        };
        let before = match get(map, "required") {
            None => [].as_slice(),
            Some(Value::Array(keys)) => keys,
            Some(_) => return,
        };
        // Mostly `required` names properties in their own order: one look along both is enough.
        let mut rest = before;
        let mut missing: Vec<usize> = Vec::new();
        for (place, name) in properties.keys().enumerate() {
            match rest.split_first() {
                Some((key, others)) if key == name => rest = others,
                _ => missing.push(place),
            }
        }
        if !rest.is_empty() {
            let listed: HashSet<&str> = before.iter().filter_map(Value::as_str).collect();
            let names = properties.keys().enumerate();
            missing = names
                .filter(|(_, name)| !listed.contains(name.as_str()))
                .map(|(place, _)| place)
                .collect();
            if missing.is_empty() && listed.len() == before.len() {
                return;
            }
        } else if missing.is_empty() && get(map, "required").is_some() {
            return;
        }
        let mut keys: Vec<Value> = properties.keys().map(|name| name.as_str().into()).collect();
        // A required key that nothing declares stays, for the check to name.
        let unknown = |key: &&Value| key.as_str().is_none_or(|key| !properties.contains_key(key));
        keys.extend(rest.iter().filter(unknown).cloned());
        map.insert("required".into(), Value::Array(keys));
        if missing.is_empty() {
            self.changed(at, ChangeCode::RequiredAdded, Level::A);
        }
        let Some(Value::Object(properties)) = map.get_mut("properties") else {
            return;
        };
        let parent = at.key("properties");
        let mut missing = missing.into_iter().peekable();
        for (place, (name, property)) in properties.iter_mut().enumerate() {
            if missing.next_if_eq(&place).is_some() {
                loose::require(self, property, &parent.key(name));
            }
        }
    }
}

/// Where the walk goes on: the keywords of the subset that hold schemas. Below
/// any other a rewrite would be in vain, for the check refuses the keyword.
const BELOW: KeywordSet = KeywordSet::of(&[
    Keyword::Properties,
    Keyword::Items,
    Keyword::AnyOf,
    Keyword::Defs,
    Keyword::Definitions,
]);

/// What an object may say and still say nothing about its content.
const BARE: KeywordSet = KeywordSet::of(&[
    Keyword::Type,
    Keyword::AdditionalProperties,
    Keyword::Required,
    Keyword::Defs,
    Keyword::Definitions,
    Keyword::Id,
]);
