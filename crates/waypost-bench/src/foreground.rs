//! Foreground answers against the model server itself and a plain reverse proxy.

use serde_json::{Value, json};

use crate::Bench;
use crate::client::Request;
use crate::load::{Rate, Target, Turns, Until, fastest, take_turns};
use crate::table::{Cell, Row, Section, rate, time, times};
use crate::world::Waypost;

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const ADDED_P50_US: f64 = 150.0;
const ADDED_P99_US: f64 = 1000.0;
const THROUGHPUT: f64 = 0.5;

/// One kind of request.
pub struct Kind {
    pub name: &'static str,
    pub path: &'static str,
    pub body: Value,
    /// Whether the budget of unstored answers is its budget.
    budgeted: bool,
}

pub fn kinds() -> Vec<Kind> {
    let stream_model = "scripted?tokens=32&coalesce=1";
    let question = "What is the capital of France?";
    let messages = json!([{"role": "user", "content": question}]);
    let kind = |name, path, body, budgeted| Kind {
        name,
        path,
        body,
        budgeted,
    };
    vec![
        kind(
            "chat",
            CHAT,
            json!({"model": "scripted", "messages": messages}),
            true,
        ),
        kind(
            "chat, streamed",
            CHAT,
            json!({"model": stream_model, "messages": messages, "stream": true}),
            true,
        ),
        kind(
            "response, `store: false`",
            RESPONSES,
            json!({"model": "scripted", "input": question, "store": false}),
            true,
        ),
        kind(
            "response, `store: false`, streamed",
            RESPONSES,
            json!({"model": stream_model, "input": question, "store": false, "stream": true}),
            true,
        ),
        kind(
            "response, stored",
            RESPONSES,
            json!({"model": "scripted", "input": question}),
            false,
        ),
        kind(
            "response, stored, streamed",
            RESPONSES,
            json!({"model": stream_model, "input": question, "stream": true}),
            false,
        ),
    ]
}

/// The model server, Waypost, and nginx if it is there: in this order.
fn targets<'a>(
    bench: &'a Bench,
    waypost: &'a Waypost,
    path: &str,
    body: &Value,
) -> Vec<Target<'a>> {
    let plain = Request::post(path, None, body);
    let mut targets = vec![
        Target {
            address: bench.world.upstream,
            request: plain.clone(),
            process: None,
            status: 200,
        },
        Target {
            address: waypost.address,
            request: Request::post(path, Some(&waypost.key), body),
            process: Some(&waypost.process),
            status: 200,
        },
    ];
    if let Ok(proxy) = &bench.world.proxy {
        targets.push(Target {
            address: proxy.address,
            request: plain,
            process: Some(&proxy.process),
            status: 200,
        });
    }
    targets
}

/// Latency one request at a time, then the rates.
pub async fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Section>> {
    let waypost = bench.world.waypost("foreground", "").await?;
    let mut rng = bench.rng();
    let effort = bench.effort;
    let mut latency = Vec::new();
    let mut throughput = Vec::new();
    for kind in kinds() {
        bench.say(&format!("foreground: {}", kind.name));
        let targets = targets(bench, &waypost, kind.path, &kind.body);
        let turns = take_turns(&targets, Until::End, effort, &mut rng).await?;
        latency.extend(latency_rows(bench, &kind, &turns));
        let best = fastest(&targets, bench.concurrencies(), effort, &mut rng).await?;
        throughput.push(throughput_row(bench, &kind, &best));
    }
    let first = first_token(bench, &waypost, &mut rng).await?;
    Ok(vec![
        Section {
            failed: false,
            title: "Foreground: added latency",
            method: format!(
                "One request at a time on kept connections, each target once a turn in random order; {} rounds of {} turns, medians of the rounds' values. The difference is the median (and the 99th percentile) of Waypost minus direct within a turn. Streams have 32 tokens without pauses and are timed to their end.",
                effort.rounds, effort.pairs
            ),
            rows: latency,
        },
        Section {
            failed: false,
            title: "Foreground: throughput",
            method: format!(
                "Closed loops of {:?} connections; model server (one thread), load generator (one thread) and target share all cores. Shown is the concurrency where the target is fastest. Processor time is that of the target's process: with it the rates of Waypost and nginx can be compared without the cost of the load.",
                bench.concurrencies()
            ),
            rows: throughput,
        },
        Section {
            failed: false,
            title: "Foreground: added time to the first token",
            method: "From sending the request to the first text of the answer; tokens come 1 ms apart. Turns as above.".to_owned(),
            rows: first,
        },
    ])
}

