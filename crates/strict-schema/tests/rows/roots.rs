//! Rows 14 to 17: what a root may be.

use serde_json::json;
use strict_schema::{Profile, Resolved, Where, check_root, resolve};

use super::*;

#[test]
fn row_14_combinator_at_the_root() {
    let message = "schema must have type 'object' and not have \
                   'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.";
    for (keyword, value) in [
        ("anyOf", json!([with(json!({"type": "string"}))])),
        ("oneOf", json!([with(json!({"type": "string"}))])),
        (
            "allOf",
            json!([with(json!({"type": "string"})), {"not": {}}]),
        ),
        ("enum", json!(["x"])),
        ("not", json!({})),
    ] {
        for typed in [true, false] {
            let mut schema = json!({keyword: value});
            if typed {
                schema["type"] = json!("object");
            }
            assert_eq!(refused(&schema), message);
            let Resolved::Fallback { reasons } = resolve(&schema, &Profile::default()) else {
                panic!("{schema} must fall back");
            };
            assert_eq!(reasons[0].code.as_str(), "root_combinator");
            let violation = check_root(&schema, TOOL).unwrap_err();
            assert!(violation.message.ends_with(message));
        }
    }
    // A format has no such text; its union is a keyword that is not permitted.
    let schema = json!({"type": "object", "anyOf": [with(json!({"type": "string"}))]});
    check_root(&schema, Where::ChatFormat { name: "n" }).unwrap();
}

#[test]
fn row_15_root_is_no_object() {
    for (schema, got) in [
        (
            json!({"type": "array", "items": {"type": "string"}}),
            "array",
        ),
        (json!({"type": "string"}), "string"),
        (json!(true), "None"),
        (json!([]), "None"),
    ] {
        let message =
            format!("schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{got}\"'.");
        assert_eq!(refused(&schema), message);
        falls_back(&schema, &[("root_not_object", "")]);
        let violation = check_root(&schema, TOOL).unwrap_err();
        assert_eq!(
            violation.message,
            format!("Invalid schema for function 'f': {message}")
        );
        let chat = Where::ChatFormat { name: "n" };
        let violation = check_root(&schema, chat).unwrap_err();
        assert_eq!(
            violation.message,
            format!("Invalid schema for response_format 'n': {message}")
        );
        assert_eq!(
            (violation.param.as_str(), violation.code),
            ("response_format", "invalid_json_schema")
        );
    }
}

#[test]
fn row_16_root_object_or_null() {
    let mut schema = with(json!({"type": "string"}));
    schema["type"] = json!(["object", "null"]);
    let message = "schema must be a JSON Schema of 'type: \"object\"', \
                   got 'type: \"['object', 'null']\"'.";
    assert_eq!(refused(&schema), message);
    falls_back(&schema, &[("root_not_object", "")]);
    assert!(check_root(&schema, TOOL).is_err());
}

#[test]
fn row_17_root_reference() {
    let schema = json!({
        "$ref": "#/$defs/Args",
        "$defs": {"Args": {"type": "object", "properties": {"a": {"$ref": "#/$defs/Leaf"}}},
                  "Leaf": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    });
    assert!(refused(&schema).starts_with("schema must be a JSON Schema of 'type: \"object\"'"));
    let after = resolved(&schema);
    assert_eq!(after["type"], json!("object"));
    assert_eq!(after["properties"]["a"], json!({"$ref": "#/$defs/Leaf"}));
    assert_eq!(after["$defs"]["Leaf"]["required"], json!(["n"]));
    assert_eq!(after["$defs"]["Args"]["required"], json!(["a"]));
    // Reasons are given at the places of the original.
    let mut open = schema;
    open["$defs"]["Args"]["properties"]["b"] = json!({});
    let reasons = [("untyped", "/$defs/Args/properties/b")];
    falls_back(&open, &reasons);
}
