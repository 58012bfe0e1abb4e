//! Whether a model's template knows tools, as its server says.
//!
//! llama.cpp has `/props` (`chat_template_caps`, or the template itself),
//! Ollama `/api/show` (`capabilities`). Asked once per model and remembered;
//! a server that cannot say is taken to know tools.

use std::time::Duration;

use moka::{Expiry, sync::Cache};
use serde_json::{Value, json};

use crate::{
    config::{Dialect, ToolCalling},
    upstream::{Upstream, Upstreams, stream},
};

/// Longest time that a request waits for the answer.
const PATIENCE: Duration = Duration::from_secs(3);
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Models remembered, over all servers.
const REMEMBERED: u64 = 1024;
/// How long an answer holds: a server may be started anew with another model.
const HOLDS: Duration = Duration::from_mins(5);
/// How long no answer counts as one.
const HOLDS_UNKNOWN: Duration = Duration::from_secs(15);

/// Which models know tools, as far as their servers were asked.
pub struct ToolSupport(Cache<(String, String), Option<bool>>);

impl Default for ToolSupport {
    fn default() -> Self {
        let kept = Cache::builder().max_capacity(REMEMBERED);
        Self(kept.expire_after(Holds).build())
    }
}

struct Holds;

impl Expiry<(String, String), Option<bool>> for Holds {
    fn expire_after_create(
        &self,
        _: &(String, String),
        answer: &Option<bool>,
        _: std::time::Instant,
    ) -> Option<Duration> {
        Some(answer.map_or(HOLDS_UNKNOWN, |_| HOLDS))
    }
}

impl ToolSupport {
    /// Whether tools have to be emulated for that model.
    pub async fn must_emulate(
        &self,
        upstreams: &Upstreams,
        upstream: &Upstream,
        model: &str,
    ) -> bool {
        match upstream.capabilities.tools {
            ToolCalling::Native => false,
            ToolCalling::Emulated => true,
            ToolCalling::Auto => {
                let model = upstream.real_name(model);
                let key = (upstream.base_url.to_string(), model.to_owned());
                if let Some(known) = self.0.get(&key) {
                    return known == Some(false);
                }
                let answer = tokio::time::timeout(PATIENCE, ask(upstreams, upstream, model));
                let knows_tools = answer.await.ok().flatten();
                if knows_tools == Some(false) {
                    tracing::info!(upstream = %upstream.name, model, "the model's template knows no tools: they are emulated");
                }
                self.0.insert(key, knows_tools);
                knows_tools == Some(false)
            }
        }
    }
}

async fn ask(upstreams: &Upstreams, upstream: &Upstream, model: &str) -> Option<bool> {
    match upstream.dialect {
        Dialect::LlamaCpp => {
            let request =
                upstream.request_at_root(&upstreams.client, reqwest::Method::GET, "/props");
            props(&fetch(upstreams, upstream, request).await?)
        }
        Dialect::Ollama => {
            let request = upstream
                .request_at_root(&upstreams.client, reqwest::Method::POST, "/api/show")
                .json(&json!({ "model": model }));
            show(&fetch(upstreams, upstream, request).await?)
        }
        _ => None,
    }
}

async fn fetch(
    upstreams: &Upstreams,
    upstream: &Upstream,
    request: reqwest::RequestBuilder,
) -> Option<Value> {
    let mut answer = stream::send(upstreams, upstream, request, PATIENCE)
        .await
        .ok()?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            return None;
        }
    }
    serde_json::from_slice(&body).ok()
}

/// llama.cpp: what it found out about the template, else the template.
fn props(props: &Value) -> Option<bool> {
    let caps = &props["chat_template_caps"];
    if let Some(tools) = caps["supports_tools"].as_bool() {
        return Some(tools);
    }
    // Every template that renders tools names the variable.
    Some(props["chat_template"].as_str()?.contains("tools"))
}

fn show(show: &Value) -> Option<bool> {
    let capabilities = show["capabilities"].as_array()?;
    Some(capabilities.iter().any(|word| word == "tools"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_it_in_their_ways() {
        let caps =
            json!({"chat_template_caps": {"supports_tools": false}, "chat_template": "tools"});
        assert_eq!(props(&caps), Some(false));
        let template = |text: &str| props(&json!({ "chat_template": text }));
        assert_eq!(template("{% if tools %}"), Some(true));
        assert_eq!(template("{{ messages }}"), Some(false));
        assert_eq!(props(&json!({})), None);
        assert_eq!(show(&json!({"capabilities": ["completion"]})), Some(false));
        assert_eq!(show(&json!({"capabilities": ["tools"]})), Some(true));
        assert_eq!(show(&json!({})), None);
    }
}
