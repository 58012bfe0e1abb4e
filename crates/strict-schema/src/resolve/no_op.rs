//! Dropping what constrains nothing: keywords that are implied by closing, that
//! every value satisfies, or that only say something to people.

use serde_json::{Map, Value};

use super::rewrite::Rewriter;
use super::{ChangeCode, Level};
use crate::keyword::{ANNOTATIONS, Keyword, KeywordSet, get};
use crate::path::At;
use crate::types::TypeSet;

/// Keywords that say nothing here, or nothing that closing does not say.
pub(super) fn drop_no_ops(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    let present = KeywordSet::of_schema(map);
    if present.meets(MAY_BE_NO_OPS) {
        drop_implied(rewriter, map, at);
    }
    if present.meets(ANNOTATIONS.but(rewriter.profile.permitted)) {
        drop_annotations(rewriter, map, at);
    }
}

/// What [`drop_implied`] looks at.
const MAY_BE_NO_OPS: KeywordSet = KeywordSet::of(&[
    Keyword::UniqueItems,
    Keyword::MinProperties,
    Keyword::MaxProperties,
    Keyword::PropertyNames,
    Keyword::UnevaluatedProperties,
    Keyword::Discriminator,
    Keyword::Default,
    Keyword::Format,
]);

fn drop_implied(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    let object = |map: &Map<String, Value>, key: &str| {
        get(map, key).and_then(Value::as_object).map(Map::len)
    };
    let open = get(map, "additionalProperties").is_some_and(|value| value != &Value::Bool(false));
    let count = object(map, "properties")
        .filter(|_| !open)
        .map(|count| count as u64);
    // Optional properties that are taken away again do not count towards the least.
    let least = if rewriter.profile.rewrites.nullable_optionals {
        get(map, "required")
            .and_then(Value::as_array)
            .map(|keys| keys.len() as u64)
            .or(Some(0))
    } else {
        count
    };
    let number = |key: &str| get(map, key).and_then(Value::as_u64);
    let idle = [
        (
            "uniqueItems",
            get(map, "uniqueItems") == Some(&Value::Bool(false)),
        ),
        (
            "minProperties",
            number("minProperties")
                .zip(least.min(count))
                .is_some_and(|(min, n)| min <= n),
        ),
        (
            "maxProperties",
            number("maxProperties")
                .zip(count)
                .is_some_and(|(max, n)| max >= n),
        ),
        (
            "propertyNames",
            get(map, "propertyNames").is_some_and(any_name),
        ),
        (
            "unevaluatedProperties",
            get(map, "additionalProperties") == Some(&Value::Bool(false))
                || get(map, "additionalProperties").is_none()
                    && get(map, "unevaluatedProperties") == Some(&Value::Bool(false))
                    && count.is_some(),
        ),
        ("discriminator", true),
        ("default", get(map, "default") == Some(&Value::Null)),
        ("format", idle_format(rewriter, map)),
    ];
    for (key, idle) in idle {
        if idle && map.shift_remove(key).is_some() {
            rewriter.changed(at, ChangeCode::KeywordDropped, Level::B);
        }
    }
}

/// Annotations that the profile's engine refuses.
fn drop_annotations(rewriter: &mut Rewriter<'_>, map: &mut Map<String, Value>, at: &At<'_>) {
    for key in ANNOTATIONS.but(rewriter.profile.permitted).names() {
        if map.shift_remove(key).is_some() {
            rewriter.changed(at, ChangeCode::KeywordDropped, Level::B);
        }
    }
}

fn idle_format(rewriter: &Rewriter<'_>, map: &Map<String, Value>) -> bool {
    rewriter.profile.choices.unknown_formats_are_annotations
        && get(map, "format")
            .and_then(Value::as_str)
            .is_some_and(|format| !rewriter.profile.formats.contains(&format))
}

/// A schema for names that every name satisfies.
fn any_name(schema: &Value) -> bool {
    match schema {
        Value::Bool(any) => *any,
        Value::Object(map) => map.iter().all(|(key, value)| match Keyword::of(key) {
            Some(Keyword::Type) => {
                TypeSet::read(value).is_some_and(|types| types.meets(TypeSet::STRING))
            }
            Some(keyword) => keyword.is_annotation(),
            None => true,
        }),
        _ => false,
    }
}
