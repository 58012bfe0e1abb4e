//! Schemas made to be slow: every entry point answers quickly, whatever it answers.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use strict_schema::{
    Automaton, Dialect, Profile, Resolved, Validator, Where, check_strict, downlevel, repair,
    resolve,
};

/// A hang takes longer; a debug build on a busy machine does not.
const QUICK: Duration = Duration::from_secs(20);

fn chain(branches: &Value, end: Value) -> Value {
    let mut definitions = Map::new();
    definitions.insert("d28".into(), end);
    for index in 0..28 {
        let next = format!("#/$defs/d{}", index + 1);
        let text = branches.to_string().replace("NEXT", &next);
        let definition = serde_json::from_str(&text).expect("JSON");
        definitions.insert(format!("d{index}"), definition);
    }
    json!({
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/d0"}},
        "required": ["a"],
        "additionalProperties": false,
        "$defs": definitions
    })
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!({}), |below, _| json!({"a": below}))
}

/// Schemas that branch, each with a value that makes it branch.
fn bombs() -> Vec<(Value, Value)> {
    let next = json!({"$ref": "NEXT"});
    let mut bombs: Vec<_> = [
        json!({"allOf": [next, next]}),
        json!({"anyOf": [next, next]}),
        json!({"oneOf": [next, next]}),
        json!({"not": next, "if": next, "then": next}),
        json!({"anyOf": [{"not": next}, {"$ref": "NEXT"}]}),
        json!({"$ref": "NEXT", "dependentSchemas": {"a": next}, "allOf": [next]}),
    ]
    .iter()
    .map(|branches| {
        let schema = chain(
            branches,
            json!({"type": "object", "properties": {"b": true}}),
        );
        (schema, json!({"a": {"a": 1}}))
    })
    .collect();
    for child in [
        json!({"properties": {"a": {"$ref": "#"}}}),
        json!({"additionalProperties": {"$ref": "#"}}),
        json!({"patternProperties": {"^a": {"$ref": "#"}}}),
    ] {
        bombs.push((json!({"allOf": [child, child]}), nested(40)));
        bombs.push((
            json!({"type": "object", "allOf": [child, {"type": "string"}, child]}),
            nested(40),
        ));
    }
    let items = json!({"items": {"$ref": "#"}});
    let lists = (0..40).fold(json!([]), |below, _| json!([below]));
    bombs.push((json!({"anyOf": [items, items]}), lists));
    let anchored = json!({"$ref": "#again"});
    bombs.push((
        json!({"$anchor": "again", "properties": {"a": {"allOf": [anchored, anchored]}}}),
        nested(40),
    ));
    bombs
}

#[test]
fn branching_references_are_not_judged() {
    for (schema, value) in bombs() {
        let started = Instant::now();
        let validator = Validator::new(&schema).expect("a schema");
        assert!(!validator.affordable(&value), "{schema}");
        assert!(!validator.is_valid(&value));
        let errors = validator.verdict(&value).expect_err("not judged");
        assert_eq!(errors.len(), 1);
        assert!(errors[0].message.contains("too costly"), "{errors:?}");
        // Where it does not branch it is judged.
        assert!(validator.affordable(&json!({})) && validator.affordable(&json!("a")));
        assert!(started.elapsed() < QUICK, "{schema}");
    }
}

#[test]
fn branches_around_unevaluated_properties_are_not_compiled() {
    let branches = json!({
        "allOf": [{"$ref": "NEXT"}], "unevaluatedProperties": false, "anyOf": [{"$ref": "NEXT"}]
    });
    for end in [json!({"type": "object"}), json!({"$id": "urn:end"})] {
        assert!(Validator::new(&chain(&branches, end)).is_err());
    }
}

#[test]
fn other_ways_to_such_a_schema_are_quick() {
    let mut profile = Profile::default();
    profile.rewrites.nullable_optionals = true;
    for (schema, value) in bombs() {
        let started = Instant::now();
        assert_eq!(repair(&value.to_string(), &schema), None);
        let text = format!("```json\n{}\n```", value.to_string().replace('1', "'1'"));
        assert_eq!(repair(&text, &schema), None);
        let _ = Automaton::compile(&schema);
        if let Resolved::Strict { restore, .. } = resolve(&schema, &profile) {
            restore.apply(&mut value.clone());
        }
        assert!(started.elapsed() < QUICK, "{schema}");
    }
}

#[test]
fn ordinary_recursion_and_long_values_are_judged() {
    let tree = json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "a": {"$ref": "#"}},
        "unevaluatedProperties": false
    });
    let validator = Validator::new(&tree).expect("a schema");
    assert!(validator.is_valid(&nested(90)));
    let rows: Vec<_> = (0..10_000)
        .map(|id| json!({"id": id, "name": "n"}))
        .collect();
    let table = json!({
        "items": {"$ref": "#/$defs/row"},
        "$defs": {"row": {"properties": {"id": {"type": "integer"}, "name": {"$ref": "#/$defs/n"}}},
                  "n": {"type": "string"}}
    });
    let validator = Validator::new(&table).expect("a schema");
    assert!(validator.is_valid(&json!(rows)));
    assert!(validator.verdict(&json!([{"id": "x"}])).is_err());
}

