//! Level B: the same schema in words that the strict subset has.
//!
//! Each function below rewrites one spelling of one node and nothing else. The
//! order in [`respell`] matters: merging `allOf` may bring a `$ref`, a wrapped
//! `$ref` needs no type, a type must be known before null joins it.

use serde_json::{Map, Number, Value, json};

use super::no_op::drop_no_ops;
use super::rewrite::Rewriter;
use super::{ChangeCode, Level, merge, union};
use crate::check::values::{kind, mixed};
use crate::keyword::{ANNOTATIONS, Keyword, KeywordSet, get};
use crate::malformed::{complaint, is_idle, is_never};
use crate::path::{At, join};
use crate::reference::locate;
use crate::types::TypeSet;

/// Keywords that have another spelling, or none is needed.
const TELLING: KeywordSet = KeywordSet::of(&[
    Keyword::AllOf,
    Keyword::OneOf,
    Keyword::Nullable,
    Keyword::Discriminator,
    Keyword::UniqueItems,
    Keyword::PropertyNames,
    Keyword::MinProperties,
    Keyword::MaxProperties,
    Keyword::UnevaluatedProperties,
    Keyword::ExclusiveMinimum,
    Keyword::ExclusiveMaximum,
    Keyword::Default,
]);

/// Whether [`respell`] may have something to do at this node. Cheap: most nodes
/// are a type and a description.
pub(super) fn applies(
    rewriter: &Rewriter<'_>,
    map: &Map<String, Value>,
    present: KeywordSet,
    at: &At<'_>,
) -> bool {
    let telling = TELLING.and(ANNOTATIONS.but(rewriter.profile.permitted));
    present.meets(telling)
        || present.has(Keyword::Ref) && map.len() > 1 && !at.is_root()
        || present.has(Keyword::AnyOf) && present.has(Keyword::Type)
        || !present.has(Keyword::Type) && !present.has(Keyword::Ref)
        || get(map, "type").is_some_and(|types| types.as_array().is_some_and(|set| set.len() == 1))
        || present.meets(MIXABLE)
        || present.has(Keyword::Format) && rewriter.profile.choices.unknown_formats_are_annotations
        || present.has(Keyword::AdditionalProperties)
            && get(map, "additionalProperties").is_some_and(Value::is_object)
        || malformed(map).next().is_some()
}

/// Malformed keywords that constrain nothing.
fn malformed(map: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let types = || get(map, "type").and_then(TypeSet::read);
    map.iter().filter_map(move |(key, value)| {
        let keyword = Keyword::of(key)?;
        let idle = complaint(keyword, value).is_some() && is_idle(keyword, value, types());
        idle.then_some(key.as_str())
    })
}

/// Keywords without effect whose values no reader takes.
fn drop_malformed(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    let keys: Vec<String> = malformed(map).map(str::to_owned).collect();
    for key in keys {
        map.shift_remove(&key);
        rewriter.changed(at, ChangeCode::KeywordDropped, Level::B);
    }
}

/// `additionalProperties: {"not": {}}` to `false`.
fn close_never(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    if let Some(additional) = map.get_mut("additionalProperties")
        && is_never(additional)
    {
        *additional = Value::Bool(false);
        rewriter.changed(at, ChangeCode::KeywordModernized, Level::B);
    }
}

/// Keywords whose values may be of several types.
const MIXABLE: KeywordSet = KeywordSet::of(&[Keyword::Enum, Keyword::Const]);

pub(super) fn respell(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    drop_malformed(rewriter, map, at);
    close_never(rewriter, map, at);
    if get(map, "allOf").is_some() {
        merge::all_of(rewriter, map, at);
    }
    if get(map, "$ref").is_some() {
        if !at.is_root() {
            wrap_reference(rewriter, map, at);
        }
        return;
    }
    spell_type(rewriter, map, at);
    split_enum(rewriter, map, at);
    one_of(rewriter, map, at);
    drop_wrapper_type(rewriter, map, at);
    nullable(rewriter, map, at);
    modernize_bounds(rewriter, map, at);
    drop_no_ops(rewriter, map, at);
}

