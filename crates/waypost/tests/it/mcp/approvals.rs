//! Calls that a person has to allow.

use serde_json::{Value, json};

use super::{Mcp, calling, items, kinds};
use crate::support::{checked, id_of};

const TEXT: &str = r#"{"text":"hi"}"#;

/// A response that asks: the request it answers, and the response.
async fn asked(mcp: &Mcp) -> (Value, Value) {
    let mut request = mcp.request(&calling("chat", "write", TEXT, 1));
    request["tools"][0]["require_approval"] = json!({"never": {"read_only": true}});
    let response = mcp.world.stream(request.clone()).await.checked().await;
    assert_eq!(response["status"], "completed");
    assert_eq!(kinds(&response), ["mcp_list_tools", "mcp_approval_request"]);
    let asking = items(&response, "mcp_approval_request")[0];
    assert_eq!(
        *asking,
        json!({"id": asking["id"], "type": "mcp_approval_request", "arguments": TEXT,
            "name": "write", "server_label": "notes"})
    );
    assert_eq!(mcp.mcp.runs("write"), 0);
    (request, response)
}

fn answer(response: &Value, approve: bool) -> Value {
    let id = &items(response, "mcp_approval_request")[0]["id"];
    json!({"type": "mcp_approval_response", "approval_request_id": id, "approve": approve})
}

#[tokio::test]
async fn an_allowed_call_is_made_first() {
    let mcp = Mcp::start().await;
    for (round, background) in [false, true].into_iter().enumerate() {
        let (mut request, response) = asked_fresh(&mcp, round).await;
        let id = items(&response, "mcp_approval_request")[0]["id"].clone();
        request["previous_response_id"] = response["id"].clone();
        request["input"] = json!([answer(&response, true)]);
        request["background"] = json!(background);
        let events = mcp.world.stream(request).await.collect().await;
        let second = checked(&events);
        assert_eq!(second["status"], "completed", "{second}");
        assert_eq!(kinds(&second), ["mcp_call", "message"]);
        let call = items(&second, "mcp_call")[0];
        assert_eq!(call["approval_request_id"], id);
        assert_eq!(call["output"], "written");
        assert_eq!(call["arguments"], TEXT);
        assert_eq!(mcp.mcp.runs("write"), round as u64 + 1);

        // Going on from there makes it no second time.
        let mut third = mcp.request("chat");
        third["previous_response_id"] = second["id"].clone();
        assert_eq!(kinds(&mcp.world.create(third).await), ["message"]);
        assert_eq!(mcp.mcp.runs("write"), round as u64 + 1);
    }
}

async fn asked_fresh(mcp: &Mcp, runs: usize) -> (Value, Value) {
    if runs == 0 {
        return asked(mcp).await;
    }
    let mut request = mcp.request(&calling("chat", "write", TEXT, 1));
    request["tools"][0]["require_approval"] = json!("always");
    request["background"] = json!(true);
    let response = mcp.world.create(request.clone()).await;
    let response = mcp.world.ended(&id_of(&response)).await;
    assert_eq!(kinds(&response), ["mcp_list_tools", "mcp_approval_request"]);
    (request, response)
}

#[tokio::test]
async fn a_refused_call_is_not_made_and_the_model_is_told() {
    let mcp = Mcp::start().await;
    for (reason, told) in [
        (
            json!("not today"),
            "The user did not allow this call: not today",
        ),
        (json!(null), "The user did not allow this call."),
    ] {
        let (mut request, response) = asked(&mcp).await;
        let mut refusal = answer(&response, false);
        refusal["reason"] = reason;
        // The whole context is sent, nothing is stored.
        let mut input = vec![json!({"role": "user", "content": "go"})];
        input.extend(response["output"].as_array().expect("an output").clone());
        input.push(refusal);
        request["input"] = input.into();
        request["store"] = json!(false);
        let second = mcp.world.create(request).await;
        assert_eq!(kinds(&second), ["message"], "{second}");
        assert_eq!(mcp.mcp.runs("write"), 0);
        let messages = mcp.world.last_request()["messages"].clone();
        assert_eq!(
            messages[1]["tool_calls"][0]["function"]["name"],
            "notes__write"
        );
        assert_eq!(messages[2]["content"], told);
    }
}

