//! For whoever runs the server: `/healthz`, `/readyz`, `/metrics`. Open without
//! authentication; they hold no tenant's data.

use std::time::{Duration, Instant};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use serde_json::{Map, Value, json};

use tokio::sync::Mutex;
use waypost_engine::Engine;

use crate::{
    app::{App, AppRef},
    http::error::ApiError,
    identity::jwks_cache::LastFetch,
    upstream::Upstream,
};

/// How long a check of the store counts: it commits to disk, and `/readyz` is
/// open to anyone.
const CHECK_COUNTS: Duration = Duration::from_secs(1);
/// A store that does not answer within this is not ready.
const CHECK_LIMIT: Duration = Duration::from_secs(5);

/// A directory that was not confirmed for this long is not ready; it is
/// confirmed twice a second.
const STALE: Duration = Duration::from_secs(5);

/// The last check of the store; one runs at a time.
#[derive(Default)]
pub struct StoreCheck(Mutex<Option<(Instant, Result<(), String>)>>);

impl StoreCheck {
    async fn get(&self, engine: &Engine) -> Result<(), String> {
        let mut last = self.0.lock().await;
        if let Some((at, result)) = &*last
            && at.elapsed() < CHECK_COUNTS
        {
            return result.clone();
        }
        let result = match tokio::time::timeout(CHECK_LIMIT, engine.store.check()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", CHECK_LIMIT.as_secs())),
        };
        *last = Some((Instant::now(), result.clone()));
        result
    }
}

pub fn routes() -> Router<AppRef> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
}

/// Apart, because they may have a listener of their own.
pub fn metrics_routes() -> Router<AppRef> {
    Router::new().route("/metrics", get(metrics))
}

/// The answer to everything else on `metrics_listen`.
pub async fn not_here() -> ApiError {
    ApiError::not_found("Only /metrics, /healthz and /readyz are served here.").code("unknown_url")
}

/// The process answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Each part and why it is not ready; 503 when one is not.
async fn readyz(State(app): State<AppRef>) -> Response {
    let store = app.store_check.get(&app.engine).await;
    let age = app.identity.directory.age();
    let directory = if age < STALE {
        Ok(())
    } else {
        Err(format!(
            "changes of the last {} s may not be in force: the store cannot be read",
            age.as_secs()
        ))
    };
    let server = if app.shutdown.is_leaving() {
        Err("the server is shutting down".to_owned())
    } else {
        Ok(())
    };
    let parts = [
        ("server", server),
        ("store", store),
        ("directory", directory),
    ];
    let ready = parts.iter().all(|(_, part)| part.is_ok());
    let mut parts: Map<String, Value> = parts
        .into_iter()
        .map(|(name, part)| {
            let value = match part {
                Ok(()) => json!({"ready": true}),
                Err(reason) => json!({"ready": false, "reason": reason}),
            };
            (name.to_owned(), value)
        })
        .collect();
    // Told, and no reason to take this server out of service: it queues, and
    // others may answer.
    let upstreams: Vec<Value> = app.upstreams.all().iter().map(|u| upstream(u)).collect();
    parts.insert(
        "upstreams".to_owned(),
        json!({"ready": true, "details": upstreams}),
    );
    parts.insert(
        "issuers".to_owned(),
        json!({"ready": true, "details": issuers(&app)}),
    );
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(json!({"ready": ready, "parts": parts}))).into_response()
}

/// What is known of a model server; not where it is, since anyone may ask.
fn upstream(upstream: &Upstream) -> Value {
    let health = upstream.health();
    json!({
        "name": upstream.name,
        "dialect": upstream.dialect.name(),
        "known_by": upstream.known.word(),
        "reachable": health.reachable,
        "reason": health.reason,
        "models": health.models.len(),
    })
}

/// How many identity providers' keys were fetched last time, and how many not;
/// not which, since anyone may ask.
fn issuers(app: &App) -> Value {
    let view = app.identity.compiled();
    let count = |state| view.last_fetches().filter(|last| *last == state).count();
    json!({
        "fetched": count(LastFetch::Fetched),
        "cannot_be_fetched": count(LastFetch::NotFetched),
        "nothing_usable": count(LastFetch::NothingUsable),
    })
}

async fn metrics(State(app): State<AppRef>) -> impl IntoResponse {
    if let Ok(counts) = app.engine.store.job_counts().await {
        app.metrics.set_jobs(counts);
    }
    app.upstreams.show(&app.metrics);
    if let Ok(size) = app.engine.store.size().await {
        app.metrics.set_store_size(size);
    }
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        app.metrics.encode(),
    )
}
