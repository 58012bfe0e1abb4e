//! Embeddings and legacy completions: passed on, with everything around them.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};
use waypost_testkit::ScriptedUpstream;

use crate::{harness::TestServer, support::World};

const EMBEDDINGS: &str = "/v1/embeddings";
const COMPLETIONS: &str = "/v1/completions";

fn floats(embedding: &Value) -> Vec<f32> {
    if let Some(text) = embedding.as_str() {
        let bytes = STANDARD.decode(text).expect("base64");
        let (floats, rest) = bytes.as_chunks::<4>();
        assert!(rest.is_empty());
        return floats.iter().copied().map(f32::from_le_bytes).collect();
    }
    serde_json::from_value(embedding.clone()).expect("numbers")
}

#[tokio::test]
async fn embeddings_come_in_the_encoding_that_was_asked_for() {
    let world = World::start().await;
    // It heeds the field, it never sends base64, it always does.
    for model in ["obeys", "floats", "encodes", "native-floats"] {
        for (format, is_text) in [
            (Some("base64"), true),
            (Some("float"), false),
            (None, false),
        ] {
            let mut body = json!({"model": model, "input": ["a", "b", "c"], "dimensions": 4});
            if let Some(format) = format {
                body["encoding_format"] = json!(format);
            }
            let answer = world.client().post(EMBEDDINGS, body.clone()).await.ok();
            assert_eq!(
                world.last_request(),
                body,
                "the request goes through untouched"
            );
            assert_eq!(answer.headers["content-type"], "application/json");
            assert_eq!(answer.json["model"], model);
            assert_eq!(answer.json["usage"]["prompt_tokens"], 3);
            let data = answer.json["data"].as_array().expect("data");
            assert_eq!(data.len(), 3);
            for (index, item) in data.iter().enumerate() {
                assert_eq!(item["index"], index);
                assert_eq!(item["object"], "embedding");
                let embedding = &item["embedding"];
                assert_eq!(
                    embedding.is_string(),
                    is_text,
                    "{model} {format:?}: {embedding}"
                );
                assert_eq!(floats(embedding), [index as f32, 0.1, -0.5, 1e-7]);
            }
        }
    }
    let answer = world
        .client()
        .post(
            EMBEDDINGS,
            json!({"model": "floats", "input": "a", "encoding_format": "int8"}),
        )
        .await
        .ok();
    assert!(
        answer.json["data"][0]["embedding"].is_array(),
        "a server's own format is its own"
    );
}

#[tokio::test]
async fn completions_go_through_untouched() {
    let world = World::start().await;
    for stream in [false, true] {
        for query in ["tokens=5", "status=400", "status=429&retry_after=3"] {
            let body = json!({"model": format!("chat?{query}"), "prompt": "x", "stream": stream,
                "best_of": 2, "stream_options": {"include_usage": true}, "vendor": [1, 2.5]});
            let url = format!("{}/completions", world.upstream.base_url());
            let direct = reqwest::Client::new().post(url).json(&body).send().await;
            let direct = direct.expect("an answer");
            let status = direct.status().as_u16();
            let expected = direct.text().await.expect("a body");
            let got = world.client().post(COMPLETIONS, body.clone()).await;
            assert_eq!(got.status, status, "{query}");
            assert_eq!(
                without_clock(&got.text),
                without_clock(&expected),
                "{query}"
            );
            assert_eq!(world.last_request(), body);
            if status == 429 {
                assert_eq!(got.headers["retry-after"], "3");
            }
        }
    }
}

fn without_clock(text: &str) -> String {
    let mut parts = text.split("\"created\":");
    let first = parts.next().unwrap_or_default().to_owned();
    let digit = |c: char| c.is_ascii_digit();
    parts.fold(first, |out, part| out + part.trim_start_matches(digit))
}

