//! Rows 35 to 37 and 49 to 66: constraints and annotations. Rows 80, 87 and 88.

use serde_json::json;
use strict_schema::mend;

use super::*;

fn named(name: &str) -> Profile {
    Profile::named(name).expect(name)
}

/// Omitted and strict alike: the keyword is the reason.
fn outside(a: Value, keyword: &str) {
    let schema = with(a);
    assert_eq!(refused(&schema), not_permitted(keyword));
    falls_back(&schema, &[("keyword_not_permitted", "/properties/a")]);
}

fn object_with(keyword: &str, value: Value) -> Value {
    let mut object = with(json!({"type": "string"}));
    object[keyword] = value;
    object
}

#[test]
fn row_35_counts_of_items() {
    accepted(&with(
        json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3}),
    ));
}

#[test]
fn row_36_unique_items() {
    let array =
        |unique: bool| json!({"type": "array", "items": {"type": "string"}, "uniqueItems": unique});
    outside(array(true), "uniqueItems");
    assert_eq!(refused(&with(array(false))), not_permitted("uniqueItems"));
    becomes(
        array(false),
        json!({"type": "array", "items": {"type": "string"}}),
    );
    let mut profile = Profile::default();
    profile.rewrites.constraints_to_description = true;
    let after = resolved_by(&profile, &with(array(true)));
    assert_eq!(
        after["properties"]["a"],
        json!({"type": "array", "items": {"type": "string"}, "description": "Must also satisfy uniqueItems: true."})
    );
}

#[test]
fn row_37_contains() {
    let array = json!({"type": "array", "items": {"type": "string"}, "contains": {"const": "x"}});
    outside(array, "contains");
    outside(
        json!({"type": "array", "items": {"type": "string"}, "minContains": 1}),
        "minContains",
    );
}

#[test]
fn row_49_conditions() {
    let mut object = object_with("if", json!({}));
    object["then"] = json!({});
    let schema = with(object);
    assert_eq!(refused(&schema), not_permitted("if"));
    falls_back(
        &schema,
        &[
            ("keyword_not_permitted", "/properties/a"),
            ("keyword_not_permitted", "/properties/a"),
        ],
    );
}

#[test]
fn row_50_dependencies() {
    for (keyword, value) in [
        ("dependentRequired", json!({"a": ["b"]})),
        ("dependentSchemas", json!({"a": {}})),
        ("dependencies", json!({"a": ["b"]})),
    ] {
        outside(object_with(keyword, value), keyword);
    }
}

#[test]
fn row_51_pattern_properties() {
    outside(
        object_with("patternProperties", json!({"^x": {"type": "string"}})),
        "patternProperties",
    );
}

#[test]
fn row_52_property_names() {
    outside(
        object_with("propertyNames", json!({"pattern": "^a"})),
        "propertyNames",
    );
    let trivial = object_with("propertyNames", json!({"type": "string"}));
    assert_eq!(
        refused(&with(trivial.clone())),
        not_permitted("propertyNames")
    );
    becomes(trivial, with(json!({"type": "string"})));
}

#[test]
fn row_53_counts_of_properties() {
    outside(object_with("minProperties", json!(2)), "minProperties");
    outside(object_with("maxProperties", json!(0)), "maxProperties");
    for (keyword, implied) in [("minProperties", 1), ("maxProperties", 1)] {
        let object = object_with(keyword, json!(implied));
        assert_eq!(refused(&with(object.clone())), not_permitted(keyword));
        becomes(object, with(json!({"type": "string"})));
    }
}

#[test]
fn row_54_unevaluated_properties() {
    let closed = object_with("unevaluatedProperties", json!(false));
    assert_eq!(
        refused(&with(closed.clone())),
        not_permitted("unevaluatedProperties")
    );
    becomes(closed, with(json!({"type": "string"})));
    let mut open = object_with("unevaluatedProperties", json!(false));
    open.as_object_mut()
        .unwrap()
        .shift_remove("additionalProperties");
    assert_eq!(
        resolved(&with(open.clone()))["properties"]["a"]["additionalProperties"],
        json!(false)
    );
    open["unevaluatedProperties"] = json!({"type": "string"});
    falls_back(&with(open), &[("keyword_not_permitted", "/properties/a")]);
}

#[test]
fn row_55_lengths() {
    let schema = with(json!({"type": "string", "minLength": 1, "maxLength": 9}));
    accepted(&schema);
    assert_eq!(
        refused_by(&named("openai-2024"), &schema),
        not_permitted("minLength")
    );
    let reason = ("keyword_not_permitted", "/properties/a");
    falls_back_by(&named("openai-2024"), &schema, &[reason, reason]);
}