fn latency_rows(bench: &Bench, kind: &Kind, turns: &Turns) -> Vec<Row> {
    let (direct, ours) = (turns.latency(0), turns.latency(1));
    let added = turns.added(1, 0);
    let peer = |share: fn(crate::stats::Spread) -> f64| match &bench.world.proxy {
        Ok(_) => {
            let (all, added) = (turns.latency(2), turns.added(2, 0));
            Cell::Text(format!("{} (+{})", time(share(all)), time(share(added))))
        }
        Err(reason) => Cell::Absent(reason.clone()),
    };
    let row = |share: fn(crate::stats::Spread) -> f64, name: &str, budget: f64| {
        let row = Row::new(format!("{}, {name}", kind.name))
            .direct(time(share(direct)))
            .peer(peer(share))
            .ours(time(share(ours)))
            .difference(format!("+{}", time(share(added))));
        if kind.budgeted {
            let met = share(added) <= budget;
            row.budget(format!("+{}", time(budget)), met)
        } else {
            row.budget_unknown("one group commit more")
        }
    };
    vec![
        row(|spread| spread.p50, "p50", ADDED_P50_US),
        row(|spread| spread.p99, "p99", ADDED_P99_US),
    ]
}

fn throughput_row(bench: &Bench, kind: &Kind, best: &[(usize, Rate)]) -> Row {
    let show = |(at, best): (usize, Rate)| {
        let cpu = best.cpu_us.map(|us| format!(", {us:.0} µs cpu"));
        format!(
            "{} at {at}{}",
            rate(best.per_second),
            cpu.unwrap_or_default()
        )
    };
    let (direct, ours) = (best[0], best[1]);
    let row = Row::new(kind.name).direct(show(direct)).ours(show(ours));
    match &bench.world.proxy {
        Ok(_) => {
            let nginx = best[2];
            let ratio = ours.1.per_second / nginx.1.per_second;
            let cpu = nginx
                .1
                .cpu_us
                .zip(ours.1.cpu_us)
                .map_or(f64::NAN, |(n, w)| w / n);
            let row = row.peer(Cell::Text(show(nginx))).difference(format!(
                "{} of nginx's rate, {} its cpu",
                times(ratio),
                times(cpu)
            ));
            if kind.budgeted {
                row.budget("≥ 0.50× of nginx", ratio >= THROUGHPUT)
            } else {
                row
            }
        }
        Err(reason) => {
            let ratio = ours.1.per_second / direct.1.per_second;
            row.peer(Cell::Absent(reason.clone()))
                .difference(format!("{} of direct", times(ratio)))
                .budget_unknown("≥ 0.50× of nginx")
        }
    }
}

async fn first_token(
    bench: &Bench,
    waypost: &Waypost,
    rng: &mut crate::stats::Rng,
) -> anyhow::Result<Vec<Row>> {
    let model = "scripted?tokens=4&delay_ms=1";
    let chat =
        json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let response = json!({"model": model, "stream": true, "input": "Hi", "store": false});
    let cases = [
        ("chat", CHAT, chat, r#""content":"0"#),
        (
            "response",
            RESPONSES,
            response,
            "response.output_text.delta",
        ),
    ];
    let mut effort = bench.effort;
    effort.pairs = (effort.pairs / 5).max(10);
    let mut rows = Vec::new();
    for (name, path, body, text) in cases {
        bench.say(&format!("first token: {name}"));
        let targets = targets(bench, waypost, path, &body);
        let turns = take_turns(&targets, Until::Text(text), effort, rng).await?;
        let kind = Kind {
            name,
            path,
            body,
            budgeted: true,
        };
        rows.extend(latency_rows(bench, &kind, &turns));
    }
    Ok(rows)
}
