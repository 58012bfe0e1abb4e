//! Background responses: accepting them, starting them, and the way to their reader.

use serde_json::{Value, json};

use crate::Bench;
use crate::client::{Conn, Events, Request};
use crate::load::{Rate, Target, Until, fastest, take_turns};
use crate::stats::{Rng, Spread};
use crate::table::{Row, Section, rate, time};
use crate::world::{Waypost, text};

const RESPONSES: &str = "/v1/responses";
const FIRST_BYTE_US: f64 = 15_000.0;
const RESUME_P99_US: f64 = 20_000.0;
/// Tokens of the answer whose stream is resumed.
const RESUMED_TOKENS: u64 = 2000;

pub async fn measure(bench: &mut Bench) -> anyhow::Result<Section> {
    let waypost = bench.world.waypost("background", "").await?;
    let mut rng = bench.rng();
    let mut rows = Vec::new();
    bench.say("background: start and first event");
    rows.extend(first_event(bench, &waypost, &mut rng).await?);
    rows.push(queue_to_start(bench, &waypost).await?);
    bench.say("background: resume");
    rows.push(resume(bench, &waypost, &mut rng).await?);
    bench.say("background: runs to the end");
    rows.push(whole_runs(bench, &waypost, &mut rng).await?);
    bench.say("background: accepted jobs");
    // Last: it leaves a long queue behind.
    rows.extend(accepted(bench, &waypost, &mut rng).await?);
    Ok(Section {
        failed: false,
        title: "Background",
        method: "Latencies one request at a time. Accepted jobs go to a queue that does not move, so that nothing else runs; runs to the end are streamed `POST`s of 8 tokens read to their last event.".to_owned(),
        rows,
    })
}

fn background(waypost: &Waypost, model: &str, stream: bool) -> Request {
    let body = json!({"model": model, "input": "Hi", "background": true, "stream": stream});
    Request::post(RESPONSES, Some(&waypost.key), &body)
}

fn foreground(waypost: &Waypost, model: &str) -> Request {
    let body = json!({"model": model, "input": "Hi", "store": false, "stream": true});
    Request::post(RESPONSES, Some(&waypost.key), &body)
}

fn target(waypost: &Waypost, request: Request) -> Target<'_> {
    Target {
        address: waypost.address,
        request,
        process: Some(&waypost.process),
        status: 200,
    }
}

async fn first_event(bench: &Bench, waypost: &Waypost, rng: &mut Rng) -> anyhow::Result<Vec<Row>> {
    let model = "scripted?tokens=4&delay_ms=1";
    let targets = [
        target(waypost, foreground(waypost, model)),
        target(waypost, background(waypost, model, true)),
    ];
    let mut effort = bench.effort;
    effort.pairs = (effort.pairs / 10).max(10);
    let cases = [
        ("first byte of a stream, p50", Until::FirstByte, true),
        (
            "first text of a stream, p50",
            Until::Text("response.output_text.delta"),
            false,
        ),
    ];
    let mut rows = Vec::new();
    for (name, until, budgeted) in cases {
        let turns = take_turns(&targets, until, effort, rng).await?;
        let added = turns.added(1, 0);
        let row = Row::new(name)
            .direct(format!("{} (foreground)", time(turns.latency(0).p50)))
            .ours(time(turns.latency(1).p50))
            .difference(format!("+{} (p99 +{})", time(added.p50), time(added.p99)));
        rows.push(if budgeted {
            row.budget(
                format!("+{}", time(FIRST_BYTE_US)),
                added.p50 <= FIRST_BYTE_US,
            )
        } else {
            row
        });
    }
    Ok(rows)
}

