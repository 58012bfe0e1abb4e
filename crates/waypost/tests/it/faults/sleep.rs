//! A process that sleeps past its leases and wakes without knowing.

use std::time::Duration;

use super::{must_complete, proved};
use crate::support::{Chance, World};

#[tokio::test]
async fn a_zombie_writes_nothing() {
    let mut chance = Chance::new(7);
    let world = World::builder()
        .responses("lease = \"1s\"\nmax_attempts = 100")
        .start()
        .await;
    let mut jobs = Vec::new();
    for n in 0..24 {
        let dialect = if n % 3 == 0 { "chat" } else { "prefill" };
        let tokens = chance.within(200..400);
        let model = format!("{dialect}?tokens={tokens}&delay_ms=8&prompt_tokens={n}");
        jobs.push((world.background_streamable(&model).await, model));
    }
    for nap in [1500, 2600] {
        tokio::time::sleep(Duration::from_millis(chance.within(200..600))).await;
        assert!(world.upstream.stats().active_streams > 0, "nothing runs");
        world.server.stop();
        // The model server goes on sending: the zombie wakes with full hands.
        tokio::time::sleep(Duration::from_millis(nap)).await;
        world.server.cont();
    }
    let (mut completed, mut failed) = (0, 0);
    for (id, model) in &jobs {
        world.ended(id).await;
        let response = proved(&world, id, model).await;
        if response["status"] == "completed" {
            completed += 1;
        } else {
            assert!(!must_complete(model), "{model}: {response}");
            failed += 1;
        }
    }
    let metrics = world.server.anonymous().get("/metrics").await.text;
    let takeovers: f64 = metrics
        .lines()
        .find(|line| line.contains("takeovers") && !line.starts_with('#'))
        .and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .expect("a count of takeovers");
    assert!(
        takeovers >= 24.0,
        "only {takeovers} leases were lost: nothing was proved"
    );
    world.idle().await;
    println!("{completed} completed, {failed} failed honestly, {takeovers} leases taken over");
}
