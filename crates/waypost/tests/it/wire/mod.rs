//! What the server sends, byte for byte, recorded: `WAYPOST_TEST_UPDATE=1 cargo
//! test -p waypost --test it wire::` records it anew. A change of structure
//! leaves these files as they are; a change of behaviour shows in them.
//!
//! Ids, times, keys, tokens and addresses are masked; see [`mask`].

mod admin;
mod chat;
mod edge;
mod identity;
mod mask;
mod mcp;
mod responses;
mod tools;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;
use reqwest::Method;
use serde_json::Value;

use self::mask::Mask;
use crate::{
    harness::{Client, Reply},
    support::World,
};

/// Headers that are another server's, or another day's.
const NOT_OURS: [&str; 1] = ["date"];
/// Headers whose value is a matter of time.
const TIMES: [&str; 2] = ["openai-processing-ms", "openai-poll-after-ms"];

/// Records requests and their answers.
struct Tape {
    name: &'static str,
    text: String,
    mask: Mask,
}

impl Tape {
    /// `places` are the addresses of this run, and what stands for them.
    fn new(name: &'static str, places: &[(&str, &str)]) -> Self {
        Self {
            name,
            text: String::new(),
            mask: Mask::new(places),
        }
    }

    /// Of a server with its scripted model server.
    fn of(name: &'static str, world: &World) -> Self {
        let places = [
            (world.server.base_url.as_str(), "http://waypost"),
            (&world.upstream.address().to_string(), "model"),
        ];
        Self::new(name, &places)
    }

    async fn get(&mut self, client: &Client, path: &str) -> Reply {
        self.send(client, Method::GET, path, None, &[]).await
    }

    async fn delete(&mut self, client: &Client, path: &str) -> Reply {
        self.send(client, Method::DELETE, path, None, &[]).await
    }

    async fn post(&mut self, client: &Client, path: &str, body: Value) -> Reply {
        self.send(client, Method::POST, path, Some(&body.to_string()), &[])
            .await
    }

    /// A page of metrics, of which only what describes them is recorded.
    async fn get_names(&mut self, client: &Client, path: &str) {
        let page = client.get(path).await.ok().text;
        let names: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
        let (ask, names) = (format!("> GET {path}"), names.join("\n"));
        self.text += &[&ask, "< 200", "", &names, "", ""].join("\n");
    }

    /// Any request; a body is sent as it is.
    async fn send(
        &mut self,
        client: &Client,
        method: Method,
        path: &str,
        body: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = client.request(method.clone(), path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_owned());
        }
        let reply = client.send(request).await;
        let mut lines = vec![format!("> {method} {path}")];
        for (name, value) in headers {
            lines.push(format!("> {name}: {value}"));
        }
        lines.extend(body.map(|body| format!("> {body}")));
        lines.push(format!("< {}", reply.status));
        let names: BTreeSet<&str> = reply.headers.keys().map(http::HeaderName::as_str).collect();
        for name in names.iter().filter(|name| !NOT_OURS.contains(name)) {
            for value in reply.headers.get_all(*name) {
                let value = if TIMES.contains(name) {
                    "<time>".into()
                } else {
                    String::from_utf8_lossy(value.as_bytes())
                };
                lines.push(format!("< {name}: {value}"));
            }
        }
        let body = reply.text.trim_end_matches('\n');
        lines.extend(["", body, "", ""].map(str::to_owned));
        self.text += &self.mask.of(&lines.join("\n"));
        reply
    }

    /// Compares with what was recorded before.
    fn compare(self) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/it/wire/recorded")
            .join(format!("{}.txt", self.name));
        if std::env::var_os("WAYPOST_TEST_UPDATE").is_some() {
            fs::write(&path, &self.text).expect("a written record");
            return;
        }
        let before = fs::read_to_string(&path).expect("a record");
        if before != self.text {
            let diff = similar::TextDiff::from_lines(&before, &self.text);
            panic!(
                "{}\nthe server sends something else than is recorded",
                diff.unified_diff().context_radius(4)
            );
        }
    }
}

