//! Deleting: not in flight, and then wholly.

use serde_json::json;

use crate::support::{World, id_of, replay_path};

#[tokio::test]
async fn it_is_gone_wholly() {
    let world = World::start().await;
    let client = world.client();
    let model = "chat?tokens=2";
    let foreground = id_of(&world.create(json!({"model": model, "input": "x"})).await);
    let background = world.background_streamable(model).await;
    world.ended(&background).await;
    for id in [foreground, background] {
        let path = format!("/v1/responses/{id}");
        let reply = client.delete(&path).await.ok();
        assert_eq!(
            reply.json,
            json!({"id": id, "object": "response.deleted", "deleted": true})
        );
        let missing = format!("Response with id '{id}' not found.");
        for reply in [
            client.get(&path).await,
            client.get(&replay_path(&id, None)).await,
            client.delete(&path).await,
            client.get(&format!("{path}/input_items")).await,
            client.post(&format!("{path}/cancel"), json!({})).await,
        ] {
            assert_eq!(reply.error(404, None, None), missing);
        }
    }
}

#[tokio::test]
async fn not_in_flight() {
    let world = World::builder().max_concurrent(1).start().await;
    let client = world.client();
    let model = "chat?tokens=100000&delay_ms=10";
    let running = world.background(model).await;
    world.running(&running).await;
    let waiting = world.background(model).await;
    for id in [&running, &waiting] {
        let path = format!("/v1/responses/{id}");
        let message = client.delete(&path).await.error(400, None, None);
        assert_eq!(message, "Cannot delete an in-flight response.");
        client.get(&path).await.ok();
    }
    for id in [&waiting, &running] {
        let path = format!("/v1/responses/{id}");
        client.post(&format!("{path}/cancel"), json!({})).await.ok();
        client.delete(&path).await.ok();
        client.get(&path).await.error(404, None, None);
    }
    world.idle().await;
}
