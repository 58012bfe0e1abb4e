//! What it costs to know who calls.

use crate::Bench;
use crate::client::Request;
use crate::load::{Target, Until, closed_loops, take_turns};
use crate::table::{Cell, Row, Section, time};
use crate::{exchange, world::Waypost};

/// A route for administrators only: it answers 401 to nobody and 403 to a service account, and
/// does nothing else for either. What lies between the two is the authentication.
const ROUTE: &str = "/v1/organization/projects";
const BUDGET_US: f64 = 20.0;

pub async fn measure(bench: &mut Bench) -> anyhow::Result<Section> {
    let waypost = bench.world.waypost("authentication", "").await?;
    let token = exchange::access_token(&waypost).await?;
    let mut targets = vec![
        target(&waypost, "/healthz", None, 200),
        target(&waypost, ROUTE, None, 401),
        target(&waypost, ROUTE, Some(&waypost.key), 403),
    ];
    if let Ok(token) = &token {
        targets.push(target(&waypost, ROUTE, Some(token), 403));
    }
    bench.say("authentication");
    let mut rng = bench.rng();
    let turns = take_turns(&targets, Until::End, bench.effort, &mut rng).await?;
    let concurrency = bench.concurrencies().last().copied().unwrap_or(1);
    let rates = closed_loops(&targets, concurrency, bench.effort, &mut rng).await?;
    let cpu = |target: usize| rates[target].cpu_us.unwrap_or(f64::NAN);
    let row = |name: &str, target: usize| {
        let added = turns.added(target, 1);
        Row::new(format!("{name}, p50"))
            .direct(format!(
                "{} (refused); {} (/healthz)",
                time(turns.latency(1).p50),
                time(turns.latency(0).p50)
            ))
            .ours(time(turns.latency(target).p50))
            .difference(format!(
                "+{}; +{} cpu under load",
                time(added.p50),
                time(cpu(target) - cpu(1))
            ))
            .budget(format!("+{}", time(BUDGET_US)), added.p50 <= BUDGET_US)
    };
    let mut rows = vec![row("with an API key", 2)];
    rows.push(match token {
        Ok(_) => row("with an access token", 3),
        Err(reason) => Row {
            ours: Cell::Absent(reason),
            ..Row::new("with an access token, p50")
        }
        .budget_unknown(format!("+{}", time(BUDGET_US))),
    });
    Ok(Section {
        failed: false,
        title: "Authenticating a request",
        method: format!(
            "`GET {ROUTE}` with a service account's credential (403: known, and no administrator) minus the same without one (401): both build one small error, so the difference is the authentication. `/healthz` does no authentication and builds no error."
        ),
        rows,
    })
}

fn target<'a>(waypost: &'a Waypost, path: &str, key: Option<&str>, status: u16) -> Target<'a> {
    Target {
        address: waypost.address,
        request: Request::get(path, key),
        process: Some(&waypost.process),
        status,
    }
}

/// Rows of budgets whose feature this server does not have yet.
pub fn not_built() -> Section {
    let row = |what: &str, budget: &str, reason: &str| {
        Row::new(what).missing(reason).budget_unknown(budget)
    };
    Section {
        failed: false,
        title: "Not measured yet",
        method: "Budgets of features that come later.".to_owned(),
        rows: vec![row(
            "a tunnelled call, p50",
            "+1.000 ms",
            "The tunnel is not built yet.",
        )],
    }
}
