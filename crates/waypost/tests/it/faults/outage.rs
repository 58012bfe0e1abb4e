//! The model server is away while jobs stream and queue; meanwhile this server
//! is ended in good order, and killed. No answer is lost, none is doubled.
//!
//! `WAYPOST_TEST_OUTAGE_S=180` makes the outage as long as a real one.

use std::time::Duration;

use waypost_testkit::ScriptedUpstream;

use super::{agreed, crash::follow, proved};
use crate::support::{World, answer_of, ended, output_text, until};

/// The longest pause between two probes, and some.
const LONGEST_PAUSE: Duration = Duration::from_secs(75);

#[tokio::test]
async fn no_answer_is_lost_or_doubled() {
    let outage = std::env::var("WAYPOST_TEST_OUTAGE_S");
    let outage = outage.map_or(3, |seconds| seconds.parse().expect("seconds"));
    let outage = Duration::from_secs(outage);
    let mut world = World::builder()
        .top("shutdown_grace = \"3s\"")
        // The answer that breaks off uses one, and so may a probe that the kill
        // ends; the outage none.
        .responses("max_attempts = 3")
        .max_concurrent(4)
        .start()
        .await;
    let mut jobs = Vec::new();
    let mut readers = Vec::new();
    for n in 0..10 {
        // Four of them stream; the others wait.
        let model = format!("prefill?tokens=150&delay_ms=10&prompt_tokens={n}");
        let id = world.background_streamable(&model).await;
        let reader = follow(world.client(), id.clone(), outage + LONGEST_PAUSE);
        readers.push((id.clone(), tokio::spawn(reader)));
        jobs.push((id, model, true));
        let model = format!("prefill?tokens=150&delay_ms=10&prompt_tokens=1{n}");
        jobs.push((world.background(&model).await, model, false));
    }
    for n in 0..4 {
        // Answers that cannot be continued, and that nobody has read.
        let model = format!("chat?tokens=400&delay_ms=10&prompt_tokens=2{n}");
        jobs.push((world.background(&model).await, model, false));
    }
    until("answers are on their way", async || {
        let stats = world.upstream.stats();
        let chats = stats.models.keys().filter(|name| name.starts_with("chat"));
        stats.active_streams == 8 && chats.count() == 4
    })
    .await;
    let address = world.upstream.address();
    let elsewhere = ScriptedUpstream::start().await.expect("a model server");
    drop(std::mem::replace(&mut world.upstream, elsewhere));
    tokio::time::sleep(outage / 3).await;
    for n in 10..16 {
        let model = format!("chat?tokens=20&prompt_tokens={n}");
        jobs.push((world.background(&model).await, model, false));
    }
    let status = world.server.terminate().await;
    assert!(status.success(), "{status}");
    world.server.restart().await;
    tokio::time::sleep(outage / 3).await;
    world.server.kill9().await;
    world.server.restart().await;
    tokio::time::sleep(outage / 3).await;
    for (id, model, _) in &jobs {
        let response = world.get(id).await.ok().json;
        let status = response["status"].as_str().expect("a status");
        assert!(
            ["queued", "in_progress"].contains(&status),
            "{model}: {response}"
        );
    }
    world.upstream = ScriptedUpstream::start_on(address, 1000)
        .await
        .expect("the same address");
    let client = world.client();
    for (id, model, streams) in &jobs {
        let response = ended(&client, id, LONGEST_PAUSE).await;
        assert_eq!(response["status"], "completed", "{model}: {response}");
        assert_eq!(output_text(&response), answer_of(model), "{model}");
        if *streams {
            proved(&world, id, model).await;
        }
    }
    agreed(&world, readers).await;
    world.idle().await;
}
