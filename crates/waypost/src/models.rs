//! `GET /v1/models` and `GET /v1/models/{id}`: what the upstreams have.

use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};
use waypost_identity::Scope;

use crate::{
    app::AppRef,
    http::{error::ApiError, path::ApiPath},
    identity::caller::ProjectCaller,
};

/// The routes of `/v1/models`.
pub fn routes() -> Router<AppRef> {
    Router::new()
        .route("/v1/models", get(list))
        // Model names may hold slashes.
        .route("/v1/models/{*model}", get(retrieve))
}

async fn list(State(app): State<AppRef>, caller: ProjectCaller) -> Result<Json<Value>, ApiError> {
    caller.require(Scope::ModelRead)?;
    let listing = app.models.get(&app.upstreams).await;
    let data: Vec<&Value> = listing.values().collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

async fn retrieve(
    State(app): State<AppRef>,
    caller: ProjectCaller,
    ApiPath(model): ApiPath<String>,
) -> Result<Json<Value>, ApiError> {
    caller.require(Scope::ModelRead)?;
    let listing = app.models.get(&app.upstreams).await;
    listing.get(&model).cloned().map(Json).ok_or_else(|| {
        let shown: String = model.chars().filter(|c| !c.is_control()).take(80).collect();
        ApiError::not_found(format!("The model '{shown}' does not exist"))
            .param("model")
            .code("model_not_found")
    })
}
