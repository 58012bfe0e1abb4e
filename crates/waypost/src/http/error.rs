//! The one error of the HTTP edge, in OpenAI's envelope:
//! `{"error": {"message", "type", "param", "code"}}`, all four keys always, and
//! `details` where there is a list of what is wrong.
//!
//! Easy to break: what is said to a caller is written here or at the call
//! site. An internal cause is logged once, by the edge, and never sent.

use std::{borrow::Cow, fmt, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use waypost_engine::StoreError;

/// A request that failed, as the caller is told.
#[derive(Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    kind: &'static str,
    message: Cow<'static, str>,
    param: Option<Cow<'static, str>>,
    code: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    /// Clients are told not to send it again by themselves.
    is_final: bool,
    details: Vec<Value>,
    /// Logged, never sent.
    cause: Option<String>,
}

/// What really happened, on its way to the log: the edge takes it out of the
/// response's extensions and logs it with the request's id.
#[derive(Debug, Clone)]
pub struct Cause(pub String);

/// The type of most errors that a caller can mend.
pub const INVALID_REQUEST: &str = "invalid_request_error";
/// The type of errors that are ours.
pub const SERVER_ERROR: &str = "server_error";

// === constructors, by status ===

impl ApiError {
    /// 400: the request makes no sense as it is.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, message)
    }

    /// 401: no credential, or one that is unknown, expired or revoked. Clients
    /// react by getting a new token: never use it for missing rights.
    pub fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, INVALID_REQUEST, message)
    }

    /// 403: a good credential that may not do this.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, INVALID_REQUEST, message)
    }

    /// 404: not there, or another project's.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, INVALID_REQUEST, message)
    }

    /// 409: it clashes with what is there.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, INVALID_REQUEST, message)
    }

    /// 413: the body is over its limit.
    pub fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, message)
    }

    /// 415: the body is of a type that the route does not take.
    pub fn unsupported_media_type(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, message)
    }

    /// 429: too much at the moment; `Retry-After` says when to come again.
    pub fn rate_limited(retry_after: Duration) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_error",
            "Too many requests at the moment. Please try again later.",
        )
        .code("rate_limit_exceeded")
        .retry_after(retry_after)
    }

    /// 500: ours. The cause is logged; the caller gets the request id.
    pub fn internal(cause: impl fmt::Display) -> Self {
        let mut error = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            SERVER_ERROR,
            "The server had an error while processing your request. The x-request-id header finds it in the server's log.",
        );
        error.0.cause = Some(cause.to_string());
        error
    }

    /// 502: the model server failed, in a way that is worth saying.
    pub fn bad_gateway(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, SERVER_ERROR, message)
    }

    /// 503: for the moment.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, SERVER_ERROR, message)
            .retry_after(Duration::from_secs(1))
    }

    /// Any other combination.
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Inner {
            status,
            kind,
            message: message.into(),
            param: None,
            code: None,
            retry_after: None,
            is_final: false,
            details: Vec::new(),
            cause: None,
        }))
    }
}

// === refinements ===

impl ApiError {
    /// Replaces the message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Replaces the status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// Names the offending parameter: a path like `input[0].role`.
    #[must_use]
    pub fn param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.0.param = Some(param.into());
        self
    }

    /// Puts the parameter under another: `type` becomes `verification.type`.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        self.0.param = Some(match self.0.param {
            Some(param) => format!("{parent}.{param}").into(),
            None => parent.to_owned().into(),
        });
        self
    }

    /// A word for programs, like `invalid_value`.
    #[must_use]
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Replaces the error's type.
    #[must_use]
    pub fn kind(mut self, kind: &'static str) -> Self {
        self.0.kind = kind;
        self
    }

    /// When to try again; sent as `Retry-After` in whole seconds, at least 1.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// What was done is not to be done again by itself, although the status
    /// sounds like it: sent as `x-should-retry: false`, which OpenAI's SDKs obey.
    #[must_use]
    pub fn without_retry(mut self) -> Self {
        self.0.is_final = true;
        self
    }

    /// All that is wrong, where that is more than one thing: objects with at
    /// least a `message`. Beyond OpenAI's four keys, and absent when empty.
    #[must_use]
    pub fn details(mut self, details: Vec<Value>) -> Self {
        self.0.details = details;
        self
    }

    /// What really happened; logged once, never sent.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }
}

// === how it becomes a response ===

#[derive(Serialize)]
struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    details: &'a [Value],
}

impl ApiError {
    /// The envelope as JSON text.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&Envelope {
            error: Body {
                message: &self.0.message,
                r#type: self.0.kind,
                param: self.0.param.as_deref(),
                code: self.0.code.as_deref(),
                details: &self.0.details,
            },
        })
        .expect("strings and values always encode")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (
            self.0.status,
            [(header::CONTENT_TYPE, "application/json")],
            self.to_json(),
        )
            .into_response();
        if let Some(cause) = self.0.cause {
            response.extensions_mut().insert(Cause(cause));
        }
        let headers = response.headers_mut();
        if let Some(after) = self.0.retry_after {
            let seconds = after.as_millis().div_ceil(1000).max(1) as u64;
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.is_final {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 11.6.1: a 401 names the scheme.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::not_found(format!("No such {what}.")),
            StoreError::Conflict(message) => {
                Self::conflict(sentence(message)).code("already_exists")
            }
            error @ StoreError::LimitReached { .. } => {
                Self::invalid(sentence(error.to_string())).code("limit_reached")
            }
            StoreError::Refused(message) => Self::invalid(sentence(message)).code("invalid_state"),
            error @ (StoreError::Full(_) | StoreError::Unavailable(_)) => Self::unavailable(
                "The server cannot store anything at the moment. Please try again later.",
            )
            .cause(error),
            error @ (StoreError::Fenced | StoreError::Internal(_)) => Self::internal(error),
        }
    }
}

/// A library's clause as a sentence: upper case first, full stop last.
fn sentence(mut clause: String) -> String {
    if let Some(first) = clause.get(..1) {
        let first = first.to_ascii_uppercase();
        clause.replace_range(..1, &first);
    }
    if !clause.ends_with('.') {
        clause.push('.');
    }
    clause
}

/// What a caller sent, short enough to be shown back.
pub fn shown(id: &str) -> String {
    id.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_keys_are_always_there() {
        let error = ApiError::invalid("No.")
            .param("input[0].role")
            .code("invalid_value");
        assert_eq!(
            String::from_utf8_lossy(&error.to_json()),
            r#"{"error":{"message":"No.","type":"invalid_request_error","param":"input[0].role","code":"invalid_value"}}"#
        );
        assert_eq!(
            String::from_utf8_lossy(&ApiError::not_found("No such thing.").to_json()),
            r#"{"error":{"message":"No such thing.","type":"invalid_request_error","param":null,"code":null}}"#
        );
    }

    #[test]
    fn causes_are_never_sent() {
        for error in [
            ApiError::internal("table jobs is locked"),
            StoreError::Internal("table jobs is locked".to_owned()).into(),
            StoreError::Unavailable("table jobs is locked".to_owned()).into(),
        ] {
            assert!(!String::from_utf8_lossy(&error.to_json()).contains("jobs"));
        }
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let response = ApiError::rate_limited(Duration::from_millis(1200)).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let response = ApiError::rate_limited(Duration::ZERO).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
