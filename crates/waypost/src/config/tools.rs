//! `[tools]`: how tools are resolved and enforced.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mcp::McpConfig;

/// How tools are resolved and enforced.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own for the operator"
)]
pub struct ToolsConfig {
    /// Which rules strict schemas obey: `openai-2026`, `openai-2024`, `azure`
    /// or `fine-tuned`.
    pub profile: String,
    /// Whether schemas are also rewritten where that keeps their meaning
    /// exactly (a reference inlined, a single `allOf` merged); off, only
    /// `additionalProperties` and `required` are filled in.
    pub rewrite_equivalent: bool,
    /// Whether an optional field becomes a nullable one instead of a mandatory
    /// one; the nulls are taken out of the arguments again.
    pub optional_as_nullable: bool,
    /// Whether constraints that strict mode has no place for move into the
    /// description.
    pub constraints_in_description: bool,
    /// Whether a map with free keys becomes an array of keys and values; the
    /// arguments are turned back.
    pub maps_as_arrays: bool,
    /// Whether calls of a model server that does not constrain them are held
    /// back until they are whole and valid.
    pub buffer: Buffer,
    /// How often a model is asked again after a call that is not valid; 0 to 2.
    pub max_reasks: u32,
    /// What becomes of tools that OpenAI's platform runs (`web_search` and its
    /// like) where nobody forces a call of them.
    pub hosted: HostedTools,
    pub mcp: McpConfig,
}

/// What is held back before the client sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Buffer {
    /// Each call, until its arguments are valid.
    #[default]
    Call,
    /// Nothing: arguments stream at once, and what is wrong with them cannot
    /// be taken back.
    None,
}

/// What becomes of tools that only OpenAI's platform has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostedTools {
    /// The model does not see them, and the answer says so in a header.
    #[default]
    Ignore,
    /// The request is refused.
    Refuse,
}

impl Default for ToolsConfig {
    fn default() -> Self {
        Self {
            profile: "openai-2026".to_owned(),
            rewrite_equivalent: true,
            optional_as_nullable: false,
            constraints_in_description: false,
            maps_as_arrays: false,
            buffer: Buffer::Call,
            max_reasks: 1,
            hosted: HostedTools::Ignore,
            mcp: McpConfig::default(),
        }
    }
}