/// `{$ref, description}` to `{anyOf: [{$ref}], description}`.
fn wrap_reference(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    let nullable = get(map, "nullable") == Some(&Value::Bool(true));
    let idle = |key: &String| {
        key == "$ref" || key == "nullable" || Keyword::of(key).is_none_or(Keyword::is_annotation)
    };
    if map.len() < 2 || !map.keys().all(idle) {
        return;
    }
    let mut node = Map::new();
    for (key, value) in std::mem::take(map) {
        match key.as_str() {
            "$ref" => {
                let mut branches = vec![json!({"$ref": value})];
                if nullable {
                    branches.push(json!({"type": "null"}));
                }
                node.insert("anyOf".into(), Value::Array(branches));
            }
            "nullable" => {}
            _ => {
                node.insert(key, value);
            }
        }
    }
    *map = node;
    let pointer = at.pointer();
    rewriter.moves.add(format!("{pointer}/anyOf/0"), &pointer);
    let code = if nullable {
        ChangeCode::NullableSpelled
    } else {
        ChangeCode::RefWrapped
    };
    rewriter.changed(at, code, Level::B);
    drop_no_ops(rewriter, map, at);
}

/// A list of one type to its name; the type of an object or of an enum inferred.
fn spell_type(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    let inferred = match get(map, "type") {
        Some(Value::Array(names)) if names.len() == 1 => names[0].clone(),
        Some(_) => return,
        None if get(map, "properties").is_some_and(Value::is_object) => "object".into(),
        None => match inferred_type(map) {
            Some(types) => types.to_value(),
            None => return,
        },
    };
    // The type comes first, where a reader looks for it.
    match map.get_mut("type") {
        Some(spelled) => *spelled = inferred,
        None => {
            map.shift_insert(0, "type".into(), inferred);
        }
    }
    rewriter.changed(at, ChangeCode::TypeSpelled, Level::B);
}

/// The type of all values of an enum or const; null may be among them.
fn inferred_type(map: &Map<String, Value>) -> Option<TypeSet> {
    let values = match (get(map, "enum"), get(map, "const")) {
        (Some(Value::Array(values)), _) if !values.is_empty() => values.as_slice(),
        (None, Some(value)) => std::slice::from_ref(value),
        _ => return None,
    };
    let types = types_of(values);
    (types.within(TypeSet::SCALAR) && !mixed(values)).then_some(types)
}

/// The types of scalar values. One float among integers makes them all numbers.
fn types_of(values: &[Value]) -> TypeSet {
    let float = values
        .iter()
        .any(|value| value.as_number().is_some_and(Number::is_f64));
    values.iter().fold(TypeSet::NONE, |set, value| {
        set.plus(match value {
            Value::Number(_) if float => TypeSet::NUMBER,
            other => TypeSet::of_value(other),
        })
    })
}

/// `enum: ["a", 1]` to a union of one enum for each type.
fn split_enum(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    let Some(Value::Array(values)) = get(map, "enum") else {
        return;
    };
    let allowed = match get(map, "type") {
        None => None,
        Some(types) => match TypeSet::read(types) {
            None => return,
            some => some,
        },
    };
    let fits = |value: &Value| {
        let own = TypeSet::of_value(value);
        own.within(TypeSet::SCALAR) && allowed.is_none_or(|types| types.admits(own))
    };
    let plain = |key: &String| {
        key == "type" || key == "enum" || Keyword::of(key).is_none_or(Keyword::is_annotation)
    };
    if !mixed(values) || !values.iter().all(fits) || !map.keys().all(plain) {
        return;
    }
    let mut groups: Vec<(TypeSet, Vec<Value>)> = Vec::new();
    for value in values {
        let kind = kind(value);
        match groups.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, group)) => group.push(value.clone()),
            None => groups.push((kind, vec![value.clone()])),
        }
    }
    let branches = groups.into_iter().map(|(kind, values)| {
        // A null branch with an enum is refused, so it goes without.
        if kind == TypeSet::NONE {
            json!({"type": "null"})
        } else {
            json!({"type": types_of(&values).to_value(), "enum": values})
        }
    });
    let branches = Value::Array(branches.collect());
    let mut node = Map::new();
    for (key, value) in std::mem::take(map) {
        match key.as_str() {
            "enum" => {
                node.insert("anyOf".into(), branches.clone());
            }
            "type" => {}
            _ => {
                node.insert(key, value);
            }
        }
    }
    *map = node;
    let pointer = at.pointer();
    rewriter
        .moves
        .add(format!("{pointer}/anyOf"), &join(&pointer, "enum"));
    rewriter.changed(at, ChangeCode::EnumSplit, Level::B);
}

