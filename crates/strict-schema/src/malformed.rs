//! Values that a keyword cannot have, by the metaschema (draft 2020-12), wherever they stand.
//!
//! A keyword that does not apply to its node's type constrains nothing, but engines and servers
//! still read it, and fail.

use serde_json::{Map, Value};

use crate::check::finding::Finding;
use crate::keyword::{Keyword, Shape};
use crate::path::At;
use crate::types::TypeSet;

/// What is wrong with a keyword's value, in the words of a Python validator; `None` where nothing
/// is. What lies below is not looked at.
pub(crate) fn complaint(keyword: Keyword, value: &Value) -> Option<&'static str> {
    use Keyword as K;
    let wants = |is: bool, complaint| (!is).then_some(complaint);
    match keyword.shape() {
        Shape::Schema | Shape::SchemaOrList => {
            return wants(is_schema(value), "is not of type 'object', 'boolean'");
        }
        Shape::List => {
            return match value {
                Value::Array(branches) => wants(!branches.is_empty(), "should be non-empty"),
                _ => Some("is not of type 'array'"),
            };
        }
        Shape::Map => return wants(value.is_object(), "is not of type 'object'"),
        Shape::Plain => {}
    }
    match keyword {
        K::Type => wants(
            TypeSet::read(value).is_some(),
            "is not valid under any of the given schemas",
        ),
        K::Enum => match value {
            Value::Array(values) => wants(!values.is_empty(), "should be non-empty"),
            _ => Some("is not of type 'array'"),
        },
        K::Required => names(value),
        K::Examples => wants(value.is_array(), "is not of type 'array'"),
        K::DependentRequired => match value {
            Value::Object(map) => map.values().find_map(names),
            _ => Some("is not of type 'object'"),
        },
        K::Title
        | K::Description
        | K::Format
        | K::Pattern
        | K::Comment
        | K::Schema
        | K::Anchor
        | K::Id
        | K::Ref
        | K::DynamicRef
        | K::RecursiveRef
        | K::DynamicAnchor
        | K::ContentEncoding
        | K::ContentMediaType => wants(value.is_string(), "is not of type 'string'"),
        K::ReadOnly
        | K::WriteOnly
        | K::Deprecated
        | K::Nullable
        | K::UniqueItems
        | K::RecursiveAnchor => wants(value.is_boolean(), "is not of type 'boolean'"),
        K::MultipleOf => match value.as_f64() {
            Some(step) => wants(step > 0.0, "is less than or equal to the minimum of 0"),
            None => Some("is not of type 'number'"),
        },
        K::Minimum | K::Maximum | K::ExclusiveMinimum | K::ExclusiveMaximum => {
            wants(value.is_number(), "is not of type 'number'")
        }
        K::MinLength
        | K::MaxLength
        | K::MinItems
        | K::MaxItems
        | K::MinProperties
        | K::MaxProperties
        | K::MinContains
        | K::MaxContains => match value.as_f64() {
            Some(count) if count.fract() != 0.0 => Some("is not of type 'integer'"),
            Some(count) => wants(count >= 0.0, "is less than the minimum of 0"),
            None => Some("is not of type 'integer'"),
        },
        _ => None,
    }
}

/// What is wrong with a list of different names.
fn names(value: &Value) -> Option<&'static str> {
    let Value::Array(keys) = value else {
        return Some("is not of type 'array'");
    };
    let mut names: Vec<_> = keys.iter().filter_map(Value::as_str).collect();
    if names.len() < keys.len() {
        return Some("has elements that are not of type 'string'");
    }
    names.sort_unstable();
    names.dedup();
    (names.len() < keys.len()).then_some("has non-unique elements")
}

/// The types of values that a keyword says something about; all for annotations and for what
/// applies to any value.
pub(crate) fn applies_to(keyword: Keyword) -> TypeSet {
    use Keyword as K;
    match keyword {
        K::Pattern | K::Format | K::MinLength | K::MaxLength => TypeSet::STRING,
        K::Minimum | K::Maximum | K::ExclusiveMinimum | K::ExclusiveMaximum | K::MultipleOf => {
            TypeSet::NUMERIC
        }
        K::Items
        | K::PrefixItems
        | K::AdditionalItems
        | K::UnevaluatedItems
        | K::Contains
        | K::MinContains
        | K::MaxContains
        | K::MinItems
        | K::MaxItems
        | K::UniqueItems => TypeSet::ARRAY,
        K::Properties
        | K::PatternProperties
        | K::AdditionalProperties
        | K::UnevaluatedProperties
        | K::PropertyNames
        | K::Required
        | K::MinProperties
        | K::MaxProperties
        | K::Dependencies
        | K::DependentRequired
        | K::DependentSchemas => TypeSet::OBJECT,
        _ => TypeSet::SCALAR.plus(TypeSet::CONTAINER),
    }
}

/// Whether a malformed keyword can go: it says nothing about values of these types, or nothing
/// about values at all. A boolean `required` is draft 3's, and speaks of the property itself.
pub(crate) fn is_idle(keyword: Keyword, value: &Value, types: Option<TypeSet>) -> bool {
    keyword.is_annotation()
        || keyword == Keyword::Required && value.is_boolean()
        || types.is_some_and(|types| !types.meets(applies_to(keyword)))
}

/// Whether a schema says `false` in the words of `zod-to-json-schema`: `{"not": {}}`.
pub(crate) fn is_never(schema: &Value) -> bool {
    let Value::Object(map) = schema else {
        return false;
    };
    let mut never = false;
    for (key, value) in map {
        match Keyword::of(key) {
            Some(Keyword::Not) => {
                never = *value == Value::Bool(true) || value.as_object().is_some_and(Map::is_empty);
            }
            Some(keyword) if !keyword.is_annotation() => return false,
            _ => {}
        }
    }
    never
}

/// The first malformed keyword of a schema, in document order. For schemas within the guards.
pub(crate) fn first(node: &Value, at: &At<'_>) -> Option<Finding> {
    let map = match node {
        Value::Object(map) => map,
        Value::Bool(_) => return None,
        other => {
            let complaint = "is not of type 'object', 'boolean'";
            return Some(Finding::malformed(at, other, complaint));
        }
    };
    for (key, value) in map {
        let Some(keyword) = Keyword::of(key) else {
            continue;
        };
        if let Some(complaint) = complaint(keyword, value) {
            return Some(Finding::malformed(at, value, complaint));
        }
        if keyword.shape() == Shape::Plain {
            continue;
        }
        let at = at.key(key);
        let found = match (keyword.shape(), value) {
            // Before draft 2019-09, `dependencies` also held lists of names.
            (Shape::Map, Value::Object(named)) => named
                .iter()
                .filter(|(_, schema)| keyword != Keyword::Dependencies || !schema.is_array())
                .find_map(|(name, schema)| first(schema, &at.key(name))),
            (Shape::List, Value::Array(branches)) => branches
                .iter()
                .enumerate()
                .find_map(|(index, branch)| first(branch, &at.index(index))),
            (_, schema) => first(schema, &at),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn is_schema(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Bool(_))
}
