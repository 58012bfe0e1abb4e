//! `GET /v1/responses/{id}`: the response as JSON, or its events as a stream.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::Version;
use serde::Deserialize;
use serde_json::Value;
use waypost_engine::{StoreError, id, responses::StoredResponse};
use waypost_identity::Scope;

use super::{follow::follow, object, poll, request};
use crate::{
    http::{
        error::{ApiError, shown},
        path::ApiPath,
        query::ApiQuery,
        sse,
    },
    identity::caller::ProjectCaller,
    responses::Responses,
};

/// The query of a retrieve.
#[derive(Debug, Deserialize)]
pub struct RetrieveQuery {
    #[serde(default)]
    stream: bool,
    starting_after: Option<u64>,
    /// All that a response was created with is always there.
    #[serde(default)]
    include: Vec<String>,
    /// Changes nothing: events are not padded here.
    #[serde(rename = "include_obfuscation")]
    _include_obfuscation: Option<bool>,
}

/// Refuses an `include` with words that the API does not have.
pub fn check_include(include: &[String]) -> Result<(), ApiError> {
    for (at, word) in include.iter().enumerate() {
        request::included(&format!("include[{at}]"), word)?;
    }
    Ok(())
}

pub async fn retrieve(
    State(state): State<Arc<Responses>>,
    caller: ProjectCaller,
    version: Version,
    ApiPath(id): ApiPath<String>,
    ApiQuery(query): ApiQuery<RetrieveQuery>,
) -> Result<Response, ApiError> {
    caller.require(Scope::ResponsesRead)?;
    check_include(&query.include)?;
    let stored = find(&state, &caller.project_id, &id).await?;
    if query.stream {
        streamable(&stored)?;
        let keeping = sse::Keeping {
            keep_alive: state.runs.config.keep_alive,
            stop: Some(state.runs.shutdown.stopping()),
            version,
        };
        let events = follow(state, caller.project_id, id, query.starting_after).await;
        return Ok(sse::response(events, keeping));
    }
    let mut response = object::answer(body(&stored)?);
    poll::hint(&state, stored.status, response.headers_mut());
    Ok(response)
}

/// The stored response, or the API's 404.
pub async fn find(
    state: &Responses,
    project_id: &str,
    id: &str,
) -> Result<StoredResponse, ApiError> {
    if !id::is_plausible(id, "resp_") {
        return Err(not_found(id));
    }
    match state.engine.store.get_response(project_id, id).await {
        Err(StoreError::NotFound(_)) => Err(not_found(id)),
        other => Ok(other?),
    }
}

/// `Response with id '…' not found.`
pub fn not_found(id: &str) -> ApiError {
    ApiError::not_found(format!("Response with id '{}' not found.", shown(id)))
}

/// The Response object; its status is the row's.
pub fn body(stored: &StoredResponse) -> Result<Value, ApiError> {
    let body: Value = serde_json::from_str(&stored.body).map_err(ApiError::internal)?;
    Ok(object::with_status(&body, stored.status))
}

fn streamable(stored: &StoredResponse) -> Result<(), ApiError> {
    let refuse = |why: &str| {
        Err(
            ApiError::invalid(format!("This response cannot be streamed because {why}."))
                .param("stream"),
        )
    };
    if !stored.background {
        return refuse("it was not created with background=true");
    }
    if !stored.streamable {
        return refuse("it was not created with stream=true");
    }
    if stored.log_dropped {
        return refuse("it was not created with stream=true or the stream TTL has expired");
    }
    Ok(())
}
