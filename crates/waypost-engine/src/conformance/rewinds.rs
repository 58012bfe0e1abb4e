//! Rewinds of a log, and the readers' marks that prevent them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Factory, kit::*};
use crate::{
    Engine, StoreError,
    events::EventBatch,
    responses::{Lease, Status},
};

const ROUNDS: usize = 1000;

/// A log of 0..10 in batches of 1, 3, 2 and 4 events.
async fn ten(engine: &Engine) -> Lease {
    let lease = running(engine, LONG).await;
    for range in [1..4, 4..6, 6..10_u64] {
        let batch = EventBatch::of(range.clone().map(|n| n.to_string()));
        let append = engine.store.append_events(&lease, range.start, batch);
        append.await.unwrap();
    }
    lease
}

/// The log of [`ten`], cut at `to`.
fn first(to: u64) -> Vec<String> {
    let rest = (1..to).map(|n| n.to_string());
    std::iter::once("created".to_owned()).chain(rest).collect()
}

async fn append(engine: &Engine, lease: &Lease, seq: u64, event: &str) -> Result<(), StoreError> {
    let batch = EventBatch::of([event]);
    engine.store.append_events(lease, seq, batch).await
}

/// A rewind removes the events from a number on, even within a batch. The next events
/// take their place without a gap.
pub async fn what_no_reader_was_given_is_taken_back(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    for to in 1..10 {
        let lease = ten(&engine).await;
        let id = &lease.response_id;
        assert_eq!(engine.store.rewind(&lease, to).await, Ok(Some(1)), "{to}");
        assert_eq!(log(&engine, id).await, first(to));
        for after in (0..to).map(Some) {
            let page = engine.store.read_events(PROJECT, id, after, 1 << 20).await;
            let page = page.unwrap();
            assert_eq!((page.next_seq, page.rewinds), (to, 1));
        }
        let stored = engine.store.get_response(PROJECT, id).await.unwrap();
        assert_eq!((stored.next_seq, stored.rewinds), (to, 1));
        append(&engine, &lease, to, "another").await.unwrap();
        let mut expected = first(to);
        expected.push("another".into());
        assert_eq!(log(&engine, id).await, expected);
        assert_eq!(engine.store.rewind(&lease, to).await, Ok(Some(2)));
        let end = terminal(Status::Completed);
        let last = EventBatch::of(["end"]);
        engine.store.finish(&lease, to, last, end).await.unwrap();
        assert_eq!(log(&engine, id).await.len() as u64, to + 1);
    }
}

/// A rewind returns `None` and changes nothing if a reader may have been given one of
/// the events. Marks never go back, and may be ahead of the log.
pub async fn what_a_reader_was_given_stays(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = ten(&engine).await;
    let id = &lease.response_id;
    for (mark, marked) in [(5, 5), (3, 5), (6, 6)] {
        let kept = engine.store.mark_read(PROJECT, id, mark, 0).await;
        assert_eq!(kept, Ok(true));
        let page = engine.store.read_events(PROJECT, id, None, 1).await;
        assert_eq!(page.unwrap().read_to, marked);
        assert_eq!(engine.store.rewind(&lease, marked - 1).await, Ok(None));
        assert_eq!(log(&engine, id).await, first(10));
    }
    assert_eq!(engine.store.rewind(&lease, 6).await, Ok(Some(1)));
    assert_eq!(log(&engine, id).await, first(6));
    let ahead = engine.store.mark_read(PROJECT, id, 8, 1).await;
    assert_eq!(ahead, Ok(true));
    for n in 6..10 {
        append(&engine, &lease, n, "new").await.unwrap();
    }
    assert_eq!(engine.store.rewind(&lease, 7).await, Ok(None));
    assert_eq!(engine.store.rewind(&lease, 8).await, Ok(Some(2)));
}

/// The first events count as given to readers.
pub async fn first_events_count_as_given(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = ten(&engine).await;
    assert_eq!(engine.store.rewind(&lease, 0).await, Ok(None));
    assert_eq!(engine.store.rewind(&lease, 1).await, Ok(Some(1)));
}

/// A mark returns `false` if the log was rewound since. Another project's response is
/// `NotFound`.
pub async fn a_mark_belongs_to_one_state_of_the_log(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = ten(&engine).await;
    let id = &lease.response_id;
    engine.store.rewind(&lease, 4).await.unwrap();
    assert_eq!(engine.store.mark_read(PROJECT, id, 9, 0).await, Ok(false));
    assert_eq!(engine.store.mark_read(PROJECT, id, 9, 2).await, Ok(false));
    append(&engine, &lease, 4, "new").await.unwrap();
    // Neither call left a mark.
    assert_eq!(engine.store.rewind(&lease, 4).await, Ok(Some(2)));
    assert_eq!(engine.store.mark_read(PROJECT, id, 4, 2).await, Ok(true));
    let other = engine.store.mark_read("proj_other", id, 4, 2).await;
    assert_eq!(kind(&other), "not found");
}

