//! A crash inside, between and after items of every kind: what was said stays,
//! and the end is honest.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::Value;

use crate::support::{World, checked, output_text, until};

/// So long nothing new comes once the model server stands still.
const SILENCE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_crash_inside_any_item() {
    let mut world = World::builder()
        .top("tools.buffer = \"none\"")
        .start()
        .await;
    // Stalls after so many deltas; after the crash the model would start over.
    let mut jobs = Vec::new();
    for (script, after) in [
        ("tokens=9", 1..8),
        ("tokens=9&logprobs=1", 2..4),
        ("reasoning_tokens=4&tokens=4", 1..7),
        ("refusal=I+really+cannot+do+that", 1..4),
        // A call is shown with the first of its arguments.
        ("tools=2&tool_fragments=4", 2..9),
        ("tools=2&tool_fragments=4&tool_interleave=1", 3..9),
        ("tools=2&tokens=3", 1..10),
        ("tools=2&tokens=3&tool_text=after", 2..12),
        ("reasoning_tokens=2&tools=1&tokens=2&tool_fragments=3", 1..7),
    ] {
        for after in after {
            for dialect in ["chat", "prefill", "native"] {
                let model =
                    format!("{dialect}?{script}&coalesce=1&stall_after={after}&fail_first=1");
                let id = world.background_streamable(&model).await;
                jobs.push((id, model));
            }
        }
    }
    // All of them stand still, and what was sent is in their logs.
    let before: Vec<Vec<Value>> = stream::iter(&jobs)
        .map(|(id, model)| still(&world, id, model))
        .buffered(jobs.len())
        .collect()
        .await;
    world.server.kill9().await;
    world.server.restart().await;
    for ((id, model), before) in jobs.iter().zip(before) {
        let response = world.ended(id).await;
        let log = world.replay(id, None).await.collect().await;
        assert_eq!(
            log[..before.len()],
            before,
            "{model}: what was seen changed"
        );
        assert_eq!(checked(&log), response, "{model}");
        let status = response["status"].as_str().expect("a status");
        let plain_text = model.starts_with("prefill?tokens=9");
        if plain_text {
            assert_eq!(status, "completed", "{model}: {response}");
            assert_eq!(output_text(&response), "0 1 2 3 4 5 6 7 8 ");
        } else if status == "failed" {
            assert_eq!(response["error"]["code"], "server_error", "{model}");
        } else {
            assert_eq!(status, "completed", "{model}: {response}");
        }
    }
    until("the model server is idle", async || {
        world.upstream.stats().active_streams == 0
    })
    .await;
}

/// What the log holds once it does not grow any more.
async fn still(world: &World, id: &str, model: &str) -> Vec<Value> {
    let mut events = world.replay(id, None).await;
    let mut seen = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(SILENCE, events.next()).await {
        seen.push(event);
    }
    assert!(seen.len() > 3, "{model}: {seen:?}");
    seen
}
