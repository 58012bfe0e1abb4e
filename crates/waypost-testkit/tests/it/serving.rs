//! Routes, counters and the choice of a script.

use hyper::Method;
use serde_json::{Value, json};
use waypost_testkit::{Script, ScriptedUpstream};

use crate::client::{
    Client, Reply, chat, chat_request, eventually, numbers, post, request, responses,
};

async fn get(upstream: &ScriptedUpstream, path: &str) -> Reply {
    request(upstream.address(), Method::GET, path, "").await
}

#[tokio::test]
async fn scripts_are_chosen_by_model_name() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    upstream.install(
        "three",
        Script {
            tokens: Some(3),
            ..Script::default()
        },
    );
    let install = json!({"name": "five", "script": "tokens=5"});
    assert_eq!(post(&upstream, "/__script", &install).await.status, 200);
    let install = json!({"name": "six", "script": {"tokens": 6}});
    assert_eq!(post(&upstream, "/__script", &install).await.status, 200);
    for (model, tokens) in [("three", 3), ("five", 5), ("six", 6), ("unknown", 8)] {
        let mut request = chat_request("", true);
        request["model"] = json!(model);
        let reply = post(&upstream, "/v1/chat/completions", &request).await;
        assert_eq!(reply.content(), numbers(tokens), "{model}");
    }
    let listed = get(&upstream, "/v1/models").await.json();
    let ids: Vec<&Value> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["id"])
        .collect();
    assert_eq!(ids, ["five", "scripted", "six", "three"]);
    assert_eq!(
        get(&upstream, "/v1/models/three").await.json()["id"],
        "three"
    );
}

#[tokio::test]
async fn mistakes_are_answered_with_their_reason() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let misspelt = chat(&upstream, "tokns=5", true).await;
    assert_eq!(misspelt.status, 400);
    assert!(
        misspelt.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("tokns")
    );
    let bad = json!({"name": "x", "script": {"tokns": 5}});
    assert_eq!(post(&upstream, "/__script", &bad).await.status, 400);
    assert_eq!(
        post(&upstream, "/v1/chat/completions", &json!({"model": 1}))
            .await
            .status,
        400
    );
    assert_eq!(post(&upstream, "/v1/nothing", &json!({})).await.status, 404);
}

#[tokio::test]
async fn calls_are_counted_and_recorded() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    chat(&upstream, "tokens=1", true).await;
    chat(&upstream, "tokens=1", false).await;
    responses(&upstream, "tokens=2", true).await;
    eventually("both streams to end", || {
        upstream.stats().finished_streams == 2
    })
    .await;
    let stats = upstream.stats();
    assert_eq!(
        (
            stats.calls["/v1/chat/completions"],
            stats.calls["/v1/responses"]
        ),
        (2, 1)
    );
    assert_eq!(
        (
            stats.models["scripted?tokens=1"],
            stats.max_concurrent_streams
        ),
        (2, 1)
    );
    assert_eq!(
        (
            stats.aborted_streams,
            stats.aborted_calls,
            stats.active_calls
        ),
        (0, 0, 0)
    );
    let requests = upstream.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(
        (requests[2].route, &requests[2].json()["input"]),
        ("/v1/responses", &json!("count"))
    );

    let report = get(&upstream, "/__stats").await.json();
    assert_eq!(report["calls"]["/v1/chat/completions"], 2);
    assert_eq!(
        report["requests"][0]["headers"]["content-type"],
        "application/json"
    );
    assert_eq!(
        report["requests"][0]["body"]["messages"][0]["content"],
        "count"
    );

    assert_eq!(post(&upstream, "/__reset", &json!({})).await.status, 200);
    assert_eq!(upstream.stats().calls["/v1/chat/completions"], 0);
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn concurrent_streams_are_seen_at_their_most() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let calls = (0..5).map(|_| chat(&upstream, "tokens=3&delay_ms=40", true));
    let replies = futures::future::join_all(calls).await;
    assert!(replies.iter().all(|reply| reply.content() == numbers(3)));
    assert_eq!(upstream.stats().max_concurrent_streams, 5);
    eventually("connections to close", || {
        upstream.stats().active_connections == 0
    })
    .await;
}

#[tokio::test]
async fn connections_are_kept_alive() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let mut client = Client::connect(upstream.address()).await;
    for stream in [true, false, true] {
        let body = chat_request("tokens=2", stream).to_string();
        let reply = client
            .open(Method::POST, "/v1/chat/completions", &body)
            .await
            .unwrap();
        assert!(Reply::read(reply).await.broken.is_none());
    }
    assert_eq!(upstream.stats().active_connections, 1);
}

#[tokio::test]
async fn embeddings_answer_each_input() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let reply = post(
        &upstream,
        "/v1/embeddings",
        &json!({"model": "m", "input": ["a", "b"]}),
    )
    .await;
    assert_eq!(reply.json()["data"][1]["embedding"][0], 1.0);
}

#[tokio::test]
async fn dropping_the_handle_closes_everything() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let address = upstream.address();
    let mut client = Client::connect(address).await;
    let body = chat_request("stall_after=1", true).to_string();
    let reply = client
        .open(Method::POST, "/v1/chat/completions", &body)
        .await
        .unwrap();
    drop(upstream);
    assert!(Reply::read(reply).await.broken.is_some());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
