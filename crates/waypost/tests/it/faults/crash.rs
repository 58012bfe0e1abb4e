//! kill -9 at random moments, a hundred times, over three hundred jobs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::{Value, json};

use super::{agreed, must_complete, proved};
use crate::{
    harness::Client,
    support::{Chance, Events, PATIENCE, World, answer_of, ended, id_of, output_text, replay_path},
};
use reqwest::Method;

const SEED: u64 = 20_261_123;
const KILLS: usize = 100;
const JOBS: usize = 300;
/// A crash, and a restart, take no longer than this for any reader.
const READER_PATIENCE: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_crashes_over_three_hundred_jobs() {
    let started = Instant::now();
    let mut chance = Chance::new(SEED);
    let mut world = World::builder()
        .responses("lease = \"2s\"\nmax_attempts = 1000000")
        .max_concurrent(12)
        .start()
        .await;
    let mut jobs: Vec<Job> = Vec::new();
    let mut readers = Vec::new();
    let mut in_flight_at_kill = 0;
    for round in 0..KILLS {
        let client = world.client();
        // Some are being created while it dies: only what was answered counts.
        let wanted = (JOBS * (round + 1) / KILLS).saturating_sub(jobs.len());
        let creating: Vec<_> = (0..wanted)
            .map(|n| {
                let dialect = if chance.next().is_multiple_of(2) {
                    "chat"
                } else {
                    "prefill"
                };
                // Those that only poll can have read nothing: they must complete.
                let streams = !chance.next().is_multiple_of(3);
                let tokens = chance.within(10..70);
                let delay = chance.within(1..12);
                // A name of its own for each job: the script is the same.
                let model =
                    format!("{dialect}?tokens={tokens}&delay_ms={delay}&prompt_tokens={round}{n}");
                tokio::spawn(try_create(client.clone(), model, streams))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(chance.within(0..350))).await;
        in_flight_at_kill += usize::from(world.upstream.stats().active_streams > 0);
        world.server.kill9().await;
        for created in join_all(creating).await {
            if let Some(job) = created.expect("no panic") {
                if job.streams && jobs.len().is_multiple_of(3) {
                    let reader = follow(client.clone(), job.id.clone(), READER_PATIENCE);
                    readers.push((job.id.clone(), tokio::spawn(reader)));
                }
                jobs.push(job);
            }
        }
        world.server.restart().await;
    }
    // What is missing, in peace.
    while jobs.len() < JOBS {
        let model = format!("prefill?tokens=20&delay_ms=2&prompt_tokens={}", jobs.len());
        let job = try_create(world.client(), model, true).await;
        jobs.push(job.expect("it serves"));
    }
    let crashed = started.elapsed();
    let client = world.client();
    let (mut completed, mut failed) = (0, 0);
    for job in &jobs {
        ended(&client, &job.id, PATIENCE).await;
    }
    for Job { id, model, streams } in &jobs {
        let response = if *streams {
            proved(&world, id, model).await
        } else {
            let response = world.get(id).await.ok().json;
            assert_eq!(output_text(&response), answer_of(model), "{id} ({model})");
            response
        };
        if response["status"] == "completed" {
            completed += 1;
        } else {
            assert!(*streams && !must_complete(model), "{model}: {response}");
            failed += 1;
        }
    }
    let starts_again = world.server.log().matches("starts again").count();
    assert!(
        starts_again > 0,
        "no crash hit a job that nobody had read: the test proves little"
    );
    // What readers saw across the crashes is what the logs hold now.
    let reader_count = readers.len();
    agreed(&world, readers).await;
    world.idle().await;
    assert!(
        in_flight_at_kill > KILLS / 2,
        "only {in_flight_at_kill} kills hit a running job"
    );
    assert!(
        failed > 0,
        "no crash hit a job that cannot be continued and was read: the test proves little"
    );
    println!(
        "{KILLS} kills ({in_flight_at_kill} with answers in flight), {} jobs: {completed} completed \
         ({starts_again} starts anew), {failed} failed honestly, {reader_count} readers across crashes; {:.1} s of crashes, {:.1} s in all",
        jobs.len(),
        crashed.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
}

struct Job {
    id: String,
    model: String,
    streams: bool,
}

async fn try_create(client: Client, model: String, streams: bool) -> Option<Job> {
    let body = json!({"model": model, "input": "go", "background": true, "stream": streams});
    let request = client.request(Method::POST, "/v1/responses").json(&body);
    let answer = request.send().await.ok()?;
    assert_eq!(answer.status(), 200);
    if !streams {
        let created: Value = answer.json().await.ok()?;
        let id = id_of(&created);
        return Some(Job { id, model, streams });
    }
    // The first event is durable when it comes; until then nothing is promised.
    let mut events = Events::of(answer);
    let created = events.try_next().await.ok()??;
    let id = id_of(&created["response"]);
    Some(Job { id, model, streams })
}

/// Reads a stream to its end, however often it breaks.
pub(super) async fn follow(client: Client, id: String, patience: Duration) -> Vec<Value> {
    let deadline = Instant::now() + patience;
    let mut seen: Vec<Value> = Vec::new();
    while Instant::now() < deadline {
        let after = seen.len().checked_sub(1).map(|n| n as u64);
        let request = client.request(Method::GET, &replay_path(&id, after));
        let Ok(answer) = request.timeout(patience).send().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        assert_eq!(answer.status(), 200);
        let mut events = Events::of(answer);
        while let Ok(Some(event)) = events.try_next().await {
            seen.push(event);
        }
        if events.done {
            return seen;
        }
    }
    panic!("{id} did not end for its reader");
}

#[tokio::test]
async fn ready_jobs_wait_for_the_next_start() {
    let mut world = World::builder().max_concurrent(1).start().await;
    let running = world
        .background_streamable("prefill?tokens=400&delay_ms=5")
        .await;
    world.running(&running).await;
    let mut waiting = Arc::new(Vec::new());
    for n in 0..5 {
        let model = format!("prefill?tokens=3&prompt_tokens={n}");
        let id = world.background_streamable(&model).await;
        Arc::make_mut(&mut waiting).push((id, model));
    }
    world.server.kill9().await;
    world.server.restart().await;
    for (id, model) in waiting.iter() {
        let response = world.ended(id).await;
        assert_eq!(response["status"], "completed");
        proved(&world, id, model).await;
    }
    let metrics = world.server.anonymous().get("/metrics").await.text;
    assert!(
        metrics
            .lines()
            .any(|line| line.contains("takeovers") && line.ends_with(" 1")),
        "{metrics}"
    );
}
