//! Jobs, leases, and the writes of workers.

use std::time::Duration;

use super::{Factory, kit::*};
use crate::{
    events::EventBatch,
    responses::{JobCounts, Lease, MAX_CHECKPOINT, NewResponse, Status, Want},
};

fn one(event: &str) -> EventBatch {
    EventBatch::of([event])
}

/// A claim takes the oldest jobs first in each queue, at most `max` of each.
pub async fn the_oldest_are_claimed_first(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut a = Vec::new();
    let mut b = Vec::new();
    for _ in 0..5 {
        a.push(queued(&engine, "a").await);
        b.push(queued(&engine, "b").await);
        queued(&engine, "other").await;
    }
    let want = |queue: &str, max| Want {
        queue: queue.into(),
        max,
        older_than: None,
    };
    let mut claimed = Vec::new();
    for _ in 0..2 {
        let want = vec![want("a", 2), want("b", 1), want("none", 9)];
        let jobs = engine.store.claim_jobs("worker", want, LONG).await.unwrap();
        claimed.extend(jobs);
    }
    let of = |queue: &str| -> Vec<_> {
        let jobs = claimed.iter().filter(|job| job.queue == queue);
        jobs.map(|job| job.lease.response_id.clone()).collect()
    };
    assert_eq!(of("a"), a[..4]);
    assert_eq!(of("b"), b[..2]);
    assert_eq!(claimed.len(), 6);
    assert!(claim(&engine, "a", 0, LONG).await.is_empty());
}

/// `older_than` takes only ready jobs whose response was created longer ago.
pub async fn a_claim_may_be_of_old_jobs_only(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_millis()).unwrap();
    let mut ids = Vec::new();
    for age_s in [7200, 7000, 60, 0] {
        let new = NewResponse {
            created_at: now - age_s * 1000,
            ..new_response()
        };
        ids.push(new.id.clone());
        let made = (engine.store).create_background(new, one("created"), new_job("q"), 99);
        made.await.unwrap();
    }
    let claim = async |max, older_than| -> Vec<_> {
        let want = vec![Want {
            queue: "q".into(),
            max,
            older_than,
        }];
        let jobs = engine.store.claim_jobs("worker", want, LONG).await.unwrap();
        jobs.into_iter().map(|job| job.lease.response_id).collect()
    };
    let hour = Some(Duration::from_hours(1));
    assert!(claim(9, Some(Duration::from_hours(3))).await.is_empty());
    assert_eq!(claim(1, hour).await, ids[..1]);
    assert_eq!(claim(9, hour).await, ids[1..2]);
    assert!(claim(9, hour).await.is_empty());
    assert_eq!(claim(9, None).await, ids[2..]);
}

/// The response becomes `in_progress`; the first claim is attempt 1.
pub async fn a_claim_starts_the_response(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let id = queued(&engine, "q").await;
    let job = claim(&engine, "q", 1, LONG).await.remove(0);
    assert_eq!(job.response.id, id);
    assert_eq!(job.response.status, Status::InProgress);
    assert_eq!(job.response.next_seq, 1);
    assert_eq!(job.attempt, 1);
    assert!(!job.taken_over);
    let stored = engine.store.get_response(PROJECT, &id).await.unwrap();
    assert_eq!(stored.status, Status::InProgress);
}

/// A claimed job is not ready while its lease is good.
pub async fn a_job_is_claimed_once(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    queued(&engine, "q").await;
    assert_eq!(claim(&engine, "q", 9, LONG).await.len(), 1);
    assert!(claim(&engine, "q", 9, LONG).await.is_empty());
}

/// A job under an expired lease can be claimed again, with a higher epoch, as the
/// next attempt. The claim is marked as a takeover.
pub async fn an_ended_lease_is_taken_over(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    queued(&engine, "q").await;
    let first = claim(&engine, "q", 1, WHILE).await.remove(0);
    let append = engine.store.append_events(&first.lease, 1, one("old"));
    append.await.unwrap();
    let mut second = Vec::new();
    until(|| {
        let claimed = tokio::task::block_in_place(|| {
            let handle = tokio::runtime::Handle::current();
            handle.block_on(claim(&engine, "q", 1, LONG))
        });
        second.extend(claimed);
        std::future::ready(!second.is_empty())
    })
    .await;
    let second = second.remove(0);
    assert!(second.taken_over);
    assert_eq!(second.attempt, 2);
    assert_eq!(second.lease.response_id, first.lease.response_id);
    assert!(second.lease.epoch > first.lease.epoch);
    // The new worker continues at the end of the log.
    assert_eq!(second.response.next_seq, 2);
    let stale = engine.store.append_events(&first.lease, 2, one("stale"));
    assert_eq!(kind(&stale.await), "fenced");
    let append = engine.store.append_events(&second.lease, 2, one("new"));
    append.await.unwrap();
    let events = log(&engine, &second.lease.response_id).await;
    assert_eq!(events, ["created", "old", "new"]);
}

