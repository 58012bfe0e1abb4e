//! What is said about routes that are not there: endpoints of the API that this
//! version does not have, base URLs that were written wrongly, and the rest.
//!
//! An endpoint of the API is authenticated like any other before anything is
//! said about it. What stands in [`ENDPOINTS`] is public, so neither answer
//! tells a stranger anything; but a client with a bad key is to hear of that
//! first, as everywhere.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts};

use axum::response::{IntoResponse, Response};

use crate::{
    http::error::{ApiError, INVALID_REQUEST},
    identity::{Identity, caller::Caller},
};

/// Endpoints of OpenAI's API that this version does not have, below `/v1/`. A
/// `*` stands for one segment, `**` at the end for any number of them, none
/// included. The first that fits counts.
const ENDPOINTS: &[(&str, &str)] = &[
    ("responses/compact", "Compaction"),
    ("responses/input_tokens", "Counting input tokens"),
    ("conversations/**", "Conversations"),
    ("chat/completions/**", "Stored chat completions"),
    ("files/**", "Files"),
    ("uploads/**", "Uploads"),
    ("batches/**", "Batches"),
    ("vector_stores/**", "Vector stores"),
    ("containers/**", "Containers"),
    ("webhook_endpoints/**", "Webhooks"),
    ("webhook_event_types", "Webhooks"),
    ("moderations", "Moderations"),
    ("audio/**", "Audio"),
    ("images/**", "Images"),
    ("videos/**", "Videos"),
    ("realtime/**", "Realtime"),
    ("live/**", "Live sessions"),
    ("fine_tuning/**", "Fine-tuning"),
    ("evals/**", "Evals"),
    ("skills/**", "Skills"),
    ("assistants/**", "Assistants"),
    ("threads/**", "Assistants"),
    ("agents/**", "Agents"),
    ("environments/**", "Agents"),
    ("vaults/**", "Agents"),
    ("automations/**", "Agents"),
    ("chatkit/**", "ChatKit"),
    ("safety/**", "Safety"),
    ("decisions/**", "Decisions"),
    ("content_provenance_checks/**", "Content provenance checks"),
    ("traces/**", "Traces"),
    ("models/*/**", "Deleting models"),
    ("organization/users/**", "Users"),
    ("organization/invites/**", "Invites"),
    ("organization/groups/**", "Groups"),
    ("organization/roles/**", "Roles"),
    ("organization/certificates/**", "Certificates"),
    ("organization/usage/**", "Usage"),
    ("organization/costs", "Costs"),
    ("organization/spend_alerts/**", "Spend alerts"),
    ("organization/spend_limit", "Spend limits"),
    ("organization/data_retention", "Data retention"),
    ("organization/external_keys/**", "External keys"),
    ("organization/external_storage/**", "External storage"),
    ("organization/projects/*/users/**", "Users of projects"),
    ("organization/projects/*/groups/**", "Groups of projects"),
    ("organization/projects/*/certificates/**", "Certificates"),
    ("organization/projects/*/rate_limits/**", "Rate limits"),
    ("organization/projects/*/spend_alerts/**", "Spend alerts"),
    ("organization/projects/*/spend_limit", "Spend limits"),
    ("organization/projects/*/data_retention", "Data retention"),
    (
        "organization/projects/*/hosted_tool_permissions",
        "Hosted tool permissions",
    ),
    (
        "organization/projects/*/model_permissions",
        "Model permissions",
    ),
    (
        "organization/projects/*/service_tier_settings",
        "Service tiers",
    ),
    ("projects/**", "Roles"),
];

/// Endpoints that are there, by the first segments below `/v1`: enough to see
/// what a base URL without `/v1` was meant to be.
const SERVED: &[&str] = &[
    "responses",
    "chat/completions",
    "completions",
    "embeddings",
    "models",
    "organization",
];

/// How much of a path is said back.
const MAX_SHOWN: usize = 200;

/// The answer where no route matched.
pub async fn no_such_route(State(identity): State<Arc<Identity>>, mut parts: Parts) -> Response {
    if let Some(name) = endpoint(parts.uri.path()) {
        return unsupported(&identity, &mut parts, name).await;
    }
    invalid_url(&parts.method, &parts.uri).into_response()
}

/// The answer where a route matched and its methods did not: some endpoints
/// look like another one's path.
pub async fn method_not_allowed(
    State(identity): State<Arc<Identity>>,
    mut parts: Parts,
) -> Response {
    if parts.uri.path() == "/v1/responses" && asks_for_websocket(&parts.headers) {
        return no_websocket(&identity, &mut parts).await;
    }
    if let Some(name) = endpoint(parts.uri.path()) {
        return unsupported(&identity, &mut parts, name).await;
    }
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        INVALID_REQUEST,
        format!("Not allowed to {} on {}.", parts.method, shown(&parts.uri)),
    )
    .code("method_not_allowed")
    .into_response()
}

