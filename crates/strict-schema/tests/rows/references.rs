//! Rows 67 to 75: references and definitions.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn leaf() -> Value {
    with(json!({"type": "string"}))
}

#[test]
fn row_67_identifiers_inside() {
    for (keyword, value) in [
        ("$id", json!("https://example.com/inner")),
        ("$anchor", json!("here")),
        ("$dynamicAnchor", json!("here")),
    ] {
        let mut inner = leaf();
        inner[keyword] = value;
        let schema = with(inner);
        assert_eq!(refused(&schema), not_permitted(keyword));
        falls_back(&schema, &[("keyword_not_permitted", "/properties/a")]);
    }
    for keyword in ["$dynamicRef", "$recursiveRef"] {
        let schema = with(json!({keyword: "#"}));
        assert_eq!(refused(&schema), not_permitted(keyword));
        falls_back(&schema, &[("keyword_not_permitted", "/properties/a")]);
    }
}

#[test]
fn row_68_reference_to_a_definition() {
    accepted(&with_defs(
        json!({"$ref": "#/$defs/Leaf"}),
        json!({"Leaf": leaf()}),
    ));
    let mut older = with(json!({"$ref": "#/definitions/a~1b%20c"}));
    older["definitions"] = json!({"a/b c": leaf()});
    accepted(&older);
    let mut open = leaf();
    open.as_object_mut().unwrap().remove("additionalProperties");
    let schema = with_defs(json!({"$ref": "#/$defs/Leaf"}), json!({"Leaf": open}));
    assert_eq!(refused(&schema), context("('$defs', 'Leaf')", E3));
    assert_eq!(
        resolved(&schema)["$defs"]["Leaf"]["additionalProperties"],
        json!(false)
    );
}

#[test]
fn row_69_recursion() {
    accepted(&with(json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]})));
}

#[test]
fn row_70_reference_with_annotations() {
    let schema = with_defs(
        json!({"$ref": "#/$defs/Leaf", "description": "D", "default": 1}),
        json!({"Leaf": leaf()}),
    );
    assert_eq!(
        refused(&schema),
        at_a("$ref cannot have keywords {'description', 'default'}.")
    );
    let after = resolved(&schema);
    assert_eq!(
        after["properties"]["a"].to_string(),
        r##"{"anyOf":[{"$ref":"#/$defs/Leaf"}],"description":"D","default":1}"##
    );
}

#[test]
fn row_71_reference_with_constraints() {
    let schema = with_defs(
        json!({"$ref": "#/$defs/Leaf", "minLength": 3}),
        json!({"Leaf": leaf()}),
    );
    assert_eq!(
        refused(&schema),
        at_a("$ref cannot have keywords {'minLength'}.")
    );
    falls_back(&schema, &[("ref_with_siblings", "/properties/a")]);
}

#[test]
fn row_72_reference_to_a_property() {
    let mut schema = with(leaf());
    schema["properties"]["b"] = json!({"$ref": "#/properties/a"});
    schema["properties"]["c"] =
        json!({"type": "array", "items": {"$ref": "#/properties/a/properties/a"}});
    schema["required"] = json!(["a", "b", "c"]);
    let message = "reference can only point to definitions defined at the top level of the schema.";
    assert_eq!(refused(&schema), context("('properties', 'b')", message));
    let after = resolved(&schema);
    assert_eq!(after["properties"]["a"], json!({"$ref": "#/$defs/a_2"}));
    assert_eq!(after["properties"]["b"], json!({"$ref": "#/$defs/a_2"}));
    assert_eq!(
        after["properties"]["c"]["items"],
        json!({"$ref": "#/$defs/a"})
    );
    assert_eq!(
        after["$defs"]["a_2"]["properties"]["a"],
        json!({"$ref": "#/$defs/a"})
    );
    assert_eq!(after["$defs"]["a"], json!({"type": "string"}));
    // Nothing there, or nothing that is a schema.
    for nowhere in ["#/properties/z", "#/properties", "#/required/0"] {
        let schema = with(json!({"$ref": nowhere}));
        assert_eq!(refused(&schema), at_a(message));
        falls_back(&schema, &[("ref_not_definition", "/properties/a")]);
    }
    // Reasons are told at the old places.
    schema["properties"]["a"]["properties"]["a"] = json!({"type": "array"});
    falls_back(
        &schema,
        &[("array_without_items", "/properties/a/properties/a")],
    );
}

