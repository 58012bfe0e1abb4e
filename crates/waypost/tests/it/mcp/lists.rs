//! What a server has, and what of it a request uses.

use serde_json::{Value, json};
use waypost_testkit::mcp::{Answer, Era, Fault, ScriptedTool};

use super::{Mcp, items, kinds};
use crate::support::{checked, id_of};

fn names(list: &Value) -> Vec<&str> {
    let tools = list["tools"].as_array().expect("tools");
    tools
        .iter()
        .map(|tool| tool["name"].as_str().expect("a name"))
        .collect()
}

#[tokio::test]
async fn a_list_stands_first_and_is_made_once_for_a_conversation() {
    let mcp = Mcp::start().await;
    for era in [Era::Modern, Era::Legacy] {
        mcp.mcp.behave(|server| server.era = era);
        let before = mcp.mcp.requests_of("tools/list").len();
        let first = mcp.world.create(mcp.request("chat")).await;
        assert_eq!(kinds(&first), ["mcp_list_tools", "message"]);
        let list = items(&first, "mcp_list_tools")[0];
        let expected = json!({"annotations": {"readOnlyHint": true}, "description": "Says it again",
            "input_schema": {"type": "object", "properties": {"text": {"type": "string"}},
                "required": ["text"]}, "name": "echo"});
        assert_eq!(list["tools"][0], expected);
        assert_eq!(list.get("error"), None, "null is refused by clients");
        assert_eq!(list["server_label"], "notes");

        // By reference, and by sending the items back.
        let mut next = mcp.request("chat");
        next["previous_response_id"] = first["id"].clone();
        let second = mcp.world.create(next).await;
        assert_eq!(kinds(&second), ["message"]);
        let mut next = mcp.request("chat");
        let mut input = first["output"].as_array().expect("an output").clone();
        input.push(json!({"role": "user", "content": "again"}));
        next["input"] = input.into();
        let third = mcp.world.create(next).await;
        assert_eq!(kinds(&third), ["message"]);
        assert_eq!(mcp.mcp.requests_of("tools/list").len(), before + 1);
        let tools = mcp.world.last_request()["tools"].clone();
        assert_eq!(tools.as_array().map(Vec::len), Some(4));
    }
}

#[tokio::test]
async fn allowed_tools_choose_by_name_and_hint() {
    let mcp = Mcp::start().await;
    for (allowed, expected) in [
        (json!(["write", "echo"]), vec!["echo", "write"]),
        (json!({"read_only": true}), vec!["echo"]),
        (
            json!({"tool_names": ["echo", "add"], "read_only": false}),
            vec!["add"],
        ),
        (json!(["nothing"]), vec![]),
    ] {
        let mut request = mcp.request("chat");
        request["tools"][0]["allowed_tools"] = allowed.clone();
        let response = mcp.world.create(request).await;
        assert_eq!(response["status"], "completed");
        assert_eq!(response["tools"][0]["allowed_tools"], allowed);
        let list = items(&response, "mcp_list_tools")[0];
        assert_eq!(names(list), expected, "{allowed}");
    }
    // A later request that allows more asks again.
    let mut request = mcp.request("chat");
    request["tools"][0]["allowed_tools"] = json!(["echo"]);
    let first = mcp.world.create(request.clone()).await;
    request["previous_response_id"] = first["id"].clone();
    request["tools"][0]["allowed_tools"] = json!(["write"]);
    let second = mcp.world.create(request).await;
    assert_eq!(names(items(&second, "mcp_list_tools")[0]), ["write"]);
}

