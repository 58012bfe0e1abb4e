use std::sync::Arc;

use super::*;
use crate::{
    config::Dialect,
    model::{Adapted, Generation},
};

fn generation(items: Value) -> Generation {
    serde_json::from_value(json!({"model": "m", "items": items})).unwrap()
}

fn plain(generation: &Generation) -> ModelRequest {
    ModelRequest::plain(&Arc::new(generation.clone()))
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
        plain["messages"],
        json!([{"role": "system", "content": "sys\n\nbe brief"}])
    );
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
    ask.adapted = Some(Arc::new(Adapted {
        preamble: Some("Tools first.".into()),
        tools: vec![
            json!({"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": false}),
            json!({"type": "custom", "name": "c", "description": null,
                "format": {"type": "grammar", "syntax": "regex", "definition": "a+"}}),
        ],
        tool_choice: Some(json!({"type": "custom", "name": "c"})),
        parallel_tool_calls: Some(false),
        ..Adapted::default()
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

fn said(role: &str, text: &str) -> Value {
    json!({"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]})
}

fn sent(role: &str, content: impl Into<Value>) -> Value {
    json!({"role": role, "content": content.into()})
}

#[test]
fn a_template_gets_one_system_message_at_the_beginning() {
    let call = json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"});
    let result = json!({"type": "function_call_output", "call_id": "a", "output": "1"});
    let called = json!({"role": "assistant", "content": null, "tool_calls":
        [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let returned = json!({"role": "tool", "tool_call_id": "a", "content": "1"});
    let late = "<system_message>\nlate\n</system_message>";
    // Items after `instructions`, and the messages of them.
    let table = [
        // Leading ones are one, in their order.
        (
            vec![
                said("developer", "a"),
                said("system", "b"),
                said("user", "u"),
            ],
            vec![sent("system", "own\n\na\n\nb"), sent("user", "u")],
        ),
        (
            vec![said("user", "u")],
            vec![sent("system", "own"), sent("user", "u")],
        ),
        (vec![said("system", "")], vec![sent("system", "own")]),
        // A later one stands where it stood, and no side speaks twice.
        (
            vec![
                said("user", "u"),
                said("developer", "late"),
                said("user", "v"),
            ],
            vec![
                sent("system", "own"),
                sent("user", "u"),
                sent("user", format!("{late}\n\nv")),
            ],
        ),
        (
            vec![said("user", "u"), said("system", "late")],
            vec![sent("system", "own"), sent("user", format!("u\n\n{late}"))],
        ),
        (
            vec![
                said("user", "u"),
                said("assistant", "w"),
                said("system", "late"),
            ],
            vec![
                sent("system", "own"),
                sent("user", "u"),
                sent("assistant", "w"),
                sent("user", late),
            ],
        ),
        // Nothing comes between a call and its result.
        (
            vec![said("user", "u"), call, said("developer", "late"), result],
            vec![
                sent("system", "own"),
                sent("user", "u"),
                called,
                returned,
                sent("user", late),
            ],
        ),
    ];
    for dialect in [
        Dialect::Generic,
        Dialect::Vllm,
        Dialect::LlamaCpp,
        Dialect::Ollama,
    ] {
        for (items, expected) in &table {
            let mut g = generation(json!(items));
            g.instructions = Some("own".into());
            assert_eq!(body(&g, dialect)["messages"], json!(expected), "{items:?}");
        }
    }
    // Elsewhere they stay as they are.
    let mut g = generation(json!([
        said("system", "a"),
        said("user", "u"),
        said("developer", "b")
    ]));
    g.instructions = Some("own".into());
    for (dialect, developer) in [
        (Dialect::OpenAi, "developer"),
        (Dialect::DeepSeek, "system"),
    ] {
        assert_eq!(
            body(&g, dialect)["messages"],
            json!([
                sent(developer, "own"),
                sent("system", "a"),
                sent("user", "u"),
                sent(developer, "b"),
            ])
        );
    }
    // An operator may know that the role is known, which keeps the later ones.
    let mut can = Dialect::Vllm.capabilities();
    can.developer_role = true;
    let body = request_body(&plain(&g), &can, None).unwrap();
    assert_eq!(
        body["messages"],
        json!([
            sent("developer", "own\n\na"),
            sent("user", "u"),
            sent("developer", "b")
        ])
    );
}

#[test]
fn what_is_told_of_tools_goes_after_what_the_client_says() {
    let mut ask = plain(&generation(json!([
        said("system", "own"),
        said("user", "u")
    ])));
    ask.adapted = Some(Arc::new(Adapted {
        preamble: Some("Tools.".into()),
        ..Adapted::default()
    }));
    let body = request_body(&ask, &Dialect::Vllm.capabilities(), None).unwrap();
    assert_eq!(
        body["messages"],
        json!([sent("system", "own\n\nTools."), sent("user", "u")])
    );
}

#[test]
fn a_system_message_with_more_than_text_keeps_it() {
    let image = json!({"type": "input_image", "image_url": "data:x"});
    let mut message = said("system", "look");
    message["content"].as_array_mut().unwrap().push(image);
    message["chat_fields"] = json!({"cache": true});
    let shown = json!({"type": "image_url", "image_url": {"url": "data:x"}});
    let text = |text: &str| json!({"type": "text", "text": text});
    let mut g = generation(json!([message, said("user", "u"), message]));
    g.instructions = Some("own".into());
    assert_eq!(
        body(&g, Dialect::Vllm)["messages"],
        json!([
            {"role": "system", "content": [text("own\n\nlook"), shown], "cache": true},
            {"role": "user", "content": [
                text("u\n\n<system_message>"), text("look"), shown, text("</system_message>")]},
        ])
    );
}

#[test]
fn what_no_result_may_have_is_in_a_users_message() {
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": format!("f_{id}"), "arguments": "{}"});
    let result = |id: &str, output: Value| json!({"type": "function_call_output", "call_id": id, "output": output});
    let text = |text: &str| json!({"type": "input_text", "text": text});
    let image = json!({"type": "input_image", "image_url": "data:x"});
    let file = json!({"type": "input_file", "filename": "x.pdf", "file_data": "data:y"});
    let items = json!([
        said("user", "u"),
        call("a"),
        call("b"),
        result("a", json!([text("seen:"), image])),
        result("b", json!([image, file])),
        said("user", "v"),
    ]);
    let shown = json!({"type": "image_url", "image_url": {"url": "data:x"}});
    let attached = json!({"type": "file", "file": {"file_data": "data:y", "filename": "x.pdf"}});
    let part = |text: &str| json!({"type": "text", "text": text});
    for dialect in [
        Dialect::Generic,
        Dialect::OpenAi,
        Dialect::Vllm,
        Dialect::DeepSeek,
    ] {
        let messages = body(&generation(items.clone()), dialect)["messages"].clone();
        assert_eq!(messages[2]["content"], "seen:");
        assert_eq!(
            messages[3]["content"],
            "The result is in the user's message that follows."
        );
        assert_eq!(
            messages[4],
            sent(
                "user",
                json!([
                    part("From the result of f_a (a):"),
                    shown,
                    part("From the result of f_b (b):"),
                    shown,
                    attached,
                    part("v"),
                ])
            )
        );
        assert_eq!(messages.as_array().unwrap().len(), 5);
    }
    // llama.cpp takes images there, and files nowhere.
    let messages = body(&generation(items), Dialect::LlamaCpp)["messages"].clone();
    assert_eq!(messages[2]["content"], json!([part("seen:"), shown]));
    assert_eq!(messages[3]["content"], json!([shown]));
    assert_eq!(
        messages[4]["content"],
        json!([part("From the result of f_b (b):"), attached, part("v")])
    );
    // The last of the context, and before the next call.
    let items = json!([
        call("a"),
        result("a", json!([image])),
        call("b"),
        result("b", json!([image])),
    ]);
    let messages = body(&generation(items), Dialect::Generic)["messages"].clone();
    let roles: Vec<_> = messages
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].clone())
        .collect();
    assert_eq!(
        roles,
        ["assistant", "tool", "user", "assistant", "tool", "user"]
    );
}
