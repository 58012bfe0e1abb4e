//! Which kind of model server answers at an address.
//!
//! OpenAI, Azure and DeepSeek are known by their host names alone: proxies claim
//! to be them. The others are asked for routes that are theirs, with shapes that
//! no other server gives there. SGLang and llama.cpp also speak some of Ollama's
//! API, and several servers have `/version`: so one route alone never decides.

use std::{fmt, time::Duration};

use http::header;
use reqwest::Method;
use serde_json::Value;

use super::{Upstream, Upstreams};
use crate::config::Dialect;

/// How long the questions may take, all at once.
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest answer that is read.
const MAX_BYTES: usize = 1024 * 1024;

/// How the dialect of an upstream is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The operator said so.
    Configured,
    /// By the host name.
    Host,
    /// By answers of the server: to which question.
    Asked(&'static str),
    /// It is not: the dialect is a guess that promises nothing.
    Unsure,
}

impl Known {
    /// A word for machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Host => "host",
            Self::Asked(_) => "asked",
            Self::Unsure => "unsure",
        }
    }

    /// Whether the server is to be asked.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Asked(_) | Self::Unsure)
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("as configured"),
            Self::Host => f.write_str("by its host name"),
            Self::Asked(route) => write!(f, "by its {route}"),
            Self::Unsure => f.write_str("it could not be told; `dialect` sets it"),
        }
    }
}

/// The dialect that a host name stands for.
pub fn by_host(host: &str) -> Option<Dialect> {
    const AZURE: &[&str] = &[
        ".openai.azure.com",
        ".openai.azure.us",
        ".cognitiveservices.azure.com",
        ".services.ai.azure.com",
    ];
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host == "api.openai.com" || host.ends_with(".api.openai.com") {
        Some(Dialect::OpenAi)
    } else if AZURE.iter().any(|end| host.ends_with(end)) {
        Some(Dialect::Azure)
    } else if host == "api.deepseek.com" {
        Some(Dialect::DeepSeek)
    } else {
        None
    }
}

/// What a server said of itself; null where it has no such route.
#[derive(Debug, Default)]
pub struct Answers {
    /// `/v1/models`
    pub models: Value,
    /// SGLang's `/get_model_info`, `/model_info` in newer versions.
    pub model_info: Value,
    /// TGI's `/info`.
    pub info: Value,
    /// vLLM's `/version`.
    pub version: Value,
    /// llama.cpp's `/props`.
    pub props: Value,
    /// The `Server` header of that answer.
    pub server: String,
    /// Ollama's `/api/version`.
    pub api_version: Value,
    /// The text at `/`.
    pub root: String,
}

/// Who gives such answers, and what shows it. `None` where nobody known does,
/// or several.
pub fn tell(answers: &Answers) -> Option<(Dialect, &'static str)> {
    let owner = &answers.models["data"][0]["owned_by"];
    let is_sglang = answers.model_info["model_path"].is_string()
        && answers.model_info["is_generation"].is_boolean();
    let info = &answers.info;
    let is_tgi = info["model_id"].is_string()
        && info["max_best_of"].is_number()
        && info["max_stop_sequences"].is_number();
    let is_vllm = answers.version["version"].is_string() && owner == "vllm";
    let props = &answers.props;
    let is_cpp = props["default_generation_settings"].is_object()
        && (answers.server == "llama.cpp" || props["build_info"].is_string());
    let found = [
        (is_sglang, Dialect::Sglang, "/get_model_info"),
        (is_tgi, Dialect::Tgi, "/info"),
        (is_vllm, Dialect::Vllm, "/version and /v1/models"),
        (is_cpp, Dialect::LlamaCpp, "/props"),
    ];
    let mut found = found.into_iter().filter(|(is, ..)| *is);
    match (found.next(), found.next()) {
        (Some((_, dialect, route)), None) => return Some((dialect, route)),
        (Some(_), Some(_)) => return None,
        (None, _) => {}
    }
    // Others speak its API too, and have routes of their own: it comes last.
    let is_ollama =
        answers.api_version["version"].is_string() && answers.root.trim() == "Ollama is running";
    is_ollama.then_some((Dialect::Ollama, "/api/version"))
}

/// Asks a server what it is. `models` is what it listed.
pub async fn ask(
    upstreams: &Upstreams,
    upstream: &Upstream,
    models: Value,
) -> Option<(Dialect, &'static str)> {
    let json = async |path: &str| {
        let (_, body) = fetch(upstreams, upstream, path).await.unwrap_or_default();
        serde_json::from_slice::<Value>(&body).unwrap_or_default()
    };
    let model_info = async {
        match json("/get_model_info").await {
            Value::Null => json("/model_info").await,
            answer => answer,
        }
    };
    let (model_info, info, version, props, api_version, root) = futures::join!(
        model_info,
        json("/info"),
        json("/version"),
        fetch(upstreams, upstream, "/props"),
        json("/api/version"),
        fetch(upstreams, upstream, "/"),
    );
    let (server, props) = props.unwrap_or_default();
    let (_, root) = root.unwrap_or_default();
    tell(&Answers {
        models,
        model_info,
        info,
        version,
        props: serde_json::from_slice(&props).unwrap_or_default(),
        server,
        api_version,
        root: String::from_utf8(root).unwrap_or_default(),
    })
}

