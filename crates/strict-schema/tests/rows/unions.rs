//! Rows 38 to 48: unions, conjunctions, negation.

use serde_json::json;

use super::*;

fn open(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

#[test]
fn row_38_any_of_nested() {
    let closed = with(json!({"type": "string"}));
    accepted(&with(json!({"anyOf": [closed, {"type": "null"}]})));
    let schema = with(json!({"anyOf": [open(json!({"b": {"type": "string"}})), {"type": "null"}]}));
    assert_eq!(
        refused(&schema),
        context("('properties', 'a', 'anyOf', '0')", E3)
    );
    assert_eq!(
        resolved(&schema)["properties"]["a"]["anyOf"][0]["required"],
        json!(["b"])
    );
    let untyped = with(json!({"anyOf": [{"type": "string"}, {}]}));
    assert_eq!(
        refused(&untyped),
        context("('properties', 'a', 'anyOf', '1')", E8)
    );
    falls_back(&untyped, &[("untyped", "/properties/a/anyOf/1")]);
}

#[test]
fn row_39_any_of_inside_a_typed_wrapper() {
    let branch = with(json!({"type": "string"}));
    let schema = with(json!({"type": "object", "anyOf": [branch]}));
    assert_eq!(refused(&schema), at_a(E3));
    assert_eq!(
        resolved(&schema)["properties"]["a"],
        json!({"anyOf": [branch]})
    );
    // A branch that is wider than the wrapper: without the type it would grow.
    let wider = with(json!({"type": "object", "anyOf": [branch, {"type": "null"}]}));
    falls_back(&wider, &[("free_form_object", "/properties/a")]);
}

#[test]
fn row_40_any_of_beside_properties() {
    let mut object = with(json!({"type": "string"}));
    object["anyOf"] = json!([with(json!({"type": "string"}))]);
    let schema = with(object);
    assert_eq!(refused(&schema), not_permitted("anyOf"));
    falls_back(&schema, &[("keyword_not_permitted", "/properties/a")]);
}

#[test]
fn row_41_one_of_disjoint() {
    let by_type = json!({"oneOf": [{"type": "string"}, {"type": "integer"}]});
    assert_eq!(refused(&with(by_type.clone())), not_permitted("oneOf"));
    becomes(
        by_type,
        json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
    );
    let tagged = |tag: &str| {
        json!({"type": "object", "properties": {"kind": {"const": tag}, "n": {"type": "integer"}},
               "required": ["kind", "n"], "additionalProperties": false})
    };
    let schema = with(json!({"oneOf": [tagged("x"), tagged("y"), {"type": "null"}]}));
    let after = &resolved(&schema)["properties"]["a"]["anyOf"];
    assert_eq!(after.as_array().unwrap().len(), 3);
    // Through references, and with the branches' places told right.
    let schema = with_defs(
        json!({"oneOf": [{"$ref": "#/$defs/X"}, {"$ref": "#/$defs/Y"}]}),
        json!({"X": tagged("x"), "Y": tagged("y")}),
    );
    assert_eq!(
        resolved(&schema)["properties"]["a"]["anyOf"][1],
        json!({"$ref": "#/$defs/Y"})
    );
    let schema = with(json!({"oneOf": [{"type": "string"}, {"type": "array"}]}));
    falls_back(&schema, &[("array_without_items", "/properties/a/oneOf/1")]);
}

#[test]
fn row_42_one_of_overlapping() {
    let schema = with(json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}));
    assert_eq!(refused(&schema), not_permitted("oneOf"));
    falls_back(&schema, &[("keyword_not_permitted", "/properties/a")]);
    for branches in [
        json!([{"type": "string", "enum": ["x", "y"]}, {"type": "string", "enum": ["y"]}]),
        json!([{"type": "string", "enum": ["x"]}, {"type": "string", "minLength": 3}]),
        json!([
            open(json!({"b": {"type": "string"}})),
            open(json!({"c": {"type": "string"}}))
        ]),
        json!([{"type": "number", "enum": [1]}, {"type": "integer", "enum": [1.0]}]),
    ] {
        let schema = with(json!({"oneOf": branches}));
        falls_back(&schema, &[("keyword_not_permitted", "/properties/a")]);
    }
}

