//! SIGTERM while much is going on: it ends well and in time, and what was
//! running goes on after the next start.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::proved;
use crate::support::{World, checked, id_of, output_text};

#[tokio::test]
async fn streams_end_jobs_are_handed_over_and_go_on() {
    let mut world = World::builder()
        .top("shutdown_grace = \"4s\"")
        .start()
        .await;
    let model = "prefill?tokens=1500&delay_ms=5";
    let body = json!({"model": model, "input": "x", "background": true});
    let mut reader = world.stream(body).await;
    let mut seen: Vec<Value> = Vec::new();
    for _ in 0..20 {
        seen.push(reader.next().await.expect("an event"));
    }
    let id = id_of(&seen[0]["response"]);
    let cannot = world
        .background_streamable("chat?tokens=1500&delay_ms=5")
        .await;
    world.running(&cannot).await;
    let mut foreground = world
        .stream(json!({"model": "chat?tokens=100000&delay_ms=5", "input": "x"}))
        .await;
    foreground.next().await.expect("an event");
    // Short ones come to their end within the grace.
    let short = world
        .background_streamable("chat?tokens=40&delay_ms=10")
        .await;
    let mut chat = world
        .stream(json!({"model": "chat?tokens=60&delay_ms=10", "input": "x"}))
        .await;
    chat.next().await.expect("an event");

    let asked = Instant::now();
    let log_before = world.server.log().len();
    world.server.signal("TERM");
    let whole = chat.collect().await;
    assert!(chat.done, "a short stream was cut off");
    assert_eq!(whole.last().expect("events")["type"], "response.completed");
    seen.extend(reader.collect_what_comes().await);
    assert!(!reader.done, "it was not at its end");
    foreground.collect_what_comes().await;
    assert!(!foreground.done);
    let status = world.server.wait().await;
    assert!(status.success(), "{status}");
    assert!(
        asked.elapsed() < Duration::from_secs(6),
        "{:?}",
        asked.elapsed()
    );
    let log = world.server.log()[log_before..].to_owned();
    assert!(
        !log.contains("cut off") && !log.contains(" ERROR "),
        "{log}"
    );

    world.server.restart().await;
    let mut reader = world.replay(&id, Some(seen.len() as u64 - 1)).await;
    seen.extend(reader.collect().await);
    let response = checked(&seen);
    assert_eq!(response["status"], "completed");
    assert_eq!(proved(&world, &id, model).await, response);
    assert_eq!(world.upstream.stats().models[model], 2);

    let response = world.ended(&short).await;
    assert_eq!(response["status"], "completed", "{response}");
    let response = world.ended(&cannot).await;
    assert_eq!(response["status"], "failed");
    assert!(!output_text(&response).is_empty());
    proved(&world, &cannot, "chat?tokens=1500&delay_ms=5").await;
}

#[tokio::test]
async fn a_fast_model_server_does_not_hold_it_up() {
    let mut world = World::builder()
        .top("shutdown_grace = \"4s\"")
        .start()
        .await;
    // Never a pause: as fast as it can.
    let model = "prefill?tokens=2000000";
    let id = world.background_streamable(model).await;
    world.running(&id).await;
    let asked = Instant::now();
    let status = world.server.terminate().await;
    assert!(status.success(), "{status}\n{}", world.server.log());
    assert!(
        asked.elapsed() < Duration::from_secs(6),
        "{:?}",
        asked.elapsed()
    );
    world.server.restart().await;
    let path = format!("/v1/responses/{id}/cancel");
    let reply = world.client().post(&path, json!({})).await;
    assert!(matches!(reply.status, 200 | 400), "{}", reply.text);
}

#[tokio::test]
async fn nothing_new_is_taken() {
    let mut world = World::builder()
        .top("shutdown_grace = \"3s\"")
        .start()
        .await;
    let mut stream = world
        .stream(json!({"model": "chat?tokens=100&delay_ms=10", "input": "x"}))
        .await;
    let first = stream.next().await.expect("an event");
    let id = world.background("chat?tokens=2").await;
    world.ended(&id).await;
    world.server.signal("TERM");
    let deadline = Instant::now() + Duration::from_secs(2);
    // The listener is gone; new connections are refused.
    loop {
        let refused = reqwest::Client::new()
            .get(format!("{}/healthz", world.server.base_url))
            .send()
            .await
            .is_err();
        if refused {
            break;
        }
        assert!(Instant::now() < deadline, "it still takes connections");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut events = vec![first];
    events.extend(stream.collect().await);
    assert_eq!(checked(&events)["status"], "completed");
    assert!(world.server.wait().await.success());
}
