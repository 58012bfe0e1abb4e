//! The table of routes.

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tower::util::option_layer;

use crate::{
    admin,
    app::AppRef,
    chat,
    http::{cors, edge, missing, root},
    identity, models, ops, passed, responses,
};

/// Every route of the server, with the edge around it.
pub fn router(app: AppRef) -> Router {
    let mut router = Router::new().merge(root::routes()).merge(ops::routes());
    if app.config.metrics_listen.is_none() {
        router = router.merge(ops::metrics_routes());
    }
    router
        .merge(admin::routes())
        .merge(identity::routes())
        .merge(responses::routes())
        .merge(chat::routes())
        .merge(models::routes())
        .merge(passed::routes())
        .fallback(missing::no_such_route)
        .method_not_allowed_fallback(missing::method_not_allowed)
        .layer(DefaultBodyLimit::max(app.config.http.body_limit.0))
        .layer(option_layer(cors::layer(&app.config.http)))
        // Outermost: nothing is answered without a request id and a log line.
        .layer(middleware::from_fn_with_state(app.clone(), edge::around))
        .with_state(app)
}

/// What is served on `metrics_listen`.
pub fn metrics_router(app: AppRef) -> Router {
    Router::new()
        .merge(ops::routes())
        .merge(ops::metrics_routes())
        .fallback(ops::not_here)
        .layer(middleware::from_fn_with_state(app.clone(), edge::around))
        .with_state(app)
}
