//! The bus, and a follower that uses it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use super::{Factory, kit::*};
use crate::{
    Engine,
    bus::{Bus, ResponseHint, ResponseHints, Wake},
    events::EventBatch,
    responses::{Lease, Status},
};

/// No hint takes this long.
const LATE: Duration = Duration::from_secs(10);
/// How long a case waits for the timer.
const SOON: Duration = Duration::from_millis(50);

async fn wakes(wake: &mut Wake) -> bool {
    let started = Instant::now();
    wake.wait(LATE).await;
    started.elapsed() < LATE / 2
}

/// Subscribing takes effect before its future resolves: the watcher gets a hint that
/// was published later, even if it was not waiting yet.
pub async fn a_watcher_hears_what_comes_after(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let bus = &engine.bus;
    let (mut jobs, mut directory) = (bus.watch_jobs().await, bus.watch_directory().await);
    let mut response = bus.watch_response("resp_1").await;
    bus.publish_jobs();
    bus.publish_directory();
    bus.publish_response("resp_1", ResponseHint::Changed);
    assert!(wakes(&mut jobs).await);
    assert!(wakes(&mut directory).await);
    let started = Instant::now();
    response.next(LATE).await;
    assert!(started.elapsed() < LATE / 2);
}

/// A hint reaches every watcher.
pub async fn a_hint_wakes_every_watcher(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let mut jobs = engine.bus.watch_jobs().await;
        let mut response = engine.bus.watch_response("resp_1").await;
        tasks.push(tokio::spawn(async move {
            assert!(wakes(&mut jobs).await);
            let started = Instant::now();
            response.next(LATE).await;
            assert!(started.elapsed() < LATE / 2);
        }));
    }
    engine.bus.publish_jobs();
    engine.bus.publish_response("resp_1", ResponseHint::Changed);
    for task in tasks {
        task.await.unwrap();
    }
}

/// A watcher of one response is never given another's events.
pub async fn events_of_other_responses_are_not_heard(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut hints = engine.bus.watch_response("resp_1").await;
    let _others = engine.bus.watch_response("resp_2").await;
    for id in ["resp_2", "resp_1", "resp_2"] {
        let hint = ResponseHint::Events {
            first_seq: 0,
            batch: EventBatch::of([id]),
            rewinds: 0,
            terminal: false,
        };
        engine.bus.publish_response(id, hint);
    }
    // A hint may come twice, or without its events, so only what it carries counts.
    loop {
        let started = Instant::now();
        match hints.next(SOON).await {
            ResponseHint::Events { batch, .. } => assert_eq!(batch, EventBatch::of(["resp_1"])),
            ResponseHint::Changed if started.elapsed() >= SOON => return,
            ResponseHint::Changed => {}
        }
    }
}

/// A hint may carry its events, exactly as they were published.
pub async fn a_hint_carries_its_events(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut hints = engine.bus.watch_response("resp_1").await;
    let batch = EventBatch::of(["a", "b"]);
    let hint = ResponseHint::Events {
        first_seq: 7,
        batch: batch.clone(),
        rewinds: 2,
        terminal: true,
    };
    engine.bus.publish_response("resp_1", hint);
    match hints.next(LATE).await {
        ResponseHint::Events {
            first_seq,
            batch: carried,
            rewinds,
            terminal,
        } => assert_eq!((first_seq, carried, rewinds, terminal), (7, batch, 2, true)),
        // An engine may leave the events out.
        ResponseHint::Changed => {}
    }
}

/// `Changed` when hints were dropped because the reader was slow; publishing
/// never waits for one.
pub async fn a_slow_watcher_is_told_to_read(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut hints = engine.bus.watch_response("resp_1").await;
    for first_seq in 0..10_000 {
        let hint = ResponseHint::Events {
            first_seq,
            batch: EventBatch::of(["x"]),
            rewinds: 0,
            terminal: false,
        };
        engine.bus.publish_response("resp_1", hint);
    }
    // The contract promises no order of hints, and a hint may be doubled.
    let (mut told, mut heard) = (false, 0);
    loop {
        let started = Instant::now();
        let hint = hints.next(SOON * 4).await;
        if started.elapsed() >= SOON * 4 {
            break;
        }
        heard += 1;
        told |= matches!(hint, ResponseHint::Changed);
    }
    assert!(heard < 10_000, "an unbounded queue");
    assert!(told, "hints were dropped without a word");
}

