//! What the contract promises of every method.

use std::{task::Poll, time::Duration};

use super::{Factory, kit::*};
use crate::{
    audit::AuditFilter,
    directory::{KeyOwner, Revocation, SealedSigningKey},
    events::EventBatch,
    responses::{NewResponse, Status},
    store::StoreSize,
};

/// A change is durable when its future resolves to `Ok`.
pub async fn what_resolved_survives_reopening(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let project = project(&engine).await;
    let account = account(&engine, &project.id).await;
    let key = (engine.store)
        .create_key(new_key(owner_of(&account)), draft("api_key.created"))
        .await
        .unwrap();
    let provider = provider(&engine, "provider").await;
    let rule = (engine.store)
        .create_rule(new_rule(&provider, &account, Some("rule")), draft("rule"))
        .await
        .unwrap();
    let revocation = Revocation {
        jti: "jti".into(),
        expires_at: i64::MAX / 4,
    };
    (engine.store)
        .revoke_token(revocation.clone())
        .await
        .unwrap();
    let signing_key = SealedSigningKey {
        kid: "kid".into(),
        sealed: vec![0, 255],
        created_at: 5,
        sign_from: 6,
    };
    (engine.store)
        .add_signing_key(signing_key.clone())
        .await
        .unwrap();
    let done = finished(&engine).await;
    let waiting = queued(&engine, "queue").await;
    let audit = audit_log(&engine).await.len();
    let version = engine.store.directory_version().await.unwrap();

    let Some(engine) = factory.reopen(engine).await else {
        return;
    };
    let directory = engine.store.load_directory().await.unwrap();
    assert_eq!(directory.version, version);
    assert_eq!(directory.projects, [project]);
    assert_eq!(directory.service_accounts, [account]);
    assert_eq!(directory.keys, [key]);
    assert_eq!(directory.providers, [provider]);
    assert_eq!(directory.rules, [rule]);
    assert_eq!(directory.revocations, [revocation]);
    assert!(directory.signing_keys == [signing_key]);
    assert_eq!(audit_log(&engine).await.len(), audit);
    assert_eq!(log(&engine, &done).await, ["created", "delta", "completed"]);
    let response = engine.store.get_response(PROJECT, &done).await.unwrap();
    assert_eq!(response.status, Status::Completed);
    let claimed = claim(&engine, "queue", 9, LONG).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].lease.response_id, waiting);
    assert!(!claimed[0].taken_over);
}

/// One call is one transaction: all of it happens or none of it. Its failure affects
/// no other call.
pub async fn a_failing_call_disturbs_nobody(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let taken = finished(&engine).await;
    let before = audit_log(&engine).await.len();
    let calls: Vec<_> = (0..300)
        .map(|n| {
            let (engine, taken) = (engine.clone(), taken.clone());
            tokio::spawn(async move {
                match n % 3 {
                    0 => {
                        let new = new_project(&n.to_string());
                        let made = engine.store.create_project(new, draft("project.created"));
                        made.await.unwrap();
                    }
                    1 => {
                        // Fails after its first statements.
                        let mut new = new_response();
                        new.input.clear();
                        let (id, first) = (new.id.clone(), EventBatch::of(["created"]));
                        let made = (engine.store).create_background(new, first, new_job("q"), 0);
                        assert_eq!(kind(&made.await), "limit");
                        let half = engine.store.get_response(PROJECT, &id).await;
                        assert_eq!(kind(&half), "not found");
                    }
                    _ => {
                        let mut new = new_response();
                        new.id = taken;
                        let made = engine.store.insert_finished(new, Status::Completed);
                        assert_eq!(kind(&made.await), "conflict");
                    }
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    let directory = engine.store.load_directory().await.unwrap();
    assert_eq!(directory.projects.len(), 100);
    assert_eq!(directory.version, 100);
    assert_eq!(audit_log(&engine).await.len(), before + 100);
    assert_eq!(engine.store.job_counts().await.unwrap().queued, 0);
    assert_eq!(log(&engine, &taken).await.len(), 3);
}

/// Dropping the future does not undo the call: the store may still commit it.
pub async fn dropping_the_future_does_no_harm(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    for n in 0..200_u64 {
        let new = new_project(&n.to_string());
        let mut call = engine.store.create_project(new, draft("project.created"));
        // Poll the future a few times, then drop it.
        for _ in 0..n % 4 {
            let polled = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
            if polled.is_ready() {
                break;
            }
            tokio::time::sleep(Duration::from_micros(n * 10)).await;
        }
    }
    // Each change happened in whole or not at all.
    project(&engine).await;
    let directory = engine.store.load_directory().await.unwrap();
    let events = audit_log(&engine).await;
    assert_eq!(directory.projects.len(), events.len());
    for project in directory.projects {
        let its = |id: &Option<String>| id.as_ref() == Some(&project.id);
        assert!(events.iter().any(|entry| its(&entry.event.resource_id)));
    }
}

/// Reads see every change whose future resolved before the read began.
pub async fn reads_see_what_resolved_before(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    let made = project(&engine).await;
                    let reader = engine.clone();
                    let read = tokio::spawn(async move {
                        assert_eq!(reader.store.get_project(&made.id).await.unwrap(), made);
                        let filter = AuditFilter {
                            resource_ids: vec![made.id],
                            ..AuditFilter::default()
                        };
                        let events = reader.store.list_audit(filter, page(10)).await.unwrap();
                        assert_eq!(events.items.len(), 1);
                    });
                    read.await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// A closed store finishes the calls that it accepted. Later calls are `Unavailable`.
pub async fn a_closed_store_is_unavailable(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let new = new_key(KeyOwner::Organization);
                let made = engine.store.create_key(new, draft("api_key.created")).await;
                assert!(matches!(kind(&made), "ok" | "unavailable"), "{made:?}");
            })
        })
        .collect();
    engine.store.close().await;
    for call in calls {
        call.await.unwrap();
    }
    let new = new_project("late");
    let write = engine.store.create_project(new, draft("project.created"));
    assert_eq!(kind(&write.await), "unavailable");
    let read = engine.store.directory_version().await;
    assert_eq!(kind(&read), "unavailable");
    assert_eq!(kind(&engine.store.check().await), "unavailable");
    engine.store.close().await;
}

/// A store grows with its rows, and removed rows leave free bytes.
pub async fn a_store_knows_its_size(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let empty = engine.store.size().await.unwrap();
    assert!(
        empty.bytes > 0 && empty.free_bytes <= empty.bytes,
        "{empty:?}"
    );
    let large = NewResponse {
        body: format!("{{\"x\":\"{}\"}}", "x".repeat(1_000_000)),
        ..new_response()
    };
    let (project, id) = (large.project_id.clone(), large.id.clone());
    engine
        .store
        .insert_finished(large, Status::Completed)
        .await
        .unwrap();
    let full = engine.store.size().await.unwrap();
    assert!(full.bytes >= empty.bytes + 1_000_000, "{empty:?} {full:?}");
    engine.store.delete_response(&project, &id).await.unwrap();
    let freed = engine.store.size().await.unwrap();
    let kept = |size: StoreSize| size.bytes - size.free_bytes;
    assert!(kept(full) >= kept(freed) + 900_000, "{full:?} {freed:?}");
}

/// `check` is `Ok` while the store can read and write.
pub async fn a_working_store_says_so(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    engine.store.check().await.unwrap();
    engine.store.check().await.unwrap();
    assert_eq!(engine.store.directory_version().await.unwrap(), 0);
}
