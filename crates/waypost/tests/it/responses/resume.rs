//! Resuming a stream: from every number, beyond the end, by many at once.

use bytes::Bytes;
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use waypost_testkit::sse::{assert_gapless, check_stream_from};

use crate::support::{World, checked, id_of, replay_path};

async fn bytes_of(world: &World, id: &str, after: Option<u64>) -> Bytes {
    let client = world.client();
    let answer = client
        .request(Method::GET, &replay_path(id, after))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.bytes().await.expect("a whole stream")
}

#[tokio::test]
async fn from_every_number() {
    let world = World::start().await;
    for model in [
        "chat?tokens=25&coalesce=1",
        "chat?reasoning_tokens=3&tokens=3&tools=2&shape=emoji",
        "native?tokens=10&keepalive=2",
    ] {
        let id = world.background_streamable(model).await;
        let response = world.ended(&id).await;
        let all = world.replay(&id, None).await.collect().await;
        assert_eq!(checked(&all), response);
        for after in 0..all.len() as u64 {
            let mut rest = world.replay(&id, Some(after)).await;
            let rest_events = rest.collect().await;
            assert_eq!(
                rest_events,
                all[after as usize + 1..],
                "{model} after {after}"
            );
            assert!(rest.done);
            if !rest_events.is_empty() {
                check_stream_from(&rest_events, after + 1).expect("a proper rest");
            }
        }
        let last = all.len() as u64 - 1;
        for beyond in [last, last + 1, last + 1000, u64::MAX] {
            let mut rest = world.replay(&id, Some(beyond)).await;
            assert_eq!(rest.collect().await.len(), 0, "after {beyond}");
            assert!(rest.done);
        }
    }
}

#[tokio::test]
async fn while_it_runs_from_where_the_reader_was() {
    let world = World::start().await;
    let model = "chat?tokens=120&delay_ms=8";
    let body = json!({"model": model, "input": "x", "background": true});
    let mut events = world.stream(body).await;
    let mut seen = vec![events.next().await.expect("response.created")];
    let id = id_of(&seen[0]["response"]);
    // Leaves after every few events and comes back.
    'all: loop {
        for _ in 0..7 {
            match events.next().await {
                Some(event) => seen.push(event),
                None => break 'all,
            }
        }
        drop(events);
        events = world.replay(&id, Some(seen.len() as u64 - 1)).await;
    }
    assert!(events.done);
    let response = checked(&seen);
    assert_eq!(world.get(&id).await.ok().json, response);
    assert_eq!(world.upstream.stats().calls["/v1/chat/completions"], 1);
}

#[tokio::test]
async fn a_number_ahead_of_a_running_stream_waits_for_it() {
    let world = World::start().await;
    let id = world
        .background_streamable("chat?tokens=60&delay_ms=10")
        .await;
    let mut ahead = world.replay(&id, Some(40)).await;
    let rest = ahead.collect().await;
    assert_gapless(&rest, 41);
    let mut far_ahead = world.replay(&id, Some(4000)).await;
    assert_eq!(far_ahead.collect().await.len(), 0);
    assert!(ahead.done && far_ahead.done);
}

#[tokio::test]
async fn many_readers_see_the_same_bytes() {
    let world = World::start().await;
    for model in [
        "chat?tokens=80&delay_ms=5&shape=emoji",
        "chat?tokens=4000&coalesce=40&delay_ms=1",
    ] {
        let id = world.background_streamable(model).await;
        let readers = (0..40).map(async |n: u64| {
            tokio::time::sleep(std::time::Duration::from_millis(n * 10)).await;
            bytes_of(&world, &id, None).await
        });
        let all = join_all(readers).await;
        let later = bytes_of(&world, &id, None).await;
        for (reader, bytes) in all.iter().enumerate() {
            assert!(*bytes == later, "reader {reader} saw other bytes");
        }
        assert!(later.ends_with(b"data: [DONE]\n\n"));
    }
}

#[tokio::test]
async fn what_cannot_be_streamed_says_why() {
    let world = World::start().await;
    let client = world.client();
    let why = async |id: &str| {
        let reply = client.get(&replay_path(id, None)).await;
        reply.error(400, Some("stream"), None)
    };
    let model = "chat?tokens=2";
    let foreground = world.create(json!({"model": model, "input": "x"})).await;
    assert_eq!(
        why(&id_of(&foreground)).await,
        "This response cannot be streamed because it was not created with background=true."
    );
    let streamed = world
        .stream(json!({"model": model, "input": "x"}))
        .await
        .checked()
        .await;
    assert_eq!(
        why(&id_of(&streamed)).await,
        "This response cannot be streamed because it was not created with background=true."
    );
    let polled = world.background(model).await;
    assert_eq!(
        why(&polled).await,
        "This response cannot be streamed because it was not created with stream=true."
    );
    let reply = client.get("/v1/responses/resp_nothing?stream=true").await;
    reply.error(404, None, None);
    let id = world.background_streamable(model).await;
    for after in ["-1", "x", "1.5"] {
        let path = format!("/v1/responses/{id}?stream=true&starting_after={after}");
        let reply = client.get(&path).await;
        assert_eq!(reply.status, 400, "{after}: {}", reply.text);
        assert_eq!(reply.json["error"]["param"], "starting_after");
    }
}
