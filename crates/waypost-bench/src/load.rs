//! The two ways of measuring: one request at a time, taking turns; and closed loops.
//!
//! Targets are always compared within a round, in random order, so that whatever disturbs the
//! machine disturbs all of them alike. The first rounds are thrown away.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::task::JoinSet;

use crate::client::{Conn, Request, find};
use crate::process::Process;
use crate::stats::{Rng, Spread, median};

/// What a request is sent to, and what it says.
pub struct Target<'a> {
    pub address: SocketAddr,
    pub request: Request,
    /// The process whose processor time is counted; none for the model server itself.
    pub process: Option<&'a Process>,
    /// The status that it must have.
    pub status: u16,
}

/// When the clock of a paired request stops.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    End,
    FirstByte,
    /// The piece of the body that holds this text.
    Text(&'static str),
}

/// How often and how long.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    pub warm_up: usize,
    pub rounds: usize,
    /// Requests to each target in a round of turns.
    pub pairs: usize,
    /// Of one closed loop.
    pub loop_time: Duration,
}

/// Latencies in microseconds, by target and round.
pub struct Turns(Vec<Vec<Vec<f64>>>);

impl Turns {
    pub fn latency(&self, target: usize) -> Spread {
        Spread::of_rounds(&self.0[target])
    }

    /// How much longer `target` took than `base` asked in the same turn.
    pub fn added(&self, target: usize, base: usize) -> Spread {
        let rounds: Vec<Vec<f64>> = self.0[target]
            .iter()
            .zip(&self.0[base])
            .map(|(ours, theirs)| ours.iter().zip(theirs).map(|(a, b)| a - b).collect())
            .collect();
        Spread::of_rounds(&rounds)
    }
}

/// One request at a time, every target once a turn.
pub async fn take_turns(
    targets: &[Target<'_>],
    until: Until,
    effort: Effort,
    rng: &mut Rng,
) -> anyhow::Result<Turns> {
    let mut conns = Vec::new();
    for target in targets {
        conns.push(Conn::to(target.address).await?);
    }
    let mut all = vec![Vec::new(); targets.len()];
    for round in 0..effort.warm_up + effort.rounds {
        let mut times = vec![Vec::with_capacity(effort.pairs); targets.len()];
        for _ in 0..effort.pairs {
            for at in rng.order(targets.len()) {
                let time = timed(&mut conns[at], &targets[at], until).await?;
                times[at].push(time.as_secs_f64() * 1e6);
            }
        }
        if round >= effort.warm_up {
            for (target, times) in all.iter_mut().zip(times) {
                target.push(times);
            }
        }
    }
    Ok(Turns(all))
}

async fn timed(conn: &mut Conn, target: &Target<'_>, until: Until) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut stopped = None;
    let mut seen = Vec::new();
    let status = conn.open(&target.request).await?;
    while let Some(piece) = conn.piece().await? {
        if stopped.is_some() {
            continue;
        }
        match until {
            Until::End => {}
            Until::FirstByte => stopped = Some(start.elapsed()),
            Until::Text(text) => {
                seen.extend_from_slice(&piece);
                if find(&seen, text.as_bytes()).is_some() {
                    stopped = Some(start.elapsed());
                }
            }
        }
    }
    let whole = start.elapsed();
    ensure!(
        status == target.status,
        "status {status} instead of {}",
        target.status
    );
    match until {
        Until::End => Ok(whole),
        _ => stopped.context("the reply lacks what was to be timed"),
    }
}

/// What closed loops against one target gave.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub per_second: f64,
    /// Processor time of the target's process, microseconds a request.
    pub cpu_us: Option<f64>,
}

/// Closed loops of `concurrency` connections against every target in turn. The rate is the median
/// of the rounds.
pub async fn closed_loops(
    targets: &[Target<'_>],
    concurrency: usize,
    effort: Effort,
    rng: &mut Rng,
) -> anyhow::Result<Vec<Rate>> {
    let mut rates = vec![Vec::new(); targets.len()];
    let mut spent = vec![(0.0, 0); targets.len()];
    for round in 0..effort.warm_up.min(1) + effort.rounds {
        for at in rng.order(targets.len()) {
            let target = &targets[at];
            let before = target.process.map(Process::cpu_seconds);
            let (count, took) = closed_loop(target, concurrency, effort.loop_time).await?;
            if round < effort.warm_up.min(1) {
                continue;
            }
            rates[at].push(count as f64 / took.as_secs_f64());
            if let (Some(process), Some(before)) = (target.process, before) {
                spent[at].0 += process.cpu_seconds() - before;
                spent[at].1 += count;
            }
        }
    }
    let summary = rates.into_iter().zip(spent).zip(targets);
    Ok(summary
        .map(|((rates, (seconds, count)), target)| Rate {
            per_second: median(rates),
            cpu_us: target.process.map(|_| seconds * 1e6 / count.max(1) as f64),
        })
        .collect())
}

/// For each target the concurrency at which it is fastest, and how fast.
pub async fn fastest(
    targets: &[Target<'_>],
    concurrencies: &[usize],
    effort: Effort,
    rng: &mut Rng,
) -> anyhow::Result<Vec<(usize, Rate)>> {
    let mut best: Vec<Option<(usize, Rate)>> = vec![None; targets.len()];
    for concurrency in concurrencies {
        let rates = closed_loops(targets, *concurrency, effort, rng).await?;
        for (best, rate) in best.iter_mut().zip(rates) {
            if best.is_none_or(|(_, best)| rate.per_second > best.per_second) {
                *best = Some((*concurrency, rate));
            }
        }
    }
    let best: Option<Vec<_>> = best.into_iter().collect();
    best.context("there is no concurrency to try")
}

/// Requests answered within the time, and the time it was in the end.
async fn closed_loop(
    target: &Target<'_>,
    concurrency: usize,
    time: Duration,
) -> anyhow::Result<(u64, Duration)> {
    let mut conns = Vec::new();
    for _ in 0..concurrency {
        conns.push(Conn::to(target.address).await?);
    }
    let start = Instant::now();
    let end = start + time;
    let mut loops = JoinSet::new();
    for mut conn in conns {
        let (request, wanted) = (target.request.clone(), target.status);
        loops.spawn(async move {
            let mut count = 0;
            while Instant::now() < end {
                let status = conn.call(&request).await?;
                ensure!(status == wanted, "status {status} instead of {wanted}");
                count += 1;
            }
            Ok(count)
        });
    }
    let mut count = 0;
    while let Some(done) = loops.join_next().await {
        count += done??;
    }
    Ok((count, start.elapsed()))
}
