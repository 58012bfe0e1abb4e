//! `POST /v1/responses/{id}/cancel`: the first terminal state wins.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::Value;
use waypost_engine::{
    StoreError,
    bus::ResponseHint,
    events::EventBatch,
    responses::{Cancelled, Status, StoredResponse},
};
use waypost_identity::Scope;

use super::{
    events::{Event, encode},
    object,
    retrieve::{body, find, not_found},
};
use crate::{
    http::{error::ApiError, path::ApiPath},
    identity::caller::ProjectCaller,
    responses::Responses,
};

/// Cancels a background response. Again: the same answer.
pub async fn cancel(
    State(state): State<Arc<Responses>>,
    caller: ProjectCaller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<Value>, ApiError> {
    caller.require(Scope::ResponsesWrite)?;
    let stored = find(&state, &caller.project_id, &id).await?;
    if !stored.background || stored.status.is_terminal() {
        return settled(&stored);
    }
    let cancelled = object::cancelled(&body(&stored)?);
    let event = EventBatch::of([encode(&Event::terminal(Status::Cancelled, &cancelled))]);
    let outcome = state
        .engine
        .store
        .cancel_response(
            &caller.project_id,
            &id,
            cancelled.to_string(),
            event.clone(),
        )
        .await;
    match outcome {
        Ok(Cancelled::Now(row)) => {
            state.jobs.abort(&id);
            let first_seq = row.next_seq.saturating_sub(event.count());
            let hint = ResponseHint::Events {
                first_seq,
                batch: event,
                rewinds: row.rewinds,
                terminal: true,
            };
            state.engine.bus.publish_response(&id, hint);
            Ok(Json(cancelled))
        }
        Ok(Cancelled::Unchanged(row)) => settled(&row),
        Err(StoreError::NotFound(_)) => Err(not_found(&id)),
        Err(error) => Err(error.into()),
    }
}

/// The answers for what cannot be cancelled any more, in the API's words.
fn settled(stored: &StoredResponse) -> Result<Json<Value>, ApiError> {
    let why = match stored.status {
        _ if !stored.background => "a synchronous response",
        Status::Cancelled => return Ok(Json(body(stored)?)),
        Status::Completed => "a completed response",
        Status::Failed => "a failed response",
        _ => "a response in terminal state",
    };
    Err(ApiError::invalid(format!("Cannot cancel {why}.")))
}
