//! Responses: creation, reading, deletion, cancelling.

use super::{Factory, kit::*};
use crate::{
    events::EventBatch,
    page::PageQuery,
    responses::{Cancelled, Status},
};

/// `create_background` stores row, input, first events and job, as `queued`.
pub async fn a_background_response_is_stored_whole(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut new = new_response();
    new.previous_response_id = Some("resp_before".into());
    new.streamable = false;
    let first = EventBatch::of(["a", "", "c"]);
    let made = (engine.store).create_background(new.clone(), first, new_job("q"), 10);
    made.await.unwrap();

    let stored = engine.store.get_response(PROJECT, &new.id).await.unwrap();
    assert_eq!(stored.id, new.id);
    assert_eq!(stored.project_id, new.project_id);
    assert_eq!(stored.status, Status::Queued);
    assert_eq!(stored.body, new.body);
    assert_eq!(stored.created_at, new.created_at);
    assert!(stored.background && stored.store && !stored.streamable && !stored.log_dropped);
    assert_eq!(stored.previous_response_id, new.previous_response_id);
    assert_eq!(stored.next_seq, 3);
    assert_eq!(log(&engine, &new.id).await, ["a", "", "c"]);
    let items = engine.store.list_input_items(PROJECT, &new.id, page(9));
    assert_eq!(items.await.unwrap().items, new.input);
    let claimed = claim(&engine, "q", 9, LONG).await;
    assert_eq!(claimed[0].request, new_job("q").request);
    assert_eq!(claimed[0].queue, "q");
}

/// An id that exists is a `Conflict`, no matter which method stored it.
pub async fn an_id_is_used_once(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let new = new_response();
    let first = EventBatch::of(["first"]);
    let again = |project: &str| {
        let mut again = new.clone();
        again.body = "other".into();
        again.project_id = project.into();
        again
    };
    let create = |new, first: &EventBatch| {
        (engine.store).create_background(new, first.clone(), new_job("q"), 10)
    };
    create(new.clone(), &first).await.unwrap();
    let second = EventBatch::of(["x", "y"]);
    assert_eq!(kind(&create(again(PROJECT), &second).await), "conflict");
    assert_eq!(
        kind(&create(again("proj_other"), &second).await),
        "conflict"
    );
    let finished = (engine.store).insert_finished(again(PROJECT), Status::Completed);
    assert_eq!(kind(&finished.await), "conflict");

    let stored = engine.store.get_response(PROJECT, &new.id).await.unwrap();
    assert_eq!(stored.body, new.body);
    assert_eq!(stored.status, Status::Queued);
    assert_eq!(log(&engine, &new.id).await, ["first"]);
    assert_eq!(engine.store.job_counts().await.unwrap().queued, 1);
}

/// `LimitReached` when `max_queued` jobs have no worker.
pub async fn the_queue_is_limited(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let create = |new| {
        let first = EventBatch::of(["created"]);
        (engine.store).create_background(new, first, new_job("q"), 2)
    };
    create(new_response()).await.unwrap();
    create(new_response()).await.unwrap();
    let third = new_response();
    let refused = create(third.clone()).await;
    assert_eq!(kind(&refused), "limit");
    let gone = engine.store.get_response(PROJECT, &third.id).await;
    assert_eq!(kind(&gone), "not found");
    // A claimed job has a worker.
    assert_eq!(claim(&engine, "q", 1, LONG).await.len(), 1);
    create(third).await.unwrap();
    assert_eq!(kind(&create(new_response()).await), "limit");
}

/// A foreground response is stored complete, with its terminal status. It has no log
/// and no job.
pub async fn a_foreground_response_is_complete(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    for status in [Status::Completed, Status::Incomplete, Status::Failed] {
        let mut new = new_response();
        new.background = false;
        (engine.store)
            .insert_finished(new.clone(), status)
            .await
            .unwrap();
        let stored = engine.store.get_response(PROJECT, &new.id).await.unwrap();
        assert_eq!(stored.status, status);
        assert_eq!((stored.next_seq, stored.background), (0, false));
        assert!(!stored.log_dropped);
        assert!(log(&engine, &new.id).await.is_empty());
    }
    assert!(engine.store.ready_queues().await.unwrap().is_empty());
    for status in [Status::Queued, Status::InProgress] {
        let made = engine.store.insert_finished(new_response(), status).await;
        assert_eq!(kind(&made), "internal");
    }
}