/// A lease is good while its epoch is the row's **and** it has not expired. It stops
/// being good even if nobody takes it over.
pub async fn an_ended_lease_writes_nothing(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = running(&engine, SHORT).await;
    tokio::time::sleep(SHORT * 2).await;
    let store = &engine.store;
    let end = terminal(Status::Completed);
    assert_eq!(
        kind(&store.append_events(&lease, 1, one("late")).await),
        "fenced"
    );
    assert_eq!(
        kind(&store.finish(&lease, 1, one("late"), end).await),
        "fenced"
    );
    assert_eq!(
        kind(&store.release_job(&lease, SHORT, true).await),
        "fenced"
    );
    assert!(store.heartbeat("worker", LONG).await.unwrap().is_empty());

    let good = running(&engine, LONG).await;
    for epoch in [good.epoch - 1, good.epoch + 1] {
        let wrong = Lease {
            epoch,
            ..good.clone()
        };
        let append = store.append_events(&wrong, 1, one("wrong")).await;
        assert_eq!(kind(&append), "fenced");
    }
    for id in [&lease.response_id, &good.response_id] {
        assert_eq!(log(&engine, id).await, ["created"]);
    }
}

/// Extends all of the worker's leases that are still good and names them.
pub async fn a_heartbeat_extends_and_names_good_leases(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lost = running(&engine, SHORT).await;
    let mut kept = vec![running(&engine, WHILE).await, running(&engine, LONG).await];
    queued(&engine, "theirs").await;
    let want = vec![Want {
        queue: "theirs".into(),
        max: 1,
        older_than: None,
    }];
    let theirs = (engine.store)
        .claim_jobs("another worker", want, SHORT)
        .await
        .unwrap();
    tokio::time::sleep(SHORT * 2).await;
    let mut named = engine.store.heartbeat("worker", LONG).await.unwrap();
    named.sort_by(|a, b| a.response_id.cmp(&b.response_id));
    kept.sort_by(|a, b| a.response_id.cmp(&b.response_id));
    assert_eq!(named, kept);
    tokio::time::sleep(WHILE).await;
    for lease in &kept {
        let append = engine.store.append_events(lease, 1, one("still"));
        append.await.unwrap();
    }
    for lease in [&lost, &theirs[0].lease] {
        let append = engine.store.append_events(lease, 1, one("late")).await;
        assert_eq!(kind(&append), "fenced");
    }
    let nobody = engine.store.heartbeat("nobody", LONG).await.unwrap();
    assert!(nobody.is_empty());
}