async fn unsupported(identity: &Arc<Identity>, parts: &mut Parts, name: &str) -> Response {
    if let Err(refused) = Caller::from_request_parts(parts, identity).await {
        return refused.into_response();
    }
    ApiError::not_found(format!(
        "This version of Waypost does not have this endpoint: {name} ({} {}). The status table in \
         its README lists what it has.",
        parts.method,
        shown(&parts.uri)
    ))
    .code("unsupported_endpoint")
    .into_response()
}

/// 426: clients then use HTTP at once, where another status makes some of them
/// try again for seconds.
async fn no_websocket(identity: &Arc<Identity>, parts: &mut Parts) -> Response {
    if let Err(refused) = Caller::from_request_parts(parts, identity).await {
        return refused.into_response();
    }
    let mut response = ApiError::new(
        StatusCode::UPGRADE_REQUIRED,
        INVALID_REQUEST,
        "This version of Waypost does not speak WebSocket here. Send POST /v1/responses over \
         HTTP, with \"stream\": true for a stream of events.",
    )
    .code("websocket_not_supported")
    .into_response();
    // RFC 9110 section 15.5.22: what to use instead.
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("HTTP/1.1"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers.get_all(header::UPGRADE).iter().any(|value| {
        let value = value.to_str().unwrap_or_default();
        value
            .split(',')
            .any(|name| name.trim().eq_ignore_ascii_case("websocket"))
    })
}

fn invalid_url(method: &Method, uri: &Uri) -> ApiError {
    let path = uri.path();
    let hint = if path.starts_with("/v1/v1/") || path == "/v1/v1" {
        " The path has /v1 twice: the base URL ends in /v1, and nothing is to be added to it."
    } else if path.contains("//") {
        " The path has two slashes in a row: write the base URL without a slash at its end."
    } else if lacks_version(path) {
        " The path lacks /v1: the base URL must end in /v1."
    } else if path.len() > 1 && path.ends_with('/') {
        " The path ends with a slash, which no path of the API does."
    } else {
        ""
    };
    ApiError::not_found(format!("Invalid URL ({method} {}).{hint}", shown(uri))).code("unknown_url")
}

/// Whether the path is one of the API without its `/v1`.
fn lacks_version(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    let is_served = SERVED.iter().any(|served| {
        path.strip_prefix(served)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    is_served || find(path).is_some()
}

/// The name of the endpoint that a path belongs to, where this version does not
/// have it.
fn endpoint(path: &str) -> Option<&'static str> {
    find(path.strip_prefix("/v1/")?)
}

fn find(path: &str) -> Option<&'static str> {
    ENDPOINTS
        .iter()
        .find(|(pattern, _)| fits(pattern, path))
        .map(|(_, name)| *name)
}

fn fits(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        if expected == "**" {
            return segments.all(|segment| !segment.is_empty());
        }
        match segments.next() {
            Some("") | None => return false,
            Some(segment) if expected == "*" || expected == segment => {}
            Some(_) => return false,
        }
    }
    segments.next().is_none()
}

/// A path as it is said back.
fn shown(uri: &Uri) -> &str {
    let path = uri.path();
    // URIs are ASCII.
    path.get(..MAX_SHOWN).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_segments() {
        for (path, expected) in [
            ("/v1/responses/compact", Some("Compaction")),
            ("/v1/conversations", Some("Conversations")),
            (
                "/v1/conversations/conv_1/items/msg_1",
                Some("Conversations"),
            ),
            ("/v1/conversation", None),
            ("/v1/filesystem", None),
            (
                "/v1/organization/projects/p/users",
                Some("Users of projects"),
            ),
            ("/v1/organization/projects//users", None),
            ("/v1/files/", None),
            ("/v1/organization/nope", None),
            ("/v1/models/org/name", Some("Deleting models")),
            ("/v1/models", None),
            ("/conversations", None),
            ("/v1", None),
        ] {
            assert_eq!(endpoint(path), expected, "{path}");
        }
    }

    #[test]
    fn a_wrong_base_url_is_named() {
        for (path, hint) in [
            ("/v1/v1/responses", "/v1 twice"),
            ("/v1/v1", "/v1 twice"),
            ("/v1//responses", "two slashes"),
            ("//v1/responses", "two slashes"),
            ("/responses", "lacks /v1"),
            ("/responses/resp_1/cancel", "lacks /v1"),
            ("/chat/completions", "lacks /v1"),
            ("/models", "lacks /v1"),
            ("/files", "lacks /v1"),
            ("/v1/responses/", "ends with a slash"),
        ] {
            let uri = path.parse().expect("a path");
            let error = invalid_url(&Method::POST, &uri);
            assert!(
                error.message().contains(hint),
                "{path}: {}",
                error.message()
            );
        }
        for path in ["/", "/nope", "/v1/nope", "/v1", "/modelsque"] {
            let error = invalid_url(&Method::GET, &path.parse().expect("a path"));
            assert_eq!(error.message(), format!("Invalid URL (GET {path})."));
        }
    }
}
