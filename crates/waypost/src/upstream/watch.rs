//! Looks at the model servers while this server runs: whether they answer, what
//! they list, and what they are. So one that is down at the start, or comes
//! later, is found later.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::Value;

use super::{
    Upstream, Upstreams, discover,
    error::UpstreamError,
    identify::{self, Known},
    listing::{self, Model},
};
use crate::{config::Dialect, shutdown::Shutdown};

/// How long the start waits for answers, so that the banner can tell them.
const START: Duration = Duration::from_secs(3);
/// Between two looks at a server that answers.
const EVERY: Duration = Duration::from_secs(30);
/// Between two looks at one that does not: doubling, with this first and longest
/// one.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_LONGEST: Duration = Duration::from_mins(1);
/// Between two questions to one that could not be told: doubling, up to this.
const ASK_LONGEST: Duration = Duration::from_mins(10);

/// What was last seen of a model server.
#[derive(Debug, Default)]
pub struct Health {
    /// Whether it listed its models; `None` before the first answer.
    pub reachable: Option<bool>,
    /// A short stable word for why not.
    pub reason: Option<&'static str>,
    /// For the log: what it said, or what went wrong.
    pub problem: Option<String>,
    /// What it listed last.
    pub models: Arc<Vec<Model>>,
    /// When it was last asked to.
    pub asked: Option<Instant>,
    /// When it is to be asked again what it is, and how long after that.
    ask_again: Option<(Instant, Duration)>,
}

/// Looks at all at once, before there is anything to say about them.
pub async fn first_look(upstreams: &Upstreams) {
    let all = upstreams.all();
    let looks = join_all(all.iter().map(|upstream| look(upstreams, upstream)));
    // Those that take longer are looked at again in the background.
    let _ = tokio::time::timeout(START, looks).await;
}

/// Goes on looking until the drain.
///
/// Where no upstream is configured, `finds` is this server's own port: servers
/// at the others are looked for.
pub fn start(upstreams: &Arc<Upstreams>, shutdown: &Shutdown, finds: Option<u16>) {
    let looking = Looking {
        upstreams: Arc::clone(upstreams),
        shutdown: shutdown.clone(),
    };
    for upstream in upstreams.all().iter() {
        shutdown.spawn(watch(looking.clone(), upstream.name.clone()));
    }
    if let Some(own_port) = finds {
        shutdown.spawn(find(looking, own_port));
    }
}

/// What the tasks that look need.
#[derive(Clone)]
struct Looking {
    upstreams: Arc<Upstreams>,
    shutdown: Shutdown,
}

/// Looks for servers on this machine, where none is configured.
async fn find(looking: Looking, own_port: u16) {
    let mut pause = AGAIN_FIRST;
    while !looking.shutdown.is_draining() {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = looking.shutdown.begun() => return,
        }
        pause = (pause * 2).min(AGAIN_LONGEST);
        for name in discover::look(&looking.upstreams, own_port).await {
            looking.shutdown.spawn(watch(looking.clone(), name));
        }
    }
}

async fn watch(looking: Looking, name: String) {
    let mut again = AGAIN_FIRST;
    while let Some(upstream) = looking.upstreams.by_name(&name) {
        let reachable = upstream.health().reachable;
        let asked = upstream.health().asked;
        let pause = match reachable {
            None => Duration::ZERO,
            Some(true) => {
                again = AGAIN_FIRST;
                let unsure = upstream.health().ask_again.map(|(at, _)| at);
                let unsure = unsure.map(|at| at.saturating_duration_since(Instant::now()));
                unsure.map_or(EVERY, |unsure| unsure.min(EVERY))
            }
            Some(false) => {
                let pause = again;
                again = (again * 2).min(AGAIN_LONGEST);
                pause
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = looking.shutdown.begun() => return,
        }
        // Somebody who wanted the models may have asked meanwhile.
        if reachable == Some(true) && upstream.health().asked != asked && pause == EVERY {
            continue;
        }
        look(&looking.upstreams, &upstream).await;
    }
}

/// Asks a server for its models and, where that is open, what it is. What it
/// found is in [`Upstream::health`] and in the registry.
pub async fn look(upstreams: &Upstreams, upstream: &Upstream) {
    let answer = listing::ask(upstreams, upstream).await;
    let before = upstream.health().reachable;
    let (models, raw) = match answer {
        Ok(answer) => answer,
        Err(error) => return lost(upstream, before, &error),
    };
    let count = models.len();
    let is_new = {
        let mut health = upstream.health();
        health.reachable = Some(true);
        health.reason = None;
        health.problem = None;
        health.models = Arc::new(models);
        health.asked = Some(Instant::now());
        let is_due = health.ask_again.is_some_and(|(at, _)| at <= Instant::now());
        // What answers after a silence may be another one.
        before != Some(true) || is_due
    };
    if upstream.known.is_open() && is_new {
        identify(upstreams, upstream, raw).await;
    }
    if before == Some(false) {
        let now = upstreams.by_name(&upstream.name);
        let (dialect, known) =
            now.map_or((upstream.dialect, upstream.known), |u| (u.dialect, u.known));
        upstream.outage.may_be_over(tokio::time::Instant::now());
        tracing::info!(upstream = %upstream.name, "the model server answers now: dialect {} ({known}), {count} models", dialect.name());
    }
}

async fn identify(upstreams: &Upstreams, upstream: &Upstream, models: Value) {
    let told = Box::pin(identify::ask(upstreams, upstream, models)).await;
    {
        let mut health = upstream.health();
        health.ask_again = match (told, health.ask_again) {
            (Some(_), _) => None,
            (None, None) => Some((Instant::now() + AGAIN_FIRST, AGAIN_FIRST)),
            (None, Some((_, pause))) => {
                let pause = (pause * 2).min(ASK_LONGEST);
                Some((Instant::now() + pause, pause))
            }
        };
    }
    let (dialect, known) = match told {
        Some((dialect, route)) => (dialect, Known::Asked(route)),
        None => (Dialect::Generic, Known::Unsure),
    };
    if (dialect, known) != (upstream.dialect, upstream.known) {
        tracing::info!(upstream = %upstream.name, "the model server is taken for {} ({known})", dialect.name());
        upstreams.learn(&upstream.name, dialect, known);
    }
}

fn lost(upstream: &Upstream, before: Option<bool>, error: &UpstreamError) {
    let mut health = upstream.health();
    health.reachable = Some(false);
    health.reason = Some(error.kind());
    health.problem = Some(error.to_string());
    health.models = Arc::default();
    health.asked = Some(Instant::now());
    drop(health);
    if before == Some(true) {
        tracing::warn!(upstream = %upstream.name, %error, "the model server does not list its models any more; it is asked again");
    }
}
