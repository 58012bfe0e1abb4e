//! When exactly one branch can hold: then `oneOf` is `anyOf`.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::check::values::kind;
use crate::keyword::get;
use crate::reference::{MAX_CHAIN, Target, follow};
use crate::types::TypeSet;

/// Properties of the first branch that are tried as the one that tells the
/// branches apart.
const MAX_CANDIDATES: usize = 16;

/// Whether no value satisfies two of the branches once objects require all their
/// properties. `keep_optional`: optional properties may be left out after all, so
/// only a required one can tell the branches apart.
pub(super) fn disjoint(base: &Value, branches: &[Value], keep_optional: bool) -> bool {
    let nodes: Option<Vec<(&Map<String, Value>, TypeSet)>> = branches
        .iter()
        .map(|branch| Some((follow(base, branch)?.as_object()?, types(base, branch)?)))
        .collect();
    let Some(nodes) = nodes else { return false };
    // An object by inference only: the original takes any null or number there,
    // so nothing but objects may stand beside it.
    let inferred =
        |map: &Map<String, Value>| get(map, "type").is_none() && constants(map).is_none();
    if nodes.iter().any(|(map, _)| inferred(map))
        && nodes.iter().any(|(_, types)| *types != TypeSet::OBJECT)
    {
        return false;
    }
    let groups = [
        TypeSet::NULL,
        TypeSet::BOOLEAN,
        TypeSet::NUMERIC,
        TypeSet::STRING,
        TypeSet::ARRAY,
        TypeSet::OBJECT,
    ];
    groups.into_iter().all(|group| {
        let members: Vec<&Map<String, Value>> = nodes
            .iter()
            .filter(|(_, types)| types.meets(group))
            .map(|(node, _)| *node)
            .collect();
        match members.as_slice() {
            [] | [_] => true,
            _ if group == TypeSet::NULL || group == TypeSet::ARRAY => false,
            _ if group == TypeSet::OBJECT => tagged(base, &members, keep_optional),
            _ => distinct(members.iter().map(|node| constants(node))),
        }
    })
}

/// The types that a schema allows, where it says so. `nullable` counts wherever it
/// stands on the way, for level B hears it there.
pub(super) fn types(base: &Value, node: &Value) -> Option<TypeSet> {
    let mut null = TypeSet::NONE;
    let mut node = node;
    for _ in 0..MAX_CHAIN {
        let map = node.as_object()?;
        if get(map, "nullable") == Some(&Value::Bool(true)) {
            null = TypeSet::NULL;
        }
        match get(map, "$ref") {
            Some(reference) => node = Target::of(reference.as_str()?).node(base)?,
            None => return Some(own_types(map)?.plus(null)),
        }
    }
    None
}

fn own_types(map: &Map<String, Value>) -> Option<TypeSet> {
    if let Some(types) = get(map, "type") {
        return TypeSet::read(types);
    }
    if let Some(values) = constants(map) {
        return Some(values.iter().fold(TypeSet::NONE, |set, value| {
            set.plus(TypeSet::of_value(value))
        }));
    }
    // Level B reads properties without a type as an object's.
    get(map, "properties").is_some().then_some(TypeSet::OBJECT)
}

/// Whether one property has a different constant in each of the objects.
fn tagged(base: &Value, members: &[&Map<String, Value>], keep_optional: bool) -> bool {
    let Some(first) = members[0].get("properties").and_then(Value::as_object) else {
        return false;
    };
    let constant = |map: &Map<String, Value>, key: &str| {
        let required = || {
            let keys = get(map, "required").and_then(Value::as_array);
            keys.is_some_and(|keys| keys.iter().any(|name| name == key))
        };
        if keep_optional && !required() {
            return None;
        }
        let property = get(map, "properties")?.as_object()?.get(key)?;
        constants(follow(base, property)?.as_object()?).map(<[Value]>::to_vec)
    };
    first
        .keys()
        .filter(|key| constant(members[0], key).is_some())
        .take(MAX_CANDIDATES)
        .any(|key| distinct(members.iter().map(|map| constant(map, key))))
}

/// The only values that a node allows.
fn constants(map: &Map<String, Value>) -> Option<&[Value]> {
    match get(map, "const") {
        Some(value) => Some(std::slice::from_ref(value)),
        None => get(map, "enum")
            .and_then(Value::as_array)
            .map(Vec::as_slice),
    }
}

/// Whether all sets are known, scalar, and none shares a value with another.
fn distinct<S: AsRef<[Value]>>(sets: impl Iterator<Item = Option<S>>) -> bool {
    let mut seen = HashSet::new();
    for set in sets {
        let Some(set) = set else { return false };
        let mut own = HashSet::new();
        for value in set.as_ref() {
            let key = match value {
                Value::Array(_) | Value::Object(_) => return false,
                // 1 and 1.0 are one number.
                Value::Number(number) => format!("{:?}", number.as_f64()),
                other => other.to_string(),
            };
            let key = (kind(value).to_value().to_string(), key);
            if own.insert(key.clone()) && !seen.insert(key) {
                return false;
            }
        }
    }
    true
}
