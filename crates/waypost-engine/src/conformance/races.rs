//! Races: exactly one caller wins, and the log has no gap.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Factory, kit::*};
use crate::{
    Engine, StoreError,
    events::EventBatch,
    id,
    responses::{Cancelled, Lease, Status, Want},
};

const ROUNDS: usize = 1000;

fn one(event: &str) -> EventBatch {
    EventBatch::of([event])
}

/// A response becomes terminal once: of any number of racing `finish` and
/// `cancel` calls, exactly one wins. A stale epoch never wins.
pub async fn one_of_finish_and_cancel_wins(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let wins = Arc::new([const { AtomicU64::new(0) }; 2]);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (engine, wins) = (engine.clone(), Arc::clone(&wins));
            tokio::spawn(async move {
                for _ in 0..ROUNDS / 20 {
                    let won = round(&engine).await;
                    wins[usize::from(won == "cancelled")].fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let [finished, cancelled] = [0, 1].map(|n| wins[n].load(Ordering::Relaxed));
    assert_eq!(finished + cancelled, ROUNDS as u64);
    assert!(
        finished > 0 && cancelled > 0,
        "no race: {finished} {cancelled}"
    );
}

async fn round(engine: &Engine) -> String {
    let queue = id::fresh("queue_");
    let id = queued(engine, &queue).await;
    let stale = claim(engine, &queue, 1, Duration::ZERO).await.remove(0);
    let good = claim(engine, &queue, 1, LONG).await.remove(0);
    assert!(good.taken_over);
    let (stale, good) = (stale.lease, good.lease);

    let finish = |lease: &Lease, status: Status| {
        let (engine, lease) = (engine.clone(), lease.clone());
        tokio::spawn(async move {
            let batch = one(&format!("end {}", status.as_str()));
            let finish = engine.store.finish(&lease, 1, batch, terminal(status));
            finish.await
        })
    };
    let cancel = {
        let (engine, id) = (engine.clone(), id.clone());
        tokio::spawn(async move {
            let (body, event) = ("{}".to_owned(), one("end cancelled"));
            engine
                .store
                .cancel_response(PROJECT, &id, body, event)
                .await
        })
    };
    let good_end = finish(&good, Status::Completed);
    let other_end = finish(&good, Status::Incomplete);
    let stale_end = finish(&stale, Status::Failed);
    let stale_append = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.store.append_events(&stale, 1, one("stale")).await })
    };
    assert_eq!(stale_end.await.unwrap(), Err(StoreError::Fenced));
    assert_eq!(stale_append.await.unwrap(), Err(StoreError::Fenced));
    let mut winners = Vec::new();
    for (end, status) in [
        (good_end, Status::Completed),
        (other_end, Status::Incomplete),
    ] {
        match end.await.unwrap() {
            Ok(()) => winners.push(status),
            Err(lost) => assert_eq!(lost, StoreError::Fenced),
        }
    }
    match cancel.await.unwrap().unwrap() {
        Cancelled::Now(response) => winners.push(response.status),
        Cancelled::Unchanged(response) => assert!(response.status.is_terminal()),
    }
    assert_eq!(winners.len(), 1, "exactly one wins: {winners:?}");
    let winner = winners[0].as_str();
    let stored = engine.store.get_response(PROJECT, &id).await.unwrap();
    assert_eq!(stored.status.as_str(), winner);
    let events = log(engine, &id).await;
    assert_eq!(events, ["created".to_owned(), format!("end {winner}")]);
    assert!(claim(engine, &queue, 1, LONG).await.is_empty());
    winner.to_owned()
}

/// Events are numbered from 0 without gaps, no matter which epochs write them.
pub async fn racing_epochs_number_without_gaps(factory: &dyn Factory) {
    const APPENDS: u64 = 1000;
    let engine = factory.fresh().await;
    let id = queued(&engine, "q").await;
    let appended = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (engine, appended) = (engine.clone(), Arc::clone(&appended));
            tokio::spawn(async move {
                while appended.load(Ordering::Relaxed) < APPENDS {
                    let lease = Duration::from_millis(5);
                    let Some(job) = claim(&engine, "q", 1, lease).await.pop() else {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        continue;
                    };
                    let mut seq = job.response.next_seq;
                    let epoch = job.lease.epoch;
                    loop {
                        assert!(seq < APPENDS * 3, "the lease does not end");
                        let batch = one(&format!("{epoch} {seq}"));
                        match engine.store.append_events(&job.lease, seq, batch).await {
                            Ok(()) => seq += 1,
                            Err(lost) => break assert_eq!(lost, StoreError::Fenced),
                        }
                        appended.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let events = log(&engine, &id).await;
    assert_eq!(
        events.len() as u64,
        1 + appended.load(Ordering::Relaxed),
        "what was acknowledged is there, and nothing else"
    );
    let mut last_epoch = 0;
    let mut epochs = HashSet::new();
    for (n, event) in events.iter().enumerate().skip(1) {
        let (epoch, seq) = event.split_once(' ').unwrap();
        let epoch: i64 = epoch.parse().unwrap();
        assert_eq!(seq, n.to_string());
        assert!(
            epoch >= last_epoch,
            "a stale epoch wrote after its successor"
        );
        last_epoch = epoch;
        epochs.insert(epoch);
    }
    assert!(epochs.len() > 1, "the lease never changed hands");
}

/// No job is claimed twice, however many workers ask at once.
pub async fn racing_claims_share_nothing(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    for _ in 0..100 {
        queued(&engine, "q").await;
    }
    let workers: Vec<_> = (0..10)
        .map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let want = vec![Want {
                        queue: "q".into(),
                        max: 3,
                        older_than: None,
                    }];
                    let worker = format!("worker {n}");
                    let jobs = engine.store.claim_jobs(&worker, want, LONG).await.unwrap();
                    if jobs.is_empty() {
                        return mine;
                    }
                    mine.extend(jobs.into_iter().map(|job| job.lease.response_id));
                }
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for worker in workers {
        claimed.extend(worker.await.unwrap());
    }
    assert_eq!(claimed.len(), 100);
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>().len(), 100);
}

/// An id that exists is a `Conflict`: of racing creates, one wins.
pub async fn racing_creates_of_one_id(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let new = new_response();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (engine, new) = (engine.clone(), new.clone());
            tokio::spawn(async move {
                let made = (engine.store).create_background(new, one("1"), new_job("q"), 99);
                kind(&made.await)
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes.sort_unstable();
    assert_eq!(outcomes[..19], ["conflict"; 19]);
    assert_eq!(outcomes[19], "ok");
    assert_eq!(claim(&engine, "q", 9, LONG).await.len(), 1);
}

/// Unique names stay unique under racing changes.
pub async fn racing_changes_of_one_name(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let new = new_provider("one name");
                kind(&engine.store.create_provider(new, draft("created")).await)
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            "ok" => won += 1,
            other => assert_eq!(other, "conflict"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(audit_log(&engine).await.len(), 1);
    assert_eq!(engine.store.directory_version().await.unwrap(), 1);
}