#[test]
fn row_73_nested_definitions() {
    let nested = |reference: &str| {
        let mut inner = with(json!({"$ref": reference}));
        inner["$defs"] = json!({"X": leaf()});
        with(inner)
    };
    let full = nested("#/properties/a/$defs/X");
    assert!(refused(&full).ends_with("definitions defined at the top level of the schema."));
    // As MCP servers embed schemas: right where it was made, dangling where it is.
    let dangling = nested("#/$defs/X");
    assert_eq!(
        refused(&dangling),
        context(
            "('properties', 'a', 'properties', 'a')",
            "reference to component '#/$defs/X' which was not found in the schema."
        )
    );
    for schema in [full, dangling] {
        let after = resolved(&schema);
        assert_eq!(after["$defs"], json!({"X": leaf()}));
        assert_eq!(
            after["properties"]["a"]["properties"]["a"],
            json!({"$ref": "#/$defs/X"})
        );
        assert_eq!(after["properties"]["a"].get("$defs"), None);
    }
    // Two different ones of one name: nobody knows which was meant.
    let mut two = nested("#/$defs/X");
    two["properties"]["b"] = with(json!({"type": "string"}));
    two["properties"]["b"]["$defs"] = json!({"X": with(json!({"type": "integer"}))});
    two["required"] = json!(["a", "b"]);
    falls_back(&two, &[("ref_not_found", "/properties/a/properties/a")]);
    two["properties"]["a"]["properties"]["a"] = json!({"$ref": "#/properties/b/$defs/X"});
    let after = resolved(&two);
    assert_eq!(
        after["properties"]["a"]["properties"]["a"],
        json!({"$ref": "#/$defs/X_3"})
    );
    assert_eq!(after["$defs"]["X_3"], with(json!({"type": "integer"})));
}

#[test]
fn row_74_dangling_and_external_references() {
    for reference in [
        "#/$defs/X",
        "https://example.com/x.json",
        "other.json#/$defs/X",
        "#anchor",
    ] {
        let schema = with(json!({"$ref": reference}));
        let message =
            format!("reference to component '{reference}' which was not found in the schema.");
        assert_eq!(refused(&schema), at_a(&message));
        falls_back(&schema, &[("ref_not_found", "/properties/a")]);
    }
}

#[test]
fn row_75_references_in_a_circle() {
    let schema = with_defs(
        json!({"$ref": "#/$defs/A"}),
        json!({"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}),
    );
    assert_eq!(
        refused(&schema),
        at_a("reference to '#/$defs/A' only leads back to itself.")
    );
    falls_back(
        &schema,
        &[
            ("ref_cycle", "/properties/a"),
            ("ref_cycle", "/$defs/A"),
            ("ref_cycle", "/$defs/B"),
        ],
    );
    let root = json!({"$ref": "#"});
    falls_back(&root, &[("root_not_object", ""), ("ref_cycle", "")]);
    let through_all_of = with_defs(
        json!({"$ref": "#/$defs/A"}),
        json!({"A": {"allOf": [{"$ref": "#/$defs/A"}, {"type": "string"}]}}),
    );
    assert_eq!(
        resolved(&through_all_of)["$defs"]["A"],
        json!({"type": "string"})
    );
}

/// Each definition uses the next one twice: written out, 2³⁰ nodes.
fn bomb(keyword: &str) -> Value {
    let mut definitions = serde_json::Map::new();
    for level in 0..30 {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        let branches = json!([next, {"type": "object", "properties": {"n": next}}]);
        definitions.insert(format!("d{level}"), json!({keyword: branches}));
    }
    definitions.insert("d30".into(), json!({"type": "object", "properties": {}}));
    with_defs(
        json!({keyword: [{"$ref": "#/$defs/d0"}, {"$ref": "#/$defs/d0"}]}),
        definitions.into(),
    )
}

#[test]
fn reference_bombs_are_answered_at_once() {
    for keyword in ["anyOf", "oneOf", "allOf"] {
        let schema = bomb(keyword);
        let fastest = (0..5)
            .map(|_| {
                let started = Instant::now();
                let _ = resolve(&schema, &Profile::default());
                let _ = check_strict(&schema, &Profile::default(), TOOL);
                started.elapsed()
            })
            .min()
            .expect("five runs");
        // 5 ms in release on a quiet machine; a debug build on a busy one gets the
        // slack. Written out, the bomb would take hours.
        let bound = if cfg!(debug_assertions) { 2_000 } else { 5 };
        assert!(
            fastest < Duration::from_millis(bound),
            "{keyword}: {fastest:?}"
        );
    }
}