#[tokio::test]
async fn they_are_guarded_as_chat_is() {
    let world = World::start().await;
    let server = &world.server;
    for path in [EMBEDDINGS, COMPLETIONS] {
        let body = json!({"model": "chat", "input": "x", "prompt": "x"});
        let reply = server.anonymous().post(path, body.clone()).await;
        reply.error(401, None, Some("missing_api_key"));
        let reply = server.admin().post(path, body.clone()).await;
        reply.error(403, None, Some("project_key_required"));
        for (wrong, param, code) in [
            (json!({"input": "x"}), "model", "missing_required_parameter"),
            (json!({"model": 5, "input": "x"}), "model", "invalid_type"),
            // Ollama would serve the other one.
            (
                json!({"model": "a", "Model": "b", "input": "x"}),
                "Model",
                "unknown_parameter",
            ),
        ] {
            let reply = world.client().post(path, wrong).await;
            reply.error(400, Some(param), Some(code));
        }
        let request = world.client().request(Method::POST, path);
        let twice = r#"{"model": "a", "model": "b"}"#;
        let request = request
            .header("content-type", "application/json")
            .body(twice);
        assert_eq!(world.client().send(request).await.status, 400);
        for query in ["status=401", "status=403", "html_body=1", "status=302"] {
            let body = json!({"model": format!("chat?{query}"), "input": "x", "prompt": "x"});
            let reply = world.client().post(path, body).await;
            reply.error(502, None, Some("upstream_error"));
        }
    }
}

#[tokio::test]
async fn a_model_that_nobody_serves_is_a_404() {
    let upstream = ScriptedUpstream::start().await.expect("one");
    let config = format!(
        "[[upstreams]]\nname = \"only\"\nbase_url = \"{}\"\nmodels = [\"known\"]\n",
        upstream.base_url()
    );
    let server = TestServer::builder().config(&config).start().await;
    let tenant = server.project("p").await;
    for path in [EMBEDDINGS, COMPLETIONS] {
        let body = json!({"model": "other", "input": "x", "prompt": "x"});
        let reply = server.client(&tenant.key).post(path, body).await;
        reply.error(404, Some("model"), Some("model_not_found"));
    }
}

#[tokio::test]
async fn they_wait_for_a_slot_and_are_told_when_there_is_none() {
    let world = World::builder()
        .max_concurrent(1)
        .responses("queue_timeout = \"100ms\"")
        .start()
        .await;
    let client = world.client();
    let slow = tokio::spawn(async move {
        let body = json!({"model": "chat?slow_headers_ms=1500", "input": "x"});
        client.post(EMBEDDINGS, body).await.ok()
    });
    crate::support::until("the slot is taken", async || {
        !world.upstream.requests().is_empty()
    })
    .await;
    for path in [EMBEDDINGS, COMPLETIONS] {
        let body = json!({"model": "chat", "input": "x", "prompt": "x"});
        let reply = world.client().post(path, body).await;
        reply.error(429, None, Some("upstream_busy"));
    }
    slow.await.expect("an answer");
    let body = json!({"model": "chat", "prompt": "x"});
    world.client().post(COMPLETIONS, body).await.ok();
}

#[tokio::test]
async fn their_tokens_and_times_are_counted() {
    let world = World::start().await;
    let client = world.client();
    let body = json!({"model": "floats", "input": ["a", "b"], "encoding_format": "base64"});
    client.post(EMBEDDINGS, body).await.ok();
    let body = json!({"model": "chat?tokens=5", "prompt": "x"});
    client.post(COMPLETIONS, body).await.ok();
    let text = world.server.anonymous().get("/metrics").await.ok().text;
    let project = &world.tenant.project_id;
    for line in [
        format!(
            r#"waypost_tokens_total{{project="{project}",upstream="chat",model="floats",direction="input"}} 2"#
        ),
        format!(
            r#"waypost_tokens_total{{project="{project}",upstream="chat",model="chat?tokens=5",direction="output"}} 5"#
        ),
        r#"waypost_upstream_request_seconds_count{upstream="chat",model="floats"} 1"#.to_owned(),
        r#"waypost_http_requests_total{route="/v1/embeddings",method="POST",status="200"} 1"#
            .to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}
