//! Model servers that quote the key that they were sent, and what an answer
//! cost that nobody heard to its end.

use std::net::SocketAddr;

use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use waypost_testkit::{Script, ScriptedUpstream};

use crate::{
    harness::TestServer,
    support::{PATIENCE, ended, until},
};

/// JSON and URLs write it in other ways; each begins alike.
const KEY: &str = r#"sk-model/"server"+key"#;
const BEGINNING: &str = "sk-model";

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";

async fn server_before(base_url: &str) -> TestServer {
    let config = format!(
        "[[upstreams]]\nname = \"one\"\nbase_url = \"{base_url}\"\nmodels = [\"*\"]\n\
         dialect = \"generic\"\napi_key = '{KEY}'\n"
    );
    TestServer::builder().config(&config).start().await
}

fn ask(path: &str, model: &str, stream: bool) -> Value {
    if path == CHAT {
        json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "x"}]})
    } else {
        json!({"model": model, "stream": stream, "input": "x"})
    }
}

/// Bodies of errors that quote the key, each in its own way.
fn quoting() -> Vec<(&'static str, String)> {
    let said = |message: &str| json!({"error": {"message": message}}).to_string();
    let percent = "sk-model%2F%22server%22%2Bkey";
    let sent = json!({"authorization": format!("Bearer {KEY}")}).to_string();
    vec![
        ("cut", said(&format!("{}{KEY} is no key", "x".repeat(1990)))),
        (
            "fields",
            json!({"error": {"message": "m", "param": KEY, "code": format!("x{KEY}")}}).to_string(),
        ),
        (
            "key",
            json!({"error": {"message": "m", KEY: 1}}).to_string(),
        ),
        ("percent", said(&format!("GET /?key={percent} failed"))),
        ("json", said(&format!("you sent {sent}"))),
        (
            "escaped",
            said(KEY).replace("sk-model", r"\u0073k\u002dmodel"),
        ),
        ("no-json", format!("{{oops: {KEY}")),
    ]
}

