//! Rows 76 to 79: limits over the whole schema.

use serde_json::{Map, json};
use strict_schema::Limits;

use super::*;

/// Objects inside one another; the innermost has no property.
fn levels(count: usize) -> Value {
    let mut schema = strict_schema::empty_parameters();
    for _ in 1..count {
        schema = with(schema);
    }
    schema
}

#[test]
fn row_76_levels() {
    accepted(&levels(10));
    let eleven = levels(11);
    assert_eq!(
        refused(&eleven),
        "11 levels of nesting exceeds limit of 10."
    );
    falls_back(&eleven, &[("too_many_levels", &"/properties/a".repeat(10))]);
    assert_eq!(
        refused(&levels(16)),
        "16 levels of nesting exceeds limit of 10."
    );
    // Arrays are levels; unions and references are not, unless the profile says so.
    let mut array = levels(9);
    for _ in 0..1 {
        array = with(json!({"anyOf": [{"anyOf": [array]}]}));
    }
    accepted(&array);
    let deep = with(json!({"type": "array", "items": levels(9)}));
    assert_eq!(refused(&deep), "11 levels of nesting exceeds limit of 10.");
    accepted(&with_defs(
        json!({"$ref": "#/$defs/D"}),
        json!({"D": levels(10)}),
    ));
    let mut profile = Profile::default();
    profile.levels.combinators = true;
    assert_eq!(
        refused_by(&profile, &array),
        "12 levels of nesting exceeds limit of 10."
    );
    profile.levels.combinators = false;
    profile.levels.items = false;
    accepted_by(&profile, &deep);
    assert_eq!(
        refused_by(&Profile::named("azure").unwrap(), &levels(6)),
        "6 levels of nesting exceeds limit of 5."
    );
}

#[test]
fn row_77_properties() {
    let object = |count: usize| {
        let properties: Map<_, _> = (0..count)
            .map(|i| (format!("p{i}"), json!({"type": "string"})))
            .collect();
        let required: Vec<_> = properties.keys().cloned().collect();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    };
    accepted(&object(5_000));
    assert_eq!(
        refused(&object(6_000)),
        "6000 parameters exceeds limit of 5000."
    );
    falls_back(&object(6_000), &[("too_many_properties", "")]);
    // Of all objects together.
    assert_eq!(
        refused(&with(object(5_000))),
        "5001 parameters exceeds limit of 5000."
    );
}

#[test]
fn row_78_enum_values() {
    let several = |total: usize| {
        let properties: Map<_, _> = (0..total / 100)
            .map(|i| {
                let values: Vec<_> = (0..100).map(|v| format!("{v}")).collect();
                (format!("p{i}"), json!({"type": "string", "enum": values}))
            })
            .collect();
        let mut schema =
            json!({"type": "object", "properties": properties, "additionalProperties": false});
        schema["required"] = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        schema
    };
    accepted(&several(1_000));
    let over = several(1_100);
    assert_eq!(
        refused(&over),
        "Expected at most 1000 enum values in total within a single schema when using structured \
         outputs, but received 1100. Consider reducing the number of enums, or use \
         'strict: false' to opt out of structured outputs."
    );
    falls_back(&over, &[("too_many_enum_values", "")]);

    let long = |count: usize, length: usize| {
        let values: Vec<_> = (0..count).map(|v| format!("{v:é>length$}")).collect();
        with(json!({"type": "string", "enum": values}))
    };
    accepted(&long(251, 59));
    accepted(&long(250, 100));
    let over = long(251, 60);
    assert_eq!(
        refused(&over),
        "Expected at most 15000 total characters across enum values when there are more than 250 \
         enum values, but received 15060. Consider reducing the number of enums, or use \
         'strict: false' to opt out of structured outputs."
    );
    falls_back(&over, &[("enum_too_long", "/properties/a")]);
}

#[test]
fn row_79_characters() {
    let named = |length: usize| {
        let name = "é".repeat(length);
        let mut schema =
            json!({"type": "object", "additionalProperties": false, "required": [name]});
        schema["properties"] = Map::from_iter([(name, json!({"type": "string"}))]).into();
        schema["description"] = json!("x".repeat(200_000));
        schema
    };
    accepted(&named(120_000));
    assert_eq!(
        refused(&named(120_001)),
        "Expected at most 120000 characters in total across property names, definition names, \
         enum values and const values, but received 120001."
    );
    falls_back(&named(120_001), &[("too_many_characters", "")]);
    // Values and definitions count too.
    let mut both = named(60_000);
    both["$defs"] = json!({"d".repeat(30_000): {"type": "string", "const": "c".repeat(30_001)}});
    assert!(refused(&both).ends_with("but received 120001."));
}

#[test]
fn guards_refuse_before_reading() {
    let mut deep = json!({"type": "string"});
    for _ in 0..200 {
        deep = json!({"type": "array", "items": deep});
    }
    let deep = with(deep);
    let text =
        "the schema is too large: nested deeper than 100. Please ensure it is a valid JSON Schema.";
    assert_eq!(refused(&deep), text);
    falls_back(&deep, &[("too_large", "")]);
    let profile = Profile {
        guards: Limits {
            max_bytes: 20,
            ..Limits::default()
        },
        ..Profile::default()
    };
    falls_back_by(&profile, &levels(3), &[("too_large", "")]);
}

#[test]
fn violations_are_listed_to_a_bound() {
    let properties: Map<_, _> = (0..300)
        .map(|i| (format!("p{i}"), json!({"type": "array"})))
        .collect();
    let schema = json!({"type": "object", "properties": properties, "additionalProperties": false, "required": []});
    let violations = check_strict(&schema, &Profile::default(), TOOL).unwrap_err();
    assert_eq!(violations.len(), 64);
    assert!(violations[0].message.ends_with("Missing 'p0'."));
}
