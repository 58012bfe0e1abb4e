//! Path parameters, with errors in the envelope.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::app::AppRef;

/// The path's parameters. What is not UTF-8 names nothing: 404.
#[derive(Debug, Clone, Copy)]
pub struct ApiPath<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<AppRef> for ApiPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppRef) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, app).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) if rejection.status().is_server_error() => {
                Err(ApiError::internal(rejection))
            }
            Err(_) => Err(ApiError::not_found("The path names nothing here.").code("unknown_url")),
        }
    }
}
