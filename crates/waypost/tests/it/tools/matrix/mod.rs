//! Every tool feature over every dialect of model server, as snapshots.
//!
//! The model servers act like engines that make valid instances of the schemas they are sent,
//! except where a feature is about those that do not. Read a snapshot from its top: what the
//! client asks, then for each dialect what its model server was sent and what came back.

mod bed;
mod snapshot;
mod stops;

use serde_json::{Value, json};

use self::bed::{Asked, Bed};

const RESPONSES: &str = "/v1/responses";
const CHAT: &str = "/v1/chat/completions";
/// A sound engine that calls where it may.
const CALLS: &str = "generate=calls";

/// Asks all dialects whose models know tools.
async fn matrix(name: &'static str, path: &'static str, script: &'static str, body: Value) {
    asked(true, name, path, script, body).await;
}

async fn asked(
    tools: bool,
    name: &'static str,
    path: &'static str,
    script: &'static str,
    mut body: Value,
) {
    if path == RESPONSES {
        body["input"] = body.get("input").cloned().unwrap_or_else(|| json!("go"));
        body["stream"] = json!(true);
    } else {
        let message = json!([{"role": "user", "content": "go"}]);
        body["messages"] = body.get("messages").cloned().unwrap_or(message);
    }
    let bed = Bed::start(tools).await;
    let text = bed
        .ask(&Asked {
            name,
            path,
            body,
            script,
        })
        .await;
    assert!(!bed.server().log().contains("panicked"), "{name}");
    snapshot::check(name, &text);
}

/// Two properties, one of them optional, so that strict mode has something to do.
fn weather() -> Value {
    json!({"type": "object", "properties": {
        "city": {"type": "string", "description": "Where"},
        "unit": {"type": "string", "enum": ["C", "F"]}}, "required": ["city"]})
}

fn closed_weather() -> Value {
    let mut schema = weather();
    schema["required"] = json!(["city", "unit"]);
    schema["additionalProperties"] = json!(false);
    schema
}

/// A map: strict mode cannot say it.
fn labels() -> Value {
    json!({"type": "object", "properties": {
        "labels": {"type": "object", "additionalProperties": {"type": "string"}}},
        "required": ["labels"]})
}

fn function(name: &str, parameters: Value) -> Value {
    json!({"type": "function", "name": name, "description": "Does it", "parameters": parameters})
}

fn with(mut tool: Value, field: &str, value: Value) -> Value {
    tool[field] = value;
    tool
}

fn chat_function(name: &str, parameters: Value) -> Value {
    json!({"type": "function", "function":
        {"name": name, "description": "Does it", "parameters": parameters}})
}

#[tokio::test]
async fn function_strict_true() {
    let tool = with(function("weather", closed_weather()), "strict", json!(true));
    matrix(
        "function_strict_true",
        RESPONSES,
        CALLS,
        json!({"tools": [tool]}),
    )
    .await;
}

#[tokio::test]
async fn function_strict_true_refused() {
    let tool = with(function("weather", weather()), "strict", json!(true));
    matrix(
        "function_strict_true_refused",
        RESPONSES,
        CALLS,
        json!({"tools": [tool]}),
    )
    .await;
}

#[tokio::test]
async fn function_strict_omitted() {
    let body = json!({"tools": [function("weather", weather())]});
    matrix("function_strict_omitted", RESPONSES, CALLS, body).await;
}

#[tokio::test]
async fn function_strict_fallback() {
    let body = json!({"tools": [function("label", labels())]});
    matrix("function_strict_fallback", RESPONSES, CALLS, body).await;
}

#[tokio::test]
async fn function_strict_false() {
    let tool = with(function("weather", weather()), "strict", json!(false));
    matrix(
        "function_strict_false",
        RESPONSES,
        CALLS,
        json!({"tools": [tool]}),
    )
    .await;
}

#[tokio::test]
async fn function_without_parameters() {
    let body = json!({"tools": [function("now", Value::Null)]});
    matrix("function_without_parameters", RESPONSES, CALLS, body).await;
}

