//! How fast tool schemas are resolved: `cargo run --release --example speed`.
//!
//! One core, schemas of the size that tools have (about 500 bytes), through
//! `resolve` with its verdict, through `parse` and `resolve`, and the worst that
//! the guards let in.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use strict_schema::{Limits, Profile, parse, resolve};

fn main() {
    let profile = Profile::default();
    let schemas = tools();
    let texts: Vec<String> = schemas.iter().map(Value::to_string).collect();
    let bytes = texts.iter().map(String::len).sum::<usize>() / texts.len();
    println!("{} schemas, {bytes} bytes on average", schemas.len());
    report("resolve", schemas.len(), &mut || {
        for schema in &schemas {
            black_box(resolve(schema, &profile));
        }
    });
    report("parse and resolve", texts.len(), &mut || {
        for text in &texts {
            let schema = parse(text.as_bytes(), &Limits::default()).expect("valid JSON");
            black_box(resolve(&schema, &profile));
        }
    });
    for (name, schema) in worst() {
        let text = schema.to_string();
        println!("{name}, {} bytes:", text.len());
        report("  parse", 1, &mut || {
            let _ = black_box(parse(text.as_bytes(), &Limits::default()));
        });
        report("  resolve", 1, &mut || {
            black_box(resolve(&schema, &profile));
        });
    }
}

/// The fastest of five spells of 200 ms of processor time.
fn report(name: &str, count: usize, round: &mut dyn FnMut()) {
    let fastest = (0..5)
        .map(|_| {
            let started = processor_time();
            let mut rounds = 0;
            loop {
                round();
                rounds += 1;
                let spent = processor_time().saturating_sub(started);
                if spent >= Duration::from_millis(200) {
                    break spent / rounds;
                }
            }
        })
        .min()
        .expect("five spells");
    let each = fastest.as_nanos() as f64 / count as f64;
    println!(
        "{name}: {:.2} µs each, {:.0} per second",
        each / 1e3,
        1e9 / each
    );
}

/// What this thread has used, where the system says so: a shared machine makes
/// the clock on the wall useless.
fn processor_time() -> Duration {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .map_or_else(
            || STARTED.get_or_init(Instant::now).elapsed(),
            Duration::from_nanos,
        )
}

/// What tools look like: open objects, optional properties, a nested one, an enum.
fn tools() -> Vec<Value> {
    (0..64)
        .map(|index| {
            json!({
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "What to look for, in plain words."},
                    format!("limit_{index}"): {
                        "type": "integer", "minimum": 1, "maximum": 100,
                        "description": "How many results to give back.",
                    },
                    "order": {"type": "string", "enum": ["newest", "oldest", "relevance"]},
                    "filter": {
                        "type": "object",
                        "description": "Narrows the search.",
                        "properties": {
                            "author": {"type": ["string", "null"]},
                            "labels": {"type": "array", "items": {"type": "string"}},
                        },
                        "required": ["author"],
                    },
                },
                "required": ["query"],
            })
        })
        .collect()
}

fn worst() -> Vec<(&'static str, Value)> {
    let wide: Map<_, _> = (0..20_000)
        .map(|index| (format!("property_{index}"), json!({"type": "string"})))
        .collect();
    let references: Map<_, _> = (0..15_000)
        .map(|index| {
            (
                format!("d{index}"),
                json!({"$ref": format!("#/$defs/d{}", index + 1)}),
            )
        })
        .collect();
    let mut cases = vec![
        (
            "20,000 properties",
            json!({"type": "object", "properties": wide}),
        ),
        (
            "15,000 aliases",
            json!({"type": "object", "properties": {}, "$defs": references}),
        ),
    ];
    for keyword in ["anyOf", "oneOf", "allOf"] {
        let definitions: Map<_, _> = (0..30)
            .map(|level| {
                let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
                let object = json!({"type": "object", "properties": {"n": next}});
                (format!("d{level}"), json!({keyword: [next, object]}))
            })
            .chain([(
                "d30".to_owned(),
                json!({"type": "object", "properties": {}}),
            )])
            .collect();
        let root = json!({"$ref": "#/$defs/d0"});
        cases.push((
            keyword,
            json!({"type": "object", "properties": {"a": root}, "$defs": definitions}),
        ));
    }
    cases
}