/// A released job can be claimed again after `delay`. Its lease is lost, and the
/// next claim is not a takeover.
pub async fn a_released_job_comes_back_after_its_delay(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    queued(&engine, "q").await;
    let job = claim(&engine, "q", 1, LONG).await.remove(0);
    let delay = Duration::from_millis(300);
    let released = std::time::Instant::now();
    let release = engine.store.release_job(&job.lease, delay, true);
    release.await.unwrap();
    let again = engine.store.release_job(&job.lease, delay, true).await;
    assert_eq!(kind(&again), "fenced");
    let append = engine.store.append_events(&job.lease, 1, one("late")).await;
    assert_eq!(kind(&append), "fenced");
    assert!(engine.store.ready_queues().await.unwrap().is_empty());
    loop {
        let claimed = claim(&engine, "q", 1, LONG).await;
        if let Some(again) = claimed.first() {
            assert!(released.elapsed() >= delay);
            assert!(!again.taken_over);
            assert!(again.lease.epoch > job.lease.epoch);
            assert_eq!(again.response.status, Status::InProgress);
            break;
        }
        assert!(released.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `counts` says whether this claim counts as an attempt.
pub async fn a_release_counts_or_not(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    queued(&engine, "q").await;
    let mut attempts = Vec::new();
    for counts in [true, false, false, true] {
        let job = claim(&engine, "q", 1, LONG).await.remove(0);
        attempts.push(job.attempt);
        let release = engine.store.release_job(&job.lease, Duration::ZERO, counts);
        release.await.unwrap();
    }
    assert_eq!(attempts, [1, 2, 2, 2]);
    assert_eq!(claim(&engine, "q", 1, LONG).await[0].attempt, 3);
}

/// The queues that have ready jobs, each once.
pub async fn ready_queues_are_named(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    assert!(engine.store.ready_queues().await.unwrap().is_empty());
    for queue in ["b", "a", "b", "c", "ü"] {
        queued(&engine, queue).await;
    }
    let ready = async || {
        let mut queues = engine.store.ready_queues().await.unwrap();
        queues.sort();
        queues
    };
    assert_eq!(ready().await, ["a", "b", "c", "ü"]);
    claim(&engine, "a", 1, WHILE).await;
    claim(&engine, "b", 1, LONG).await;
    claim(&engine, "c", 1, LONG).await;
    assert_eq!(ready().await, ["b", "ü"]);
    // An expired lease makes its job ready.
    until(|| async { ready().await == ["a", "b", "ü"] }).await;
}

/// Jobs under a good lease count as running and all others as queued. The oldest
/// queued job tells the queue's age.
pub async fn jobs_are_counted(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let count = async || engine.store.job_counts().await.unwrap();
    assert_eq!(count().await, JobCounts::default());
    let early = NewResponse {
        created_at: 5,
        ..new_response()
    };
    let later = Some(new_response().created_at);
    let made = (engine.store).create_background(early, one("created"), new_job("q"), u64::MAX);
    made.await.unwrap();
    for _ in 0..2 {
        queued(&engine, "q").await;
    }
    let counts = |queued, running, oldest_queued_at| JobCounts {
        queued,
        running,
        oldest_queued_at,
    };
    assert_eq!(count().await, counts(3, 0, Some(5)));
    let early = claim(&engine, "q", 1, LONG).await.remove(0);
    assert_eq!(count().await, counts(2, 1, later));
    (engine.store)
        .release_job(&early.lease, Duration::ZERO, false)
        .await
        .unwrap();
    claim(&engine, "q", 1, SHORT).await;
    let job = claim(&engine, "q", 1, LONG).await.remove(0);
    until(|| async { count().await == counts(2, 1, Some(5)) }).await;
    let end = terminal(Status::Failed);
    let finish = engine.store.finish(&job.lease, 1, one("failed"), end);
    finish.await.unwrap();
    assert_eq!(count().await, counts(2, 0, Some(5)));
}

/// A batch that the log already has is accepted again without effect.
pub async fn appending_again_is_accepted(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = running(&engine, LONG).await;
    let first = EventBatch::of(["1", "2"]);
    let second = EventBatch::of(["3"]);
    let append = |seq, batch: &EventBatch| {
        let batch = batch.clone();
        engine.store.append_events(&lease, seq, batch)
    };
    append(1, &first).await.unwrap();
    append(1, &first).await.unwrap();
    append(3, &second).await.unwrap();
    append(1, &first).await.unwrap();
    append(3, &second).await.unwrap();
    append(4, &EventBatch::default()).await.unwrap();
    let events = log(&engine, &lease.response_id).await;
    assert_eq!(events, ["created", "1", "2", "3"]);
}

/// Any other batch that does not fit is `Internal` and changes nothing.
pub async fn what_does_not_fit_is_refused(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = running(&engine, LONG).await;
    let append = |seq, events: &[&str]| {
        let batch = EventBatch::of(events);
        engine.store.append_events(&lease, seq, batch)
    };
    append(1, &["1", "2"]).await.unwrap();
    for (seq, events) in [
        (4, &["gap"][..]),
        (u64::MAX, &["far"]),
        (1, &["1", "other"]),
        (1, &["1"]),
        (1, &["1", "2", "3"]),
        (2, &["2"]),
        (0, &["0", "1", "2"]),
    ] {
        let refused = append(seq, events).await;
        assert_eq!(kind(&refused), "internal", "{seq} {events:?}");
        let (batch, end) = (EventBatch::of(events), terminal(Status::Completed));
        let refused = engine.store.finish(&lease, seq, batch, end).await;
        assert_eq!(kind(&refused), "internal", "{seq} {events:?}");
    }
    let not_an_end = terminal(Status::InProgress);
    let refused = engine.store.finish(&lease, 3, one("3"), not_an_end).await;
    assert_eq!(kind(&refused), "internal");
    let id = &lease.response_id;
    assert_eq!(log(&engine, id).await, ["created", "1", "2"]);
    let stored = engine.store.get_response(PROJECT, id).await.unwrap();
    assert_eq!(stored.status, Status::InProgress);
}

/// Appends the last events, sets the terminal status and body, and removes the
/// job.
pub async fn finishing_ends_the_job(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    for status in [
        Status::Completed,
        Status::Failed,
        Status::Incomplete,
        Status::Cancelled,
    ] {
        let lease = running(&engine, LONG).await;
        let batch = EventBatch::of(["delta", status.as_str()]);
        let finish = engine.store.finish(&lease, 1, batch, terminal(status));
        finish.await.unwrap();
        let id = &lease.response_id;
        let stored = engine.store.get_response(PROJECT, id).await.unwrap();
        assert_eq!(stored.status, status);
        assert_eq!(stored.body, terminal(status).body);
        assert_eq!(stored.next_seq, 3);
        assert_eq!(
            log(&engine, id).await,
            ["created", "delta", status.as_str()]
        );
        let late = engine.store.append_events(&lease, 3, one("late")).await;
        assert_eq!(kind(&late), "fenced");
    }
    let lease = running(&engine, LONG).await;
    let end = terminal(Status::Failed);
    let finish = (engine.store).finish(&lease, 1, EventBatch::default(), end);
    finish.await.unwrap();
    assert_eq!(log(&engine, &lease.response_id).await, ["created"]);
    assert_eq!(
        engine.store.job_counts().await.unwrap(),
        JobCounts::default()
    );
}

/// A second `finish` with the same lease, `first_seq` and status is accepted without
/// effect. With any other it is `Fenced`.
pub async fn finishing_again_is_accepted(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = running(&engine, LONG).await;
    let finish = async |lease: &Lease, seq, status| {
        let batch = EventBatch::of(["delta", "end"]);
        let end = terminal(status);
        engine.store.finish(lease, seq, batch, end).await
    };
    finish(&lease, 1, Status::Completed).await.unwrap();
    finish(&lease, 1, Status::Completed).await.unwrap();
    let other = finish(&lease, 1, Status::Failed).await;
    assert_eq!(kind(&other), "fenced");
    let other = finish(&lease, 3, Status::Completed).await;
    assert_eq!(kind(&other), "fenced");
    let stale = Lease {
        epoch: lease.epoch - 1,
        ..lease.clone()
    };
    let other = finish(&stale, 1, Status::Completed).await;
    assert_eq!(kind(&other), "fenced");
    let events = log(&engine, &lease.response_id).await;
    assert_eq!(events, ["created", "delta", "end"]);
}

/// Every later claim gets the last checkpoint. A worker that lost its lease cannot
/// save one.
pub async fn a_checkpoint_outlives_its_claim(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let store = &engine.store;
    let id = queued(&engine, "q").await;
    let first = claim(&engine, "q", 1, LONG).await.remove(0);
    assert_eq!(first.checkpoint, None);
    for checkpoint in ["one", "two"] {
        store
            .save_checkpoint(&first.lease, checkpoint.into())
            .await
            .unwrap();
    }
    let release = store.release_job(&first.lease, Duration::ZERO, true);
    release.await.unwrap();
    let late = store.save_checkpoint(&first.lease, "late".into()).await;
    assert_eq!(kind(&late), "fenced");
    let second = claim(&engine, "q", 1, LONG).await.remove(0);
    assert_eq!(second.checkpoint.as_deref(), Some(&b"two"[..]));
    let stale = store.save_checkpoint(&first.lease, "stale".into()).await;
    assert_eq!(kind(&stale), "fenced");
    let too_large = vec![b'x'; MAX_CHECKPOINT + 1].into();
    let refused = store.save_checkpoint(&second.lease, too_large).await;
    assert_eq!(kind(&refused), "internal");
    let log = log(&engine, &id).await;
    assert_eq!(log, ["created"], "a checkpoint is no event");
}

/// A worker whose response is gone has lost its lease.
pub async fn a_deleted_response_fences_its_worker(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = running(&engine, LONG).await;
    let id = &lease.response_id;
    let cancel = (engine.store).cancel_response(PROJECT, id, "{}".into(), one("cancelled"));
    cancel.await.unwrap();
    engine.store.delete_response(PROJECT, id).await.unwrap();
    let late = engine.store.append_events(&lease, 1, one("late")).await;
    assert_eq!(kind(&late), "fenced");
    let end = terminal(Status::Completed);
    let late = engine.store.finish(&lease, 1, one("late"), end).await;
    assert_eq!(kind(&late), "fenced");
}
