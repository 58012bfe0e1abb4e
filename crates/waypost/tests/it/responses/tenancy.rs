//! Another project's response is not there at all.

use serde_json::json;

use crate::support::{World, replay_path};

#[tokio::test]
async fn another_projects_response_is_not_found() {
    let world = World::start().await;
    let id = world.background_streamable("chat?tokens=2").await;
    world.ended(&id).await;
    let other = world.server.project("other").await;
    let stranger = world.server.client(&other.key);
    let path = format!("/v1/responses/{id}");
    let cancel = format!("{path}/cancel");
    let missing = format!("Response with id '{id}' not found.");
    for reply in [
        stranger.get(&path).await,
        stranger.get(&replay_path(&id, None)).await,
        stranger.get(&replay_path(&id, Some(1))).await,
        stranger.get(&format!("{path}/input_items")).await,
        stranger.post(&cancel, json!({})).await,
        stranger.delete(&path).await,
    ] {
        assert_eq!(reply.error(404, None, None), missing);
    }
    world.get(&id).await.ok();
}

#[tokio::test]
async fn credentials_of_the_wrong_kind_or_none() {
    let world = World::start().await;
    let body = json!({"model": "chat", "input": "x"});
    let nobody = world
        .server
        .anonymous()
        .post("/v1/responses", body.clone())
        .await;
    assert_eq!(nobody.status, 401, "{}", nobody.text);
    let unknown = world
        .server
        .client("sk-svcacct-unknown")
        .post("/v1/responses", body.clone())
        .await;
    assert_eq!(unknown.status, 401, "{}", unknown.text);
    let admin = world.server.admin().post("/v1/responses", body).await;
    assert_eq!(admin.status, 403, "{}", admin.text);
    assert_eq!(world.upstream.requests().len(), 0);
}
