use super::*;
use crate::config::Dialect;

fn generation(items: Value) -> Generation {
    serde_json::from_value(json!({"model": "m", "items": items})).unwrap()
}

fn body(generation: &Generation, dialect: Dialect) -> Value {
    request_body(generation, &dialect.capabilities(), None).unwrap()
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
    let refused = request_body(&generation(by_id), &Dialect::Generic.capabilities(), None);
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
    let vllm = request_body(&g, &Dialect::Vllm.capabilities(), Some(&prefix)).unwrap();
    assert_eq!(
        vllm["messages"][1],
        json!({"role": "assistant", "content": "one tw"})
    );
    assert_eq!(vllm["continue_final_message"], true);
    assert_eq!(vllm["add_generation_prompt"], false);
    assert_eq!(vllm["max_tokens"], 6);
    let llama = request_body(&g, &Dialect::LlamaCpp.capabilities(), Some(&prefix)).unwrap();
    assert!(llama.get("continue_final_message").is_none());
}

#[test]
fn tools_are_nested_and_allowed_tools_is_enforced() {
    let mut g = generation(json!([]));
    g.tools = vec![
        json!({"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}),
        json!({"type": "function", "name": "g", "parameters": {"type": "object"}, "strict": false}),
    ];
    g.tool_choice = Some(json!({"type": "function", "name": "g"}));
    let all = body(&g, Dialect::Generic);
    assert_eq!(all["tools"][0]["function"]["strict"], true);
    assert!(all["tools"][1]["function"].get("strict").is_none());
    assert_eq!(
        all["tool_choice"],
        json!({"type": "function", "function": {"name": "g"}})
    );
    g.tool_choice = Some(json!({"type": "allowed_tools", "mode": "required",
        "tools": [{"type": "function", "name": "f"}]}));
    let some = body(&g, Dialect::Generic);
    assert_eq!(some["tools"].as_array().unwrap().len(), 1);
    assert_eq!(some["tool_choice"], "required");
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
