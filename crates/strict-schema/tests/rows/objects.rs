//! Rows 1 to 22: objects, roots, and what has no type. Rows 81 to 83.

use serde_json::{Value, json};
use strict_schema::{
    Level, Profile, Resolved, Restore, Where, check_root, empty_parameters, resolve,
};

use super::*;

#[test]
fn row_01_closed_object_all_required() {
    let schema = with(json!({"type": "string"}));
    accepted(&schema);
    assert!(resolution(&Profile::default(), &schema).1.is_empty());
}

#[test]
fn row_02_additional_properties_absent() {
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    assert_eq!(refused(&schema), context("()", E3));
    let (after, changes) = resolution(&Profile::default(), &schema);
    assert_eq!(after["additionalProperties"], json!(false));
    assert_eq!(
        (changes[0].level, changes[0].code.as_str()),
        (Level::A, "object_closed")
    );
    // Nested, with the path of the place.
    let nested = with(json!({"type": "array", "items": schema}));
    assert_eq!(
        refused(&nested),
        context("('properties', 'a', 'items')", E3)
    );
    assert_eq!(resolved(&nested)["properties"]["a"]["items"], after);
}

#[test]
fn row_03_optional_nullable_property() {
    let mut schema = with(json!({"type": ["string", "null"]}));
    schema["required"] = json!([]);
    assert_eq!(
        refused(&schema),
        context("()", &format!("{E4} Missing 'a'."))
    );
    let (after, changes) = resolution(&Profile::default(), &schema);
    assert_eq!(after, with(json!({"type": ["string", "null"]})));
    assert_eq!(changes[0].code.as_str(), "property_required");
    assert_eq!(changes[0].pointer, "/properties/a");
}

#[test]
fn row_04_optional_property_that_may_not_be_null() {
    let mut schema = with(json!({"type": "string"}));
    schema.as_object_mut().unwrap().remove("required");
    assert_eq!(
        refused(&schema),
        context("()", &format!("{E4} Missing 'a'."))
    );
    let (after, changes) = resolution(&Profile::default(), &schema);
    assert_eq!(after, with(json!({"type": "string"})));
    assert_eq!(changes[0].code.as_str(), "optional_made_mandatory");

    let mut profile = Profile::default();
    profile.rewrites.nullable_optionals = true;
    let Resolved::Strict {
        schema: after,
        restore,
        changes,
    } = resolve(&schema, &profile)
    else {
        panic!("level C resolves it");
    };
    assert_eq!(
        after,
        with(json!({"anyOf": [{"type": "string"}, {"type": "null"}]}))
    );
    assert_eq!(
        (changes[0].level, changes[0].pointer.as_str()),
        (Level::C, "/properties/a")
    );
    let restored = |mut arguments: Value| {
        restore.apply(&mut arguments);
        arguments
    };
    assert_eq!(restored(json!({"a": null})), json!({}));
    assert_eq!(restored(json!({"a": "x"})), json!({"a": "x"}));
    // It is kept with the response, as JSON.
    let stored = serde_json::to_string(&restore).unwrap();
    assert_eq!(serde_json::from_str::<Restore>(&stored).unwrap(), restore);
}

#[test]
fn row_05_empty_properties_and_no_required() {
    let schema = json!({"type": "object", "properties": {}});
    assert_eq!(refused(&schema), context("()", E3));
    let closed = json!({"type": "object", "properties": {}, "additionalProperties": false});
    assert_eq!(refused(&closed), context("()", E4));
    assert_eq!(resolved(&schema), empty_parameters());
}

#[test]
fn row_06_object_without_properties_as_root() {
    let schema = json!({"type": "object", "description": "Nothing to say."});
    assert_eq!(
        refused(&schema),
        context("()", "object schema missing properties.")
    );
    let mut expected = empty_parameters();
    expected["description"] = json!("Nothing to say.");
    assert_eq!(resolved(&schema), expected);

    let mut profile = Profile::default();
    profile.choices.bare_root_is_closed = false;
    falls_back_by(
        &profile,
        &json!({"type": "object"}),
        &[("free_form_object", ""), ("open_object", "")],
    );
}