/// From the stored job's announcement to that of its start, as a client sees both.
async fn queue_to_start(bench: &Bench, waypost: &Waypost) -> anyhow::Result<Row> {
    let request = background(waypost, "scripted?tokens=1", true);
    let mut times = Vec::new();
    for _ in 0..bench.singles() {
        let mut events = open(waypost, &request).await?;
        let (_, created) = events.until("response.created").await?;
        let (_, started) = events.until("response.in_progress").await?;
        times.push((started - created).as_secs_f64() * 1e6);
        events.until("[DONE]").await?;
    }
    let spread = Spread::of(times);
    Ok(Row::new("queue to start, p50 / p99").ours(both(spread)))
}

async fn resume(bench: &Bench, waypost: &Waypost, rng: &mut Rng) -> anyhow::Result<Row> {
    let request = background(waypost, &format!("scripted?tokens={RESUMED_TOKENS}"), true);
    let mut events = open(waypost, &request).await?;
    let (created, _) = events.until("response.created").await?;
    let id = response_id(&created)?;
    events.until("[DONE]").await?;
    let mut conn = Conn::to(waypost.address).await?;
    let mut times = Vec::new();
    for _ in 0..bench.singles() {
        let after = rng.below(RESUMED_TOKENS);
        let path = format!("{RESPONSES}/{id}?stream=true&starting_after={after}");
        let request = Request::get(&path, Some(&waypost.key));
        let start = std::time::Instant::now();
        let status = conn.open(&request).await?;
        let first = conn.piece().await?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        anyhow::ensure!(status == 200 && first.is_some(), "no stream: {status}");
        while conn.piece().await?.is_some() {}
    }
    let spread = Spread::of(times);
    Ok(Row::new(format!(
        "resume anywhere in {RESUMED_TOKENS} events, p50 / p99"
    ))
    .ours(both(spread))
    .budget(
        format!("{} p99", time(RESUME_P99_US)),
        spread.p99 <= RESUME_P99_US,
    ))
}

async fn whole_runs(bench: &Bench, waypost: &Waypost, rng: &mut Rng) -> anyhow::Result<Row> {
    let request = background(waypost, "scripted", true);
    let (at, best) = sweep(bench, target(waypost, request), rng).await?;
    Ok(Row::new("runs to the end").ours(shown(at, best)))
}

async fn accepted(bench: &Bench, waypost: &Waypost, rng: &mut Rng) -> anyhow::Result<Vec<Row>> {
    let request = background(waypost, "parked?stall_after=1", false);
    let mut one = bench.effort;
    one.pairs = (one.pairs / 10).max(10);
    let targets = [target(waypost, request.clone())];
    let turns = take_turns(&targets, Until::End, one, rng).await?;
    let latency = Row::new("accepting a job, p50 / p99").ours(both(turns.latency(0)));
    let (at, best) = sweep(bench, target(waypost, request), rng).await?;
    let rate = Row::new("accepted jobs").ours(shown(at, best));
    Ok(vec![latency, rate])
}

/// The concurrency at which it is fastest.
async fn sweep(bench: &Bench, target: Target<'_>, rng: &mut Rng) -> anyhow::Result<(usize, Rate)> {
    let targets = [target];
    let best = fastest(&targets, bench.concurrencies(), bench.effort, rng).await?;
    Ok(best[0])
}

fn shown(at: usize, best: Rate) -> String {
    let cpu = best.cpu_us.map(|us| format!(", {us:.0} µs cpu"));
    format!(
        "{} at {at}{}",
        rate(best.per_second),
        cpu.unwrap_or_default()
    )
}

pub fn both(spread: Spread) -> String {
    format!("{} / {}", time(spread.p50), time(spread.p99))
}

async fn open(waypost: &Waypost, request: &Request) -> anyhow::Result<Events> {
    Conn::to(waypost.address).await?.events(request).await
}

/// The id in a `response.created` event.
pub fn response_id(event: &[u8]) -> anyhow::Result<String> {
    let event = std::str::from_utf8(event)?;
    let data = event.lines().find_map(|line| line.strip_prefix("data: "));
    let data: Value = serde_json::from_str(data.unwrap_or_default())?;
    text(&data, "/response/id")
}
