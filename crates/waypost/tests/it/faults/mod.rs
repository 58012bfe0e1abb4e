//! What breaks: processes, disks, clients, model servers. Nothing is lost,
//! doubled, altered, leaked or called complete when it is not.

mod cancel_races;
mod clients;
mod crash;
mod disk;
mod items;
mod model_server;
mod outage;
mod shutdown;
mod sleep;

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::{World, answer_of, checked, output_text};

/// What an ended job was, once everything about it has been proved: its log is
/// whole, without a gap, with one terminal event; the log and `GET` agree; the
/// text is exact if it completed, and the exact beginning if it honestly did
/// not.
pub(super) async fn proved(world: &World, id: &str, model: &str) -> Value {
    let response = world.get(id).await.ok().json;
    let mut events = world.replay(id, None).await;
    let log = events.collect().await;
    assert!(events.done, "{id} ({model}) has no end");
    assert_eq!(
        checked(&log),
        response,
        "{id} ({model}): log and GET differ"
    );
    let (text, whole) = (output_text(&response), answer_of(model));
    match response["status"].as_str() {
        Some("completed") => assert_eq!(text, whole, "{id} ({model})"),
        Some("failed") => {
            assert_eq!(response["error"]["code"], "server_error", "{id} ({model})");
            assert!(whole.starts_with(&text), "{id} ({model}): {text:?}");
        }
        Some("cancelled") => assert_eq!(text, ""),
        _ => panic!("{id} ({model}) is {}", response["status"]),
    }
    response
}

/// What readers saw across the faults is what the logs hold now.
pub(super) async fn agreed(world: &World, readers: Vec<(String, JoinHandle<Vec<Value>>)>) {
    for (id, reader) in readers {
        let seen = reader.await.expect("a reader that ends");
        let log = world.replay(&id, None).await.collect().await;
        assert!(seen == log, "a reader of {id} saw something else");
        checked(&seen);
    }
}

/// Whether the model server behind this name continues broken answers, so that
/// nothing but `completed` will do.
pub(super) fn must_complete(model: &str) -> bool {
    model.starts_with("prefill")
}
