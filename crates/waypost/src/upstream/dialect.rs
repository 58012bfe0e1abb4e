//! What each kind of model server is known to be able to. Data, not code: a
//! capability set by hand in the configuration wins over the dialect's.

use crate::config::{Dialect, StructuredOutput, SystemMessages, ToolCalling};

/// How an unfinished assistant message is handed back to be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefill {
    /// A last message of role `assistant` is continued (llama.cpp).
    LastMessage,
    /// `continue_final_message` with `add_generation_prompt: false` (vLLM,
    /// SGLang).
    ContinueFinalMessage,
}

/// When a function's `strict` is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrictFlag {
    /// With every function: leaving it out means something there.
    Always,
    /// Only where it is true: leaving it out means false.
    WhereTrue,
    /// Only where it is true and makes a difference: vLLM and SGLang put it
    /// into the prompt (vllm #52741), and constrain a forced call without it.
    WhenItHelps,
    /// Never: the server does not know it.
    Never,
}

/// How a server wants a schema in `response_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatShape {
    /// As OpenAI has it.
    JsonSchema,
    /// `{"type": "json", "value": schema}`: TGI reads no other form in all of
    /// its versions, and makes its grammar of the root's `properties`.
    Value,
}

/// Which values of `tool_choice` a server obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choices {
    pub none: bool,
    pub required: bool,
    pub named: bool,
}

impl Choices {
    const ALL: Self = Self {
        none: true,
        required: true,
        named: true,
    };
    const NONE: Self = Self {
        none: false,
        required: false,
        named: false,
    };
}

/// What a server can do, after the configuration had its say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about a server"
)]
pub struct Capabilities {
    /// Whether an answer that broke off can be continued, and how.
    pub prefill: Option<Prefill>,
    /// The limit is called `max_completion_tokens`, not `max_tokens`.
    pub max_completion_tokens: bool,
    /// Knows the role `developer`.
    pub developer_role: bool,
    /// Where it takes system messages.
    pub system_messages: SystemMessages,
    /// Takes images and audio in a result, as in a user's message.
    pub images_in_results: bool,
    /// Takes `prompt_cache_key`, `safety_identifier`, `verbosity`.
    pub openai_hints: bool,
    /// How tools reach the model.
    pub tools: ToolCalling,
    /// When `strict` is said of a function.
    pub strict_flag: StrictFlag,
    /// Arguments of strict functions are constrained while they are generated.
    pub constrains_tools: bool,
    /// What of `response_format` (`text.format`) is taken.
    pub structured_output: StructuredOutput,
    /// How that is written over Chat Completions.
    pub format_shape: FormatShape,
    /// What is constrained by it is: an answer may stream as it comes.
    pub constrains_output: bool,
    /// A model that is given a format and tools may still call. Elsewhere the
    /// format holds for whatever it writes, so that it never calls a tool (vllm
    /// #39929, SGLang, llama.cpp, ollama #11185), or both are refused (TGI).
    pub formats_beside_tools: bool,
    /// The values of `tool_choice` that are obeyed.
    pub choices: Choices,
    /// Takes tools of type `custom`.
    pub custom_tools: bool,
    /// Takes all that the Responses API has: namespaces, tool search,
    /// `allowed_tools`. Only over that API.
    pub responses_tools: bool,
    /// Makes grammars of schemas itself, and refuses requests over it: they may
    /// be asked again without.
    pub compiles_grammars: bool,
    /// The engine's name among `strict_schema`'s dialects.
    pub engine: &'static str,
    /// That of what reads the schemas of `tools`.
    pub tool_engine: &'static str,
}

impl Dialect {
    /// What the dialect is known to be able to.
    pub fn capabilities(self) -> Capabilities {
        let engine = self.name();
        let openai = matches!(self, Self::OpenAi | Self::Azure);
        Capabilities {
            prefill: match self {
                Self::Vllm => Some(Prefill::ContinueFinalMessage),
                Self::LlamaCpp => Some(Prefill::LastMessage),
                _ => None,
            },
            max_completion_tokens: openai,
            developer_role: openai,
            system_messages: match self {
                Self::OpenAi | Self::Azure | Self::DeepSeek => SystemMessages::Anywhere,
                // Theirs is the template of whatever model they serve.
                _ => SystemMessages::First,
            },
            // A marker in the text, in any role.
            images_in_results: self == Self::LlamaCpp,
            openai_hints: openai,
            tools: match self {
                // These say whether a model's template knows tools.
                Self::LlamaCpp | Self::Ollama => ToolCalling::Auto,
                _ => ToolCalling::Native,
            },
            strict_flag: match self {
                Self::OpenAi | Self::Azure | Self::Generic => StrictFlag::Always,
                Self::DeepSeek => StrictFlag::WhereTrue,
                Self::Vllm | Self::Sglang => StrictFlag::WhenItHelps,
                Self::LlamaCpp | Self::Ollama | Self::Tgi => StrictFlag::Never,
            },
            constrains_tools: matches!(
                self,
                Self::OpenAi | Self::Azure | Self::Vllm | Self::Sglang | Self::LlamaCpp
            ),
            structured_output: match self {
                Self::DeepSeek => StructuredOutput::JsonObject,
                _ => StructuredOutput::JsonSchema,
            },
            format_shape: match self {
                Self::Tgi => FormatShape::Value,
                _ => FormatShape::JsonSchema,
            },
            formats_beside_tools: openai,
            // An unknown server may ignore `response_format` without a word.
            constrains_output: !matches!(self, Self::Generic | Self::DeepSeek),
            choices: match self {
                // A named function silently becomes `auto`.
                Self::LlamaCpp => Choices {
                    named: false,
                    ..Choices::ALL
                },
                Self::Ollama => Choices::NONE,
                // It refuses a format beside tools even then.
                Self::Tgi => Choices {
                    none: false,
                    ..Choices::ALL
                },
                _ => Choices::ALL,
            },
            custom_tools: self == Self::OpenAi,
            responses_tools: self == Self::OpenAi,
            compiles_grammars: !matches!(self, Self::OpenAi | Self::Azure | Self::DeepSeek),
            engine,
            tool_engine: match self {
                Self::Ollama => "ollama-tools",
                _ => engine,
            },
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