/// Twenty levels of long names, and a thousand places below that are all wrong.
fn deep_and_wrong() -> Value {
    let leaves: Map<_, _> = (0..1000).map(|n| (format!("p{n}"), json!({}))).collect();
    (0..20).fold(
        json!({"type": "object", "properties": leaves}),
        |below, n| {
            let name = format!("{n}{}", "x".repeat(5000));
            json!({"type": "object", "properties": {name: below}})
        },
    )
}

#[test]
fn lists_of_violations_are_bounded_in_bytes() {
    let started = Instant::now();
    let schema = deep_and_wrong();
    let at = Where::ChatTool {
        index: 0,
        name: "f",
    };
    let violations = check_strict(&schema, &Profile::default(), at).expect_err("not strict");
    assert!(violations[0].message.contains("In context=(), "));
    let bytes: usize = violations
        .iter()
        .map(|violation| violation.message.len() + violation.pointer.len())
        .sum();
    assert!(bytes < 80 << 10, "{bytes}");
    match resolve(&schema, &Profile::default()) {
        Resolved::Strict { .. } => panic!("leaves allow anything"),
        Resolved::Fallback { reasons } => assert!(!reasons.is_empty() && reasons.len() <= 64),
    }
    let text = schema.to_string().replace("{}", r#"{"type":"object"}"#);
    let closable = text.replace(r#"{"type":"object"}"#, r#"{"type":["string"]}"#);
    let mut profile = Profile::default();
    profile.counts.levels = 100;
    profile.counts.chars = usize::MAX;
    let closable: Value = serde_json::from_str(&closable).expect("JSON");
    match resolve(&closable, &profile) {
        Resolved::Strict { changes, .. } => {
            let bytes: usize = changes.iter().map(|change| change.pointer.len()).sum();
            assert!(!changes.is_empty() && bytes <= 64 << 10, "{bytes}");
        }
        Resolved::Fallback { reasons } => panic!("{:?}", reasons[0].code),
    }
    assert!(started.elapsed() < QUICK, "{:?}", started.elapsed());
}

#[test]
fn a_pattern_that_compiles_nowhere_is_a_violation() {
    let schema = json!({
        "type": "object",
        "properties": {"a": {"type": "string", "pattern": "^(a{1000}){1000}$"}},
        "required": ["a"],
        "additionalProperties": false
    });
    assert!(Validator::new(&schema).is_err());
    let at = Where::ChatTool {
        index: 0,
        name: "f",
    };
    let violations = check_strict(&schema, &Profile::default(), at).expect_err("not strict");
    assert_eq!(violations[0].kind.to_string(), "pattern_not_supported");
    assert!(matches!(
        resolve(&schema, &Profile::default()),
        Resolved::Fallback { .. }
    ));
}

/// References that lead round in circles, through every keyword that one can stand below. The
/// stack of a thread that serves is as small as that of this test.
#[test]
fn circles_do_not_use_up_the_stack() {
    let to = json!({"$ref": "#/$defs/a"});
    let root = json!({"$ref": "#"});
    let mut circles = vec![
        to.clone(),
        json!({"$ref": "#/$defs/b"}),
        json!({"$ref": "#/properties/x"}),
        json!({"$ref": "#/$defs/a", "nullable": true, "description": "x"}),
        json!({"type": "object", "properties": {"x": to}}),
        json!({"properties": {"x": to}}),
        json!({"type": "array", "items": to, "minItems": 1}),
        json!({"type": "object", "additionalProperties": to}),
        json!({"type": "object", "patternProperties": {"a": to}}),
        json!({"not": to}),
        json!({"if": to, "then": to, "else": to}),
        json!({"dependentSchemas": {"a": to}}),
        json!({"type": "array", "prefixItems": [to], "contains": to}),
        json!({"unevaluatedProperties": to}),
    ];
    for keyword in ["anyOf", "oneOf", "allOf"] {
        circles.push(json!({keyword: [to]}));
        circles.push(json!({keyword: [to, to]}));
        circles.push(json!({keyword: [root, to]}));
        circles.push(json!({keyword: [{keyword: [to]}, {"type": "null"}]}));
        circles.push(json!({keyword: [{"anyOf": [to]}, {"type": "string", "nullable": true}]}));
        circles.push(json!({keyword: [to], "type": "object", "properties": {"y": to}}));
    }
    let mut profiles = vec![Profile::default()];
    let mut open = Profile::default();
    open.rewrites.nullable_optionals = true;
    open.rewrites.maps_to_arrays = true;
    open.rewrites.constraints_to_description = true;
    profiles.push(open);
    let at = Where::ResponsesTool {
        index: 0,
        name: "f",
    };
    for circle in circles {
        for x in [&to, &circle, &json!({"oneOf": [to, {"type": "null"}]})] {
            let schema = json!({"type": "object", "properties": {"x": x},
                "$defs": {"a": circle, "b": to}});
            for profile in &profiles {
                let _ = check_strict(&schema, profile, at);
                if let Resolved::Strict {
                    schema, restore, ..
                } = resolve(&schema, profile)
                {
                    let _ = Automaton::compile(&schema);
                    restore.apply(&mut json!({"x": {"x": {"x": [null, {"key": "a"}]}}}));
                }
            }
            for name in Dialect::NAMES {
                let _ = downlevel(&schema, &Dialect::named(name).expect("a built-in name"));
            }
            let _ = repair(r#"{"x": {"x": [1, 2,]}"#, &schema);
            if let Ok(validator) = Validator::new(&schema) {
                let _ = validator.verdict(&json!({"x": {"x": {"x": [null]}}}));
            }
        }
    }
}
