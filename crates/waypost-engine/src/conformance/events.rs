//! Reading event logs.

use super::{Factory, kit::*};
use crate::{
    Engine,
    events::EventBatch,
    responses::{Lease, Status},
};

/// A log of 0..10 in batches of 1, 3, 2 and 4 events.
async fn ten(engine: &Engine) -> Lease {
    let lease = running(engine, LONG).await;
    for range in [1..4, 4..6, 6..10] {
        let batch = EventBatch::of(range.clone().map(|n: u64| n.to_string()));
        let append = engine.store.append_events(&lease, range.start, batch);
        append.await.unwrap();
    }
    lease
}

/// A page has the events after number `after` (`None`: from the start). The first batch
/// may begin before the wanted event, never after it.
pub async fn a_log_is_read_from_any_number(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let id = ten(&engine).await.response_id;
    for after in (0..10).map(Some).chain([None]) {
        let page = engine.store.read_events(PROJECT, &id, after, 1 << 20).await;
        let page = page.unwrap();
        assert_eq!(page.next_seq, 10);
        assert_eq!(page.status, Status::InProgress);
        let wanted = after.map_or(0, |after: u64| after + 1);
        let mut next = page.batches.first().map_or(10, |(first, _)| *first);
        assert!(next <= wanted, "{after:?}");
        for (first, batch) in &page.batches {
            assert_eq!(*first, next);
            for event in batch.iter() {
                let expected = if next == 0 {
                    "created".into()
                } else {
                    next.to_string()
                };
                assert_eq!(text(event), expected);
                next += 1;
            }
            assert!(next > wanted, "a batch that ends before what was asked for");
        }
        assert_eq!(next, 10);
    }
}

/// A page has about `max_bytes` at most, but at least one batch if there is any.
pub async fn a_page_is_bounded_and_never_empty(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = running(&engine, LONG).await;
    let large = vec![b'x'; 1000];
    for n in 0..20 {
        let batch = EventBatch::of([&large]);
        let append = engine.store.append_events(&lease, 1 + n, batch);
        append.await.unwrap();
    }
    let id = &lease.response_id;
    let read = async |after, max| {
        let page = engine.store.read_events(PROJECT, id, after, max).await;
        page.unwrap().batches
    };
    assert_eq!(read(Some(3), 0).await.len(), 1);
    assert_eq!(read(Some(3), 1).await.len(), 1);
    let some = read(Some(0), 5000).await.len();
    assert!((4..=6).contains(&some), "{some} batches of 1,004 bytes");
    assert_eq!(read(None, usize::MAX).await.len(), 21);
    assert_eq!(log(&engine, id).await.len(), 21);
}

/// A page after the end is empty, and tells where the end is.
pub async fn reading_past_the_end_is_empty(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let id = finished(&engine).await;
    for after in [2, 3, 1_000_000, u64::MAX] {
        let page = engine.store.read_events(PROJECT, &id, Some(after), 1000);
        let page = page.await.unwrap();
        assert!(page.batches.is_empty());
        assert_eq!((page.next_seq, page.status), (3, Status::Completed));
        assert!(!page.log_dropped);
    }
}

/// Readers may read a log while it grows. Events that a reader saw stay, and a page's
/// status, end and batches are of one moment.
pub async fn a_log_is_read_while_it_grows(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = running(&engine, LONG).await;
    let id = lease.response_id.clone();
    let writer = {
        let engine = engine.clone();
        tokio::spawn(async move {
            let mut seq = 1;
            for size in (1..=60).map(|n| n % 7 + 1) {
                let batch = EventBatch::of((seq..seq + size).map(|n| n.to_string()));
                let append = engine.store.append_events(&lease, seq, batch);
                append.await.unwrap();
                seq += size;
            }
            let end = terminal(Status::Completed);
            let last = EventBatch::of([seq.to_string()]);
            engine.store.finish(&lease, seq, last, end).await.unwrap();
            seq
        })
    };
    let mut seen: Vec<String> = Vec::new();
    loop {
        let page = engine.store.read_events(PROJECT, &id, None, 1 << 20).await;
        let page = page.unwrap();
        let whole: Vec<String> = (page.batches.iter())
            .flat_map(|(_, batch)| batch.iter().map(text).collect::<Vec<_>>())
            .collect();
        assert_eq!(whole.len() as u64, page.next_seq);
        assert_eq!(whole[..seen.len()], seen[..], "what was seen stays");
        seen = whole;
        if page.status.is_terminal() {
            break;
        }
    }
    let last = writer.await.unwrap();
    assert_eq!(seen.len() as u64, last + 1, "terminal with its last event");
    let numbered = (1..=last).map(|n| n.to_string());
    assert!(numbered.eq(seen.into_iter().skip(1)));
}
