//! `DELETE /v1/responses/{id}`: row, input and event log.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};
use waypost_engine::StoreError;
use waypost_identity::Scope;

use super::retrieve::{find, not_found};
use crate::{
    http::{error::ApiError, path::ApiPath},
    identity::caller::ProjectCaller,
    responses::Responses,
};

pub async fn delete(
    State(state): State<Arc<Responses>>,
    caller: ProjectCaller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<Value>, ApiError> {
    caller.require(Scope::ResponsesWrite)?;
    find(&state, &caller.project_id, &id).await?;
    match state
        .engine
        .store
        .delete_response(&caller.project_id, &id)
        .await
    {
        Ok(()) => Ok(Json(
            json!({"id": id, "object": "response.deleted", "deleted": true}),
        )),
        Err(StoreError::NotFound(_)) => Err(not_found(&id)),
        Err(StoreError::Refused(_)) => {
            Err(ApiError::invalid("Cannot delete an in-flight response."))
        }
        Err(error) => Err(error.into()),
    }
}
