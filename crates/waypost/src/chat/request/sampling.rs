//! Everything of a request but messages, tools and format.
//!
//! A chat server gets what this server has no part in as it came (`extra`);
//! a server that speaks Responses gets what that API has, and what it has not
//! is refused by name.

use serde_json::{Map, Value, json};

use super::Result;
use crate::{
    chat::spelling,
    config::UpstreamApi,
    http::{
        error::ApiError,
        fields::{Fields, unknown, unsupported},
    },
};

/// The field of the API that this key is, but for its case.
pub fn meant(key: &str) -> Option<&'static str> {
    let chat_only = || {
        CHAT_ONLY
            .iter()
            .find_map(|(name, _)| spelling::meant(key, &[*name]))
    };
    [READ, REFUSED, SHARED]
        .iter()
        .find_map(|known| spelling::meant(key, known))
        .or_else(chat_only)
}

/// Fields that are read one by one, here or elsewhere.
const READ: &[&str] = &[
    "model",
    "messages",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "parallel_tool_calls",
    "response_format",
    "stream",
    "stream_options",
    "n",
    "temperature",
    "top_p",
    "logprobs",
    "top_logprobs",
    "max_tokens",
    "max_completion_tokens",
    "reasoning_effort",
];
/// Fields that are refused where a request runs here.
const REFUSED: &[&str] = &["audio", "web_search_options"];
/// Fields that both APIs have.
const SHARED: &[&str] = &[
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "user",
];
/// Fields that the Responses API has not, with the values by which they ask for
/// nothing.
const CHAT_ONLY: &[(&str, &[&str])] = &[
    ("frequency_penalty", &["0", "0.0"]),
    ("logit_bias", &["{}"]),
    ("modalities", &["[\"text\"]"]),
    ("prediction", &[]),
    ("presence_penalty", &["0", "0.0"]),
    ("seed", &[]),
    ("stop", &["[]"]),
    ("store", &["false"]),
];

/// What [`read`] finds.
#[derive(Debug, Default)]
pub struct Sampling {
    pub stream: bool,
    pub include_usage: bool,
    pub parallel_tool_calls: Option<bool>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_logprobs: Option<u8>,
    pub max_output_tokens: Option<u64>,
    pub reasoning: Option<Value>,
    pub verbosity: Option<Value>,
    pub hints: Map<String, Value>,
    pub extra: Map<String, Value>,
}

/// Reads the fields and sorts them by who they are for.
pub fn read(fields: &mut Fields<'_>, body: &Value, api: UpstreamApi) -> Result<Sampling> {
    refused(fields)?;
    let stream = fields.bool("stream")?.unwrap_or(false);
    let mut out = Sampling {
        stream,
        include_usage: include_usage(fields, stream)?,
        parallel_tool_calls: fields.bool("parallel_tool_calls")?,
        temperature: fields.decimal("temperature", f64::MIN, f64::MAX)?,
        top_p: fields.decimal("top_p", f64::MIN, f64::MAX)?,
        top_logprobs: top_logprobs(fields)?,
        max_output_tokens: max_tokens(fields)?,
        reasoning: fields
            .string("reasoning_effort")?
            .map(|effort| json!({"effort": effort})),
        ..Sampling::default()
    };
    let rest = body.as_object().into_iter().flatten();
    for (name, value) in
        rest.filter(|(name, value)| !READ.contains(&name.as_str()) && !value.is_null())
    {
        match api {
            UpstreamApi::Chat => {
                out.extra.insert(name.clone(), value.clone());
            }
            UpstreamApi::Responses if SHARED.contains(&name.as_str()) => {
                out.hints.insert(name.clone(), value.clone());
            }
            UpstreamApi::Responses if name == "verbosity" => out.verbosity = Some(value.clone()),
            UpstreamApi::Responses if name == "moderation" => {
                return Err(unsupported(name, "Moderation is not supported."));
            }
            UpstreamApi::Responses => chat_only(name, value)?,
        }
    }
    Ok(out)
}

/// What an answer that runs here cannot be.
fn refused(fields: &mut Fields<'_>) -> Result<()> {
    if fields.integer("n", 1, u64::MAX)?.is_some_and(|n| n > 1) {
        return Err(unsupported(
            "n",
            "One request gets one answer where tool calls or output formats are enforced; send \
             the request several times.",
        ));
    }
    fields.refuse(
        "audio",
        "Audio is not supported where tool calls or output formats are enforced.",
    )?;
    if fields
        .array("modalities")?
        .is_some_and(|list| list.iter().any(|modality| modality != "text"))
    {
        return Err(unsupported(
            "modalities",
            "Only 'text' is supported where tool calls or output formats are enforced.",
        ));
    }
    fields.refuse(
        "web_search_options",
        "Web search is not supported where tool calls or output formats are enforced.",
    )
}

fn include_usage(fields: &mut Fields<'_>, stream: bool) -> Result<bool> {
    let Some(mut options) = fields.object("stream_options")? else {
        return Ok(false);
    };
    if !stream {
        return Err(ApiError::invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        )
        .param("stream_options"));
    }
    let include = options.bool("include_usage")?.unwrap_or(false);
    // Padding against traffic analysis: off here either way.
    options.bool("include_obfuscation")?;
    options.end()?;
    Ok(include)
}

fn top_logprobs(fields: &mut Fields<'_>) -> Result<Option<u8>> {
    let wanted = fields.bool("logprobs")?.unwrap_or(false);
    let top = fields.integer("top_logprobs", 0, 20)?;
    if !wanted && top.is_some_and(|top| top > 0) {
        return Err(ApiError::invalid(
            "Invalid value for 'top_logprobs': 'top_logprobs' is only allowed when 'logprobs' is \
             enabled.",
        )
        .param("top_logprobs"));
    }
    let top = top.unwrap_or(0).try_into().unwrap_or(u8::MAX);
    Ok(wanted.then_some(top))
}

fn max_tokens(fields: &mut Fields<'_>) -> Result<Option<u64>> {
    let old = fields.integer("max_tokens", 1, u64::MAX)?;
    let new = fields.integer("max_completion_tokens", 1, u64::MAX)?;
    if old.is_some() && new.is_some() {
        return Err(ApiError::invalid(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        )
        .param("max_tokens")
        .code("invalid_parameter_combination"));
    }
    Ok(new.or(old))
}

fn chat_only(name: &str, value: &Value) -> Result<()> {
    match CHAT_ONLY.iter().find(|(known, _)| *known == name) {
        Some((_, neutral)) if neutral.contains(&value.to_string().as_str()) => Ok(()),
        Some(_) => Err(unsupported(
            name,
            "This model is served through the Responses API, which has no such parameter.",
        )),
        None => Err(unknown(name)),
    }
}
