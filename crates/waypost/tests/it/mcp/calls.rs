//! Calls, as the client and the model see them.

use serde_json::{Value, json};
use waypost_testkit::mcp::Fault;

use super::{Mcp, calling, items, kinds};
use crate::support::{checked, id_of, output_text};

const TEXT: &str = r#"{"text":"hi"}"#;

#[tokio::test]
async fn the_model_calls_a_tool_and_goes_on_with_its_output() {
    let mcp = Mcp::start().await;
    for dialect in ["chat", "native"] {
        for (background, stream) in [(false, false), (false, true), (true, false), (true, true)] {
            let model = calling(dialect, "echo", TEXT, 2);
            let before = mcp.mcp.runs("echo");
            let mut request = mcp.request(&model);
            request["background"] = json!(background);
            let response = if stream {
                mcp.world.stream(request).await.checked().await
            } else {
                let response = mcp.world.create(request).await;
                if background {
                    mcp.world.ended(&id_of(&response)).await
                } else {
                    response
                }
            };
            assert_eq!(response["status"], "completed", "{response}");
            let calls = items(&response, "mcp_call");
            assert_eq!(calls.len(), 2, "{dialect}: {response}");
            for call in &calls {
                let expected = json!({"id": call["id"], "type": "mcp_call", "status": "completed",
                    "approval_request_id": null, "arguments": TEXT, "error": null,
                    "name": "echo", "output": TEXT, "server_label": "notes"});
                assert_eq!(**call, expected);
                assert!(call["id"].as_str().expect("an id").starts_with("mcp_"));
            }
            assert_eq!(kinds(&response)[0], "mcp_list_tools");
            assert_eq!(kinds(&response).last(), Some(&"message"));
            assert!(!output_text(&response).is_empty());
            assert_eq!(mcp.mcp.runs("echo"), before + 2);
            // Three turns of the model, one bill.
            assert_eq!(response["usage"]["input_tokens"], 3 * 11, "{response}");
            let stored = mcp.world.get(&id_of(&response)).await.ok().json;
            assert_eq!(stored["output"], response["output"]);
        }
    }
}

#[tokio::test]
async fn events_come_in_the_documented_order() {
    let mcp = Mcp::start().await;
    let model = calling("chat", "echo", TEXT, 1);
    let events = mcp.world.stream(mcp.request(&model)).await.collect().await;
    checked(&events);
    let about = |index: u64| -> Vec<&str> {
        let of = events.iter().filter(|e| e["output_index"] == index);
        of.map(|event| event["type"].as_str().expect("a type"))
            .collect()
    };
    assert_eq!(
        about(0),
        [
            "response.output_item.added",
            "response.mcp_list_tools.in_progress",
            "response.mcp_list_tools.completed",
            "response.output_item.done",
        ]
    );
    let mut call = about(1);
    call.dedup();
    assert_eq!(
        call,
        [
            "response.output_item.added",
            "response.mcp_call.in_progress",
            "response.mcp_call_arguments.delta",
            "response.mcp_call_arguments.done",
            "response.mcp_call.completed",
            "response.output_item.done",
        ]
    );
    let done = events
        .iter()
        .find(|event| event["type"] == "response.mcp_call_arguments.done");
    assert_eq!(done.expect("an event")["arguments"], TEXT);
}

#[tokio::test]
async fn the_model_is_told_of_calls_as_functions() {
    let mcp = Mcp::start().await;
    let model = calling("chat", "echo", TEXT, 1);
    mcp.world.create(mcp.request(&model)).await;
    let sent = mcp.world.last_request();
    let names: Vec<&str> = sent["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .map(|tool| tool["function"]["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        names,
        ["notes__echo", "notes__add", "notes__write", "notes__fail"]
    );
    let messages = sent["messages"].as_array().expect("messages");
    let roles: Vec<&str> = messages
        .iter()
        .map(|m| m["role"].as_str().expect("a role"))
        .collect();
    assert_eq!(roles, ["user", "assistant", "tool"]);
    let call = &messages[1]["tool_calls"][0];
    assert_eq!(
        call["function"],
        json!({"name": "notes__echo", "arguments": TEXT})
    );
    assert_eq!(messages[2]["tool_call_id"], call["id"]);
    assert_eq!(messages[2]["content"], TEXT);
    let called = &mcp.mcp.requests_of("tools/call")[0];
    assert_eq!(called.body["params"]["arguments"], json!({"text": "hi"}));
}

