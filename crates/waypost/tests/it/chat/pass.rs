//! What is passed on: the model server's own bytes.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

use super::PATH;
use crate::support::{World, until_within};

fn ask(model: &str, stream: bool) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "x"}], "stream": stream,
        "vendor_extension": {"kept": [1, 2.50, "é"]}})
}

/// The bytes without what two answers cannot share: serial numbers in ids, and
/// the clock.
fn comparable(bytes: &Bytes) -> String {
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let word = |c: char| c.is_ascii_alphanumeric();
    ["chatcmpl-", "call_", "\"created\":"]
        .iter()
        .fold(text, |text, mark| {
            let mut parts = text.split(mark);
            let mut out = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                out.push_str(mark);
                out.push_str(part.trim_start_matches(word));
            }
            out
        })
}

async fn direct(world: &World, body: &Value) -> (u16, Bytes) {
    let url = format!("{}/chat/completions", world.upstream.base_url());
    let answer = reqwest::Client::new()
        .post(url)
        .json(body)
        .send()
        .await
        .expect("an answer");
    (
        answer.status().as_u16(),
        answer.bytes().await.expect("a body"),
    )
}

async fn through(world: &World, body: &Value) -> (u16, Bytes) {
    let client = world.client();
    let answer = client
        .request(Method::POST, PATH)
        .json(body)
        .send()
        .await
        .expect("an answer");
    (
        answer.status().as_u16(),
        answer.bytes().await.expect("a body"),
    )
}

#[tokio::test]
async fn bytes_go_through_untouched() {
    let world = World::start().await;
    for query in [
        "tokens=5",
        "tokens=20&shape=emoji&split_utf8=1",
        "tokens=20&crlf=1&comments=2&multiline=1",
        "tokens=9&logprobs=1&usage=last",
        "tools=2&reasoning_tokens=3",
        "tokens=5&no_done=1&tight=1",
        "status=400",
        "status=429&retry_after=3",
    ] {
        for stream in [false, true] {
            let model = format!("chat?{query}");
            let body = ask(&model, stream);
            let (status, expected) = direct(&world, &body).await;
            let (got_status, got) = through(&world, &body).await;
            assert_eq!(got_status, status, "{model}");
            assert_eq!(comparable(&got), comparable(&expected), "{model}");
            // The request went through untouched as well.
            let requests = world.upstream.requests();
            let [.., one, two] = requests.as_slice() else {
                panic!("two requests")
            };
            assert_eq!(one.body, two.body, "{model}");
            assert!(
                !two.headers.contains_key("authorization"),
                "our credential is ours"
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_to_be_enforced_goes_through_untouched() {
    let world = World::start().await;
    let loose = json!({"type": "object", "properties": {"a": {}}, "x-vendor": 1.50});
    let function = |more: Value| {
        let mut function = json!({"name": "f", "parameters": loose});
        function
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        json!([{"type": "function", "function": function, "cache_control": {}}])
    };
    for (at, more) in [
        json!({"tools": function(json!({}))}),
        json!({"tools": function(json!({"strict": false})), "tool_choice": "required", "n": 3}),
        json!({"tools": function(json!({"strict": null})),
            "tool_choice": {"type": "function", "function": {"name": "f"}}}),
        json!({"tools": [], "tool_choice": "none"}),
        json!({"functions": [{"name": "f", "parameters": loose}], "function_call": {"name": "f"}}),
        json!({"response_format": {"type": "text"}}),
        json!({"response_format": {"type": "json_object", "schema": {}}}),
        json!({"response_format": {"type": "structural_tag", "triggers": ["<"]}}),
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n",
            "schema": loose}}}),
        json!({"messages": [{"role": "user", "content": "x"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}},
                {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "b", "content": "2"},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "vendor", "content": 5}]}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = ask(&format!("chat?tokens=3#{at}"), false);
        let fields = body.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        let (expected_status, expected) = direct(&world, &body).await;
        let (status, got) = through(&world, &body).await;
        assert_eq!(status, expected_status, "{more}");
        assert_eq!(comparable(&got), comparable(&expected), "{more}");
        let requests = world.upstream.requests();
        let [.., one, two] = requests.as_slice() else {
            panic!("two requests")
        };
        assert_eq!(one.body, two.body, "{more}");
    }
}

#[tokio::test]
async fn failures_of_the_model_server() {
    let world = World::start().await;
    for stream in [false, true] {
        for status in [401, 403] {
            let reply = world
                .client()
                .post(PATH, ask(&format!("chat?status={status}"), stream))
                .await;
            reply.error(502, None, Some("upstream_error"));
        }
        for query in ["html_body=1", "status=500&html_body=1", "status=302"] {
            let reply = world
                .client()
                .post(PATH, ask(&format!("chat?{query}"), stream))
                .await;
            let message = reply.error(502, None, Some("upstream_error"));
            assert!(!message.contains('<'), "{message}");
        }
        let reply = world
            .client()
            .post(PATH, ask("chat?status=429&retry_after=9", stream))
            .await;
        assert_eq!(reply.status, 429);
        assert_eq!(reply.headers["retry-after"], "9");
    }
    let reply = world.client().post(PATH, json!({"messages": []})).await;
    reply.error(400, Some("model"), Some("missing_required_parameter"));
    let World {
        server,
        upstream,
        tenant,
        ..
    } = world;
    drop(upstream);
    let reply = server
        .client(&tenant.key)
        .post(PATH, ask("chat", false))
        .await;
    reply.error(502, None, Some("upstream_error"));
}

#[tokio::test]
async fn an_unknown_model() {
    let upstream = waypost_testkit::ScriptedUpstream::start()
        .await
        .expect("one");
    let config = format!(
        "[[upstreams]]\nname = \"only\"\nbase_url = \"{}\"\nmodels = [\"known\"]\n",
        upstream.base_url()
    );
    let server = crate::harness::TestServer::builder()
        .config(&config)
        .start()
        .await;
    let tenant = server.project("p").await;
    let reply = server
        .client(&tenant.key)
        .post(PATH, ask("other", false))
        .await;
    reply.error(404, Some("model"), Some("model_not_found"));
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_model_server() {
    let world = World::start().await;
    for stream in [false, true] {
        world.upstream.reset();
        let client = world.client();
        let request = client
            .request(Method::POST, PATH)
            .json(&ask("chat?tokens=1000&delay_ms=20", stream));
        let waiting = tokio::spawn(async move {
            let answer = request.send().await.expect("an answer");
            answer.bytes().await
        });
        until_within(
            "the model server is asked",
            Duration::from_secs(5),
            async || world.upstream.stats().active_calls == 1,
        )
        .await;
        waiting.abort();
        until_within(
            "the model server is left",
            Duration::from_secs(5),
            async || world.upstream.stats().active_calls == 0,
        )
        .await;
    }
}

#[tokio::test]
async fn a_silent_model_server_is_given_up() {
    let world = World::builder()
        .responses("upstream_idle_timeout = \"300ms\"")
        .start()
        .await;
    let client = world.client();
    let answer = client
        .request(Method::POST, PATH)
        .json(&ask("chat?stall_after=2&coalesce=1", true))
        .send()
        .await
        .expect("a head");
    assert!(
        answer.bytes().await.is_err(),
        "a broken answer must not look whole"
    );
    world.idle().await;
}
