//! `GET /v1/models` and `GET /v1/models/{id}`: what the upstreams have.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};
use waypost_identity::Scope;

use crate::{
    http::{error::ApiError, path::ApiPath},
    identity::{Identity, KnowsCallers, caller::ProjectCaller},
    upstream::{Upstreams, listing::ModelListing},
};

/// The routes of `/v1/models`.
/// What the list of models needs.
pub struct Models {
    pub identity: Arc<Identity>,
    pub upstreams: Arc<Upstreams>,
    pub listing: ModelListing,
}

impl KnowsCallers for Models {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

pub fn routes() -> Router<Arc<Models>> {
    Router::new()
        .route("/v1/models", get(list))
        // Model names may hold slashes.
        .route("/v1/models/{*model}", get(retrieve))
}

async fn list(
    State(models): State<Arc<Models>>,
    caller: ProjectCaller,
) -> Result<Json<Value>, ApiError> {
    caller.require(Scope::ModelRead)?;
    let listing = models.listing.get(&models.upstreams).await;
    let data: Vec<&Value> = listing.values().collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

async fn retrieve(
    State(models): State<Arc<Models>>,
    caller: ProjectCaller,
    ApiPath(model): ApiPath<String>,
) -> Result<Json<Value>, ApiError> {
    caller.require(Scope::ModelRead)?;
    let listing = models.listing.get(&models.upstreams).await;
    listing.get(&model).cloned().map(Json).ok_or_else(|| {
        let shown: String = model.chars().filter(|c| !c.is_control()).take(80).collect();
        ApiError::not_found(format!("The model '{shown}' does not exist"))
            .param("model")
            .code("model_not_found")
    })
}
