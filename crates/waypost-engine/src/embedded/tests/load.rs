//! Load: a full disk, many writers, and readers that never pause.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    Engine, StoreError,
    conformance::kit::*,
    embedded::{DATABASE_FILE, EmbeddedOptions, open},
    events::EventBatch,
    responses::Status,
};

fn open_with(dir: &TempDir, change: impl FnOnce(&mut EmbeddedOptions)) -> Engine {
    let mut options = EmbeddedOptions::new(dir.path());
    change(&mut options);
    open(&options).unwrap()
}

/// Stores a response that can be deleted to make room.
async fn ballast(engine: &Engine, bytes: usize) -> String {
    let mut new = new_response();
    new.body = "x".repeat(bytes);
    let id = new.id.clone();
    (engine.store)
        .insert_finished(new, Status::Completed)
        .await
        .unwrap();
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_reported_and_survived() {
    let temp = TempDir::new().unwrap();
    let engine = open_with(&temp, |options| options.max_bytes = Some(2 << 20));
    let ballast = ballast(&engine, 600_000).await;
    let block = vec![b'x'; 10_000];
    let batch = EventBatch::of([&block]);

    let writers: Vec<_> = (0..8)
        .map(|_| {
            let (engine, batch) = (engine.clone(), batch.clone());
            tokio::spawn(async move {
                let lease = running(&engine, LONG).await;
                for seq in 1.. {
                    match engine.store.append_events(&lease, seq, batch.clone()).await {
                        Ok(()) => assert!(seq < 1000, "never full"),
                        Err(full) => {
                            assert!(matches!(full, StoreError::Full(_)), "{full}");
                            assert!(full.is_transient());
                            return (lease, seq);
                        }
                    }
                }
                unreachable!()
            })
        })
        .collect();
    let mut stopped = Vec::new();
    for writer in writers {
        stopped.push(writer.await.unwrap());
    }
    // Some appends may have failed only with their group. Fill the disk completely.
    for (lease, next) in &mut stopped {
        while (engine
            .store
            .append_events(lease, *next, batch.clone())
            .await)
            .is_ok()
        {
            *next += 1;
        }
    }
    for (lease, next) in &stopped {
        let events = log(&engine, &lease.response_id).await;
        assert_eq!(events.len() as u64, *next, "acknowledged and nothing else");
    }

    // Make room while writers keep trying; they must succeed then.
    let trying: Vec<_> = (stopped.into_iter())
        .map(|(lease, next)| {
            let (engine, batch) = (engine.clone(), batch.clone());
            tokio::spawn(async move {
                // No pause: the delete must get through in spite of these appends.
                let until = Instant::now() + Duration::from_secs(20);
                while (engine
                    .store
                    .append_events(&lease, next, batch.clone())
                    .await)
                    .is_err()
                {
                    assert!(Instant::now() < until, "no room was found");
                }
                (lease, next + 1)
            })
        })
        .collect();
    let mut tries = 1;
    while (engine.store.delete_response(PROJECT, &ballast).await).is_err() {
        tries += 1;
        assert!(tries < 10, "the others' appends undo the delete");
    }
    for writer in trying {
        let (lease, next) = writer.await.unwrap();
        let (batch, end) = (EventBatch::of(["end"]), terminal(Status::Completed));
        let finish = engine.store.finish(&lease, next, batch, end);
        finish.await.unwrap();
        let events = log(&engine, &lease.response_id).await;
        assert_eq!(events.len() as u64, next + 1);
    }
    engine.store.check().await.unwrap();
    engine.store.close().await;
    let size = fs::metadata(temp.path().join(DATABASE_FILE)).unwrap().len();
    assert!(size <= 2 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_appenders_lose_nothing() {
    const WRITERS: u64 = 200;
    const BATCHES: u64 = 25;
    let temp = TempDir::new().unwrap();
    let engine = open_with(&temp, |_| {});
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let lease = running(&engine, LONG).await;
                for n in 0..BATCHES {
                    let seq = 1 + n * 2;
                    let batch = EventBatch::of([seq.to_string(), (seq + 1).to_string()]);
                    let append = engine.store.append_events(&lease, seq, batch);
                    append.await.unwrap();
                }
                lease.response_id
            })
        })
        .collect();
    for writer in writers {
        let id = writer.await.unwrap();
        let events = log(&engine, &id).await;
        let expected = (1..=BATCHES * 2).map(|n| n.to_string());
        assert!(events.into_iter().skip(1).eq(expected));
    }
    let counts = engine.store.job_counts().await.unwrap();
    assert_eq!((counts.queued, counts.running), (0, WRITERS));
}

/// SQLite alone could never restart its log while readers overlap without a pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_short_under_constant_readers() {
    const LIMIT: u64 = 1 << 20;
    let temp = TempDir::new().unwrap();
    let engine = open_with(&temp, |options| options.log_bytes = LIMIT);
    let id = ballast(&engine, 500_000).await;
    let (stop, reads) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let readers: Vec<_> = (0..16)
        .map(|_| {
            let (engine, id) = (engine.clone(), id.clone());
            let (stop, reads) = (Arc::clone(&stop), Arc::clone(&reads));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    engine.store.get_response(PROJECT, &id).await.unwrap();
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let log_file = temp.path().join(format!("{DATABASE_FILE}-wal"));
    let lease = running(&engine, LONG).await;
    let block = vec![b'x'; 50_000];
    let (mut longest, mut written) = (0, 0);
    for seq in 1..=200 {
        let batch = EventBatch::of([&block]);
        let append = engine.store.append_events(&lease, seq, batch);
        append.await.unwrap();
        written += block.len() as u64;
        longest = longest.max(fs::metadata(&log_file).unwrap().len());
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(reads.load(Ordering::Relaxed) > 200);
    assert!(written > 8 * LIMIT);
    assert!(longest < 3 * LIMIT, "the log grew to {longest} bytes");
}
