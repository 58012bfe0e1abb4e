//! Decisions of the stand-in engine, what breaks and what it refuses.

use serde_json::{Value, json};

use super::super::script::Script;
use super::*;

/// What a chat request with these fields is answered with.
fn plan(query: &str, request: &Value) -> Result<Plan, String> {
    let script = Script::from_query(query).unwrap();
    answer(&script, request.to_string().as_bytes(), true).map_err(|refused| {
        refused.body["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned()
    })
}

/// `name:arguments` of calls, texts as they are.
fn told(query: &str, request: &Value) -> Vec<String> {
    let told = |part| match part {
        Part::Say(text) => text,
        Part::Call(call) => format!("{}:{}", call.name, call.arguments),
    };
    plan(query, request)
        .unwrap()
        .parts
        .into_iter()
        .map(told)
        .collect()
}

fn tools() -> Value {
    let tool = |name: &str, field: &str| {
        json!({"type": "function", "function": {"name": name, "parameters":
            {"type": "object", "properties": {field: {"type": "string"}}, "required": [field]}}})
    };
    json!([tool("first", "a"), tool("second", "b")])
}

const FIRST: &str = r#"first:{"a":"a"}"#;
const SECOND: &str = r#"second:{"b":"b"}"#;

#[test]
fn tool_choice_decides_who_is_called() {
    let named = json!({"type": "function", "function": {"name": "second"}});
    let flat = json!({"type": "function", "name": "second"});
    let allowed = |mode: &str| {
        json!({"type": "allowed_tools", "allowed_tools": {"mode": mode,
            "tools": [{"type": "function", "function": {"name": "second"}}]}})
    };
    let none: &[&str] = &[];
    for (choice, calls, text) in [
        (json!(null), &[FIRST][..], none),
        (json!("auto"), &[FIRST], none),
        (json!("none"), none, none),
        (json!("required"), &[FIRST], &[FIRST]),
        (named, &[SECOND], &[SECOND]),
        (flat, &[SECOND], &[SECOND]),
        (allowed("auto"), &[SECOND], none),
        (allowed("required"), &[SECOND], &[SECOND]),
    ] {
        let request = json!({"tools": tools(), "tool_choice": choice});
        assert_eq!(told("generate=calls", &request), calls, "{choice}");
        assert_eq!(told("generate=text", &request), text, "{choice}");
        let ignoring = told("generate=calls&ignores=tool_choice", &request);
        assert_eq!(ignoring, [FIRST], "{choice}");
        assert!(told("generate=calls&ignores=tools", &request).is_empty());
    }
}

#[test]
fn several_calls_unless_the_request_forbids_them() {
    let mut request = json!({"tools": tools()});
    assert_eq!(told("generate=calls&tools=2", &request), [FIRST, SECOND]);
    let names = "generate=calls&tools=2&tool_names=second";
    assert_eq!(told(names, &request), [SECOND, SECOND]);
    request["parallel_tool_calls"] = json!(false);
    assert_eq!(told("generate=calls&tools=2", &request), [FIRST]);
    let ignoring = "generate=calls&tools=2&ignores=parallel_tool_calls";
    assert_eq!(told(ignoring, &request), [FIRST, SECOND]);
}

#[test]
fn forced_calls_go_on_after_the_rounds_and_open_ones_end() {
    let script = Script::from_query("generate=calls").unwrap();
    let parts = |request: Value| {
        answer(&script, request.to_string().as_bytes(), false)
            .unwrap()
            .parts
            .len()
    };
    assert_eq!(parts(json!({"tools": tools()})), 0);
    assert_eq!(
        parts(json!({"tools": tools(), "tool_choice": "required"})),
        1
    );
}

#[test]
fn the_format_is_read_from_every_servers_words() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}},
        "required": ["city"]});
    let text = r#"{"city":"city"}"#;
    for (request, expected) in [
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}),
            text,
        ),
        (json!({"response_format": {"type": "json_object"}}), "{}"),
        (
            json!({"response_format": {"type": "json_object", "schema": schema}}),
            text,
        ),
        (
            json!({"response_format": {"type": "json", "value": schema}}),
            text,
        ),
        (
            json!({"text": {"format": {"type": "json_schema", "schema": schema}}}),
            text,
        ),
        (json!({"structured_outputs": {"json": schema}}), text),
        (
            json!({"structured_outputs": {"json": schema.to_string()}}),
            text,
        ),
        (
            json!({"structured_outputs": {"choice": ["yes", "no"]}}),
            "yes",
        ),
        (json!({"structured_outputs": {"regex": "^[a-z]{2}$"}}), "aa"),
        (json!({"regex": "x+"}), "x"),
        (json!({"json_schema": schema}), text),
        (json!({"json_schema": schema.to_string()}), text),
        (json!({"grammar": {"type": "json", "value": schema}}), text),
        (json!({"format": schema}), text),
        (json!({"format": "json"}), "{}"),
    ] {
        assert_eq!(told("generate=text", &request), [expected], "{request}");
        assert!(told("generate=text&ignores=format", &request).is_empty());
    }
    let grammar = json!({"grammar": "root ::= [a-z]+"});
    assert!(
        plan("generate=text", &grammar)
            .unwrap_err()
            .contains("grammar")
    );
    assert_eq!(told("generate=text&say=abc", &grammar), ["abc"]);
}

