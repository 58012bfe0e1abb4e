//! Keys under which responses are created.

use super::{Factory, kit::*};
use crate::{
    Engine, StoreError,
    events::EventBatch,
    responses::{CreatedUnder, Idempotency, NewResponse, Retention, Status},
};

fn under(key: &str, fingerprint: u8) -> NewResponse {
    NewResponse {
        idempotency: Some(Idempotency {
            key: key.into(),
            fingerprint: [fingerprint; 32],
        }),
        ..new_response()
    }
}

async fn background(engine: &Engine, new: NewResponse) -> Result<(), StoreError> {
    let first = EventBatch::of(["created"]);
    let job = new_job("queue");
    engine.store.create_background(new, first, job, 10).await
}

async fn find(engine: &Engine, project: &str, key: &str) -> Option<CreatedUnder> {
    engine.store.find_created(project, key).await.unwrap()
}

/// An idempotency key is taken in the same transaction. If another response has it,
/// that is a `Conflict` and nothing is stored.
pub async fn an_idempotency_key_creates_one_response(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let (first, second, third) = (under("key", 1), under("key", 1), under("key", 2));
    let ids = [&first, &second, &third].map(|new| new.id.clone());
    assert_eq!(find(&engine, PROJECT, "key").await, None);
    background(&engine, first).await.unwrap();
    assert_eq!(kind(&background(&engine, second).await), "conflict");
    let finished = engine.store.insert_finished(third, Status::Completed).await;
    assert_eq!(kind(&finished), "conflict");
    let found = CreatedUnder {
        response_id: ids[0].clone(),
        fingerprint: [1; 32],
    };
    assert_eq!(find(&engine, PROJECT, "key").await, Some(found));
    for (id, there) in ids.iter().zip(["ok", "not found", "not found"]) {
        let stored = engine.store.get_response(PROJECT, id).await;
        assert_eq!(kind(&stored), there);
    }
    assert_eq!(engine.store.job_counts().await.unwrap().queued, 1);
    // A foreground response takes its key when it is stored.
    let foreground = under("other key", 3);
    let id = foreground.id.clone();
    let stored = engine.store.insert_finished(foreground, Status::Completed);
    stored.await.unwrap();
    let found = find(&engine, PROJECT, "other key").await;
    assert_eq!(found.unwrap().response_id, id);
}

/// Each project has its own keys.
pub async fn idempotency_keys_are_the_projects_own(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    background(&engine, under("key", 1)).await.unwrap();
    assert_eq!(find(&engine, "proj_other", "key").await, None);
    let mut other = under("key", 2);
    other.project_id = "proj_other".into();
    let id = other.id.clone();
    background(&engine, other).await.unwrap();
    let found = find(&engine, "proj_other", "key").await;
    assert_eq!(found.unwrap().response_id, id);
}

/// A create that failed took no key.
pub async fn a_failed_create_takes_no_idempotency_key(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let new = under("key", 1);
    let (first, job) = (EventBatch::of(["created"]), new_job("queue"));
    let full = engine.store.create_background(new, first, job, 0).await;
    assert_eq!(kind(&full), "limit");
    assert_eq!(find(&engine, PROJECT, "key").await, None);
    background(&engine, under("key", 1)).await.unwrap();
}

/// A key outlives its response, until a sweep removes it.
pub async fn an_idempotency_key_outlives_its_response(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let new = under("key", 1);
    let id = new.id.clone();
    let stored = engine.store.insert_finished(new, Status::Completed);
    stored.await.unwrap();
    engine.store.delete_response(PROJECT, &id).await.unwrap();
    let found = find(&engine, PROJECT, "key").await;
    assert_eq!(found.unwrap().response_id, id);
    engine.store.sweep(KEEP).await.unwrap();
    assert!(find(&engine, PROJECT, "key").await.is_some());

    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let keep = Retention {
        idempotency_ms: 0,
        ..KEEP
    };
    assert_eq!(engine.store.sweep(keep).await.unwrap().keys, 1);
    assert_eq!(find(&engine, PROJECT, "key").await, None);
    background(&engine, under("key", 2)).await.unwrap();
}
