//! Schemas of tools and formats, checked in OpenAI's words.

use serde_json::{Value, json};
use strict_schema::{Profile, Violation, Where, check_root};

use crate::{config::ToolsConfig, http::error::ApiError};

/// `strict: true`: the first thing wrong is the message, all of them are the
/// details.
pub fn check_strict(schema: &Value, config: &ToolsConfig, at: Where<'_>) -> Result<(), ApiError> {
    // A name that no profile has does not get past the start of the server.
    let profile = Profile::named(&config.profile).unwrap_or_default();
    strict_schema::check_strict(schema, &profile, at).map_err(refusal)
}

/// Not strict: what the API asks of every schema.
pub fn check_any(schema: &Value, at: Where<'_>) -> Result<(), ApiError> {
    check_root(schema, at).map_err(|violation| refusal(vec![violation]))
}

fn refusal(violations: Vec<Violation>) -> ApiError {
    let details = violations
        .iter()
        .map(|violation| {
            json!({
                "message": violation.message,
                "param": violation.param,
                "code": violation.code,
                "pointer": violation.pointer,
                "kind": violation.kind.to_string(),
            })
        })
        .collect();
    match violations.into_iter().next() {
        Some(first) => ApiError::invalid(first.message)
            .param(first.param)
            .code(first.code)
            .details(details),
        None => ApiError::internal("a schema was refused without a violation"),
    }
}