#[tokio::test]
async fn two_servers_side_by_side() {
    let mcp = Mcp::start().await;
    let mut request = mcp.request("chat?tools=2&tool_names=notes__echo,other__add");
    let mut other = mcp.tool();
    other["server_label"] = json!("other");
    other["server_description"] = json!("Of another house");
    request["tools"].as_array_mut().expect("tools").push(other);
    let response = mcp.world.stream(request).await.checked().await;
    assert_eq!(
        kinds(&response),
        [
            "mcp_list_tools",
            "mcp_list_tools",
            "mcp_call",
            "mcp_call",
            "message"
        ]
    );
    let calls = items(&response, "mcp_call");
    assert_eq!(
        (&calls[0]["server_label"], &calls[1]["server_label"]),
        (&json!("notes"), &json!("other"))
    );
    let sent = mcp.world.last_request();
    let description = sent["tools"][4]["function"]["description"].as_str();
    assert_eq!(description, Some("Says it again\n\nOf another house"));
}

#[tokio::test]
async fn without_its_list_a_response_fails_and_says_so() {
    let mcp = Mcp::start().await;
    mcp.mcp.fail("tools/list", Some(Fault::Status(401)));
    let reply = mcp
        .world
        .client()
        .post("/v1/responses", mcp.request("chat"))
        .await;
    let message = reply.error(424, Some("tools"), Some("http_error"));
    assert_eq!(
        message,
        "Error retrieving tool list from MCP server: 'notes'. The MCP server answered 401 Unauthorized."
    );
    assert_eq!(reply.json["error"]["type"], "external_connector_error");

    let events = mcp.world.stream(mcp.request("chat")).await.collect().await;
    let response = checked(&events);
    assert_eq!(response["status"], "failed");
    assert_eq!(response["error"]["code"], "server_error");
    assert_eq!(response["error"]["message"], message.as_str());
    let list = items(&response, "mcp_list_tools")[0];
    assert_eq!(
        (&list["error"], &list["tools"]),
        (&json!(message), &json!([]))
    );
    assert!(
        events
            .iter()
            .any(|event| event["type"] == "response.mcp_list_tools.failed")
    );

    let mut request = mcp.request("chat");
    request["background"] = json!(true);
    let response = mcp.world.create(request).await;
    let response = mcp.world.ended(&id_of(&response)).await;
    assert_eq!(response["error"]["message"], message.as_str());
    assert_eq!(mcp.world.upstream.requests().len(), 0, "no model was asked");

    // What may pass is tried again.
    mcp.mcp.fail("tools/list", Some(Fault::Status(500)));
    let trying = mcp.world.stream(mcp.request("chat"));
    let (mut events, ()) = tokio::join!(trying, async {
        crate::support::until("the first try", async || {
            mcp.mcp.requests_of("tools/list").len() > 3
        })
        .await;
        mcp.mcp.fail("tools/list", None);
    });
    assert_eq!(events.checked().await["status"], "completed");
}

/// The same answer to whatever it is asked, as a server of no protocol gives it.
fn always(result: &Value) -> Fault {
    let each = (1..20).map(|id| json!({"jsonrpc": "2.0", "id": id, "result": result}));
    Fault::Text(each.collect::<Value>().to_string())
}