/// A row of another project is `NotFound`, as is a row that does not exist.
pub async fn another_projects_response_is_not_found(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let store = &engine.store;
    let id = finished(&engine).await;
    for (project, id) in [("proj_other", id.as_str()), (PROJECT, "resp_none")] {
        let limits = crate::responses::ChainLimits {
            max_turns: 5,
            max_bytes: 1000,
        };
        let event = EventBatch::of(["cancelled"]);
        let missing = [
            kind(&store.get_response(project, id).await),
            kind(&store.list_input_items(project, id, page(1)).await),
            kind(&store.load_chain(project, id, limits).await),
            kind(&store.delete_response(project, id).await),
            kind(&store.cancel_response(project, id, "{}".into(), event).await),
            kind(&store.read_events(project, id, None, 1000).await),
        ];
        assert_eq!(missing, ["not found"; 6], "{project} {id}");
    }
    assert_eq!(log(&engine, &id).await.len(), 3);
}

/// Input items are listed in order (`descending`: last first). `after` and `before` are
/// ids of this response's items; an unknown one is `NotFound`.
pub async fn input_items_page_in_order(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut new = new_response();
    // The order is not that of the ids.
    new.input = ["msg_9", "fc_1", "msg_5", "rs_0", "msg_3"]
        .map(|id| crate::responses::InputItem {
            id: id.into(),
            json: format!(r#"{{"id":"{id}"}}"#),
        })
        .into();
    (engine.store)
        .insert_finished(new.clone(), Status::Completed)
        .await
        .unwrap();
    let list = async |after: Option<&str>, before: Option<&str>, limit, descending| {
        let query = PageQuery {
            after: after.map(str::to_owned),
            before: before.map(str::to_owned),
            limit,
            descending,
        };
        let page = engine.store.list_input_items(PROJECT, &new.id, query);
        page.await.map(|page| {
            let ids: Vec<_> = page.items.into_iter().map(|item| item.id).collect();
            (ids.join(" "), page.has_more)
        })
    };
    let found = |ids: &str, more| Ok((ids.to_owned(), more));
    assert_eq!(list(None, None, 2, false).await, found("msg_9 fc_1", true));
    assert_eq!(list(None, None, 2, true).await, found("msg_3 rs_0", true));
    assert_eq!(
        list(Some("fc_1"), None, 5, false).await,
        found("msg_5 rs_0 msg_3", false)
    );
    assert_eq!(
        list(Some("fc_1"), None, 5, true).await,
        found("msg_9", false)
    );
    assert_eq!(
        list(None, Some("rs_0"), 2, false).await,
        found("fc_1 msg_5", true)
    );
    assert_eq!(
        list(None, Some("fc_1"), 2, true).await,
        found("rs_0 msg_5", true)
    );
    assert_eq!(
        list(Some("msg_9"), Some("rs_0"), 5, false).await,
        found("fc_1 msg_5", false)
    );
    for unknown in [
        list(Some("msg_none"), None, 5, false).await,
        list(None, Some("msg_none"), 5, false).await,
    ] {
        assert_eq!(kind(&unknown), "not found");
    }
}

/// A response cannot be deleted while it is queued or in progress (`Refused`).
pub async fn a_running_response_is_not_deleted(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let id = queued(&engine, "q").await;
    assert_eq!(
        kind(&engine.store.delete_response(PROJECT, &id).await),
        "refused"
    );
    let claimed = claim(&engine, "q", 1, LONG).await;
    assert_eq!(
        kind(&engine.store.delete_response(PROJECT, &id).await),
        "refused"
    );
    let end = terminal(Status::Failed);
    let finish = (engine.store).finish(&claimed[0].lease, 1, EventBatch::default(), end);
    finish.await.unwrap();
    engine.store.delete_response(PROJECT, &id).await.unwrap();
}

/// Deleting removes row, input and log. A new response with the same id finds nothing
/// of the old one.
pub async fn deleting_removes_everything(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let id = finished(&engine).await;
    engine.store.delete_response(PROJECT, &id).await.unwrap();
    let again = engine.store.delete_response(PROJECT, &id).await;
    assert_eq!(kind(&again), "not found");
    let mut new = new_response();
    new.id.clone_from(&id);
    new.input.clear();
    (engine.store)
        .insert_finished(new, Status::Completed)
        .await
        .unwrap();
    assert!(log(&engine, &id).await.is_empty());
    let items = engine.store.list_input_items(PROJECT, &id, page(9));
    assert!(items.await.unwrap().items.is_empty());
}

/// A cancel writes status, body and event, raises the epoch and removes the job. The
/// event gets the next number.
pub async fn cancelling_ends_a_background_response(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let cancel = async |id: &str| {
        let event = EventBatch::of(["cancelled"]);
        let body = r#"{"status":"cancelled"}"#.to_owned();
        let cancelled = engine.store.cancel_response(PROJECT, id, body, event);
        match cancelled.await.unwrap() {
            Cancelled::Now(response) => response,
            Cancelled::Unchanged(response) => panic!("unchanged: {response:?}"),
        }
    };
    let id = queued(&engine, "q").await;
    let response = cancel(&id).await;
    assert_eq!(response.status, Status::Cancelled);
    assert_eq!(response.body, r#"{"status":"cancelled"}"#);
    assert_eq!(response.next_seq, 2);
    assert_eq!(log(&engine, &id).await, ["created", "cancelled"]);
    assert!(claim(&engine, "q", 9, LONG).await.is_empty());

    let lease = running(&engine, LONG).await;
    let batch = EventBatch::of(["1", "2", "3"]);
    (engine.store)
        .append_events(&lease, 1, batch)
        .await
        .unwrap();
    assert_eq!(cancel(&lease.response_id).await.next_seq, 5);
    let batch = EventBatch::of(["4"]);
    let late = engine.store.append_events(&lease, 5, batch.clone()).await;
    assert_eq!(kind(&late), "fenced");
    let end = terminal(Status::Completed);
    let late = engine.store.finish(&lease, 5, batch.clone(), end).await;
    assert_eq!(kind(&late), "fenced");
    // The numbers and the status are those of a repeated finish.
    let end = terminal(Status::Cancelled);
    let late = engine.store.finish(&lease, 4, batch, end).await;
    assert_eq!(kind(&late), "fenced");
    let late = engine.store.release_job(&lease, SHORT, true).await;
    assert_eq!(kind(&late), "fenced");
    assert!(
        (engine.store.heartbeat("worker", LONG).await)
            .unwrap()
            .is_empty()
    );
    let events = log(&engine, &lease.response_id).await;
    assert_eq!(events, ["created", "1", "2", "3", "cancelled"]);
    assert_eq!(
        engine.store.job_counts().await.unwrap(),
        crate::responses::JobCounts::default()
    );
}

/// Cancelling a terminal response changes nothing.
pub async fn cancelling_again_changes_nothing(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let done = finished(&engine).await;
    let before = log(&engine, &done).await;
    let event = EventBatch::of(["cancelled"]);
    let cancel = engine
        .store
        .cancel_response(PROJECT, &done, "{}".into(), event);
    let Cancelled::Unchanged(response) = cancel.await.unwrap() else {
        panic!("a completed response was cancelled");
    };
    assert_eq!(response.status, Status::Completed);
    assert_ne!(response.body, "{}");
    assert_eq!(log(&engine, &done).await, before);
}

/// Cancelling a foreground response changes nothing.
pub async fn a_foreground_response_is_not_cancelled(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let mut new = new_response();
    new.background = false;
    (engine.store)
        .insert_finished(new.clone(), Status::Completed)
        .await
        .unwrap();
    let event = EventBatch::of(["cancelled"]);
    let cancel = (engine.store).cancel_response(PROJECT, &new.id, "{}".into(), event);
    let Cancelled::Unchanged(response) = cancel.await.unwrap() else {
        panic!("a foreground response was cancelled");
    };
    assert_eq!((response.status, response.next_seq), (Status::Completed, 0));
}

/// The first response that consumes an approval has it, also after a race, and still
/// has it when it asks again. Each project has its own approvals.
pub async fn an_approval_is_consumed_once(factory: &dyn Factory) {
    let engine = factory.fresh().await;
    let tasks: Vec<_> = (0..20)
        .map(|at| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let response = format!("resp_{at}");
                let owner = engine.store.consume_approval(PROJECT, "mcpr_1", &response);
                (owner.await.unwrap(), response)
            })
        })
        .collect();
    let mut winners = Vec::new();
    let mut owners = std::collections::HashSet::new();
    for task in tasks {
        let (owner, response) = task.await.unwrap();
        if owner == response {
            winners.push(response);
        }
        owners.insert(owner);
    }
    assert_eq!((winners.len(), owners.len()), (1, 1));
    let take = async |project: &str, request: &str, response: &str| {
        let owner = engine.store.consume_approval(project, request, response);
        owner.await.unwrap()
    };
    assert_eq!(take(PROJECT, "mcpr_1", &winners[0]).await, winners[0]);
    assert_eq!(take(PROJECT, "mcpr_1", "resp_late").await, winners[0]);
    assert_eq!(take(PROJECT, "mcpr_2", "resp_late").await, "resp_late");
    assert_eq!(take("proj_other", "mcpr_1", "resp_late").await, "resp_late");
    // The store keeps it as long as responses.
    engine.store.sweep(KEEP).await.unwrap();
    assert_eq!(take(PROJECT, "mcpr_1", "resp_late").await, winners[0]);
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let keep = crate::responses::Retention {
        stored_ms: Some(0),
        ..KEEP
    };
    engine.store.sweep(keep).await.unwrap();
    assert_eq!(take(PROJECT, "mcpr_1", "resp_late").await, "resp_late");
}
