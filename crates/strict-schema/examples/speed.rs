//! Nanoseconds per byte of the streaming checker, of llguidance with single bytes, and of
//! parsing plus `jsonschema`, on one ordinary tool:
//!
//! `cargo run --release -p strict-schema --example speed`

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar};
use serde_json::{Value, json};
use strict_schema::{ArgumentChecker, Automaton, Validator};
use toktrie::ApproximateTokEnv;

const RUN: Duration = Duration::from_secs(3);
/// Documents in one batch.
const ROUNDS: usize = 4;

fn main() {
    let schema = schema();
    let text = document();
    println!(
        "schema {} bytes, document {} bytes",
        schema.to_string().len(),
        text.len()
    );

    let automaton = Arc::new(Automaton::compile(&schema).expect("a strict schema"));
    measure("checker, whole text", text.len(), || {
        let mut checker = ArgumentChecker::new(automaton.clone());
        checker.push(text.as_bytes()).expect("valid");
        assert!(checker.is_complete());
    });
    measure("checker, 4 bytes a time", text.len(), || {
        let mut checker = ArgumentChecker::new(automaton.clone());
        for piece in text.as_bytes().chunks(4) {
            checker.push(piece).expect("valid");
        }
        assert!(checker.is_complete());
    });
    let mut worst = 0;
    let mut checker = ArgumentChecker::new(automaton.clone());
    for byte in text.bytes() {
        checker.push(&[byte]).expect("valid");
        worst = worst.max(checker.state_bytes());
    }
    println!("{:28} {worst} bytes at most", "state");

    let validator = Validator::new(&schema).expect("a valid schema");
    measure("parse + jsonschema", text.len(), || {
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert!(validator.is_valid(&value));
    });

    let environment = ApproximateTokEnv::single_byte_env();
    let mut factory = ParserFactory::new_simple(&environment).expect("a factory");
    factory.quiet();
    let grammar = TopLevelGrammar::from_json_schema(schema.clone());
    let fresh = Matcher::new(factory.create_parser(grammar));
    measure("llguidance, single bytes", text.len(), || {
        let mut matcher = fresh.deep_clone();
        for byte in text.bytes() {
            let taken = matcher
                .try_consume_tokens(&[u32::from(byte)])
                .expect("no error");
            assert_eq!(taken, 1);
        }
    });

    let once = |name: &str, compile: &dyn Fn()| {
        let started = Instant::now();
        let mut best = Duration::MAX;
        while started.elapsed() < RUN / 4 {
            let round = Instant::now();
            compile();
            best = best.min(round.elapsed());
        }
        println!("{name:28} {best:?}");
    };
    once("compile the checker", &|| {
        drop(black_box(Automaton::compile(&schema)));
    });
    once("compile jsonschema", &|| {
        drop(black_box(Validator::new(&schema)));
    });
    for pattern in [
        "^[A-Z]{3}$",
        r"^[\w.-]{1,64}$",
        "^.{0,500}$",
        "[ab]*a[ab]{40}",
        "(?:a|b){200000}",
    ] {
        let schema = json!({"type": "string", "pattern": pattern});
        let result = Automaton::compile(&schema).is_ok();
        once(&format!("pattern {pattern} ({result})"), &|| {
            drop(black_box(Automaton::compile(&schema)));
        });
    }
}

fn measure(name: &str, bytes: usize, mut work: impl FnMut()) {
    work();
    // The best of many short batches: what other processes do does not count.
    let started = Instant::now();
    let mut best = f64::MAX;
    while started.elapsed() < RUN {
        let batch = Instant::now();
        for _ in 0..ROUNDS {
            work();
        }
        let nanoseconds = batch.elapsed().as_nanos() as f64 / (ROUNDS * bytes) as f64;
        best = best.min(nanoseconds);
    }
    println!("{name:28} {best:8.1} ns/byte");
}

fn schema() -> Value {
    let closed = |properties: Value| {
        let required: Vec<String> = properties
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false
        })
    };
    let passenger = closed(json!({
        "name": {"type": "string", "minLength": 1, "maxLength": 80},
        "born": {"type": "string", "format": "date"},
        "seat": {"anyOf": [{"type": "string", "pattern": "^[0-9]{1,2}[A-K]$"}, {"type": "null"}]},
        "bags": {"type": "integer", "minimum": 0, "maximum": 5}
    }));
    let payment = json!({"anyOf": [
        closed(json!({"kind": {"type": "string", "const": "card"}, "token": {"type": "string"}})),
        closed(json!({"kind": {"type": "string", "const": "invoice"}, "company": {"type": "string"}}))
    ]});
    closed(json!({
        "origin": {"type": "string", "description": "IATA code"},
        "destination": {"type": "string"},
        "departure": {"type": "string", "format": "date-time"},
        "cabin": {"type": "string", "enum": ["economy", "premium", "business", "first"]},
        "flexible": {"type": "boolean"},
        "budget": {"type": ["number", "null"]},
        "passengers": {"type": "array", "items": passenger, "minItems": 1, "maxItems": 9},
        "payment": payment,
        "note": {"type": "string"}
    }))
}

fn document() -> String {
    let note = "Please keep both seats together if that is possible, and send the \
                confirmation to the address on file. The second passenger needs help at the gate.";
    serde_json::to_string_pretty(&json!({
        "origin": "CDG",
        "destination": "JFK",
        "departure": "2027-03-14T09:30:00+01:00",
        "cabin": "economy",
        "flexible": true,
        "budget": 1250.5,
        "passengers": [
            {"name": "Zoë Müller", "born": "1984-02-29", "seat": "12A", "bags": 2},
            {"name": "Jan \"JJ\" Jansen", "born": "1990-07-01", "seat": null, "bags": 0}
        ],
        "payment": {"kind": "invoice", "company": "Example Logistics GmbH"},
        "note": note
    }))
    .expect("serializable")
}
