//! Down-levelling: each server's trap by its name, and that nothing is lost.

use serde_json::{Value, json};
use strict_schema::{Dialect, Downleveled, downlevel};

fn for_engine(name: &str, schema: &Value) -> Downleveled {
    downlevel(schema, &Dialect::named(name).expect(name))
}

fn sent(name: &str, schema: Value) -> Value {
    for_engine(name, &schema).schema
}

fn lost(name: &str, schema: &Value) -> Vec<String> {
    for_engine(name, schema)
        .dropped
        .into_iter()
        .map(|change| change.pointer)
        .collect()
}

fn object(properties: Value) -> Value {
    let required: Vec<_> = properties
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

#[test]
fn openai_takes_what_is_strict_as_it_is() {
    let schema = object(json!({
        "id": {"type": "string", "pattern": r"\d", "minLength": 1, "format": "uuid", "description": "d"},
        "n": {"anyOf": [{"type": ["integer", "null"], "enum": [1]}, {"$ref": "#"}]},
        "list": {"type": "array", "items": {"type": "number", "multipleOf": 0.5}, "maxItems": 5000},
    }));
    let out = for_engine("openai", &schema);
    assert_eq!(out.schema.to_string(), schema.to_string());
    assert!(out.enforceable && out.dropped.is_empty());
}

#[test]
fn azure_is_sent_no_constraints() {
    let schema = object(json!({
        "s": {"type": "string", "pattern": "a", "format": "uuid", "minLength": 1},
        "n": {"type": "integer", "minimum": 1},
        "l": {"type": "array", "items": {"type": "string", "const": "x"}, "maxItems": 3},
    }));
    assert_eq!(
        sent("azure", schema.clone())["properties"],
        json!({
            "s": {"type": "string"},
            "n": {"type": "integer"},
            "l": {"type": "array", "items": {"type": "string", "const": "x"}},
        })
    );
    assert_eq!(
        lost("azure", &schema),
        [
            "/properties/s/pattern",
            "/properties/s/format",
            "/properties/s/minLength",
            "/properties/n/minimum",
            "/properties/l/maxItems"
        ]
    );
}

#[test]
fn xgrammar_has_no_names_by_pattern() {
    for name in ["vllm", "sglang"] {
        let schema = json!({
            "type": "object",
            "properties": {"a": {"type": "number", "multipleOf": 2}},
            "patternProperties": {"^x": {"type": "string"}},
            "propertyNames": {"maxLength": 3},
            "additionalProperties": false,
        });
        // Closed without the pattern it would refuse what the original takes.
        assert_eq!(
            sent(name, schema.clone()),
            json!({"type": "object", "properties": {"a": {"type": "number"}}, "additionalProperties": true})
        );
        assert_eq!(
            lost(name, &schema),
            [
                "/additionalProperties",
                "/patternProperties",
                "/propertyNames",
                "/properties/a/multipleOf"
            ]
        );
        // It closes what does not say that it is open.
        let open = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        assert_eq!(sent(name, open)["additionalProperties"], json!(true));
        // It matches a pattern against the whole string.
        let schema = json!({"type": "string", "pattern": "ab|c"});
        assert_eq!(sent(name, schema)["pattern"], json!("^.*(ab|c).*$"));
    }
}

#[test]
fn llama_cpp_fails_on_large_repetitions() {
    for bound in [1_999, 2_000, 100_000] {
        let schema = json!({"type": "string", "minLength": 1, "maxLength": bound});
        assert_eq!(
            sent("llama.cpp", schema),
            json!({"type": "string", "minLength": 1})
        );
        let schema = json!({"type": "array", "items": {"type": "string"}, "maxItems": bound});
        assert_eq!(
            sent("llama.cpp", schema.clone()),
            json!({"type": "array", "items": {"type": "string"}})
        );
        assert_eq!(lost("llama.cpp", &schema), ["/maxItems"]);
        let schema = json!({"type": "string", "pattern": format!("^(ab){{1,{bound}}}$")});
        assert_eq!(sent("llama.cpp", schema), json!({"type": "string"}));
    }
    let small = json!({"type": "string", "maxLength": 999});
    assert_eq!(sent("llama.cpp", small.clone()), small);
}

#[test]
fn llama_cpp_fails_on_objects_without_properties() {
    // Below the root it is said otherwise.
    let schema = object(json!({"none": object(json!({}))}));
    assert_eq!(
        sent("llama.cpp", schema.clone())["properties"]["none"],
        json!({"enum": [{}]})
    );
    assert!(lost("llama.cpp", &schema).is_empty());
    let schema = object(json!({"none": {"type": ["object", "null"], "properties": {}}}));
    assert_eq!(lost("llama.cpp", &schema), ["/properties/none"]);
    let root = object(json!({}));
    assert_eq!(sent("llama.cpp", root.clone()), json!({"type": "object"}));
    assert_eq!(lost("llama.cpp", &root), [""]);
}

#[test]
fn llama_cpp_takes_any_day_of_a_month_for_a_date() {
    for format in ["date", "time", "date-time", "uuid"] {
        let schema = json!({"type": "string", "format": format});
        assert_eq!(sent("llama.cpp", schema.clone()), schema);
        let expected: &[&str] = if format == "uuid" { &[] } else { &["/format"] };
        assert_eq!(lost("llama.cpp", &schema), expected, "{format}");
    }
}

#[test]
fn llama_cpp_bounds_integers_only() {
    let bounded = |types: Value| json!({"type": types, "minimum": 1, "exclusiveMaximum": 9});
    for types in [json!("integer"), json!(["integer", "null"])] {
        assert_eq!(sent("llama.cpp", bounded(types.clone())), bounded(types));
    }
    for types in [json!("number"), json!(["null", "number"])] {
        let schema = bounded(types.clone());
        assert_eq!(sent("llama.cpp", schema.clone()), json!({"type": types}));
        assert_eq!(
            lost("llama.cpp", &schema),
            ["/minimum", "/exclusiveMaximum"]
        );
        assert_eq!(sent("vllm", schema.clone()), schema);
    }
}

#[test]
fn llama_cpp_fails_on_many_schemas() {
    let properties: serde_json::Map<_, _> = (0..3_000)
        .map(|i| {
            (
                format!("property_{i}"),
                json!({"type": "string", "description": "about it"}),
            )
        })
        .collect();
    assert!(!for_engine("llama.cpp", &object(properties.clone().into())).enforceable);
    assert!(for_engine("vllm", &object(properties.into())).enforceable);
    assert_eq!(
        Dialect::named("llama.cpp").unwrap().max_schema_bytes,
        Some(90_000)
    );
}

#[test]
fn ollama_is_silent_about_classes_anchors_and_references() {
    let schema = json!({
        "type": "object",
        "properties": {
            "when": {"type": "string", "pattern": r"\d{4}-\d{2}"},
            "pet": {"$ref": "#/$defs/Pet", "description": "the pet"},
        },
        "$defs": {
            "Pet": {"type": "object", "properties": {"tag": {"$ref": "#/$defs/Tag"}}},
            "Tag": {"type": "string", "description": "a tag"},
        },
    });
    let out = for_engine("ollama", &schema);
    assert_eq!(
        out.schema,
        json!({
            "type": "object",
            "properties": {
                "when": {"type": "string", "pattern": "^.*([0-9]{4}-[0-9]{2}).*$"},
                "pet": {
                    "type": "object",
                    "properties": {"tag": {"type": "string", "description": "a tag"}},
                    "description": "the pet",
                },
            },
        })
    );
    assert!(out.enforceable && out.dropped.is_empty());
    // What cannot be written in its dialect is not sent, and we check it.
    let schema = json!({"type": "string", "pattern": r"^\p{L}+$"});
    assert_eq!(sent("ollama", schema.clone()), json!({"type": "string"}));
    assert_eq!(lost("ollama", &schema), ["/pattern"]);
}

#[test]
fn recursion_is_cut_where_references_are_inlined() {
    let schema = json!({
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/Tree"}, "all": {"$ref": "#"}},
        "$defs": {"Tree": {
            "type": "object",
            "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
        }},
    });
    for name in ["ollama", "tgi"] {
        let out = for_engine(name, &schema);
        let tree = &out.schema["properties"]["tree"];
        assert_eq!(tree["properties"]["children"]["items"], json!({}));
        assert_eq!(out.schema["properties"]["all"], json!({}));
        assert!(!out.schema.to_string().contains("$ref"));
        assert_eq!(
            lost(name, &schema),
            ["/$defs/Tree/properties/children/items", "/properties/all"]
        );
    }
    assert_eq!(
        sent("vllm", schema.clone())["$defs"]["Tree"]["properties"]["children"],
        schema["$defs"]["Tree"]["properties"]["children"]
    );
}

#[test]
fn a_reference_bomb_is_cut_at_once() {
    let definitions: serde_json::Map<_, _> = (0..30)
        .map(|i| {
            let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
            (format!("d{i}"), json!({"anyOf": [next, next]}))
        })
        .chain([("d30".to_owned(), json!({"type": "null"}))])
        .collect();
    let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": definitions});
    let started = std::time::Instant::now();
    let out = for_engine("ollama", &schema);
    assert!(started.elapsed().as_millis() < 1_000);
    assert!(!out.dropped.is_empty() && out.dropped.len() <= 100);
}

#[test]
fn tgi_makes_one_regular_expression() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}});
    assert_eq!(
        sent("tgi", schema)["properties"]["n"],
        json!({"type": "integer"})
    );
}

