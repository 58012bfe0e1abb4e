//! `POST /v1/completions`: the legacy endpoint, byte for byte both ways.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use waypost_identity::Scope;

use super::Head;
use crate::{
    chat::Chat,
    chat::pass_on,
    http::{
        edge::RequestInfo,
        error::ApiError,
        json::{self, JsonBytes},
    },
    identity::caller::ProjectCaller,
};

pub async fn completions(
    State(chat): State<Arc<Chat>>,
    caller: ProjectCaller,
    Extension(info): Extension<Arc<RequestInfo>>,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    caller.require(Scope::ModelRequest)?;
    let head: Head<'_> = json::parse(&body)?;
    let call = head.call(chat, caller, info, "/completions")?;
    pass_on(call, body).await
}
