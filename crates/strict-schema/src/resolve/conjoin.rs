//! Two schemas that both hold, as one.
//!
//! Exact or not at all: where two keywords have no common spelling (two patterns,
//! two unions) there is no result. A property that both declare keeps both
//! schemas in an `allOf`, and is merged when the walk comes to it.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::keyword::{ANNOTATIONS, Keyword, KeywordSet};
use crate::types::TypeSet;

/// `a` and `b` as one schema. False where there is no exact one.
pub(super) fn conjoin(a: &mut Map<String, Value>, b: &Map<String, Value>) -> bool {
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
        let merged = match keyword {
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
                let mut items = own.take();
                both(&mut items, value);
                Some(items)
            }
            _ => None,
        };
        match merged {
            Some(merged) => *own = merged,
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
        // The last one: null may come from one part and be refused by the other.
        Keyword::UnevaluatedProperties
        | Keyword::UnevaluatedItems
        | Keyword::PatternProperties
        | Keyword::Nullable => false,
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
    let declared = [&*a, b]
        .into_iter()
        .any(|map| map.contains_key("properties"));
    let mut ours = match a.get_mut("properties").map(Value::take) {
        None => Map::new(),
        Some(Value::Object(properties)) => properties,
        Some(_) => return false,
    };
    let none = Map::new();
    let theirs = match b.get("properties") {
        None => &none,
        Some(Value::Object(properties)) => properties,
        Some(_) => return false,
    };
    let mut required: Vec<Value> = Vec::new();
    let mut listed: HashSet<&Value> = HashSet::new();
    for map in [&*a, b] {
        match map.get("required") {
            None => {}
            Some(Value::Array(keys)) => {
                required.extend(keys.iter().filter(|key| listed.insert(key)).cloned());
            }
            Some(_) => return false,
        }
    }
    if !b_open {
        ours.retain(|name, _| theirs.contains_key(name));
    }
    for (name, schema) in theirs {
        match ours.get_mut(name) {
            Some(own) => both(own, schema),
            None if a_open => {
                ours.insert(name.clone(), schema.clone());
            }
            None => {}
        }
    }
    let lost = |key: &Value| key.as_str().is_none_or(|key| !ours.contains_key(key));
    if !(a_open && b_open) && required.iter().any(lost) {
        // Required by one part, refused by the other.
        return false;
    }
    if declared {
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

/// Both schemas, side by side in one flat `allOf`.
fn both(own: &mut Value, other: &Value) {
    if own == other {
        return;
    }
    if let Value::Object(map) = &mut *own
        && map.len() == 1
        && let Some(Value::Array(parts)) = map.get_mut("allOf")
    {
        // A part that is there already says nothing new. Looking for it stays
        // cheap: what is looked at are the few parts of one property.
        if parts.len() > 32 || !parts.contains(other) {
            parts.push(other.clone());
        }
        return;
    }
    *own = json!({"allOf": [own.take(), other]});
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
