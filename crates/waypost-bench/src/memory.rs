//! Memory of the idle server, of jobs that wait and of streams that are parked.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Bench;
use crate::client::{Conn, Events, Request};
use crate::table::{Row, Section, kibibytes, megabytes};
use crate::world::Waypost;

const IDLE_BYTES: f64 = 60e6;
const STREAM_BYTES: f64 = 20.0 * 1024.0;
/// A waiting job is a row; what it may leave in caches and buffers of the process.
const JOB_BYTES: f64 = 1024.0;
/// How long the allocator and the writer are given to settle.
const SETTLE: Duration = Duration::from_millis(1500);
/// Jobs stored before anything is measured: they fill the store's page cache, whose size is
/// bounded, and which would otherwise be counted as the memory of what is measured.
const FILL: usize = 4000;
/// Connections opened at once.
const AT_ONCE: usize = 50;

pub async fn measure(bench: &mut Bench) -> anyhow::Result<Section> {
    let count = bench.parked();
    let mut rows = Vec::new();
    bench.say("memory: idle");
    let waypost = bench.world.waypost("memory-jobs", "").await?;
    tokio::time::sleep(SETTLE).await;
    let idle = waypost.process.resident() as f64;
    rows.push(
        Row::new("idle server")
            .ours(megabytes(idle))
            .budget(megabytes(IDLE_BYTES), idle <= IDLE_BYTES),
    );
    bench.say("memory: waiting jobs");
    let waiting = waiting_job();
    fill(&waypost).await?;
    let each = jobs(&waypost, &waiting, count).await?;
    rows.push(
        Row::new(format!("{count} waiting jobs"))
            .ours(format!("{} each", kibibytes(each)))
            .budget("0 (a row): ≤ 1 KiB each", each <= JOB_BYTES),
    );
    drop(waypost);

    let streamed =
        |model: &str| json!({"model": model, "input": "Hi", "background": true, "stream": true});
    let cases = [
        (
            "memory-queued",
            "streams parked on queued jobs",
            streamed("parked?stall_after=1"),
            "response.queued",
        ),
        (
            "memory-running",
            "streams of running jobs whose model is silent",
            streamed("scripted?stall_after=1"),
            "response.output_text.delta",
        ),
    ];
    for (name, what, body, until) in cases {
        bench.say(&format!("memory: {what}"));
        let waypost = bench.world.waypost(name, "").await?;
        fill(&waypost).await?;
        let each = streams(&waypost, &body, until, count).await?;
        let row = Row::new(format!("{count} {what}")).ours(format!("{} each", kibibytes(each)));
        rows.push(if until == "response.queued" {
            row.budget(
                format!("≤ {} each", kibibytes(STREAM_BYTES)),
                each <= STREAM_BYTES,
            )
        } else {
            row
        });
    }
    Ok(Section {
        failed: false,
        title: "Memory",
        method: format!(
            "Resident memory of the process: the growth over {count} of each, after {FILL} waiting jobs, which fill the store's caches, and a tenth as many to warm up. A stream includes its client's connection; a running job also its connection to the model server."
        ),
        rows,
    })
}

fn waiting_job() -> serde_json::Value {
    json!({"model": "parked?stall_after=1", "input": "Hi", "background": true})
}

async fn fill(waypost: &Waypost) -> anyhow::Result<()> {
    let request = Request::post("/v1/responses", Some(&waypost.key), &waiting_job());
    let mut fillers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (address, request) = (waypost.address, request.clone());
        fillers.spawn(async move {
            let mut conn = Conn::to(address).await?;
            for _ in 0..FILL / AT_ONCE {
                let status = conn.call(&request).await?;
                ensure!(status == 200, "a job is refused: {status}");
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = fillers.join_next().await {
        done??;
    }
    Ok(())
}

async fn jobs(waypost: &Waypost, body: &serde_json::Value, count: usize) -> anyhow::Result<f64> {
    let request = Request::post("/v1/responses", Some(&waypost.key), body);
    let mut conn = Conn::to(waypost.address).await?;
    let mut submit = async |count: usize| {
        for _ in 0..count {
            let status = conn.call(&request).await?;
            ensure!(status == 200, "a job is refused: {status}");
        }
        tokio::time::sleep(SETTLE).await;
        Ok(waypost.process.resident() as f64)
    };
    let before = submit(count / 10).await?;
    let after = submit(count).await?;
    Ok((after - before) / count as f64)
}

async fn streams(
    waypost: &Waypost,
    body: &serde_json::Value,
    until: &'static str,
    count: usize,
) -> anyhow::Result<f64> {
    let request = Request::post("/v1/responses", Some(&waypost.key), body);
    let mut open: Vec<Events> = Vec::new();
    park(waypost, &request, until, count / 10, &mut open).await?;
    tokio::time::sleep(SETTLE).await;
    let before = waypost.process.resident() as f64;
    park(waypost, &request, until, count, &mut open).await?;
    tokio::time::sleep(SETTLE).await;
    let after = waypost.process.resident() as f64;
    drop(open);
    Ok((after - before) / count as f64)
}

async fn park(
    waypost: &Waypost,
    request: &Request,
    until: &'static str,
    count: usize,
    open: &mut Vec<Events>,
) -> anyhow::Result<()> {
    let mut left = count;
    while left > 0 {
        let mut opening = JoinSet::new();
        for _ in 0..left.min(AT_ONCE) {
            let (address, request) = (waypost.address, request.clone());
            opening.spawn(async move {
                let mut events = Conn::to(address).await?.events(&request).await?;
                events.until(until).await?;
                anyhow::Ok(events)
            });
        }
        left -= left.min(AT_ONCE);
        while let Some(events) = opening.join_next().await {
            open.push(events??);
        }
    }
    Ok(())
}