#[tokio::test]
async fn no_error_answer_tells_the_key() {
    let upstream = ScriptedUpstream::start().await.expect("one");
    let server = server_before(&upstream.base_url()).await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    let mut asked = 0;
    for (name, body) in quoting() {
        for status in [200, 400, 404, 422, 429, 500, 503] {
            if (name, status) == ("no-json", 200) {
                // It is not an error to anyone who passes it on.
                continue;
            }
            let model = format!("{name}-{status}");
            let script = Script {
                body: Some(body.clone()),
                status: Some(status),
                ..Script::default()
            };
            upstream.install(&model, script);
            for path in [RESPONSES, CHAT] {
                for stream in [false, true] {
                    let reply = client.post(path, ask(path, &model, stream)).await;
                    assert!(reply.status >= 400, "{model} {path}: {}", reply.text);
                    // As it came and as a reader takes it: escapes hide a key.
                    let text = reply.text + &reply.json.to_string();
                    assert!(!text.contains(BEGINNING), "{model} {path}: {text}");
                    asked += 1;
                }
            }
        }
    }
    let reply = client.post(CHAT, ask(CHAT, "cut-400", false)).await;
    let expected = format!("{}[redacted] is no key", "x".repeat(1990));
    assert_eq!(reply.json["error"]["message"], expected);
    let reply = client
        .post(RESPONSES, ask(RESPONSES, "cut-400", false))
        .await;
    let expected = format!("{}[redacted]…", "x".repeat(1990));
    assert_eq!(reply.json["error"]["message"], expected);
    let reply = client
        .post(RESPONSES, ask(RESPONSES, "fields-400", false))
        .await;
    reply.error(400, Some("[redacted]"), Some("x[redacted]"));
    let reply = client.post(CHAT, ask(CHAT, "json-400", false)).await;
    let message = reply.json["error"]["message"].as_str().expect("a message");
    assert_eq!(message, r#"you sent {"authorization":"Bearer [redacted]"}"#);
    let body = json!({"model": "cut-400", "input": "x", "background": true});
    let id = client.post(RESPONSES, body).await.ok().text("id");
    let response = ended(&client, &id, PATIENCE).await;
    let message = response["error"]["message"].as_str().expect("a message");
    assert!(message.ends_with("[redacted]…"), "{message}");
    until("all are in the log", async || {
        server.log().matches("the model server failed").count() >= asked
    })
    .await;
    assert!(!server.log().contains(BEGINNING), "{}", server.log());
}

#[tokio::test]
async fn no_error_within_a_stream_tells_the_key() {
    let upstream = ScriptedUpstream::start().await.expect("one");
    let config = |name: &str, api: &str| {
        format!(
            "[[upstreams]]\nname = \"{name}\"\nbase_url = \"{}\"\nmodels = [\"{name}*\"]\n\
             dialect = \"generic\"\napi = \"{api}\"\napi_key = '{KEY}'\n",
            upstream.base_url()
        )
    };
    let config = config("chat", "chat") + &config("native", "responses");
    let server = TestServer::builder().config(&config).start().await;
    let tenant = server.project("p").await;
    let client = server.client(&tenant.key);
    let message = format!("{}{KEY} is no key", "x".repeat(1990));
    let words = json!({"choices": [{"delta": {"content": "hi"}}]});
    let error = json!({"error": {"message": message, "code": 400}});
    let delta = json!({"type": "response.output_text.delta", "output_index": 0, "delta": "hi"});
    let failed = json!({"type": "response.failed", "response":
        {"error": {"code": "invalid_prompt", "message": message}}});
    let flat = json!({"type": "error", "code": "x", "param": KEY, "message": message});
    let odd = format!("{{oops: {KEY}");
    for (model, events) in [
        ("chat", vec![words.to_string(), error.to_string()]),
        ("chat-odd", vec![words.to_string(), odd.clone()]),
        ("chat-first", vec![error.to_string()]),
        (
            "chat-escaped",
            vec![
                words.to_string(),
                error.to_string().replace("sk-model", r"\u0073k\u002dmodel"),
            ],
        ),
        ("native", vec![delta.to_string(), failed.to_string()]),
        ("native-first", vec![failed.to_string()]),
        ("native-flat", vec![delta.to_string(), flat.to_string()]),
        ("native-odd", vec![delta.to_string(), odd]),
    ] {
        let script = Script {
            body: Some(format!("data: {}\n\n", events.join("\n\ndata: "))),
            content_type: Some("text/event-stream".to_owned()),
            ..Script::default()
        };
        upstream.install(model, script);
        for stream in [false, true] {
            let reply = client.post(RESPONSES, ask(RESPONSES, model, stream)).await;
            assert!(!reply.text.contains(BEGINNING), "{model}: {}", reply.text);
            if !model.ends_with("odd") && !model.ends_with("flat") {
                assert!(reply.text.contains("[redacted]"), "{model}: {}", reply.text);
            }
        }
        if model.starts_with("chat") {
            let reply = client.post(CHAT, ask(CHAT, model, true)).await;
            assert!(!reply.text.contains(BEGINNING), "{model}: {}", reply.text);
            assert!(!reply.text.contains("u0073k"), "{model}: {}", reply.text);
            assert!(reply.text.contains("[redacted]"), "{model}: {}", reply.text);
            assert!(reply.text.ends_with("\n\n"), "{model}: {}", reply.text);
        }
        let mut body = ask(CHAT, model, true);
        body["tools"] = json!([{"type": "function", "function": {"name": "f", "strict": true,
            "parameters": {"type": "object", "properties": {}, "required": [],
                "additionalProperties": false}}}]);
        let reply = client.post(CHAT, body).await;
        assert!(!reply.text.contains(BEGINNING), "{model}: {}", reply.text);
    }
    server.wait_for_log("answered 500").await;
    // What a model says is its own, whatever it is.
    let words = json!({"choices": [{"delta": {"content": KEY}}]});
    let script = Script {
        body: Some(format!("data: {words}\n\n")),
        content_type: Some("text/event-stream".to_owned()),
        ..Script::default()
    };
    upstream.install("chat-words", script);
    let reply = client.post(CHAT, ask(CHAT, "chat-words", true)).await;
    assert_eq!(reply.text, format!("data: {words}\n\n"));
    assert!(!server.log().contains(BEGINNING), "{}", server.log());
}

/// A model server that answers every question with these bytes, and closes the
/// connection only if it `ends`.
async fn raw(answer: String, ends: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(answer.as_bytes()).await;
                if !ends {
                    // Until the other side closes.
                    while socket.read(&mut request).await.is_ok_and(|read| read > 0) {}
                }
            });
        }
    });
    address
}

