//! kill -9 around calls: what was done is kept, what may have been done is done
//! again only where that is safe.

use serde_json::{Value, json};
use waypost_testkit::mcp::Fault;

use super::{Mcp, calling, items, kinds};
use crate::support::{answer_of, checked, id_of, output_text, until};

const TEXT: &str = r#"{"text":"hi"}"#;
const LEASE: &str = "lease = \"1s\"";

/// Creates a streamable background response that calls this tool, and crashes
/// while the call is being made.
async fn crashed_inside(mcp: &mut Mcp, tool: &str, rounds: usize) -> String {
    let before = mcp.mcp.runs(tool);
    mcp.mcp.fail("tools/call", Some(Fault::Hang));
    let mut request = mcp.request(&calling("chat", tool, TEXT, rounds));
    request["background"] = json!(true);
    let mut events = mcp.world.stream(request).await;
    let id = id_of(&events.next().await.expect("response.created")["response"]);
    until("the call is made", async || {
        mcp.mcp.runs(tool) == before + 1
    })
    .await;
    mcp.world.server.kill9().await;
    mcp.mcp.fail("tools/call", None);
    mcp.world.server.restart().await;
    id
}

async fn whole(mcp: &Mcp, id: &str) -> Value {
    let ended = mcp.world.ended(id).await;
    let log = mcp.world.replay(id, None).await.collect().await;
    let response = checked(&log);
    assert_eq!(response["output"], ended["output"]);
    response
}

#[tokio::test]
async fn a_call_with_effects_is_not_made_twice() {
    let mut mcp = Mcp::with(LEASE, "").await;
    let id = crashed_inside(&mut mcp, "write", 1).await;
    let response = whole(&mcp, &id).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(kinds(&response), ["mcp_list_tools", "mcp_call", "message"]);
    let call = items(&response, "mcp_call")[0];
    assert_eq!(call["status"], "failed");
    assert_eq!(
        call["error"],
        json!({"type": "mcp_tool_execution_error",
            "content": [{"type": "text", "text": "outcome unknown after server restart"}]})
    );
    assert_eq!(call["arguments"], TEXT);
    assert_eq!(mcp.mcp.runs("write"), 1);
    let told = mcp.world.last_request();
    let output = told["messages"][2]["content"].as_str().expect("an output");
    assert!(output.contains("outcome unknown"), "{output}");
    assert_eq!(
        mcp.mcp.requests_of("tools/list").len(),
        1,
        "the list was kept"
    );
}

#[tokio::test]
async fn a_call_that_may_be_repeated_is_made_again_as_the_same_one() {
    for tool in ["echo", "add"] {
        let mut mcp = Mcp::with(LEASE, "").await;
        let id = crashed_inside(&mut mcp, tool, 2).await;
        let response = whole(&mcp, &id).await;
        assert_eq!(response["status"], "completed", "{response}");
        assert_eq!(
            kinds(&response),
            ["mcp_list_tools", "mcp_call", "mcp_call", "message"]
        );
        for call in items(&response, "mcp_call") {
            assert_eq!(
                (&call["status"], &call["output"]),
                (&json!("completed"), &json!(TEXT))
            );
        }
        assert_eq!(mcp.mcp.runs(tool), 3);
        let keys: Vec<Value> = mcp
            .mcp
            .requests_of("tools/call")
            .iter()
            .map(|call| call.body["params"]["_meta"]["waypost/idempotencyKey"].clone())
            .collect();
        assert_eq!(keys[0], keys[1], "one call, one key");
        assert_ne!(keys[1], keys[2]);
        let first = items(&response, "mcp_call")[0]["id"]
            .as_str()
            .expect("an id");
        assert_eq!(keys[0], format!("{id}/{first}"));
    }
}

#[tokio::test]
async fn finished_calls_are_kept_and_the_run_goes_on() {
    let mut mcp = Mcp::with(LEASE, "").await;
    // The second turn stalls before it says anything.
    let model = format!("{}&first_delay_ms=1500", calling("chat", "write", TEXT, 1));
    let mut request = mcp.request(&model);
    request["background"] = json!(true);
    let mut events = mcp.world.stream(request).await;
    let id = id_of(&events.next().await.expect("response.created")["response"]);
    while let Some(event) = events.next().await {
        if event["type"] == "response.output_item.done" && event["item"]["type"] == "mcp_call" {
            break;
        }
    }
    drop(events);
    mcp.world.server.kill9().await;
    mcp.world.server.restart().await;
    let response = whole(&mcp, &id).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(kinds(&response), ["mcp_list_tools", "mcp_call", "message"]);
    assert_eq!(mcp.mcp.runs("write"), 1);
    // Of the turn that called, and of the last; the one that died said nothing.
    assert_eq!(response["usage"]["input_tokens"], 2 * 11);
}

