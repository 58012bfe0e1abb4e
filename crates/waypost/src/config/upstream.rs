//! `[[upstreams]]`: the model servers.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HostedTools, Secret};

/// The model servers, one section each. The first whose `models` match serves a
/// request. Without any, the usual local ports are looked at.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Unique; names it in logs, metrics and queues.
    pub name: String,
    /// Up to and including the version segment, like
    /// `http://127.0.0.1:8000/v1`.
    pub base_url: String,
    /// Which API the model server speaks.
    #[serde(default)]
    pub api: UpstreamApi,
    /// Sent as `Authorization: Bearer …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Secret>,
    /// Model names, or patterns with one trailing `*`.
    #[serde(default = "all_models")]
    pub models: Vec<String>,
    /// Requests in flight at most.
    #[serde(default = "default_max_concurrent")]
    pub max_concurrent: u32,
    /// What the server is, which says what it can do. Absent: `openai` and
    /// `azure` are known by their host names, the others are asked. A server
    /// that cannot be told counts as `generic` and is asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// Names that clients may use for models of this server, like
    /// `{ "gpt-5.1-codex" = "qwen3" }`. The server is asked for the model on the
    /// right; clients read the name that they asked with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, String>,
    /// PEM file: the certificate authorities that the server's certificate may
    /// be from, in place of the well-known ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM file: the certificate, then its intermediates, that is shown to the
    /// server. Goes with `client_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    /// PEM file: the private key of `client_cert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    /// The proxy that leads to the server, like `http://proxy:3128`; the URL may
    /// hold a user and a password. Absent: none, whatever the environment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Secret>,
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
    /// Which system and developer messages it takes: the `first` alone, into
    /// which the leading ones are joined, or `anywhere`. Chat Completions only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_messages: Option<SystemMessages>,
    /// Takes images in the results of tools; otherwise a user's message after
    /// the results has them. Chat Completions only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_in_results: Option<bool>,
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

    /// What becomes of tools that OpenAI's platform runs, for this server's
    /// models. Absent: as `tools.hosted` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted_tools: Option<HostedTools>,
}

/// Where a chat server takes system messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SystemMessages {
    /// One, at the beginning. Later ones become a user's, marked.
    First,
    /// Any number, wherever they stand.
    Anywhere,
}

/// How tools reach a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StructuredOutput {
    /// It takes none.
    None,
    /// `json_object`
    JsonObject,
    /// `json_schema`
    JsonSchema,
}

/// Which API the model server speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamApi {
    /// `/chat/completions`
    #[default]
    Chat,
    /// `/responses`
    Responses,
}

/// What the model server is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Dialect {
    /// Any other.
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

impl Dialect {
    pub const ALL: [Self; 9] = [
        Self::Generic,
        Self::OpenAi,
        Self::Azure,
        Self::Vllm,
        Self::Sglang,
        Self::LlamaCpp,
        Self::Ollama,
        Self::Tgi,
        Self::DeepSeek,
    ];

    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::LlamaCpp => "llama.cpp",
            Self::Ollama => "ollama",
            Self::Tgi => "tgi",
            Self::DeepSeek => "deepseek",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

fn all_models() -> Vec<String> {
    vec!["*".to_owned()]
}

pub(super) fn default_max_concurrent() -> u32 {
    64
}

impl Upstream {
    /// A server at that address, with every setting at its default.
    pub fn at(name: String, base_url: String) -> Self {
        Self {
            name,
            base_url,
            api: UpstreamApi::Chat,
            api_key: None,
            models: all_models(),
            max_concurrent: default_max_concurrent(),
            dialect: None,
            aliases: BTreeMap::new(),
            ca_file: None,
            client_cert: None,
            client_key: None,
            proxy: None,
            headers: BTreeMap::new(),
            assistant_prefill: None,
            developer_role: None,
            system_messages: None,
            images_in_results: None,
            max_completion_tokens: None,
            tools: None,
            structured_output: None,
            constrains_tools: None,
            hosted_tools: None,
        }
    }

    /// Makes the paths that a file names start at that file's directory.
    pub(super) fn paths_start_at(&mut self, base: &Path) {
        for path in [
            &mut self.ca_file,
            &mut self.client_cert,
            &mut self.client_key,
        ]
        .into_iter()
        .flatten()
        {
            *path = base.join(&*path);
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
        for (alias, real) in &self.aliases {
            if alias.is_empty() || real.is_empty() || self.aliases.contains_key(real) {
                return Some((
                    "aliases",
                    format!("`{alias}` must be a name for a model that is no alias itself"),
                ));
            }
        }
        if self.client_cert.is_some() != self.client_key.is_some() {
            return Some((
                "client_cert",
                "goes with `client_key`: write both or none".to_owned(),
            ));
        }
        if let Some(proxy) = &self.proxy
            && !reqwest::Url::parse(proxy.expose())
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        {
            // Not quoted: it may hold a password.
            return Some((
                "proxy",
                "must be an http or https URL, like \"http://proxy:3128\"".to_owned(),
            ));
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