fn head(status: &str, content_type: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_listing_that_cannot_be_read_does_not_tell_the_key() {
    // The reader of JSON names the value that it did not expect.
    let listing = json!({"data": [{"id": "m", "created": KEY}]});
    let answer = head("200 OK", "application/json") + &listing.to_string();
    let address = raw(answer, true).await;
    let server = server_before(&format!("http://{address}/v1")).await;
    let line = server.wait_for_log("does not list its models").await;
    assert!(line.contains("[redacted]"), "{line}");
    assert!(!server.log().contains(BEGINNING), "{}", server.log());
}

#[tokio::test]
async fn an_error_answer_that_cannot_be_looked_through_is_not_passed_on() {
    let error = json!({"error": {"message": "x".repeat(2_000_000), "key": KEY}});
    let long = head("400 Bad Request", "application/json") + &error.to_string();
    let packed = head(
        "422 Unprocessable Entity",
        "application/json\r\ncontent-encoding: gzip",
    ) + KEY;
    for (answer, status) in [(long, 400), (packed, 422)] {
        let address = raw(answer, true).await;
        let server = server_before(&format!("http://{address}/v1")).await;
        let tenant = server.project("p").await;
        let client = server.client(&tenant.key);
        let reply = client.post(CHAT, ask(CHAT, "m", false)).await;
        reply.error(status, None, None);
        assert!(!reply.text.contains(BEGINNING), "{}", reply.text);
        assert!(!reply.headers.contains_key("content-encoding"));
    }
}

#[tokio::test]
async fn an_error_under_200_is_an_outage_where_its_status_would_be() {
    let upstream = ScriptedUpstream::start().await.expect("one");
    let server = server_before(&upstream.base_url()).await;
    let tenant = server.project("p").await;
    let script = Script {
        body: Some(json!({"error": {"message": "loading", "code": 503}}).to_string()),
        ..Script::default()
    };
    upstream.install("m", script);
    let client = server.client(&tenant.key);
    let reply = client.post(CHAT, ask(CHAT, "m", false)).await;
    reply.error(502, None, Some("upstream_error"));
    server.wait_for_log("the model server is unavailable").await;
}

/// Most clients leave at `[DONE]`, or when they have read enough.
#[tokio::test]
async fn tokens_of_a_passed_on_stream_count_when_its_client_leaves() {
    let chunk = r#"{"choices":[{"delta":{"content":"hi"}}],"usage":{"prompt_tokens":"41","completion_tokens":2.0}}"#;
    let answer = head("200 OK", "text/event-stream") + &format!("data: {chunk}\n\n");
    let address = raw(answer, false).await;
    let server = server_before(&format!("http://{address}/v1")).await;
    let tenant = server.project("p").await;
    let request = server.client(&tenant.key).request(Method::POST, CHAT);
    let answer = request.json(&ask(CHAT, "m", true)).send().await;
    let mut body = answer.expect("a head").bytes_stream();
    body.next().await.expect("a chunk").expect("bytes");
    drop(body);
    until("the tokens are counted", async || {
        let text = server.anonymous().get("/metrics").await.ok().text;
        ["direction=\"input\"} 41", "direction=\"output\"} 2"]
            .iter()
            .all(|count| text.contains(count))
    })
    .await;
    let line = server.wait_for_log("input_tokens").await;
    assert!(line.contains("41"), "{line}");
}
