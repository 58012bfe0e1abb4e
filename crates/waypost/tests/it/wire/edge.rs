//! What is answered before any feature: addresses, methods, credentials, bodies.

use reqwest::Method;
use serde_json::json;

use super::Tape;
use crate::support::World;

#[tokio::test]
async fn edges() {
    let world = World::start().await;
    let mut tape = Tape::of("edge", &world);
    let (client, nobody) = (world.client(), world.server.anonymous());
    let responses = "/v1/responses";

    for path in [
        "/",
        "/healthz",
        "/readyz",
        "/nothing",
        "/v1/nothing",
        "/v1/files",
    ] {
        tape.get(&nobody, path).await;
    }
    for path in [
        "/v1/models",
        "/v1/models/chat",
        "/v1/models/none",
        "/v1/files",
        "/v1/batches",
    ] {
        tape.get(&client, path).await;
    }
    tape.delete(&client, responses).await;
    tape.post(&nobody, responses, json!({})).await;
    tape.post(
        &world.server.client("sk-svcacct-wrong"),
        responses,
        json!({}),
    )
    .await;
    tape.post(
        &world.server.client("eyJhbGciOiJub25lIn0.e30.x"),
        responses,
        json!({}),
    )
    .await;
    tape.post(&world.server.admin(), responses, json!({})).await;
    tape.get(&client, "/v1/organization/projects").await;
    for body in [
        "",
        "{",
        "[]",
        "5",
        "{\"model\": 5}",
        "{\"model\": \"m\", \"model\": \"n\"}",
    ] {
        tape.send(&client, Method::POST, responses, Some(body), &[])
            .await;
        tape.send(
            &client,
            Method::POST,
            "/v1/chat/completions",
            Some(body),
            &[],
        )
        .await;
    }
    let project = [("openai-project", "proj_other")];
    tape.send(&client, Method::GET, "/v1/models", None, &project)
        .await;
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    tape.send(&client, Method::GET, responses, None, &upgrade)
        .await;
    for path in [
        "/v1/responses/compact",
        "/v1/responses/input_tokens",
        "/v1/conversations",
    ] {
        tape.post(&client, path, json!({})).await;
    }
    for path in ["/v1/embeddings", "/v1/completions"] {
        let body = json!({"model": "chat?tokens=3", "input": "a", "prompt": "a"});
        tape.post(&client, path, body).await;
        tape.post(&client, path, json!({"input": "a"})).await;
    }
    // Its values are a matter of time and of the machine.
    tape.get_names(&nobody, "/metrics").await;
    tape.compare();
}