/// Returns on a hint, or after `timer`.
pub async fn waiting_ends_with_the_timer(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut jobs = engine.bus.watch_jobs().await;
    let mut response = engine.bus.watch_response("resp_1").await;
    let started = Instant::now();
    jobs.wait(SOON).await;
    let hint = response.next(SOON).await;
    assert!(matches!(hint, ResponseHint::Changed));
    assert!(started.elapsed() >= SOON * 2);
    assert!(started.elapsed() < LATE);
}

/// Publishing never waits and never fails.
pub async fn publishing_to_nobody_does_nothing(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    drop(engine.bus.watch_response("resp_1").await);
    drop(engine.bus.watch_jobs().await);
    for _ in 0..1000 {
        engine.bus.publish_jobs();
        engine.bus.publish_directory();
        engine.bus.publish_response("resp_1", ResponseHint::Changed);
    }
}

/// Appends `count` events with hints, then finishes.
async fn write(engine: Engine, bus: Arc<dyn Bus>, lease: Lease, count: u64) {
    let hint = |first_seq, batch, terminal| ResponseHint::Events {
        first_seq,
        batch,
        rewinds: 0,
        terminal,
    };
    for seq in 1..=count {
        let batch = EventBatch::of([seq.to_string()]);
        let append = engine.store.append_events(&lease, seq, batch.clone());
        append.await.unwrap();
        bus.publish_response(&lease.response_id, hint(seq, batch, false));
    }
    let (seq, batch) = (count + 1, EventBatch::of(["end"]));
    let end = terminal(Status::Completed);
    let finish = engine.store.finish(&lease, seq, batch.clone(), end);
    finish.await.unwrap();
    bus.publish_response(&lease.response_id, hint(seq, batch, true));
}

fn all(count: u64) -> Vec<String> {
    let numbers = (1..=count).map(|n| n.to_string());
    ["created".to_owned()]
        .into_iter()
        .chain(numbers)
        .chain(["end".to_owned()])
        .collect()
}

/// A change committed after subscribing is hinted at, so *watch, read, wait* misses
/// nothing while the bus works, no matter when the follower starts.
pub async fn watch_read_wait_misses_nothing(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = running(&engine, LONG).await;
    let id = lease.response_id.clone();
    let writer = tokio::spawn(write(engine.clone(), engine.bus.clone(), lease, 100));
    let mut followers = Vec::new();
    for _ in 0..10 {
        let (engine, id) = (engine.clone(), id.clone());
        followers.push(tokio::spawn(async move {
            let started = Instant::now();
            // A missed hint would cost the whole timer.
            let timer = Duration::from_mins(1);
            let followed = follow(&engine, &*engine.bus, &id, timer).await;
            assert!(started.elapsed() < timer);
            followed.0
        }));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    writer.await.unwrap();
    for follower in followers {
        assert_eq!(follower.await.unwrap(), all(100));
    }
}

/// A bus that loses every hint.
struct LosesAll(Arc<dyn Bus>);

#[async_trait]
impl Bus for LosesAll {
    fn publish_jobs(&self) {}
    fn publish_directory(&self) {}
    fn publish_response(&self, _id: &str, _hint: ResponseHint) {}
    async fn watch_jobs(&self) -> Wake {
        self.0.watch_jobs().await
    }
    async fn watch_directory(&self) -> Wake {
        self.0.watch_directory().await
    }
    async fn watch_response(&self, id: &str) -> ResponseHints {
        self.0.watch_response(id).await
    }
}

/// A hint may be lost: with its timer, the follower still sees every event.
pub async fn a_follower_without_hints_sees_all(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let bus: Arc<dyn Bus> = Arc::new(LosesAll(engine.bus.clone()));
    let lease = running(&engine, LONG).await;
    let id = lease.response_id.clone();
    let writer = tokio::spawn(write(engine.clone(), bus.clone(), lease, 100));
    let timer = Duration::from_millis(20);
    let (events, hinted) = follow(&engine, &*bus, &id, timer).await;
    writer.await.unwrap();
    assert_eq!(events, all(100));
    assert_eq!(hinted, 0);
}
