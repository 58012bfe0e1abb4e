//! Level C: what the operator asked for, and what it costs.
//!
//! An optional property becomes nullable instead of mandatory, a map becomes an
//! array of `key` and `value`, a constraint becomes a sentence in `description`.
//! The first two are undone in the arguments by [`super::Restore`]; the third
//! only the model sees, and the arguments are checked against the original.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::rewrite::Rewriter;
use super::{ChangeCode, Level};
use crate::keyword::{Keyword, KeywordSet, get};
use crate::path::{At, join};
use crate::reference::follow;
use crate::types::TypeSet;

/// Constraints that a sentence can stand for: the engine and the final verdict
/// can do without them.
const DESCRIBABLE: KeywordSet = KeywordSet::of(&[
    Keyword::UniqueItems,
    Keyword::Contains,
    Keyword::MinContains,
    Keyword::MaxContains,
    Keyword::MinProperties,
    Keyword::MaxProperties,
    Keyword::PropertyNames,
    Keyword::DependentRequired,
    Keyword::DependentSchemas,
    Keyword::Dependencies,
    Keyword::Not,
    Keyword::If,
    Keyword::Then,
    Keyword::Else,
    Keyword::Pattern,
    Keyword::Format,
    Keyword::MinLength,
    Keyword::MaxLength,
    Keyword::MinItems,
    Keyword::MaxItems,
    Keyword::Minimum,
    Keyword::Maximum,
    Keyword::ExclusiveMinimum,
    Keyword::ExclusiveMaximum,
    Keyword::MultipleOf,
]);

/// Unions within unions that are asked whether they accept null. The limits of a
/// schema do not hold here: references lead round in circles.
const MAX_UNIONS: usize = 100;

/// Bytes of one constraint that a description repeats.
const LONGEST_CONSTRAINT: usize = 500;

/// Whether [`loosen`] may have something to do at a node with these keywords.
pub(super) fn applies(rewriter: &Rewriter<'_>, present: KeywordSet) -> bool {
    let allowed = &rewriter.profile.rewrites;
    allowed.maps_to_arrays && present.has(Keyword::AdditionalProperties)
        || allowed.constraints_to_description && present.meets(DESCRIBABLE)
}

pub(super) fn loosen(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    if rewriter.profile.rewrites.maps_to_arrays && !at.is_root() {
        map_to_array(rewriter, map, at);
    }
    if rewriter.profile.rewrites.constraints_to_description {
        describe_constraints(rewriter, map, at);
    }
}

/// `{type: object, additionalProperties: X}` to an array of `{key, value: X}`.
fn map_to_array(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    let no_properties =
        get(map, "properties").is_none_or(|p| p.as_object().is_some_and(Map::is_empty));
    let only_objects = get(map, "type").is_some_and(|name| name == "object");
    let required = get(map, "required").is_some_and(|keys| keys != &json!([]));
    let Some(Value::Object(value)) = get(map, "additionalProperties") else {
        return;
    };
    // Two entries with one key become one: a lower bound above one could break.
    let least = get(map, "minProperties").map_or(Some(0), Value::as_u64);
    let others = map.keys().any(|key| match Keyword::of(key) {
        Some(keyword) => !keyword.is_annotation() && !CARRIED.has(keyword),
        None => false,
    });
    if !no_properties || !only_objects || required || value.is_empty() || others {
        return;
    }
    let Some(least @ 0..=1) = least else { return };
    let mut key = json!({"type": "string"});
    if let (Some(Value::Object(names)), Value::Object(key)) = (get(map, "propertyNames"), &mut key)
    {
        key.extend(names.clone());
    }
    let mut array = Map::new();
    for (keyword, value) in std::mem::take(map) {
        match keyword.as_str() {
            "type" => {
                array.insert(keyword, "array".into());
            }
            "additionalProperties" => {
                let entry = json!({
                    "type": "object",
                    "properties": {"key": key, "value": value},
                    "required": ["key", "value"],
                    "additionalProperties": false,
                });
                array.insert("items".into(), entry);
            }
            "maxProperties" => {
                array.insert("maxItems".into(), value);
            }
            "minProperties" => {
                array.insert("minItems".into(), least.into());
            }
            "properties" | "required" | "propertyNames" => {}
            _ => {
                array.insert(keyword, value);
            }
        }
    }
    *map = array;
    rewriter.changed(at, ChangeCode::MapToArray, Level::C);
    let Some(pointer) = rewriter.places.maps(at) else {
        return;
    };
    let old = join(&pointer, "additionalProperties");
    rewriter
        .moves
        .add(format!("{pointer}/items/properties/value"), &old);
}

