//! Cross-origin requests: off unless the operator lists origins.
//!
//! Credentials here are bearer tokens that a page's own code sends, never
//! cookies, so `Access-Control-Allow-Credentials` stays off and every header
//! may be read.

use std::time::Duration;

use http::{HeaderValue, Method};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

use crate::config::HttpConfig;

/// How long a browser may remember that it may ask.
const REMEMBERED: Duration = Duration::from_hours(1);

/// The layer for the configured origins; without any there is none.
pub fn layer(config: &HttpConfig) -> Option<CorsLayer> {
    if config.cors_origins.is_empty() {
        return None;
    }
    let origins = if config.cors_origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let known = config.cors_origins.iter();
        AllowOrigin::list(known.filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    Some(
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            // SDKs send a dozen headers of their own, and new ones every year.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(Any)
            .max_age(REMEMBERED),
    )
}

/// What is wrong with an origin as the configuration has it.
pub fn problem(origin: &str) -> Option<&'static str> {
    if origin == "*" {
        return None;
    }
    let is_origin = reqwest::Url::parse(origin).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == origin
    });
    (!is_origin).then_some(
        "is no origin: write scheme, host and port as browsers send them, like \"https://app.example.com\", or \"*\"",
    )
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for good in ["*", "https://app.example.com", "http://localhost:3000"] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in [
            "https://app.example.com/",
            "https://APP.example.com",
            "https://app.example.com:443",
            "app.example.com",
            "null",
            "ftp://app.example.com",
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}
