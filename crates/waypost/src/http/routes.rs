//! The table of routes.

use axum::{Router, extract::DefaultBodyLimit, middleware};
use http::{Method, Uri};

use super::{edge, error::ApiError, ops};
use crate::{admin, app::AppRef, chat, identity, models, responses};

/// Every route of the server, with the edge around it.
pub fn router(app: AppRef) -> Router {
    Router::new()
        .merge(ops::routes())
        .merge(admin::routes())
        .merge(identity::routes())
        .merge(responses::routes())
        .merge(chat::routes())
        .merge(models::routes())
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(app.config.http.body_limit.0))
        // Outermost: nothing is answered without a request id and a log line.
        .layer(middleware::from_fn_with_state(app.clone(), edge::around))
        .with_state(app)
}

async fn no_such_route(method: Method, uri: Uri) -> ApiError {
    ApiError::not_found(format!("Invalid URL ({method} {}).", uri.path())).code("unknown_url")
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        http::StatusCode::METHOD_NOT_ALLOWED,
        super::error::INVALID_REQUEST,
        format!("Not allowed to {method} on {}.", uri.path()),
    )
    .code("method_not_allowed")
}