/// Every route with each of its methods.
const ROUTES: [&str; 53] = [
    "GET /",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /.well-known/openid-configuration",
    "GET /.well-known/jwks.json",
    "POST /oauth/token",
    "POST /{prefix}/oauth/token",
    "POST /{prefix}/{more}/oauth/token",
    "POST /oauth/revoke",
    "POST /{prefix}/oauth/revoke",
    "POST /{prefix}/{more}/oauth/revoke",
    "GET /v1/models",
    "GET /v1/models/{*model}",
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/embeddings",
    "GET /v1/responses",
    "POST /v1/responses",
    "GET /v1/responses/{response_id}",
    "DELETE /v1/responses/{response_id}",
    "POST /v1/responses/{response_id}/cancel",
    "GET /v1/responses/{response_id}/input_items",
    "GET /v1/organization/admin_api_keys",
    "POST /v1/organization/admin_api_keys",
    "GET /v1/organization/admin_api_keys/{key_id}",
    "DELETE /v1/organization/admin_api_keys/{key_id}",
    "GET /v1/organization/audit_logs",
    "GET /v1/organization/projects",
    "POST /v1/organization/projects",
    "GET /v1/organization/projects/{project_id}",
    "POST /v1/organization/projects/{project_id}",
    "POST /v1/organization/projects/{project_id}/archive",
    "GET /v1/organization/projects/{project_id}/api_keys",
    "GET /v1/organization/projects/{project_id}/api_keys/{api_key_id}",
    "POST /v1/organization/projects/{project_id}/api_keys/{api_key_id}",
    "DELETE /v1/organization/projects/{project_id}/api_keys/{api_key_id}",
    "GET /v1/organization/projects/{project_id}/service_accounts",
    "POST /v1/organization/projects/{project_id}/service_accounts",
    "GET /v1/organization/projects/{project_id}/service_accounts/{service_account_id}",
    "POST /v1/organization/projects/{project_id}/service_accounts/{service_account_id}",
    "DELETE /v1/organization/projects/{project_id}/service_accounts/{service_account_id}",
    "POST /v1/organization/projects/{project_id}/service_accounts/{service_account_id}/api_keys",
    "GET /v1/organization/workload_identity_providers",
    "POST /v1/organization/workload_identity_providers",
    "GET /v1/organization/workload_identity_providers/{workload_identity_provider_id}",
    "POST /v1/organization/workload_identity_providers/{workload_identity_provider_id}",
    "DELETE /v1/organization/workload_identity_providers/{workload_identity_provider_id}",
    "GET /v1/organization/workload_identity_providers/{workload_identity_provider_id}/federation_rules",
    "POST /v1/organization/workload_identity_providers/{workload_identity_provider_id}/federation_rules",
    "GET /v1/organization/workload_identity_providers/{workload_identity_provider_id}/federation_rules/{workload_identity_federation_rule_id}",
    "POST /v1/organization/workload_identity_providers/{workload_identity_provider_id}/federation_rules/{workload_identity_federation_rule_id}",
    "DELETE /v1/organization/workload_identity_providers/{workload_identity_provider_id}/federation_rules/{workload_identity_federation_rule_id}",
];

#[test]
fn every_route_is_recorded() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let declared = Regex::new(r#"\.route\(\s*"(/[^"]+)""#).expect("a pattern");
    let sources = files(&here.join("src")).concat();
    for route in declared.captures_iter(&sources) {
        let known = ROUTES.iter().any(|known| known.ends_with(&route[1]));
        assert!(known, "{} is not in the list here", &route[1]);
    }
    let recorded = files(&here.join("tests/it/wire/recorded")).concat();
    let asked: BTreeSet<&str> = recorded
        .lines()
        .filter_map(|line| line.strip_prefix("> "))
        .filter(|line| line.contains(" /"))
        .map(|line| line.split('?').next().unwrap_or_default())
        .collect();
    for route in ROUTES {
        let parts: Vec<&str> = route.split('/').collect();
        let is_it = |asked: &&str| {
            let asked: Vec<&str> = asked.split('/').collect();
            let same = |(part, given): (&&str, &&str)| part.starts_with('{') || part == given;
            asked.len() == parts.len() && parts.iter().zip(&asked).all(same)
        };
        assert!(asked.iter().any(is_it), "{route} is not recorded");
    }
}

/// The texts of all files in a folder and those below it.
fn files(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            texts.extend(files(&path));
        } else {
            texts.push(fs::read_to_string(&path).expect("a text"));
        }
    }
    texts
}
