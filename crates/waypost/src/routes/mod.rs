//! The table of routes.

mod missing;
mod root;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tower::util::option_layer;

use crate::{
    admin,
    app::AppRef,
    chat,
    http::{cors, edge},
    identity, models, ops, passed, responses,
};

/// Every route of the server, with the edge around it.
pub fn router(app: &AppRef) -> Router {
    let mut operators = ops::routes();
    if app.config.metrics_listen.is_none() {
        operators = operators.merge(ops::metrics_routes());
    }
    Router::new()
        .merge(root::routes())
        .merge(identity::routes())
        .merge(operators.with_state(Arc::clone(app)))
        .merge(admin::routes().with_state(Arc::clone(&app.admin)))
        .merge(responses::routes().with_state(Arc::clone(&app.responses)))
        .merge(chat::routes().with_state(Arc::clone(&app.chat)))
        .merge(models::routes().with_state(Arc::clone(&app.models)))
        .merge(passed::routes().with_state(Arc::clone(&app.chat)))
        .fallback(missing::no_such_route)
        .method_not_allowed_fallback(missing::method_not_allowed)
        .layer(DefaultBodyLimit::max(app.config.http.body_limit.0))
        .layer(option_layer(cors::layer(&app.config.http)))
        // Outermost: nothing is answered without a request id and a log line.
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app.http),
            edge::around,
        ))
        .with_state(Arc::clone(&app.identity))
}

/// What is served on `metrics_listen`.
pub fn metrics_router(app: &AppRef) -> Router {
    Router::new()
        .merge(ops::routes())
        .merge(ops::metrics_routes())
        .fallback(ops::not_here)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app.http),
            edge::around,
        ))
        .with_state(Arc::clone(app))
}
