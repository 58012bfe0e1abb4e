//! What a request continues: the turns behind `previous_response_id`.
//!
//! The context is the input and output of every turn, oldest first, then this
//! request's input. Instructions are not inherited (API reference).

use serde_json::Value;
use waypost_engine::{
    StoreError, id,
    responses::{ChainLimits, OutputItem, Status},
};

use crate::{
    http::error::{ApiError, shown},
    responses::Responses,
};

/// The longest conversation that is walked.
const LIMITS: ChainLimits = ChainLimits {
    max_turns: 1000,
    max_bytes: 64 * 1024 * 1024,
};

/// The items that come before this request's own.
pub async fn load(
    state: &Responses,
    project_id: &str,
    previous: &str,
) -> Result<Vec<Value>, ApiError> {
    let unknown = || {
        ApiError::invalid(format!(
            "Previous response with id '{}' not found.",
            shown(previous)
        ))
        .param("previous_response_id")
        .code("previous_response_not_found")
    };
    if !id::is_plausible(previous, "resp_") {
        return Err(unknown());
    }
    let turns = match state
        .engine
        .store
        .load_chain(project_id, previous, LIMITS)
        .await
    {
        Ok(turns) => turns,
        Err(StoreError::NotFound(_)) => return Err(unknown()),
        Err(e @ StoreError::LimitReached { .. }) => {
            return Err(ApiError::invalid(format!(
                "The conversation behind 'previous_response_id' is too long: {e}."
            ))
            .param("previous_response_id")
            .code("context_length_exceeded"));
        }
        Err(e) => return Err(e.into()),
    };
    let mut items = Vec::new();
    for turn in turns {
        if !turn.status.is_terminal() {
            return Err(ApiError::invalid(format!(
                "Response '{}' is still {}. Wait until it has ended before you continue it.",
                turn.id,
                turn.status.as_str()
            ))
            .param("previous_response_id")
            .code("previous_response_not_ready"));
        }
        for input in &turn.input {
            items.push(serde_json::from_str(input).map_err(ApiError::internal)?);
        }
        let mut body: Value = serde_json::from_str(&turn.body).map_err(ApiError::internal)?;
        if let Value::Array(output) = body["output"].take() {
            items.extend(
                output
                    .into_iter()
                    .filter(|item| is_usable(item, turn.status)),
            );
        }
    }
    Ok(items)
}

/// The output items of a final Response object that requests may refer to:
/// those that a continued conversation would have.
pub fn referable(object: &Value, status: Status) -> Vec<OutputItem> {
    let output = object["output"].as_array().into_iter().flatten();
    (0..)
        .zip(output)
        .filter(|(_, item)| is_usable(item, status))
        .filter_map(|(position, item)| {
            let id = item["id"].as_str()?.to_owned();
            Some(OutputItem { id, position })
        })
        .collect()
}

/// A call whose arguments broke off would make every model server refuse.
/// Calls of this server's own are told with what is known of them: they may
/// have had effects.
fn is_usable(item: &Value, status: Status) -> bool {
    let is_own = item["type"]
        .as_str()
        .is_some_and(|kind| kind.starts_with("mcp_"));
    status == Status::Completed
        || is_own
        || item["type"] == "message"
        || item["status"] == "completed"
}
