//! Looking up items of stored responses by their ids.

use super::{Factory, kit::*};
use crate::{
    Engine,
    events::EventBatch,
    responses::{NewResponse, OutputItem, Retention, Status, Terminal},
};

const MANY: usize = 1 << 20;

async fn find(engine: &Engine, ids: &[&str]) -> Vec<Option<String>> {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    engine.store.find_items(PROJECT, &ids, MANY).await.unwrap()
}

/// A body with these output items, and the list that names them.
fn output(ids: &[&str]) -> (String, Vec<OutputItem>) {
    let items: Vec<String> = ids.iter().map(|id| json(id)).collect();
    let named = (0..).zip(ids).map(|(position, id)| OutputItem {
        id: (*id).to_owned(),
        position,
    });
    let body = format!(r#"{{"output":[{}],"usage":null}}"#, items.join(","));
    (body, named.collect())
}

fn json(id: &str) -> String {
    format!(r#"{{"type":"message","id":"{id}","n":1.0}}"#)
}

async fn foreground(engine: &Engine, ids: &[&str]) -> NewResponse {
    let (body, output) = output(ids);
    let new = NewResponse {
        background: false,
        body,
        output,
        ..new_response()
    };
    let stored = engine.store.insert_finished(new.clone(), Status::Completed);
    stored.await.unwrap();
    new
}

/// Items come as JSON texts in the order of the ids, with `None` for an id that no item
/// has.
pub async fn items_are_found_in_the_order_asked_for(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let new = foreground(&engine, &["msg_a", "msg_b"]).await;
    let input = &new.input[1];
    let found = find(&engine, &["msg_b", "nobody", &input.id, "msg_a", "msg_b"]).await;
    let wanted = [
        Some(json("msg_b")),
        None,
        Some(input.json.clone()),
        Some(json("msg_a")),
        Some(json("msg_b")),
    ];
    assert_eq!(found, wanted);
    assert_eq!(find(&engine, &[]).await, []);
}

/// Input items are found once the response is created, and named output items once it
/// is finished.
pub async fn items_of_a_background_response_are_found_once_they_are_final(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let lease = running(&engine, LONG).await;
    let input = format!("msg_0_{}", lease.response_id);
    assert_eq!(
        find(&engine, &[&input, "msg_a"]).await,
        [Some(r#"{"n":0}"#.into()), None]
    );
    let (body, mut named) = output(&["msg_a", "fc_cut"]);
    named.pop();
    let end = Terminal {
        status: Status::Incomplete,
        body,
        output: named,
    };
    let last = EventBatch::of(["end"]);
    engine.store.finish(&lease, 1, last, end).await.unwrap();
    assert_eq!(
        find(&engine, &["msg_a", "fc_cut"]).await,
        [Some(json("msg_a")), None]
    );
}

/// Only items of stored responses of the project are found.
pub async fn items_of_others_are_not_found(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let (body, output) = output(&["msg_a"]);
    for (project, store) in [(PROJECT, false), ("proj_other", true)] {
        let new = NewResponse {
            project_id: project.into(),
            store,
            body: body.clone(),
            output: output.clone(),
            ..new_response()
        };
        let input = new.input[0].id.clone();
        let stored = engine.store.insert_finished(new, Status::Completed);
        stored.await.unwrap();
        assert_eq!(find(&engine, &["msg_a", &input]).await, [None, None]);
    }
}

/// If several items have one id, the newest response's counts.
pub async fn the_newest_item_of_an_id_counts(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let old = foreground(&engine, &["msg_a"]).await;
    let mut new = new_response();
    new.input[0].id = "msg_a".into();
    new.input[1].id = "msg_a".into();
    let newer = engine
        .store
        .insert_finished(new.clone(), Status::Completed)
        .await;
    newer.unwrap();
    assert_eq!(
        find(&engine, &["msg_a"]).await,
        [Some(new.input[0].json.clone())]
    );
    engine
        .store
        .delete_response(PROJECT, &new.id)
        .await
        .unwrap();
    assert_eq!(find(&engine, &["msg_a"]).await, [Some(json("msg_a"))]);
    engine
        .store
        .delete_response(PROJECT, &old.id)
        .await
        .unwrap();
    assert_eq!(find(&engine, &["msg_a"]).await, [None]);
}

/// Items are found until their response is deleted or swept. A cancelled response has no
/// output.
pub async fn items_go_with_their_response(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let swept = foreground(&engine, &["msg_a"]).await;
    let keep = Retention {
        event_log_ms: 0,
        stored_ms: Some(0),
        ephemeral_ms: 0,
        idempotency_ms: 0,
        audit_ms: None,
    };
    while engine.store.sweep(keep).await.unwrap().responses > 0 {}
    assert_eq!(
        find(&engine, &["msg_a", &swept.input[0].id]).await,
        [None, None]
    );
    let lease = running(&engine, LONG).await;
    let event = EventBatch::of(["cancelled"]);
    let cancelled = engine
        .store
        .cancel_response(PROJECT, &lease.response_id, "{}".into(), event);
    cancelled.await.unwrap();
    let input = format!("msg_0_{}", lease.response_id);
    assert_eq!(find(&engine, &[&input]).await, [Some(r#"{"n":0}"#.into())]);
}

/// `LimitReached` when the items have more than `max_bytes`.
pub async fn referenced_items_are_limited(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    foreground(&engine, &["msg_a", "msg_b"]).await;
    let ids = ["msg_a".to_owned(), "msg_b".to_owned()];
    let bytes = json("msg_a").len() * 2;
    let enough = engine.store.find_items(PROJECT, &ids, bytes).await;
    assert_eq!(enough.unwrap().len(), 2);
    let short = engine.store.find_items(PROJECT, &ids, bytes - 1).await;
    assert_eq!(kind(&short), "limit");
}
