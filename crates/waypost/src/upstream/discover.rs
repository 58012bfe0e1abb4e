//! With no upstream configured: is a model server running here?

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;

use crate::config::{Dialect, Upstream};

/// The usual local ports, in order of preference: Ollama, vLLM, llama.cpp,
/// LM Studio.
const PORTS: &[(u16, &str, Dialect)] = &[
    (11434, "ollama", Dialect::Ollama),
    (8000, "local-8000", Dialect::Generic),
    (8080, "local-8080", Dialect::Generic),
    (1234, "local-1234", Dialect::Generic),
];
const PATIENCE: Duration = Duration::from_millis(500);
const MAX_BYTES: usize = 1024 * 1024;

/// The model servers found on loopback, but never ourselves.
pub async fn discover(client: &reqwest::Client, own_port: u16) -> Vec<Upstream> {
    let probes = PORTS.iter().filter(|(port, ..)| *port != own_port).map(
        |(port, name, dialect)| async move {
            let base_url = format!("http://127.0.0.1:{port}/v1");
            let owner = probe(client, &base_url).await?;
            let mut found = Upstream::at((*name).to_owned(), base_url);
            // The answers say who they are.
            found.dialect = match owner.as_str() {
                "llamacpp" => Dialect::LlamaCpp,
                "vllm" => Dialect::Vllm,
                "sglang" => Dialect::Sglang,
                _ => *dialect,
            };
            Some(found)
        },
    );
    join_all(probes).await.into_iter().flatten().collect()
}

/// Who owns the first model there, if that is a model server at all.
async fn probe(client: &reqwest::Client, base_url: &str) -> Option<String> {
    let ask = async {
        let mut answer = client.get(format!("{base_url}/models")).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return None;
            }
        }
        let listing: Value = serde_json::from_slice(&body).ok()?;
        let models = listing["data"].as_array()?;
        let owner = models
            .first()
            .and_then(|m| m["owned_by"].as_str())
            .unwrap_or_default();
        Some(owner.to_owned())
    };
    tokio::time::timeout(PATIENCE, ask).await.ok().flatten()
}
