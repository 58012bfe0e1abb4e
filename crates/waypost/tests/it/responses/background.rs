//! Background responses: queue, polling, attempts, limits, retention.

use serde_json::{Value, json};

use crate::support::{World, answer_of, checked, declare_tools, id_of, output_text, until};

#[tokio::test]
async fn polling_sees_the_statuses_in_order_and_a_hint() {
    let world = World::builder().max_concurrent(1).start().await;
    let body = json!({"model": "chat?tokens=60&delay_ms=20", "input": "x", "background": true});
    let client = world.client();
    let first = client.post("/v1/responses", body.clone()).await.ok();
    assert_eq!(first.json["status"], "queued");
    assert_eq!(first.json["background"], true);
    assert!(poll_hint(&first) > 0);
    let second = client.post("/v1/responses", body).await.ok();
    let (first, second) = (id_of(&first.json), id_of(&second.json));
    world.running(&first).await;
    let reply = world.get(&second).await.ok();
    assert_eq!(reply.json["status"], "queued");
    assert!(poll_hint(&reply) > 0);
    let reply = world.get(&first).await.ok();
    assert_eq!(reply.json["status"], "in_progress");
    assert_eq!(reply.json["completed_at"], Value::Null);
    assert!(poll_hint(&reply) > 0);
    for id in [first, second] {
        let response = world.ended(&id).await;
        assert_eq!(response["status"], "completed");
        assert_eq!(output_text(&response), answer_of("chat?tokens=60"));
        let reply = world.get(&id).await.ok();
        assert!(!reply.headers.contains_key("openai-poll-after-ms"));
    }
    assert_eq!(world.upstream.stats().max_concurrent_calls, 1);
}

fn poll_hint(reply: &crate::harness::Reply) -> u64 {
    let hint = reply.headers.get("openai-poll-after-ms").expect("a hint");
    hint.to_str()
        .ok()
        .and_then(|ms| ms.parse().ok())
        .expect("milliseconds")
}

#[tokio::test]
async fn a_client_that_leaves_does_not_end_it() {
    let world = World::start().await;
    let model = "chat?tokens=40&delay_ms=10";
    let id = world.background_streamable(model).await;
    let response = world.ended(&id).await;
    assert_eq!(response["status"], "completed");
    assert_eq!(output_text(&response), answer_of(model));
    let events = world.replay(&id, None).await.collect().await;
    assert_eq!(checked(&events), response);
    assert_eq!(world.upstream.stats().aborted_streams, 0);
}

#[tokio::test]
async fn a_failure_before_the_first_word_is_tried_again() {
    let world = World::start().await;
    for (model, calls) in [
        ("chat?tokens=5&fail_first=2", 3),
        ("chat?tokens=5&status=429&retry_after=1&fail_first=1", 2),
        ("chat?tokens=5&reset_after=0&fail_first=1", 2),
        ("chat?tokens=5&eof_after=0&fail_first=1", 2),
        ("chat?tokens=5&html_body=1&fail_first=1", 2),
        ("native?tokens=5&fail_first=1", 2),
    ] {
        let id = world.background_streamable(model).await;
        let response = world.ended(&id).await;
        assert_eq!(response["status"], "completed", "{model}: {response}");
        assert_eq!(output_text(&response), answer_of(model));
        assert_eq!(world.upstream.stats().models[model], calls, "{model}");
        let events = world.replay(&id, None).await.collect().await;
        assert_eq!(checked(&events), response, "{model}");
    }
}

#[tokio::test]
async fn attempts_are_bounded_and_the_reason_is_told() {
    let world = World::builder().responses("max_attempts = 2").start().await;
    let model = "chat?status=500";
    let response = world.ended(&world.background(model).await).await;
    assert_eq!(response["status"], "failed");
    assert_eq!(response["error"]["code"], "server_error");
    assert_eq!(
        response["error"]["message"],
        "The model server failed with status 500."
    );
    assert_eq!(world.upstream.stats().models[model], 2);
    let model = "chat?status=400";
    let response = world.ended(&world.background(model).await).await;
    assert_eq!(response["error"]["code"], "invalid_prompt");
    assert_eq!(response["error"]["message"], "The script answers 400.");
    assert_eq!(world.upstream.stats().models[model], 1);
}

