//! The shapes of tools: which are read, and how they are echoed.

use serde_json::{Value, json};

use super::{closed_object, echoed, function, open_object, post};
use crate::support::World;

#[tokio::test]
async fn every_shape_is_echoed_whole() {
    let world = World::start().await;
    let lark = "start: \"a\"+";
    let tools = json!([
        {"type": "function", "name": "f", "description": "F", "parameters": open_object(),
         "output_schema": {"type": "array", "items": {}}, "defer_loading": true,
         "allowed_callers": ["direct"]},
        {"type": "custom", "name": "free"},
        {"type": "custom", "name": "text", "description": "T", "format": {"type": "text"}},
        {"type": "custom", "name": "digits",
         "format": {"type": "grammar", "syntax": "regex", "definition": r"\d{4}-\d{2}"}},
        {"type": "custom", "name": "lark",
         "format": {"type": "grammar", "syntax": "lark", "definition": lark}},
        {"type": "namespace", "name": "crm", "description": "CRM", "tools": [
            function("f", open_object()),
            {"type": "custom", "name": "note", "defer_loading": true},
        ]},
        {"type": "tool_search"},
    ]);
    let reply = post(&world, json!({"model": "native?tokens=1", "tools": tools})).await;
    assert_eq!(
        reply.ok().json["tools"],
        json!([
            {"type": "function", "description": "F", "name": "f", "parameters": closed_object(),
             "strict": true, "output_schema": {"type": "array", "items": {}},
             "defer_loading": true, "allowed_callers": ["direct"]},
            {"type": "custom", "description": null, "name": "free", "format": {"type": "text"}},
            {"type": "custom", "description": "T", "name": "text", "format": {"type": "text"}},
            {"type": "custom", "description": null, "name": "digits",
             "format": {"type": "grammar", "syntax": "regex", "definition": r"\d{4}-\d{2}"}},
            {"type": "custom", "description": null, "name": "lark",
             "format": {"type": "grammar", "syntax": "lark", "definition": lark}},
            {"type": "namespace", "name": "crm", "description": "CRM", "tools": [
                {"type": "function", "description": null, "name": "f",
                 "parameters": closed_object(), "strict": true, "output_schema": null},
                {"type": "custom", "description": null, "name": "note",
                 "format": {"type": "text"}, "defer_loading": true},
            ]},
            {"type": "tool_search", "execution": "server", "description": null,
             "parameters": null},
        ])
    );
}

#[tokio::test]
async fn a_client_may_search_itself() {
    let world = World::start().await;
    let tools = json!([{"type": "tool_search", "execution": "client", "description": "Find.",
        "parameters": open_object()}]);
    let reply = post(&world, json!({"model": "native?tokens=1", "tools": tools})).await;
    assert_eq!(reply.ok().json["tools"], tools);
}

