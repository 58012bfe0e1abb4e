//! What can go wrong with a model server, and what each failure means for the
//! request: whether trying again can help, and what the caller is told.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

/// A failed call to a model server.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// No connection, TLS failure, or reset before an answer.
    #[error("the model server cannot be reached: {0}")]
    Unreachable(String),
    /// It sent nothing for longer than the idle timeout.
    #[error("the model server sent nothing for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The answer broke off: reset, or the end without a finish reason.
    #[error("the model server's answer broke off: {0}")]
    Broken(String),
    /// The answer is not what its dialect promises.
    #[error("the model server's answer cannot be read: {0}")]
    Malformed(String),
    /// It answered with an error status, or with an error inside the stream.
    #[error("the model server answered {status}: {message}")]
    Status {
        status: StatusCode,
        message: String,
        param: Option<String>,
        code: Option<String>,
        retry_after: Option<Duration>,
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
            Self::Unreachable(_) | Self::Stalled(_) | Self::Broken(_) | Self::Malformed(_) => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    )
            }
            // The model was asked again as often as is allowed.
            Self::Violation(_) | Self::Dependency { .. } | Self::Unsupported { .. } => false,
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

    /// How long the server asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// A short stable word for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Stalled(_) => "stalled",
            Self::Broken(_) => "broken",
            Self::Malformed(_) => "malformed",
            Self::Status { status, .. } if *status == StatusCode::TOO_MANY_REQUESTS => "throttled",
            Self::Status { status, .. } if status.is_server_error() => "server_error",
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
            } if Self::is_the_callers(*status) => ("invalid_prompt", message.clone()),
            Self::Unsupported { message, .. } => ("invalid_prompt", message.clone()),
            _ => ("server_error", self.safe_sentence()),
        }
    }

    /// What the caller may know of a failure that is not the caller's: what
    /// happened, without addresses or the server's own words.
    pub fn safe_sentence(&self) -> String {
        match self {
            Self::Unreachable(_) => "The model server cannot be reached.".into(),
            Self::Stalled(idle) => {
                format!(
                    "The model server stopped sending for {} seconds.",
                    idle.as_secs()
                )
            }
            Self::Broken(_) => "The model server's answer broke off before it was complete.".into(),
            Self::Malformed(_) => "The model server sent an answer that cannot be read.".into(),
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
        let parsed: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
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
    /// `{"message": …}` or `{"detail": …}`.
    pub fn from_object(status: StatusCode, body: &Value) -> Self {
        let error = body.get("error").filter(|e| !e.is_null()).unwrap_or(body);
        let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
        let message = error
            .as_str()
            .map(str::to_owned)
            .or_else(|| text("message"))
            .or_else(|| text("detail"))
            .unwrap_or_else(|| {
                status
                    .canonical_reason()
                    .unwrap_or("unknown error")
                    .to_owned()
            });
        Self::Status {
            status,
            message: bounded(message),
            param: text("param"),
            code: text("code"),
            retry_after: None,
        }
    }
}

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

/// Longest message taken over from a model server, in characters.
const MAX_MESSAGE: usize = 2000;

fn bounded(message: String) -> String {
    if message.chars().count() <= MAX_MESSAGE {
        return message;
    }
    message.chars().take(MAX_MESSAGE).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engines_words_for_a_schema_beyond_it_are_known() {
        let about = |status: u16, message: &str| {
            let body = serde_json::json!({"error": {"message": message}}).to_string();
            let status = StatusCode::from_u16(status).expect("a status");
            UpstreamError::from_answer(status, None, body.as_bytes()).is_about_a_grammar()
        };
        for message in [
            "Failed to initialize samplers: failed to parse grammar",
            "JSON schema conversion failed:\nUnrecognized schema: {}",
            "The provided JSON schema contains features not supported by xgrammar.",
            "Failed to transform json schema into a grammar: [13:37] unsupported",
            "Grammar error: Unimplemented keys: [\"propertyNames\"]",
            "Input validation error: grammar is not valid: Grammar must have a 'properties' field",
        ] {
            assert!(about(400, message), "{message}");
            assert!(about(500, message), "{message}");
            assert!(!about(429, message), "{message}");
        }
        for message in [
            "Invalid schema for function 'f': In context=(), 'oneOf' is not permitted.",
            "This model's maximum context length is 8192 tokens.",
        ] {
            assert!(!about(400, message), "{message}");
        }
        assert!(!UpstreamError::Broken("failed to parse grammar".into()).is_about_a_grammar());
    }
}