#[tokio::test]
async fn an_answer_that_breaks_goes_on_starts_again_or_fails() {
    let world = World::builder()
        .top("tools.buffer = \"none\"")
        .responses("upstream_idle_timeout = \"400ms\"")
        .start()
        .await;
    for fault in [
        "reset_after=5",
        "eof_after=5",
        "cut_after=5",
        "malformed_after=5",
        "error_after=5",
        "stall_after=5",
    ] {
        let query = format!("tokens=12&coalesce=1&fail_first=1&{fault}");
        // It cannot continue an answer, and somebody has read of it: what was
        // said stays, and it failed.
        let model = format!("chat?{query}&delay_ms=60");
        let body = json!({"model": model, "input": "x", "background": true});
        let events = world.stream(body).await.collect().await;
        let response = checked(&events);
        assert_eq!(response["status"], "failed", "{model}");
        assert_eq!(response["error"]["code"], "server_error", "{model}");
        let text = output_text(&response);
        assert!(
            answer_of(&model).starts_with(&text) && !text.is_empty(),
            "{model}: {text}"
        );
        assert!(!says_a_next_try(&world, &id_of(&response)).await, "{model}");
        assert_eq!(world.upstream.stats().models[&model], 1, "{model}");

        // Nobody has: it starts again.
        let model = format!("chat?{query}");
        let response = world.ended(&world.background(&model).await).await;
        assert_eq!(response["status"], "completed", "{model}: {response}");
        assert_eq!(output_text(&response), answer_of(&model), "{model}");
        assert_eq!(world.upstream.stats().models[&model], 2, "{model}");

        // It can: nobody sees a seam.
        let model = format!("prefill?{query}");
        let id = world.background_streamable(&model).await;
        let response = world.ended(&id).await;
        assert_eq!(response["status"], "completed", "{model}: {response}");
        assert_eq!(output_text(&response), answer_of(&model), "{model}");
        let events = world.replay(&id, None).await.collect().await;
        assert_eq!(checked(&events), response, "{model}");
        assert!(says_a_next_try(&world, &id).await, "{model}");
    }
    // Tool calls and structured answers are never continued.
    let call = "prefill?tools=1&tool_fragments=8&coalesce=1&reset_after=4&fail_first=1";
    let response = world.ended(&world.background(call).await).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(response["output"].as_array().map(Vec::len), Some(1));
    assert_eq!(world.upstream.stats().models[call], 2);
    let object = "prefill?say={\"a\":1}&cut_bytes=2&coalesce=1&reset_after=2&fail_first=1";
    let format = json!({"format": {"type": "json_object"}});
    let body = json!({"model": object, "input": "json", "background": true, "text": format});
    let response = world.ended(&id_of(&world.create(body).await)).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(world.upstream.stats().models[object], 2);
    let call = format!("{call}&delay_ms=60");
    let mut body = json!({"model": call, "input": "x", "background": true});
    declare_tools(&mut body);
    let response = world.stream(body).await.checked().await;
    assert_eq!(response["status"], "failed");
    assert_eq!(world.upstream.stats().models[&call], 1);
}

/// A reader leaves while the model thinks. The thoughts are whole and stay; the
/// message that broke off is written anew behind them.
#[tokio::test]
async fn what_a_reader_was_given_stays_and_the_rest_starts_again() {
    let world = World::start().await;
    let model = "chat?reasoning_tokens=150&tokens=20&delay_ms=4&reset_after=160&fail_first=1";
    let body = json!({"model": model, "input": "x", "background": true});
    let mut reader = world.stream(body).await;
    let mut seen = Vec::new();
    for _ in 0..10 {
        seen.push(reader.next().await.expect("an event"));
    }
    drop(reader);
    let id = id_of(&seen[0]["response"]);
    let response = world.ended(&id).await;
    assert_eq!(response["status"], "completed", "{response}");
    assert_eq!(output_text(&response), answer_of(model));
    assert_eq!(world.upstream.stats().models[model], 2);
    let kinds: Vec<&str> = (response["output"].as_array().expect("output").iter())
        .filter_map(|item| item["type"].as_str())
        .collect();
    assert_eq!(kinds, ["reasoning", "reasoning", "message"]);
    let log = world.replay(&id, None).await.collect().await;
    assert_eq!(log[..10], seen[..]);
    assert_eq!(checked(&log), response);
}

