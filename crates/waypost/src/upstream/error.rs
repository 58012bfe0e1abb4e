//! What can go wrong with a model server, and what each failure means for the
//! request: whether trying again can help, and what the caller is told.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::{
    Upstream,
    lenient::{number_of, text_of},
};

/// A failed call to a model server.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// No connection: its name is not known, it refuses or does not answer, or
    /// TLS failed.
    #[error("the model server cannot be reached: {0}")]
    Unreachable(String),
    /// The connection closed after the request was sent, before an answer: the
    /// request may be the cause.
    #[error("the model server closed the connection before it answered: {0}")]
    Dropped(String),
    /// It sent nothing for longer than the idle timeout.
    #[error("the model server sent nothing for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The answer broke off: reset, or the end without a finish reason.
    #[error("the model server's answer broke off: {0}")]
    Broken(String),
    /// The answer is not what its dialect promises.
    #[error("the model server's answer cannot be read: {0}")]
    Malformed(String),
    /// The answer is larger than is taken here; another one would be too.
    #[error("the model server's answer is larger than is taken here: {0}")]
    TooLarge(String),
    /// It answered with an error status, or with an error inside the stream.
    #[error("the model server answered {status}: {message}")]
    Status {
        status: StatusCode,
        message: String,
        param: Option<String>,
        code: Option<String>,
        retry_after: Option<Duration>,
        /// Whether the answer had begun: then it is one that broke off.
        in_answer: bool,
    },
    /// Not the model server failed, but one that its tools come from. The
    /// message is for the caller.
    #[error("{message}")]
    Dependency { message: String },
    /// The model would not keep to the rules of its tools, however often it was
    /// asked: a sentence for the client.
    #[error("{0}")]
    Violation(String),
    /// The request cannot be put in this upstream's words.
    #[error("{message}")]
    Unsupported { message: String, param: String },
}

