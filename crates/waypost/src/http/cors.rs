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
