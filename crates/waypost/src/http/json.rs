//! JSON bodies in, with errors that say where.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
};
use http::{Extensions, HeaderMap, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, error::Category};
use strict_json::{Fault, Limits, pointer::unescaped};

use super::error::{ApiError, INVALID_REQUEST};
use crate::config::HttpConfig;

/// How much of a parser's message is sent: it may quote the caller's own text.
const MAX_DETAIL: usize = 300;
/// Arrays and objects within one another; serde_json's parser stops there too.
const MAX_DEPTH: usize = 127;
/// Values of one body: each costs more memory than it has bytes.
const MAX_VALUES: usize = 2_000_000;
const EMPTY: &str = "The body is empty; a JSON object is expected.";

/// A JSON body. Errors are 400 (with position or `param`), 408, 413
/// or 415.
#[derive(Debug, Clone, Copy)]
pub struct ApiJson<T>(pub T);

/// How long a body may take to come. The edge puts it into the request.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeout(pub Duration);

impl BodyTimeout {
    fn of(extensions: &Extensions) -> Duration {
        let set = extensions.get().map(|Self(timeout)| *timeout);
        set.unwrap_or_else(|| HttpConfig::default().body_timeout)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        let bytes = read_body(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// A JSON body of a route that looks into every corner of it. A key that comes
/// twice in one object is an error: two readers could each see another value.
#[derive(Debug, Clone)]
pub struct UniqueJson(pub Value);

impl<S: Send + Sync> FromRequest<S> for UniqueJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        let bytes = read_body(request, state).await?;
        parse_unique(&bytes).map(Self)
    }
}

/// A JSON body as it came, for routes that pass it on; [`parse`] reads of it
/// what they need.
#[derive(Debug, Clone)]
pub struct JsonBytes(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        read_body(request, state).await.map(Self)
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    if is_json(headers) {
        return Ok(());
    }
    Err(ApiError::unsupported_media_type(
        "The body must be JSON: send the header \"Content-Type: application/json\".",
    )
    .code("unsupported_content_type"))
}

/// Reads a body whole, within the limit that applies to the route.
pub async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let limit = BodyTimeout::of(request.extensions());
    tokio::time::timeout(limit, Bytes::from_request(request, state))
        .await
        .map_err(|_| {
            ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                INVALID_REQUEST,
                "The body took too long to arrive.",
            )
            .code("request_timeout")
        })?
        .map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(failed) if failed.status() == 413 => {
                ApiError::too_large("The body is larger than this server accepts.")
                    .code("request_too_large")
            }
            other => {
                ApiError::invalid("The body could not be read.").cause(format!("body: {other}"))
            }
        })
}

/// Parses a JSON text; see the module's rules for errors.
pub fn parse<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::invalid(EMPTY));
    }
    // serde reads an array as a struct's fields in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(ApiError::invalid(
            "Invalid type for the request body: expected an object, but got an array instead.",
        )
        .code("invalid_type"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, error.inner())
    })?;
    json.end().map_err(|error| explain(".", &error))?;
    Ok(value)
}

/// Parses a JSON text to a value without keys that come twice.
pub fn parse_unique(bytes: &[u8]) -> Result<Value, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::invalid(EMPTY));
    }
    // The route's limit holds for bytes.
    let limits = Limits {
        max_depth: MAX_DEPTH,
        max_values: MAX_VALUES,
    };
    strict_json::read(bytes, &limits).map_err(|error| match error.fault {
        Fault::DuplicateKey => {
            let path = shortened(&path_of(&error.pointer));
            ApiError::invalid(format!("Parameter given twice: '{path}'."))
                .param(path)
                .code("duplicate_parameter")
        }
        Fault::Syntax(_) | Fault::TooDeep(_) | Fault::TooManyValues(_) => {
            ApiError::invalid(format!(
                "The body is not valid JSON: {} at line {} column {}.",
                shortened(&error.fault.to_string()),
                error.line,
                error.column
            ))
            .code("invalid_json")
        }
    })
}

/// A JSON Pointer the way parameters are named: `/tools/0/name` is
/// `tools[0].name`.
fn path_of(pointer: &str) -> String {
    let mut path = String::with_capacity(pointer.len());
    for token in pointer.split('/').skip(1) {
        if !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit()) && !path.is_empty() {
            path.push('[');
            path.push_str(token);
            path.push(']');
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&unescaped(token));
        }
    }
    path
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let Ok(value) = value.to_str() else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or("").trim();
    let lower = essence.to_ascii_lowercase();
    lower == "application/json" || (lower.starts_with("application/") && lower.ends_with("+json"))
}

