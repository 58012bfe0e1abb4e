//! Chance against every function of the crate: nothing panics, nothing hangs, and what is promised
//! of every schema and every text holds.
//!
//! `STRICT_SCHEMA_FUZZ` is how many cases run, `STRICT_SCHEMA_SEED` where they start; a failure names
//! its seed. With `STRICT_SCHEMA_CORPORA` the public schemas are what is mutated, too.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use strict_schema::{
    ArgumentChecker, Automaton, Dialect, Limits, Profile, Resolved, Validator, Where, check_root,
    check_strict, downlevel, parse, repair, resolve,
};

use crate::{
    catch::caught,
    chance::Chance,
    checks::{self, Class},
    mutate::{arbitrary, damaged, mutated},
    sample::sample,
};

/// Without `STRICT_SCHEMA_FUZZ`: what an unoptimized build does in seconds.
const CASES: u64 = 3_000;
/// Failures after which a run gives up.
const MAX_BROKEN: usize = 10;
/// One case is to take microseconds; this is for machines that are busy.
const MOST: Duration = Duration::from_secs(5);

#[test]
fn fuzz_no_schema_and_no_text_breaks_a_promise() {
    let number = |name: &str, otherwise: u64| {
        let value = std::env::var(name).ok();
        value.map_or(otherwise, |text| text.parse().expect("a number"))
    };
    let cases = number("STRICT_SCHEMA_FUZZ", CASES);
    let first = number("STRICT_SCHEMA_SEED", 1);
    let seeds = seeds();
    let mut tally = Tally::default();
    let mut broken = Vec::new();
    for seed in first..first + cases {
        let since = Instant::now();
        let mut outcome = caught(|| one_case(&mut Chance::new(seed), &seeds, &mut tally));
        let took = since.elapsed();
        if took > MOST {
            outcome = Err(format!("it took {took:?}"));
        }
        if let Err(why) = outcome {
            broken.push(format!("STRICT_SCHEMA_SEED={seed}: {why}"));
            if broken.len() == MAX_BROKEN {
                break;
            }
        }
    }
    assert!(
        broken.is_empty(),
        "again with STRICT_SCHEMA_FUZZ=1 and\n{}",
        broken.join("\n\n")
    );
    println!("{cases} cases over {} schemas: {tally:?}", seeds.len());
    // A generator that stopped reaching the interesting half would make all of the above vacuous.
    if cases >= CASES {
        let least = (cases / 100) as usize;
        for (what, count) in [
            ("resolved", tally.strict),
            ("rewritten by level B", tally.rewritten),
            ("fell back", tally.fallback),
            ("instances accepted", tally.accepted),
            ("arguments restored", tally.restored / 4 * 10),
            ("texts repaired", tally.repaired * 5),
        ] {
            assert!(count > least, "only {count} {what}: {tally:?}");
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    strict: usize,
    rewritten: usize,
    fallback: usize,
    accepted: usize,
    restored: usize,
    repaired: usize,
}

fn one_case(chance: &mut Chance, seeds: &[Value], tally: &mut Tally) {
    let schema = match chance.below(8) {
        0 => arbitrary(chance),
        1 => chance.pick(seeds).clone(),
        _ => mutated(chance.pick(seeds), chance),
    };
    text(&schema, chance);
    checked(&schema, chance);

    let profile = any_profile(chance);
    let checks::Judged {
        class, resolved, ..
    } = checks::judge(&schema, &profile);
    tally.strict += usize::from(resolved.is_some());
    tally.rewritten += usize::from(class == Class::AB);
    tally.fallback += usize::from(resolved.is_none());
    if let Some(resolved) = &resolved {
        if chance.one_in(4) {
            let found = checks::instances(&schema, resolved, &[], 4, chance);
            tally.accepted += 4 * found.accepted;
        }
        arguments(resolved, chance, tally);
    }
    if chance.one_in(2) {
        level_c(&schema, chance, tally);
    }
    lower(resolved.as_ref().unwrap_or(&schema), chance);
}

fn any_profile(chance: &mut Chance) -> Profile {
    let name: &str = chance.pick::<&str>(Profile::NAMES);
    Profile::named(name).expect("a built-in name")
}

/// `parse` takes what serde_json takes and nothing else, whatever the bytes.
fn text(schema: &Value, chance: &mut Chance) {
    let text = schema.to_string();
    assert_eq!(
        parse(text.as_bytes(), &Limits::default()).as_ref(),
        Ok(schema)
    );
    let bytes = damaged(&text, chance);
    match (
        parse(&bytes, &Limits::default()),
        serde_json::from_slice::<Value>(&bytes),
    ) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
        (Ok(_), Err(error)) => panic!("{error}: {}", String::from_utf8_lossy(&bytes)),
        // Keys that come twice, and what is too deep.
        (Err(error), _) => assert!(!error.message.is_empty()),
    }
}

fn checked(schema: &Value, chance: &mut Chance) {
    let name = "f";
    let places = [
        Where::ResponsesTool { index: 3, name },
        Where::ResponsesNamespaceTool {
            index: 3,
            inner: 1,
            name,
        },
        Where::ChatTool { index: 3, name },
        Where::ResponsesFormat { name },
        Where::ChatFormat { name },
    ];
    for (number, at) in places.into_iter().enumerate() {
        let profile = any_profile(chance);
        let verdict = check_strict(schema, &profile, at);
        let prefix = if number < 3 {
            "Invalid schema for function 'f': "
        } else {
            "Invalid schema for response_format 'f': "
        };
        for violation in verdict.err().unwrap_or_default() {
            assert!(violation.message.starts_with(prefix), "{violation:?}");
            assert!(!violation.param.is_empty());
            assert!(
                schema.pointer(&violation.pointer).is_some(),
                "{violation:?}"
            );
        }
    }
    let at = Where::ResponsesTool { index: 0, name };
    if let Err(violation) = check_root(schema, at) {
        let at = Where::ResponsesTool { index: 0, name };
        assert!(
            check_strict(schema, &Profile::default(), at).is_err(),
            "refused even without strict, but strict: {violation:?}\n{schema}"
        );
    }
}

/// Level C: what the resolved schema accepts, put back, is what the original accepts.
fn level_c(schema: &Value, chance: &mut Chance, tally: &mut Tally) {
    let mut profile = Profile::default();
    profile.rewrites.nullable_optionals = true;
    profile.rewrites.maps_to_arrays = chance.one_in(2);
    let Some(resolved) = checks::judge(schema, &profile).resolved else {
        return;
    };
    let Resolved::Strict { restore, .. } = resolve(schema, &profile) else {
        panic!("once strict, once not: {schema}")
    };
    let kept = serde_json::to_value(&restore).expect("it is plain data");
    let restore: strict_schema::Restore = serde_json::from_value(kept).expect("as it was");
    let (Ok(old), Ok(new)) = (
        Validator::new(&checks::heard(schema)),
        Validator::new(&resolved),
    ) else {
        return;
    };
    for _ in 0..3 {
        let instance = sample(&resolved, chance, 0);
        let mut restored = instance.clone();
        restore.apply(&mut restored);
        if new.verdict(&instance).is_ok() {
            assert!(
                old.verdict(&restored).is_ok(),
                "{instance}\nis valid against {resolved}\nbut put back as {restored}\nnot against {schema}"
            );
            tally.restored += usize::from(restored != instance);
        }
    }
    // Whatever the arguments are, putting them back does not panic.
    let mut wild = arbitrary(chance);
    restore.apply(&mut wild);
}

/// Arguments as they stream, and texts that models write.
fn arguments(resolved: &Value, chance: &mut Chance, tally: &mut Tally) {
    let instance = sample(resolved, chance, 8).to_string();
    if let Ok(automaton) = Automaton::compile(resolved) {
        let mut checker = ArgumentChecker::new(Arc::new(automaton));
        let bytes = damaged(&instance, chance);
        let refused = bytes
            .iter()
            .position(|byte| checker.push(&[*byte]).is_err());
        assert!(checker.state_bytes() < 4_096);
        if refused.is_none() && checker.is_complete() {
            let text = String::from_utf8_lossy(&bytes);
            assert!(
                serde_json::from_slice::<Value>(&bytes).is_ok(),
                "accepted: {text}"
            );
        }
    }
    let written = written_by_a_model(&instance, chance);
    if let Some(repaired) = repair(&written, resolved) {
        let value: Value = serde_json::from_str(&repaired).expect("a repaired text is JSON");
        assert!(
            checks::accepts(resolved, &value),
            "{written}\nrepaired to {repaired}\n{resolved}"
        );
        tally.repaired += 1;
    }
}

fn written_by_a_model(text: &str, chance: &mut Chance) -> String {
    match chance.below(7) {
        0 => format!("```json\n{text}\n```"),
        1 => format!("<think>so {{</think>{text}"),
        2 => text.replace('"', "'"),
        3 => text.replace("true", "True").replace("null", "None"),
        4 => text.trim_end_matches(['}', ']', '"']).to_owned(),
        5 => text.replace('}', ",}"),
        _ => String::from_utf8_lossy(&damaged(text, chance)).into_owned(),
    }
}

/// A schema for an upstream accepts at least what the schema accepts.
fn lower(schema: &Value, chance: &mut Chance) {
    let dialect = {
        let name: &str = chance.pick::<&str>(Dialect::NAMES);
        Dialect::named(name).expect("a built-in name")
    };
    let lowered = downlevel(schema, &dialect);
    if lowered.enforceable && chance.one_in(8) {
        let (Ok(before), Ok(after)) = (Validator::new(schema), Validator::new(&lowered.schema))
        else {
            return;
        };
        for _ in 0..3 {
            let instance = sample(schema, chance, 0);
            // The open ends of a pattern are written with a dot, which keeps lines whole.
            if ["\\n", "\\r", "\u{2028}", "\u{2029}"]
                .iter()
                .any(|end| instance.to_string().contains(end))
            {
                continue;
            }
            assert!(
                after.verdict(&instance).is_ok() || before.verdict(&instance).is_err(),
                "{instance}\nis valid against {schema}\nbut cannot be said in {}",
                lowered.schema
            );
        }
    }
}

/// One of every construct that is rewritten, and a few of each kind of fallback.
fn seeds() -> Vec<Value> {
    let mut seeds: Vec<Value> = vec![
        json!({"type": "object", "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}}, "required": ["city"]}),
        json!({"type": "object", "properties": {"a": {"type": ["string", "null"], "default": null}, "n": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["n"], "additionalProperties": false}),
        json!({"type": "object", "properties": {"list": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "boolean"}}}}}}),
        json!({"type": "object", "properties": {"node": {"$ref": "#/$defs/node"}}, "$defs": {"node": {"type": "object", "properties": {"value": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["value", "next"]}}}),
        json!({"type": "object", "properties": {"self": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}),
        json!({"$ref": "#/definitions/Root", "definitions": {"Root": {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}, "required": ["id"]}}}),
        json!({"type": "object", "properties": {"pet": {"oneOf": [{"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}, "required": ["kind"]}, {"type": "object", "properties": {"kind": {"const": "dog"}, "name": {"type": "string"}}, "required": ["kind"]}]}}}),
        json!({"type": "object", "properties": {"u": {"oneOf": [{"type": "string", "maxLength": 5}, {"type": "number"}]}}}),
        json!({"type": "object", "properties": {"w": {"allOf": [{"$ref": "#/$defs/w"}], "description": "wrapped"}}, "$defs": {"w": {"type": "string", "pattern": "^[a-z]+$"}}}),
        json!({"type": "object", "properties": {"m": {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {"type": "object", "properties": {"b": {"type": "integer"}}}]}}}),
        json!({"type": "object", "properties": {"d": {"$ref": "#/$defs/a", "description": "with a sibling"}, "b": {"type": "array", "items": {"$ref": "#/properties/d"}}}, "$defs": {"a": {"type": "integer"}}}),
        json!({"type": "object", "properties": {"o": {"properties": {"k": {"enum": [1, 2, null]}}}, "c": {"const": "x"}, "t": {"type": ["string"]}, "m": {"enum": ["a", 1]}}}),
        json!({"type": "object", "properties": {"map": {"type": "object", "additionalProperties": {"type": "integer"}}, "free": {"type": "object"}}}),
        json!({"type": "object", "properties": {"n": {"type": "string", "nullable": true}, "when": {"type": "string", "format": "date-time"}, "link": {"type": "string", "format": "uri"}}}),
        json!({"type": "object", "properties": {"t": {"type": "array", "items": [{"type": "string"}]}, "u": {"type": "array", "uniqueItems": true, "items": {"type": "string"}}}}),
        json!({"type": "object", "properties": {"n": {"type": "object", "properties": {"i": {"$ref": "#/properties/n/$defs/i"}}, "$defs": {"i": {"type": "integer", "multipleOf": 3}}}}}),
        json!({"type": "object", "properties": {"$ref": {"type": "string"}, "properties": {"type": "object", "properties": {"type": {"type": "string"}}}, "__proto__": {"type": "null"}, "": {"type": "boolean"}}}),
        json!({"type": "object", "properties": {}}),
        json!({"type": "object"}),
        json!({}),
        json!({"anyOf": [{"type": "object", "properties": {}}]}),
        json!({"type": "array", "items": {"type": "string"}}),
        json!({"type": "object", "properties": {"x": {"not": {"type": "string"}}, "y": {"if": {}, "then": {}}}, "dependentRequired": {"x": ["y"]}}),
        json!({"type": "object", "properties": {"s": {"type": "string", "minLength": 2, "maxLength": 4}, "e": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1.5}}}),
    ];
    if let Some(folder) = std::env::var_os("STRICT_SCHEMA_CORPORA") {
        for corpus in ["github", "suite", "bfcl"] {
            let path = Path::new(&folder).join(corpus).with_extension("jsonl");
            let text = std::fs::read_to_string(&path).expect("the data of `cargo xtask corpora`");
            seeds.extend(text.lines().map(|line| {
                let line: Value = serde_json::from_str(line).expect("JSON");
                line["schema"].clone()
            }));
        }
    }
    seeds
}
