use std::sync::Arc;

use super::*;
use crate::{
    config::Dialect,
    upstream::generation::{Generation, Wire},
};

fn generation(items: Value) -> Generation {
    serde_json::from_value(json!({"model": "m", "items": items})).unwrap()
}

fn plain(generation: &Generation) -> Ask {
    Ask::plain(&Arc::new(generation.clone()))
}

fn body(generation: &Generation, dialect: Dialect) -> Value {
    request_body(&plain(generation), &dialect.capabilities(), None).unwrap()
}

#[test]
fn consecutive_calls_and_the_words_before_them_are_one_message() {
    let items = json!([
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "let me look"}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "2"}]},
    ]);
    let messages = body(&generation(items), Dialect::Generic)["messages"].clone();
    assert_eq!(
        messages,
        json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "let me look", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "content": "2"},
        ])
    );
}

#[test]
fn developer_and_limits_follow_the_dialect() {
    let mut g =
        generation(json!([{"type": "message", "role": "developer", "content": "be brief"}]));
    g.max_output_tokens = Some(50);
    g.instructions = Some("sys".into());
    let plain = body(&g, Dialect::Vllm);
    assert_eq!(
        plain["messages"][0],
        json!({"role": "system", "content": "sys"})
    );
    assert_eq!(plain["messages"][1]["role"], "system");
    assert_eq!(plain["max_tokens"], 50);
    let openai = body(&g, Dialect::OpenAi);
    assert_eq!(openai["messages"][1]["role"], "developer");
    assert_eq!(openai["max_completion_tokens"], 50);
    assert!(openai.get("max_tokens").is_none());
}

#[test]
fn images_and_files_become_parts() {
    let items = json!([{"type": "message", "role": "user", "content": [
        {"type": "input_text", "text": "what?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
    ]}]);
    let content = body(&generation(items), Dialect::Generic)["messages"][0]["content"].clone();
    assert_eq!(
        content,
        json!([
            {"type": "text", "text": "what?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        ])
    );
    let by_id = json!([{"type": "message", "role": "user", "content": [
        {"type": "input_image", "file_id": "file_1"}]}]);
    let refused = request_body(
        &plain(&generation(by_id)),
        &Dialect::Generic.capabilities(),
        None,
    );
    assert!(
        matches!(refused, Err(UpstreamError::Unsupported { param, .. }) if param == "input[0].content[0]")
    );
}

#[test]
fn a_prefix_is_handed_back_in_the_dialects_way_and_counts_against_the_limit() {
    let mut g = generation(json!([{"type": "message", "role": "user", "content": "count"}]));
    g.max_output_tokens = Some(10);
    let prefix = Prefix {
        text: "one tw".into(),
        tokens: 4,
    };
    let vllm = request_body(&plain(&g), &Dialect::Vllm.capabilities(), Some(&prefix)).unwrap();
    assert_eq!(
        vllm["messages"][1],
        json!({"role": "assistant", "content": "one tw"})
    );
    assert_eq!(vllm["continue_final_message"], true);
    assert_eq!(vllm["add_generation_prompt"], false);
    assert_eq!(vllm["max_tokens"], 6);
    let llama = request_body(&plain(&g), &Dialect::LlamaCpp.capabilities(), Some(&prefix)).unwrap();
    assert!(llama.get("continue_final_message").is_none());
}

#[test]
fn tools_calls_and_choices_are_nested() {
    let mut ask = plain(&generation(json!([
        {"type": "custom_tool_call", "call_id": "a", "name": "c", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": "y"},
    ])));
    ask.wire = Some(Arc::new(Wire {
        preamble: Some("Tools first.".into()),
        tools: vec![
            json!({"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": false}),
            json!({"type": "custom", "name": "c", "description": null,
                "format": {"type": "grammar", "syntax": "regex", "definition": "a+"}}),
        ],
        tool_choice: Some(json!({"type": "custom", "name": "c"})),
        parallel_tool_calls: Some(false),
        ..Wire::default()
    }));
    let body = request_body(&ask, &Dialect::Generic.capabilities(), None).unwrap();
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": "Tools first."},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "custom", "custom": {"name": "c", "input": "x"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "y"},
        ])
    );
    assert_eq!(
        body["tools"],
        json!([
            {"type": "function", "function":
                {"name": "f", "parameters": {"type": "object"}, "strict": false}},
            {"type": "custom", "custom": {"name": "c", "format":
                {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}}},
        ])
    );
    assert_eq!(
        body["tool_choice"],
        json!({"type": "custom", "custom": {"name": "c"}})
    );
    assert_eq!(body["parallel_tool_calls"], false);
}

#[test]
fn text_format_becomes_response_format() {
    let mut g = generation(json!([]));
    g.text = Some(
        json!({"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}}),
    );
    assert_eq!(
        body(&g, Dialect::Generic)["response_format"],
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}})
    );
    g.text = Some(json!({"format": {"type": "text"}}));
    assert!(body(&g, Dialect::Generic).get("response_format").is_none());
}
