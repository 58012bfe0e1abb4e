//! What a caller is told of a model server's failure.

use std::time::Duration;

use http::StatusCode;

use crate::{http::error::ApiError, upstream::error::UpstreamError};

/// What a caller is told when a model server fails before anything was sent:
/// its own words where they are about the caller's request.
pub fn upstream_refusal(error: &UpstreamError) -> ApiError {
    match error {
        UpstreamError::Dependency { message } => ApiError::new(
            StatusCode::FAILED_DEPENDENCY,
            "external_connector_error",
            message.clone(),
        )
        .param("tools")
        .code("http_error"),
        UpstreamError::Unsupported { message, param } => ApiError::invalid(message.clone())
            .param(param.clone())
            .code("unsupported_value"),
        // The model was asked again here, as often as is allowed.
        UpstreamError::Violation(message) => ApiError::bad_gateway(message.clone())
            .code("upstream_error")
            .without_retry(),
        UpstreamError::Status {
            status,
            message,
            param,
            code,
            retry_after,
            ..
        } => {
            if error.is_throttle() {
                return ApiError::rate_limited(retry_after.unwrap_or(Duration::from_secs(1)))
                    .with_message(message.clone());
            }
            if !UpstreamError::is_the_callers(*status) || error.is_about_the_address() {
                return ApiError::bad_gateway(error.safe_sentence()).code("upstream_error");
            }
            let mut refusal = ApiError::new(*status, "invalid_request_error", message.clone());
            if let Some(param) = param {
                refusal = refusal.param(param.clone());
            }
            if let Some(code) = code {
                refusal = refusal.code(code.clone());
            }
            refusal
        }
        _ => ApiError::bad_gateway(error.safe_sentence()).code("upstream_error"),
    }
}
