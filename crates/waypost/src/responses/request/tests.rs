use proptest::prelude::*;

use super::*;
use crate::{config::ToolsConfig, metrics::Metrics};

fn parse(body: &Value) -> Result<CreateRequest> {
    let preparer = Preparer::new(&ToolsConfig::default(), &Metrics::new()).unwrap();
    let mut request = super::parse(body, &preparer)?;
    request.after(Vec::new())?;
    Ok(request)
}

fn refused(body: &Value) -> (String, Value, Value) {
    let error = parse(body).unwrap_err();
    let error: Value = serde_json::from_slice(&error.to_json()).unwrap();
    let error = &error["error"];
    (
        error["message"].as_str().unwrap().to_owned(),
        error["param"].clone(),
        error["code"].clone(),
    )
}

fn with(extra: Value) -> Value {
    let mut body = json!({"model": "m", "input": "hi"});
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn the_least_request_gets_the_documented_defaults() {
    let request = parse(&json!({"model": "m", "input": "hi"})).unwrap();
    assert!(request.store && !request.stream && !request.background);
    assert_eq!(request.generation.items[0]["content"][0]["text"], "hi");
    for (key, value) in [
        ("temperature", json!(1.0)),
        ("top_p", json!(1.0)),
        ("tool_choice", json!("auto")),
        ("tools", json!([])),
        ("parallel_tool_calls", json!(true)),
        ("truncation", json!("disabled")),
        ("text", json!({"format": {"type": "text"}})),
        ("reasoning", json!({"effort": null, "summary": null})),
        ("metadata", json!({})),
        ("service_tier", json!("default")),
    ] {
        assert_eq!(request.echo[key], value, "{key}");
    }
}

#[test]
fn errors_name_the_path_and_what_would_be_right() {
    for (body, message, param, code) in [
        (
            json!({"input": "x"}),
            "Missing required parameter: 'model'.",
            json!("model"),
            "missing_required_parameter",
        ),
        (
            json!({"model": "m"}),
            "Missing required parameter: 'input'.",
            json!("input"),
            "missing_required_parameter",
        ),
        (
            with(json!({"temperatur": 1})),
            "Unknown parameter: 'temperatur'.",
            json!("temperatur"),
            "unknown_parameter",
        ),
        (
            with(json!({"temperature": "hot"})),
            "Invalid type for 'temperature': expected a decimal, but got a string instead.",
            json!("temperature"),
            "invalid_type",
        ),
        (
            with(json!({"temperature": 3})),
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
            json!("temperature"),
            "decimal_above_max_value",
        ),
        (
            with(json!({"max_output_tokens": -1})),
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got -1 instead.",
            json!("max_output_tokens"),
            "integer_below_min_value",
        ),
        (
            with(json!({"input": [{"role": "boss", "content": "x"}]})),
            "Invalid value: 'boss'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
            json!("input[0].role"),
            "invalid_value",
        ),
        (
            with(json!({"input": [{"role": "user", "content": [{"type": "input_text"}]}]})),
            "Missing required parameter: 'input[0].content[0].text'.",
            json!("input[0].content[0].text"),
            "missing_required_parameter",
        ),
        (
            with(json!({"tools": [{"type": "web_search"}]})),
            "Unsupported parameter: 'tools[0].type'. Tools of type 'web_search' are not supported; this server has tools of type 'function', 'custom', 'namespace', 'tool_search', 'mcp'.",
            json!("tools[0].type"),
            "unsupported_parameter",
        ),
        (
            with(json!({"metadata": {"a": 1}})),
            "Invalid type for 'metadata.a': expected a string, but got an integer instead.",
            json!("metadata.a"),
            "invalid_type",
        ),
        (
            json!([]),
            "Invalid type for the request body: expected an object, but got an array instead.",
            Value::Null,
            "invalid_type",
        ),
    ] {
        assert_eq!(refused(&body), (message.to_owned(), param, json!(code)));
    }
}

#[test]
fn what_would_be_violated_in_silence_is_refused_by_name() {
    for field in [
        "conversation",
        "prompt",
        "context_management",
        "moderation",
        "prompt_cache_options",
    ] {
        let mut body = with(json!({}));
        body[field] = json!({"id": "x"});
        let (_, param, code) = refused(&body);
        assert_eq!(
            (param, code),
            (json!(field), json!("unsupported_parameter"))
        );
        body[field] = Value::Null;
        assert!(parse(&body).is_ok());
    }
}

#[test]
fn items_that_clients_were_given_can_be_sent_back() {
    let request = parse(&with(json!({"input": [
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "phase": "final_answer",
         "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}]},
        {"id": "rs_1", "type": "reasoning", "summary": [], "content": [], "encrypted_content": "x", "status": null},
        {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    ]})))
    .unwrap();
    let items = request.generation.items;
    assert_eq!(items[0]["id"], "msg_1");
    assert_eq!(items[0]["phase"], "final_answer");
    assert_eq!(items[1]["encrypted_content"], "x");
    assert!(items[3]["id"].as_str().unwrap().starts_with("fco_"));
}

#[test]
fn logprobs_are_wanted_by_include_or_by_top_logprobs() {
    let top = |extra| parse(&with(extra)).unwrap().generation.top_logprobs;
    assert_eq!(top(json!({})), None);
    assert_eq!(
        top(json!({"include": ["message.output_text.logprobs"]})),
        Some(0)
    );
    assert_eq!(top(json!({"top_logprobs": 3})), Some(3));
    assert_eq!(
        refused(&with(json!({"include": ["nonsense"]}))).1,
        json!("include[0]")
    );
}

/// Values built of the words that requests are made of.
fn anything() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "type",
        "function",
        "custom",
        "namespace",
        "tool_search",
        "mcp",
        "name",
        "tools",
        "input",
        "parameters",
        "strict",
        "format",
        "grammar",
        "syntax",
        "lark",
        "regex",
        "definition",
        "properties",
        "object",
        "required",
        "anyOf",
        "$ref",
        "#/$defs/a",
        "$defs",
        "items",
        "enum",
        "call_id",
        "function_call",
        "function_call_output",
        "custom_tool_call_output",
        "output",
        "arguments",
        "additional_tools",
        "tool_search_output",
        "role",
        "developer",
        "execution",
        "client",
        "content",
        "id",
        "fc_1",
        "allowed_tools",
        "mode",
        "auto",
        "json_object",
        "text",
        "defer_loading",
        "description",
        "output_schema",
        "message",
    ];
    let word = || proptest::sample::select(WORDS).prop_map(str::to_owned);
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
        6 => word().prop_map(Value::from),
        1 => "\\PC{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => proptest::collection::vec((word(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever is sent is read or refused with a sentence.
    #[test]
    fn nothing_makes_the_reader_panic(
        tools in proptest::collection::vec(anything(), 0..4),
        items in proptest::collection::vec(anything(), 0..4),
        choice in anything(),
        text in anything(),
    ) {
        let mut body = with(json!({"tools": tools, "input": items, "tool_choice": choice}));
        if let Err(error) = parse(&body) {
            prop_assert!(error.status().is_client_error(), "{}", error.message());
        }
        body["text"] = text;
        let _ = parse(&body);
    }
}
