//! From arguments for a level-C schema back to arguments for the original.
//!
//! The model answered the rewritten schema: an optional property it left out is a
//! `null`, a map is an array of keys and values. [`Restore`] walks the arguments
//! beside the rewritten schema and undoes exactly the places that were rewritten.
//! It is kept with a stored response, so it is data and serializes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::check::values::same;
use crate::cost::Guard;
use crate::path::{self, At};
use crate::reference::{Target, follow, fragment};
use crate::types::TypeSet;

/// How arguments for a level-C schema become arguments for the original. Empty
/// for schemas that were rewritten on levels A and B only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The rewritten schema. Absent when there is nothing to undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<Value>,
    /// Pointers of properties whose null stands for "left out".
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    optional: BTreeSet<String>,
    /// Pointers of arrays that stand for maps.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    maps: BTreeSet<String>,
}

/// The places that level C rewrites, as far as they can be kept.
#[derive(Default)]
pub(super) struct Places {
    optional: Vec<String>,
    maps: Vec<String>,
    bytes: usize,
}

/// Bytes of all pointers together. They are kept with each response, and one
/// long name stands in the pointers of all that is below it.
pub(super) const MAX_PLACES: usize = 256 << 10;

impl Places {
    /// Keeps a property whose null stands for "left out", and says where it is.
    pub(super) fn optional(&mut self, at: &At<'_>) -> Option<String> {
        let pointer = self.place(at)?;
        self.optional.push(pointer.clone());
        Some(pointer)
    }

    /// Keeps an array that stands for a map.
    pub(super) fn maps(&mut self, at: &At<'_>) -> Option<String> {
        let pointer = self.place(at)?;
        self.maps.push(pointer.clone());
        Some(pointer)
    }

    /// Whether some could not be kept: arguments could not be changed back.
    pub(super) fn are_too_many(&self) -> bool {
        self.bytes > MAX_PLACES
    }

    /// `None` where it is too much, and from then on.
    fn place(&mut self, at: &At<'_>) -> Option<String> {
        if self.are_too_many() {
            return None;
        }
        let pointer = at.pointer();
        self.bytes += pointer.len();
        (!self.are_too_many()).then_some(pointer)
    }
}

/// Levels of arguments that are walked. A schema has fewer, unless it recurses.
const MAX_DEPTH: usize = 200;

/// Nodes of schema and arguments that are compared to tell branches apart.
const MAX_LOOKS: usize = 500_000;

impl Restore {
    pub(super) fn new(schema: &Value, places: Places) -> Restore {
        let Places { optional, maps, .. } = places;
        let changed = !optional.is_empty() || !maps.is_empty();
        Restore {
            schema: changed.then(|| schema.clone()),
            optional: optional.into_iter().collect(),
            maps: maps.into_iter().collect(),
        }
    }

    /// Whether [`Restore::apply`] changes nothing, whatever the arguments.
    pub fn is_empty(&self) -> bool {
        self.schema.is_none()
    }

    /// Turns arguments that are valid for the resolved schema into arguments for
    /// the original one. Of other arguments it changes what it recognizes.
    pub fn apply(&self, arguments: &mut Value) {
        if let Some(schema) = &self.schema {
            let mut judge = Judge {
                root: schema,
                guard: None,
                validators: HashMap::new(),
                looks: MAX_LOOKS,
            };
            self.undo(&mut judge, schema, String::new(), arguments, 0);
        }
    }

    fn undo(
        &self,
        judge: &mut Judge<'_>,
        node: &Value,
        pointer: String,
        value: &mut Value,
        depth: usize,
    ) {
        let Some(map) = node.as_object() else { return };
        if depth > MAX_DEPTH || !(value.is_object() || value.is_array()) {
            return;
        }
        if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
            let pointer = match Target::of(reference) {
                Target::Root => String::new(),
                Target::Definition { keyword, name } => path::join(&format!("/{keyword}"), &name),
                Target::Elsewhere(_) | Target::Foreign => return,
            };
            let Some(tokens) = path::tokens(&pointer) else {
                return;
            };
            if let Some(target) = path::schema_at(judge.root, &tokens) {
                self.undo(judge, target, pointer, value, depth + 1);
            }
            return;
        }
        if let Some(branches) = map.get("anyOf").and_then(Value::as_array) {
            if let Some(index) = judge.choose(&pointer, branches, value) {
                let pointer = format!("{pointer}/anyOf/{index}");
                self.undo(judge, &branches[index], pointer, value, depth + 1);
            }
            return;
        }
        match value {
            Value::Array(items) => {
                if let Some(schema) = map.get("items") {
                    let below = format!("{pointer}/items");
                    for item in items.iter_mut() {
                        self.undo(judge, schema, below.clone(), item, depth + 1);
                    }
                }
                if self.maps.contains(&pointer) {
                    let entries = std::mem::take(items);
                    *value = Value::Object(entries.into_iter().filter_map(entry).collect());
                }
            }
            Value::Object(fields) => {
                let Some(properties) = map.get("properties").and_then(Value::as_object) else {
                    return;
                };
                for (name, schema) in properties {
                    let below = path::join(&format!("{pointer}/properties"), name);
                    match fields.get_mut(name) {
                        Some(Value::Null) if self.optional.contains(&below) => {
                            fields.shift_remove(name);
                        }
                        Some(field) => self.undo(judge, schema, below, field, depth + 1),
                        None => {}
                    }
                }
            }
            _ => {}
        }
    }
}