impl UpstreamError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Dropped(_)
            | Self::Stalled(_)
            | Self::Broken(_)
            | Self::Malformed(_) => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    // A proxy says it too, while what stands behind it starts.
                    || self.is_about_the_address()
                    || matches!(
                        *status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    )
            }
            // The model was asked again as often as is allowed.
            Self::TooLarge(_)
            | Self::Violation(_)
            | Self::Dependency { .. }
            | Self::Unsupported { .. } => false,
        }
    }

    /// Whether the server only asked us to wait.
    pub fn is_throttle(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: StatusCode::TOO_MANY_REQUESTS,
                ..
            }
        )
    }

    /// Whether the server is not there for any request now. Waiting for it is no
    /// attempt. A 500 is not of this kind: the request may be its cause.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status {
                status,
                in_answer: false,
                ..
            } => matches!(
                *status,
                StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
                    | StatusCode::TOO_MANY_REQUESTS
            ),
            _ => false,
        }
    }

    /// Whether the server cannot make a grammar of the request's schemas. Each
    /// engine has its own words for it.
    pub fn is_about_a_grammar(&self) -> bool {
        let Self::Status {
            status, message, ..
        } = self
        else {
            return false;
        };
        let refuses = matches!(
            *status,
            StatusCode::BAD_REQUEST
                | StatusCode::UNPROCESSABLE_ENTITY
                | StatusCode::INTERNAL_SERVER_ERROR
        );
        let message = message.to_ascii_lowercase();
        refuses && GRAMMAR_WORDS.iter().any(|words| message.contains(words))
    }

    /// Whether the server does not take the request's `tool_choice`.
    pub fn is_about_a_choice(&self) -> bool {
        let refused = [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY];
        match self {
            Self::Status {
                status, message, ..
            } => refused.contains(status) && message.contains("tool_choice"),
            _ => false,
        }
    }

    /// Whether the server has no such route, which a wrong `base_url` makes it
    /// say. A model that it does not have is named as one.
    pub fn is_about_the_address(&self) -> bool {
        let Self::Status {
            status,
            message,
            param,
            code,
            ..
        } = self
        else {
            return false;
        };
        let about_a_model = |text: &str| {
            let text = text.to_ascii_lowercase();
            MODEL_WORDS.iter().any(|word| text.contains(word))
        };
        let names_a_model = about_a_model(message)
            || param.as_deref().is_some_and(about_a_model)
            || code.as_deref().is_some_and(about_a_model);
        match *status {
            StatusCode::METHOD_NOT_ALLOWED => true,
            StatusCode::NOT_FOUND => !names_a_model,
            _ => false,
        }
    }

    /// How long the server asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The same failure, after the answer had begun.
    #[must_use]
    pub fn inside_an_answer(mut self) -> Self {
        if let Self::Status { in_answer, .. } = &mut self {
            *in_answer = true;
        }
        self
    }

    /// What the operator could look at, for the log.
    pub fn hint(&self) -> Option<&'static str> {
        if self.is_about_the_address() {
            return Some("check base_url: does it end in /v1?");
        }
        match self {
            Self::Status {
                status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN,
                ..
            } => Some("check api_key: the model server refuses this server's credentials"),
            _ => None,
        }
    }

    /// A short stable word for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Dropped(_) => "dropped",
            Self::Stalled(_) => "stalled",
            Self::Broken(_) => "broken",
            Self::Malformed(_) => "malformed",
            Self::TooLarge(_) => "too_large",
            Self::Status { status, .. } if *status == StatusCode::TOO_MANY_REQUESTS => "throttled",
            Self::Status { status, .. } if status.is_server_error() => "server_error",
            Self::Status { .. } if self.is_about_the_address() => "no_such_route",
            Self::Status { .. } => "refused",
            Self::Dependency { .. } => "dependency",
            Self::Violation(_) => "violation",
            Self::Unsupported { .. } => "unsupported",
        }
    }

    /// The `error` of a failed Response: `code` from the API's closed list and
    /// a sentence that is safe for the caller.
    pub fn for_response(&self) -> (&'static str, String) {
        match self {
            Self::Status {
                status, message, ..
            } if *status == StatusCode::TOO_MANY_REQUESTS => (
                "rate_limit_exceeded",
                format!("The model server is limiting requests: {message}"),
            ),
            Self::Status {
                status, message, ..
            } if Self::is_the_callers(*status) && !self.is_about_the_address() => {
                ("invalid_prompt", message.clone())
            }
            Self::Unsupported { message, .. } => ("invalid_prompt", message.clone()),
            _ => ("server_error", self.safe_sentence()),
        }
    }

    /// What the caller may know of a failure that is not the caller's: what
    /// happened, without addresses or the server's own words.
    pub fn safe_sentence(&self) -> String {
        match self {
            Self::Unreachable(_) => "The model server cannot be reached.".into(),
            Self::Dropped(_) => "The model server closed the connection before it answered.".into(),
            Self::Stalled(idle) => {
                format!(
                    "The model server stopped sending for {} seconds.",
                    idle.as_secs()
                )
            }
            Self::Broken(_) => "The model server's answer broke off before it was complete.".into(),
            Self::Malformed(_) => "The model server sent an answer that cannot be read.".into(),
            Self::TooLarge(_) => {
                "The model server's answer is larger than this server takes.".into()
            }
            Self::Status { status, .. } if self.is_about_the_address() => format!(
                "The model server has no such endpoint (status {}). Its address is the operator's to check.",
                status.as_u16()
            ),
            Self::Status { status, .. } => {
                format!("The model server failed with status {}.", status.as_u16())
            }
            Self::Violation(message)
            | Self::Dependency { message }
            | Self::Unsupported { message, .. } => message.clone(),
        }
    }

    /// Whether a status tells of the caller's request rather than of the
    /// operator's set-up: 401 and 403 are about *our* key there.
    pub fn is_the_callers(status: StatusCode) -> bool {
        matches!(
            status,
            StatusCode::BAD_REQUEST
                | StatusCode::NOT_FOUND
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY
        )
    }

    /// Reads an error answer, whichever of the usual shapes it has.
    pub fn from_answer(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let parsed = serde_json::from_slice(body).unwrap_or_else(|_| plain_text(body));
        let mut error = Self::from_object(status, &parsed);
        if let Self::Status {
            retry_after: slot, ..
        } = &mut error
        {
            *slot = retry_after;
        }
        error
    }

    /// Reads an error object: `{"error": {…}}`, `{"error": "…"}`,
    /// `{"message": …}`, `{"detail": …}` and their like.
    pub fn from_object(status: StatusCode, body: &Value) -> Self {
        let error = body.get("error").filter(|e| !e.is_null()).unwrap_or(body);
        let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
        let message = sentence(error).unwrap_or_else(|| {
            let reason = status.canonical_reason();
            reason.unwrap_or("unknown error").to_owned()
        });
        // Some engines answer a request that they cannot serve as if they had failed.
        let lower = message.to_ascii_lowercase();
        let is_the_requests = status == StatusCode::INTERNAL_SERVER_ERROR
            && REQUEST_WORDS.iter().any(|words| lower.contains(words));
        Self::Status {
            status: if is_the_requests {
                StatusCode::BAD_REQUEST
            } else {
                status
            },
            message,
            param: text("param"),
            code: text("code"),
            retry_after: None,
            in_answer: false,
        }
    }

    /// The error of an answer that says 200 and has one: `error` is the field
    /// of that name. `None` where it says nothing.
    pub fn told(error: &Value) -> Option<Self> {
        let is_said = match error {
            Value::String(text) => !text.trim().is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        };
        is_said.then(|| Self::from_object(status_of(error), error))
    }

    /// The failure of that upstream as the log and the caller may have it:
    /// without our credentials, and no longer than words may be.
    ///
    /// Easy to break: in this order, or half a key stays at the cut.
    #[must_use]
    pub fn told_by(mut self, upstream: &Upstream) -> Self {
        let clean = |text: &mut String| {
            upstream.redactor.text(text);
            shorten(text);
        };
        match &mut self {
            Self::Unreachable(said)
            | Self::Dropped(said)
            | Self::Broken(said)
            | Self::Malformed(said)
            | Self::TooLarge(said) => clean(said),
            Self::Status {
                message,
                param,
                code,
                ..
            } => {
                clean(message);
                param.iter_mut().chain(code).for_each(clean);
            }
            // Our own words.
            Self::Stalled(_)
            | Self::Dependency { .. }
            | Self::Violation(_)
            | Self::Unsupported { .. } => {}
        }
        self
    }
}