#[tokio::test]
async fn a_list_that_is_none_fails_the_response_and_nothing_else() {
    let mcp = Mcp::start().await;
    for result in [
        json!("tools"),
        json!(7),
        json!(true),
        json!(null),
        json!([]),
        json!([{"tools": []}]),
        json!({}),
        json!({"tools": null}),
        json!({"tools": "echo"}),
        json!({"tools": {"name": "echo"}}),
    ] {
        mcp.mcp.fail("tools/list", Some(always(&result)));
        let request = mcp.request("chat");
        let reply = mcp.world.client().post("/v1/responses", request).await;
        let message = reply.error(424, Some("tools"), Some("http_error"));
        assert!(message.contains("is not MCP"), "{result}: {message}");
        let events = mcp.world.stream(mcp.request("chat")).await.collect().await;
        let response = checked(&events);
        assert_eq!(response["status"], "failed", "{result}");
        let list = items(&response, "mcp_list_tools")[0];
        assert_eq!(list["error"], json!(message), "{result}");
        assert_eq!(list["tools"], json!([]), "{result}");
    }
    // An element that is no tool is left out.
    for element in [
        json!("echo"),
        json!(7),
        json!([]),
        json!(null),
        json!({"name": 7}),
        json!({"name": ""}),
        json!({"name": "echo", "inputSchema": "object"}),
        json!({"name": "echo", "inputSchema": []}),
    ] {
        let listed = json!({"tools": [element, {"name": "good"}]});
        mcp.mcp.fail("tools/list", Some(always(&listed)));
        let response = mcp.world.create(mcp.request("chat")).await;
        assert_eq!(names(items(&response, "mcp_list_tools")[0]), ["good"]);
    }
    // Whatever else a tool says of itself may be of any shape.
    let odd = json!({"tools": [{"name": "echo", "description": 7, "annotations": "none"}],
        "nextCursor": 7});
    mcp.mcp.fail("tools/list", Some(always(&odd)));
    let response = mcp.world.create(mcp.request("chat")).await;
    let tool = &items(&response, "mcp_list_tools")[0]["tools"][0];
    assert_eq!(tool["name"], "echo");
    assert_eq!(tool.get("description"), None);
    assert_eq!(tool.get("annotations"), None, "null is refused by clients");

    // And the result of a call.
    mcp.mcp.fail("tools/list", None);
    for result in [
        json!("x"),
        json!(7),
        json!([]),
        json!(null),
        json!({"content": 7}),
    ] {
        mcp.mcp.fail("tools/call", Some(always(&result)));
        let model = super::calling("chat", "echo", "{}", 1);
        let response = mcp.world.create(mcp.request(&model)).await;
        assert_eq!(response["status"], "completed", "{result}: {response}");
        let call = items(&response, "mcp_call")[0];
        assert_eq!(call["status"], "failed", "{result}");
        assert_eq!(call["error"]["type"], "mcp_protocol_error", "{result}");
        assert_eq!(call["error"]["code"], -32603, "{result}");
    }
    assert!(!mcp.world.server.log().contains("panicked"));
}

#[tokio::test]
async fn odd_schemas_are_mended_and_one_bad_tool_takes_no_other_with_it() {
    let mcp = Mcp::start().await;
    let tool = |name: &str, schema: Value| ScriptedTool {
        definition: json!({"name": name, "inputSchema": schema}),
        answer: Answer::Echo,
    };
    let written = [
        ("bare", json!({"type": "object"})),
        ("list", json!({"type": "object", "properties": []})),
        (
            "array",
            json!({"type": "object", "properties": {"a": {"type": "array"}}}),
        ),
        (
            "draft4",
            json!({"type": "object", "properties":
                {"a": {"type": "number", "minimum": 0, "exclusiveMinimum": true, "enum": null}}}),
        ),
        (
            "union",
            json!({"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}]}),
        ),
    ];
    mcp.mcp.behave(|server| {
        server.tools = written
            .iter()
            .map(|(name, schema)| tool(name, schema.clone()))
            .collect();
        server.tools.insert(1, tool("bad", json!("no schema")));
    });
    let response = mcp.world.create(mcp.request("chat")).await;
    let list = items(&response, "mcp_list_tools")[0];
    assert_eq!(names(list), ["bare", "list", "array", "draft4", "union"]);
    let sent = mcp.world.last_request()["tools"].clone();
    let nothing = json!({"type": "object", "properties": {}});
    for (at, expected) in [
        nothing.clone(),
        nothing,
        json!({"type": "object", "properties": {"a": {"type": "array", "items": {}}}}),
        // Bounds are none of what this server's engine takes.
        json!({"type": "object", "properties": {"a": {"type": "number"}}}),
        // Each branch takes anything for what only the other one declares.
        json!({"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {}]},
            "b": {"anyOf": [{"type": "string"}, {}]}}}),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            list["tools"][at]["input_schema"], written[at].1,
            "as written"
        );
        assert_eq!(sent[at]["function"]["parameters"], expected);
    }
}