/// The `Server` header and the body of a good answer.
async fn fetch(
    upstreams: &Upstreams,
    upstream: &Upstream,
    path: &str,
) -> Option<(String, Vec<u8>)> {
    let request = upstream.request_at_root(&upstreams.client, Method::GET, path);
    let ask = async {
        let mut answer = upstreams.send(upstream, request, PATIENCE).await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let server = answer.headers().get(header::SERVER);
        let server = server.and_then(|name| name.to_str().ok());
        let server = server.unwrap_or_default().to_owned();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return None;
            }
        }
        Some((server, body))
    };
    tokio::time::timeout(PATIENCE, ask).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As the servers answer, shortened.
    fn servers() -> Vec<(Option<Dialect>, Answers)> {
        let listed =
            |owner: &str| json!({"object": "list", "data": [{"id": "m", "owned_by": owner}]});
        vec![
            (
                Some(Dialect::Vllm),
                Answers {
                    models: listed("vllm"),
                    version: json!({"version": "0.11.0"}),
                    ..Answers::default()
                },
            ),
            (
                // It also has routes of Ollama.
                Some(Dialect::Sglang),
                Answers {
                    models: listed("sglang"),
                    model_info: json!({"model_path": "q", "tokenizer_path": "q", "is_generation": true}),
                    api_version: json!({"version": "0.5.6"}),
                    root: "Ollama is running".to_owned(),
                    ..Answers::default()
                },
            ),
            (
                Some(Dialect::Tgi),
                Answers {
                    models: listed("q/w"),
                    info: json!({"model_id": "q", "max_concurrent_requests": 128, "max_best_of": 2,
                        "max_stop_sequences": 4, "max_total_tokens": 2048, "version": "3.3.6"}),
                    ..Answers::default()
                },
            ),
            (
                Some(Dialect::LlamaCpp),
                Answers {
                    models: listed("llamacpp"),
                    props: json!({"default_generation_settings": {"n_ctx": 4096}, "total_slots": 1}),
                    server: "llama.cpp".to_owned(),
                    ..Answers::default()
                },
            ),
            (
                // Behind a proxy that has a name of its own.
                Some(Dialect::LlamaCpp),
                Answers {
                    models: listed("llamacpp"),
                    props: json!({"default_generation_settings": {"n_ctx": 4096}, "build_info": "b6000"}),
                    server: "nginx".to_owned(),
                    ..Answers::default()
                },
            ),
            (
                Some(Dialect::Ollama),
                Answers {
                    models: listed("library"),
                    api_version: json!({"version": "0.12.0"}),
                    root: "Ollama is running".to_owned(),
                    ..Answers::default()
                },
            ),
            // Open WebUI and others have that route too.
            (
                None,
                Answers {
                    models: listed("openai"),
                    api_version: json!({"version": "0.6.0"}),
                    version: json!({"version": "1"}),
                    root: "<!doctype html>".to_owned(),
                    ..Answers::default()
                },
            ),
            // Text Embeddings Inference, MindIE, a proxy in front of vLLM.
            (
                None,
                Answers {
                    info: json!({"model_id": "e", "max_concurrent_requests": 512, "version": "1.8"}),
                    ..Answers::default()
                },
            ),
            (
                None,
                Answers {
                    info: json!({"max_best_of": 1, "max_stop_sequences": null, "models": [{"model_id": "d"}]}),
                    ..Answers::default()
                },
            ),
            (
                None,
                Answers {
                    models: listed("vllm"),
                    ..Answers::default()
                },
            ),
            (None, Answers::default()),
        ]
    }

    #[test]
    fn each_server_is_known_by_what_is_its_own() {
        for (dialect, answers) in servers() {
            assert_eq!(tell(&answers).map(|found| found.0), dialect, "{answers:?}");
        }
    }

    #[test]
    fn a_front_of_two_kinds_is_neither() {
        let mut both = servers().remove(0).1;
        both.props = json!({"default_generation_settings": {}, "build_info": "b1"});
        assert_eq!(tell(&both), None);
    }

    #[test]
    fn some_are_known_by_their_host_alone() {
        for (host, dialect) in [
            ("api.openai.com", Some(Dialect::OpenAi)),
            ("EU.api.openai.com", Some(Dialect::OpenAi)),
            ("my.openai.azure.com", Some(Dialect::Azure)),
            ("api.deepseek.com", Some(Dialect::DeepSeek)),
            ("api.openai.com.example.org", None),
            ("notapi.openai.com", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(by_host(host), dialect, "{host}");
        }
    }
}
