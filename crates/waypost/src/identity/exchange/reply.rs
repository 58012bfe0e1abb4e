//! What a token request is answered with: RFC 6749 §5, OpenAI's codes.
//!
//! Easy to break: a caller learns which parameter is malformed, and what its own
//! token shows ([`Refusal::told`]). Whether it is the provider, a key, the
//! signature, the rule or the service account that does not admit the token is
//! one answer. Everything else ([`Refused::reason`], [`Refused::detail`]) is for
//! metrics, the log and the audit log.

use std::{borrow::Cow, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use waypost_identity::Refusal;

/// A token response, RFC 8693 §2.2.1 with OpenAI's `expires_at`.
#[derive(Serialize)]
pub struct Issued {
    pub access_token: String,
    pub issued_token_type: &'static str,
    pub token_type: &'static str,
    /// Seconds from `iat`.
    pub expires_in: i64,
    /// Unix seconds.
    pub expires_at: i64,
    /// Only when the rule restricts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// A request that was refused.
#[derive(Debug)]
pub struct Refused {
    pub status: StatusCode,
    pub error: &'static str,
    /// RFC 6749 §5.2: no quotes, no backslashes.
    pub description: Cow<'static, str>,
    pub retry_after: Option<Duration>,
    /// From a closed set, for metrics.
    pub reason: &'static str,
    /// The whole reason, for operators.
    pub detail: String,
}

impl Refused {
    pub fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        let description = description.into();
        Self {
            status: StatusCode::BAD_REQUEST,
            error: "invalid_request",
            retry_after: None,
            reason: "invalid_request",
            detail: description.clone().into_owned(),
            description,
        }
    }

    pub fn unsupported_grant_type() -> Self {
        Self {
            error: "unsupported_grant_type",
            reason: "unsupported_grant_type",
            ..Self::invalid_request(
                "The grant_type must be urn:ietf:params:oauth:grant-type:token-exchange.",
            )
        }
    }

    /// Provider, key, signature, rule or service account do not admit the token.
    pub fn grant(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_grant",
            description: "No enabled service account mapping admits this subject token.".into(),
            retry_after: None,
            reason,
            detail: detail.into(),
        }
    }

    /// The subject token does not verify.
    pub fn subject_token(refusal: &Refusal) -> Self {
        match refusal.told() {
            Some(told) => Self::own_fault(refusal.code(), refusal.to_string(), told),
            None => Self::grant(refusal.code(), refusal.to_string()),
        }
    }

    /// The subject token shows by itself why it is refused.
    pub fn own_fault(
        reason: &'static str,
        detail: impl Into<String>,
        told: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            error: "invalid_subject_token",
            description: told.into(),
            ..Self::grant(reason, detail)
        }
    }

    pub fn rate_limited(reason: &'static str, retry_after: Duration) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            description: "Too many token requests at the moment. Please try again later.".into(),
            ..Self::unavailable(reason, "over the configured rate", retry_after)
        }
    }

    pub fn unavailable(
        reason: &'static str,
        detail: impl Into<String>,
        retry_after: Duration,
    ) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: "temporarily_unavailable",
            description: "The token cannot be checked at the moment. Please try again later."
                .into(),
            retry_after: Some(retry_after),
            reason,
            detail: detail.into(),
        }
    }
}

impl IntoResponse for Issued {
    fn into_response(self) -> Response {
        uncached(Json(self).into_response())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a str,
            error_description: &'a str,
        }
        let body = Json(Body {
            error: self.error,
            error_description: &self.description,
        });
        let mut response = uncached((self.status, body).into_response());
        if let Some(after) = self.retry_after {
            let seconds = after.as_millis().div_ceil(1000).max(1) as u64;
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// RFC 6749 §5.1.
pub fn uncached(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use waypost_identity::Part;

    use super::*;

    #[test]
    fn descriptions_keep_to_the_characters_of_rfc_6749() {
        for refused in [
            Refused::invalid_request("Missing required parameter: grant_type."),
            Refused::unsupported_grant_type(),
            Refused::grant("no_rule", "x"),
            Refused::subject_token(&Refusal::NotBase64Url(Part::Header)),
            Refused::subject_token(&Refusal::TokenTooLarge { bytes: 20_000 }),
            Refused::subject_token(&Refusal::AlgorithmUnsupported {
                algorithm: "\"ES256K\"".to_owned(),
            }),
            Refused::subject_token(&Refusal::TypeNotAccepted {
                typ: "\"a…\"".to_owned(),
            }),
            Refused::subject_token(&Refusal::Expired {
                exp: 1,
                now: i64::MAX,
                skew: 60,
            }),
            Refused::subject_token(&Refusal::AudienceMismatch {
                expected: "\"a\"".to_owned(),
                got: "\"b\"".to_owned(),
                signed: true,
            }),
            Refused::rate_limited("client_rate", Duration::ZERO),
            Refused::unavailable("keys_unavailable", "x", Duration::ZERO),
        ] {
            assert!(
                refused
                    .description
                    .bytes()
                    .all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\'),
                "{}",
                refused.description
            );
        }
    }
}
