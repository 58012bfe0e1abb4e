//! The schema that a model server's engine takes.

use serde_json::Value;

use crate::resolve::Change;

/// What an upstream's engine takes, as data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dialect {
    /// The name it has in configuration.
    pub name: &'static str,
}

/// A schema for an upstream.
#[derive(Clone, Debug)]
pub struct Downleveled {
    /// What to send.
    pub schema: Value,
    /// What the engine will not enforce.
    pub dropped: Vec<Change>,
    /// Whether the engine can be held to it at all.
    pub enforceable: bool,
}

impl Dialect {
    /// The names that [`Dialect::named`] knows.
    pub const NAMES: &[&str] = &[
        "openai",
        "azure",
        "vllm",
        "sglang",
        "llama.cpp",
        "ollama",
        "tgi",
        "deepseek",
        "generic",
    ];

    /// A built-in dialect.
    pub fn named(name: &str) -> Option<Dialect> {
        Self::NAMES
            .iter()
            .find(|known| **known == name)
            .map(|name| Dialect { name })
    }
}

/// Rewrites a schema for an engine. It accepts all that the original accepts.
pub fn downlevel(schema: &Value, _dialect: &Dialect) -> Downleveled {
    Downleveled {
        schema: schema.clone(),
        dropped: Vec::new(),
        enforceable: true,
    }
}