/// `oneOf` to `anyOf` where no two branches can both hold.
fn one_of(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    let Some(Value::Array(branches)) = get(map, "oneOf") else {
        return;
    };
    let keep_optional = rewriter.profile.rewrites.nullable_optionals;
    // At the root of a function either is refused; the refusal is to name this one.
    if at.is_root()
        || branches.is_empty()
        || get(map, "anyOf").is_some()
        || !union::disjoint(rewriter.base, branches, keep_optional)
    {
        return;
    }
    *map = std::mem::take(map)
        .into_iter()
        .map(|(key, value)| (if key == "oneOf" { "anyOf".into() } else { key }, value))
        .collect();
    let pointer = at.pointer();
    rewriter
        .moves
        .add(format!("{pointer}/anyOf"), &join(&pointer, "oneOf"));
    rewriter.changed(at, ChangeCode::OneOfToAnyOf, Level::B);
}

/// `{type: object, anyOf: […]}` without the type, where every branch says it.
fn drop_wrapper_type(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    let (Some(types), Some(Value::Array(branches))) = (get(map, "type"), get(map, "anyOf")) else {
        return;
    };
    let Some(allowed) = TypeSet::read(types) else {
        return;
    };
    let said = |branch| {
        union::types(rewriter.base, branch).is_some_and(|types| types.intersect(allowed) == types)
    };
    let object_words = [
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "const",
    ];
    if at.is_root()
        || object_words.iter().any(|key| get(map, key).is_some())
        || !branches.iter().all(said)
    {
        return;
    }
    map.shift_remove("type");
    rewriter.changed(at, ChangeCode::KeywordDropped, Level::B);
}

/// OpenAPI's `nullable: true`: null joins the types.
fn nullable(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    if get(map, "nullable") != Some(&Value::Bool(true)) || at.is_root() {
        return;
    }
    if let Some(types) = map.get_mut("type") {
        let Some(set) = TypeSet::read(types) else {
            return;
        };
        if !set.meets(TypeSet::NULL) {
            let mut names: Vec<Value> = match types.take() {
                Value::Array(names) => names,
                name => vec![name],
            };
            names.push("null".into());
            *types = Value::Array(names);
        }
    } else if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
        branches.push(json!({"type": "null"}));
    } else {
        return;
    }
    map.shift_remove("nullable");
    rewriter.changed(at, ChangeCode::NullableSpelled, Level::B);
}

/// Draft 4's boolean `exclusiveMinimum`.
fn modernize_bounds(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    for (exclusive, bound) in [
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ] {
        match get(map, exclusive) {
            Some(Value::Bool(true)) if get(map, bound).is_some_and(Value::is_number) => {
                if let (Some(value), Some(flag)) = (map.shift_remove(bound), map.get_mut(exclusive))
                {
                    *flag = value;
                }
            }
            Some(Value::Bool(false)) => {
                map.shift_remove(exclusive);
            }
            _ => continue,
        }
        rewriter.changed(at, ChangeCode::KeywordModernized, Level::B);
    }
}

impl Rewriter<'_> {
    /// A root that is only a reference: its target takes its place.
    pub(super) fn root_reference(&mut self, work: &mut Value) {
        let Value::Object(map) = work else { return };
        let keeps = |key: &String| {
            key == "$ref"
                || key == "$id"
                || Keyword::of(key).is_none_or(|keyword| {
                    keyword.is_annotation()
                        || matches!(keyword, Keyword::Defs | Keyword::Definitions)
                })
        };
        let Some(Value::String(reference)) = self.base.get("$ref") else {
            return;
        };
        if !map.keys().all(keeps) {
            return;
        }
        let Some((pointer, Value::Object(target))) = locate(self.base, reference) else {
            return;
        };
        if pointer.is_empty() {
            return;
        }
        let mut node = Map::new();
        for (key, value) in std::mem::take(map) {
            if key != "$ref" {
                node.insert(key, value);
                continue;
            }
            for (key, value) in target {
                if !node.contains_key(key) {
                    node.insert(key.clone(), value.clone());
                    self.moves.add_key(key, &pointer);
                }
            }
        }
        *map = node;
        self.changed(&At::Root, ChangeCode::RootRefInlined, Level::B);
    }
}
