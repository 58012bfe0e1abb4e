use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn trip() -> Value {
    json!({
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "rate": {"type": ["number", "null"]},
            "safe": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "inner": {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"], "additionalProperties": false}
        },
        "required": ["city"],
        "additionalProperties": false
    })
}

#[test]
fn what_is_unambiguous_is_repaired() {
    let cases = [
        // Wrappings.
        ("```json\n{\"city\":\"P\"}\n```", r#"{"city":"P"}"#),
        ("```\n{\"city\":\"P\"}```", r#"{"city":"P"}"#),
        (
            "Here you go:\n```json\n{\"city\":\"P\"}\n```\nEnjoy!",
            r#"{"city":"P"}"#,
        ),
        ("```json\n{\"city\":\"P\"", r#"{"city":"P"}"#),
        (
            "<think>\nMaybe {\"city\":\"X\"}?\n</think>\n{\"city\":\"P\"}",
            r#"{"city":"P"}"#,
        ),
        (
            "no, {\"city\":\"X\"} </think> {\"city\":\"P\"}",
            r#"{"city":"P"}"#,
        ),
        (
            "<tool_call>\n{\"city\":\"P\"}\n</tool_call>",
            r#"{"city":"P"}"#,
        ),
        (
            "<tool_call>{\"name\":\"trip\",\"arguments\":{\"city\":\"P\"}}</tool_call>",
            r#"{"city":"P"}"#,
        ),
        (
            "I will call it with {\"city\":\"P\"} now.",
            r#"{"city":"P"}"#,
        ),
        ("See [1] and {x}: {\"city\":\"P\"}", r#"{"city":"P"}"#),
        (
            "{\"city\":\"P\"} or again {\"city\": \"P\"}",
            r#"{"city":"P"}"#,
        ),
        // Punctuation.
        (
            r#"{"city":"P","tags":["a","b",],}"#,
            r#"{"city":"P","tags":["a","b"]}"#,
        ),
        (
            r"{'city': 'P', 'tags': ['a']}",
            r#"{"city":"P","tags":["a"]}"#,
        ),
        (
            r#"{"city":"P","safe":True,"rate":None}"#,
            r#"{"city":"P","safe":true,"rate":null}"#,
        ),
        ("{\"city\":\"line\nbreak\"}", r#"{"city":"line\nbreak"}"#),
        (r"{'city': 'it\'s'}", r#"{"city":"it's"}"#),
        // The end is missing.
        (r#"{"city":"P"#, r#"{"city":"P"}"#),
        (r#"{"city":"P","tags":["a"#, r#"{"city":"P","tags":["a"]}"#),
        (
            r#"{"city":"P","inner":{"n":1.5}"#,
            r#"{"city":"P","inner":{"n":1.5}}"#,
        ),
        (r#"{"city":"P","#, r#"{"city":"P"}"#),
        // Kinds.
        (r#"{"city":"P","days":"3"}"#, r#"{"city":"P","days":3}"#),
        (
            r#"{"city":"P","days":" -3 ","rate":"0.5"}"#,
            r#"{"city":"P","days":-3,"rate":0.5}"#,
        ),
        (r#"{"city":7}"#, r#"{"city":"7"}"#),
        (
            r#"{"city":"P","safe":"false"}"#,
            r#"{"city":"P","safe":false}"#,
        ),
        (
            r#"{"city":"P","rate":"null"}"#,
            r#"{"city":"P","rate":null}"#,
        ),
        (r#"{"city":"P","tags":"a"}"#, r#"{"city":"P","tags":["a"]}"#),
        (
            r#"{"city":"P","inner":"{\"n\":\"1\"}"}"#,
            r#"{"city":"P","inner":{"n":1}}"#,
        ),
        (
            r#""{\"city\":\"P\",\"days\":\"2\"}""#,
            r#"{"city":"P","days":2}"#,
        ),
    ];
    let schema = trip();
    for (text, expected) in cases {
        assert_eq!(repair(text, &schema).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn what_is_ambiguous_or_missing_is_not() {
    let cases = [
        "",
        "I cannot do that.",
        r#"{"days":3}"#,
        r#"{"city":"P","extra":1}"#,
        r#"{"city":"P"} {"city":"Q"}"#,
        "<tool_call>{\"city\":\"P\"}</tool_call><tool_call>{\"city\":\"Q\"}</tool_call>",
        "<think>only thoughts {\"city\":\"P\"}",
        r#"{"city":"P","city":"Q"}"#,
        // More digits, or a longer word, may have been cut off.
        r#"{"city":"P","days":1"#,
        r#"{"city":"P","safe":tr"#,
        r#"{"city":"P","days"#,
        r#"{"city":"P","days":"#,
        "{\"city\":\"P\n\nI hope that helps.",
        // Not a number, not a whole one, not one that keeps its value.
        r#"{"city":"P","days":"three"}"#,
        r#"{"city":"P","days":"3.5"}"#,
        r#"{"city":"P","days":123456789012345678901,}"#,
        r#"{"city":null}"#,
        r#"{"city":"P","tags":null}"#,
        // A list in a string: the list, or a list with that string?
        r#"{"city":"P","tags":"[\"a\"]"}"#,
        "{city: \"P\"}",
        r#"{"city":"P\ud800"}"#,
    ];
    let schema = trip();
    for text in cases {
        assert_eq!(repair(text, &schema), None, "{text}");
    }
}

#[test]
fn unions_convert_only_one_way() {
    let schema = json!({"type": "object", "properties": {
        "a": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "b": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "c": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]},
        "d": {"$ref": "#/$defs/level"},
        "e": {"anyOf": [{"$ref": "#/$defs/on"}, {"$ref": "#/$defs/off"}]}
    }, "$defs": {
        "level": {"type": "integer", "enum": [1, 2]},
        "on": {"type": "object", "properties": {"is": {"const": "on"}, "n": {"type": "integer"}}, "required": ["is", "n"], "additionalProperties": false},
        "off": {"type": "object", "properties": {"is": {"const": "off"}, "n": {"type": "string"}}, "required": ["is", "n"], "additionalProperties": false}
    }});
    let repaired = |text: &str| repair(text, &schema);
    assert_eq!(repaired(r#"{"a":"5"}"#).as_deref(), Some(r#"{"a":5}"#));
    assert_eq!(
        repaired(r#"{"b":"5",}"#).as_deref(),
        Some(r#"{"b":"5"}"#),
        "a string fits"
    );
    assert_eq!(repaired(r#"{"c":"5"}"#), None, "5 or [\"5\"]");
    assert_eq!(repaired(r#"{"c":"x"}"#).as_deref(), Some(r#"{"c":["x"]}"#));
    assert_eq!(repaired(r#"{"d":"2"}"#).as_deref(), Some(r#"{"d":2}"#));
    assert_eq!(repaired(r#"{"d":"3"}"#), None);
    assert_eq!(
        repaired(r#"{"e":{"is":"on","n":"4"}}"#).as_deref(),
        Some(r#"{"e":{"is":"on","n":4}}"#)
    );
    assert_eq!(
        repaired(r#"{"e":{"is":"off","n":4}}"#).as_deref(),
        Some(r#"{"e":{"is":"off","n":"4"}}"#)
    );
}

#[test]
fn work_and_size_are_bounded() {
    let schema = trip();
    let started = std::time::Instant::now();
    for text in [
        "{".repeat(1 << 20),
        "[{\"city\":".repeat(100_000),
        "```".repeat(300_000),
        "{\"city\":\"x".repeat(90_000),
    ] {
        assert_eq!(repair(&text, &schema), None);
    }
    assert_eq!(repair(&" ".repeat(MAX_REPAIR_BYTES + 1), &schema), None);
    // Two ways at every level: the budget ends it.
    let forked = json!({
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/other"}]}, "n": {"type": "integer"}},
        "required": ["n"],
        "$defs": {"other": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/other"}]}, "n": {"type": "boolean"}}, "required": ["n"]}}
    });
    let deep = format!(
        "{}{{\"n\":\"x\"}}{}",
        "{\"n\":\"1\",\"next\":".repeat(50),
        "}".repeat(50)
    );
    assert_eq!(repair(&deep, &forked), None);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

fn value() -> impl Strategy<Value = Value> {
    let tags = prop::collection::vec("[ -~é\n]{0,8}", 0..3);
    ("[ -~é\n]{0,12}", any::<i64>(), tags, any::<Option<f64>>()).prop_map(|(city, days, tags, rate)| {
        json!({"city": city, "days": days, "tags": tags, "rate": rate.filter(|rate| rate.is_finite())})
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn a_valid_document_is_left_alone(value in value(), pretty in any::<bool>()) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        prop_assert_eq!(repair(&text, &trip()), Some(text));
    }

    #[test]
    fn wrapped_documents_come_out_whole(value in value()) {
        let text = format!("Sure:\n```json\n{value:#}\n```");
        prop_assert_eq!(repair(&text, &trip()), Some(value.to_string()));
        let quoted = Value::from(value.to_string()).to_string();
        prop_assert_eq!(repair(&quoted, &trip()), Some(value.to_string()));
    }

    #[test]
    fn whatever_comes_back_is_valid_and_stable(text in "([{}\\[\\]:,'\"`<>/a-c 0-9]|city|think|\"city\":|\"tags\":|\\{\"city\":\"a\"|True|None){0,14}") {
        let schema = trip();
        if let Some(repaired) = repair(&text, &schema) {
            let value: Value = serde_json::from_str(&repaired).expect("JSON");
            prop_assert!(Validator::new(&schema).expect("a schema").is_valid(&value));
            prop_assert_eq!(repair(&repaired, &schema), Some(repaired));
        }
    }

    #[test]
    fn cut_documents_never_panic(value in value(), at in any::<prop::sample::Index>()) {
        let text = value.to_string();
        let cut: String = text.chars().take(at.index(text.len())).collect();
        let _ = repair(&cut, &trip());
    }
}
