//! From kill -9 to the job in another worker's hands.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::json;

use crate::Bench;
use crate::client::{Conn, Request};
use crate::table::{Row, Section, time};

/// The default of `[responses] lease`, and its budget.
const LEASE: Duration = Duration::from_secs(30);
/// The lease of a quick run.
const QUICK_LEASE: Duration = Duration::from_secs(2);
/// How much later than the lease's end it is given up.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

pub async fn measure(bench: &mut Bench) -> anyhow::Result<Section> {
    let lease = if bench.quick { QUICK_LEASE } else { LEASE };
    bench.say(&format!("recovery: up to {} s", lease.as_secs()));
    let setting = format!("lease = \"{}s\"", lease.as_secs());
    let mut waypost = bench.world.waypost("recovery", &setting).await?;
    // It has said something, and then says nothing for ever.
    let body = json!({"model": "scripted?stall_after=3", "input": "Hi", "background": true, "stream": true});
    let request = Request::post("/v1/responses", Some(&waypost.key), &body);
    let mut events = Conn::to(waypost.address).await?.events(&request).await?;
    events.until("response.output_text.delta").await?;
    let killed = Instant::now();
    let started = bench.world.crash(&mut waypost).await?;
    let ready = started.elapsed();
    let reclaimed = loop {
        let taken = waypost.metric("waypost_lease_takeovers_total").await?;
        if taken.is_some_and(|taken| taken >= 1.0) {
            break started.elapsed();
        }
        if killed.elapsed() > lease + PATIENCE {
            bail!("the job was not claimed again within the lease");
        }
        tokio::time::sleep(POLL).await;
    };
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    Ok(Section {
        failed: false,
        title: "Recovery",
        method: format!(
            "A background job is running when its server is killed with SIGKILL and started again at once on the same data directory. Times from the new process's start; lease {} s{}.",
            lease.as_secs(),
            if bench.quick {
                " (30 s by default)"
            } else {
                ""
            }
        ),
        rows: vec![
            Row::new("ready to serve").ours(time(us(ready))),
            Row::new("job claimed again")
                .ours(time(us(reclaimed)))
                .budget(
                    format!("the lease, {} s", lease.as_secs()),
                    reclaimed <= lease,
                ),
        ],
    })
}
