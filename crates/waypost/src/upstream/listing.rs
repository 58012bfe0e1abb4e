//! What models the upstreams have: asked for, kept a while, asked for once
//! however many want to know.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{Upstream, Upstreams, error::UpstreamError, stream::send};

/// How long a listing is good.
const FRESH: Duration = Duration::from_secs(30);
/// How long an upstream has to list its models.
const PATIENCE: Duration = Duration::from_secs(5);
/// Models taken from one upstream.
const MAX_MODELS: usize = 10_000;
/// The largest listing that is read.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The models of all upstreams, as the API shows them, by id.
type Listing = BTreeMap<String, Value>;

/// The cache. Waiting callers share one round of questions.
#[derive(Debug, Default)]
pub struct ModelListing(Mutex<Option<(Instant, Arc<Listing>)>>);

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    owned_by: Option<String>,
}

impl ModelListing {
    /// Every model that a request can name.
    pub async fn get(&self, upstreams: &Upstreams) -> Arc<Listing> {
        let mut cache = self.0.lock().await;
        if let Some((at, listing)) = &*cache
            && at.elapsed() < FRESH
        {
            return listing.clone();
        }
        let listing = Arc::new(ask_all(upstreams).await);
        *cache = Some((Instant::now(), listing.clone()));
        listing
    }
}

async fn ask_all(upstreams: &Upstreams) -> Listing {
    let answers = join_all(
        upstreams
            .all()
            .iter()
            .map(|upstream| ask(upstreams, upstream)),
    )
    .await;
    let mut listing = Listing::new();
    for (upstream, answer) in upstreams.all().iter().zip(answers) {
        let models = answer.unwrap_or_else(|error| {
            tracing::warn!(upstream = %upstream.name, %error, "the model server does not list its models");
            Vec::new()
        });
        // A model that is named in full is there even if it is not listed.
        let named = upstream.named_models().map(|name| Model {
            id: name.to_owned(),
            created: None,
            owned_by: None,
        });
        for model in models.into_iter().chain(named) {
            // Listed by the one that would serve it, or not at all.
            if upstreams
                .for_model(&model.id)
                .is_some_and(|u| u.name == upstream.name)
            {
                listing.entry(model.id.clone()).or_insert_with(|| {
                    json!({
                        "id": model.id,
                        "object": "model",
                        "created": model.created.unwrap_or(0),
                        "owned_by": model.owned_by.unwrap_or_else(|| upstream.name.clone()),
                    })
                });
            }
        }
    }
    listing
}

async fn ask(upstreams: &Upstreams, upstream: &Upstream) -> Result<Vec<Model>, UpstreamError> {
    let request = upstream.request(&upstreams.client, reqwest::Method::GET, "/models");
    let mut answer = send(upstreams, request, PATIENCE).await?;
    let mut body = Vec::new();
    let read = async {
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|e| UpstreamError::Broken(e.to_string()))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(UpstreamError::Malformed(format!(
                    "a listing over {MAX_BYTES} bytes"
                )));
            }
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_| UpstreamError::Stalled(PATIENCE))??;
    let mut answer: Answer =
        serde_json::from_slice(&body).map_err(|e| UpstreamError::Malformed(e.to_string()))?;
    answer.data.truncate(MAX_MODELS);
    Ok(answer.data)
}
