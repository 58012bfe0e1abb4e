//! `POST /oauth/revoke` (RFC 7009): whoever holds an access token can end it.
//!
//! The token is the authorization: it must be one that this server signed.
//! Anything else is answered with 200 as well (§2.2), since it grants nothing.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;
use waypost_engine::directory::Revocation;

use super::exchange::{
    limit_client,
    params::Params,
    reply::{Refused, uncached},
};
use crate::{clock, http::edge::RequestInfo, identity::Identity};

/// When a client may try again after the store failed.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

pub fn routes() -> Router<Arc<Identity>> {
    Router::new()
        .route("/oauth/revoke", post(revoke))
        .route("/{prefix}/oauth/revoke", post(revoke))
        .route("/{prefix}/{more}/oauth/revoke", post(revoke))
}

async fn revoke(State(identity): State<Arc<Identity>>, request: Request) -> Response {
    match run(&identity, request).await {
        Ok(()) => uncached(StatusCode::OK.into_response()),
        Err(refused) => {
            tracing::info!(
                reason = refused.reason,
                "token revocation refused: {}",
                refused.detail
            );
            refused.into_response()
        }
    }
}

async fn run(identity: &Arc<Identity>, request: Request) -> Result<(), Refused> {
    let info = RequestInfo::of(request.extensions());
    limit_client(identity, &info)?;
    let (parts, body) = request.into_parts();
    let params = Params::read(&parts.headers, body).await?;
    // Only access tokens exist here, so the hint can help with nothing.
    params.text("token_type_hint")?;
    let token = params.required("token")?;
    let directory = identity.compiled();
    let now = clock::seconds(clock::now());
    let Ok(claims) = identity.tokens.claims(&directory, token, now) else {
        return Ok(());
    };
    if directory.snapshot.revoked.contains(&claims.token_id) {
        return Ok(());
    }
    let revocation = Revocation {
        jti: claims.token_id.clone(),
        expires_at: claims.expires_at.saturating_mul(1000),
    };
    identity
        .engine
        .store
        .revoke_token(revocation)
        .await
        .map_err(|error| {
            tracing::error!("a token was not revoked: {error}");
            Refused::unavailable("store", error.to_string(), RETRY_AFTER)
        })?;
    if let Err(error) = identity.directory.refresh_now().await {
        // It is durable; the refresher will bring it into force.
        tracing::warn!("a revocation is committed and not in force yet: {error}");
    }
    identity.audit.revoked(&claims, &info);
    Ok(())
}