#[test]
fn deepseek_refuses_a_union_at_the_root() {
    let schema = json!({"anyOf": [{"type": "object"}, {"type": "null"}]});
    assert!(!for_engine("deepseek", &schema).enforceable);
    assert!(for_engine("vllm", &schema).enforceable);
    let schema = object(json!({"s": {"type": "string", "minLength": 1, "format": "email"}}));
    assert_eq!(
        sent("deepseek", schema)["properties"]["s"],
        json!({"type": "string", "format": "email"})
    );
}

#[test]
fn generic_is_sent_what_all_take() {
    let schema =
        json!({"type": "string", "const": "x", "format": "uuid", "x-order": 1, "$comment": "c"});
    assert_eq!(
        sent("generic", schema),
        json!({"type": "string", "enum": ["x"]})
    );
}

#[test]
fn what_no_engine_has_is_loosened() {
    let schema = json!({
        "type": "object",
        "properties": {
            "one": {"oneOf": [{"type": "string"}, {"type": "string", "minLength": 3}]},
            "not": {"type": "string", "not": {"const": "x"}},
            "all": {"allOf": [{"type": "string", "minLength": 2}], "description": "d"},
            "many": {"allOf": [{"type": "string"}, {"minLength": 2}]},
            "tuple": {"type": "array", "prefixItems": [{"type": "string"}], "items": false},
            "old": {"type": "array", "items": [{"type": "string"}], "additionalItems": false},
            "away": {"$ref": "https://example.com/x"},
            "any": true,
        },
    });
    let out = sent("vllm", schema.clone());
    assert_eq!(
        out["properties"],
        json!({
            "one": {"anyOf": [{"type": "string"}, {"type": "string", "minLength": 3}]},
            "not": {"type": "string"},
            "all": {"description": "d", "type": "string", "minLength": 2},
            "many": {},
            "tuple": {"type": "array"},
            "old": {"type": "array"},
            "away": {},
            "any": {},
        })
    );
    assert_eq!(
        lost("vllm", &schema),
        [
            "/properties/one/oneOf",
            "/properties/not/not",
            "/properties/many/allOf",
            "/properties/tuple/items",
            "/properties/tuple/prefixItems",
            "/properties/old/items",
            "/properties/away"
        ]
    );
    for nothing in [
        json!(true),
        json!([]),
        json!({"not": {}}),
        json!({"description": "d"}),
    ] {
        assert!(!for_engine("vllm", &nothing).enforceable, "{nothing}");
    }
}
