//! What model servers say of themselves, by which a client finds out whether tools reach the model.
//!
//! llama.cpp's `GET /props` has the chat template and what it supports; Ollama's `POST /api/show`
//! lists capabilities. A script's `capabilities` speak for their model where the route names one.
//! A server that is neither has no such routes, which is the default.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::script::Script;

/// Which server this is; `POST /__about` takes it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "server", deny_unknown_fields)]
pub enum About {
    #[default]
    #[serde(rename = "none")]
    Nobody,
    #[serde(rename = "llama.cpp")]
    LlamaCpp {
        /// Whether the template renders tools and calls.
        tools: bool,
        /// The template; one that fits `tools` where it is `None`.
        #[serde(default)]
        chat_template: Option<String>,
        /// Leaves `chat_template_caps` out, as builds before it did.
        #[serde(default)]
        no_caps: bool,
    },
    #[serde(rename = "ollama")]
    Ollama { capabilities: Vec<String> },
    #[serde(rename = "vllm")]
    Vllm,
    #[serde(rename = "sglang")]
    Sglang,
    #[serde(rename = "tgi")]
    Tgi,
}

const WITHOUT_TOOLS: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const WITH_TOOLS: &str = "{% if tools %}<tools>{{ tools | tojson }}</tools>{% endif %}{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}{% if message.tool_calls %}{% for call in message.tool_calls %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

impl About {
    /// Who owns the models that it lists, where that is a word of its own.
    pub(super) fn owner(&self) -> Option<&'static str> {
        match self {
            Self::Nobody | Self::Tgi => None,
            Self::LlamaCpp { .. } => Some("llamacpp"),
            Self::Ollama { .. } => Some("library"),
            Self::Vllm => Some("vllm"),
            Self::Sglang => Some("sglang"),
        }
    }

    /// The document of a route by which this server can be told from others.
    pub(super) fn own_route(&self, path: &str) -> Option<Value> {
        match (self, path) {
            (Self::Vllm, "/version") => Some(json!({"version": "0.11.0"})),
            (Self::Sglang, "/get_model_info") => Some(json!({
                "model_path": "scripted",
                "tokenizer_path": "scripted",
                "is_generation": true,
            })),
            (Self::Tgi, "/info") => Some(json!({
                "model_id": "scripted",
                "max_concurrent_requests": 128,
                "max_best_of": 2,
                "max_stop_sequences": 4,
                "version": "3.3.6",
            })),
            _ => None,
        }
    }

    /// The document of `GET /props`, if there is that route.
    pub(super) fn props(&self, script: Option<&Script>) -> Option<Value> {
        let Self::LlamaCpp {
            tools,
            chat_template,
            no_caps,
        } = self
        else {
            return None;
        };
        let tools = said(script).map_or(*tools, |words| words.iter().any(|word| word == "tools"));
        let fitting = if tools { WITH_TOOLS } else { WITHOUT_TOOLS };
        let template = chat_template.as_deref().unwrap_or(fitting);
        let mut props = json!({
            "default_generation_settings": {"n_ctx": 4096},
            "total_slots": 1,
            "model_alias": "scripted",
            "model_path": "scripted.gguf",
            "modalities": {"vision": false, "audio": false},
            "chat_template": template,
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "build_info": "b0-scripted",
        });
        if !no_caps {
            props["chat_template_caps"] = json!({
                "supports_object_arguments": false,
                "supports_parallel_tool_calls": tools,
                "supports_preserve_reasoning": false,
                "supports_string_content": true,
                "supports_system_role": true,
                "supports_tool_calls": tools,
                "supports_tools": tools,
                "supports_typed_content": false,
            });
        }
        Some(props)
    }

    /// The document of `POST /api/show`, if there is that route.
    pub(super) fn show(&self, script: Option<&Script>) -> Option<Value> {
        let Self::Ollama { capabilities } = self else {
            return None;
        };
        let capabilities = said(script).unwrap_or(capabilities);
        let tools = capabilities.iter().any(|word| word == "tools");
        Some(json!({
            "modelfile": "FROM scripted",
            "parameters": "",
            "template": if tools { "{{ .System }}{{ .Tools }}{{ .Prompt }}" } else { "{{ .System }}{{ .Prompt }}" },
            "details": {"format": "gguf", "family": "scripted", "parameter_size": "1B",
                "quantization_level": "Q4_K_M"},
            "model_info": {"general.architecture": "scripted"},
            "capabilities": capabilities,
        }))
    }
}

fn said(script: Option<&Script>) -> Option<&[String]> {
    let words = script?.capabilities.as_slice();
    (!words.is_empty()).then_some(words)
}