#[test]
fn row_07_object_without_properties_nested() {
    let schema = with(json!({"type": "object"}));
    let extra = format!("{E4} Extra required key 'a' supplied.");
    assert_eq!(refused(&schema), context("()", &extra));
    falls_back(&schema, &[("free_form_object", "/properties/a")]);
    // As the items of an array there is nobody to require it.
    let items = with(json!({"type": "array", "items": {"type": "object"}}));
    assert_eq!(refused(&items), context("('properties', 'a', 'items')", E3));
    falls_back(&items, &[("free_form_object", "/properties/a/items")]);
}

#[test]
fn row_08_missing_parameters() {
    accepted(&empty_parameters());
}

#[test]
fn row_09_empty_schema_as_root() {
    let schema = json!({});
    let message = "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'.";
    assert_eq!(refused(&schema), message);
    falls_back(&schema, &[("root_not_object", "")]);
    assert_eq!(
        check_root(&schema, TOOL).unwrap_err().message,
        format!("Invalid schema for function 'f': {message}")
    );

    let mut profile = Profile::default();
    profile.choices.empty_root_is_an_object = true;
    assert_eq!(resolved_by(&profile, &schema), empty_parameters());
}

#[test]
fn row_10_additional_properties_true() {
    let mut schema = with(json!({"type": "string"}));
    schema["additionalProperties"] = json!(true);
    assert_eq!(refused(&schema), context("()", E3));
    falls_back(&schema, &[("open_object", "")]);
}

#[test]
fn row_11_map() {
    let map = json!({"type": "object", "additionalProperties": {"type": "integer"}});
    let schema = with(map);
    assert_eq!(
        refused(&schema),
        context("()", &format!("{E4} Extra required key 'a' supplied."))
    );
    falls_back(&schema, &[("map_object", "/properties/a")]);
    falls_back(
        &with(json!({"type": "object", "properties": {}, "additionalProperties": {}})),
        &[("map_object", "/properties/a")],
    );

    let mut profile = Profile::default();
    profile.rewrites.maps_to_arrays = true;
    let Resolved::Strict {
        schema: after,
        restore,
        ..
    } = resolve(&schema, &profile)
    else {
        panic!("level C resolves it");
    };
    assert_eq!(after["properties"]["a"]["type"], json!("array"));
    let mut arguments = json!({"a": [{"key": "x", "value": 1}, {"key": "y", "value": 2}]});
    restore.apply(&mut arguments);
    assert_eq!(arguments, json!({"a": {"x": 1, "y": 2}}));
}

#[test]
fn row_12_closed_object_without_properties() {
    let root = json!({"type": "object", "additionalProperties": false});
    assert_eq!(
        refused(&root),
        context("()", "object schema missing properties.")
    );
    assert_eq!(resolved(&root).as_object().unwrap().len(), 4);
    let nested = with(root);
    assert_eq!(
        refused(&nested),
        context("()", &format!("{E4} Extra required key 'a' supplied."))
    );
    assert_eq!(resolved(&nested)["properties"]["a"]["required"], json!([]));
}

#[test]
fn row_13_required_key_without_property() {
    let mut schema = with(json!({"type": "string"}));
    schema["required"] = json!(["a", "b"]);
    assert_eq!(
        refused(&schema),
        context("()", &format!("{E4} Extra required key 'b' supplied."))
    );
    falls_back(&schema, &[("undeclared_required", "")]);
    // Others that are missing are no reason: they would have been added.
    schema["required"] = json!(["b"]);
    falls_back(&schema, &[("undeclared_required", "")]);
}

#[test]
fn row_18_properties_without_a_type() {
    let untyped = json!({"properties": {"b": {"type": "string"}}});
    let schema = with(untyped.clone());
    assert_eq!(refused(&schema), at_a(E8));
    let after = &resolved(&schema)["properties"]["a"];
    assert_eq!(after["type"], json!("object"));
    assert_eq!(after["required"], json!(["b"]));
    // The same at the root.
    assert_eq!(resolved(&untyped)["type"], json!("object"));
    assert!(refused(&untyped).contains("got 'type: \"None\"'"));
}

#[test]
fn row_19_enum_without_a_type() {
    assert_eq!(refused(&with(json!({"enum": ["x", "y"]}))), at_a(E8));
    becomes(
        json!({"enum": ["x", "y"]}),
        json!({"type": "string", "enum": ["x", "y"]}),
    );
    becomes(
        json!({"enum": [1, 2]}),
        json!({"type": "integer", "enum": [1, 2]}),
    );
    becomes(
        json!({"enum": [1, 2.5]}),
        json!({"type": "number", "enum": [1, 2.5]}),
    );
    becomes(
        json!({"enum": ["x", null]}),
        json!({"type": ["null", "string"], "enum": ["x", null]}),
    );
}

