//! With no upstream configured: is a model server running here?

use std::{sync::Arc, time::Duration};

use futures::future::join_all;

use super::{Upstream, Upstreams, watch};
use crate::config;

/// The usual local ports, in order of preference: Ollama, vLLM, llama.cpp,
/// LM Studio.
const PORTS: &[(u16, &str)] = &[
    (11434, "ollama"),
    (8000, "local-8000"),
    (8080, "local-8080"),
    (1234, "local-1234"),
];
const PATIENCE: Duration = Duration::from_secs(3);

/// Adds the model servers found on loopback, but never ourselves. The names of
/// those that are new.
pub async fn look(upstreams: &Upstreams, own_port: u16) -> Vec<String> {
    let ports = PORTS
        .iter()
        .filter(|(port, name)| *port != own_port && upstreams.by_name(name).is_none());
    let probes = ports.map(async |(port, name)| {
        let base_url = format!("http://127.0.0.1:{port}/v1");
        let found = Upstream::new(&config::Upstream::at((*name).to_owned(), base_url)).ok()?;
        // It learns into the registry, in which it is not yet.
        let answer = super::listing::ask(upstreams, &found);
        tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()?;
        Some(Arc::new(found))
    });
    let mut names = Vec::new();
    for found in join_all(probes).await.into_iter().flatten() {
        if upstreams.add(&found) {
            watch::look(upstreams, &found).await;
            tracing::info!("found a model server at {}", found.base_url);
            names.push(found.name.clone());
        }
    }
    names
}