#[tokio::test]
async fn a_crash_while_listing_lists_again() {
    let mut mcp = Mcp::with(LEASE, "").await;
    mcp.mcp.fail("tools/list", Some(Fault::Hang));
    let mut request = mcp.request(&calling("chat", "echo", TEXT, 1));
    request["background"] = json!(true);
    request["stream"] = json!(true);
    let mut events = mcp.world.stream(request).await;
    let id = id_of(&events.next().await.expect("response.created")["response"]);
    until("the list is asked for", async || {
        !mcp.mcp.requests_of("tools/list").is_empty()
    })
    .await;
    mcp.world.server.kill9().await;
    mcp.mcp.fail("tools/list", None);
    mcp.world.server.restart().await;
    let response = whole(&mcp, &id).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(kinds(&response), ["mcp_list_tools", "mcp_call", "message"]);
}

#[tokio::test]
async fn an_allowed_call_with_effects_is_not_made_twice_either() {
    let mut mcp = Mcp::with(LEASE, "").await;
    let mut request = mcp.request(&calling("chat", "write", TEXT, 1));
    request["tools"][0]["require_approval"] = json!("always");
    let asked = mcp.world.create(request.clone()).await;
    let question = items(&asked, "mcp_approval_request")[0]["id"].clone();
    mcp.mcp.fail("tools/call", Some(Fault::Hang));
    request["previous_response_id"] = asked["id"].clone();
    request["input"] = json!([{"type": "mcp_approval_response",
        "approval_request_id": question, "approve": true}]);
    request["background"] = json!(true);
    let mut events = mcp.world.stream(request).await;
    let id = id_of(&events.next().await.expect("response.created")["response"]);
    until("the call is made", async || mcp.mcp.runs("write") == 1).await;
    mcp.world.server.kill9().await;
    mcp.mcp.fail("tools/call", None);
    mcp.world.server.restart().await;
    let response = whole(&mcp, &id).await;
    assert_eq!(kinds(&response), ["mcp_call", "message"], "{response}");
    let call = items(&response, "mcp_call")[0];
    assert_eq!(
        (&call["status"], &call["approval_request_id"]),
        (&json!("failed"), &question)
    );
    assert_eq!(mcp.mcp.runs("write"), 1);
}

#[tokio::test]
async fn a_message_after_calls_is_continued_where_it_broke_off() {
    let mut mcp = Mcp::with(LEASE, "").await;
    let model = format!(
        "{}&tokens=60&delay_ms=25",
        calling("prefill", "write", TEXT, 1)
    );
    let mut request = mcp.request(&model);
    request["background"] = json!(true);
    let mut events = mcp.world.stream(request).await;
    let id = id_of(&events.next().await.expect("response.created")["response"]);
    let mut called = false;
    let mut words = 0;
    while let Some(event) = events.next().await {
        called |= event["item"]["type"] == "mcp_call" && event["item"]["status"] == "completed";
        words += usize::from(called && event["type"] == "response.output_text.delta");
        if words == 5 {
            break;
        }
    }
    drop(events);
    mcp.world.server.kill9().await;
    mcp.world.server.restart().await;
    let response = whole(&mcp, &id).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(kinds(&response).last(), Some(&"message"));
    let text = output_text(&response);
    assert!(text.ends_with(&answer_of(&model)), "{text}");
    assert_eq!(mcp.mcp.runs("write"), 1);
    let told = mcp.world.last_request();
    let roles: Vec<&str> = told["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| message["role"].as_str().expect("a role"))
        .collect();
    assert_eq!(roles.last(), Some(&"assistant"), "it was asked to continue");
}

/// Nobody has read, and the model server cannot continue: the turn is asked for
/// again, the call behind it is not made again.
#[tokio::test]
async fn a_message_after_calls_that_nobody_has_read_starts_again() {
    let mut mcp = Mcp::with(LEASE, "").await;
    let model = format!(
        "{}&tokens=40&delay_ms=25",
        calling("chat", "write", TEXT, 1)
    );
    let mut request = mcp.request(&model);
    request["background"] = json!(true);
    let id = id_of(&mcp.world.create(request).await);
    until("the message is on its way", async || {
        mcp.mcp.runs("write") == 1 && mcp.world.upstream.stats().models[&model] == 2
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    mcp.world.server.kill9().await;
    mcp.world.server.restart().await;
    let response = mcp.world.ended(&id).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(
        kinds(&response),
        ["mcp_list_tools", "message", "mcp_call", "message"]
    );
    assert_eq!(output_text(&response), answer_of(&model).repeat(2));
    assert_eq!(mcp.mcp.runs("write"), 1);
    assert_eq!(mcp.world.upstream.stats().models[&model], 3);
    assert!(mcp.world.server.log().contains("starts again"));
}
