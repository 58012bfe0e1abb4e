//! Calls that a person has to allow.

use serde_json::{Value, json};
use waypost_testkit::mcp::Fault;

use super::{Mcp, calling, items, kinds};
use crate::support::{checked, id_of, until};

const TEXT: &str = r#"{"text":"hi"}"#;

/// A response that asks: the request it answers, and the response.
async fn asked(mcp: &Mcp) -> (Value, Value) {
    let runs = mcp.mcp.runs("write");
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
    assert_eq!(mcp.mcp.runs("write"), runs);
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

const USED: &str = "The approval was good for one call, which the response '";

/// A request that approves what the response asks.
fn approving(request: &Value, response: &Value) -> Value {
    let mut next = request.clone();
    next["previous_response_id"] = response["id"].clone();
    next["input"] = json!([answer(response, true)]);
    next
}

/// Clients repeat a `POST` whose answer they did not get.
#[tokio::test]
async fn an_approval_is_good_for_one_call() {
    let mcp = Mcp::start().await;
    let mut runs = 0;
    for background in [false, true] {
        let (request, response) = asked(&mcp).await;
        let mut next = approving(&request, &response);
        next["background"] = json!(background);
        let first = mcp.world.create(next.clone()).await;
        let first = mcp.world.ended(&id_of(&first)).await;
        runs += 1;
        assert_eq!(items(&first, "mcp_call")[0]["output"], "written");
        let again = mcp.world.create(next.clone()).await;
        let again = mcp.world.ended(&id_of(&again)).await;
        assert_eq!(again["status"], "completed", "{again}");
        let call = items(&again, "mcp_call")[0];
        assert_eq!(call["status"], "failed", "{again}");
        assert_eq!(call["error"]["type"], "mcp_protocol_error");
        let message = call["error"]["message"].as_str().expect("a message");
        let first_id = first["id"].as_str().expect("an id");
        assert!(
            message.starts_with(&format!("{USED}{first_id}'")),
            "{message}"
        );
        assert_eq!(mcp.mcp.runs("write"), runs);
        // The model is told, and the conversation goes on.
        assert!(
            mcp.world
                .last_request()
                .to_string()
                .contains("good for one call")
        );
        let mut third = mcp.request("chat");
        third["previous_response_id"] = again["id"].clone();
        assert_eq!(kinds(&mcp.world.create(third).await), ["message"]);

        // The whole context sent back is no other question.
        let mut input = vec![json!({"role": "user", "content": "go"})];
        input.extend(response["output"].as_array().expect("an output").clone());
        input.push(answer(&response, true));
        let mut replayed = request.clone();
        replayed["input"] = input.into();
        replayed["store"] = json!(false);
        let replayed = mcp.world.create(replayed).await;
        assert_eq!(items(&replayed, "mcp_call")[0]["status"], "failed");
        assert_eq!(mcp.mcp.runs("write"), runs);
    }
}

#[tokio::test]
async fn of_approvals_that_race_one_makes_the_call() {
    let mcp = Mcp::start().await;
    for round in 1..=5 {
        let (request, response) = asked(&mcp).await;
        let next = approving(&request, &response);
        let mut behind = next.clone();
        behind["background"] = json!(true);
        let racing = [&next, &behind, &next, &behind].map(|body| async {
            let response = mcp.world.create(body.clone()).await;
            mcp.world.ended(&id_of(&response)).await
        });
        let ended = futures::future::join_all(racing).await;
        let made = ended
            .iter()
            .filter(|response| items(response, "mcp_call")[0]["output"] == "written");
        assert_eq!(made.count(), 1, "{ended:?}");
        assert_eq!(mcp.mcp.runs("write"), round);
    }
}

#[tokio::test]
async fn an_approval_is_not_used_up_before_its_call_is_begun() {
    let mcp = Mcp::start().await;
    let (request, response) = asked(&mcp).await;
    let mut input = vec![json!({"role": "user", "content": "go"})];
    // Without the list: it has to be made anew, and cannot be.
    input.extend(
        items(&response, "mcp_approval_request")
            .into_iter()
            .cloned(),
    );
    input.push(answer(&response, true));
    let mut next = request;
    next["input"] = input.into();
    mcp.mcp.fail("tools/list", Some(Fault::Status(401)));
    let reply = mcp.world.client().post("/v1/responses", next.clone()).await;
    reply.error(424, Some("tools"), Some("http_error"));
    assert_eq!(mcp.mcp.runs("write"), 0);
    mcp.mcp.fail("tools/list", None);
    let response = mcp.world.create(next).await;
    assert_eq!(items(&response, "mcp_call")[0]["output"], "written");
    assert_eq!(mcp.mcp.runs("write"), 1);
}

#[tokio::test]
async fn an_approval_stays_used_over_a_crash() {
    let mut mcp = Mcp::with("lease = \"1s\"", "").await;
    let (request, response) = asked(&mcp).await;
    let mut next = approving(&request, &response);
    next["background"] = json!(true);
    mcp.mcp.fail("tools/call", Some(Fault::Hang));
    let first = mcp.world.create(next.clone()).await;
    until("the call is made", async || mcp.mcp.runs("write") == 1).await;
    mcp.world.server.kill9().await;
    mcp.mcp.fail("tools/call", None);
    mcp.world.server.restart().await;
    // Another request with the same approval, while the first one recovers.
    let again = mcp.world.create(next).await;
    let again = mcp.world.ended(&id_of(&again)).await;
    let first = mcp.world.ended(&id_of(&first)).await;
    let error = |response: &Value| items(response, "mcp_call")[0]["error"].to_string();
    assert!(error(&first).contains("outcome unknown"), "{first}");
    assert!(error(&again).contains("good for one call"), "{again}");
    assert_eq!(mcp.mcp.runs("write"), 1);
}
