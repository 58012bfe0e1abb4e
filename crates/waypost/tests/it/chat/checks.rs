//! What is refused, in the API's own words, before any model server is asked.

use serde_json::{Value, json};

use super::PATH;
use crate::support::World;

/// A request with these fields.
fn ask(more: Value) -> Value {
    let mut body =
        json!({"model": "chat?tokens=1", "messages": [{"role": "user", "content": "x"}]});
    let fields = body.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    body
}

fn function(function: Value) -> Value {
    json!({"tools": [{"type": "function", "function": function}]})
}

fn closed() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
        "additionalProperties": false})
}

async fn refuses(
    world: &World,
    body: Value,
    message: &str,
    param: Option<&str>,
    code: Option<&str>,
) {
    let reply = world.client().post(PATH, body.clone()).await;
    assert_eq!(reply.status, 400, "{body}: {}", reply.text);
    let error = &reply.json["error"];
    assert_eq!(error["message"], message, "{body}");
    assert_eq!(error["type"], "invalid_request_error", "{body}");
    assert_eq!(error["param"].as_str(), param, "{body}");
    assert_eq!(error["code"].as_str(), code, "{body}");
}

#[tokio::test]
async fn schemas() {
    let world = World::start().await;
    let open = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let body = ask(function(
        json!({"name": "f", "strict": true, "parameters": open}),
    ));
    let reply = world.client().post(PATH, body).await;
    assert_eq!(reply.status, 400);
    let error = &reply.json["error"];
    assert_eq!(
        error["message"],
        "Invalid schema for function 'f': In context=(), 'additionalProperties' is required to be \
         supplied and to be false."
    );
    assert_eq!(error["param"], "tools[0].function.parameters");
    assert_eq!(error["code"], "invalid_function_parameters");
    let details = error["details"].as_array().expect("details");
    assert_eq!(details[0]["message"], error["message"]);
    assert!(
        details.iter().any(|d| d["message"]
            .as_str()
            .is_some_and(|m| m.contains("Missing 'a'"))),
        "{details:?}"
    );
    for strict in [json!(null), json!(false), json!(true)] {
        let body = ask(function(
            json!({"name": "f", "strict": strict, "parameters": {"type": "array", "items": {}}}),
        ));
        let message = "Invalid schema for function 'f': schema must be a JSON Schema of 'type: \
                       \"object\"', got 'type: \"array\"'.";
        let param = Some("tools[0].function.parameters");
        let code = Some("invalid_function_parameters");
        refuses(&world, body, message, param, code).await;
        let union = json!({"type": "object", "properties": {}, "anyOf": [{"type": "object"}]});
        let body = ask(function(
            json!({"name": "f", "strict": strict, "parameters": union}),
        ));
        let message = "Invalid schema for function 'f': schema must have type 'object' and not \
                       have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.";
        refuses(&world, body, message, param, code).await;
    }
    let body = ask(
        json!({"response_format": {"type": "json_schema", "json_schema":
        {"name": "n", "strict": true, "schema": open}}}),
    );
    let message = "Invalid schema for response_format 'n': In context=(), \
                   'additionalProperties' is required to be supplied and to be false.";
    refuses(
        &world,
        body,
        message,
        Some("response_format"),
        Some("invalid_json_schema"),
    )
    .await;
    let body = ask(json!({"functions": [{"name": "f", "parameters": {"type": "string"}}]}));
    let message = "Invalid schema for function 'f': schema must be a JSON Schema of 'type: \
                   \"object\"', got 'type: \"string\"'.";
    let code = Some("invalid_function_parameters");
    refuses(&world, body, message, Some("functions[0].parameters"), code).await;
    assert_eq!(
        world.upstream.requests().len(),
        0,
        "a model server was asked"
    );
}