#[tokio::test]
async fn what_is_wrong_with_a_tool_is_named() {
    let world = World::start().await;
    let namespace = |tools: Value| json!({"type": "namespace", "name": "n", "description": "d", "tools": tools});
    for (tool, param, code) in [
        (json!("f"), "tools[0]", "invalid_type"),
        (
            json!({"name": "f"}),
            "tools[0].type",
            "missing_required_parameter",
        ),
        (json!({"type": "magic"}), "tools[0].type", "invalid_value"),
        (
            json!({"type": "function"}),
            "tools[0].name",
            "missing_required_parameter",
        ),
        (
            json!({"type": "function", "name": ""}),
            "tools[0].name",
            "empty_string",
        ),
        (
            json!({"type": "function", "name": "f", "parameters": "x"}),
            "tools[0].parameters",
            "invalid_type",
        ),
        (
            json!({"type": "function", "name": "f", "strict": "yes"}),
            "tools[0].strict",
            "invalid_type",
        ),
        (
            json!({"type": "function", "function": {"name": "f"}, "name": "f"}),
            "tools[0].function",
            "unknown_parameter",
        ),
        (
            json!({"type": "function", "name": "f", "output_schema": true}),
            "tools[0].output_schema",
            "invalid_type",
        ),
        (
            json!({"type": "function", "name": "f", "allowed_callers": ["direct", "programmatic"]}),
            "tools[0].allowed_callers[1]",
            "unsupported_parameter",
        ),
        (
            json!({"type": "function", "name": "f", "async": true}),
            "tools[0].async",
            "unsupported_parameter",
        ),
        (
            json!({"type": "function", "name": "f", "defer_loading": true}),
            "tools[0].defer_loading",
            "invalid_value",
        ),
        (
            json!({"type": "custom", "name": "c", "format": {"type": "json"}}),
            "tools[0].format.type",
            "invalid_value",
        ),
        (
            json!({"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "regex"}}),
            "tools[0].format.definition",
            "missing_required_parameter",
        ),
        (
            json!({"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "gbnf",
                "definition": "x"}}),
            "tools[0].format.syntax",
            "invalid_value",
        ),
        (
            json!({"type": "custom", "name": "c", "parameters": {}}),
            "tools[0].parameters",
            "unknown_parameter",
        ),
        (
            json!({"type": "namespace", "name": "n", "tools": [function("f", open_object())]}),
            "tools[0].description",
            "missing_required_parameter",
        ),
        (
            json!({"type": "namespace", "name": "n", "description": "d"}),
            "tools[0].tools",
            "missing_required_parameter",
        ),
        (namespace(json!([])), "tools[0].tools", "empty_array"),
        (
            namespace(json!([{"type": "tool_search"}])),
            "tools[0].tools[0].type",
            "invalid_value",
        ),
        (
            namespace(json!([{"type": "function", "name": "a b"}])),
            "tools[0].tools[0].name",
            "invalid_value",
        ),
        (
            namespace(json!([{"type": "function", "name": "f", "defer_loading": true}])),
            "tools[0].tools[0].defer_loading",
            "invalid_value",
        ),
        (
            json!({"type": "tool_search", "execution": "both"}),
            "tools[0].execution",
            "invalid_value",
        ),
        (
            json!({"type": "tool_search", "parameters": open_object()}),
            "tools[0].parameters",
            "unsupported_parameter",
        ),
    ] {
        let reply = post(&world, json!({"tools": [tool]})).await;
        reply.error(400, Some(param), Some(code));
    }
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test]
async fn tools_that_are_known_and_not_here_are_refused_by_name() {
    let world = World::start().await;
    for kind in ["computer_use_preview", "computer_use"] {
        let reply = post(&world, json!({"tools": [{"type": kind}]})).await;
        let message = reply.error(400, Some("tools[0].type"), Some("unsupported_parameter"));
        assert!(message.contains(&format!("'{kind}'")), "{message}");
        assert!(
            message.contains("'function', 'custom', 'namespace'"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_regex_is_compiled_when_it_is_declared() {
    let world = World::start().await;
    let custom = |definition: &str| {
        json!([{"type": "custom", "name": "c",
            "format": {"type": "grammar", "syntax": "regex", "definition": definition}}])
    };
    for bad in [
        r"(?=x)",
        r"(a",
        r"a\1",
        "a\nb",
        r"(\w{1,500}){1,500}",
        r"[z-a]",
    ] {
        let reply = post(&world, json!({"tools": custom(bad)})).await;
        let message = reply.error(
            400,
            Some("tools[0].format.definition"),
            Some("invalid_value"),
        );
        assert!(message.contains("regular expression"), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
    let lark = json!([{"type": "custom", "name": "c",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: ("}}]);
    let reply = post(&world, json!({"tools": lark})).await;
    reply.error(
        400,
        Some("tools[0].format.definition"),
        Some("invalid_value"),
    );
    // What would take the server down is refused, and the server lives.
    let chain: Vec<_> = (0..683).map(|at| format!("r{at}: r{}\n", at + 1)).collect();
    let chain = chain.concat();
    let patterns: Vec<_> = (0..150).map(|at| format!("/.*x{at}.*/")).collect();
    for (lark, bound) in [
        (format!("start: r0\n{chain}r683: \"a\""), "500 rules"),
        (
            format!("start: A\nA: {}", patterns.join(" & ")),
            "operators '&'",
        ),
    ] {
        let tools = json!([{"type": "custom", "name": "c",
            "format": {"type": "grammar", "syntax": "lark", "definition": lark}}]);
        let reply = post(&world, json!({"tools": tools})).await;
        let message = reply.error(
            400,
            Some("tools[0].format.definition"),
            Some("invalid_value"),
        );
        assert!(message.contains(bound), "{message}");
    }
    // An alternative is anchored as a whole.
    let reply = post(
        &world,
        json!({"model": "native?tokens=1", "tools": custom("a|b")}),
    )
    .await;
    reply.ok();
}

#[tokio::test]
async fn items_bring_tools_and_keep_them_resolved() {
    let world = World::start().await;
    let input = json!([
        {"role": "user", "content": "x"},
        {"type": "additional_tools", "role": "developer", "tools": [function("late", open_object())]},
        {"type": "tool_search_call", "call_id": "call_1", "execution": "client",
         "arguments": {"query": "crm"}},
        {"type": "tool_search_output", "call_id": "call_1", "tools": [
            {"type": "namespace", "name": "crm", "description": "d",
             "tools": [function("find", open_object())]},
        ]},
    ]);
    let reply = post(&world, json!({"model": "native?tokens=1", "input": input}))
        .await
        .ok();
    let id = reply.text("id");
    let path = format!("/v1/responses/{id}/input_items?order=asc");
    let items = world.client().get(&path).await.ok().json;
    let late = &items["data"][1];
    assert!(late["id"].as_str().is_some_and(|id| id.starts_with("at_")));
    assert_eq!(late["tools"][0]["parameters"], closed_object());
    assert_eq!(late["tools"][0]["strict"], true);
    assert_eq!(items["data"][2]["arguments"], json!({"query": "crm"}));
    let found = &items["data"][3];
    assert_eq!(found["execution"], "client");
    assert_eq!(found["tools"][0]["tools"][0]["parameters"], closed_object());
    // What the server said can be sent back, and stays what it is.
    let mut again = items["data"].clone();
    for item in again.as_array_mut().expect("items") {
        item.as_object_mut().expect("an item").remove("id");
    }
    let reply = post(&world, json!({"model": "native?tokens=1", "input": again}))
        .await
        .ok();
    let path = format!("/v1/responses/{}/input_items?order=asc", reply.text("id"));
    let replayed = world.client().get(&path).await.ok().json;
    assert_eq!(replayed["data"][1]["tools"], late["tools"]);
    assert_eq!(replayed["data"][3]["tools"], found["tools"]);
}

#[tokio::test]
async fn the_same_name_twice_in_different_namespaces_is_fine() {
    let world = World::start().await;
    let namespace = |name: &str| {
        json!({"type": "namespace", "name": name, "description": "d",
            "tools": [function("find", open_object())]})
    };
    let tools = json!([
        namespace("a"),
        namespace("b"),
        function("find", open_object())
    ]);
    let tools = echoed(&world, tools).await;
    assert_eq!(tools[1]["tools"][0]["name"], "find");
}
