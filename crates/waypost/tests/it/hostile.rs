//! Model servers and callers that mean harm, or are as broken as if they did.
//!
//! The scripted model server speaks its dialects well; what is sent here, no
//! honest one would send, so a bare socket sends it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    harness::{Client, TestServer},
    support::{Events, output_text, until},
};

const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
/// More than any bound of the server; the end of a flood that nothing stops.
const FLOOD: usize = 256 * 1024 * 1024;

/// A model server that answers every request with the same bytes, for ever if
/// asked to, and a server in front of it.
struct Hostile {
    server: TestServer,
    client: Client,
    /// Bytes that answers to `POST` could send.
    sent: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Hostile {
    /// Sends `once`, then `flood` until the other side has had enough.
    async fn start(api: &str, once: String, flood: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let sent = Arc::new(AtomicUsize::new(0));
        let accepting = tokio::spawn(accept(listener, once, flood, Arc::clone(&sent)));
        let server = TestServer::builder().config(&config(address, api));
        let server = server.start().await;
        let tenant = server.project("hostile").await;
        Self {
            client: server.client(&tenant.key),
            server,
            sent,
            accepting,
        }
    }

    async fn chat(answer: String) -> Self {
        Self::start("chat", answer, String::new()).await
    }
}

fn config(upstream: SocketAddr, api: &str) -> String {
    format!(
        "[responses]\nmax_attempts = 1\n[[upstreams]]\nname = \"hostile\"\n\
         base_url = \"http://{upstream}/v1\"\napi = \"{api}\"\n"
    )
}

async fn accept(listener: TcpListener, once: String, flood: String, sent: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (once, flood, sent) = (once.clone(), flood.clone(), Arc::clone(&sent));
        tokio::spawn(async move {
            let Some(asks_for_an_answer) = read_request(&mut stream).await else {
                return;
            };
            let mut part = once;
            for _ in 0..FLOOD / flood.len().max(1024) {
                if stream.write_all(part.as_bytes()).await.is_err() {
                    return;
                }
                if asks_for_an_answer {
                    sent.fetch_add(part.len(), Ordering::Relaxed);
                }
                if flood.is_empty() {
                    break;
                }
                part.clone_from(&flood);
            }
            let _ = stream.shutdown().await;
        });
    }
}

/// Reads a request; whether it is a `POST`. The server also asks who this is,
/// again and again.
async fn read_request(stream: &mut TcpStream) -> Option<bool> {
    let mut got = Vec::new();
    loop {
        if stream.read_buf(&mut got).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&got).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map_or(0, |value| value.trim().parse().unwrap_or(0));
        if body.len() >= length {
            return Some(head.starts_with("post "));
        }
    }
}

fn chunk(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

fn said(delta: Value) -> String {
    chunk(&json!({"choices": [{"index": 0, "delta": delta}]}))
}

/// `Hi`, an end, and these token counts.
fn answer_with_usage(usage: &str) -> String {
    let finish = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    format!(
        "{STREAM_HEAD}{}{}data: {{\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n",
        said(json!({"content": "Hi"})),
        chunk(&finish),
    )
}

fn ask() -> Value {
    json!({"model": "m", "input": "go"})
}

#[tokio::test]
async fn token_counts_beyond_all_numbers_are_no_panic() {
    let max = u64::MAX;
    let usage = format!("{{\"prompt_tokens\":{max},\"completion_tokens\":{max}}}");
    let hostile = Hostile::chat(answer_with_usage(&usage)).await;
    let reply = hostile.client.post("/v1/responses", ask()).await.ok();
    assert_eq!(reply.json["usage"]["total_tokens"], max);
    let mut body = ask();
    body["stream"] = json!(true);
    let request = hostile.client.request(Method::POST, "/v1/responses");
    let ended = Events::open(request.json(&body)).await.checked().await;
    assert_eq!(ended["status"], "completed");
    // A strict tool is enforced, so this chat is not passed on.
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "go"}],
        "tools": [{"type": "function", "function": {"name": "f", "strict": true, "parameters":
            {"type": "object", "properties": {}, "required": [], "additionalProperties": false}}}]});
    let reply = hostile.client.post("/v1/chat/completions", chat).await.ok();
    assert_eq!(reply.json["usage"]["total_tokens"], max);
    assert!(!hostile.server.log().contains("panic"));
}

