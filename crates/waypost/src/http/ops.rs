//! For whoever runs the server: `/healthz`, `/readyz`, `/metrics`. Open without
//! authentication; they hold no tenant's data.

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use serde_json::{Map, Value, json};

use crate::app::AppRef;

pub fn routes() -> Router<AppRef> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

/// The process answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Each part and why it is not ready; 503 when one is not.
async fn readyz(State(app): State<AppRef>) -> Response {
    let store = match app.engine.store.check().await {
        Ok(()) => Ok(()),
        Err(error) => Err(error.to_string()),
    };
    let directory = match app.engine.store.directory_version().await {
        Ok(version) if version <= app.directory.current().version => Ok(()),
        Ok(_) => Err("changes are not in force yet".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let server = if app.shutdown.is_draining() {
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
    let parts: Map<String, Value> = parts
        .into_iter()
        .map(|(name, part)| {
            let value = match part {
                Ok(()) => json!({"ready": true}),
                Err(reason) => json!({"ready": false, "reason": reason}),
            };
            (name.to_owned(), value)
        })
        .collect();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(json!({"ready": ready, "parts": parts}))).into_response()
}

async fn metrics(State(app): State<AppRef>) -> impl IntoResponse {
    if let Ok(counts) = app.engine.store.job_counts().await {
        app.metrics.set_jobs(counts);
    }
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        app.metrics.encode(),
    )
}
