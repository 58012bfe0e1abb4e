//! Model servers that fail in every way, many at a time: their limit of
//! concurrent requests holds, and no slot is lost.

use std::time::Duration;

use futures::{StreamExt, stream};
use reqwest::Method;
use serde_json::json;

use crate::support::{Chance, World, id_of, until};

const FAILURES: u64 = 500;
const SLOTS: u32 = 6;

#[tokio::test]
async fn the_limit_holds_and_no_slot_leaks() {
    let mut chance = Chance::new(5);
    let world = World::builder()
        .responses("upstream_idle_timeout = \"500ms\"\nmax_attempts = 2\nlease = \"2s\"")
        .max_concurrent(SLOTS)
        .start()
        .await;
    // First without anyone hanging up: then the model server's own count of
    // concurrent calls is exact.
    let orderly = [
        "status=500",
        "status=400",
        "status=401",
        "eof_after=2",
        "tokens=4",
        "tokens=6&delay_ms=20",
        "tokens=2&finish_reason=length",
    ];
    let mixed = [
        "reset_after=0",
        "reset_after=3",
        "cut_after=2",
        "malformed_after=2",
        "error_after=1",
        "stall_after=2",
        "slow_headers_ms=800",
        "tokens=400&delay_ms=5",
        "tokens=4",
        // These keep background jobs back, so the limit is not reached with them.
        "status=503&fail_first=1",
        "status=429&retry_after=0&fail_first=1",
        "html_body=1&fail_first=1",
    ];
    for (phase, kinds) in [("orderly", &orderly[..]), ("mixed", &mixed[..])] {
        world.upstream.reset();
        let plans: Vec<(String, u64, u64)> = (0..FAILURES / 2)
            .map(|n| {
                let kind = kinds[chance.next() as usize % kinds.len()];
                let model = format!("chat?{kind}&coalesce=1&prompt_tokens={n}");
                (model, chance.next() % 5, chance.within(0..40))
            })
            .collect();
        let hang_up = phase == "mixed";
        stream::iter(plans)
            .for_each_concurrent(24, |(model, way, after)| {
                let world = &world;
                async move { one(world, &model, way, hang_up.then_some(after)).await }
            })
            .await;
        world.idle().await;
        if phase == "orderly" {
            let most = world.upstream.stats().max_concurrent_calls;
            assert!(most <= u64::from(SLOTS), "{most} calls at once");
        }
    }
    // Every slot is there: as many run at once as may, and one more waits.
    until("no job is left", async || {
        let metrics = world.server.anonymous().get("/metrics").await.text;
        !metrics
            .lines()
            .any(|l| l.contains("jobs{") && !l.ends_with(" 0"))
    })
    .await;
    world.upstream.reset();
    let mut held = Vec::new();
    for n in 0..SLOTS {
        let model = format!("chat?tokens=100000&delay_ms=20&prompt_tokens={n}");
        held.push(world.stream(json!({"model": model, "input": "x"})).await);
    }
    assert_eq!(world.upstream.stats().active_streams, u64::from(SLOTS));
    let one_more = world.background("chat?tokens=1").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.get(&one_more).await.ok().json["status"], "queued");
    let most = world.upstream.stats().max_concurrent_calls;
    assert_eq!(most, u64::from(SLOTS), "calls at once");
    held.pop();
    assert_eq!(world.ended(&one_more).await["status"], "completed");
}

/// One request, in one of the ways there are; perhaps given up by its client.
async fn one(world: &World, model: &str, way: u64, leave_after: Option<u64>) {
    let client = world.client();
    let (path, body) = match way {
        0 => ("/v1/responses", json!({"model": model, "input": "x"})),
        1 => (
            "/v1/responses",
            json!({"model": model, "input": "x", "stream": true}),
        ),
        2 => (
            "/v1/responses",
            json!({"model": model, "input": "x", "background": true}),
        ),
        3 => (
            "/v1/chat/completions",
            json!({"model": model, "messages": [], "stream": true}),
        ),
        _ => (
            "/v1/chat/completions",
            json!({"model": model, "messages": []}),
        ),
    };
    let request = client.request(Method::POST, path).json(&body);
    if way == 2 {
        let id = id_of(&client.send(request).await.ok().json);
        if let Some(after) = leave_after {
            tokio::time::sleep(Duration::from_millis(after * 10)).await;
            client
                .post(&format!("/v1/responses/{id}/cancel"), json!({}))
                .await;
        }
        world.ended(&id).await;
        return;
    }
    let read = async {
        let answer = request.send().await.ok()?;
        answer.bytes().await.ok()
    };
    match leave_after {
        // A third stays to the end.
        Some(after) if after % 3 > 0 => {
            let _ = tokio::time::timeout(Duration::from_millis(after * 5), read).await;
        }
        _ => drop(read.await),
    }
}
