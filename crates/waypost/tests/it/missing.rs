//! Routes that are not there: what is said, to whom.

use reqwest::Method;
use serde_json::json;

use crate::{harness::TestServer, support::World};

#[tokio::test]
async fn endpoints_of_the_api_that_are_not_there_are_named() {
    let server = TestServer::start().await;
    let tenant = server.project("p").await;
    let project = server.client(&tenant.key);
    for (method, path) in [
        ("POST", "/v1/responses/compact"),
        ("POST", "/v1/responses/input_tokens"),
        ("POST", "/v1/conversations"),
        ("GET", "/v1/conversations/conv_1/items"),
        ("DELETE", "/v1/conversations/conv_1"),
        ("GET", "/v1/chat/completions"),
        ("GET", "/v1/chat/completions/chatcmpl-1"),
        ("POST", "/v1/chat/completions/chatcmpl-1"),
        ("GET", "/v1/chat/completions/chatcmpl-1/messages"),
        ("DELETE", "/v1/models/a/b"),
        ("GET", "/v1/files"),
        ("GET", "/v1/files/file-1/content"),
        ("POST", "/v1/uploads/upload_1/parts"),
        ("POST", "/v1/batches"),
        ("GET", "/v1/vector_stores/vs_1/files"),
        ("POST", "/v1/webhook_endpoints/we_1/rotate_secret"),
        ("GET", "/v1/webhook_event_types"),
        ("POST", "/v1/moderations"),
        ("POST", "/v1/audio/speech"),
        ("POST", "/v1/images/generations"),
        ("POST", "/v1/realtime/client_secrets"),
        ("POST", "/v1/traces/ingest"),
        ("GET", "/v1/organization/users"),
        ("GET", "/v1/organization/usage/completions"),
        ("GET", "/v1/organization/projects/proj_1/rate_limits"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        for client in [&project, &server.admin()] {
            let reply = client.send(client.request(method.clone(), path)).await;
            let message = reply.error(404, None, Some("unsupported_endpoint"));
            assert!(
                message.contains(path) && message.contains("status table"),
                "{message}"
            );
        }
        // A bad key is told first, as everywhere.
        let stranger = server.anonymous();
        let reply = stranger.send(stranger.request(method.clone(), path)).await;
        reply.error(401, None, Some("missing_api_key"));
        let wrong = server.client("sk-wrong");
        let reply = wrong.send(wrong.request(method, path)).await;
        reply.error(401, None, Some("invalid_api_key"));
    }
    // What is there stays what it is.
    let reply = project.get("/v1/responses/compact").await;
    assert_eq!(reply.status, 404);
    let reply = project.delete("/v1/responses").await;
    reply.error(405, None, Some("method_not_allowed"));
    assert_eq!(reply.headers["allow"], "POST");
    let reply = project.post("/v1/models", json!({})).await;
    reply.error(405, None, Some("method_not_allowed"));
    assert_eq!(reply.headers["allow"], "GET,HEAD");
}

#[tokio::test]
async fn a_base_url_that_was_written_wrongly_is_told() {
    let server = TestServer::start().await;
    for (path, hint) in [
        ("/responses", "lacks /v1"),
        ("/chat/completions", "lacks /v1"),
        ("/v1/v1/responses", "/v1 twice"),
        ("/v1//responses", "two slashes"),
        ("/v1/responses/", "slash"),
    ] {
        let reply = server.anonymous().post(path, json!({})).await;
        let message = reply.error(404, None, Some("unknown_url"));
        assert!(message.contains(hint), "{path}: {message}");
    }
}

#[tokio::test]
async fn a_websocket_is_refused_so_that_clients_fall_back() {
    let world = World::start().await;
    let upgrade = |client: &crate::harness::Client| {
        client
            .request(Method::GET, "/v1/responses")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let client = world.client();
    let reply = client.send(upgrade(&client)).await;
    let message = reply.error(426, None, Some("websocket_not_supported"));
    assert!(message.contains("POST /v1/responses"), "{message}");
    assert_eq!(reply.headers["upgrade"], "HTTP/1.1");
    let stranger = world.server.anonymous();
    let reply = stranger.send(upgrade(&stranger)).await;
    reply.error(401, None, Some("missing_api_key"));
    client
        .get("/v1/responses")
        .await
        .error(405, None, Some("method_not_allowed"));
}
