//! Responses that run while their client waits: failures of the model server
//! before and within the stream, clients that leave, `store: false`.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{World, id_of, output_text, until_within};

/// The contract says one second; the machine may be busy.
const SOON: Duration = Duration::from_secs(5);

fn ask(model: &str) -> Value {
    json!({"model": model, "input": "x"})
}

/// The error status of a create, streamed or not.
async fn refusals(world: &World, model: &str) -> Vec<crate::harness::Reply> {
    let mut streamed = ask(model);
    streamed["stream"] = json!(true);
    vec![
        world.client().post("/v1/responses", ask(model)).await,
        world.client().post("/v1/responses", streamed).await,
    ]
}

#[tokio::test]
async fn a_throttled_model_server_throttles_the_caller() {
    let world = World::start().await;
    for dialect in ["chat", "native"] {
        let model = format!("{dialect}?status=429&retry_after=7");
        for reply in refusals(&world, &model).await {
            assert_eq!(reply.status, 429, "{}", reply.text);
            assert_eq!(reply.headers["retry-after"], "7");
            assert_eq!(reply.json["error"]["message"], "The script answers 429.");
            assert_eq!(
                reply.json["error"].as_object().map(serde_json::Map::len),
                Some(4)
            );
        }
    }
}

#[tokio::test]
async fn a_failing_model_server_is_a_bad_gateway() {
    let world = World::start().await;
    for query in [
        "status=500",
        "status=503",
        "html_body=1",
        "status=500&html_body=1",
        "status=302",
    ] {
        for reply in refusals(&world, &format!("chat?{query}")).await {
            let message = reply.error(502, None, Some("upstream_error"));
            assert!(message.starts_with("The model server"), "{message}");
            assert!(
                !message.contains("html") && !message.contains("script"),
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn credentials_refused_upstream_are_not_the_callers() {
    let world = World::start().await;
    for status in [401, 403] {
        for reply in refusals(&world, &format!("chat?status={status}")).await {
            reply.error(502, None, Some("upstream_error"));
        }
        let id = world.background(&format!("chat?status={status}")).await;
        let response = world.ended(&id).await;
        assert_eq!(response["status"], "failed");
        assert_eq!(response["error"]["code"], "server_error");
    }
}

#[tokio::test]
async fn what_the_model_server_refuses_is_the_callers_to_fix() {
    let world = World::start().await;
    // A 404 without a word of the model is about the address: see `logs`.
    for status in [400, 422] {
        for reply in refusals(&world, &format!("chat?status={status}")).await {
            assert_eq!(reply.status, status, "{}", reply.text);
            assert_eq!(
                reply.json["error"]["message"],
                format!("The script answers {status}.")
            );
        }
    }
}

#[tokio::test]
async fn an_unreachable_model_server() {
    let world = World::start().await;
    let World {
        server,
        upstream,
        tenant,
        ..
    } = world;
    drop(upstream);
    let reply = server
        .client(&tenant.key)
        .post("/v1/responses", ask("chat"))
        .await;
    let message = reply.error(502, None, Some("upstream_error"));
    assert_eq!(message, "The model server cannot be reached.");
}

#[tokio::test]
async fn an_answer_that_breaks_is_never_complete() {
    let world = World::builder()
        .responses("upstream_idle_timeout = \"400ms\"")
        .start()
        .await;
    for dialect in ["chat", "native"] {
        for fault in [
            "reset_after=5",
            "eof_after=5",
            "cut_after=5",
            "malformed_after=5",
            "error_after=5",
            "stall_after=5",
            "finish_reason=absent",
        ] {
            let model = format!("{dialect}?tokens=12&coalesce=1&{fault}");
            let response = world.stream(ask(&model)).await.checked().await;
            assert_eq!(response["status"], "failed", "{model}");
            assert_eq!(response["error"]["code"], "server_error", "{model}");
            let text = output_text(&response);
            assert!(text.starts_with("0 1 2 3 4 "), "{model}: {text}");
            assert_eq!(
                world.get(&id_of(&response)).await.ok().json,
                response,
                "{model}"
            );

            let reply = world.client().post("/v1/responses", ask(&model)).await;
            reply.error(502, None, Some("upstream_error"));
        }
    }
    world.idle().await;
}

#[tokio::test]
async fn slow_headers_begin_the_stream_without_them() {
    let world = World::start().await;
    let mut events = world
        .stream(ask("chat?slow_headers_ms=4000&status=429&retry_after=1"))
        .await;
    let response = events.checked().await;
    assert_eq!(response["status"], "failed");
    assert_eq!(response["error"]["code"], "rate_limit_exceeded");
    let mut events = world
        .stream(ask("chat?slow_headers_ms=4000&tokens=3"))
        .await;
    assert_eq!(output_text(&events.checked().await), "0 1 2 ");
}

#[tokio::test]
async fn a_streaming_client_that_leaves_frees_the_model_server() {
    let world = World::start().await;
    let leave = async |model: &str, events_first: usize| {
        world.upstream.reset();
        let mut events = world.stream(ask(model)).await;
        for _ in 0..events_first {
            events.next().await.expect("an event");
        }
        drop(events);
        until_within("the model server is left", SOON, async || {
            let stats = world.upstream.stats();
            stats.active_streams == 0 && stats.aborted_streams == 1
        })
        .await;
    };
    leave("chat?tokens=100000&delay_ms=20", 5).await;
    leave("native?tokens=100000&delay_ms=20", 5).await;
    leave("chat?tokens=3&stall_after=2&coalesce=1", 5).await;
    leave("chat?tokens=10&first_delay_ms=20000", 1).await;
}

#[tokio::test]
async fn a_waiting_client_that_leaves_frees_the_model_server() {
    let world = World::start().await;
    for model in [
        "chat?tokens=100000&delay_ms=20",
        "chat?slow_headers_ms=20000",
        "chat?stall_after=2",
    ] {
        for stream in [false, true] {
            world.upstream.reset();
            let mut body = ask(model);
            body["stream"] = json!(stream);
            let client = world.client();
            let request = client.request(Method::POST, "/v1/responses").json(&body);
            let waiting = tokio::spawn(async move {
                let answer = request.send().await.expect("an answer");
                answer.text().await
            });
            until_within("the model server is asked", SOON, async || {
                world.upstream.stats().active_streams == 1
            })
            .await;
            waiting.abort();
            until_within("the model server is left", SOON, async || {
                world.upstream.stats().active_calls == 0
            })
            .await;
        }
    }
    // Nothing of them was kept.
    let metrics = world.server.anonymous().get("/metrics").await.text;
    assert!(metrics.contains("waypost_"), "{metrics}");
}

#[tokio::test]
async fn store_false_leaves_nothing() {
    let world = World::start().await;
    let mut body = ask("chat?tokens=3");
    body["store"] = json!(false);
    let plain = world.create(body.clone()).await;
    let streamed = world.stream(body).await.checked().await;
    for response in [plain, streamed] {
        assert_eq!(response["store"], false);
        assert_eq!(output_text(&response), "0 1 2 ");
        let id = id_of(&response);
        world.get(&id).await.error(404, None, None);
        let mut next = ask("chat");
        next["previous_response_id"] = json!(id);
        let reply = world.client().post("/v1/responses", next).await;
        reply.error(
            400,
            Some("previous_response_id"),
            Some("previous_response_not_found"),
        );
    }
}

#[tokio::test]
async fn in_flight_it_cannot_be_found() {
    let world = World::start().await;
    let mut events = world.stream(ask("chat?tokens=50&delay_ms=20")).await;
    let created = events.next().await.expect("response.created");
    let id = id_of(&created["response"]);
    let missing = format!("Response with id '{id}' not found.");
    assert_eq!(world.get(&id).await.error(404, None, None), missing);
    let reply = world
        .client()
        .post(&format!("/v1/responses/{id}/cancel"), json!({}))
        .await;
    assert_eq!(reply.error(404, None, None), missing);
    while events.next().await.is_some() {}
    world.get(&id).await.ok();
}

#[tokio::test]
async fn a_busy_model_server_makes_callers_wait_their_turn() {
    let world = World::builder()
        .responses("queue_timeout = \"300ms\"")
        .max_concurrent(1)
        .start()
        .await;
    let mut first = world.stream(ask("chat?tokens=100000&delay_ms=20")).await;
    first.next().await.expect("it runs");
    let reply = world
        .client()
        .post("/v1/responses", ask("chat?tokens=1"))
        .await;
    reply.error(429, None, Some("upstream_busy"));
    assert!(reply.headers.contains_key("retry-after"));
    drop(first);
    world.idle().await;
    world.create(ask("chat?tokens=1")).await;
    assert_eq!(world.upstream.stats().max_concurrent_calls, 1);
}
