//! `POST /v1/embeddings`: passed on, and the answer in the encoding that was
//! asked for. OpenAI's SDKs ask for base64 unless told otherwise, and not every
//! model server knows it.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use bytes::Bytes;
use http::header;
use waypost_identity::Scope;

use super::{
    Head,
    encoding::{self, Encoding},
};
use crate::{
    chat::Chat,
    chat::{
        alias,
        pass::{Answered, ask},
    },
    http::{
        edge::RequestInfo,
        error::ApiError,
        json::{self, JsonBytes},
    },
    identity::caller::ProjectCaller,
    upstream::error::UpstreamError,
};

/// The longest answer that is put into another encoding: 2048 inputs, which is
/// the most that the API takes at once, of 3072 numbers each.
const MAX_ANSWER: usize = 128 * 1024 * 1024;
/// An answer's vectors begin within so many bytes.
const MAX_HEAD: usize = 64 * 1024;

pub async fn embeddings(
    State(chat): State<Arc<Chat>>,
    caller: ProjectCaller,
    Extension(info): Extension<Arc<RequestInfo>>,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    caller.require(Scope::ModelRequest)?;
    let head: Head<'_> = json::parse(&body)?;
    let wanted = match head.encoding_format.as_deref() {
        None | Some("float") => Some(Encoding::Float),
        Some("base64") => Some(Encoding::Base64),
        // A server's own, or a mistake that it refuses.
        Some(_) => None,
    };
    let call = head.call(chat, caller, info, "/embeddings")?;
    drop(head);
    let (upstream, model) = (Arc::clone(&call.upstream), call.model.clone());
    let body = alias::request(&upstream, &model, body);
    let answer = answered(ask(call, body).await?, wanted).await?;
    alias::response(&upstream, &model, answer).await
}

/// The answer in the encoding that is wanted; `None` takes any.
async fn answered(mut answered: Answered, wanted: Option<Encoding>) -> Result<Response, ApiError> {
    let Some(wanted) = wanted.filter(|_| answered.status.is_success()) else {
        return Ok(answered.pass_on());
    };
    let found = loop {
        if let Some(found) = encoding::of(&answered.begun) {
            break Some(found);
        }
        if answered.begun.len() > MAX_HEAD || !answered.read_on().await? {
            break None;
        }
    };
    match found {
        Some(found) if found != wanted => convert(answered, wanted).await,
        // As it was asked for, or without vectors.
        _ => Ok(answered.pass_on()),
    }
}

async fn convert(mut answered: Answered, wanted: Encoding) -> Result<Response, ApiError> {
    let body = answered.read_whole(MAX_ANSWER).await?;
    let converted = tokio::task::spawn_blocking(move || encoding::convert(&body, wanted))
        .await
        .map_err(ApiError::internal)?;
    let converted = converted.map_err(|problem| {
        answered
            .call
            .failed(UpstreamError::Malformed(format!("embeddings: {problem}")))
    })?;
    answered.headers.insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    answered.begun = Bytes::from(converted).into();
    Ok(answered.pass_on())
}
