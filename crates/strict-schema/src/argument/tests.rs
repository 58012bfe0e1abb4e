//! Where texts are refused, and what is said.

use serde_json::{Value, json};

use super::*;
use crate::Validator;

fn checker(schema: &Value) -> ArgumentChecker {
    ArgumentChecker::new(Arc::new(
        Automaton::compile(schema).expect("a supported schema"),
    ))
}

fn refuse(schema: &Value, text: &str) -> Mismatch {
    checker(schema).push(text.as_bytes()).expect_err(text)
}

fn accept(schema: &Value, text: &str) {
    let mut checker = checker(schema);
    checker
        .push(text.as_bytes())
        .unwrap_or_else(|mismatch| panic!("{text}: {mismatch}"));
    assert!(checker.is_complete(), "{text}");
    assert!(checker.finish().is_ok(), "{text}");
}

fn closed(properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().expect("an object").keys().collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false
    })
}

/// (schema, text up to and including the refused byte, pointer, message)
#[test]
fn the_first_impossible_byte_is_refused_with_a_message() {
    let weather = closed(json!({
        "city": {"type": "string"},
        "unit": {"type": ["string", "null"], "enum": ["celsius", "fahrenheit", null]},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2}
    }));
    let cases = [
        ("[", "", "expected an object, found an array"),
        ("S", "", "expected an object, found 'S'"),
        (
            r#"{"cx"#,
            "",
            r#"property 'cx...' is not allowed here; allowed: "city", "unit", "days", "tags""#,
        ),
        (
            r#"{"cit""#,
            "",
            r#"property 'cit' is not allowed here; allowed: "city", "unit", "days", "tags""#,
        ),
        (
            r#"{"city":"a","c"#,
            "",
            r#"property 'city' is given twice; allowed: "unit", "days", "tags""#,
        ),
        (
            r#"{"city":"a"}"#,
            "",
            r#"required properties are missing: "unit", "days", "tags""#,
        ),
        (
            r#"{"city":"a","unit":null,"days":1}"#,
            "",
            "required property 'tags' is missing",
        ),
        (r#"{"city":n"#, "/city", "expected a string, found null"),
        (
            r#"{"unit":1"#,
            "/unit",
            r#"expected one of "celsius", "fahrenheit" or null, found a number"#,
        ),
        (
            r#"{"unit":"k"#,
            "/unit",
            r#"expected one of "celsius", "fahrenheit""#,
        ),
        (
            r#"{"unit":"celsius "#,
            "/unit",
            r#"expected one of "celsius", "fahrenheit""#,
        ),
        (
            r#"{"days":-"#,
            "/days",
            "expected an integer: at least 1, at most 14, found -",
        ),
        (
            r#"{"days":15}"#,
            "/days",
            "expected an integer: at least 1, at most 14, found 15",
        ),
        (
            r#"{"days":1.5,"#,
            "/days",
            "expected an integer: at least 1, at most 14, found 1.5",
        ),
        (
            r#"{"tags":[]"#,
            "/tags",
            "at least 1 item is needed here, found none",
        ),
        (
            r#"{"tags":["a","b","#,
            "/tags",
            "at most 2 items are allowed here: expected ']'",
        ),
        (
            r#"{"tags":["a",1"#,
            "/tags/1",
            "expected a string, found a number",
        ),
        (
            r#"{"city":"a","unit":null,"days":1,"tags":["x"],"#,
            "",
            "all allowed properties are given: expected '}'",
        ),
        (
            r#"{"city" ""#,
            "",
            "not valid JSON: expected ':', found a string",
        ),
        (
            "{\"city\":\"a\n",
            "/city",
            "not valid JSON: a control character in a string must be escaped, as \\n or \\u0000",
        ),
        (
            r#"{"city":"\ud800x"#,
            "/city",
            "not valid JSON: a \\u escape of half a surrogate pair stands alone",
        ),
    ];
    for (text, pointer, message) in cases {
        let mismatch = refuse(&weather, text);
        assert_eq!(mismatch.message, message, "{text}");
        assert_eq!(mismatch.pointer, pointer, "{text}");
        assert_eq!(mismatch.offset, text.len() - 1, "{text}");
    }
    accept(
        &weather,
        " {\"tags\":[\"a\"] ,\r\n\"days\":1.40e1,\"unit\":\"c\\u0065lsius\",\"city\":\"\u{1F600}\\ud83d\\ude00\"}\n",
    );
}