/// What a map may say beside its `additionalProperties`.
const CARRIED: KeywordSet = KeywordSet::of(&[
    Keyword::Type,
    Keyword::AdditionalProperties,
    Keyword::Properties,
    Keyword::Required,
    Keyword::MinProperties,
    Keyword::MaxProperties,
    Keyword::PropertyNames,
]);

fn describe_constraints(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    let profile = rewriter.profile;
    let refused = |key: &str, value: &Value| match Keyword::of(key) {
        Some(Keyword::Pattern) if profile.permitted.has(Keyword::Pattern) => value
            .as_str()
            .is_some_and(|pattern| crate::pattern::supported(pattern).is_err()),
        Some(Keyword::Format) if profile.permitted.has(Keyword::Format) => value
            .as_str()
            .is_some_and(|format| !profile.formats.contains(&format)),
        Some(keyword) => DESCRIBABLE.has(keyword) && !profile.permitted.has(keyword),
        None => false,
    };
    let string = get(map, "type")
        .and_then(TypeSet::read)
        .is_none_or(|set| set.meets(TypeSet::STRING));
    let moved: Vec<String> = map
        .iter()
        .filter(|(key, value)| refused(key, value) && (string || key.as_str() != "format"))
        .map(|(key, _)| key.clone())
        .collect();
    if moved.is_empty() {
        return;
    }
    let mut description = match get(map, "description") {
        Some(Value::String(text)) => format!("{text}\n"),
        _ => String::new(),
    };
    for (index, key) in moved.iter().enumerate() {
        let Some(value) = map.shift_remove(key) else {
            continue;
        };
        let shown: String = value.to_string().chars().take(LONGEST_CONSTRAINT).collect();
        let lead = if index == 0 {
            "Must also satisfy "
        } else {
            ", "
        };
        let _ = write!(description, "{lead}{key}: {shown}");
    }
    description.push('.');
    map.insert("description".into(), description.into());
    rewriter.changed(at, ChangeCode::ConstraintDescribed, Level::C);
}

/// A property that was not required and is now.
pub(super) fn require(rewriter: &mut Rewriter<'_>, property: &mut Value, at: &At<'_>) {
    if accepts_null(rewriter.base, property, &mut rewriter.looks, 0) {
        return rewriter.changed(at, ChangeCode::PropertyRequired, Level::A);
    }
    if !rewriter.profile.rewrites.nullable_optionals {
        return rewriter.changed(at, ChangeCode::OptionalMadeMandatory, Level::A);
    }
    rewriter.changed(at, ChangeCode::OptionalMadeNullable, Level::C);
    if let Some(pointer) = rewriter.places.optional(at) {
        rewriter.moves.add(format!("{pointer}/anyOf/0"), &pointer);
    }
    let schema = property.take();
    *property = json!({"anyOf": [schema, {"type": "null"}]});
}

/// Whether null may be a value of its own here. Yes in doubt: a null that the
/// original knows must not be taken away.
/// `looks` bounds the nodes that are asked, for unions of references multiply; `depth`
/// bounds the stack, for a union can refer to itself.
fn accepts_null(base: &Value, node: &Value, looks: &mut usize, depth: usize) -> bool {
    if depth > MAX_UNIONS {
        return true;
    }
    let Some(node) = follow(base, node) else {
        return true;
    };
    let Some(map) = node.as_object() else {
        return true;
    };
    if *looks == 0 {
        return true;
    }
    *looks -= 1;
    if let Some(types) = get(map, "type") {
        return TypeSet::read(types).is_none_or(|set| set.meets(TypeSet::NULL))
            || get(map, "nullable") == Some(&Value::Bool(true));
    }
    if let Some(values) = get(map, "enum").and_then(Value::as_array) {
        return values.contains(&Value::Null);
    }
    if let Some(value) = get(map, "const") {
        return value.is_null();
    }
    let branches = |key: &str| get(map, key).and_then(Value::as_array);
    if let Some(parts) = branches("allOf") {
        return parts
            .iter()
            .all(|part| accepts_null(base, part, looks, depth + 1));
    }
    match branches("anyOf").or_else(|| branches("oneOf")) {
        Some(branches) => branches
            .iter()
            .any(|branch| accepts_null(base, branch, looks, depth + 1)),
        // Properties without a type are read as an object.
        None => get(map, "properties").is_none(),
    }
}