/// Everything that some engine cannot take: what is sent is weaker, what is checked is not.
#[tokio::test]
async fn function_rich_schema() {
    let schema = json!({"type": "object", "additionalProperties": false,
        "$defs": {"code": {"type": "string", "pattern": "^\\d{4}$"}},
        "properties": {
            "code": {"$ref": "#/$defs/code"},
            "note": {"type": "string", "maxLength": 4000},
            "when": {"type": "string", "format": "date-time"},
            "count": {"type": "integer", "minimum": 1, "multipleOf": 2},
            "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3}},
        "required": ["code", "note", "when", "count", "either", "tags"]});
    let tool = with(function("rich", schema), "strict", json!(true));
    matrix(
        "function_rich_schema",
        RESPONSES,
        CALLS,
        json!({"tools": [tool]}),
    )
    .await;
}

#[tokio::test]
async fn function_in_a_namespace() {
    let body = json!({"tools": [
        {"type": "namespace", "name": "crm", "description": "Customers", "tools": [
            function("find", closed_weather()), function("drop", labels())]},
        function("find", weather())]});
    matrix(
        "function_in_a_namespace",
        RESPONSES,
        "generate=calls&tools=2",
        body,
    )
    .await;
}

#[tokio::test]
async fn several_calls() {
    let body = json!({"tools": [function("a", weather()), function("b", weather())]});
    matrix("several_calls", RESPONSES, "generate=calls&tools=2", body).await;
}

#[tokio::test]
async fn parallel_calls_off() {
    let body = json!({"parallel_tool_calls": false,
        "tools": [function("a", weather()), function("b", weather())]});
    let script = "generate=calls&tools=2&ignores=parallel_tool_calls";
    matrix("parallel_calls_off", RESPONSES, script, body).await;
}

#[tokio::test]
async fn custom_text() {
    let body = json!({"tools": [{"type": "custom", "name": "note", "description": "Any text"}]});
    matrix("custom_text", RESPONSES, CALLS, body).await;
}

#[tokio::test]
async fn custom_regex() {
    let body = json!({"tools": [{"type": "custom", "name": "code", "format":
        {"type": "grammar", "syntax": "regex", "definition": "[A-Z]{2}-[0-9]{3}"}}]});
    let script = "generate=calls&call=code:{\"input\":\"AB-123\"}&custom=code:AB-123";
    matrix("custom_regex", RESPONSES, script, body).await;
}

#[tokio::test]
async fn custom_lark() {
    let body = json!({"tools": [{"type": "custom", "name": "sum", "format":
        {"type": "grammar", "syntax": "lark",
         "definition": "start: NUMBER (\"+\" NUMBER)*\nNUMBER: /[0-9]+/"}}]});
    let script = "generate=calls&call=sum:{\"input\":\"1%2b22\"}&custom=sum:1%2b22";
    matrix("custom_lark", RESPONSES, script, body).await;
}

/// The first input breaks the grammar, the second keeps to it.
#[tokio::test]
async fn custom_regex_asked_again() {
    let body = json!({"tools": [{"type": "custom", "name": "code", "format":
        {"type": "grammar", "syntax": "regex", "definition": "[A-Z]{2}-[0-9]{3}"}}]});
    let script = "generate=calls&call=code:{\"input\":\"ABC\"}&custom=code:ABC\
                  &then&generate=calls&call=code:{\"input\":\"AB-123\"}&custom=code:AB-123";
    matrix("custom_regex_asked_again", RESPONSES, script, body).await;
}

fn two() -> Value {
    json!([function("a", weather()), function("b", weather())])
}

#[tokio::test]
async fn choice_none() {
    let body = json!({"tools": two(), "tool_choice": "none"});
    matrix("choice_none", RESPONSES, CALLS, body).await;
}

#[tokio::test]
async fn choice_required() {
    let body = json!({"tools": two(), "tool_choice": "required"});
    matrix("choice_required", RESPONSES, "generate=text", body).await;
}

#[tokio::test]
async fn choice_required_ignored() {
    let body = json!({"tools": two(), "tool_choice": "required"});
    let script = "generate=text&ignores=tool_choice&say=no";
    matrix("choice_required_ignored", RESPONSES, script, body).await;
}

#[tokio::test]
async fn choice_named() {
    let body = json!({"tools": two(), "tool_choice": {"type": "function", "name": "b"}});
    matrix("choice_named", RESPONSES, "generate=text", body).await;
}

#[tokio::test]
async fn choice_allowed_tools() {
    let body = json!({"tools": two(), "tool_choice": {"type": "allowed_tools", "mode": "auto",
        "tools": [{"type": "function", "name": "b"}]}});
    matrix("choice_allowed_tools", RESPONSES, CALLS, body).await;
}

/// The allowed set is hard: a model that calls another tool is not believed.
#[tokio::test]
async fn choice_allowed_tools_ignored() {
    let body = json!({"tools": two(), "tool_choice": {"type": "allowed_tools", "mode": "required",
        "tools": [{"type": "function", "name": "b"}]}});
    let script =
        "call=a:{\"city\":\"x\",\"unit\":\"C\"}&then&call=b:{\"city\":\"x\",\"unit\":\"C\"}";
    matrix("choice_allowed_tools_ignored", RESPONSES, script, body).await;
}

fn format(strict: Value, schema: Value) -> Value {
    json!({"format": {"type": "json_schema", "name": "answer", "strict": strict, "schema": schema}})
}

#[tokio::test]
async fn format_strict() {
    let body = json!({"text": format(json!(true), closed_weather())});
    matrix("format_strict", RESPONSES, "generate=text", body).await;
}

#[tokio::test]
async fn format_strict_refused() {
    let body = json!({"text": format(json!(true), weather())});
    matrix("format_strict_refused", RESPONSES, "generate=text", body).await;
}

#[tokio::test]
async fn format_not_strict() {
    let body = json!({"text": format(Value::Null, weather())});
    matrix("format_not_strict", RESPONSES, "generate=text", body).await;
}

#[tokio::test]
async fn format_json_object() {
    let body = json!({"input": "answer in json", "text": {"format": {"type": "json_object"}}});
    matrix("format_json_object", RESPONSES, "generate=text", body).await;
}

#[tokio::test]
async fn format_and_tools() {
    let body = json!({"tools": [function("weather", weather())],
        "text": format(json!(true), closed_weather())});
    matrix("format_and_tools", RESPONSES, "generate=text", body).await;
}

/// Only a model that is free to answer can call: most engines hold all that it writes to a format.
#[tokio::test]
async fn format_and_tools_called() {
    let body = json!({"tools": [function("weather", weather())],
        "text": format(json!(true), closed_weather())});
    matrix("format_and_tools_called", RESPONSES, CALLS, body).await;
}

/// The model answers, and not in the format: then it is given the format alone.
#[tokio::test]
async fn format_and_tools_asked_again() {
    let body = json!({"tools": [function("weather", weather())],
        "text": format(json!(true), closed_weather())});
    let script = "say=no&then&generate=text";
    matrix("format_and_tools_asked_again", RESPONSES, script, body).await;
}

/// One that is not strict likewise.
#[tokio::test]
async fn format_not_strict_and_tools_asked_again() {
    let body = json!({"tools": [function("weather", weather())],
        "text": format(Value::Null, weather())});
    let script = "say=no&then&generate=text";
    matrix(
        "format_not_strict_and_tools_asked_again",
        RESPONSES,
        script,
        body,
    )
    .await;
}

#[tokio::test]
async fn format_json_object_and_tools() {
    let body = json!({"tools": [function("weather", weather())], "input": "answer in json",
        "text": {"format": {"type": "json_object"}}});
    matrix("format_json_object_and_tools", RESPONSES, CALLS, body).await;
}

#[tokio::test]
async fn format_and_tools_that_may_not_be_called() {
    let body = json!({"tools": [function("weather", weather())], "tool_choice": "none",
        "text": format(json!(true), closed_weather())});
    let name = "format_and_tools_that_may_not_be_called";
    matrix(name, RESPONSES, "generate=text", body).await;
}

#[tokio::test]
async fn replayed_answer() {
    let body = json!({"input": [
        {"role": "user", "content": "go"},
        {"type": "message", "id": "msg_0123456789", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "gone", "annotations": [], "logprobs": []}]},
        {"role": "user", "content": "again"}]});
    matrix("replayed_answer", RESPONSES, "say=done", body).await;
}