#[test]
fn row_56_pattern() {
    let schema = with(json!({"type": "string", "pattern": r"^[a-z]+\/\d{2}$"}));
    accepted(&schema);
    assert_eq!(
        refused_by(&named("fine-tuned"), &schema),
        not_permitted("pattern")
    );
}

#[test]
fn row_57_pattern_with_look_around() {
    let schema = with(json!({"type": "string", "pattern": "^(?!x).*$"}));
    assert!(refused(&schema).starts_with(&at_a("'pattern' is not supported: look-around")));
    falls_back(&schema, &[("pattern_not_supported", "/properties/a")]);
    let mut profile = Profile::default();
    profile.rewrites.constraints_to_description = true;
    let after = resolved_by(&profile, &schema);
    assert_eq!(
        after["properties"]["a"],
        json!({"type": "string", "description": "Must also satisfy pattern: \"^(?!x).*$\"."})
    );
}

#[test]
fn row_58_format() {
    for format in Profile::default().formats {
        accepted(&with(json!({"type": "string", "format": format})));
    }
    let schema = with(json!({"type": "string", "format": "email"}));
    assert_eq!(
        refused_by(&named("azure"), &schema),
        not_permitted("format")
    );
}

#[test]
fn row_59_other_string_format() {
    let schema = with(json!({"type": ["string", "null"], "format": "uri"}));
    assert_eq!(refused(&schema), at_a("'uri' is not a valid format"));
    falls_back(&schema, &[("format_not_permitted", "/properties/a")]);
    let mut profile = Profile::default();
    profile.choices.unknown_formats_are_annotations = true;
    assert_eq!(
        resolved_by(&profile, &schema)["properties"]["a"],
        json!({"type": ["string", "null"]})
    );
}

#[test]
fn row_60_format_on_a_number() {
    accepted(&with(json!({"type": "integer", "format": "uint8"})));
    accepted(&with(json!({"type": "number", "format": "double"})));
}

#[test]
fn row_61_bounds_of_numbers() {
    accepted(&with(
        json!({"type": "number", "minimum": 0, "exclusiveMaximum": 1.5, "multipleOf": 0.5}),
    ));
    let zero = with(json!({"type": "number", "multipleOf": 0}));
    assert_eq!(
        refused(&zero),
        at_a("0 is less than or equal to the minimum of 0.")
    );
    falls_back(&zero, &[("malformed", "/properties/a")]);
}

#[test]
fn row_62_boolean_exclusive_bounds() {
    let schema = json!({"type": "number", "minimum": 1, "exclusiveMinimum": true, "maximum": 2, "exclusiveMaximum": false});
    assert_eq!(
        refused(&with(schema.clone())),
        at_a("True is not of type 'number'.")
    );
    becomes(
        schema,
        json!({"type": "number", "exclusiveMinimum": 1, "maximum": 2}),
    );
}

#[test]
fn row_63_const() {
    accepted(&with(json!({"type": "string", "const": "x"})));
}

#[test]
fn row_64_default() {
    let schema = with(json!({"type": "string", "default": "x"}));
    accepted(&schema);
    assert_eq!(
        refused_by(&named("openai-2024"), &schema),
        not_permitted("default")
    );
    assert_eq!(
        resolved_by(&named("openai-2024"), &schema),
        with(json!({"type": "string"}))
    );
    becomes(
        json!({"type": ["string", "null"], "default": null}),
        json!({"type": ["string", "null"]}),
    );
}

#[test]
fn row_65_annotations() {
    accepted(&with(json!({
        "type": "string", "title": "T", "description": "D", "examples": ["x"],
        "$comment": "C", "deprecated": true, "readOnly": false, "writeOnly": false,
    })));
}

#[test]
fn row_66_schema_and_root_id() {
    let mut schema = with(json!({"type": "string"}));
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["$id"] = json!("https://example.com/f.json");
    accepted(&schema);
}

#[test]
fn row_80_unsatisfiable() {
    for (schema, why) in [
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 2}),
            "minItems 3 is greater than maxItems 2",
        ),
        (
            json!({"type": "string", "minLength": 3, "maxLength": 2}),
            "minLength 3 is greater than maxLength 2",
        ),
        (
            json!({"type": "number", "minimum": 3, "maximum": 2}),
            "the minimum 3 is greater than the maximum 2",
        ),
        (
            json!({"type": "number", "minimum": 3, "exclusiveMaximum": 3}),
            "the bounds exclude 3, the only number between them",
        ),
        (
            json!({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2}),
            "there is no integer between 1 and 2",
        ),
        (
            json!({"type": "string", "enum": ["x", "y"], "const": "z"}),
            "the const value is not in the enum",
        ),
    ] {
        let schema = with(schema);
        assert_eq!(
            refused(&schema),
            at_a(&format!("no value can satisfy the schema: {why}."))
        );
        falls_back(&schema, &[("unsatisfiable", "/properties/a")]);
        let mut profile = Profile::default();
        profile.choices.refuse_unsatisfiable = false;
        accepted_by(&profile, &schema);
    }
    accepted(&with(
        json!({"type": "integer", "minimum": 1, "maximum": 1}),
    ));
}

