//! The wire of event streams: headers, versions, keep-alives, the end marker.

use reqwest::Method;
use serde_json::json;

use crate::{
    harness::Client,
    support::{Events, World, checked, replay_path},
};

const BODY: &str = r#"{"model":"chat?tokens=5","input":"x","stream":true}"#;

fn assert_headers(events: &Events) {
    let header = |name: &str| events.headers.get(name).and_then(|v| v.to_str().ok());
    assert_eq!(
        header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(header("cache-control"), Some("no-cache"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert!(header("x-request-id").is_some());
    assert_eq!(header("content-length"), None);
}

#[tokio::test]
async fn headers_on_both_versions() {
    let world = World::start().await;
    let client: Client = world.client();
    let post = client
        .request(Method::POST, "/v1/responses")
        .header("content-type", "application/json")
        .body(BODY);
    let mut events = Events::open(post).await;
    assert_eq!(events.version, reqwest::Version::HTTP_11);
    assert_headers(&events);
    assert_eq!(
        events.headers.get("connection").map(|v| v.as_bytes()),
        Some(&b"keep-alive"[..])
    );
    events.checked().await;

    let h2 = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .expect("a client");
    let id = world.background_streamable("chat?tokens=5").await;
    let url = |path: &str| format!("{}{path}", world.server.base_url);
    let requests = [
        h2.post(url("/v1/responses"))
            .header("content-type", "application/json")
            .body(BODY),
        h2.get(url(&replay_path(&id, None))),
    ];
    for request in requests {
        let mut events = Events::open(request.bearer_auth(&world.tenant.key)).await;
        assert_eq!(events.version, reqwest::Version::HTTP_2);
        assert_headers(&events);
        assert!(events.headers.get("connection").is_none());
        events.checked().await;
        assert!(events.done);
    }
}

#[tokio::test]
async fn silence_is_kept_alive_by_comments() {
    let world = World::builder()
        .responses("keep_alive = \"100ms\"")
        .start()
        .await;
    for background in [false, true] {
        let body = json!({"model": "chat?tokens=3&first_delay_ms=700", "input": "x",
            "background": background});
        let mut events = world.stream(body).await;
        let all = events.collect().await;
        checked(&all);
        assert!(events.comments() >= 2, "{} comments", events.comments());
    }
}

#[tokio::test]
async fn the_end_marker_can_be_left_out() {
    let world = World::builder()
        .responses("done_marker = false")
        .start()
        .await;
    for background in [false, true] {
        let body = json!({"model": "chat?tokens=3", "input": "x", "background": background});
        let mut events = world.stream(body).await;
        events.checked().await;
        assert!(!events.done);
    }
}