#[tokio::test]
async fn tools_and_formats() {
    let world = World::start().await;
    let many: Vec<Value> = (0..129)
        .map(|n| json!({"type": "function", "function": {"name": format!("f{n}")}}))
        .collect();
    let custom = |custom: Value| json!({"tools": [{"type": "custom", "custom": custom}]});
    let grammar = |grammar: Value| {
        custom(json!({"name": "c", "format": {"type": "grammar", "grammar": grammar}}))
    };
    let format = |format: Value| json!({"response_format": format});
    for (more, message, param, code) in [
        (
            function(json!({"name": "get weather"})),
            "Invalid 'tools[0].function.name': string does not match pattern. Expected a string \
             that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            "tools[0].function.name",
            Some("invalid_value"),
        ),
        (
            function(json!({"name": "x".repeat(65)})),
            "Invalid 'tools[0].function.name': string too long. Expected a string with maximum \
             length 64, but got a string with length 65 instead.",
            "tools[0].function.name",
            Some("string_above_max_length"),
        ),
        (
            function(json!({"name": ""})),
            "Invalid 'tools[0].function.name': empty string. Expected a string with minimum \
             length 1, but got an empty string instead.",
            "tools[0].function.name",
            Some("empty_string"),
        ),
        (
            function(json!({})),
            "Missing required parameter: 'tools[0].function.name'.",
            "tools[0].function.name",
            Some("missing_required_parameter"),
        ),
        (
            json!({"tools": [{"type": "function", "name": "f"}]}),
            "Missing required parameter: 'tools[0].function'.",
            "tools[0].function",
            Some("missing_required_parameter"),
        ),
        (
            json!({"tools": [{"type": "web_search"}]}),
            "Invalid value: 'web_search'. Supported values are: 'function' and 'custom'.",
            "tools[0].type",
            Some("invalid_value"),
        ),
        (
            json!({"tools": [{"type": "function", "strict": true, "function": {"name": "f"}}]}),
            "Unknown parameter: 'tools[0].strict'.",
            "tools[0].strict",
            Some("unknown_parameter"),
        ),
        (
            function(json!({"name": "f", "strict": true, "extra": 1})),
            "Unknown parameter: 'tools[0].function.extra'.",
            "tools[0].function.extra",
            Some("unknown_parameter"),
        ),
        (
            json!({"tools": many}),
            "Invalid 'tools': array too long. Expected an array with maximum length 128, but got \
             an array with length 129 instead.",
            "tools",
            Some("array_above_max_length"),
        ),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f"}},
                {"type": "custom", "custom": {"name": "f"}}]}),
            "Tool names must be unique",
            "tools[1].custom.name",
            Some("invalid_value"),
        ),
        (
            json!({"functions": [{"name": "f", "strict": true}]}),
            "Invalid function definition for 'f': the 'strict' parameter is only permitted in \
             'tools'.",
            "functions[0].strict",
            None,
        ),
        (
            custom(json!({"name": "c", "format": {"type": "xml"}})),
            "Invalid value: 'xml'. Supported values are: 'text' and 'grammar'.",
            "tools[0].custom.format.type",
            Some("invalid_value"),
        ),
        (
            grammar(json!({"syntax": "bnf", "definition": "x"})),
            "Invalid value: 'bnf'. Supported values are: 'lark' and 'regex'.",
            "tools[0].custom.format.grammar.syntax",
            Some("invalid_value"),
        ),
        (
            grammar(json!({"syntax": "regex"})),
            "Missing required parameter: 'tools[0].custom.format.grammar.definition'.",
            "tools[0].custom.format.grammar.definition",
            Some("missing_required_parameter"),
        ),
        (
            grammar(json!({"syntax": "regex", "definition": "a\nb"})),
            "Invalid 'tools[0].custom.format.grammar.definition'. A regular expression is written \
             on one line.",
            "tools[0].custom.format.grammar.definition",
            Some("invalid_value"),
        ),
        (
            format(json!({"type": "json_schema", "strict": true,
                "json_schema": {"name": "n", "schema": closed()}})),
            "Unknown parameter: 'response_format.strict'.",
            "response_format.strict",
            Some("unknown_parameter"),
        ),
        (
            format(json!({"type": "json_schema"})),
            "Missing required parameter: 'response_format.json_schema'.",
            "response_format.json_schema",
            Some("missing_required_parameter"),
        ),
        (
            format(json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true}})),
            "Missing required parameter: 'response_format.json_schema.schema'.",
            "response_format.json_schema.schema",
            Some("missing_required_parameter"),
        ),
        (
            format(json!({"type": "json_object"})),
            "'messages' must contain the word 'json' in some form, to use 'response_format' of \
             type 'json_object'.",
            "messages",
            None,
        ),
    ] {
        refuses(&world, ask(more), message, Some(param), code).await;
    }
    assert_eq!(
        world.upstream.requests().len(),
        0,
        "a model server was asked"
    );
    for content in [
        json!("Reply in JSON."),
        json!([{"type": "text", "text": "as Json"}]),
    ] {
        let mut body = ask(format(json!({"type": "json_object"})));
        body["messages"][0]["content"] = content;
        world.client().post(PATH, body).await.ok();
    }
}