#[test]
fn row_80_a_mandatory_recursion_has_no_end() {
    // Optional, the recursion ends; required by level A, it never does.
    let node = json!({"type": "object", "properties": {"child": {"$ref": "#"}}});
    falls_back(&node, &[("unsatisfiable", "")]);
    let mut profile = Profile::default();
    profile.rewrites.nullable_optionals = true;
    let after = resolved_by(&profile, &node);
    assert_eq!(
        after["properties"]["child"],
        json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]})
    );
    accepted(&with(json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]})));
    accepted(&with(json!({"type": "array", "items": {"$ref": "#"}})));
    let definitions = json!({"Tree": with(json!({"$ref": "#/$defs/Tree"}))});
    falls_back(
        &with_defs(json!({"$ref": "#/$defs/Tree"}), definitions),
        &[("unsatisfiable", "/$defs/Tree")],
    );
}

/// What the metaschema says of a node: the judge of the rows below.
fn is_well_formed(schema: &Value) -> bool {
    jsonschema::meta::is_valid(schema)
}

#[test]
fn row_87_malformed_keywords_wherever_they_stand() {
    // Draft 3's `required` on a property, where it constrains nothing.
    let property = |node: Value| with(node);
    let schema = property(json!({"type": "string", "required": true}));
    assert_eq!(
        refused(&schema),
        context("('properties', 'a')", "True is not of type 'array'.")
    );
    assert_eq!(resolved(&schema), with(json!({"type": "string"})));
    // On an object it would constrain, and is still about the property.
    let schema = property(json!({"type": "object", "properties": {}, "required": false}));
    assert_eq!(resolved(&schema)["properties"]["a"]["required"], json!([]));
    // Where it applies, nobody knows what it should be.
    let schema = property(json!({"type": "string", "pattern": 5}));
    falls_back(&schema, &[("malformed", "/properties/a")]);

    let keywords = [
        "title",
        "description",
        "format",
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "uniqueItems",
        "required",
        "properties",
        "additionalProperties",
        "items",
        "prefixItems",
        "anyOf",
        "enum",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$comment",
        "$defs",
        "minProperties",
        "propertyNames",
        "contains",
        "dependentRequired",
        "patternProperties",
        "unevaluatedProperties",
        "const",
        "default",
        "$schema",
        "type",
    ];
    let values = [
        json!(null),
        json!(true),
        json!(5),
        json!(-1),
        json!(1.5),
        json!("x"),
        json!([]),
        json!([1]),
        json!(["a", "a"]),
        json!({}),
        json!({"a": 5}),
        json!({"type": 5}),
        json!({"a": {"type": "string"}}),
        json!([{"type": "string"}, 5]),
    ];
    let nodes = [
        json!({"type": "string"}),
        json!({"type": "integer"}),
        json!({"type": "null"}),
        json!({"type": "boolean"}),
        json!({"type": ["number", "null"]}),
        json!({"type": "array", "items": {"type": "string"}}),
        json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false}),
        json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ];
    let mut malformed = 0;
    for keyword in keywords {
        for value in &values {
            for node in &nodes {
                let mut node = node.clone();
                node[keyword] = value.clone();
                for schema in [
                    with(node.clone()),
                    with(json!({"type": "array", "items": node})),
                    with(json!({"anyOf": [node, {"type": "null"}]})),
                ] {
                    let is_fine = is_well_formed(&schema);
                    malformed += usize::from(!is_fine);
                    if !is_fine {
                        assert!(!refused(&schema).is_empty(), "{schema}");
                    }
                    if let Resolved::Strict { schema: after, .. } =
                        resolve(&schema, &Profile::default())
                    {
                        assert!(is_well_formed(&after), "{schema}\n{after}");
                    }
                    // Drafts before this one are for others to judge: what is
                    // mended is of this one.
                    let mended = mend(&schema, &Profile::default());
                    assert!(
                        mended.as_ref().is_some_and(is_well_formed),
                        "{schema} {mended:?}"
                    );
                }
            }
        }
    }
    assert!(malformed > 5_000, "{malformed}");
}

#[test]
fn row_88_additional_properties_that_no_value_satisfies() {
    for never in [
        json!({"not": {}}),
        json!({"not": true}),
        json!({"not": {}, "description": "d"}),
    ] {
        let mut schema = with(json!({"type": "string"}));
        schema["additionalProperties"] = never;
        assert_eq!(refused(&schema), context("()", E3));
        assert_eq!(resolved(&schema), with(json!({"type": "string"})));
    }
}