fn explain(path: &str, error: &serde_json::Error) -> ApiError {
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => ApiError::invalid(format!(
            "The body is not valid JSON: {}.",
            shortened(&error.to_string())
        ))
        .code("invalid_json"),
        Category::Data => {
            // serde_json appends the position, which helps nobody here.
            let text = error.to_string();
            let text = text
                .rsplit_once(" at line ")
                .map_or(&*text, |(head, _)| head);
            data_error(path, text)
        }
    }
}

/// The error of a well-formed value of the wrong shape, at `path` (`.` is the
/// whole). `text` is what serde said.
pub(super) fn data_error(path: &str, text: &str) -> ApiError {
    let quoted = || text.split('`').nth(1).unwrap_or_default();
    if text.starts_with("missing field") {
        let name = join(path, quoted());
        return ApiError::invalid(format!("Missing required parameter: '{name}'."))
            .param(name)
            .code("missing_required_parameter");
    }
    if text.starts_with("unknown field") {
        let name = join(path, quoted());
        return ApiError::invalid(format!("Unknown parameter: '{}'.", shortened(&name)))
            .param(shortened(&name))
            .code("unknown_parameter");
    }
    if text.starts_with("duplicate field") {
        let name = join(path, quoted());
        return ApiError::invalid(format!("Parameter given twice: '{name}'."))
            .param(name)
            .code("duplicate_parameter");
    }
    if path == "." {
        return ApiError::invalid(format!("Invalid body: {}.", shortened(text)))
            .code("invalid_type");
    }
    let code = if text.starts_with("invalid type") {
        "invalid_type"
    } else {
        "invalid_value"
    };
    ApiError::invalid(format!("Invalid '{path}': {}.", shortened(text)))
        .param(path.to_owned())
        .code(code)
}

/// `path.name`, where the path may be the whole, or end in the name already.
fn join(path: &str, name: &str) -> String {
    let path = path.trim_end_matches(".?");
    if matches!(path, "." | "?" | "") || path == name {
        name.to_owned()
    } else if path.ends_with(&format!(".{name}")) {
        path.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn shortened(text: &str) -> String {
    let text = text.trim_end_matches('.');
    match text.char_indices().nth(MAX_DETAIL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only how reading fails is looked at")]
    struct Thing {
        name: String,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only how reading fails is looked at")]
    struct Part {
        size: u32,
    }

    fn error(text: &str) -> (String, Value, Value) {
        let error = parse::<Thing>(text.as_bytes()).expect_err(text);
        let json: Value = serde_json::from_slice(&error.to_json()).expect("JSON");
        (
            json["error"]["message"].as_str().expect("text").to_owned(),
            json["error"]["param"].clone(),
            json["error"]["code"].clone(),
        )
    }

    #[test]
    fn errors_name_path_and_code() {
        for (text, param, code) in [
            (r#"{"name": 5}"#, "name", "invalid_type"),
            (
                r#"{"name": "a", "parts": [{"size": 1}, {"size": -1}]}"#,
                "parts[1].size",
                "invalid_value",
            ),
            (
                r#"{"name": "a", "parts": [{"size": "x"}]}"#,
                "parts[0].size",
                "invalid_type",
            ),
            (r#"{"parts": []}"#, "name", "missing_required_parameter"),
            (
                r#"{"name": "a", "parts": [{}]}"#,
                "parts[0].size",
                "missing_required_parameter",
            ),
            (
                r#"{"name": "a", "colour": 1}"#,
                "colour",
                "unknown_parameter",
            ),
            (
                r#"{"name": "a", "parts": [{"size": 1, "x": 2}]}"#,
                "parts[0].x",
                "unknown_parameter",
            ),
            (
                r#"{"name": "a", "name": "b"}"#,
                "name",
                "duplicate_parameter",
            ),
        ] {
            let (message, got_param, got_code) = error(text);
            assert_eq!(
                (got_param, got_code),
                (param.into(), code.into()),
                "{text}: {message}"
            );
            assert!(message.contains(param), "{message}");
        }
    }

    #[test]
    fn malformed_json_says_where() {
        let (message, param, code) = error("{\"name\":\n  oops}");
        assert!(message.contains("line 2 column"), "{message}");
        assert_eq!((param, code), (Value::Null, "invalid_json".into()));
        for text in ["", "{", "{} {}", "{\"name\":\"a\"} x", "\u{0}"] {
            error(text);
        }
        error(&"[".repeat(100_000));
    }

    #[test]
    fn quoted_text_is_bounded() {
        let long = "x".repeat(1_000_000);
        let (message, ..) = error(&format!(r#"{{"name": "a", "{long}": 1}}"#));
        assert!(message.len() < 2000);
    }
}
