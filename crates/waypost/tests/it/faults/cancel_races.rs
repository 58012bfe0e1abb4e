//! Cancel against complete, and cancel against silence.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use serde_json::json;

use super::proved;
use crate::support::{Chance, World, checked, until_within};

const RACES: u64 = 200;

#[tokio::test]
async fn exactly_one_wins() {
    let mut chance = Chance::new(11);
    let world = World::start().await;
    let plans: Vec<(String, Duration, bool)> = (0..RACES)
        .map(|n| {
            let tokens = chance.within(1..6);
            let model = format!("chat?tokens={tokens}&delay_ms=2&prompt_tokens={n}");
            // About as long as such a job takes, sometimes before it is claimed.
            (
                model,
                Duration::from_millis(chance.within(0..60)),
                n % 4 == 0,
            )
        })
        .collect();
    let outcomes = stream::iter(plans)
        .map(|(model, delay, watched)| {
            let world = &world;
            async move {
                let id = world.background_streamable(&model).await;
                let mut live = if watched {
                    Some(world.replay(&id, None).await)
                } else {
                    None
                };
                tokio::time::sleep(delay).await;
                let client = world.client();
                let path = format!("/v1/responses/{id}/cancel");
                let reply = client.post(&path, json!({})).await;
                let won = reply.status == 200;
                if won {
                    assert_eq!(reply.json["status"], "cancelled");
                    assert_eq!(reply.json["output"], json!([]));
                } else {
                    let message = reply.error(400, None, None);
                    assert_eq!(message, "Cannot cancel a completed response.");
                }
                let response = proved(world, &id, &model).await;
                assert_eq!(
                    response["status"],
                    if won { "cancelled" } else { "completed" }
                );
                if won {
                    assert_eq!(response, reply.json);
                }
                if let Some(live) = &mut live {
                    assert_eq!(
                        live.checked().await,
                        response,
                        "the live reader saw another end"
                    );
                }
                (id, model, won)
            }
        })
        .buffer_unordered(8)
        .collect::<Vec<_>>()
        .await;
    let won = outcomes.iter().filter(|(_, _, won)| *won).count();
    println!("{won} of {RACES} cancels won");
    assert!(
        won > 20 && won < RACES as usize - 20,
        "no race: {won} of {RACES}"
    );
    // A late worker changes nothing.
    tokio::time::sleep(Duration::from_millis(300)).await;
    for (id, model, won) in outcomes.iter().step_by(10) {
        let response = proved(&world, id, model).await;
        assert_eq!(
            response["status"],
            if *won { "cancelled" } else { "completed" }
        );
    }
    world.idle().await;
}

#[tokio::test]
async fn cancels_among_themselves_agree() {
    let world = World::start().await;
    for n in 0..10 {
        let model = format!("chat?tokens=1000&delay_ms=5&prompt_tokens={n}");
        let id = world.background_streamable(&model).await;
        let client = world.client();
        let path = format!("/v1/responses/{id}/cancel");
        let all = futures::future::join_all((0..8).map(|_| client.post(&path, json!({})))).await;
        for reply in &all {
            assert_eq!(reply.status, 200, "{}", reply.text);
            assert_eq!(reply.json, all[0].json);
        }
        let log = world.replay(&id, None).await.collect().await;
        assert_eq!(checked(&log), all[0].json);
    }
    world.idle().await;
}

#[tokio::test]
async fn a_silent_model_server_is_left_at_once() {
    let world = World::builder().max_concurrent(1).start().await;
    for model in [
        "chat?stall_after=2&coalesce=1",
        "chat?slow_headers_ms=60000",
        "chat?first_delay_ms=60000",
        "native?stall_after=1&coalesce=1",
    ] {
        let id = world.background_streamable(model).await;
        world.running(&id).await;
        let asked = Instant::now();
        let path = format!("/v1/responses/{id}/cancel");
        world.client().post(&path, json!({})).await.ok();
        until_within("the slot is free", Duration::from_secs(5), async || {
            world.upstream.stats().active_calls == 0
        })
        .await;
        let dialect = model.split('?').next().expect("a dialect");
        let next = world.background(&format!("{dialect}?tokens=1")).await;
        world.ended(&next).await;
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{model}: {:?}",
            asked.elapsed()
        );
    }
}
