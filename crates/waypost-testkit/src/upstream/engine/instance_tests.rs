//! Instances, judged by a real validator.

use serde_json::{Value, json};

use super::instance::Maker;

/// Schemas as tools have them, and the instance that is expected where it is telling.
fn schemas() -> Vec<(Value, Option<&'static str>)> {
    let node = json!({"$defs": {"node": {"type": "object", "properties": {
            "value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
        "required": ["value", "next"], "additionalProperties": false}}, "$ref": "#/$defs/node"});
    vec![
        (json!({"type": "object"}), Some("{}")),
        (
            json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "number"},
                "left": {"type": "boolean"}}, "required": ["a", "z"]}),
            Some(r#"{"z":"z","a":1}"#),
        ),
        (node, Some(r#"{"value":1,"next":null}"#)),
        (json!({"type": "integer", "exclusiveMinimum": 4, "multipleOf": 5}), Some("5")),
        (json!({"type": "number", "minimum": 0.1, "maximum": 0.2}), None),
        (json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.1}), None),
        (json!({"type": "integer", "maximum": -3}), Some("-3")),
        (json!({"type": "number", "multipleOf": 0.25, "minimum": 0.3}), Some("0.5")),
        (json!({"type": "string", "minLength": 9, "maxLength": 12}), Some(r#""valuexxxx""#)),
        (json!({"type": "string", "maxLength": 2}), Some(r#""va""#)),
        (json!({"type": "string", "pattern": "^[A-Z]{2}\\d*$", "minLength": 6}), None),
        (json!({"enum": ["x", 2, null]}), Some(r#""x""#)),
        (json!({"const": {"a": [1]}}), Some(r#"{"a":[1]}"#)),
        (json!({"type": ["string", "null"], "enum": ["F", "C"]}), Some(r#""F""#)),
        (json!({"type": ["null", "string"]}), Some("null")),
        (json!({"properties": {"a": {"const": 1}}, "required": ["a"]}), Some(r#"{"a":1}"#)),
        (json!({"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": true}), Some("[1,2,3]")),
        (json!({"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "uniqueItems": true}), Some(r#"["a","b"]"#)),
        (json!({"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}], "minItems": 3,
            "items": {"type": "boolean"}}), Some(r#"["value",null,true]"#)),
        (json!({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2}), Some(r#"{"key0":1,"key1":1}"#)),
        (json!({"allOf": [{"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]},
            {"properties": {"b": {"type": "null"}}, "required": ["b"]}]}), Some(r#"{"a":null,"b":null}"#)),
        (json!({"oneOf": [{"type": "object", "properties": {"kind": {"const": "x"}}, "required": ["kind"]},
            {"type": "null"}]}), Some(r#"{"kind":"x"}"#)),
        (json!({"anyOf": [false, {"type": "null"}]}), Some("null")),
        (json!({"type": "object", "required": ["free"]}), Some(r#"{"free":null}"#)),
    ]
    .into_iter()
    .chain(["date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"]
        .map(|format| (json!({"type": "string", "format": format}), None)))
    .collect()
}

#[test]
fn instances_are_valid_and_minimal() {
    for (schema, expected) in schemas() {
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        for optional in [false, true] {
            let made = Maker::new(&schema, 0, optional, false).make().unwrap();
            assert!(validator.is_valid(&made), "{schema}: {made}");
            if let (false, Some(expected)) = (optional, expected) {
                assert_eq!(made.to_string(), expected, "{schema}");
            }
        }
    }
}

#[test]
fn branch_and_optional_choose_another_instance() {
    let union = json!({"type": "object", "properties": {"do": {"anyOf": [
        {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]},
        {"type": "object", "properties": {"call": {"anyOf": [{"const": 1}, {"const": 2}]}},
            "required": ["call"]}]}, "more": {"type": "integer"}}, "required": ["do"]});
    let made = |branch, optional| {
        Maker::new(&union, branch, optional, false)
            .make()
            .unwrap()
            .to_string()
    };
    assert_eq!(made(0, false), r#"{"do":{"answer":"answer"}}"#);
    assert_eq!(made(1, false), r#"{"do":{"call":1}}"#);
    assert_eq!(made(0, true), r#"{"do":{"answer":"answer"},"more":1}"#);
}

#[test]
fn what_no_value_fits_is_an_error() {
    let endless =
        json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]});
    for schema in [
        json!(false),
        json!({"enum": []}),
        json!({"type": "integer", "minimum": 2, "maximum": 1}),
        json!({"$ref": "#/$defs/missing"}),
        endless,
    ] {
        Maker::new(&schema, 0, false, false).make().unwrap_err();
    }
}