#[tokio::test]
async fn grammars() {
    let world = World::start().await;
    for (syntax, definition) in [("regex", "(?=a)b"), ("lark", "start: (\"a\""), ("lark", "")] {
        let body = ask(
            json!({"tools": [{"type": "custom", "custom": {"name": "c", "format":
            {"type": "grammar", "grammar": {"syntax": syntax, "definition": definition}}}}]}),
        );
        let reply = world.client().post(PATH, body).await;
        assert_eq!(reply.status, 400, "{definition}: {}", reply.text);
        let param = "tools[0].custom.format.grammar.definition";
        assert_eq!(reply.json["error"]["param"], param, "{definition}");
    }
    assert_eq!(
        world.upstream.requests().len(),
        0,
        "a model server was asked"
    );
}

#[tokio::test]
async fn choices() {
    let world = World::start().await;
    let with_tool = |choice: Value| {
        let mut more = function(json!({"name": "f"}));
        more["tool_choice"] = choice;
        more
    };
    let named = |name: &str| json!({"type": "function", "function": {"name": name}});
    let no_g = "Invalid value for 'tool_choice': no function named 'g' was specified in the \
                'tools' parameter.";
    let without = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' \
                   are specified.";
    for (more, message, param, code) in [
        (with_tool(named("g")), no_g, "tool_choice", None),
        (
            with_tool(json!({"type": "custom", "custom": {"name": "f"}})),
            "Invalid value for 'tool_choice': no custom tool named 'f' was specified in the \
             'tools' parameter.",
            "tool_choice",
            None,
        ),
        (
            with_tool(json!({"type": "allowed_tools", "allowed_tools":
                {"mode": "auto", "tools": [named("f"), named("g")]}})),
            no_g,
            "tool_choice",
            None,
        ),
        (
            with_tool(json!({"type": "allowed_tools", "allowed_tools":
                {"mode": "none", "tools": [named("f")]}})),
            "Invalid value: 'none'. Supported values are: 'auto' and 'required'.",
            "tool_choice.allowed_tools.mode",
            Some("invalid_value"),
        ),
        (
            with_tool(json!("any")),
            "Invalid value: 'any'. Supported values are: 'none', 'auto', and 'required'.",
            "tool_choice",
            Some("invalid_value"),
        ),
        (
            json!({"tool_choice": "required"}),
            without,
            "tool_choice",
            None,
        ),
        (
            json!({"tool_choice": named("f")}),
            without,
            "tool_choice",
            None,
        ),
        (
            json!({"functions": [{"name": "f"}], "function_call": {"name": "g"}}),
            "Invalid value for 'function_call': no function named 'g' was specified in the \
             'functions' parameter.",
            "function_call",
            None,
        ),
    ] {
        refuses(&world, ask(more), message, Some(param), code).await;
    }
}

