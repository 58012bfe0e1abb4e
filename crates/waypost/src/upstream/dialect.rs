//! What each kind of model server is known to be able to. Data, not code: a
//! capability set by hand in the configuration wins over the dialect's.

use crate::config::Dialect;

/// How an unfinished assistant message is handed back to be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefill {
    /// A last message of role `assistant` is continued (llama.cpp).
    LastMessage,
    /// `continue_final_message` with `add_generation_prompt: false` (vLLM,
    /// SGLang).
    ContinueFinalMessage,
}

/// What a server can do, after the configuration had its say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether an answer that broke off can be continued, and how.
    pub prefill: Option<Prefill>,
    /// The limit is called `max_completion_tokens`, not `max_tokens`.
    pub max_completion_tokens: bool,
    /// Knows the role `developer`.
    pub developer_role: bool,
    /// Takes `prompt_cache_key`, `safety_identifier`, `verbosity`.
    pub openai_hints: bool,
}

impl Dialect {
    /// What the dialect is known to be able to.
    pub fn capabilities(self) -> Capabilities {
        let openai = matches!(self, Self::OpenAi | Self::Azure);
        Capabilities {
            prefill: match self {
                Self::Vllm => Some(Prefill::ContinueFinalMessage),
                Self::LlamaCpp => Some(Prefill::LastMessage),
                _ => None,
            },
            max_completion_tokens: openai,
            developer_role: openai,
            openai_hints: openai,
        }
    }

    /// How the dialect would continue an answer if the operator says that it
    /// can.
    pub fn usual_prefill(self) -> Prefill {
        match self {
            Self::Vllm | Self::Sglang => Prefill::ContinueFinalMessage,
            _ => Prefill::LastMessage,
        }
    }
}
