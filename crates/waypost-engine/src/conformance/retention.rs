//! The sweep.

use std::time::Duration;

use super::{Factory, kit::*};
use crate::{
    Engine,
    directory::Revocation,
    events::EventBatch,
    responses::{Retention, Status, Swept},
};

async fn sweep_all(engine: &Engine, keep: Retention) -> Swept {
    // With zero retention, everything that has ended is past its time.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut all = Swept::default();
    loop {
        let swept = engine.store.sweep(keep).await.unwrap();
        if swept == Swept::default() {
            return all;
        }
        all.logs += swept.logs;
        all.responses += swept.responses;
        all.revocations += swept.revocations;
        all.keys += swept.keys;
        all.audit_events += swept.audit_events;
    }
}

async fn stored(engine: &Engine, store: bool) -> String {
    let mut new = new_response();
    new.store = store;
    let id = new.id.clone();
    (engine.store)
        .insert_finished(new, Status::Completed)
        .await
        .unwrap();
    id
}

/// A sweep drops the event logs of terminal responses. The responses remain, with
/// `log_dropped`.
pub async fn logs_are_dropped_after_their_time(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let id = finished(&engine).await;
    assert_eq!(sweep_all(&engine, KEEP).await, Swept::default());
    assert_eq!(log(&engine, &id).await.len(), 3);
    let keep = Retention {
        event_log_ms: 0,
        ..KEEP
    };
    let swept = sweep_all(&engine, keep).await;
    assert_eq!((swept.logs, swept.responses), (1, 0));

    let response = engine.store.get_response(PROJECT, &id).await.unwrap();
    assert!(response.log_dropped);
    assert_eq!((response.status, response.next_seq), (Status::Completed, 3));
    for after in [None, Some(0), Some(7)] {
        let page = engine.store.read_events(PROJECT, &id, after, 1000).await;
        let page = page.unwrap();
        assert!(page.log_dropped && page.batches.is_empty());
        assert_eq!((page.next_seq, page.status), (3, Status::Completed));
    }
    let items = engine.store.list_input_items(PROJECT, &id, page(9));
    assert_eq!(items.await.unwrap().items.len(), 2);
    engine.store.delete_response(PROJECT, &id).await.unwrap();
}

/// A sweep removes responses with `store: true` after their time or never, and those
/// with `store: false`, with their logs, after the ephemeral time.
pub async fn responses_are_removed_after_their_time(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let kept = stored(&engine, true).await;
    let ephemeral = stored(&engine, false).await;
    let there = async |id: &str| {
        let found = engine.store.get_response(PROJECT, id).await;
        matches!(kind(&found), "ok")
    };
    let keep = Retention {
        ephemeral_ms: 0,
        stored_ms: None,
        ..KEEP
    };
    assert_eq!(sweep_all(&engine, keep).await.responses, 1);
    assert!(there(&kept).await && !there(&ephemeral).await);

    let ephemeral = stored(&engine, false).await;
    let with_log = finished(&engine).await;
    let keep = Retention {
        stored_ms: Some(0),
        ..KEEP
    };
    assert_eq!(sweep_all(&engine, keep).await.responses, 2);
    assert!(!there(&kept).await && !there(&with_log).await);
    assert!(there(&ephemeral).await);
}

/// A sweep never removes a response that is not terminal, or its log.
pub async fn what_runs_is_never_removed(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let waiting = queued(&engine, "q").await;
    let mut ephemeral = new_response();
    ephemeral.store = false;
    let unstored = ephemeral.id.clone();
    let first = EventBatch::of(["created"]);
    let made = (engine.store).create_background(ephemeral, first, new_job("q"), 9);
    made.await.unwrap();
    let lease = running(&engine, LONG).await;
    let nothing = Retention {
        event_log_ms: 0,
        stored_ms: Some(0),
        ephemeral_ms: 0,
        idempotency_ms: 0,
        audit_ms: None,
    };
    assert_eq!(sweep_all(&engine, nothing).await, Swept::default());
    for id in [&waiting, &unstored, &lease.response_id] {
        assert_eq!(log(&engine, id).await, ["created"]);
    }
    assert_eq!(claim(&engine, "q", 9, LONG).await.len(), 2);
}

/// A sweep removes revocations of expired tokens.
pub async fn expired_revocations_are_swept(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    for (jti, expires_at) in [("old", 1000), ("new", i64::MAX / 4)] {
        let revocation = Revocation {
            jti: jti.into(),
            expires_at,
        };
        engine.store.revoke_token(revocation).await.unwrap();
    }
    let version = engine.store.directory_version().await.unwrap();
    assert_eq!(sweep_all(&engine, KEEP).await.revocations, 1);
    let directory = engine.store.load_directory().await.unwrap();
    assert_eq!(directory.revocations.len(), 1);
    assert_eq!(directory.revocations[0].jti, "new");
    // The row was no longer in the directory, so nobody needs to load it again.
    assert_eq!(directory.version, version);
}

/// A sweep removes a bounded number of rows; call again while it removes something.
pub async fn sweeping_goes_on_until_done(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let made: Vec<_> = (0..300)
        .map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move {
                if n % 3 == 0 {
                    finished(&engine).await;
                } else {
                    stored(&engine, n % 3 == 1).await;
                }
            })
        })
        .collect();
    for task in made {
        task.await.unwrap();
    }
    let keep = Retention {
        event_log_ms: 0,
        ephemeral_ms: 0,
        ..KEEP
    };
    let swept = sweep_all(&engine, keep).await;
    assert_eq!((swept.logs, swept.responses), (100, 100));
    let keep = Retention {
        stored_ms: Some(0),
        ..KEEP
    };
    assert_eq!(sweep_all(&engine, keep).await.responses, 200);
}

/// A sweep removes audit events only if they have a retention.
pub async fn the_audit_log_is_kept_unless_it_has_a_time(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let events = (0..3).map(|n| draft(&format!("event.{n}"))).collect();
    engine.store.append_audit(events).await.unwrap();
    let nothing = sweep_all(&engine, KEEP).await;
    assert_eq!(
        (nothing.audit_events, audit_log(&engine).await.len()),
        (0, 3)
    );
    for (kept, left) in [(3_600_000, 3), (0, 0)] {
        let keep = Retention {
            audit_ms: Some(kept),
            ..KEEP
        };
        let swept = sweep_all(&engine, keep).await;
        assert_eq!(swept.audit_events, 3 - left);
        assert_eq!(audit_log(&engine).await.len() as u64, left);
    }
}
