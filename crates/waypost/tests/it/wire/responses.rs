//! The Responses API: answers, streams, and what becomes of them.

use reqwest::Method;
use serde_json::{Value, json};

use super::Tape;
use crate::support::{World, id_of, until};

#[tokio::test]
async fn answers() {
    let world = World::start().await;
    let mut tape = Tape::of("responses", &world);
    let client = world.client();
    let path = "/v1/responses";
    for kind in ["chat", "native"] {
        for (script, extra) in [
            ("tokens=4", json!({})),
            (
                "tokens=4",
                json!({"store": false, "instructions": "be brief", "metadata": {"a": "b"}}),
            ),
            (
                "tokens=3&reasoning_tokens=3",
                json!({"reasoning": {"effort": "low", "summary": "auto"}}),
            ),
            (
                "tokens=3&logprobs=1",
                json!({"include": ["message.output_text.logprobs"], "top_logprobs": 2}),
            ),
            (
                "tokens=3&finish_reason=length",
                json!({"max_output_tokens": 16}),
            ),
            ("tokens=3&usage=0", json!({})),
            ("refusal=I+will+not.", json!({})),
            (
                "say={\"a\":1}",
                json!({"text": {"format": {"type": "json_object"}}, "input": "json"}),
            ),
            ("status=400", json!({})),
            ("status=401", json!({})),
            ("status=429&retry_after=7", json!({})),
            ("status=500", json!({})),
            ("error_after=2", json!({})),
            ("cut_after=2", json!({})),
        ] {
            for stream in [false, true] {
                let mut body = json!({"model": format!("{kind}?{script}"), "input": "go",
                    "stream": stream});
                for (name, value) in extra.as_object().expect("fields") {
                    body[name] = value.clone();
                }
                tape.post(&client, path, body).await;
            }
        }
    }
    refused(&world, &mut tape).await;
    turns(&world, &mut tape).await;
    tape.compare();
}

async fn refused(world: &World, tape: &mut Tape) {
    let client = world.client();
    for body in [
        json!({}),
        json!({"model": "chat"}),
        json!({"model": "chat", "input": 5}),
        json!({"model": "chat", "input": [{"type": "nonsense"}]}),
        json!({"model": "chat", "input": "x", "temperature": "warm"}),
        json!({"model": "chat", "input": "x", "temperature": 9}),
        json!({"model": "chat", "input": "x", "unheard_of": 1}),
        json!({"model": "chat", "input": "x", "background": true, "store": false, "stream": 1}),
        json!({"model": "chat", "input": "x", "previous_response_id": "resp_none"}),
        json!({"model": "chat", "input": [{"type": "item_reference", "id": "msg_none"}]}),
        json!({"model": "chat", "input": [{"type": "message", "role": "user",
            "content": [{"type": "input_file", "file_id": "file-1"}]}]}),
        json!({"model": "chat", "input": "x", "include": ["everything"]}),
        json!({"model": "chat", "input": "x", "metadata": {"k": 5}}),
        json!({"model": "chat", "input": "x", "prompt": {"id": "pmpt_1"}}),
        json!({"model": "chat", "input": "x", "conversation": "conv_1"}),
    ] {
        tape.post(&client, "/v1/responses", body).await;
    }
    for path in [
        "/v1/responses/resp_none",
        "/v1/responses/%20",
        "/v1/responses/resp_none/input_items",
    ] {
        tape.get(&client, path).await;
    }
    tape.post(&client, "/v1/responses/resp_none/cancel", json!({}))
        .await;
    tape.delete(&client, "/v1/responses/resp_none").await;
}

/// What follows an answer, and what background mode adds.
async fn turns(world: &World, tape: &mut Tape) {
    let client = world.client();
    let path = "/v1/responses";
    let body = json!({"model": "chat?tokens=3", "input": [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "input_text", "text": "go"},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}]}]});
    let first = tape.post(&client, path, body).await.ok().json;
    let id = id_of(&first);
    let item = first["output"][0]["id"].as_str().expect("an item");
    let next = json!({"model": "chat?tokens=3", "input": "more", "previous_response_id": id});
    tape.post(&client, path, next).await;
    let referring = json!({"model": "native?tokens=3", "input": [
        {"type": "item_reference", "id": item}, {"role": "user", "content": "more"}]});
    tape.post(&client, path, referring).await;
    let one = format!("{path}/{id}");
    tape.get(&client, &one).await;
    tape.get(&client, &format!("{one}?stream=true")).await;
    tape.get(&client, &format!("{one}?include[]=everything"))
        .await;
    tape.get(&client, &format!("{one}/input_items")).await;
    tape.get(&client, &format!("{one}/input_items?limit=1&order=asc"))
        .await;
    tape.get(&client, &format!("{one}/input_items?limit=0"))
        .await;
    tape.post(&client, &format!("{one}/cancel"), json!({}))
        .await;
    tape.delete(&client, &one).await;
    tape.get(&client, &one).await;

    let key = [("idempotency-key", "one")];
    let body = json!({"model": "chat?tokens=3", "input": "once"}).to_string();
    for _ in 0..2 {
        tape.send(&client, Method::POST, path, Some(&body), &key)
            .await;
    }
    let other = json!({"model": "chat?tokens=3", "input": "other"}).to_string();
    tape.send(&client, Method::POST, path, Some(&other), &key)
        .await;
    let key = [("idempotency-key", "")];
    tape.send(&client, Method::POST, path, Some(&other), &key)
        .await;

    for kind in ["chat", "native"] {
        for script in ["tokens=4", "tokens=3&reasoning_tokens=2", "status=400"] {
            let model = format!("{kind}?{script}");
            let body = json!({"model": model, "input": "go", "background": true});
            let polled = tape.post(&client, path, body).await.ok().json;
            let polled = id_of(&polled);
            world.ended(&polled).await;
            tape.get(&client, &format!("{path}/{polled}")).await;
            tape.get(&client, &format!("{path}/{polled}?stream=true"))
                .await;
            let body = json!({"model": model, "input": "go", "background": true, "stream": true});
            let streamed = tape.post(&client, path, body).await;
            let id = streamed_id(&streamed.text);
            for after in [
                "",
                "&starting_after=3",
                "&starting_after=1000",
                "&starting_after=x",
            ] {
                tape.get(&client, &format!("{path}/{id}?stream=true{after}"))
                    .await;
            }
            tape.post(&client, &format!("{path}/{id}/cancel"), json!({}))
                .await;
        }
    }
    let body = json!({"model": "chat?slow_headers_ms=60000", "input": "go", "background": true});
    let stuck = id_of(&client.post(path, body).await.ok().json);
    until("it is at the model server", async || {
        world.upstream.stats().active_calls > 0
    })
    .await;
    tape.post(&client, &format!("{path}/{stuck}/cancel"), json!({}))
        .await;
    tape.post(&client, &format!("{path}/{stuck}/cancel"), json!({}))
        .await;
    tape.get(&client, &format!("{path}/{stuck}")).await;
}

fn streamed_id(stream: &str) -> String {
    let data = stream.lines().find_map(|line| line.strip_prefix("data: "));
    let created: Value = serde_json::from_str(data.expect("an event")).expect("JSON");
    id_of(&created["response"])
}
