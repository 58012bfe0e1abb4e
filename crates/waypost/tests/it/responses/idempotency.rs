//! `Idempotency-Key`: a create that is sent again makes no second response.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    harness::{Client, Reply},
    support::{Events, World, checked, id_of, output_text, until},
};

const PATH: &str = "/v1/responses";

fn create(client: &Client, key: &str, body: &Value) -> RequestBuilder {
    let request = client.request(Method::POST, PATH).json(body);
    request.header("Idempotency-Key", key)
}

async fn send(world: &World, key: &str, body: &Value) -> Reply {
    let client = world.client();
    client.send(create(&client, key, body)).await
}

async fn events(world: &World, key: &str, body: &Value) -> Events {
    Events::open(create(&world.client(), key, body)).await
}

fn ask(model: &str, more: &Value) -> Value {
    let mut body = json!({"model": model, "input": "x"});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

#[tokio::test]
async fn a_background_response_is_created_once_also_after_a_crash() {
    let mut world = World::start().await;
    let body = ask("chat?tokens=3", &json!({"background": true}));
    let first = send(&world, "key-1", &body).await.ok();
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let id = id_of(&first.json);
    let again = send(&world, "key-1", &body).await.ok();
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(id_of(&again.json), id);

    world.server.kill9().await;
    world.server.restart().await;
    let ended = world.ended(&id).await;
    assert_eq!(ended["status"], "completed");
    // As it is now, not as it was.
    let again = send(&world, "key-1", &body).await.ok();
    assert_eq!(again.json, ended);

    let other = ask("chat?tokens=4", &json!({"background": true}));
    let refused = send(&world, "key-1", &other).await;
    refused.error(409, None, Some("idempotency_key_reused"));
    assert_eq!(refused.headers["x-should-retry"], "false");
    let second = send(&world, "key-2", &body).await.ok();
    assert_ne!(id_of(&second.json), id);

    // A key outlives its response: to repeat the request starts nothing.
    let path = format!("{PATH}/{id}");
    world.client().delete(&path).await.ok();
    let gone = send(&world, "key-1", &body).await;
    let message = gone.error(409, None, Some("idempotency_response_gone"));
    assert!(message.contains(&id), "{message}");
}

#[tokio::test]
async fn a_background_stream_begins_again_at_its_first_event() {
    let world = World::start().await;
    let more = json!({"background": true, "stream": true});
    let body = ask("chat?tokens=12&delay_ms=20", &more);
    let mut first = events(&world, "key", &body).await;
    for _ in 0..4 {
        first.next().await.expect("an event");
    }
    // Its connection is lost, and the SDK sends the request again.
    drop(first);
    let mut again = events(&world, "key", &body).await;
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let response = again.checked().await;
    assert_eq!(response["status"], "completed");
    let all = world.replay(&id_of(&response), None).await.checked().await;
    assert_eq!(all, response);
    assert_eq!(world.upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_foreground_response_is_run_once() {
    let world = World::start().await;
    let tool = json!({"type": "function", "name": "get_weather", "parameters": {"type": "object",
        "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": false}});
    for (n, (model, more)) in [
        ("chat?tokens=5&reasoning_tokens=3", json!({})),
        (
            "chat?tools=1&tokens=3",
            json!({"tools": [tool], "tool_choice": "required"}),
        ),
        ("chat?tokens=5&finish_reason=length", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let body = ask(model, &more);
        let key = format!("whole-{n}");
        let first = send(&world, &key, &body).await.ok();
        let asked = world.upstream.requests().len();
        let again = send(&world, &key, &body).await.ok();
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(again.json, first.json, "{model}");
        assert_eq!(world.upstream.requests().len(), asked, "{model}");

        let mut body = body;
        body["stream"] = json!(true);
        send(&world, &key, &body)
            .await
            .error(409, None, Some("idempotency_key_reused"));
        let key = format!("streamed-{n}");
        let first = events(&world, &key, &body).await.checked().await;
        let asked = world.upstream.requests().len();
        let mut again = events(&world, &key, &body).await;
        assert_eq!(again.headers["idempotent-replayed"], "true");
        let told = again.collect().await;
        assert!(again.done);
        // The checker compares each delta and item with the final output.
        assert_eq!(checked(&told), first, "{model}");
        assert_eq!(world.upstream.requests().len(), asked, "{model}");
    }
}

#[tokio::test]
async fn a_key_is_busy_while_its_response_runs_and_free_when_that_came_to_nothing() {
    let world = World::start().await;
    for stream in [false, true] {
        let body = ask(
            "chat?tokens=100000&delay_ms=20",
            &json!({"stream": stream, "store": false}),
        );
        let client = world.client();
        let request = create(&client, "key", &body);
        let running = tokio::spawn(async move {
            let answer = request.send().await.expect("an answer");
            answer.bytes().await
        });
        until("it runs", async || {
            world.upstream.stats().active_streams == 1
        })
        .await;
        let refused = send(&world, "key", &body).await;
        refused.error(409, None, Some("idempotency_key_running"));
        assert_eq!(refused.headers["retry-after"], "1");
        let other = ask("chat?tokens=1", &json!({"stream": stream}));
        let refused = send(&world, "key", &other).await;
        refused.error(409, None, Some("idempotency_key_reused"));
        // Not even one that would run beside it.
        let beside = ask("chat?tokens=1", &json!({"background": true}));
        let refused = send(&world, "key", &beside).await;
        refused.error(409, None, Some("idempotency_key_reused"));
        // The client leaves; the next one may have the key.
        running.abort();
        world.idle().await;
        until("the key is free", async || {
            let next = ask("chat?tokens=1", &json!({"store": false}));
            send(&world, "key", &next).await.status == 200
        })
        .await;
    }
    // A model server that failed before anything was said: to try again helps.
    let failing = ask("chat?status=500", &json!({}));
    for _ in 0..2 {
        let reply = send(&world, "other", &failing).await;
        reply.error(502, None, Some("upstream_error"));
    }
}

#[tokio::test]
async fn racing_creates_of_one_key_make_one_response() {
    let world = World::start().await;
    let body = ask("chat?tokens=2", &json!({"background": true}));
    let client = world.client();
    for round in 0..10 {
        let key = format!("race-{round}");
        let racing = (0..16).map(|_| client.send(create(&client, &key, &body)));
        let mut ids: Vec<String> = futures::future::join_all(racing)
            .await
            .into_iter()
            .map(|reply| id_of(&reply.ok().json))
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 1);
        assert_eq!(output_text(&world.ended(&ids[0]).await), "0 1 ");
    }
}

#[tokio::test]
async fn keys_belong_to_a_project_and_bad_ones_are_refused() {
    let world = World::start().await;
    let body = ask("chat?tokens=1", &json!({"background": true}));
    let mine = id_of(&send(&world, "key", &body).await.ok().json);
    let tenant = world.server.project("another").await;
    let client = world.server.client(&tenant.key);
    let theirs = client.send(create(&client, "key", &body)).await.ok();
    assert_ne!(id_of(&theirs.json), mine);
    let long = "x".repeat(256);
    for bad in ["", "two words", long.as_str()] {
        let refused = send(&world, bad, &body).await;
        refused.error(400, None, Some("invalid_idempotency_key"));
    }
}
