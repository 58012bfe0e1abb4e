//! Rows 23 to 34: types, enums, arrays.

use serde_json::json;

use super::*;

#[test]
fn row_23_type_or_null() {
    accepted(&with(json!({"type": ["string", "null"]})));
}

#[test]
fn row_24_two_types() {
    accepted(&with(json!({"type": ["string", "integer"]})));
}

#[test]
fn row_25_object_or_null_nested() {
    let mut object = with(json!({"type": "string"}));
    object["type"] = json!(["object", "null"]);
    accepted(&with(object.clone()));
    object
        .as_object_mut()
        .unwrap()
        .remove("additionalProperties");
    let open = with(object);
    assert_eq!(refused(&open), at_a(E3));
    assert_eq!(
        resolved(&open)["properties"]["a"]["additionalProperties"],
        json!(false)
    );
}

#[test]
fn row_26_list_of_one_type() {
    let schema = with(json!({"type": ["string"]}));
    check_strict(&schema, &Profile::default(), TOOL).unwrap();
    becomes(json!({"type": ["string"]}), json!({"type": "string"}));
}

#[test]
fn row_27_openapi_nullable() {
    // Under strict: true the word is not heard.
    let schema = with(json!({"type": "string", "nullable": true}));
    check_strict(&schema, &Profile::default(), TOOL).unwrap();
    becomes(
        json!({"type": "string", "nullable": true}),
        json!({"type": ["string", "null"]}),
    );
    becomes(
        json!({"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": true}),
        json!({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}),
    );
    let leaf = json!({"Leaf": with(json!({"type": "string"}))});
    let reference = with_defs(
        json!({"$ref": "#/$defs/Leaf", "nullable": true}),
        leaf.clone(),
    );
    let wrapped = json!({"anyOf": [{"$ref": "#/$defs/Leaf"}, {"type": "null"}]});
    assert_eq!(resolved(&reference)["properties"]["a"], wrapped);
    // OpenAPI's usual way around siblings of $ref.
    let via = json!({"allOf": [{"$ref": "#/$defs/Leaf"}], "nullable": true});
    assert_eq!(resolved(&with_defs(via, leaf))["properties"]["a"], wrapped);
}

#[test]
fn row_28_null_in_type_but_not_in_enum() {
    accepted(&with(
        json!({"type": ["string", "null"], "enum": ["F", "C"]}),
    ));
}

#[test]
fn row_29_enum_value_of_another_type() {
    let schema = with(json!({"type": ["integer", "null"], "enum": ["0", "1"]}));
    assert_eq!(
        refused(&schema),
        "enum value 0 does not validate against {'type': ['integer', 'null']}."
    );
    falls_back(&schema, &[("enum_type_mismatch", "/properties/a")]);
    let null = with(json!({"type": "string", "enum": ["a", null]}));
    assert_eq!(
        refused(&null),
        "enum value None does not validate against {'type': 'string'}."
    );
    falls_back(&null, &[("enum_type_mismatch", "/properties/a")]);
    falls_back(
        &with(json!({"type": "integer", "const": "x"})),
        &[("enum_type_mismatch", "/properties/a")],
    );
    accepted(&with(json!({"type": "number", "enum": [1, 2.5]})));
    accepted(&with(json!({"type": "integer", "enum": [1, 2.0]})));
}

#[test]
fn row_30_enum_of_several_types() {
    for types in [
        json!({"enum": ["x", 1, null]}),
        json!({"type": ["string", "integer", "null"], "enum": ["x", 1, null]}),
    ] {
        let schema = with(types.clone());
        let message = refused(&schema);
        if types.get("type").is_some() {
            assert_eq!(message, "enum values must be of the same type.");
        } else {
            assert_eq!(message, at_a(E8));
        }
        becomes(
            types,
            json!({"anyOf": [
                {"type": "string", "enum": ["x"]},
                {"type": "integer", "enum": [1]},
                {"type": "null"},
            ]}),
        );
    }
    // Values that the type refuses, or other constraints: not split.
    falls_back(
        &with(json!({"type": "string", "enum": ["x", 1]})),
        &[("enum_mixed_types", "/properties/a")],
    );
    falls_back(
        &with(json!({"type": ["string", "integer"], "enum": ["x", 1], "minimum": 1})),
        &[("enum_mixed_types", "/properties/a")],
    );
}

#[test]
fn row_31_enum_of_arrays_and_objects() {
    let schema = with(json!({"enum": [{"x": 1}, ["y"]]}));
    let reasons = [
        ("untyped", "/properties/a"),
        ("enum_of_containers", "/properties/a"),
    ];
    falls_back(&schema, &reasons);
    let typed = with(json!({"type": "array", "items": {"type": "string"}, "const": ["y"]}));
    assert_eq!(
        refused(&typed),
        at_a("enum and const values must not be arrays or objects.")
    );
    falls_back(&typed, &[("enum_of_containers", "/properties/a")]);
    let mut profile = Profile::default();
    profile.choices.container_enums = true;
    accepted_by(&profile, &typed);
}

#[test]
fn row_32_array_without_items() {
    let schema = with(json!({"type": "array"}));
    assert_eq!(refused(&schema), at_a("array schema missing items."));
    falls_back(&schema, &[("array_without_items", "/properties/a")]);
}

#[test]
fn row_33_tuple() {
    let schema =
        with(json!({"type": "array", "items": [{"type": "string"}], "additionalItems": false}));
    assert_eq!(refused(&schema), not_permitted("additionalItems"));
    falls_back(
        &schema,
        &[
            ("keyword_not_permitted", "/properties/a"),
            ("tuple_items", "/properties/a/items"),
        ],
    );
    let bare = with(json!({"type": "array", "items": [{"type": "string"}]}));
    assert_eq!(
        refused(&bare),
        context(
            "('properties', 'a', 'items')",
            "[{'type': 'string'}] is not of type 'object', 'boolean'."
        )
    );
}

#[test]
fn row_34_prefix_items() {
    let schema = with(json!({"type": "array", "prefixItems": [{"type": "string"}]}));
    assert_eq!(refused(&schema), not_permitted("prefixItems"));
    falls_back(&schema, &[("keyword_not_permitted", "/properties/a")]);
    let mut profile = Profile::default();
    profile.permitted = profile.permitted.with("prefixItems");
    accepted_by(&profile, &schema);
}

#[test]
fn malformed_types_are_worded_as_a_metaschema_would() {
    let schema = with(json!({"type": "dict"}));
    assert_eq!(
        refused(&schema),
        at_a("'dict' is not valid under any of the given schemas.")
    );
    falls_back(&schema, &[("malformed", "/properties/a")]);
    let schema = with(json!("string"));
    assert_eq!(
        refused(&schema),
        at_a("'string' is not of type 'object', 'boolean'.")
    );
    let mut schema = with(json!({"type": "string"}));
    schema["required"] = json!(true);
    assert_eq!(
        refused(&schema),
        context("()", "True is not of type 'array'.")
    );
}