#[test]
fn row_43_discriminator() {
    let closed = with(json!({"type": "string"}));
    let schema = with(json!({
        "anyOf": [closed, {"type": "null"}],
        "discriminator": {"propertyName": "a"},
    }));
    check_strict(&schema, &Profile::default(), TOOL).unwrap();
    assert_eq!(
        resolved(&schema)["properties"]["a"],
        json!({"anyOf": [closed, {"type": "null"}]})
    );
}

#[test]
fn row_44_all_of_one_with_annotations() {
    let schema = json!({"allOf": [{"type": "string", "title": "T", "description": "inner"}], "description": "outer"});
    assert_eq!(refused(&with(schema.clone())), not_permitted("allOf"));
    becomes(
        schema,
        json!({"type": "string", "title": "T", "description": "outer"}),
    );
    let referring = with_defs(
        json!({"allOf": [{"$ref": "#/$defs/Leaf"}], "description": "outer", "default": null}),
        json!({"Leaf": with(json!({"type": "string"}))}),
    );
    assert_eq!(
        resolved(&referring)["properties"]["a"],
        json!({"anyOf": [{"$ref": "#/$defs/Leaf"}], "description": "outer"})
    );
    let places = with(json!({"allOf": [{"type": "array"}]}));
    falls_back(&places, &[("array_without_items", "/properties/a")]);
    let places = with(json!({"allOf": [{"type": "array", "items": {}}]}));
    falls_back(&places, &[("untyped", "/properties/a/allOf/0/items")]);
}

#[test]
fn row_45_all_of_one_with_constraints() {
    let schema =
        json!({"allOf": [{"type": "string", "maxLength": 9}], "type": "string", "maxLength": 5});
    assert_eq!(refused(&with(schema.clone())), not_permitted("allOf"));
    becomes(schema, json!({"type": "string", "maxLength": 5}));
    let patterns = with(json!({"allOf": [{"type": "string", "pattern": "^a"}], "pattern": "b$"}));
    falls_back(&patterns, &[("keyword_not_permitted", "/properties/a")]);
}

#[test]
fn row_46_all_of_objects() {
    let schema = with_defs(
        json!({"allOf": [
            {"$ref": "#/$defs/Base"},
            open(json!({"own": {"type": "integer", "minimum": 1}, "id": {"type": "string", "minLength": 1}})),
        ]}),
        json!({"Base": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}}),
    );
    assert_eq!(refused(&schema), not_permitted("allOf"));
    let after = &resolved(&schema)["properties"]["a"];
    assert_eq!(after["required"], json!(["id", "own"]));
    assert_eq!(
        after["properties"]["id"],
        json!({"type": "string", "minLength": 1})
    );
    // A closed part refuses what the other adds.
    let closed = with(json!({"allOf": [
        {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": false},
        open(json!({"x": {"type": "string"}, "y": {"type": "string"}})),
    ]}));
    let after = &resolved(&closed)["properties"]["a"];
    assert_eq!(after["properties"], json!({"x": {"type": "string"}}));
    // Merged into the node's own properties, in the order they are written.
    let beside = with(json!({
        "type": "object",
        "properties": {"first": {"type": "string"}},
        "allOf": [open(json!({"second": {}}))],
    }));
    falls_back(
        &beside,
        &[("untyped", "/properties/a/allOf/0/properties/second")],
    );
}

#[test]
fn row_47_all_of_without_an_exact_merge() {
    for parts in [
        json!([{"type": "string", "pattern": "a"}, {"pattern": "b"}]),
        json!([{"type": "string"}, {"type": "integer"}]),
        json!([{"type": "string"}, false]),
        json!([{"type": "integer", "multipleOf": 2}, {"multipleOf": 3}]),
        json!([{"anyOf": [{"type": "string"}]}, {"anyOf": [{"type": "null"}]}]),
        json!([
            {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": false},
            {"type": "object", "properties": {"y": {"type": "string"}}, "required": ["y"]},
        ]),
    ] {
        let schema = with(json!({"allOf": parts}));
        assert_eq!(refused(&schema), not_permitted("allOf"));
        falls_back(&schema, &[("keyword_not_permitted", "/properties/a")]);
    }
}

#[test]
fn row_48_not() {
    let schema = with(json!({"type": "string", "not": {"const": "x"}}));
    assert_eq!(refused(&schema), "Unsupported keywords ('not',)");
    falls_back(&schema, &[("keyword_not_permitted", "/properties/a")]);
}
