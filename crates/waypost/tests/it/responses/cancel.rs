//! Cancelling: every state with its exact answer.

use serde_json::{Value, json};

use crate::{
    harness::Reply,
    support::{World, checked, id_of, until},
};

async fn cancel(world: &World, id: &str) -> Reply {
    let path = format!("/v1/responses/{id}/cancel");
    world.client().post(&path, json!({})).await
}

#[tokio::test]
async fn running_and_waiting_ones() {
    let world = World::builder().max_concurrent(1).start().await;
    let model = "chat?tokens=100000&delay_ms=10";
    let running = world.background_streamable(model).await;
    world.running(&running).await;
    let mut reader = world.replay(&running, None).await;
    let waiting = world.background_streamable(model).await;
    for id in [&waiting, &running] {
        let first = cancel(&world, id).await.ok();
        assert_eq!(first.json["status"], "cancelled");
        assert_eq!(first.json["output"], json!([]));
        assert_eq!(first.json["error"], Value::Null);
        assert_eq!(first.json["completed_at"], Value::Null);
        // Again, and again by GET: the same.
        assert_eq!(cancel(&world, id).await.ok().json, first.json);
        assert_eq!(world.get(id).await.ok().json, first.json);
        let events = world.replay(id, None).await.collect().await;
        assert_eq!(checked(&events), first.json);
        assert_eq!(events.last().expect("one")["type"], "response.failed");
    }
    // The reader that was there got the end, too.
    assert_eq!(reader.checked().await["status"], "cancelled");
    assert!(reader.done);
    until("the model server is left", async || {
        world.upstream.stats().active_streams == 0
    })
    .await;
    // The slot is free again.
    let next = world.background("chat?tokens=2").await;
    assert_eq!(world.ended(&next).await["status"], "completed");
    assert_eq!(
        world.upstream.stats().models[model],
        1,
        "the waiting one never ran"
    );
}

#[tokio::test]
async fn ended_ones_say_so() {
    let world = World::start().await;
    for (model, status, message) in [
        (
            "chat?tokens=2",
            "completed",
            "Cannot cancel a completed response.",
        ),
        (
            "chat?status=400",
            "failed",
            "Cannot cancel a failed response.",
        ),
        (
            "chat?finish_reason=length",
            "incomplete",
            "Cannot cancel a response in terminal state.",
        ),
    ] {
        let id = world.background(model).await;
        assert_eq!(world.ended(&id).await["status"], status);
        assert_eq!(cancel(&world, &id).await.error(400, None, None), message);
        assert_eq!(world.get(&id).await.ok().json["status"], status);
    }
    let foreground = world
        .create(json!({"model": "chat?tokens=2", "input": "x"}))
        .await;
    assert_eq!(
        cancel(&world, &id_of(&foreground))
            .await
            .error(400, None, None),
        "Cannot cancel a synchronous response."
    );
    assert_eq!(
        cancel(&world, "resp_nothing").await.error(404, None, None),
        "Response with id 'resp_nothing' not found."
    );
}