#[test]
fn custom_tools_namespaces_and_empty_parameters() {
    let request = json!({"tools": [
        {"type": "custom", "custom": {"name": "chat_regex", "format": {"type": "grammar",
            "grammar": {"syntax": "regex", "definition": "[0-9]{3}"}}}},
        {"type": "custom", "name": "flat_text"},
        {"type": "custom", "name": "lark", "format": {"type": "grammar", "syntax": "lark",
            "definition": "start: \"a\""}},
        {"type": "namespace", "name": "crm", "description": "", "tools": [
            {"type": "function", "name": "find", "parameters": null}]},
    ]});
    let all = "generate=calls&tools=4&custom=lark:a";
    let parts = plan(all, &request).unwrap().parts;
    let calls: Vec<(CallKind, &str, Option<&str>, &str)> = parts
        .iter()
        .map(|part| match part {
            Part::Call(c) => (
                c.kind,
                c.name.as_str(),
                c.namespace.as_deref(),
                c.arguments.as_str(),
            ),
            Part::Say(text) => panic!("{text}"),
        })
        .collect();
    let expected = [
        (CallKind::Custom, "chat_regex", None, "000"),
        (CallKind::Custom, "flat_text", None, ANY_INPUT),
        (CallKind::Custom, "lark", None, "a"),
        (CallKind::Function, "find", Some("crm"), "{}"),
    ];
    assert_eq!(calls, expected);
    let own = told(
        "generate=calls&tools=4&custom=lark:b&call=find:[]&call=flat_text:x",
        &request,
    );
    assert_eq!(own[1..], ["flat_text:free text", "lark:b", "find:[]"]);
    let error = plan("generate=calls&tools=4", &request).unwrap_err();
    assert!(error.contains("`lark`"), "{error}");
}

