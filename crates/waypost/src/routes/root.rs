//! `GET /`: what a person sees who opens the server's address in a browser.

use std::sync::Arc;

use crate::identity::Identity;

use axum::{Router, extract::State, response::Html, routing::get};

pub fn routes() -> Router<Arc<Identity>> {
    Router::new().route("/", get(root))
}

/// Open to anyone, so it says nothing of what is inside.
async fn root(State(identity): State<Arc<Identity>>) -> Html<String> {
    let health = if identity.shutdown.is_draining() {
        "shutting down"
    } else {
        "serving"
    };
    Html(format!(
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Waypost</title>
<body>
<h1>Waypost {version}</h1>
<p>This server is {health}: <a href="/healthz">health</a>, <a href="/readyz">readiness</a>, <a href="/metrics">metrics</a>.</p>
<p>Clients use the base URL <code>{base}/v1</code> and a key or an access token.</p>
<p>The documentation of this version is its <code>README.md</code> and its <code>docs</code> folder.</p>
"#,
        version = env!("CARGO_PKG_VERSION"),
        base = escape(&identity.public_url),
    ))
}

/// The configured URL may hold what means something in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