#[tokio::test]
async fn replayed_calls() {
    let body = json!({"tools": two(), "input": [
        {"role": "user", "content": "go"},
        {"type": "function_call", "call_id": "call_x1", "name": "a", "arguments": "{\"city\":\"x\"}"},
        {"type": "function_call", "call_id": "call_x2", "name": "b", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_x1", "output": "sun"},
        {"type": "function_call_output", "call_id": "call_x2",
         "output": [{"type": "input_text", "text": "rain"}]}]});
    matrix("replayed_calls", RESPONSES, "say=done", body).await;
}

#[tokio::test]
async fn replayed_custom_and_namespace() {
    let body = json!({
        "tools": [
            {"type": "custom", "name": "note", "description": "Any text"},
            {"type": "namespace", "name": "crm", "description": "Customers",
             "tools": [function("find", weather())]}],
        "input": [
            {"role": "user", "content": "go"},
            {"type": "custom_tool_call", "call_id": "call_x1", "name": "note", "input": "say \"hi\""},
            {"type": "custom_tool_call_output", "call_id": "call_x1", "output": "noted"},
            {"type": "function_call", "call_id": "call_x2", "name": "find", "namespace": "crm",
             "arguments": "{\"city\":\"x\"}"},
            {"type": "function_call_output", "call_id": "call_x2", "output": "found"}]});
    matrix("replayed_custom_and_namespace", RESPONSES, "say=done", body).await;
}

fn searchable() -> Value {
    json!([
        {"type": "tool_search", "execution": "client", "description": "Finds tools",
         "parameters": {"type": "object", "properties": {"goal": {"type": "string"}},
            "required": ["goal"], "additionalProperties": false}},
        with(function("deferred", weather()), "defer_loading", json!(true)),
    ])
}

#[tokio::test]
async fn tool_search_by_the_client() {
    let body = json!({"tools": searchable()});
    let script = "generate=calls&tool_names=tool_search";
    matrix("tool_search_by_the_client", RESPONSES, script, body).await;
}

#[tokio::test]
async fn tool_search_answered() {
    let found = function("found", closed_weather());
    let body = json!({"tools": searchable(), "input": [
        {"role": "user", "content": "go"},
        {"type": "tool_search_call", "call_id": "call_x1", "execution": "client",
         "arguments": {"goal": "weather"}},
        {"type": "tool_search_output", "call_id": "call_x1", "execution": "client",
         "tools": [found]}]});
    let script = "generate=calls&tool_names=found&tool_rounds=9";
    matrix("tool_search_answered", RESPONSES, script, body).await;
}

// Model servers that are not sound.

#[tokio::test]
async fn weak_repaired() {
    let tool = with(function("weather", closed_weather()), "strict", json!(true));
    let script = "generate=calls&break=trailing_comma,fence";
    matrix("weak_repaired", RESPONSES, script, json!({"tools": [tool]})).await;
}

/// All properties are there when the comma comes: a closed object could end, but not go on.
#[tokio::test]
async fn weak_trailing_comma() {
    let tool = with(function("weather", closed_weather()), "strict", json!(true));
    let script = "generate=calls&break=trailing_comma&tool_rounds=9";
    let body = json!({"tools": [tool]});
    matrix("weak_trailing_comma", RESPONSES, script, body).await;
}

#[tokio::test]
async fn weak_asked_again() {
    let tool = with(function("weather", closed_weather()), "strict", json!(true));
    let script = "generate=calls&break=wrong_enum&then&generate=calls&tool_rounds=9";
    matrix(
        "weak_asked_again",
        RESPONSES,
        script,
        json!({"tools": [tool]}),
    )
    .await;
}

#[tokio::test]
async fn weak_and_strict_fails() {
    let tool = with(function("weather", closed_weather()), "strict", json!(true));
    let script = "generate=calls&break=missing_key&tool_rounds=9";
    matrix(
        "weak_and_strict_fails",
        RESPONSES,
        script,
        json!({"tools": [tool]}),
    )
    .await;
}

#[tokio::test]
async fn weak_and_not_strict_passes() {
    let tool = with(function("weather", weather()), "strict", json!(false));
    let script = "generate=calls&break=missing_key&tool_rounds=9";
    matrix(
        "weak_and_not_strict_passes",
        RESPONSES,
        script,
        json!({"tools": [tool]}),
    )
    .await;
}

/// The template knows no tools; llama.cpp and Ollama say so. The union of answer and calls is in
/// the format: here the model takes its first branch,
#[tokio::test]
async fn no_tools_in_the_template() {
    let body = json!({"tools": [function("weather", weather())]});
    let script = "generate=text&ignores=tools";
    asked(false, "no_tools_in_the_template", RESPONSES, script, body).await;
}

/// here its second.
#[tokio::test]
async fn no_tools_in_the_template_second_branch() {
    let body = json!({"tools": [function("weather", weather())]});
    let script = "generate=text&ignores=tools&branch=1";
    let name = "no_tools_in_the_template_second_branch";
    asked(false, name, RESPONSES, script, body).await;
}

#[tokio::test]
async fn no_tools_in_the_template_required() {
    let body = json!({"tools": two(), "tool_choice": "required"});
    let script = "generate=text&ignores=tools,tool_choice";
    let name = "no_tools_in_the_template_required";
    asked(false, name, RESPONSES, script, body).await;
}

/// What the engine is not told, the model is.
#[tokio::test]
async fn no_tools_in_the_template_untold() {
    let mut schema = closed_weather();
    schema["properties"]["days"] = json!({"type": "integer", "multipleOf": 2});
    schema["required"] = json!(["city", "unit", "days"]);
    let body = json!({"tools": [with(function("weather", schema), "strict", json!(true))]});
    let script = "generate=text&ignores=tools&branch=1";
    asked(
        false,
        "no_tools_in_the_template_untold",
        RESPONSES,
        script,
        body,
    )
    .await;
}

/// llama.cpp refuses the whole request for one schema that it cannot make a grammar of.
#[tokio::test]
async fn schema_refused_by_the_engine() {
    let tool = with(function("weather", closed_weather()), "strict", json!(true));
    let script = "call=weather:{\"city\":\"x\",\"unit\":\"C\"}&tool_rounds=9\
                  &refuse_keywords=enum&refuse_style=llama.cpp";
    let body = json!({"tools": [tool]});
    matrix("schema_refused_by_the_engine", RESPONSES, script, body).await;
}

// Chat Completions.

#[tokio::test]
async fn chat_function_strict() {
    let mut tool = chat_function("weather", closed_weather());
    tool["function"]["strict"] = json!(true);
    matrix(
        "chat_function_strict",
        CHAT,
        CALLS,
        json!({"tools": [tool]}),
    )
    .await;
}

#[tokio::test]
async fn chat_function_strict_refused() {
    let mut tool = chat_function("weather", weather());
    tool["function"]["strict"] = json!(true);
    matrix(
        "chat_function_strict_refused",
        CHAT,
        CALLS,
        json!({"tools": [tool]}),
    )
    .await;
}

#[tokio::test]
async fn chat_function_not_strict() {
    let body = json!({"tools": [chat_function("weather", weather())]});
    matrix("chat_function_not_strict", CHAT, CALLS, body).await;
}

#[tokio::test]
async fn chat_custom_regex() {
    let body = json!({"tools": [{"type": "custom", "custom": {"name": "code", "format":
        {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[A-Z]{2}-[0-9]{3}"}}}}]});
    let script = "generate=calls&call=code:{\"input\":\"AB-123\"}&custom=code:AB-123";
    matrix("chat_custom_regex", CHAT, script, body).await;
}

#[tokio::test]
async fn chat_choice_allowed_tools() {
    let tools = json!([chat_function("a", weather()), chat_function("b", weather())]);
    let body = json!({"tools": tools, "tool_choice": {"type": "allowed_tools", "allowed_tools":
        {"mode": "required", "tools": [{"type": "function", "function": {"name": "b"}}]}}});
    matrix("chat_choice_allowed_tools", CHAT, CALLS, body).await;
}

#[tokio::test]
async fn chat_format_strict() {
    let body = json!({"response_format": {"type": "json_schema", "json_schema":
        {"name": "answer", "strict": true, "schema": closed_weather()}}});
    matrix("chat_format_strict", CHAT, "generate=text", body).await;
}

#[tokio::test]
async fn chat_weak_asked_again() {
    let mut tool = chat_function("weather", closed_weather());
    tool["function"]["strict"] = json!(true);
    let script = "generate=calls&break=wrong_enum&then&generate=calls&tool_rounds=9";
    matrix(
        "chat_weak_asked_again",
        CHAT,
        script,
        json!({"tools": [tool]}),
    )
    .await;
}

#[tokio::test]
async fn chat_no_tools_in_the_template() {
    let mut tool = chat_function("weather", closed_weather());
    tool["function"]["strict"] = json!(true);
    let script = "generate=text&ignores=tools";
    asked(
        false,
        "chat_no_tools_in_the_template",
        CHAT,
        script,
        json!({"tools": [tool]}),
    )
    .await;
}