#[tokio::test]
async fn every_kind_of_failure_is_told_and_the_model_goes_on() {
    let mcp = Mcp::with("", "call_timeout = \"500ms\"\nmax_result_bytes = \"4KiB\"").await;
    let execution = json!({"type": "mcp_tool_execution_error",
        "content": [{"type": "text", "text": "no such note"}]});
    for (tool, fault, kind, code) in [
        ("fail", None, "mcp_tool_execution_error", Value::Null),
        ("echo", Some(Fault::Status(503)), "http_error", json!(503)),
        ("echo", Some(Fault::Hang), "http_error", json!(504)),
        ("echo", Some(Fault::Reset), "http_error", json!(502)),
        ("echo", Some(Fault::Huge(100_000)), "http_error", json!(502)),
        (
            "echo",
            Some(Fault::Html),
            "mcp_protocol_error",
            json!(-32603),
        ),
    ] {
        mcp.mcp.fail("tools/call", fault.clone());
        let model = calling("chat", tool, TEXT, 1);
        let events = mcp.world.stream(mcp.request(&model)).await.collect().await;
        let response = checked(&events);
        assert_eq!(response["status"], "completed", "{fault:?}: {response}");
        let call = items(&response, "mcp_call")[0];
        assert_eq!(call["status"], "failed");
        assert_eq!(call["output"], Value::Null);
        assert_eq!(call["error"]["type"], kind, "{fault:?}");
        assert_eq!(call["error"]["code"], code, "{fault:?}");
        if tool == "fail" {
            assert_eq!(call["error"], execution);
        }
        let failed = events
            .iter()
            .any(|event| event["type"] == "response.mcp_call.failed");
        assert!(failed, "{fault:?}");
        let told = mcp.world.last_request();
        let output = told["messages"][2]["content"].as_str().expect("an output");
        assert!(output.starts_with("The call failed: "), "{output}");
    }
    let metrics = mcp.world.server.anonymous().get("/metrics").await.text;
    for (reason, count) in [("tool_error", 1), ("http_error", 4), ("protocol_error", 1)] {
        let line = format!("waypost_mcp_calls_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    // Only what a server lists is offered.
    mcp.mcp.fail("tools/call", None);
    mcp.mcp.behave(|server| server.tools.truncate(2));
    let list = mcp
        .world
        .create(json!({"model": "chat", "input": "go", "tools": [mcp.tool()]}))
        .await;
    let tools = items(&list, "mcp_list_tools")[0]["tools"].clone();
    assert_eq!(tools.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn arguments_that_are_no_object_are_not_sent() {
    let mcp = Mcp::start().await;
    let model = calling("chat", "write", "[1]", 1);
    let response = mcp.world.create(mcp.request(&model)).await;
    let call = items(&response, "mcp_call")[0];
    assert_eq!(call["error"]["type"], "mcp_protocol_error");
    assert_eq!(call["error"]["code"], -32602);
    assert_eq!(mcp.mcp.runs("write"), 0);
}

#[tokio::test]
async fn max_tool_calls_ends_the_calls_and_not_the_response() {
    let mcp = Mcp::start().await;
    let model = calling("chat", "echo", TEXT, 1000);
    let mut request = mcp.request(&model);
    request["max_tool_calls"] = json!(3);
    let response = mcp.world.create(request).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(items(&response, "mcp_call").len(), 3);
    assert_eq!(mcp.mcp.runs("echo"), 3);
    let last = mcp.world.last_request();
    assert!(last["tools"].is_null(), "{last}");

    // Parallel calls beyond it are left out.
    let model = "chat?tools=5&tool_names=notes__add";
    let mut request = mcp.request(model);
    request["max_tool_calls"] = json!(2);
    let response = mcp.world.create(request).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(items(&response, "mcp_call").len(), 2);
    assert_eq!(mcp.mcp.runs("add"), 2);
}

#[tokio::test]
async fn beside_a_function_of_the_client_its_call_ends_the_response() {
    let mcp = Mcp::start().await;
    let mut request = mcp.request("chat?tools=2&tool_names=notes__echo,mine");
    let mine = json!({"type": "function", "name": "mine", "strict": false,
        "parameters": {"type": "object", "properties": {}}});
    request["tools"].as_array_mut().expect("tools").push(mine);
    let response = mcp.world.stream(request.clone()).await.checked().await;
    assert_eq!(response["status"], "completed");
    assert_eq!(
        kinds(&response),
        ["mcp_list_tools", "mcp_call", "function_call"]
    );
    assert_eq!(items(&response, "mcp_call")[0]["status"], "completed");
    let call = items(&response, "function_call")[0];
    assert_eq!(call["name"], "mine");

    request["previous_response_id"] = response["id"].clone();
    request["input"] =
        json!([{"type": "function_call_output", "call_id": call["call_id"], "output": "x"}]);
    let response = mcp.world.create(request).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(
        mcp.mcp.requests_of("tools/list").len(),
        1,
        "the list is in the context"
    );
    let told = mcp.world.last_request();
    let tool_messages = told["messages"].as_array().expect("messages");
    let told = tool_messages
        .iter()
        .filter(|message| message["role"] == "tool")
        .count();
    assert_eq!(told, 2);
}

#[tokio::test]
async fn a_choice_of_a_tool_is_forced_once() {
    let mcp = Mcp::start().await;
    let mut request = mcp.request(&calling("chat", "echo", TEXT, 1));
    request["tool_choice"] = json!({"type": "mcp", "server_label": "notes", "name": "echo"});
    let response = mcp.world.create(request).await;
    assert_eq!(response["status"], "completed");
    assert_eq!(
        response["tool_choice"],
        json!({"type": "mcp", "server_label": "notes", "name": "echo"})
    );
    let requests = mcp.world.upstream.requests();
    let choices: Vec<Value> = requests
        .iter()
        .map(|r| r.json()["tool_choice"].clone())
        .collect();
    let forced = json!({"type": "function", "function": {"name": "notes__echo"}});
    assert_eq!(choices, [forced, json!("auto")]);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_call() {
    let mcp = Mcp::start().await;
    mcp.mcp
        .behave(|server| server.era = waypost_testkit::mcp::Era::Legacy);
    mcp.mcp.fail("tools/call", Some(Fault::Hang));
    let model = calling("chat", "write", TEXT, 1);
    let mut events = mcp.world.stream(mcp.request(&model)).await;
    while let Some(event) = events.next().await {
        if event["type"] == "response.mcp_call_arguments.done" {
            break;
        }
    }
    crate::support::until("the call is made", async || mcp.mcp.runs("write") == 1).await;
    drop(events);
    crate::support::until("the server is told", async || {
        !mcp.mcp.requests_of("notifications/cancelled").is_empty() && mcp.mcp.sessions() == 0
    })
    .await;
}

#[tokio::test]
async fn a_model_that_fails_after_a_call_fails_the_response_and_not_the_request() {
    let mcp = Mcp::start().await;
    // The first turn calls, the second breaks off.
    let model = format!("{}&eof_after=6", calling("chat", "write", TEXT, 1));
    let response = mcp.world.create(mcp.request(&model)).await;
    assert_eq!(response["status"], "failed", "{response}");
    assert_eq!(items(&response, "mcp_call")[0]["output"], "written");
    let stored = mcp.world.get(&id_of(&response)).await.ok().json;
    assert_eq!(stored["output"], response["output"]);

    // Who goes on from there finds the call in the context.
    let mut next = mcp.request("chat");
    next["previous_response_id"] = response["id"].clone();
    mcp.world.create(next).await;
    let messages = mcp.world.last_request()["messages"].clone();
    assert_eq!(messages[2]["content"], "written");
    assert_eq!(mcp.mcp.runs("write"), 1);
}

#[tokio::test]
async fn a_cancelled_response_ends_its_call() {
    let mcp = Mcp::start().await;
    mcp.mcp
        .behave(|server| server.era = waypost_testkit::mcp::Era::Legacy);
    mcp.mcp.fail("tools/call", Some(Fault::Hang));
    let mut request = mcp.request(&calling("chat", "write", TEXT, 1));
    request["background"] = json!(true);
    let id = id_of(&mcp.world.create(request).await);
    crate::support::until("the call is made", async || mcp.mcp.runs("write") == 1).await;
    let path = format!("/v1/responses/{id}/cancel");
    let cancelled = mcp.world.client().post(&path, json!({})).await.ok().json;
    assert_eq!(cancelled["status"], "cancelled");
    crate::support::until("the server is told", async || {
        !mcp.mcp.requests_of("notifications/cancelled").is_empty() && mcp.mcp.sessions() == 0
    })
    .await;
}

#[tokio::test]
async fn a_drain_gives_the_job_back_and_the_call_is_not_made_twice() {
    let mut mcp = Mcp::with("lease = \"1s\"", "").await;
    mcp.mcp.fail("tools/call", Some(Fault::Hang));
    let mut request = mcp.request(&calling("chat", "write", TEXT, 1));
    request["background"] = json!(true);
    let id = id_of(&mcp.world.create(request).await);
    crate::support::until("the call is made", async || mcp.mcp.runs("write") == 1).await;
    assert!(mcp.world.server.terminate().await.success());
    mcp.mcp.fail("tools/call", None);
    mcp.world.server.restart().await;
    let response = mcp.world.ended(&id).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(items(&response, "mcp_call")[0]["status"], "failed");
    assert_eq!(mcp.mcp.runs("write"), 1);
}
