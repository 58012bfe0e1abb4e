//! The decision table for tool schemas, row by row: what `strict: true` answers,
//! and what becomes of the schema when `strict` is omitted.
//!
//! Rows that the server decides, and not this crate:
//! 8 (missing parameters: [`strict_schema::empty_parameters`]), 16 and 14-15 for
//! `strict: false` ([`strict_schema::check_root`], called by the server), 84 (Chat
//! Completions does not resolve), 85 (`strict: false` is echoed), 86 (`null` is
//! read as omitted).

mod constraints;
mod limits;
mod objects;
mod references;
mod roots;
mod types;
mod unions;

use serde_json::{Value, json};
use strict_schema::{Change, Profile, Resolved, Where, check_strict, resolve};

pub const TOOL: Where<'_> = Where::ResponsesTool {
    index: 0,
    name: "f",
};

/// A strict schema whose only property is `a`.
pub fn with(a: Value) -> Value {
    json!({
        "type": "object",
        "properties": {"a": a},
        "required": ["a"],
        "additionalProperties": false,
    })
}

/// The same with definitions.
pub fn with_defs(a: Value, defs: Value) -> Value {
    let mut schema = with(a);
    schema["$defs"] = defs;
    schema
}

/// The text of the first violation under `strict: true`, without its prefix.
pub fn refused(schema: &Value) -> String {
    refused_by(&Profile::default(), schema)
}

pub fn refused_by(profile: &Profile, schema: &Value) -> String {
    let violations = check_strict(schema, profile, TOOL).expect_err("must be refused");
    let first = &violations[0];
    assert_eq!(first.param, "tools[0].parameters");
    assert_eq!(first.code, "invalid_function_parameters");
    let prefix = "Invalid schema for function 'f': ";
    first.message.strip_prefix(prefix).expect(prefix).to_owned()
}

/// `strict: true` takes it.
pub fn accepted(schema: &Value) {
    accepted_by(&Profile::default(), schema);
}

pub fn accepted_by(profile: &Profile, schema: &Value) {
    if let Err(violations) = check_strict(schema, profile, TOOL) {
        panic!("{schema} is refused: {violations:#?}");
    }
    // What is strict already stays as it is.
    assert_eq!(resolved_by(profile, schema), *schema);
}

pub fn resolution(profile: &Profile, schema: &Value) -> (Value, Vec<Change>) {
    match resolve(schema, profile) {
        Resolved::Strict {
            schema,
            restore,
            changes,
        } => {
            let loose = profile.rewrites.nullable_optionals || profile.rewrites.maps_to_arrays;
            assert!(loose || restore.is_empty());
            check_strict(&schema, profile, TOOL).expect("a resolved schema is strict");
            let Resolved::Strict {
                schema: again,
                changes: none,
                ..
            } = resolve(&schema, profile)
            else {
                panic!("{schema} does not resolve again");
            };
            assert_eq!(again.to_string(), schema.to_string(), "resolving twice");
            assert_eq!(none, [], "resolving twice");
            (schema, changes)
        }
        Resolved::Fallback { reasons } => panic!("{schema} falls back: {reasons:#?}"),
    }
}

/// What it resolves to when `strict` is omitted.
pub fn resolved(schema: &Value) -> Value {
    resolved_by(&Profile::default(), schema)
}

pub fn resolved_by(profile: &Profile, schema: &Value) -> Value {
    resolution(profile, schema).0
}

/// Omitted: property `a` of a closed object resolves from `before` to `after`.
pub fn becomes(before: Value, after: Value) {
    let schema = resolved(&with(before));
    assert_eq!(schema["properties"]["a"].to_string(), after.to_string());
}

/// Omitted: it falls back, for these reasons at these places.
pub fn falls_back(schema: &Value, expected: &[(&str, &str)]) {
    falls_back_by(&Profile::default(), schema, expected);
}

pub fn falls_back_by(profile: &Profile, schema: &Value, expected: &[(&str, &str)]) {
    let Resolved::Fallback { reasons } = resolve(schema, profile) else {
        panic!("{schema} must fall back");
    };
    let found: Vec<_> = reasons
        .iter()
        .map(|r| (r.code.as_str(), r.pointer.as_str()))
        .collect();
    assert_eq!(found, expected, "{schema}");
    for reason in &reasons {
        assert!(
            reason.message.ends_with('.') && reason.message.len() > 20,
            "{reason:?}"
        );
        assert!(
            schema.pointer(&reason.pointer).is_some(),
            "{reason:?} is not in {schema}"
        );
    }
}

pub const E3: &str = "'additionalProperties' is required to be supplied and to be false.";
pub const E4: &str =
    "'required' is required to be supplied and to be an array including every key in properties.";
pub const E8: &str = "schema must have a 'type' key.";

pub fn context(path: &str, tail: &str) -> String {
    format!("In context={path}, {tail}")
}

/// The tail in the context of property `a`.
pub fn at_a(tail: &str) -> String {
    context("('properties', 'a')", tail)
}

pub fn not_permitted(keyword: &str) -> String {
    at_a(&format!("'{keyword}' is not permitted."))
}