#[tokio::test]
async fn calls_and_their_results() {
    let world = World::start().await;
    let user = json!({"role": "user", "content": "x"});
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let calls = json!({"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "1"});
    let lacking = |ids: &str| {
        format!(
            "An assistant message with 'tool_calls' must be followed by tool messages responding \
             to each 'tool_call_id'. The following tool_call_ids did not have response messages: \
             {ids}"
        )
    };
    let orphan = "messages with role 'tool' must be a response to a preceeding message with \
                  'tool_calls'.";
    for (messages, message, param) in [
        (json!([user, calls]), lacking("a, b"), "messages"),
        (json!([user, calls, result("a")]), lacking("b"), "messages"),
        (
            json!([user, calls, result("b"), user]),
            lacking("a"),
            "messages.[3].role",
        ),
        (
            json!([user, calls, user]),
            lacking("a, b"),
            "messages.[2].role",
        ),
        (
            json!([user, result("a")]),
            orphan.to_owned(),
            "messages.[1].role",
        ),
        (
            json!([user, calls, result("a"), result("b"), user, result("a")]),
            orphan.to_owned(),
            "messages.[5].role",
        ),
        (
            json!([user, calls, result("c")]),
            "Invalid parameter: 'tool_call_id' of 'c' not found in 'tool_calls' of previous \
             message."
                .to_owned(),
            "messages.[2].tool_call_id",
        ),
    ] {
        // With tools and without.
        for more in [json!({}), function(json!({"name": "f"}))] {
            let mut body = ask(more);
            body["messages"] = messages.clone();
            refuses(&world, body, &message, Some(param), None).await;
        }
    }
}

#[tokio::test]
async fn keys_given_twice() {
    let world = World::start().await;
    for (rest, path) in [
        (
            r#""tools":[{"type":"function","function":{"name":"f","strict":true,"strict":false}}]"#,
            "tools[0].function.strict",
        ),
        (r#""tools":[],"tools":[]"#, "tools"),
        (
            r#""response_format":{"type":"text","type":"json_schema"}"#,
            "response_format.type",
        ),
    ] {
        let body = format!(r#"{{"model":"chat?tokens=1","messages":[],{rest}}}"#);
        let client = world.client();
        let request = client
            .request(reqwest::Method::POST, PATH)
            .header("content-type", "application/json")
            .body(body);
        let reply = client.send(request).await;
        let message = reply.error(400, Some(path), Some("duplicate_parameter"));
        assert_eq!(message, format!("Parameter given twice: '{path}'."));
    }
}

#[tokio::test]
async fn what_a_request_that_runs_here_cannot_have() {
    let world = World::start().await;
    let strict = || function(json!({"name": "f", "strict": true, "parameters": closed()}));
    for (field, value, param, code) in [
        ("n", json!(2), "n", "unsupported_parameter"),
        (
            "audio",
            json!({"voice": "a"}),
            "audio",
            "unsupported_parameter",
        ),
        (
            "modalities",
            json!(["text", "audio"]),
            "modalities",
            "unsupported_parameter",
        ),
        (
            "web_search_options",
            json!({}),
            "web_search_options",
            "unsupported_parameter",
        ),
        ("temperature", json!("hot"), "temperature", "invalid_type"),
        ("messages", json!([]), "messages", "empty_array"),
        (
            "messages",
            json!([{"role": "robot", "content": "x"}]),
            "messages[0].role",
            "invalid_value",
        ),
        (
            "messages",
            json!([{"role": "user", "content": [{"type": "smell"}]}]),
            "messages[0].content[0].type",
            "invalid_value",
        ),
    ] {
        let mut body = ask(strict());
        body[field] = value;
        let reply = world.client().post(PATH, body).await;
        reply.error(400, Some(param), Some(code));
    }
    // A server that speaks Responses has no such parameters.
    for (field, value, code) in [
        ("stop", json!(["x"]), Some("unsupported_parameter")),
        ("seed", json!(1), Some("unsupported_parameter")),
        ("store", json!(true), Some("unsupported_parameter")),
        (
            "moderation",
            json!({"model": "omni-moderation-latest"}),
            Some("unsupported_parameter"),
        ),
        (
            "messages[0].content[0].prompt_cache_breakpoint.mode",
            json!([{"role": "user", "content": [
                {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "x"}}]}]),
            Some("invalid_value"),
        ),
        ("prompt_cache_options", json!({"ttl": "12h"}), None),
        ("top_k", json!(1), Some("unknown_parameter")),
        (
            "messages[0].colour",
            json!([{"role": "user", "content": "x", "colour": 1}]),
            Some("unknown_parameter"),
        ),
        ("stop", json!(null), None),
        ("store", json!(false), None),
        ("presence_penalty", json!(0), None),
    ] {
        let mut body = ask(json!({"model": "native?tokens=1"}));
        body[field.split('[').next().unwrap_or(field)] = value;
        let reply = world.client().post(PATH, body).await;
        match code {
            Some(code) => {
                reply.error(400, Some(field), Some(code));
            }
            None => {
                reply.ok();
            }
        }
    }
}

#[tokio::test]
async fn keys_in_another_case_are_refused_where_they_could_decide() {
    let world = World::start().await;
    let strict = json!([{"type": "function", "function":
        {"name": "f", "strict": true, "parameters": closed()}}]);
    let inner = |key: &str| {
        let mut function = json!({"name": "f", "parameters": closed()});
        function[key] = json!(true);
        json!({"tools": [{"type": "function", "function": function}]})
    };
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": closed()}});
    for (more, param, known) in [
        (json!({"Tools": strict}), "Tools", "tools"),
        (json!({"TOOLS": strict, "tools": []}), "TOOLS", "tools"),
        (json!({"tool\u{17f}": strict}), "tool\u{17f}", "tools"),
        (json!({"Model": "another"}), "Model", "model"),
        (json!({"Tool_choice": "none"}), "Tool_choice", "tool_choice"),
        (json!({"Functions": []}), "Functions", "functions"),
        (
            json!({"Response_Format": format}),
            "Response_Format",
            "response_format",
        ),
        (json!({"Messages": []}), "Messages", "messages"),
        (json!({"sTream": true}), "sTream", "stream"),
        (inner("Strict"), "tools[0].function.Strict", "strict"),
        (
            inner("Parameters"),
            "tools[0].function.Parameters",
            "parameters",
        ),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f"}, "Function": {}}]}),
            "tools[0].Function",
            "function",
        ),
        (
            json!({"functions": [{"name": "f", "NAME": "g"}]}),
            "functions[0].NAME",
            "name",
        ),
        (
            json!({"response_format": {"type": "text", "Type": "json_schema"}}),
            "response_format.Type",
            "type",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema":
                {"name": "n", "schema": closed(), "Schema": {}}}}),
            "response_format.json_schema.Schema",
            "schema",
        ),
    ] {
        let message = format!(
            "Unknown parameter: '{param}'. Did you mean '{known}'? The case of letters matters: \
             some model servers would take one for the other."
        );
        refuses(
            &world,
            ask(more),
            &message,
            Some(param),
            Some("unknown_parameter"),
        )
        .await;
    }
    assert_eq!(
        world.upstream.requests().len(),
        0,
        "a model server was asked"
    );
    // What nothing is decided by is between the client and its model server.
    let body = ask(
        json!({"Vendor": {"Tools": 1}, "tools": [{"type": "function",
        "function": {"name": "f", "X-Note": 1}, "Cache": {}}]}),
    );
    world.client().post(PATH, body.clone()).await.ok();
    assert_eq!(world.last_request(), body);
}