/// Whether the log line of the failed call says when it is made again.
async fn says_a_next_try(world: &World, id: &str) -> bool {
    let mut says = None;
    until("its failed call is in the log", async || {
        let log = world.server.log();
        let of_it = |line: &&str| line.contains("the model server failed") && line.contains(id);
        says = log
            .lines()
            .find(of_it)
            .map(|line| line.contains("next_try_ms="));
        says.is_some()
    })
    .await;
    says == Some(true)
}

#[tokio::test]
async fn a_continued_answer_respects_the_limit() {
    let world = World::start().await;
    let model = "prefill?tokens=100&coalesce=1&reset_after=10&fail_first=1";
    let body = json!({"model": model, "input": "x", "background": true, "stream": true,
        "max_output_tokens": 16});
    let response = world.stream(body).await.checked().await;
    assert_eq!(response["status"], "incomplete", "{response}");
    assert_eq!(
        response["incomplete_details"]["reason"],
        "max_output_tokens"
    );
    // The white space at the seam was one token of the second attempt.
    let text = output_text(&response);
    assert_eq!(text, answer_of("prefill?tokens=15"));
    assert_eq!(
        response["usage"]["output_tokens"], 16,
        "{}",
        response["usage"]
    );
}

#[tokio::test]
async fn a_full_queue_is_said() {
    let world = World::builder()
        .responses("max_queued = 2")
        .max_concurrent(1)
        .start()
        .await;
    let stuck = "chat?stall_after=1&coalesce=1";
    let running = world.background(stuck).await;
    world.running(&running).await;
    let waiting = [world.background(stuck).await, world.background(stuck).await];
    let body = json!({"model": stuck, "input": "x", "background": true});
    let reply = world.client().post("/v1/responses", body).await;
    reply.error(429, None, Some("queue_full"));
    assert!(reply.headers.contains_key("retry-after"));
    for id in waiting.iter().chain([&running]) {
        let path = format!("/v1/responses/{id}/cancel");
        world.client().post(&path, json!({})).await.ok();
    }
    world.idle().await;
}

#[tokio::test]
async fn the_log_goes_and_the_response_stays() {
    let world = World::builder()
        .responses("event_log_retention = \"1s\"")
        .start()
        .await;
    let id = world.background_streamable("chat?tokens=3").await;
    let response = world.ended(&id).await;
    let path = format!("/v1/responses/{id}?stream=true");
    let client = world.client();
    until("the log is dropped", async || {
        client.get(&path).await.status != 200
    })
    .await;
    let message = client.get(&path).await.error(400, Some("stream"), None);
    assert_eq!(
        message,
        "This response cannot be streamed because it was not created with stream=true or the \
         stream TTL has expired."
    );
    assert_eq!(world.get(&id).await.ok().json, response);
}

#[tokio::test]
async fn without_store_it_is_kept_for_a_short_time() {
    let world = World::builder()
        .responses("background_without_store = \"ephemeral\"\nephemeral_retention = \"1s\"")
        .start()
        .await;
    let body = json!({"model": "chat?tokens=3", "input": "x", "background": true, "store": false});
    let id = id_of(&world.create(body).await);
    let response = world.ended(&id).await;
    assert_eq!(response["store"], false);
    assert_eq!(output_text(&response), "0 1 2 ");
    until("it is gone", async || world.get(&id).await.status == 404).await;
}

#[tokio::test]
async fn it_takes_no_longer_than_allowed() {
    let world = World::builder()
        .responses("max_duration = \"1s\"")
        .start()
        .await;
    let model = "chat?tokens=10000&delay_ms=50";
    let id = world.background_streamable(model).await;
    let response = world.ended(&id).await;
    assert_eq!(response["status"], "failed", "{response}");
    let events = world.replay(&id, None).await.collect().await;
    assert_eq!(checked(&events), response);
    assert!(answer_of(model).starts_with(&output_text(&response)));
    world.idle().await;
}