/// A log that has ended keeps no marks, because it can no longer be rewound.
pub async fn a_log_that_has_ended_keeps_no_marks(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let id = finished(&engine).await;
    assert_eq!(engine.store.mark_read(PROJECT, &id, 3, 0).await, Ok(true));
    let page = engine.store.read_events(PROJECT, &id, None, 1).await;
    assert_eq!(page.unwrap().read_to, 1);
}

/// A rewind is a worker's write, so it needs a good lease.
pub async fn a_rewind_needs_a_good_lease(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = ten(&engine).await;
    let old = Lease {
        epoch: lease.epoch - 1,
        ..lease.clone()
    };
    assert_eq!(kind(&engine.store.rewind(&old, 5).await), "fenced");
    let release = engine.store.release_job(&lease, LONG, true);
    release.await.unwrap();
    assert_eq!(kind(&engine.store.rewind(&lease, 5).await), "fenced");
    assert_eq!(log(&engine, &lease.response_id).await, first(10));
    let gone = Lease {
        response_id: "resp_none".into(),
        epoch: 1,
    };
    assert_eq!(kind(&engine.store.rewind(&gone, 0).await), "fenced");
}

/// At the log's end there is nothing to rewind, marked or not. A number beyond the end
/// is `Internal`.
pub async fn a_rewind_to_the_end_changes_nothing(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = ten(&engine).await;
    let id = &lease.response_id;
    let kept = engine.store.mark_read(PROJECT, id, 64, 0).await;
    assert_eq!(kept, Ok(true));
    assert_eq!(engine.store.rewind(&lease, 10).await, Ok(Some(0)));
    assert_eq!(kind(&engine.store.rewind(&lease, 11).await), "internal");
    assert_eq!(log(&engine, id).await, first(10));
}

/// If a reader marks while a worker rewinds, exactly one of them succeeds. At the end
/// the log has every event that a reader was given.
pub async fn readers_and_rewinds_race(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let rewound = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (engine, rewound) = (engine.clone(), Arc::clone(&rewound));
            tokio::spawn(async move {
                for _ in 0..ROUNDS / 20 {
                    let won = round(&engine).await;
                    rewound.fetch_add(u64::from(won), Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let rewound = rewound.load(Ordering::Relaxed);
    assert!(rewound > 0 && rewound < ROUNDS as u64, "no race: {rewound}");
}

/// Returns whether the worker could rewind.
async fn round(engine: &Engine) -> bool {
    let lease = ten(engine).await;
    let id = lease.response_id.clone();
    let reader = {
        let (engine, id) = (engine.clone(), id.clone());
        tokio::spawn(async move {
            let mut given: Vec<String> = Vec::new();
            loop {
                let page = engine.store.read_events(PROJECT, &id, None, 1 << 20);
                let page = page.await.unwrap();
                let marked = engine
                    .store
                    .mark_read(PROJECT, &id, page.next_seq, page.rewinds);
                if !marked.await.unwrap() {
                    continue;
                }
                let all = page.batches.iter();
                let read: Vec<String> = all
                    .flat_map(|(_, batch)| batch.iter().map(text).collect::<Vec<_>>())
                    .collect();
                assert_eq!(read[..given.len()], given[..], "what was given stays");
                given = read;
                if page.status.is_terminal() {
                    return given;
                }
            }
        })
    };
    let worker = {
        let (engine, lease) = (engine.clone(), lease.clone());
        tokio::spawn(async move {
            let won = engine.store.rewind(&lease, 5).await.unwrap().is_some();
            let next = if won { 5 } else { 10 };
            append(&engine, &lease, next, "new").await.unwrap();
            let end = terminal(Status::Completed);
            let last = EventBatch::of(["end"]);
            let finish = engine.store.finish(&lease, next + 1, last, end);
            finish.await.unwrap();
            won
        })
    };
    let won = worker.await.unwrap();
    let given = reader.await.unwrap();
    let mut expected = first(if won { 5 } else { 10 });
    expected.extend(["new".to_owned(), "end".to_owned()]);
    assert_eq!(given, expected);
    assert_eq!(log(engine, &id).await, expected);
    won
}