/// One element of an array that stands for a map.
fn entry(item: Value) -> Option<(String, Value)> {
    let Value::Object(mut pair) = item else {
        return None;
    };
    match (pair.shift_remove("key"), pair.shift_remove("value")) {
        (Some(Value::String(key)), Some(value)) => Some((key, value)),
        _ => None,
    }
}

/// Tells the branches of unions apart.
struct Judge<'s> {
    root: &'s Value,
    guard: Option<Guard>,
    /// The validators of branches that their shape does not tell apart.
    validators: HashMap<String, Option<jsonschema::Validator>>,
    /// Nodes that may still be compared; unions of references multiply.
    looks: usize,
}

impl Judge<'_> {
    /// The branch of a union that `value` was written for. The shape usually
    /// tells; where it does not, the validator does.
    fn choose(&mut self, pointer: &str, branches: &[Value], value: &Value) -> Option<usize> {
        let fitting: Vec<usize> = (0..branches.len())
            .filter(|index| self.fits(&branches[*index], value, 0))
            .collect();
        if fitting.len() > 1 {
            for index in &fitting {
                if self.is_valid(format!("{pointer}/anyOf/{index}"), value) {
                    return Some(*index);
                }
            }
        }
        fitting.first().copied()
    }

    /// Whether `value` is valid for the part of the schema at `pointer`.
    fn is_valid(&mut self, pointer: String, value: &Value) -> bool {
        // With a name of its own the schema stays the root of its references.
        const NAME: &str = "urn:strict-schema:root";
        let root = self.root;
        let build = |pointer: &String| {
            let mut named = root.clone();
            named["$id"] = NAME.into();
            let reference = format!("{NAME}{}", fragment(pointer));
            jsonschema::options()
                .should_validate_formats(true)
                .build(&json!({"$defs": {"root": named}, "$ref": reference}))
                .ok()
        };
        let guard = self.guard.get_or_insert_with(|| Guard::new(root));
        // Strict unions of references can multiply like any others.
        let cost = guard.cost(&pointer, value).map(usize::try_from);
        let Some(rest) = cost.and_then(|cost| self.looks.checked_sub(cost.ok()?)) else {
            return false;
        };
        self.looks = rest;
        let validator = match self.validators.entry(pointer) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let validator = build(entry.key());
                entry.insert(validator)
            }
        };
        validator
            .as_ref()
            .is_some_and(|validator| validator.is_valid(value))
    }

    /// Whether a strict schema could have produced `value`, by types, keys, enums
    /// and the number of items: never false for a valid value.
    fn fits(&mut self, node: &Value, value: &Value, depth: usize) -> bool {
        let Some(node) = follow(self.root, node) else {
            return false;
        };
        let Some(map) = node.as_object() else {
            return true;
        };
        if depth > MAX_DEPTH || self.looks == 0 {
            return true;
        }
        self.looks -= 1;
        if let Some(branches) = map.get("anyOf").and_then(Value::as_array)
            && !branches
                .iter()
                .any(|branch| self.fits(branch, value, depth + 1))
        {
            return false;
        }
        let types = map.get("type").and_then(TypeSet::read);
        if types.is_some_and(|types| !types.admits(TypeSet::of_value(value))) {
            return false;
        }
        let among = |values: &[Value]| values.iter().any(|known| same(known, value));
        let listed = map.get("enum").and_then(Value::as_array);
        if map
            .get("const")
            .is_some_and(|constant| !same(constant, value))
            || listed.is_some_and(|values| !value.is_null() && !among(values))
        {
            return false;
        }
        match value {
            Value::Object(fields) => {
                let properties = map.get("properties").and_then(Value::as_object);
                properties.is_none_or(|properties| {
                    fields.len() == properties.len()
                        && properties.iter().all(|(name, schema)| {
                            fields
                                .get(name)
                                .is_some_and(|field| self.fits(schema, field, depth + 1))
                        })
                })
            }
            Value::Array(items) => {
                let count = |key: &str| map.get(key).and_then(Value::as_u64);
                let length = items.len() as u64;
                count("minItems").is_none_or(|least| length >= least)
                    && count("maxItems").is_none_or(|most| length <= most)
                    && map.get("items").is_none_or(|schema| {
                        items.iter().all(|item| self.fits(schema, item, depth + 1))
                    })
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Profile, Resolved, resolve};

    #[test]
    fn branches_of_one_shape_are_told_apart_by_the_validator() {
        let branch = |pattern: &str, optional: bool| {
            let mut branch = json!({
                "type": "object",
                "properties": {
                    "id": {"type": "string", "pattern": pattern},
                    "next": {"anyOf": [{"$ref": "#"}, {"type": "string"}]},
                },
                "required": ["id"],
            });
            if !optional {
                branch["properties"]["next"]["anyOf"][1]["type"] = "null".into();
            }
            branch
        };
        let schema = json!({
            "type": "object",
            "properties": {"a": {"anyOf": [branch("^x", false), branch("^y", true)]}},
        });
        let mut profile = Profile::default();
        profile.rewrites.nullable_optionals = true;
        let Resolved::Strict { restore, .. } = resolve(&schema, &profile) else {
            panic!("it resolves")
        };
        let restored = |mut arguments: Value| {
            restore.apply(&mut arguments);
            arguments
        };
        // The first branch has a null of its own, the second was given one.
        let own = json!({"a": {"id": "x", "next": null}});
        assert_eq!(restored(own.clone()), own);
        assert_eq!(
            restored(json!({"a": {"id": "y", "next": null}})),
            json!({"a": {"id": "y"}})
        );
        // All the way down.
        assert_eq!(
            restored(json!({"a": {"id": "y", "next": {"a": {"id": "y", "next": null}}}})),
            json!({"a": {"id": "y", "next": {"a": {"id": "y"}}}})
        );
    }

    #[test]
    fn unions_that_multiply_are_given_up() {
        let definitions: serde_json::Map<_, _> = (0..30)
            .map(|level| {
                let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
                (format!("d{level}"), json!({"anyOf": [next, next]}))
            })
            .chain([("d30".to_owned(), json!({"type": "integer"}))])
            .collect();
        let object = json!({"type": "object", "properties": {"b": {"type": "string"}}});
        let schema = json!({
            "type": "object",
            "properties": {
                "a": {"anyOf": [{"$ref": "#/$defs/d0"}, object]},
                "optional": {"$ref": "#/$defs/d0"},
            },
            "required": ["a"],
            "$defs": definitions,
        });
        let mut profile = Profile::default();
        profile.rewrites.nullable_optionals = true;
        let started = std::time::Instant::now();
        let Resolved::Strict { restore, .. } = resolve(&schema, &profile) else {
            panic!("it resolves")
        };
        restore.apply(&mut json!({"a": {"b": null}, "optional": null}));
        // Branch by branch it would be 2³⁰ comparisons.
        assert!(started.elapsed().as_secs() < 20);
    }

    /// One long name, and all that is below it.
    #[test]
    fn places_that_take_too_much_are_a_reason() {
        let schema = |name: usize, count: usize| {
            let fields: serde_json::Map<_, _> = (0..count)
                .map(|at| (format!("f{at}"), json!({"type": "string"})))
                .collect();
            json!({
                "type": "object",
                "properties": {"n".repeat(name): {"type": "object", "properties": fields}},
            })
        };
        let mut profile = Profile::default();
        profile.rewrites.nullable_optionals = true;
        let Resolved::Strict { restore, .. } = resolve(&schema(10, 4_000), &profile) else {
            panic!("it resolves")
        };
        assert_eq!(restore.optional.len(), 4_001);
        let started = std::time::Instant::now();
        let Resolved::Fallback { reasons } = resolve(&schema(80_000, 4_000), &profile) else {
            panic!("320 MB of pointers were kept")
        };
        assert!(started.elapsed().as_secs() < 20);
        let [reason] = &reasons[..] else {
            panic!("{reasons:?}")
        };
        assert_eq!((reason.code.as_str(), &*reason.pointer), ("too_large", ""));
        assert!(
            reason.message.contains("262144 bytes"),
            "{}",
            reason.message
        );
        // Without level C nothing has to be changed back.
        let plain = resolve(&schema(80_000, 4_000), &Profile::default());
        assert!(matches!(plain, Resolved::Strict { .. }));
    }
}
