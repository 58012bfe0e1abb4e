//! Answers written out: steps, cuts, attempts, generated arguments; and what is told of requests.

use hyper::Method;
use serde_json::{Value, json};
use waypost_testkit::ScriptedUpstream;
use waypost_testkit::sse::check_stream;
use waypost_testkit::upstream::{About, Ended};

use crate::client::{
    Client, chat, chat_request, eventually, joined, post, request, responses, responses_request,
};

const CALLS: &str = "/choices/0/delta/tool_calls/0";

fn plain_calls(reply: &Value) -> &Vec<Value> {
    reply["choices"][0]["message"]["tool_calls"]
        .as_array()
        .expect("tool calls")
}

#[tokio::test]
async fn steps_come_in_their_order_and_cuts() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let query = "say=Let+me+%22look%22.&call=find:{\"q\":\"a%26b\"}&say=And:&custom=sql:SELECT+1\
                 &cut_bytes=3";
    let events = chat(&upstream, query, true).await.events();
    assert_eq!(
        joined(&events, "/choices/0/delta/content"),
        "Let me \"look\".And:"
    );
    assert_eq!(
        joined(&events, &format!("{CALLS}/function/arguments")),
        r#"{"q":"a&b"}"#
    );
    assert_eq!(
        joined(&events, &format!("{CALLS}/custom/input")),
        "SELECT 1"
    );
    assert_eq!(joined(&events, &format!("{CALLS}/type")), "functioncustom");
    assert_eq!(events.len(), 1 + 5 + (1 + 4) + 2 + (1 + 3) + 1);
    let plain = chat(&upstream, query, false).await.json();
    let calls = plain_calls(&plain);
    assert_eq!(calls[0]["function"]["arguments"], r#"{"q":"a&b"}"#);
    assert_eq!(
        calls[1]["custom"],
        json!({"name": "sql", "input": "SELECT 1"})
    );
    assert_eq!(plain["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn the_responses_dialect_has_custom_calls_and_namespaces() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let query = "call=crm/find:{}&say=so+\"be\"+it&custom=sql:SELECT+1&cut_bytes=2";
    let events = responses(&upstream, query, true).await.events();
    let checked = check_stream(&events).unwrap().response;
    let plain = responses(&upstream, query, false).await.json();
    for response in [&checked, &plain] {
        let output = response["output"].as_array().unwrap();
        assert_eq!(output[0]["type"], "function_call");
        assert_eq!(output[0]["namespace"], "crm");
        assert_eq!(output[1]["content"][0]["text"], "so \"be\" it");
        assert_eq!(output[2]["type"], "custom_tool_call");
        assert!(output[2]["id"].as_str().unwrap().starts_with("ctc_"));
        assert_eq!(output[2]["input"], "SELECT 1");
        assert!(output[2].get("namespace").is_none());
    }
    let inputs: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "response.custom_tool_call_input.delta")
        .collect();
    assert_eq!(inputs.len(), 4);
}

#[tokio::test]
async fn each_request_has_its_own_script_and_keys_keep_tests_apart() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let query = |key: &str| format!("key={key}&call=f:oops&then&status=503&then&call=f:{{}}");
    let arguments = |reply: Value| plain_calls(&reply)[0]["function"]["arguments"].clone();
    assert_eq!(
        arguments(chat(&upstream, &query("a"), false).await.json()),
        "oops"
    );
    assert_eq!(chat(&upstream, &query("a"), false).await.status, 503);
    assert_eq!(
        arguments(chat(&upstream, &query("b"), false).await.json()),
        "oops"
    );
    for _ in 0..2 {
        assert_eq!(
            arguments(chat(&upstream, &query("a"), false).await.json()),
            "{}"
        );
    }
    // The number of the request decides, whatever results the messages hold.
    let mut again = chat_request(&query("a"), false);
    let messages = again["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": null}));
    messages.push(json!({"role": "tool", "tool_call_id": "c", "content": "wrong"}));
    let reply = post(&upstream, "/v1/chat/completions", &again).await;
    assert_eq!(arguments(reply.json()), "{}");
    let requests = upstream.requests_of("a");
    let statuses: Vec<_> = requests.iter().map(|r| r.served().status).collect();
    assert_eq!(
        statuses,
        [Some(200), Some(503), Some(200), Some(200), Some(200)]
    );
    assert_eq!(requests[4].json()["messages"][2]["content"], "wrong");
    let listed = request(upstream.address(), Method::GET, "/__requests?key=b", "").await;
    let listed = listed.json();
    assert_eq!(listed["requests"].as_array().unwrap().len(), 1);
    assert_eq!(listed["requests"][0]["served"]["ended"], "finished");
    assert!(listed["requests"][0]["served"]["bytes"].as_u64().unwrap() > 100);
}