/// The status that an error would have had, from its own words.
fn status_of(error: &Value) -> StatusCode {
    let numbers = ["code", "status", "status_code", "http_code"]
        .into_iter()
        .filter_map(|key| number_of(&error[key]));
    for number in numbers {
        if let Some(status) = u16::try_from(number)
            .ok()
            .and_then(|number| StatusCode::from_u16(number).ok())
            .filter(|status| status.is_client_error() || status.is_server_error())
        {
            return status;
        }
    }
    for word in ["type", "code", "status"] {
        let word = error[word]
            .as_str()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let has = |part: &str| word.contains(part);
        if has("rate_limit") || has("ratelimit") || has("too_many") || has("resource_exhausted") {
            return StatusCode::TOO_MANY_REQUESTS;
        }
        if has("authentication") || has("invalid_api_key") || has("unauthenticated") {
            return StatusCode::UNAUTHORIZED;
        }
        if has("not_found") || has("notfound") {
            return StatusCode::NOT_FOUND;
        }
        if has("invalid") || has("badrequest") || has("bad_request") || has("context_length") {
            return StatusCode::BAD_REQUEST;
        }
    }
    StatusCode::INTERNAL_SERVER_ERROR
}

/// What an error says, in whichever field.
fn sentence(error: &Value) -> Option<String> {
    match error {
        Value::String(text) => Some(text.trim())
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
        Value::Object(fields) => MESSAGE_FIELDS
            .iter()
            .find_map(|key| fields.get(*key).and_then(sentence)),
        // One for each field that is wrong, as FastAPI has them.
        Value::Array(list) => {
            let all: Vec<String> = list
                .iter()
                .take(MAX_DETAILS)
                .filter_map(|detail| {
                    let said = sentence(detail)?;
                    let place: Vec<_> = detail["loc"].as_array().into_iter().flatten().collect();
                    let place: Vec<_> = place.into_iter().filter_map(text_of).collect();
                    Some(if place.is_empty() {
                        said
                    } else {
                        format!("{}: {said}", place.join("."))
                    })
                })
                .collect();
            (!all.is_empty()).then(|| all.join("; "))
        }
        _ => None,
    }
}

/// A body that is no JSON, if it is words: a proxy's page is none.
fn plain_text(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.starts_with('<') || text.contains(['\0', '{']) {
        return Value::Null;
    }
    let line = text.lines().next().unwrap_or_default();
    Value::String(line.to_owned())
}

/// Where servers put what they say of an error.
const MESSAGE_FIELDS: &[&str] = &[
    "message",
    "error",
    "detail",
    "msg",
    "error_message",
    "errors",
    "reason",
    "description",
];

/// Details of one error that are taken over.
const MAX_DETAILS: usize = 8;

/// What engines say under 500 of requests that their model can never serve, in
/// lower case.
const REQUEST_WORDS: &[&str] = &[
    // llama.cpp without a projector
    "image input is not supported",
    "audio input is not supported",
    "video input is not supported",
    // Ollama
    "does not support images",
    "this model is missing data required for image input",
];

/// What engines say of schemas that are beyond them, in lower case.
const GRAMMAR_WORDS: &[&str] = &[
    // llama.cpp, when it parses the grammar and when it makes it
    "failed to parse grammar",
    "json schema conversion failed",
    // vLLM, over xgrammar and llguidance
    "features not supported by xgrammar",
    "json schema into a grammar",
    "grammar specification",
    "grammar error:",
    // SGLang
    "invalid grammar request",
    "failed to compile json",
    // TGI
    "grammar is not valid",
];

/// What servers say when a model, and not a route, is missing: each names it.
const MODEL_WORDS: &[&str] = &["model", "deployment", "engine"];

/// Longest text taken over from a model server, in characters.
const MAX_MESSAGE: usize = 2000;

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_MESSAGE) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
