//! What models the upstreams have: asked for, kept a while, asked for once
//! however many want to know. The background asks as well ([`watch`]).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{Upstream, Upstreams, error::UpstreamError, stream::send, watch};

/// How long a listing is good.
const FRESH: Duration = Duration::from_secs(30);
/// How long an upstream has to list its models.
const PATIENCE: Duration = Duration::from_secs(5);
/// Models taken from one upstream.
const MAX_MODELS: usize = 10_000;
/// The largest listing that is read.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The models of all upstreams, as the API shows them, by id.
pub type Listing = BTreeMap<String, Value>;

/// Sees to it that waiting callers share one round of questions.
#[derive(Debug, Default)]
pub struct ModelListing(Mutex<()>);

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    data: Vec<Model>,
}

/// A model that a server lists.
#[derive(Debug, Clone, Deserialize)]
pub struct Model {
    pub id: String,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    owned_by: Option<String>,
}

impl ModelListing {
    /// Every model that a request can name.
    pub async fn get(&self, upstreams: &Upstreams) -> Listing {
        let _one_at_a_time = self.0.lock().await;
        let all = upstreams.all();
        // The background asks too; here those are asked whose answer is old.
        let old = all.iter().filter(|upstream| {
            let asked = upstream.health().asked;
            asked.is_none_or(|asked| asked.elapsed() >= FRESH)
        });
        join_all(old.map(|upstream| watch::look(upstreams, upstream))).await;
        listing(upstreams, &all)
    }
}

fn listing(upstreams: &Upstreams, all: &[Arc<Upstream>]) -> Listing {
    let mut listing = Listing::new();
    for upstream in all {
        let models = upstream.health().models.clone();
        // A model that is named in full is there even if it is not listed.
        let named = upstream.named_models().chain(upstream.aliases());
        let named = named.map(|name| Model {
            id: name.to_owned(),
            created: None,
            owned_by: None,
        });
        for model in models.iter().cloned().chain(named) {
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

/// The models that a server lists, and its answer as it came.
pub(super) async fn ask(
    upstreams: &Upstreams,
    upstream: &Upstream,
) -> Result<(Vec<Model>, Value), UpstreamError> {
    let listed = listed(upstreams, upstream).await;
    listed.map_err(|error| error.told_by(upstream))
}

async fn listed(
    upstreams: &Upstreams,
    upstream: &Upstream,
) -> Result<(Vec<Model>, Value), UpstreamError> {
    let request = upstream.request(&upstreams.client, reqwest::Method::GET, "/models");
    let mut answer = send(upstreams, upstream, request, PATIENCE).await?;
    let mut body = Vec::new();
    let read = async {
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|e| UpstreamError::Broken(e.to_string()))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(UpstreamError::TooLarge(format!(
                    "a listing over {MAX_BYTES} bytes"
                )));
            }
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_| UpstreamError::Stalled(PATIENCE))??;
    let malformed = |e: serde_json::Error| UpstreamError::Malformed(e.to_string());
    let raw: Value = serde_json::from_slice(&body).map_err(malformed)?;
    let mut answer = Answer::deserialize(&raw).map_err(malformed)?;
    answer.data.truncate(MAX_MODELS);
    Ok((answer.data, raw))
}
