//! Conversations chained by `previous_response_id`.

use super::{Factory, kit::*};
use crate::{
    Engine,
    responses::{ChainLimits, Status},
};

const WIDE: ChainLimits = ChainLimits {
    max_turns: 100,
    max_bytes: 1 << 20,
};

async fn chain(engine: &Engine, turns: usize) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..turns {
        let mut new = new_response();
        new.previous_response_id = ids.last().cloned();
        ids.push(new.id.clone());
        (engine.store)
            .insert_finished(new, Status::Completed)
            .await
            .unwrap();
    }
    ids
}

/// A chain has the responses that lead to `id`, and `id` itself, oldest first, each with
/// its own input and body.
pub async fn a_chain_is_loaded_oldest_first(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let ids = chain(&engine, 5).await;
    let turns = engine.store.load_chain(PROJECT, &ids[3], WIDE).await;
    let turns = turns.unwrap();
    let found: Vec<_> = turns.iter().map(|turn| turn.id.as_str()).collect();
    assert_eq!(found, ids[..4]);
    for turn in turns {
        assert_eq!(turn.input, [r#"{"n":0}"#, r#"{"n":1}"#]);
        assert_eq!(turn.body, format!(r#"{{"id":"{}"}}"#, turn.id));
        assert_eq!(turn.status, Status::Completed);
    }
}

/// `NotFound` when any response of the chain is missing. Another project's response
/// counts as missing.
pub async fn a_chain_with_a_missing_turn_is_not_found(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let ids = chain(&engine, 3).await;
    engine
        .store
        .delete_response(PROJECT, &ids[1])
        .await
        .unwrap();
    let broken = engine.store.load_chain(PROJECT, &ids[2], WIDE).await;
    assert_eq!(kind(&broken), "not found");
    assert!(
        engine
            .store
            .load_chain(PROJECT, &ids[0], WIDE)
            .await
            .is_ok()
    );

    let mut foreign = new_response();
    foreign.project_id = "proj_other".into();
    foreign.previous_response_id = Some(ids[0].clone());
    let (id, made) = (
        foreign.id.clone(),
        engine.store.insert_finished(foreign, Status::Completed),
    );
    made.await.unwrap();
    let stolen = engine.store.load_chain("proj_other", &id, WIDE).await;
    assert_eq!(kind(&stolen), "not found");
}

/// `LimitReached` when the chain is longer or larger than the limits. A chain that
/// leads back to itself is longer than any limit.
pub async fn a_chain_is_limited(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let ids = chain(&engine, 4).await;
    let load = |limits| engine.store.load_chain(PROJECT, &ids[3], limits);
    let turns = |max_turns| ChainLimits { max_turns, ..WIDE };
    let bytes = |max_bytes| ChainLimits { max_bytes, ..WIDE };
    assert_eq!(load(turns(4)).await.unwrap().len(), 4);
    assert_eq!(kind(&load(turns(3)).await), "limit");
    let size: usize = (load(WIDE).await.unwrap().iter())
        .map(|turn| turn.body.len() + turn.input.iter().map(String::len).sum::<usize>())
        .sum();
    assert_eq!(load(bytes(size)).await.unwrap().len(), 4);
    assert_eq!(kind(&load(bytes(size - 1)).await), "limit");

    let mut ring = new_response();
    ring.previous_response_id = Some(ring.id.clone());
    let id = ring.id.clone();
    (engine.store)
        .insert_finished(ring, Status::Completed)
        .await
        .unwrap();
    let ring = engine.store.load_chain(PROJECT, &id, WIDE).await;
    assert_eq!(kind(&ring), "limit");
}
