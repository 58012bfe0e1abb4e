//! What one run asks a model, free of any dialect, tenant or secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strict_schema::Restore;

/// One request to a model, with its whole context.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Responses API items: earlier turns, then this request's input.
    pub items: Vec<Value>,
    /// Tools as the response echoes them: resolved, with `strict` said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// How finished arguments become what the client's own schema says, for
    /// tools whose schema was rewritten so that they differ. By `name`, or
    /// `namespace.name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restores: BTreeMap<String, Restore>,
    /// The client's own schemas of tools for which it left `strict` out, where
    /// they say less than the resolved ones. By the same names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own_schemas: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// `Some` when log probabilities are wanted: how many alternatives each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// `text` as the Responses API writes it: `format`, `verbosity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Value>,
    /// `reasoning` as the Responses API writes it: `effort`, `summary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Value>,
    /// Passed to upstreams that know them: `prompt_cache_key`,
    /// `prompt_cache_options`, `safety_identifier`, `user`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub hints: serde_json::Map<String, Value>,
    /// Calls of this server's own tools that one response may make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tool_calls: Option<u64>,
    /// Fields of a Chat Completions request that nothing above stands for
    /// (`stop`, `seed`, a server's own). Chat servers get them as they came.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, Value>,
    /// The client asked for `reasoning.encrypted_content`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypted_reasoning: bool,
}

impl Generation {
    /// Takes what was written already off the limit. Model servers refuse a
    /// limit of nothing.
    pub fn spend(&mut self, output_tokens: u64) {
        if let Some(max) = &mut self.max_output_tokens {
            *max = max.saturating_sub(output_tokens).max(1);
        }
    }
}

/// Text of an answer that an earlier attempt delivered and this one continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// All of the open message's text so far. It may end inside a word.
    pub text: String,
    /// How many deltas it came in: about as many tokens.
    pub tokens: u64,
}
