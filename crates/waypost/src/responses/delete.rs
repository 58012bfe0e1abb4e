//! `DELETE /v1/responses/{id}`: row, input and event log.

use axum::{Json, extract::State};
use serde_json::{Value, json};
use waypost_engine::StoreError;
use waypost_identity::Scope;

use super::retrieve::{find, not_found};
use crate::{
    app::AppRef,
    http::{error::ApiError, path::ApiPath},
    identity::caller::ProjectCaller,
};

pub async fn delete(
    State(app): State<AppRef>,
    caller: ProjectCaller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<Value>, ApiError> {
    caller.require(Scope::ResponsesWrite)?;
    find(&app, &caller.project_id, &id).await?;
    match app
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