#[tokio::test]
async fn who_goes_on_without_an_answer_makes_no_call() {
    let mcp = Mcp::start().await;
    let (mut request, response) = asked(&mcp).await;
    request["previous_response_id"] = response["id"].clone();
    request["input"] = json!("never mind");
    request["model"] = json!("chat?tokens=3");
    let second = mcp.world.create(request).await;
    assert_eq!(kinds(&second), ["message"]);
    let messages = mcp.world.last_request()["messages"].clone();
    let told = messages[2]["content"].as_str().expect("an output");
    assert!(told.contains("not made"), "{told}");
}

#[tokio::test]
async fn an_answer_must_fit_to_a_question() {
    let mcp = Mcp::start().await;
    let (request, response) = asked(&mcp).await;
    let client = mcp.world.client();
    let mut stray = request.clone();
    stray["input"] = json!([answer(&response, true)]);
    let reply = client.post("/v1/responses", stray.clone()).await;
    let param = Some("input[0].approval_request_id");
    let message = reply.error(400, param, Some("invalid_value"));
    assert!(message.contains("No approval request"), "{message}");

    stray["previous_response_id"] = response["id"].clone();
    stray["tools"] = json!([]);
    let reply = client.post("/v1/responses", stray).await;
    let message = reply.error(400, param, Some("invalid_value"));
    assert!(message.contains("not in 'tools'"), "{message}");
    assert_eq!(mcp.mcp.runs("write"), 0);
}

#[tokio::test]
async fn an_approval_opens_nothing_that_the_request_does_not_allow() {
    let mcp = Mcp::start().await;
    let asking = |id: &str, name: &str| {
        json!({"id": id, "type": "mcp_approval_request", "arguments": TEXT, "name": name,
            "server_label": "notes"})
    };
    let approving = |id: &str| json!({"type": "mcp_approval_response", "approval_request_id": id, "approve": true});
    let (id, other) = ("mcpr_1", "mcpr_2");
    for (tool, extra, message) in [
        // The server has it, this request leaves it out.
        (
            "write",
            json!({"allowed_tools": ["echo"]}),
            "The tool is not among those that this request allows.",
        ),
        // A request for approval that nobody made, of a tool that nobody lists.
        (
            "unlisted",
            json!({}),
            "The tool is not among those that this request allows.",
        ),
    ] {
        let mut request = mcp.request("chat?tokens=1");
        for (key, value) in extra.as_object().expect("an object") {
            request["tools"][0][key] = value.clone();
        }
        request["input"] =
            json!([{"role": "user", "content": "go"}, asking(id, tool), approving(id)]);
        let response = mcp.world.create(request).await;
        let call = items(&response, "mcp_call")[0];
        assert_eq!(call["status"], "failed", "{response}");
        assert_eq!(call["error"]["message"], message);
        assert_eq!(mcp.mcp.runs(tool), 0);
    }
    // One call is allowed, two are approved.
    let mut request = mcp.request("chat?tokens=1");
    request["max_tool_calls"] = json!(1);
    request["input"] = json!([
        {"role": "user", "content": "go"},
        asking(id, "write"), asking(other, "write"), approving(id), approving(other)
    ]);
    let response = mcp.world.create(request).await;
    let calls = items(&response, "mcp_call");
    assert_eq!(calls.len(), 2, "{response}");
    assert_eq!(calls[0]["status"], "completed");
    assert_eq!(calls[1]["status"], "failed");
    assert_eq!(mcp.mcp.runs("write"), 1);
}