#[test]
fn offsets_are_those_of_the_refused_byte() {
    let schema = closed(json!({"a": {"const": "x"}}));
    assert_eq!(refuse(&schema, r#"{"b":1}"#).offset, 2);
    assert_eq!(refuse(&schema, r#"{"a":1}"#).offset, 5);
    assert_eq!(refuse(&schema, r#"{"a":"xy"}"#).offset, 7);
    assert_eq!(refuse(&schema, r#"{"a":"x"} {"#).offset, 10);
    assert_eq!(refuse(&schema, r#"{"a":"\u0079"}"#).offset, 11);
    assert_eq!(
        refuse(&schema, r#"{"a":"x\n"}"#).offset,
        7,
        "nothing may follow x"
    );
}

#[test]
fn alternatives_run_side_by_side_and_die_one_by_one() {
    let schema = json!({"anyOf": [
        closed(json!({"kind": {"const": "circle"}, "radius": {"type": "number"}})),
        closed(json!({"kind": {"const": "square"}, "side": {"type": "number"}})),
        {"type": "null"}
    ]});
    accept(&schema, r#"{"kind":"circle","radius":1.5}"#);
    accept(&schema, r#"{"side":2,"kind":"square"}"#);
    accept(&schema, "null");
    let mismatch = refuse(&schema, r#"{"kind":"circle","side":2}"#);
    assert_eq!((mismatch.offset, &*mismatch.pointer), (18, ""));
    assert_eq!(
        mismatch.message,
        r#"property 's...' is not allowed here; allowed: "radius""#
    );
    let mismatch = refuse(&schema, r#"{"kind":"triangle"}"#);
    assert_eq!(mismatch.message, r#"expected one of "circle", "square""#);
    let mismatch = refuse(&schema, r#"{"side":2,"kind":"circle"}"#);
    assert_eq!((mismatch.offset, &*mismatch.pointer), (18, "/kind"));
}

#[test]
fn recursion_goes_as_deep_as_the_bound() {
    let tree = json!({
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["value", "next"],
        "additionalProperties": false
    });
    let nested = |depth: usize| {
        format!(
            "{}null{}",
            r#"{"value":1,"next":"#.repeat(depth),
            "}".repeat(depth)
        )
    };
    accept(&tree, &nested(MAX_DEPTH));
    let mismatch = refuse(&tree, &nested(MAX_DEPTH + 1));
    assert_eq!(mismatch.message, "nested deeper than 64 levels");
    assert_eq!(mismatch.pointer, "/next".repeat(MAX_DEPTH));

    let list = json!({"$defs": {"node": closed(json!({"next": {"$ref": "#/$defs/node"}}))}, "$ref": "#/$defs/node"});
    assert_eq!(refuse(&list, "{").offset, 0, "no finite document fits");
}

#[test]
fn alias_cycles_and_dangling_references_are_refused() {
    let compile = |schema: Value| Automaton::compile(&schema).map(|_| ());
    assert!(matches!(
        compile(
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}, "$ref": "#/$defs/a"})
        ),
        Err(CompileError::AliasCycle { .. })
    ));
    assert!(matches!(
        compile(json!({"$ref": "#"})),
        Err(CompileError::AliasCycle { .. })
    ));
    assert!(matches!(
        compile(json!({"$ref": "#/$defs/none"})),
        Err(CompileError::Invalid { .. })
    ));
    assert!(matches!(
        compile(json!({"$ref": "https://example.com/schema.json"})),
        Err(CompileError::Unsupported { .. })
    ));
    let escaped =
        json!({"definitions": {"a/b~c d": {"type": "null"}}, "$ref": "#/definitions/a~1b~0c%20d"});
    accept(&escaped, "null");
}

#[test]
fn unsupported_keywords_name_themselves_and_can_be_left_out() {
    let schema = json!({
        "type": "object",
        "properties": {"a": {"type": "array", "uniqueItems": true, "items": {"type": "integer"}}},
        "patternProperties": {"^x": {"type": "string"}}
    });
    assert_eq!(
        Automaton::compile(&schema).map(|_| ()),
        Err(CompileError::Unsupported {
            keyword: "patternProperties".into(),
            pointer: String::new()
        })
    );
    let partial = Automaton::compile_partial(&schema).expect("compiles without them");
    assert_eq!(partial.skipped().len(), 2);
    let mut checker = ArgumentChecker::new(Arc::new(partial));
    assert_eq!(
        checker
            .push(br#"{"x":1,"a":[1,1,""#)
            .expect_err("a string")
            .pointer,
        "/a/2"
    );
}

#[test]
fn duplicate_names_are_refused_in_open_objects_too() {
    for schema in [
        json!(true),
        json!({"type": "object", "properties": {"a": {}}}),
    ] {
        accept(&schema, r#"{"a":1,"b":{"a":1,"b":2}}"#);
        let mismatch = refuse(&schema, r#"{"b":1,"a":2,"\u0062":3}"#);
        assert_eq!(
            (mismatch.offset, &*mismatch.message),
            (20, "property 'b' is given twice")
        );
    }
}

#[test]
fn whitespace_and_numbers_are_bounded() {
    let schema = json!(true);
    let spaces = |count: usize| format!("[{}]", " ".repeat(count));
    accept(&schema, &spaces(MAX_WHITESPACE as usize));
    assert_eq!(
        refuse(&schema, &spaces(MAX_WHITESPACE as usize + 1)).offset,
        1025
    );
    accept(&schema, &format!("[{}]", "1".repeat(MAX_NUMBER_BYTES)));
    refuse(&schema, &format!("[{}]", "1".repeat(MAX_NUMBER_BYTES + 1)));
    refuse(&schema, "[1e400]");
    accept(&schema, "1e308");
    assert!(checker(&schema).finish().is_err());
}

#[test]
fn state_stays_small_at_ten_levels_and_a_hundred_properties() {
    let mut schema = json!({"type": "string", "format": "date-time"});
    for level in 0..10 {
        let mut properties = serde_json::Map::new();
        for index in 0..100 {
            properties.insert(
                format!("property_{level}_{index}"),
                json!({"type": ["integer", "null"]}),
            );
        }
        properties.insert("inner".into(), schema);
        schema = closed(Value::Object(properties));
    }
    let mut checker = checker(&schema);
    let mut worst = checker.state_bytes();
    let mut text = String::new();
    for level in (0..10).rev() {
        text.push('{');
        for index in 0..100 {
            text.extend([&*format!("\"property_{level}_{index}\""), ": 1, "]);
        }
        text.push_str("\"inner\": ");
    }
    text.push_str("\"2024-02-29T12:00:00.000000000000000Z\"");
    text.push_str(&"}".repeat(10));
    for byte in text.bytes() {
        checker.push(&[byte]).expect("valid");
        worst = worst.max(checker.state_bytes());
    }
    assert!(checker.is_complete());
    assert!(worst < 4096, "{worst} bytes");
}

#[test]
fn one_of_is_exact_at_the_end() {
    let schema = json!({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 5}]});
    accept(&schema, "3");
    accept(&schema, "5.5");
    let mut checker = checker(&schema);
    checker.push(b"7").expect("may go on to 7.5");
    assert!(!checker.is_complete());
    assert!(checker.finish().is_err());
}

#[test]
fn the_verdict_has_pointers_bounds_and_no_network() {
    let validator =
        Validator::new(&json!({"type": "array", "items": {"type": "integer"}})).expect("ok");
    let many = Value::Array(vec![json!("x"); 100]);
    let errors = validator.verdict(&many).expect_err("all wrong");
    assert_eq!(errors.len(), crate::validator::MAX_ERRORS);
    assert_eq!(errors[3].pointer, "/3");
    assert!(Validator::new(&json!({"$ref": "https://example.com/x.json"})).is_err());
    assert!(Validator::new(&json!({"pattern": "(?=a)"})).is_err());
    assert!(Validator::new(&json!({"type": "strin"})).is_err());
    let draft4 = json!({"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 3, "exclusiveMaximum": true});
    assert!(
        !Validator::new(&draft4)
            .expect("draft 4")
            .is_valid(&json!(3))
    );
    let unknown = json!({"$schema": "https://example.com/own", "type": "null"});
    assert!(Validator::new(&unknown).is_ok_and(|validator| validator.is_valid(&json!(null))));
}

#[test]
fn the_nine_formats_hold_in_every_draft() {
    for draft in ["draft-06", "draft-07", "2019-09"] {
        let schema = match draft {
            "2019-09" => "https://json-schema.org/draft/2019-09/schema".to_owned(),
            old => format!("http://json-schema.org/{old}/schema#"),
        };
        for format in ["date", "time", "uuid", "duration", "email", "ipv4"] {
            let schema = json!({"$schema": schema, "type": "string", "format": format});
            refuse(&schema, "\"@@@\"");
            assert!(
                !Validator::new(&schema)
                    .expect("a schema")
                    .is_valid(&json!("@@@")),
                "{format}"
            );
        }
    }
}

#[test]
fn the_tables_of_one_schema_are_within_a_budget() {
    let compile = |count: usize, pattern: fn(usize) -> String| {
        let each = (0..count).map(|at| (format!("p{at}"), json!({"pattern": pattern(at)})));
        let properties: serde_json::Map<_, _> = each.collect();
        let schema = json!({"type": "object", "properties": properties});
        let automaton = Automaton::compile_partial(&schema).expect("an automaton");
        automaton.skipped().len()
    };
    assert_eq!(
        compile(500, |at| format!(
            "^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}{at}$"
        )),
        0
    );
    assert_eq!(compile(40, |at| format!("^[a-zA-Z0-9_-]{{1,255}}{at}$")), 0);
    // Each has a small table that is hard to find. The first are followed.
    let skipped = compile(60, |at| format!("^([a-z]{{1,60}}[0-9]?){{1,6}}x{at}$"));
    assert!((40..60).contains(&skipped), "{skipped}");
}
