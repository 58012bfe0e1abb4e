//! What is passed on and never run here: embeddings ([`embeddings`]) and the
//! completions of before Chat ([`completions`]). Routing, authentication,
//! scopes, limits and metrics are those of Chat Completions.

use std::{borrow::Cow, fmt, sync::Arc};

use axum::{Router, routing::post};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use crate::{
    chat::Chat,
    chat::{head::Text, pass::Call, routed, spelling},
    http::{edge::RequestInfo, error::ApiError},
    identity::caller::ProjectCaller,
};

mod completions;
mod embeddings;
mod encoding;

/// The routes of `/v1/embeddings` and `/v1/completions`.
pub fn routes() -> Router<Arc<Chat>> {
    Router::new()
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/completions", post(completions::completions))
}

/// What decides about a request; the rest of its body is the model server's.
#[derive(Debug)]
struct Head<'a> {
    model: Cow<'a, str>,
    /// `encoding_format`, where it is a string.
    encoding_format: Option<Cow<'a, str>>,
    /// A key that is one of these but for its case, and that one.
    misspelt: Option<(String, &'static str)>,
}

const MODEL: &str = "model";
const ENCODING_FORMAT: &str = "encoding_format";

impl Head<'_> {
    /// Where the request goes. A spelling that a model server could read as
    /// another model is refused.
    fn call(
        &self,
        chat: Arc<Chat>,
        caller: ProjectCaller,
        info: Arc<RequestInfo>,
        path: &'static str,
    ) -> Result<Call, ApiError> {
        if let Some((key, known)) = &self.misspelt {
            return Err(spelling::refusal(key, known));
        }
        Ok(Call {
            upstream: routed(&chat, &self.model)?,
            chat,
            info,
            project_id: caller.project_id,
            model: self.model.clone().into_owned(),
            path,
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Head<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Read)
    }
}

/// A string, or something else that the model server may judge.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(IgnoredAny),
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Head<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Head<'de>, M::Error> {
        let (mut model, mut format, mut misspelt) = (None, None, None);
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                MODEL if model.is_some() => return Err(Error::duplicate_field(MODEL)),
                MODEL => {
                    let Text(name) = map.next_value()?;
                    model = Some(name);
                }
                ENCODING_FORMAT if format.is_some() => {
                    return Err(Error::duplicate_field(ENCODING_FORMAT));
                }
                ENCODING_FORMAT => format = Some(map.next_value::<Loose<'de>>()?),
                _ => {
                    if let Some(known) = spelling::meant(&key, &[MODEL, ENCODING_FORMAT]) {
                        misspelt.get_or_insert((key.into_owned(), known));
                    }
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Head {
            model: model.ok_or_else(|| Error::missing_field(MODEL))?,
            encoding_format: match format {
                Some(Loose::Text(text)) => Some(text),
                Some(Loose::Other(_)) | None => None,
            },
            misspelt,
        })
    }
}