#[tokio::test]
async fn an_answer_that_is_whole_does_not_fail_over_its_token_counts() {
    for usage in [
        r#"{"prompt_tokens":null,"completion_tokens":null}"#,
        r#"{"prompt_tokens":-1,"completion_tokens":5}"#,
        r#"{"prompt_tokens":3.5,"completion_tokens":99999999999999999999999}"#,
        r#"{"prompt_tokens":"3","prompt_tokens_details":[]}"#,
        "7",
    ] {
        let hostile = Hostile::chat(answer_with_usage(usage)).await;
        let reply = hostile.client.post("/v1/responses", ask()).await.ok();
        assert_eq!(reply.json["status"], "completed", "{usage}");
        assert_eq!(output_text(&reply.json), "Hi", "{usage}");
    }
}

#[tokio::test]
async fn floods_are_cut_off() {
    let lines = "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(2000);
    let annotation = json!({
        "type": "response.output_text.annotation.added",
        "annotation": {"text": "x".repeat(60_000)},
    });
    let text = chunk(&json!({
        "type": "response.output_text.delta", "output_index": 0, "delta": "x",
    }));
    for (api, flood) in [
        // An event of endless lines, none of them long.
        ("chat", lines),
        // Things that cost memory and are no text.
        ("responses", text + &chunk(&annotation)),
    ] {
        let hostile = Hostile::start(api, STREAM_HEAD.to_owned(), flood).await;
        let reply = hostile.client.post("/v1/responses", ask()).await;
        reply.error(502, None, Some("upstream_error"));
        let sent = hostile.sent.load(Ordering::Relaxed);
        assert!(sent < FLOOD / 2, "{api}: {sent} bytes were taken");
    }
}

#[tokio::test]
async fn invented_calls_items_and_parts_are_counted() {
    let calls = (0..300)
        .map(|index| {
            said(json!({"tool_calls": [{"index": index, "function": {"arguments": "{"}}]}))
        })
        .collect::<String>();
    let messages = (0..5000)
        .map(|index| {
            let added = json!({
                "type": "response.output_item.added", "output_index": index,
                "item": {"type": "message"},
            });
            let delta = json!({
                "type": "response.output_text.delta", "output_index": 0, "delta": "x",
            });
            chunk(&added) + &chunk(&delta)
        })
        .collect();
    let summaries = (0..5000)
        .map(|index| {
            chunk(&json!({
                "type": "response.reasoning_summary_text.delta",
                "summary_index": index, "delta": "x",
            }))
        })
        .collect();
    for (api, answer) in [
        ("chat", calls),
        ("responses", messages),
        ("responses", summaries),
    ] {
        let hostile = Hostile::start(api, STREAM_HEAD.to_owned() + &answer, String::new()).await;
        let reply = hostile.client.post("/v1/responses", ask()).await;
        reply.error(502, None, Some("upstream_error"));
        hostile.server.wait_for_log("more than").await;
    }
}

#[tokio::test]
async fn a_model_server_cannot_write_lines_of_the_log() {
    let body = json!({"error": {"message": "no\nFORGED line\r\nFORGED again\u{1b}[31m"}});
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 500 No\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let hostile = Hostile::chat(answer).await;
    hostile
        .client
        .post("/v1/responses", ask())
        .await
        .error(502, None, Some("upstream_error"));
    hostile.server.wait_for_log("FORGED").await;
    let log = hostile.server.log();
    assert!(!log.contains("\nFORGED") && !log.contains('\r'), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[tokio::test]
async fn an_array_is_no_object_by_position() {
    let server = TestServer::start().await;
    let admin = server.admin();
    for (path, body) in [
        ("projects", json!(["by position", null, null, null])),
        ("admin_api_keys", json!(["by position", null])),
    ] {
        let reply = admin.post(&format!("/v1/organization/{path}"), body).await;
        reply.error(400, None, Some("invalid_type"));
    }
    let reply = admin
        .get("/v1/organization/audit_logs?effective_at[]=1")
        .await;
    reply.error(400, Some("effective_at"), Some("invalid_type"));
}

#[tokio::test]
async fn a_stream_is_counted_once_and_only_while_it_is_open() {
    let flood = said(json!({"content": "x"}));
    let hostile = Hostile::start("chat", STREAM_HEAD.to_owned(), flood).await;
    let open = async || {
        let metrics = hostile.server.anonymous().get("/metrics").await.text;
        metrics
            .lines()
            .find_map(|line| line.strip_prefix("waypost_streams_open "))
            .map(str::to_owned)
    };
    let mut body = ask();
    body["stream"] = json!(true);
    let request = hostile.client.request(Method::POST, "/v1/responses");
    let mut events = Events::open(request.json(&body)).await;
    events.next().await.expect("response.created");
    assert_eq!(open().await.as_deref(), Some("1"));
    drop(events);
    until("the stream is over", async || {
        open().await.as_deref() == Some("0")
    })
    .await;
}
