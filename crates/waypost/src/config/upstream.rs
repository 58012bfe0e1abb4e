//! `[[upstreams]]`: the model servers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Secret;

/// One model server.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Unique; names it in logs, metrics and queues.
    pub name: String,
    /// Up to and including the version segment, like
    /// `http://127.0.0.1:8000/v1`.
    pub base_url: String,
    #[serde(default)]
    pub api: UpstreamApi,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Secret>,
    /// Model names, or patterns with one trailing `*`.
    #[serde(default = "all_models")]
    pub models: Vec<String>,
    /// Requests in flight at most.
    #[serde(default = "default_max_concurrent")]
    pub max_concurrent: u32,
    /// What the server is known to be; sets its capabilities.
    #[serde(default)]
    pub dialect: Dialect,
    /// Headers to add to each request; their values are secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,

    // What the server can do, where the operator knows better than the dialect.
    // `None`: as the dialect says.
    /// Continues a trailing assistant message: an answer cut off by a crash
    /// goes on where it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assistant_prefill: Option<bool>,
    /// Understands the `developer` role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub developer_role: Option<bool>,
    /// Understands `max_completion_tokens`; otherwise `max_tokens` is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<bool>,
    /// How tools reach the model: `native` in the request's `tools`,
    /// `emulated` in its prompt, `auto` as the server says of each model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<ToolCalling>,
    /// What of `response_format` it takes and keeps to: `none`, `json_object`
    /// or `json_schema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured_output: Option<StructuredOutput>,
    /// Constrains the arguments of strict functions while they are generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constrains_tools: Option<bool>,
}

/// How tools reach a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolCalling {
    /// The server is asked whether the model's template knows tools; where it
    /// cannot say, `native`.
    #[default]
    Auto,
    /// In the request's `tools`.
    Native,
    /// Described in the prompt; calls are written as JSON text.
    Emulated,
}

/// What of `response_format` a model server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StructuredOutput {
    /// Nothing.
    None,
    /// `json_object`
    JsonObject,
    /// `json_schema`
    JsonSchema,
}

/// Which API the model server speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamApi {
    /// `/chat/completions`
    #[default]
    Chat,
    /// `/responses`
    Responses,
}

/// What the model server is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Dialect {
    #[default]
    #[serde(rename = "generic")]
    Generic,
    #[serde(rename = "openai")]
    OpenAi,
    #[serde(rename = "azure")]
    Azure,
    #[serde(rename = "vllm")]
    Vllm,
    #[serde(rename = "sglang")]
    Sglang,
    #[serde(rename = "llama.cpp")]
    LlamaCpp,
    #[serde(rename = "ollama")]
    Ollama,
    #[serde(rename = "tgi")]
    Tgi,
    #[serde(rename = "deepseek")]
    DeepSeek,
}

fn all_models() -> Vec<String> {
    vec!["*".to_owned()]
}

pub(super) fn default_max_concurrent() -> u32 {
    64
}

impl Upstream {
    /// The upstream that the environment names.
    pub(super) fn from_environment(
        base_url: String,
        api: UpstreamApi,
        api_key: Option<Secret>,
    ) -> Self {
        Self {
            api,
            api_key,
            ..Self::at("default".to_owned(), base_url)
        }
    }

    /// A server at that address, with every setting at its default.
    pub fn at(name: String, base_url: String) -> Self {
        Self {
            name,
            base_url,
            api: UpstreamApi::Chat,
            api_key: None,
            models: all_models(),
            max_concurrent: default_max_concurrent(),
            dialect: Dialect::Generic,
            headers: BTreeMap::new(),
            assistant_prefill: None,
            developer_role: None,
            max_completion_tokens: None,
            tools: None,
            structured_output: None,
            constrains_tools: None,
        }
    }

    /// What is wrong with it, if anything: the field and a sentence.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        if self.name.is_empty()
            || self.name.len() > 64
            || !self
                .name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        {
            return Some((
                "name",
                "must be 1 to 64 of letters, digits, '-', '_', '.'".to_owned(),
            ));
        }
        match reqwest::Url::parse(&self.base_url) {
            Ok(url)
                if matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.query().is_none()
                    && url.fragment().is_none()
                    && url.username().is_empty()
                    && url.password().is_none() => {}
            _ => {
                return Some((
                    "base_url",
                    // Not quoted: it may hold a password.
                    "must be an http or https URL without credentials, query or fragment, like \"http://127.0.0.1:8000/v1\""
                        .to_owned(),
                ));
            }
        }
        if self.models.is_empty() {
            return Some((
                "models",
                "is empty; leave it out to mean all models".to_owned(),
            ));
        }
        for pattern in &self.models {
            let stars = pattern.bytes().filter(|b| *b == b'*').count();
            if pattern.is_empty() || stars > 1 || (stars == 1 && !pattern.ends_with('*')) {
                return Some((
                    "models",
                    format!("`{pattern}` must be a name, or a prefix and one trailing '*'"),
                ));
            }
        }
        if self.max_concurrent == 0 {
            return Some(("max_concurrent", "must be at least 1".to_owned()));
        }
        for (name, value) in &self.headers {
            if http::HeaderName::from_bytes(name.as_bytes()).is_err()
                || http::HeaderValue::from_str(value.expose()).is_err()
            {
                return Some(("headers", format!("`{name}` is no valid header")));
            }
        }
        None
    }
}