#[tokio::test]
async fn how_far_an_answer_got_when_its_client_left() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let query = "key=left&say=0123456789&cut_bytes=1&delay_ms=20";
    let mut client = Client::connect(upstream.address()).await;
    let body = chat_request(query, true).to_string();
    let reply = client
        .open(Method::POST, "/v1/chat/completions", &body)
        .await;
    eventually("three deltas", || {
        upstream.requests_of("left")[0].served().deltas >= 3
    })
    .await;
    assert_eq!(upstream.requests_of("left")[0].served().ended, Ended::No);
    drop((reply, client));
    eventually("the end", || {
        upstream.requests_of("left")[0].served().ended == Ended::Aborted
    })
    .await;
    let served = upstream.requests_of("left")[0].served();
    assert!((3..10).contains(&served.deltas), "{served:?}");
    let whole = chat(&upstream, "key=whole&say=0123456789&cut_bytes=1", true).await;
    let served = upstream.requests_of("whole")[0].served();
    assert_eq!(served.deltas, 10);
    assert_eq!(served.bytes, whole.bytes().len() as u64);
}

#[tokio::test]
async fn arguments_are_made_from_the_requests_schema() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"},
        "days": {"type": "integer", "minimum": 2}}, "required": ["city", "days"]});
    let expected = r#"{"city":"city","days":2}"#;
    let mut request = chat_request("generate=calls", true);
    request["tools"] =
        json!([{"type": "function", "function": {"name": "w", "parameters": parameters}}]);
    let events = post(&upstream, "/v1/chat/completions", &request)
        .await
        .events();
    assert_eq!(
        joined(&events, &format!("{CALLS}/function/arguments")),
        expected
    );
    let mut request = responses_request("generate=calls", false);
    request["tools"] = json!([{"type": "function", "name": "w", "parameters": parameters}]);
    let reply = post(&upstream, "/v1/responses", &request).await.json();
    assert_eq!(reply["output"][0]["arguments"], expected);
    let mut request = responses_request("generate=text&break=truncated", false);
    request["text"] = json!({"format": {"type": "json_schema", "name": "w", "schema": parameters}});
    let reply = post(&upstream, "/v1/responses", &request).await.json();
    assert_eq!(reply["status"], "incomplete");
    assert_eq!(
        reply["output"][0]["content"][0]["text"],
        expected[..expected.len() / 2]
    );
}

#[tokio::test]
async fn deferred_tools_wait_for_the_clients_search() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let deferred = json!({"type": "function", "name": "late", "defer_loading": true,
        "parameters": {"type": "object"}});
    let mut request = responses_request("generate=calls&tool_rounds=9", true);
    request["tools"] = json!([deferred, {"type": "tool_search", "execution": "client",
        "parameters": {"type": "object", "properties": {"goal": {"type": "string"}},
            "required": ["goal"]}}]);
    let events = post(&upstream, "/v1/responses", &request).await.events();
    let response = check_stream(&events).unwrap().response;
    let call = &response["output"][0];
    assert_eq!(
        (&call["type"], &call["execution"]),
        (&json!("tool_search_call"), &json!("client"))
    );
    assert_eq!(call["arguments"], json!({"goal": "goal"}));
    request["input"] = json!([{"type": "tool_search_output", "call_id": call["call_id"],
        "tools": [{"type": "function", "name": "late", "parameters": null}]}]);
    request["tools"] = json!([]);
    request["stream"] = json!(false);
    let reply = post(&upstream, "/v1/responses", &request).await.json();
    assert_eq!(reply["output"][0]["name"], "late");
}

#[tokio::test]
async fn refusals_are_errors_in_the_servers_words() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let query = "tokens=1&refuse_keywords=pattern&refuse_style=llama.cpp";
    let mut request = chat_request(query, true);
    assert_eq!(
        post(&upstream, "/v1/chat/completions", &request)
            .await
            .status,
        200
    );
    request["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "x",
        "schema": {"type": "string", "pattern": "a"}}});
    let reply = post(&upstream, "/v1/chat/completions", &request).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["error"]["code"], 400);
    let mistake = chat(&upstream, "generate=calls&break=fence&tools=1", false).await;
    assert_eq!(
        mistake.status, 200,
        "no tools, nothing to break: {mistake:?}"
    );
}

#[tokio::test]
async fn what_the_server_says_of_itself() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let get = |path: &'static str| request(upstream.address(), Method::GET, path, "");
    let show = |model: &str| {
        let body = json!({"model": model});
        let upstream = &upstream;
        async move { post(upstream, "/api/show", &body).await }
    };
    assert_eq!(get("/props").await.status, 404);
    assert_eq!(show("m").await.status, 404);
    upstream.set_about(About::LlamaCpp {
        tools: false,
        chat_template: None,
        no_caps: false,
    });
    let props = get("/props").await.json();
    assert_eq!(props["chat_template_caps"]["supports_tools"], false);
    assert!(!props["chat_template"].as_str().unwrap().contains("tools"));
    let props = get("/props?model=m%3Fcapabilities=tools").await.json();
    assert_eq!(props["chat_template_caps"]["supports_tools"], true);
    assert_eq!(show("m").await.status, 404);
    let about = json!({"server": "ollama", "capabilities": ["completion"]});
    assert_eq!(post(&upstream, "/__about", &about).await.status, 200);
    assert_eq!(
        show("m").await.json()["capabilities"],
        json!(["completion"])
    );
    let able = show("m?capabilities=completion,tools").await.json();
    assert_eq!(able["capabilities"], json!(["completion", "tools"]));
    assert_eq!(get("/props").await.status, 404);
    assert_eq!(upstream.stats().calls["/props"], 4);
    assert!(upstream.requests().is_empty());
}