#[tokio::test]
async fn an_outage_uses_no_attempt_and_is_probed_by_one_job() {
    let world = World::builder().responses("max_attempts = 1").start().await;
    // More failures than attempts, and many jobs that wait.
    for status in [429, 503] {
        let model = format!("chat?tokens=3&status={status}&fail_first=3");
        let first = world.background(&model).await;
        let calls = || world.upstream.stats().models.get(&model).copied();
        until("the outage is known", async || calls() >= Some(1)).await;
        let metrics = world.server.anonymous().get("/metrics").await.text;
        let paused = "waypost_upstream_jobs_paused{upstream=\"chat\"} 1\n";
        assert!(metrics.contains(paused), "{metrics}");
        let mut ids = vec![first];
        for _ in 0..12 {
            ids.push(world.background(&model).await);
        }
        let waits = world.get(&ids[12]).await.ok().json;
        assert_eq!(waits["status"], "queued");
        for id in &ids {
            let response = world.ended(id).await;
            assert_eq!(response["status"], "completed", "{response}");
            assert_eq!(output_text(&response), answer_of(&model));
        }
        // Three refusals in all: those that waited were not sent to be refused.
        assert_eq!(calls(), Some(ids.len() as u64 + 3), "{status}");
    }
    let log = world.server.log();
    for words in [
        "background=true",
        "/v1/chat/completions",
        "attempt=1",
        "counts=false",
        "next_try_ms=",
        "answers again",
        "a background response ended",
    ] {
        assert!(log.contains(words), "{words}\n{log}");
    }
    let metrics = world.server.anonymous().get("/metrics").await.text;
    for line in [
        "waypost_jobs_retried_total{upstream=\"chat\",reason=\"throttled\"} 3\n",
        "waypost_jobs_retried_total{upstream=\"chat\",reason=\"server_error\"} 3\n",
        "waypost_jobs_ended_total{status=\"completed\"} 26\n",
        "waypost_upstream_jobs_paused{upstream=\"chat\"} 0\n",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn a_foreground_answer_ends_the_wait() {
    let world = World::builder().responses("max_attempts = 1").start().await;
    let refused = "chat?status=503&retry_after=600&fail_first=1";
    let id = world.background(refused).await;
    world.server.wait_for_log("is unavailable").await;
    let waiting = world.background("chat?tokens=3").await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(world.get(&waiting).await.ok().json["status"], "queued");
    world
        .create(json!({"model": "chat?tokens=2", "input": "x"}))
        .await;
    assert_eq!(world.ended(&waiting).await["status"], "completed");
    // It was told to wait for ten minutes, and does.
    assert_eq!(world.get(&id).await.ok().json["status"], "in_progress");
}

#[tokio::test]
async fn a_server_that_goes_away_while_it_answers_uses_attempts() {
    let world = World::builder().responses("max_attempts = 2").start().await;
    // Its connection closes after the request was sent; it refuses in the
    // middle of its answer.
    for model in [
        "prefill?reset_after=0",
        "prefill?tokens=6&coalesce=1&error_after=2&error_code=503",
    ] {
        let id = world.background(model).await;
        let response = world.ended(&id).await;
        assert_eq!(response["status"], "failed", "{model}");
        assert_eq!(world.upstream.stats().models[model], 2, "{model}");
    }
}

#[tokio::test]
async fn an_outage_ends_jobs_only_with_their_time_and_says_so() {
    let world = World::builder()
        .responses("max_duration = \"2s\"")
        .start()
        .await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(world.background("chat?status=503&retry_after=600").await);
    }
    let mut never_asked = 0;
    for id in ids {
        let response = world.ended(&id).await;
        assert_eq!(response["status"], "failed");
        assert_eq!(response["error"]["code"], "server_error");
        let message = response["error"]["message"].as_str().expect("a message");
        never_asked += usize::from(message.contains("was unavailable"));
    }
    assert!(never_asked > 10, "{never_asked}");
}

#[tokio::test]
async fn a_throttle_without_a_pause_is_no_busy_loop() {
    let world = World::start().await;
    let model = "chat?status=429&retry_after=0";
    let id = world.background(model).await;
    tokio::time::sleep(std::time::Duration::from_millis(1600)).await;
    let calls = world.upstream.stats().models[model];
    assert!((1..=5).contains(&calls), "{calls} calls");
    // Being told to wait is no failure: it still waits its turn.
    let path = format!("/v1/responses/{id}/cancel");
    let reply = world.client().post(&path, json!({})).await.ok();
    assert_eq!(reply.json["status"], "cancelled");
}
