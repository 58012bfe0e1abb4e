//! This server as an issuer: `/.well-known/openid-configuration` and
//! `/.well-known/jwks.json`, for whoever verifies access tokens elsewhere.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::identity::Identity;
use http::header;
use serde_json::json;
use waypost_identity::Scope;

use super::exchange::params::{GRANT_TYPE, SUBJECT_TOKEN_TYPES};

/// Well under the time for which a new key is published before it signs.
const CACHE: &str = "public, max-age=600";

pub fn routes() -> Router<Arc<Identity>> {
    Router::new()
        .route("/.well-known/openid-configuration", get(configuration))
        .route("/.well-known/jwks.json", get(jwks))
}

/// OpenID Connect Discovery §3 and RFC 8414 §2. There is no authorization
/// endpoint, hence no response type.
async fn configuration(State(identity): State<Arc<Identity>>) -> Response {
    let url = &identity.public_url;
    let scopes: Vec<_> = Scope::ALL.into_iter().map(Scope::name).collect();
    let document = json!({
        "issuer": url,
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "token_endpoint": format!("{url}/oauth/token"),
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint": format!("{url}/oauth/revoke"),
        "revocation_endpoint_auth_methods_supported": ["none"],
        "grant_types_supported": [GRANT_TYPE],
        "subject_token_types_supported": SUBJECT_TOKEN_TYPES,
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "scopes_supported": scopes,
    });
    ([(header::CACHE_CONTROL, CACHE)], Json(document)).into_response()
}

async fn jwks(State(identity): State<Arc<Identity>>) -> Response {
    let directory = identity.compiled();
    (
        [
            (header::CACHE_CONTROL, CACHE),
            (header::CONTENT_TYPE, "application/json"),
        ],
        directory.ring.jwks().to_owned(),
    )
        .into_response()
}
