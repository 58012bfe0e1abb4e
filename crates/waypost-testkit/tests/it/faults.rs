//! Everything that goes wrong on order.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waypost_testkit::ScriptedUpstream;
use waypost_testkit::sse::{self, SseError};

use crate::client::{Client, chat, chat_request, joined, numbers, responses};

/// Sends a chat request on a bare socket and reads until the connection ends.
async fn raw(
    upstream: &ScriptedUpstream,
    query: &str,
    stream: bool,
) -> (String, std::io::Result<()>) {
    let mut socket = TcpStream::connect(upstream.address()).await.unwrap();
    let body = chat_request(query, stream).to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let ended = socket.read_to_end(&mut bytes).await.map(|_| ());
    (String::from_utf8(bytes).unwrap(), ended)
}

#[tokio::test]
async fn reset_is_a_tcp_reset_after_the_tokens_before_it() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let (text, ended) = raw(&upstream, "tokens=10&reset_after=4", true).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(
        text.contains("\"3 \"") && !text.contains("\"4 \""),
        "{text}"
    );
    let (text, ended) = raw(&upstream, "reset_after=0", false).await;
    assert_eq!(
        (text.as_str(), ended.unwrap_err().kind()),
        ("", ErrorKind::ConnectionReset)
    );
    assert_eq!(upstream.stats().aborted_streams, 0);
}

#[tokio::test]
async fn eof_is_a_proper_end_without_the_answers_end() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    for after in [0, 4, 10] {
        let reply = chat(&upstream, &format!("tokens=10&eof_after={after}"), true).await;
        assert!(reply.broken.is_none());
        assert_eq!(reply.content(), numbers(after));
        assert_eq!(joined(&reply.events(), "/choices/0/finish_reason"), "");
        assert!(!reply.is_done());
    }
    let plain = chat(&upstream, "eof_after=0", false).await;
    assert!(plain.broken.is_none());
    assert!(serde_json::from_slice::<Value>(&plain.bytes()).is_err());
}

#[tokio::test]
async fn cut_is_a_fin_inside_the_body() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    for stream in [true, false] {
        let (text, ended) = raw(&upstream, "tokens=10&cut_after=4", stream).await;
        assert!(ended.is_ok());
        assert!(
            !text.ends_with("0\r\n\r\n") && text.contains("200 OK"),
            "{text}"
        );
        let reply = chat(&upstream, "tokens=10&cut_after=4", stream).await;
        assert!(reply.broken.is_some());
        assert!(!stream || reply.content() == numbers(4));
    }
}

#[tokio::test]
async fn one_chunk_is_not_json() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let reply = chat(&upstream, "tokens=4&malformed_after=2", true).await;
    let events = sse::parse(&reply.bytes()).unwrap();
    let bad: Vec<_> = events
        .iter()
        .filter(|e| !e.is_done() && e.json().is_err())
        .collect();
    assert_eq!(bad.len(), 1);
    assert!(matches!(bad[0].json(), Err(SseError::NotJson { .. })));
    assert!(reply.is_done() && reply.text().contains("\"3 \""));
    let plain = chat(&upstream, "malformed_after=0", false).await;
    assert!(serde_json::from_slice::<Value>(&plain.bytes()).is_err());
    let native = responses(&upstream, "tokens=4&malformed_after=2", true).await;
    let events = sse::parse(&native.bytes()).unwrap();
    assert_eq!(
        events.iter().filter(|event| event.json().is_err()).count(),
        1
    );
}

#[tokio::test]
async fn an_error_object_in_mid_stream() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let reply = chat(&upstream, "tokens=4&error_after=2", true).await;
    assert_eq!(
        reply.events().last().unwrap()["error"]["type"],
        "server_error"
    );
    assert_eq!(reply.content(), "0 1 ");
    assert_eq!(chat(&upstream, "error_after=0", false).await.status, 500);
}

#[tokio::test]
async fn a_stall_goes_on() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    for stream in [true, false] {
        let before = Instant::now();
        let reply = chat(&upstream, "tokens=4&stall_after=2&stall_ms=150", stream).await;
        assert!(before.elapsed() >= Duration::from_millis(150));
        assert!(!stream || reply.content() == numbers(4));
    }
}

#[tokio::test]
async fn a_hang_lasts_until_the_client_leaves_and_is_counted() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let mut client = Client::connect(upstream.address()).await;
    let body = chat_request("tokens=4&stall_after=2", true).to_string();
    let reply = client
        .open(Method::POST, "/v1/chat/completions", &body)
        .await
        .unwrap();
    let mut body = reply.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(
        String::from_utf8(first.to_vec())
            .unwrap()
            .contains("\"1 \"")
    );
    let silence = tokio::time::timeout(Duration::from_millis(100), body.frame()).await;
    assert!(silence.is_err());
    assert_eq!(
        (
            upstream.stats().active_streams,
            upstream.stats().aborted_streams
        ),
        (1, 0)
    );
    drop((body, client));
    crate::client::eventually("the abort", || upstream.stats().aborted_streams == 1).await;
    assert_eq!(upstream.stats().active_streams, 0);
}

#[tokio::test]
async fn a_plain_call_left_alone_is_counted() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let mut client = Client::connect(upstream.address()).await;
    let body = chat_request("stall_after=0", false).to_string();
    let call = client.open(Method::POST, "/v1/chat/completions", &body);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), call)
            .await
            .is_err()
    );
    drop(client);
    crate::client::eventually("the abort", || upstream.stats().aborted_calls == 1).await;
    assert_eq!(upstream.stats().active_calls, 0);
}

#[tokio::test]
async fn errors_before_the_answer() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    for (status, kind) in [
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
    ] {
        let reply = chat(&upstream, &format!("status={status}&retry_after=2"), true).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("retry-after")),
            (status, "2")
        );
        assert_eq!(reply.json()["error"]["type"], kind);
    }
    let page = chat(&upstream, "html_body=1", true).await;
    assert_eq!(
        (page.status.as_u16(), page.header("content-type")),
        (502, "text/html")
    );
    assert!(page.text().starts_with("<html>"));
}

#[tokio::test]
async fn fail_first_counts_per_model_name() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let mut statuses = Vec::new();
    for query in [
        "fail_first=2",
        "fail_first=2",
        "fail_first=2&tokens=3",
        "fail_first=2",
    ] {
        statuses.push(chat(&upstream, query, true).await.status.as_u16());
    }
    assert_eq!(statuses, [503, 503, 503, 200]);
    let script = "tokens=6&eof_after=3&fail_first=1";
    assert_eq!(chat(&upstream, script, true).await.content(), numbers(3));
    assert_eq!(chat(&upstream, script, true).await.content(), numbers(6));
}

#[tokio::test]
async fn delays() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let before = Instant::now();
    let mut client = Client::connect(upstream.address()).await;
    let script = "tokens=5&slow_headers_ms=60&first_delay_ms=60&delay_ms=20&coalesce=1";
    let body = chat_request(script, true).to_string();
    let reply = client
        .open(Method::POST, "/v1/chat/completions", &body)
        .await
        .unwrap();
    let headers = before.elapsed();
    let mut body = reply.into_body();
    let mut writes = 0;
    let mut first = None;
    while let Some(frame) = body.frame().await {
        frame.unwrap();
        first.get_or_insert_with(|| before.elapsed());
        writes += 1;
    }
    assert!(headers >= Duration::from_millis(60));
    assert!(first.unwrap() >= Duration::from_millis(120));
    assert!(before.elapsed() >= Duration::from_millis(220));
    assert_eq!(writes, 6, "five tokens one by one, and the end");
}
