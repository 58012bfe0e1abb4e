use serde_json::json;

use super::*;

/// Shape, name and pointer of everything found.
fn found(document: &Value) -> Option<Vec<(Shape, String, String)>> {
    let all = find(document)?;
    Some(
        all.into_iter()
            .map(|one| {
                let pointed = document.pointer(&one.schema_pointer);
                assert_eq!(
                    pointed.filter(|schema| !schema.is_null()),
                    one.schema,
                    "{one:?}"
                );
                assert!(document.pointer(&one.tool_pointer).is_some(), "{one:?}");
                let name = one.name.unwrap_or("-").to_owned();
                (one.shape, name, one.schema_pointer)
            })
            .collect(),
    )
}

fn one(shape: Shape, name: &str, pointer: &str) -> Vec<(Shape, String, String)> {
    vec![(shape, name.to_owned(), pointer.to_owned())]
}

#[test]
fn every_shape_of_one_tool_is_known() {
    let schema = json!({"type": "object", "properties": {}});
    let cases = [
        (
            json!({"type": "function", "name": "f", "parameters": schema}),
            one(Shape::ResponsesFunction, "f", "/parameters"),
        ),
        (
            json!({"type": "function", "name": "f"}),
            one(Shape::ResponsesFunction, "f", "/parameters"),
        ),
        (
            json!({"type": "function", "function": {"name": "f", "parameters": schema}}),
            one(Shape::ChatFunction, "f", "/function/parameters"),
        ),
        (
            json!({"name": "f", "parameters": schema}),
            one(Shape::LegacyFunction, "f", "/parameters"),
        ),
        (
            json!({"name": "f", "inputSchema": schema}),
            one(Shape::Mcp, "f", "/inputSchema"),
        ),
        (
            json!({"name": "f", "input_schema": schema, "type": "custom"}),
            one(Shape::Messages, "f", "/input_schema"),
        ),
        (schema, one(Shape::Schema, "-", "")),
        (
            json!({"title": "T", "anyOf": [true]}),
            one(Shape::Schema, "T", ""),
        ),
    ];
    for (document, expected) in cases {
        assert_eq!(found(&document), Some(expected), "{document}");
    }
}

#[test]
fn bodies_replies_and_arrays_give_all_their_tools() {
    let schema = json!({"type": "object", "properties": {}});
    let function = json!({"type": "function", "name": "f", "parameters": schema});
    let namespace = json!({"type": "namespace", "name": "n", "description": "", "tools": [
        {"type": "custom", "name": "c"}, function]});
    let body = json!({
        "model": "m",
        "tools": [{"type": "web_search"}, function, namespace],
        "text": {"format": {"type": "json_schema", "name": "t", "schema": schema}}});
    let pointers: Vec<_> = found(&body)
        .expect("known")
        .into_iter()
        .map(|f| f.2)
        .collect();
    assert_eq!(
        pointers,
        [
            "/tools/1/parameters",
            "/tools/2/tools/1/parameters",
            "/text/format/schema"
        ]
    );
    let inner = &find(&body).expect("known")[1];
    assert_eq!(
        (inner.index, inner.inner, inner.namespace),
        (2, Some(1), Some("n"))
    );

    let list = json!({"tools": [{"name": "a", "inputSchema": schema}]});
    assert_eq!(
        found(&list),
        Some(one(Shape::Mcp, "a", "/tools/0/inputSchema"))
    );
    let reply = json!({"jsonrpc": "2.0", "id": 1, "result": list});
    assert_eq!(
        found(&reply),
        Some(one(Shape::Mcp, "a", "/result/tools/0/inputSchema"))
    );
    let legacy = json!({"functions": [{"name": "f", "parameters": schema}]});
    assert_eq!(
        found(&legacy),
        Some(one(Shape::LegacyFunction, "f", "/functions/0/parameters"))
    );
    let chat = json!({"response_format": {"type": "json_schema",
        "json_schema": {"name": "t", "strict": true, "schema": schema}}});
    assert_eq!(
        found(&chat),
        Some(one(
            Shape::ChatFormat,
            "t",
            "/response_format/json_schema/schema"
        ))
    );
    assert_eq!(
        found(&json!([function])),
        Some(one(Shape::ResponsesFunction, "f", "/0/parameters"))
    );
}

#[test]
fn other_json_is_none_of_it() {
    for document in [
        json!({"name": "a-package", "version": "1.0.0", "type": "module", "files": []}),
        json!({"$schema": "https://example.com/config.json", "compilerOptions": {}}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
        json!([1, 2]),
        json!("object"),
        json!({}),
    ] {
        let found = find(&document);
        assert!(found.is_none_or(|all| all.is_empty()), "{document}");
    }
    // Known, with nothing to judge.
    let hosted = json!({"model": "m", "tools": [{"type": "web_search"}]});
    assert_eq!(found(&hosted), Some(vec![]));
}
