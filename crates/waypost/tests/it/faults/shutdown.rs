//! SIGTERM while much is going on: it ends well and in time, and what was
//! running goes on after the next start.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::proved;
use crate::support::{World, answer_of, checked, id_of, output_text, until};

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
    // This one cannot be continued. Somebody has read of it, nobody of the other.
    let half = "chat?tokens=1500&delay_ms=5";
    let body = json!({"model": half, "input": "x", "background": true});
    let mut half_reader = world.stream(body).await;
    let mut half_seen: Vec<Value> = Vec::new();
    for _ in 0..20 {
        half_seen.push(half_reader.next().await.expect("an event"));
    }
    let cannot = id_of(&half_seen[0]["response"]);
    let unread_model = "chat?tokens=1500&delay_ms=6";
    let unread = world.background(unread_model).await;
    until("it runs", async || {
        world.upstream.stats().models.contains_key(unread_model)
    })
    .await;
    let mut foreground = world
        .stream(json!({"model": "chat?tokens=100000&delay_ms=5", "input": "x"}))
        .await;
    let begun = foreground.next().await.expect("an event");
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
    // Its client must not take a part for the whole.
    let mut cut = vec![begun];
    cut.extend(foreground.collect().await);
    assert!(foreground.done);
    let cut = checked(&cut);
    assert_eq!(cut["status"], "failed");
    assert_eq!(cut["error"]["code"], "server_error");
    assert_eq!(cut["error"]["message"], "The server is stopping.");
    assert!(!output_text(&cut).is_empty());
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
    assert_eq!(world.get(&id_of(&cut)).await.ok().json, cut);
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
    proved(&world, &cannot, half).await;
    half_seen.extend(half_reader.collect_what_comes().await);
    let log = world.replay(&cannot, None).await.collect().await;
    assert_eq!(log[..half_seen.len()], half_seen[..]);
    let response = world.ended(&unread).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(output_text(&response), answer_of(unread_model));
    assert_eq!(world.upstream.stats().models[unread_model], 2);
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

/// What clients wait for while the server stops fails, and is never cut off as
/// if that had been all.
#[tokio::test]
async fn what_is_cut_off_says_so() {
    let mut world = World::builder()
        .top("shutdown_grace = \"3s\"")
        .max_concurrent(4)
        .start()
        .await;
    let client = world.client();
    let chat = |model: &str, more: Value| {
        let mut body = json!({"model": model, "messages": [{"role": "user", "content": "x"}]});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        client
            .request(Method::POST, "/v1/chat/completions")
            .json(&body)
    };
    let respond = |body: Value| client.request(Method::POST, "/v1/responses").json(&body);
    let long = "chat?tokens=100000&delay_ms=5";
    let streamed = json!({"stream": true});
    // Passed on, and run here.
    let mut streams = Vec::new();
    for model in [long, "native?tokens=100000&delay_ms=5"] {
        let answer = chat(model, streamed.clone())
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        streams.push(tokio::spawn(answer.text()));
    }
    let silent = "chat?slow_headers_ms=60000";
    // At the model server, and one that waits for its turn in front of it.
    let waiting: Vec<_> = [
        chat(silent, json!({})),
        chat("native?slow_headers_ms=60000", json!({})),
        respond(json!({"model": silent, "input": "x"})),
        respond(json!({"model": long, "input": "x"})),
        respond(json!({"model": long, "input": "x"})),
    ]
    .into_iter()
    .map(|request| tokio::spawn(request.send()))
    .collect();
    until("all are at the model server", async || {
        world.upstream.stats().active_calls >= 6
    })
    .await;
    world.server.signal("TERM");
    for stream in streams {
        let text = stream.await.expect("no panic").expect("a whole body");
        assert!(!text.contains("[DONE]"), "{text}");
        let last = text.trim_end().rsplit("\n\n").next().expect("an event");
        let last: Value =
            serde_json::from_str(last.strip_prefix("data: ").expect(last)).expect(last);
        assert_eq!(last["error"]["type"], "server_error");
        assert_eq!(last["error"]["message"], "The server is stopping.");
    }
    for request in waiting {
        let answer = request.await.expect("no panic").expect("an answer");
        assert_eq!(answer.status(), 503);
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["error"]["type"], "server_error", "{body}");
        assert_eq!(body["error"]["message"], "The server is stopping.");
    }
    assert!(world.server.wait().await.success());
}

/// The load balancer's time: not ready, and still serving.
#[tokio::test]
async fn requests_are_served_for_the_drain_delay() {
    let mut world = World::builder()
        .top("shutdown_grace = \"8s\"\ndrain_delay = \"4s\"")
        .start()
        .await;
    let asked = Instant::now();
    world.server.signal("TERM");
    let probe = world.server.anonymous();
    until("it is not ready", async || {
        probe.get("/readyz").await.status == 503
    })
    .await;
    assert!(asked.elapsed() < Duration::from_secs(3));
    let response = world
        .create(json!({"model": "chat?tokens=3", "input": "x"}))
        .await;
    assert_eq!(response["status"], "completed");
    // It is kept, for the next start.
    let id = world.background("chat?tokens=3").await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(world.get(&id).await.ok().json["status"], "queued");
    assert!(world.server.wait().await.success());
    assert!(asked.elapsed() > Duration::from_secs(4));
    world.server.restart().await;
    assert_eq!(world.ended(&id).await["status"], "completed");
}