#[test]
fn every_break_breaks_and_says_where_it_cannot() {
    let schema = json!({"type": "object", "properties": {
        "unit": {"enum": ["C", "F"]}, "city": {"type": "string"}, "days": {"type": "integer"},
        "deep": {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"],
            "additionalProperties": false},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
        "required": ["unit", "city", "days", "deep", "tags"], "additionalProperties": false});
    let request = |schema: &Value| json!({"tools": [{"type": "function", "name": "f", "parameters": schema}]});
    let whole = r#"{"unit":"C","city":"city","days":1,"deep":{"on":true},"tags":["tags"]}"#;
    let full = format!("f:{whole}");
    assert_eq!(told("generate=calls", &request(&schema)), [full.as_str()]);
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (name, expected) in [
        ("fence", format!("```json\n{whole}\n```")),
        (
            "think",
            format!("<think>\nThe tool wants {{}}.\n</think>\n{whole}"),
        ),
        (
            "prose",
            format!("Sure, here it is:\n{whole}\nAnything else?"),
        ),
        ("not_json", "I would rather not.".to_owned()),
        ("trailing_comma", whole.replace("]}", "],}")),
        ("unclosed", whole[..whole.len() - 1].to_owned()),
        ("truncated", whole[..whole.len() / 2].to_owned()),
        ("single_quotes", whole.replace('"', "'")),
        ("python", whole.replace("true", "True")),
        ("string_number", whole.replace(":1", ":\"1\"")),
        ("wrong_type", whole.replace("\"C\"", "7")),
        (
            "extra_key",
            whole.replace("]}", "],\"unexpected_key\":true}"),
        ),
        ("missing_key", whole.replace("\"unit\":\"C\",", "")),
        ("wrong_enum", whole.replace("\"C\"", "\"not_in_the_enum\"")),
        ("bare_item", whole.replace("[\"tags\"]", "\"tags\"")),
    ] {
        let plan = plan(&format!("generate=calls&break={name}"), &request(&schema)).unwrap();
        let [Part::Call(call)] = plan.parts.as_slice() else {
            panic!("{name}")
        };
        assert_eq!(call.arguments, expected, "{name}");
        let valid = serde_json::from_str(&call.arguments)
            .is_ok_and(|value: Value| validator.is_valid(&value));
        assert!(!valid, "{name}");
        assert_eq!(plan.truncated, name == "truncated");
    }
    let nothing = json!({"type": "object", "properties": {}, "required": []});
    for name in [
        "trailing_comma",
        "python",
        "string_number",
        "wrong_type",
        "missing_key",
        "wrong_enum",
        "bare_item",
        "single_quotes",
    ] {
        let error = plan(&format!("generate=calls&break={name}"), &request(&nothing)).unwrap_err();
        assert!(error.contains("nothing to break"), "{name}: {error}");
    }
}

#[test]
fn breaks_may_spare_what_a_strict_engine_constrains() {
    let mut request = json!({"tools": [{"type": "function", "name": "f", "strict": false,
        "parameters": {"type": "object", "properties": {}}}]});
    let query = "generate=calls&break=fence&break_when=not_strict";
    assert_eq!(told(query, &request), ["f:```json\n{}\n```"]);
    request["tools"][0]["strict"] = json!(true);
    assert_eq!(told(query, &request), ["f:{}"]);
    request["tools"][0]["strict"] = json!(false);
    request["tool_choice"] = json!("required");
    assert_eq!(told(query, &request), ["f:{}"]);
}

#[test]
fn pretty_is_valid_json_with_white_space() {
    let request = json!({"format": {"type": "object", "properties": {"a": {"type": "array",
        "items": {"type": "integer"}, "minItems": 1}, "b": {"type": "object"}}, "required": ["a", "b"]}});
    let [text] = told("generate=text&pretty=1", &request).try_into().unwrap();
    assert_eq!(text, "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}");
}

#[test]
fn refusals_name_the_keyword_in_the_servers_words() {
    let request = json!({"model": "m", "tools": [
        {"type": "function", "function": {"name": "fine", "parameters":
            {"type": "object", "properties": {"pattern": {"enum": [{"pattern": 1}]}}}}},
        {"type": "function", "function": {"name": "f", "parameters":
            {"type": "object", "properties": {"a": {"type": "string", "pattern": "a"}}}}}]});
    let refused = |query: &str, request: &Value| {
        let script = Script::from_query(query).unwrap();
        refuse(&script, request.to_string().as_bytes())
            .err()
            .map(|refused| refused.body)
    };
    let body = refused("refuse_keywords=format,pattern", &request).unwrap();
    assert_eq!(body["error"]["param"], "tools[1].function.parameters");
    assert_eq!(body["error"]["code"], "invalid_function_parameters");
    let body = refused("refuse_keywords=pattern&refuse_style=llama.cpp", &request).unwrap();
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("failed to parse grammar")
    );
    assert_eq!(
        refused(
            "refuse_keywords=maxLength&refuse_fields=tool_choice",
            &request
        ),
        None
    );
    for (style, part) in [
        ("openai", "'tools'"),
        ("llama.cpp", "--jinja"),
        ("vllm", "--enable-auto-tool-choice"),
        ("sglang", "tools"),
        ("ollama", "m does not support tools"),
    ] {
        let body = refused(
            &format!("refuse_fields=tools&refuse_style={style}"),
            &request,
        )
        .unwrap();
        assert!(body.to_string().contains(part), "{style}: {body}");
    }
    let format = json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object",
        "$defs": {"x": {"type": "string", "maxLength": 3000}}}}}});
    let body = refused("refuse_keywords=maxLength", &format).unwrap();
    assert_eq!(body["error"]["param"], "response_format");
}
