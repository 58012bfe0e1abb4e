//! What servers list, mended: an object at the root, well-formed, no reference that leads nowhere,
//! and whatever object the original takes is still taken.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use strict_schema::{CompileError, Profile, Validator, mend};

use crate::{
    generate::{Tape, nonsense},
    seeded,
};

const NAMES: [&str; 3] = ["p", "q", "$ref"];

const TARGETS: [&str; 14] = [
    "#",
    "#/$defs/a",
    "#/$defs/b",
    "#/$defs/root",
    "#/definitions/a",
    "#/anyOf/0",
    "#/anyOf/0/properties/p",
    "#/allOf/1",
    "#/oneOf/0",
    "#/not",
    "#/properties/p",
    "#/properties/p/items/0",
    "#/nothing",
    "#anchor",
];

/// Mostly a definition or the root.
fn target(tape: &mut Tape<'_>) -> &'static str {
    let few = tape.below(4) < 3;
    let count = if few { 4 } else { TARGETS.len() };
    TARGETS[tape.below(count)]
}

/// Parameters as servers list them, with much at the root.
fn listed(tape: &mut Tape<'_>) -> Value {
    let mut root = objects(tape, 3);
    if tape.once_in(3) {
        root["$ref"] = target(tape).into();
    }
    for (keyword, name) in [
        ("$defs", "a"),
        ("$defs", "b"),
        ("$defs", "root"),
        ("definitions", "a"),
    ] {
        if tape.once_in(2) {
            root[keyword][name] = objects(tape, 3);
        }
    }
    if tape.once_in(10) {
        root["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    }
    root
}

/// A schema that is mostly about objects.
fn objects(tape: &mut Tape<'_>, depth: usize) -> Value {
    let mut map = Map::new();
    for _ in 0..tape.below(4) {
        let (keyword, value) = match tape.below(if depth == 0 { 8 } else { 17 }) {
            0 => ("type", json!("object")),
            1 => (
                "type",
                (*tape.pick(&[json!(["object", "null"]), json!("string")])).clone(),
            ),
            2 => ("required", json!([NAMES[tape.below(3)]])),
            3 => ("additionalProperties", json!(false)),
            4 => ("$ref", target(tape).into()),
            5 => ("minProperties", json!(tape.below(3))),
            6 => ("unevaluatedProperties", json!(false)),
            7 => (
                "required",
                (*tape.pick(&[json!(true), json!(["p", "p"]), json!(null)])).clone(),
            ),
            8 => ("additionalProperties", value(tape, depth - 1)),
            9 => ("anyOf", many(tape, depth - 1)),
            10 => ("oneOf", many(tape, depth - 1)),
            11 => ("allOf", many(tape, depth - 1)),
            12 => ("not", objects(tape, depth - 1)),
            13 => ("if", objects(tape, depth - 1)),
            14 => ("else", objects(tape, depth - 1)),
            15 => ("patternProperties", json!({"^q": value(tape, depth - 1)})),
            _ => ("properties", named(tape, depth - 1)),
        };
        map.insert(keyword.to_owned(), value);
    }
    map.into()
}

fn named(tape: &mut Tape<'_>, depth: usize) -> Value {
    let mut map = Map::new();
    for _ in 0..=tape.below(2) {
        map.insert((*tape.pick(&NAMES)).to_owned(), value(tape, depth));
    }
    map.into()
}

fn many(tape: &mut Tape<'_>, depth: usize) -> Value {
    (0..=tape.below(3)).map(|_| objects(tape, depth)).collect()
}

fn value(tape: &mut Tape<'_>, depth: usize) -> Value {
    match tape.below(12) {
        0 => json!({"type": "string"}),
        1 => json!({"type": "integer"}),
        2 => json!({"$ref": target(tape)}),
        3 => json!({"type": "array", "contains": objects(tape, 0), "maxContains": 1}),
        4 => json!({"type": "array", "items": [{"type": "string"}, {"type": "integer"}]}),
        5 => json!({"not": {"items": [{"type": "string"}]}}),
        6 => json!({"enum": []}),
        7 => json!(true),
        8 => json!({"not": {"enum": []}}),
        9 => json!({"type": "string", "enum": null}),
        _ => objects(tape, depth.saturating_sub(1)),
    }
}

/// Small objects with the names that the schemas know.
fn arguments(tape: &mut Tape<'_>, depth: usize) -> Value {
    let mut map = Map::new();
    for _ in 0..tape.below(4) {
        let value = match tape.below(if depth == 0 { 6 } else { 9 }) {
            0 => json!("x"),
            1 => json!(1),
            2 => Value::Null,
            3 => json!([]),
            4 => json!(["x", 1, {}, {"p": 1}]),
            5 => json!({}),
            _ => arguments(tape, depth - 1),
        };
        map.insert((*tape.pick(&["p", "q", "$ref", "z"])).to_owned(), value);
    }
    map.into()
}

/// What holds of anything that was mended. `None`: a circle that only a validator minds.
fn is_fit(mended: &Value) -> Result<Option<Validator>, String> {
    if mended["type"] != "object" || !mended["properties"].is_object() {
        return Err(format!("no object: {mended}"));
    }
    for keyword in ["$ref", "anyOf", "oneOf", "allOf", "enum", "const", "not"] {
        if mended.get(keyword).is_some() {
            return Err(format!("{keyword} at the root of {mended}"));
        }
    }
    match Validator::new(mended) {
        Err(error @ CompileError::Invalid { .. }) => Err(format!("{error} in {mended}")),
        judge => Ok(judge.ok()),
    }
}

/// How many objects the original takes, all of which the mended schema takes.
fn check_looser(original: &Value, tape: &mut Tape<'_>) -> Result<usize, String> {
    let Some(mended) = mend(original, &Profile::default()) else {
        return Ok(0);
    };
    let (Some(looser), Ok(judge)) = (is_fit(&mended)?, Validator::new(original)) else {
        return Ok(0);
    };
    let mut taken = 0;
    for _ in 0..24 {
        let object = arguments(tape, 2);
        if judge.is_valid(&object) && looser.affordable(&object) {
            taken += 1;
            if !looser.is_valid(&object) {
                return Err(format!("{object}\n{mended}\n{original}"));
            }
        }
    }
    Ok(taken)
}

fn tape(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..length)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn mending_only_loosens(bytes in tape(160), more in tape(300)) {
        let original = listed(&mut Tape::new(&bytes));
        check_looser(&original, &mut Tape::new(&more)).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn whatever_is_listed_is_fit_once_mended(bytes in tape(300)) {
        let original = nonsense(&mut Tape::new(&bytes), 4);
        if let Some(mended) = mend(&original, &Profile::default()) {
            // Patterns are not looked into.
            if !mended.to_string().contains("\"pattern\":\"(\"") {
                is_fit(&mended).map_err(TestCaseError::fail)?;
            }
        }
    }
}

/// The property above would hold for schemas that take nothing, or are not mended.
#[test]
fn mending_is_about_something() {
    let mut tape = seeded(300);
    let (mut taken, mut cases) = (0, 0);
    for _ in 0..1500 {
        let original = listed(&mut Tape::new(&tape()));
        let found = check_looser(&original, &mut Tape::new(&tape()));
        let found = found.unwrap_or_else(|problem| panic!("{problem}"));
        taken += found;
        cases += usize::from(found > 0);
    }
    assert!(taken > 2000 && cases > 250, "{taken} {cases}");
}
