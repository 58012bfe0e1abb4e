//! `tool_choice` in all its forms.

use serde_json::{Value, json};

use super::{function, open_object, post};
use crate::support::World;

fn tools() -> Value {
    json!([
        function("f", open_object()),
        {"type": "function", "name": "later", "defer_loading": true},
        {"type": "custom", "name": "c"},
        {"type": "namespace", "name": "crm", "description": "d",
         "tools": [function("find", open_object())]},
        {"type": "tool_search"},
    ])
}

#[tokio::test]
async fn every_form_is_echoed() {
    let world = World::start().await;
    for choice in [
        json!("none"),
        json!("auto"),
        json!("required"),
        json!({"type": "function", "name": "f"}),
        json!({"type": "function", "name": "find"}),
        json!({"type": "function", "name": "find", "namespace": "crm"}),
        json!({"type": "custom", "name": "c"}),
        json!({"type": "allowed_tools", "mode": "auto", "tools": [
            {"type": "namespace", "name": "crm"}, {"type": "tool_search"}]}),
        json!({"type": "allowed_tools", "mode": "required", "tools": [
            {"type": "function", "name": "f"}, {"type": "custom", "name": "c"}]}),
    ] {
        let body =
            json!({"model": "native?generate=calls", "tools": tools(), "tool_choice": choice});
        assert_eq!(post(&world, body).await.ok().json["tool_choice"], choice);
    }
    assert_eq!(
        post(&world, json!({})).await.ok().json["tool_choice"],
        "auto"
    );
}

/// E27.
#[tokio::test]
async fn what_is_not_there_cannot_be_chosen() {
    let world = World::start().await;
    for (choice, named) in [
        (json!({"type": "function", "name": "g"}), "function"),
        (json!({"type": "function", "name": "c"}), "function"),
        (json!({"type": "function", "name": "later"}), "function"),
        (
            json!({"type": "function", "name": "f", "namespace": "crm"}),
            "function",
        ),
        (json!({"type": "namespace", "name": "f"}), "namespace"),
        (json!({"type": "custom", "name": "f"}), "custom"),
        (json!({"type": "mcp", "server_label": "docs"}), "mcp"),
        (json!({"type": "web_search"}), "web_search"),
        (json!({"type": "code_interpreter"}), "code_interpreter"),
        (json!({"type": "apply_patch"}), "apply_patch"),
    ] {
        let reply = post(&world, json!({"tools": tools(), "tool_choice": choice})).await;
        let message = reply.error(400, Some("tool_choice"), None);
        assert_eq!(
            message,
            format!("Tool choice '{named}' not found in 'tools' parameter.")
        );
        let allowed = json!({"type": "allowed_tools", "mode": "auto",
            "tools": [{"type": "function", "name": "f"}, choice]});
        let reply = post(&world, json!({"tools": tools(), "tool_choice": allowed})).await;
        let message = reply.error(400, Some("tool_choice.tools[1]"), None);
        assert_eq!(
            message,
            format!("Tool choice '{named}' not found in 'tools' parameter.")
        );
    }
    let reply = post(&world, json!({"tool_choice": "required"})).await;
    let message = reply.error(400, Some("tool_choice"), None);
    assert_eq!(
        message,
        "Tool choice 'required' must be specified with 'tools' parameter."
    );
}

#[tokio::test]
async fn a_deferred_tool_can_be_chosen_once_it_is_loaded() {
    let world = World::start().await;
    let choice = json!({"type": "function", "name": "later"});
    let input = json!([
        {"role": "user", "content": "x"},
        {"type": "tool_search_call", "arguments": {"paths": ["later"]}},
        {"type": "tool_search_output",
         "tools": [{"type": "function", "name": "later", "defer_loading": true}]},
    ]);
    let loaded = post(
        &world,
        json!({"model": "native?generate=calls", "input": input, "tools": tools(),
            "tool_choice": choice}),
    )
    .await
    .ok();
    // So it is in the turns that follow.
    let call_id = loaded.json["output"][0]["call_id"].clone();
    let output = json!({"type": "function_call_output", "call_id": call_id, "output": "1"});
    let body = json!({"model": "native?generate=calls", "tools": tools(), "tool_choice": choice,
        "previous_response_id": loaded.text("id"), "input": [output]});
    post(&world, body).await.ok();
}

#[tokio::test]
async fn a_wrong_form_is_named() {
    let world = World::start().await;
    for (choice, param, code) in [
        (json!("maybe"), "tool_choice", "invalid_value"),
        (json!(7), "tool_choice", "invalid_type"),
        (
            json!({"name": "f"}),
            "tool_choice.type",
            "missing_required_parameter",
        ),
        (
            json!({"type": "spell"}),
            "tool_choice.type",
            "invalid_value",
        ),
        (
            json!({"type": "function"}),
            "tool_choice.name",
            "missing_required_parameter",
        ),
        (
            json!({"type": "function", "function": {"name": "f"}, "name": "f"}),
            "tool_choice.function",
            "unknown_parameter",
        ),
        (
            json!({"type": "mcp"}),
            "tool_choice.server_label",
            "missing_required_parameter",
        ),
        (
            json!({"type": "allowed_tools", "tools": [{"type": "function", "name": "f"}]}),
            "tool_choice.mode",
            "missing_required_parameter",
        ),
        (
            json!({"type": "allowed_tools", "mode": "none", "tools": []}),
            "tool_choice.mode",
            "invalid_value",
        ),
        (
            json!({"type": "allowed_tools", "mode": "auto", "tools": []}),
            "tool_choice.tools",
            "empty_array",
        ),
        (
            json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function"}]}),
            "tool_choice.tools[0].name",
            "missing_required_parameter",
        ),
    ] {
        let reply = post(&world, json!({"tools": tools(), "tool_choice": choice})).await;
        reply.error(400, Some(param), Some(code));
    }
}
