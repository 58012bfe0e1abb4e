//! What the layers behind a request that runs here do for it.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ARGUMENTS, PATH, strict, weather, world};
use crate::support::Events;

const BAD: &str = r#"call=get_weather:{"city":5}"#;

#[tokio::test]
async fn a_call_that_is_not_valid_is_asked_for_again() {
    let world = world("").await;
    let model = |key: &str| format!("chat?key={key}&{BAD}&then&call=get_weather:{ARGUMENTS}");
    let answer = world
        .client()
        .post(PATH, strict(&model("plain"), json!({})))
        .await
        .ok()
        .json;
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], ARGUMENTS);
    assert_eq!(world.upstream.requests().len(), 2);

    let client = world.client();
    let body = strict(&model("stream"), json!({"stream": true}));
    let mut events = Events::open(client.request(Method::POST, PATH).json(&body)).await;
    let chunks = events.collect().await;
    assert!(events.done);
    let arguments: String = chunks
        .iter()
        .filter_map(|chunk| {
            chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str()
        })
        .collect();
    assert_eq!(arguments, ARGUMENTS);
}

/// What is counted here, to keep to a limit, is no server's word.
#[tokio::test]
async fn the_log_has_token_counts_only_where_a_server_reported_them() {
    let world = world("").await;
    for (key, usage, is_told) in [("told", "last", true), ("untold", "none", false)] {
        let usage = format!("usage={usage}");
        let model =
            format!("chat?key={key}&{usage}&{BAD}&then&{usage}&call=get_weather:{ARGUMENTS}");
        let client = world.client();
        client.post(PATH, strict(&model, json!({}))).await.ok();
        assert_eq!(world.upstream.requests_of(key).len(), 2);
        let line = world.server.wait_for_log(&format!("key={key}&")).await;
        let line = line.lines().find(|line| line.contains("waypost::request"));
        let line = line.expect("the request's line");
        assert_eq!(line.contains("output_tokens"), is_told, "{line}");
    }
}

#[tokio::test]
async fn a_model_that_will_not_keep_to_the_schema_is_an_error() {
    let world = world("").await;
    let model = format!("chat?{BAD}");
    let reply = world.client().post(PATH, strict(&model, json!({}))).await;
    let message = reply.error(502, None, Some("upstream_error"));
    assert!(message.contains("get_weather"), "{message}");
    // SDKs send a 502 again by themselves: the model was asked again already.
    assert_eq!(reply.headers["x-should-retry"], "false");
    let down = world
        .client()
        .post(PATH, strict("chat?status=500", json!({})))
        .await;
    down.error(502, None, Some("upstream_error"));
    assert!(!down.headers.contains_key("x-should-retry"));
    let client = world.client();
    let body = strict(&model, json!({"stream": true}));
    let mut events = Events::open(client.request(Method::POST, PATH).json(&body)).await;
    let chunks = events.collect().await;
    assert!(!events.done);
    let (last, others) = chunks.split_last().expect("chunks");
    assert_eq!(last["error"]["message"], message);
    assert!(
        others
            .iter()
            .all(|chunk| chunk["choices"][0]["delta"]["tool_calls"].is_null()),
        "{others:?}"
    );
}

#[tokio::test]
async fn allowed_tools_are_the_only_ones() {
    let world = world("").await;
    let other = json!({"type": "function", "function": {"name": "other"}});
    let choice = json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools":
        [{"type": "function", "function": {"name": "get_weather"}}]}});
    let ask = |query: &str| {
        let more = json!({"tools": [other, weather()], "tool_choice": choice});
        strict(&format!("chat?{query}"), more)
    };
    world
        .client()
        .post(PATH, ask("tools=1&tokens=0"))
        .await
        .ok();
    let sent = world.last_request();
    let tools = sent["tools"].as_array().expect("tools");
    assert_eq!(tools.len(), 1, "{sent}");
    assert_eq!(tools[0]["function"]["name"], "get_weather");
    let reply = world.client().post(PATH, ask("call=other:{}")).await;
    reply.error(502, None, Some("upstream_error"));
    // Names that the model makes up are quoted, on one line and bounded.
    let made_up = format!("x%0A%1B[31m{}", "y".repeat(200));
    let reply = world
        .client()
        .post(PATH, ask(&format!("call={made_up}:{{}}")))
        .await;
    let message = reply.error(502, None, Some("upstream_error"));
    assert!(
        message.starts_with(r"The model called 'x\n\u{1b}[31myyy"),
        "{message}"
    );
    assert!(message.len() < 150, "{message}");
    // The log also names the model as the caller did, who wrote `%1B` here.
    let log = world.server.log();
    let whole = format!("1b}}[31m{}", "y".repeat(100));
    assert!(
        log.contains("1b}[31m") && !log.contains("x\n\u{1b}") && !log.contains(&whole),
        "{log}"
    );
}

#[tokio::test]
async fn a_model_that_knows_no_tools_gets_them_in_its_prompt() {
    let world = world("").await;
    let mut tool = weather();
    let function = tool["function"].as_object_mut().expect("an object");
    function.remove("strict");
    let body = json!({
        "model": "emulated?generate=calls&ignores=tools",
        "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [tool],
        "tool_choice": "required",
    });
    let answer = world.client().post(PATH, body.clone()).await.ok().json;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{answer}");
    let function = &choice["message"]["tool_calls"][0]["function"];
    assert_eq!(function["name"], "get_weather");
    let arguments: Value =
        serde_json::from_str(function["arguments"].as_str().expect("text")).expect("JSON");
    assert!(
        arguments["city"].is_string() && arguments["days"].is_i64(),
        "{arguments}"
    );
    let sent = world.last_request();
    assert!(sent.get("tools").is_none(), "{sent}");
    assert!(sent["messages"].to_string().contains("get_weather"));

    // What comes back has no place in the template either, tools or not.
    let body = json!({
        "model": "emulated?tokens=2",
        "messages": [
            {"role": "user", "content": "Weather?"},
            choice["message"],
            {"role": "tool", "tool_call_id": choice["message"]["tool_calls"][0]["id"],
                "content": "sun"},
        ],
    });
    world.client().post(PATH, body).await.ok();
    let sent = world.last_request();
    let messages = sent["messages"].as_array().expect("messages");
    assert!(
        messages
            .iter()
            .all(|message| message["role"] != "tool" && message.get("tool_calls").is_none()),
        "{sent}"
    );
}

#[tokio::test]
async fn a_custom_tool_over_any_server() {
    let world = world("").await;
    let body = |query: &str| {
        json!({
            "model": format!("chat?{query}"),
            "messages": [{"role": "user", "content": "x"}],
            "tools": [{"type": "custom", "custom": {"name": "run", "format":
                {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[a-z]+"}}}}],
        })
    };
    let reply = world
        .client()
        .post(PATH, body(r#"call=run:{"input":"abc"}"#))
        .await
        .ok();
    let call = &reply.json["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["type"], "custom");
    assert_eq!(call["custom"], json!({"name": "run", "input": "abc"}));
    let reply = world
        .client()
        .post(PATH, body(r#"call=run:{"input":"ABC"}"#))
        .await;
    reply.error(502, None, Some("upstream_error"));
}
