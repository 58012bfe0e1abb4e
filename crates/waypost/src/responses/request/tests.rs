use proptest::prelude::*;

use super::*;
use crate::{
    config::{HostedTools, ToolsConfig},
    metrics::Metrics,
};

fn parse(body: &Value) -> Result<CreateRequest> {
    let preparer = Preparer::new(&ToolsConfig::default(), &Metrics::new()).unwrap();
    let mut request = super::parse(body, &preparer, HostedTools::Ignore)?;
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
            with(json!({"tools": [{"type": "computer_use_preview"}]})),
            "Unsupported parameter: 'tools[0].type'. Tools of type 'computer_use_preview' are not supported; this server has tools of type 'function', 'custom', 'namespace', 'tool_search', 'mcp', 'local_shell', 'shell', 'apply_patch', 'computer'.",
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

/// What is left out before the whole is checked moves no place.
#[test]
fn errors_name_places_of_the_input_as_it_came() {
    let searched = json!({"type": "web_search_call", "id": "ws_1", "status": "completed"});
    let said = json!({"role": "user", "content": "x"});
    let named = json!({"type": "namespace", "name": "crm", "description": "d", "tools": [
        {"type": "function", "name": "f", "parameters": {"type": "object"}}]});
    let hosted = json!({"type": "web_search"});
    let deferred = json!({"type": "function", "name": "f", "defer_loading": true,
        "parameters": {"type": "object"}});
    for (body, param) in [
        (
            json!({"input": [searched, said,
                {"type": "function_call_output", "output": "1"}]}),
            "input[2].call_id",
        ),
        (
            json!({"tools": [named], "input": [searched, said, searched,
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "a", "output": "1"}]}),
            "input[3].namespace",
        ),
        (
            json!({"tools": [hosted, hosted, deferred]}),
            "tools[2].defer_loading",
        ),
        (
            json!({"tools": [hosted, {"type": "custom", "name": "c"}], "tool_choice": {
                "type": "allowed_tools", "mode": "auto",
                "tools": [hosted, {"type": "custom", "name": "c"},
                    {"type": "function", "name": "nope"}]}}),
            "tool_choice.tools[2]",
        ),
    ] {
        let (message, named, _) = refused(&with(body));
        assert_eq!(named, json!(param), "{message}");
    }
}

#[test]
fn what_would_be_violated_in_silence_is_refused_by_name() {
    for field in ["conversation", "prompt", "context_management", "moderation"] {
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
fn items_of_what_is_not_done_here_are_refused_by_name() {
    for kind in [
        "compaction",
        "compaction_trigger",
        "configuration_update",
        "program",
        "program_output",
    ] {
        let body = with(json!({"input": [{"role": "user", "content": "x"}, {"type": kind}]}));
        let (message, param, code) = refused(&body);
        assert_eq!(param, json!("input[1].type"), "{kind}");
        assert_eq!(code, json!("unsupported_parameter"), "{kind}");
        assert!(
            message.contains(&format!("Items of type '{kind}'")),
            "{message}"
        );
    }
}

#[test]
fn what_a_prompt_cache_is_told_is_read_and_echoed() {
    let echo = |options: Value| {
        let request = parse(&with(json!({"prompt_cache_options": options}))).unwrap();
        (
            request.echo.get("prompt_cache_options").cloned(),
            request
                .generation
                .hints
                .get("prompt_cache_options")
                .cloned(),
        )
    };
    assert_eq!(echo(json!(null)), (None, None));
    assert_eq!(
        echo(json!({})),
        (
            Some(json!({"mode": "implicit", "ttl": "30m"})),
            Some(json!({}))
        )
    );
    let asked = json!({"mode": "explicit", "ttl": "12h", "comparison_response_id": "resp_1",
        "prewarm": false});
    let (echoed, sent) = echo(asked);
    assert_eq!(
        echoed,
        Some(json!({"mode": "explicit", "ttl": "12h", "comparison_response_id": "resp_1"}))
    );
    assert_eq!(
        sent,
        Some(json!({"mode": "explicit", "ttl": "12h", "prewarm": false}))
    );
    for (options, param, code) in [
        (json!("x"), "prompt_cache_options", "invalid_type"),
        (
            json!({"mode": "x"}),
            "prompt_cache_options.mode",
            "invalid_value",
        ),
        (
            json!({"ttl": "24h"}),
            "prompt_cache_options.ttl",
            "invalid_value",
        ),
        (
            json!({"prewarm": true}),
            "prompt_cache_options.prewarm",
            "unsupported_parameter",
        ),
        (
            json!({"x": 1}),
            "prompt_cache_options.x",
            "unknown_parameter",
        ),
    ] {
        let refused = refused(&with(json!({"prompt_cache_options": options})));
        assert_eq!((refused.1, refused.2), (json!(param), json!(code)));
    }
    let parts = |point: Value| {
        with(json!({"input": [{"role": "user", "content": [
            {"type": "input_text", "text": "x", "prompt_cache_breakpoint": point},
            {"type": "input_image", "image_url": "u", "prompt_cache_breakpoint": point},
            {"type": "input_file", "file_data": "d", "prompt_cache_breakpoint": point},
        ]}]}))
    };
    let point = json!({"mode": "explicit", "ttl": "30m"});
    let items = parse(&parts(point.clone())).unwrap().generation.items;
    let content = items[0]["content"].as_array().unwrap();
    assert_eq!(content.len(), 3);
    for part in content {
        assert_eq!(part["prompt_cache_breakpoint"], point);
    }
    assert!(parse(&parts(json!(null))).is_ok());
    for (point, at) in [
        (json!({}), "mode"),
        (json!({"mode": "implicit"}), "mode"),
        (json!({"mode": "explicit", "ttl": "1h"}), "ttl"),
    ] {
        let param = refused(&parts(point)).1;
        assert_eq!(
            param,
            json!(format!("input[0].content[0].prompt_cache_breakpoint.{at}"))
        );
    }
}

#[test]
fn files_by_id_are_refused_by_name() {
    for (part, name) in [
        (
            json!({"type": "input_file", "file_id": "file_1"}),
            "file_data",
        ),
        (
            json!({"type": "input_image", "file_id": "file_1"}),
            "image_url",
        ),
    ] {
        let body = with(json!({"input": [{"role": "user", "content": [part]}]}));
        let (message, param, code) = refused(&body);
        assert_eq!(param, json!("input[0].content[0].file_id"));
        assert_eq!(code, json!("unsupported_parameter"));
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn a_safety_identifier_has_up_to_128_characters() {
    let with_length = |length: usize| with(json!({"safety_identifier": "é".repeat(length)}));
    assert!(parse(&with_length(128)).is_ok());
    let (_, param, code) = refused(&with_length(129));
    assert_eq!(
        (param, code),
        (json!("safety_identifier"), json!("string_above_max_length"))
    );
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