#[test]
fn row_20_const_without_a_type() {
    assert_eq!(refused(&with(json!({"const": "x"}))), at_a(E8));
    becomes(
        json!({"const": "x"}),
        json!({"type": "string", "const": "x"}),
    );
    becomes(
        json!({"const": true}),
        json!({"type": "boolean", "const": true}),
    );
    becomes(
        json!({"const": null}),
        json!({"type": "null", "const": null}),
    );
}

#[test]
fn row_21_anything() {
    let extra = context("()", &format!("{E4} Extra required key 'a' supplied."));
    assert_eq!(refused(&with(json!({}))), extra);
    assert_eq!(refused(&with(json!(true))), extra);
    falls_back(&with(json!({})), &[("untyped", "/properties/a")]);
    falls_back(&with(json!(true)), &[("boolean_schema", "/properties/a")]);
    let described = with(json!({"description": "anything"}));
    assert_eq!(refused(&described), at_a(E8));
    falls_back(&described, &[("untyped", "/properties/a")]);
}

#[test]
fn row_22_false() {
    let schema = with(json!({"type": "array", "items": false}));
    assert_eq!(
        refused(&schema),
        context("('properties', 'a', 'items')", E3)
    );
    falls_back(&schema, &[("boolean_schema", "/properties/a/items")]);
}

#[test]
fn row_81_duplicate_keys() {
    let text = br#"{"type": "object", "type": "array"}"#;
    let error = strict_schema::parse(text, &strict_schema::Limits::default()).unwrap_err();
    assert_eq!(error.pointer, "/type");
}

#[test]
fn row_82_vendor_keyword() {
    let schema = with(json!({"type": "string", "x-order": 1}));
    accepted(&schema);
    let profile = Profile {
        unknown_keywords: false,
        ..Profile::default()
    };
    assert_eq!(refused_by(&profile, &schema), not_permitted("x-order"));
}

#[test]
fn row_83_keywords_as_property_names() {
    let names = [
        "$ref",
        "__proto__",
        "",
        "type",
        "enum",
        "anyOf",
        "not",
        "$defs",
        "it's",
        "~/",
    ];
    let mut properties = serde_json::Map::new();
    for name in names {
        properties.insert(name.into(), json!({"type": "string"}));
    }
    let open = json!({"type": "object", "properties": properties});
    let after = resolved(&open);
    accepted(&after);
    assert_eq!(after["required"], json!(names));
    // One of them wrong: the path names it as a property.
    let mut wrong = after;
    wrong["properties"]["it's"] = json!({"type": "array"});
    assert_eq!(
        refused(&wrong),
        context(r#"('properties', "it's")"#, "array schema missing items.")
    );
}

#[test]
fn levels_of_wording_per_place() {
    let schema = json!({"type": "object", "properties": {}});
    for (at, prefix, param, code) in [
        (
            Where::ResponsesNamespaceTool {
                index: 2,
                inner: 1,
                name: "g",
            },
            "Invalid schema for function 'g': ",
            "tools[2].tools[1].parameters",
            "invalid_function_parameters",
        ),
        (
            Where::ChatTool {
                index: 3,
                name: "g",
            },
            "Invalid schema for function 'g': ",
            "tools[3].function.parameters",
            "invalid_function_parameters",
        ),
        (
            Where::ResponsesFormat { name: "g" },
            "Invalid schema for response_format 'g': ",
            "text.format.schema",
            "invalid_json_schema",
        ),
        (
            Where::ChatFormat { name: "g" },
            "Invalid schema for response_format 'g': ",
            "response_format",
            "invalid_json_schema",
        ),
    ] {
        let violations = check_strict(&schema, &Profile::default(), at).unwrap_err();
        assert_eq!(violations.len(), 2);
        assert_eq!(
            violations[0].message,
            format!("{prefix}{}", context("()", E3))
        );
        assert_eq!(
            violations[1].message,
            format!("{prefix}{}", context("()", E4))
        );
        assert_eq!(
            (violations[0].param.as_str(), violations[0].code),
            (param, code)
        );
    }
}
