//! The body of `POST /v1/responses`: read, checked, and sorted into what is
//! asked of the model, what is stored, and what is only echoed.
//!
//! No field is ignored in silence: it is acted on, echoed where the contract
//! echoes it and its meaning holds, or refused by name. `docs/responses.md`
//! lists which is which.

use serde_json::{Map, Value, json};

use super::{call_pairing, items::parse_input, outputs};
use crate::{
    config::HostedTools,
    http::{
        error::ApiError,
        fields::{CACHE_TTLS, Fields, bad_word, missing, unsupported, wrong_type},
        places::Places,
    },
    model::Generation,
    tools::{
        choice,
        declare::{Declarer, Grammar, hosted::Ignored},
        known::brought,
        prepare::{Fallbacks, Preparer},
    },
};

mod text;

const MAX_METADATA: usize = 16;
/// Characters of `prompt_cache_options.comparison_response_id`.
const MAX_COMPARISON_ID: usize = 256;
/// Bytes of what a client says about itself (Codex, with every request).
const MAX_CLIENT_METADATA: usize = 64 * 1024;
const INCLUDES: &[&str] = &[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
];
const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max"];
const CONTEXTS: &[&str] = &["auto", "current_turn", "all_turns"];
const SUMMARIES: &[&str] = &["auto", "concise", "detailed"];

type Result<T, E = ApiError> = std::result::Result<T, E>;

/// A checked create request.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// What the model is asked; `items` holds this request's input only.
    pub generation: Generation,
    pub background: bool,
    pub stream: bool,
    pub store: bool,
    pub previous_response_id: Option<String>,
    /// The echoed fields of the Response object.
    pub echo: Map<String, Value>,
    /// Tools that are not strict because they could not be.
    pub fallbacks: Fallbacks,
    /// Grammars of custom tools, which are yet to be compiled.
    pub grammars: Vec<Grammar>,
    /// Hosted tools and their items, which were left out.
    pub ignored: Ignored,
    /// Where the items of the input stood in it.
    pub places: Places,
}

impl CreateRequest {
    /// Puts the turns that it continues before its own input, which it returns,
    /// and checks what only the whole context can tell.
    pub fn after(&mut self, earlier: Vec<Value>) -> Result<Vec<Value>> {
        let own = earlier.len();
        self.generation.items.splice(0..0, earlier);
        outputs::find_calls(&mut self.generation.items, own, &self.places)?;
        let input = self.generation.items[own..].to_vec();
        let generation = &self.generation;
        call_pairing::check(generation, own, &self.places)?;
        text::says_json(generation.text.as_ref(), &generation.items)?;
        self.ignored.leaves_a_choice(generation)?;
        choice::check(generation, &self.ignored.places_in_choice)?;
        if generation.tools.is_empty() && !generation.items.iter().any(|i| brought(i).is_some()) {
            self.generation.tool_choice = None;
        }
        Ok(input)
    }
}

/// Reads a request body and checks it as far as that goes without the turns it
/// continues: [`CreateRequest::after`] does the rest.
pub fn parse(body: &Value, preparer: &Preparer, hosted: HostedTools) -> Result<CreateRequest> {
    let mut declarer = Declarer::new(preparer, hosted);
    let mut fields = Fields::new(body, "")?;
    refused(&mut fields)?;

    let model = fields.required_string("model")?;
    if model.is_empty() {
        return Err(missing("model"));
    }
    let (items, places) = match fields.value("input") {
        Some(input) => parse_input(input, &mut declarer)?,
        // Allowed when there is something to continue.
        None if body
            .get("previous_response_id")
            .is_some_and(Value::is_string) =>
        {
            (Vec::new(), Places::default())
        }
        None => return Err(missing("input")),
    };
    let background = fields.bool("background")?.unwrap_or(false);
    let stream = fields.bool("stream")?.unwrap_or(false);
    let store = fields.bool("store")?.unwrap_or(true);
    let previous_response_id = fields.string("previous_response_id")?.map(str::to_owned);
    let instructions = instructions(&mut fields)?;
    let include = include(&mut fields)?;
    let top_logprobs = fields.integer("top_logprobs", 0, 20)?;
    let wants_logprobs = include.contains(&"message.output_text.logprobs");
    let temperature = fields.decimal("temperature", 0.0, 2.0)?;
    let top_p = fields.decimal("top_p", 0.0, 1.0)?;
    let max_output_tokens = fields.integer("max_output_tokens", 16, u64::MAX)?;
    let max_tool_calls = fields.integer("max_tool_calls", 1, u64::MAX)?;
    let parallel_tool_calls = fields.bool("parallel_tool_calls")?;
    let text = text::text(&mut fields, preparer)?;
    let reasoning = reasoning(&mut fields)?;
    let tools = declarer.of_request(&mut fields)?;
    let tool_choice = declarer.ignored.settle(choice::parse(&mut fields)?)?;
    let metadata = metadata(&mut fields)?;
    let truncation = fields
        .word("truncation", &["auto", "disabled"])?
        .unwrap_or("disabled");
    let service_tier = service_tier(&mut fields)?;
    stream_options(&mut fields)?;
    background_options(&mut fields)?;
    fields.opaque("client_metadata", MAX_CLIENT_METADATA)?;
    let mut hints = Map::new();
    for (name, max) in [
        ("prompt_cache_key", 1024),
        ("safety_identifier", 128),
        ("user", 1024),
    ] {
        if let Some(value) = fields.bounded_string(name, max)? {
            hints.insert(name.into(), json!(value));
        }
    }
    let cache = prompt_cache_options(&mut fields)?;
    if let Some((asked, _)) = &cache {
        hints.insert("prompt_cache_options".into(), asked.clone());
    }
    let retention = fields.word("prompt_cache_retention", &["in-memory", "in_memory", "24h"])?;
    fields.end()?;

    let mut echo = Map::new();
    let mut put = |name: &str, value: Value| {
        echo.insert(name.into(), value);
    };
    // Refused, and yet required by typed SDKs.
    put("access_programs", Value::Null);
    put("background", json!(background));
    put("instructions", json!(instructions));
    put("max_output_tokens", json!(max_output_tokens));
    put("max_tool_calls", json!(max_tool_calls));
    put("model", json!(model));
    put(
        "parallel_tool_calls",
        json!(parallel_tool_calls.unwrap_or(true)),
    );
    put("previous_response_id", json!(previous_response_id));
    put(
        "prompt_cache_key",
        hints.get("prompt_cache_key").cloned().unwrap_or_default(),
    );
    if let Some((_, applied)) = cache {
        put("prompt_cache_options", applied);
    }
    put("prompt_cache_retention", json!(retention));
    put("reasoning", reasoning.clone());
    put(
        "safety_identifier",
        hints.get("safety_identifier").cloned().unwrap_or_default(),
    );
    put("service_tier", json!(service_tier));
    put("store", json!(store));
    put("temperature", json!(temperature.unwrap_or(1.0)));
    put("text", text.clone());
    put("tool_choice", tool_choice.clone());
    put("tools", Value::Array(tools.clone()));
    put("top_logprobs", json!(top_logprobs.unwrap_or(0)));
    put("top_p", json!(top_p.unwrap_or(1.0)));
    put("truncation", json!(truncation));
    put("user", hints.get("user").cloned().unwrap_or_default());
    put("metadata", Value::Object(metadata));
    put("presence_penalty", json!(0.0));
    put("frequency_penalty", json!(0.0));

    let generation = Generation {
        model: model.to_owned(),
        instructions,
        items,
        restores: declarer.restores,
        own_schemas: declarer.own_schemas,
        tool_choice: Some(tool_choice),
        parallel_tool_calls,
        temperature,
        top_p,
        top_logprobs: (wants_logprobs || top_logprobs.is_some_and(|n| n > 0))
            .then(|| top_logprobs.unwrap_or(0) as u8),
        max_output_tokens,
        text: Some(text),
        reasoning: body
            .get("reasoning")
            .is_some_and(Value::is_object)
            .then_some(reasoning),
        hints,
        max_tool_calls,
        extra: Map::new(),
        encrypted_reasoning: include.contains(&"reasoning.encrypted_content"),
        tools,
    };
    Ok(CreateRequest {
        generation,
        background,
        stream,
        store,
        previous_response_id,
        echo,
        fallbacks: declarer.fallbacks,
        grammars: declarer.grammars,
        ignored: declarer.ignored,
        places,
    })
}

/// Fields whose meaning this server could only pretend to honour.
fn refused(fields: &mut Fields<'_>) -> Result<()> {
    fields.refuse(
        "conversation",
        "Conversations are not supported; continue with 'previous_response_id'.",
    )?;
    fields.refuse(
        "prompt",
        "Stored prompts are not supported; send 'instructions' and 'input'.",
    )?;
    fields.refuse("context_management", "Compaction is not supported.")?;
    fields.refuse("moderation", "Moderation is not supported.")?;
    fields.refuse("image", "Image output is not supported.")?;
    fields.refuse("access_programs", "Access programs are not supported.")?;
    fields.refuse(
        "stream_id",
        "It belongs to WebSocket connections, which are not supported.",
    )?;
    fields.refuse(
        "generate",
        "It belongs to WebSocket connections, which are not supported.",
    )
}

fn instructions(fields: &mut Fields<'_>) -> Result<Option<String>> {
    match fields.value("instructions") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong_type("instructions", "a string", other)),
    }
}

fn include(fields: &mut Fields<'_>) -> Result<Vec<&'static str>> {
    let mut out = Vec::new();
    for (at, value) in fields.array("include")?.into_iter().flatten().enumerate() {
        let path = format!("include[{at}]");
        let word = value
            .as_str()
            .ok_or_else(|| wrong_type(&path, "a string", value))?;
        out.push(included(&path, word)?);
    }
    Ok(out)
}

/// One of the words that `include` may hold.
pub fn included(path: &str, word: &str) -> Result<&'static str> {
    let known = INCLUDES.iter().find(|known| **known == word);
    known.copied().ok_or_else(|| bad_word(path, word, INCLUDES))
}

/// Always with `effort` and `summary`, as the contract echoes it.
fn reasoning(fields: &mut Fields<'_>) -> Result<Value> {
    let mut effort = None;
    let mut summary = None;
    let mut context = None;
    if let Some(mut reasoning) = fields.object("reasoning")? {
        effort = reasoning.word("effort", EFFORTS)?.map(str::to_owned);
        let old = reasoning
            .word("generate_summary", SUMMARIES)?
            .map(str::to_owned);
        summary = reasoning
            .word("summary", SUMMARIES)?
            .map(str::to_owned)
            .or(old);
        context = reasoning.word("context", CONTEXTS)?;
        reasoning.refuse("mode", "It is up to the model server.")?;
        reasoning.end()?;
    }
    let mut echo = json!({"effort": effort, "summary": summary});
    if let Some(context) = context {
        echo["context"] = json!(context);
    }
    Ok(echo)
}

fn metadata(fields: &mut Fields<'_>) -> Result<Map<String, Value>> {
    let Some(value) = fields.value("metadata") else {
        return Ok(Map::new());
    };
    let Value::Object(map) = value else {
        return Err(wrong_type("metadata", "an object", value));
    };
    let too_much = |path: &str, what: &str, code: &'static str| {
        Err(ApiError::invalid(format!("Invalid '{path}': {what}"))
            .param(path.to_owned())
            .code(code))
    };
    if map.len() > MAX_METADATA {
        return too_much(
            "metadata",
            &format!(
                "too many properties. Expected at most {MAX_METADATA}, but got {}.",
                map.len()
            ),
            "object_above_max_properties",
        );
    }
    for (key, value) in map {
        if key.chars().count() > 64 {
            let what = "keys may have at most 64 characters.";
            return too_much("metadata", what, "string_above_max_length");
        }
        let path = format!("metadata.{key}");
        let text = value
            .as_str()
            .ok_or_else(|| wrong_type(&path, "a string", value))?;
        if text.chars().count() > 512 {
            let what = "values may have at most 512 characters.";
            return too_much(&path, what, "string_above_max_length");
        }
    }
    Ok(map.clone())
}

/// There is one tier here, and the echo says which was used.
fn service_tier(fields: &mut Fields<'_>) -> Result<&'static str> {
    let words = &[
        "auto",
        "default",
        "flex",
        "scale",
        "priority",
        "fast",
        "ultrafast",
    ];
    fields.word("service_tier", words)?;
    Ok("default")
}

/// Obfuscation is padding against traffic analysis, off here either way.
fn stream_options(fields: &mut Fields<'_>) -> Result<()> {
    if let Some(mut options) = fields.object("stream_options")? {
        options.bool("include_obfuscation")?;
        options.end()?;
    }
    Ok(())
}

/// As it was asked for, and as the contract echoes it: `mode` and `ttl` always.
fn prompt_cache_options(fields: &mut Fields<'_>) -> Result<Option<(Value, Value)>> {
    let Some(asked) = fields.value("prompt_cache_options") else {
        return Ok(None);
    };
    let mut options = Fields::new(asked, "prompt_cache_options")?;
    let mut applied = json!({
        "mode": options.word("mode", &["implicit", "explicit"])?.unwrap_or("implicit"),
        "ttl": options.word("ttl", CACHE_TTLS)?.unwrap_or("30m"),
    });
    if let Some(id) = options.bounded_string("comparison_response_id", MAX_COMPARISON_ID)? {
        applied["comparison_response_id"] = json!(id);
    }
    if options.bool("prewarm")? == Some(true) {
        return Err(unsupported(
            "prompt_cache_options.prewarm",
            "A request here is always for an answer.",
        ));
    }
    options.end()?;
    // The id is of a response of this server, which no model server knows.
    let mut asked = asked.clone();
    if let Some(asked) = asked.as_object_mut() {
        asked.remove("comparison_response_id");
    }
    Ok(Some((asked, applied)))
}

fn background_options(fields: &mut Fields<'_>) -> Result<()> {
    if let Some(mut options) = fields.object("background_options")? {
        if let Some(window) = options.word("completion_window", &["soonest", "2h", "8h"])?
            && window != "soonest"
        {
            return Err(unsupported(
                "background_options.completion_window",
                "Only 'soonest' is supported.",
            ));
        }
        // Priority among related requests: there is one queue here, in order.
        options.bounded_string("continuation_id", 512)?;
        options.end()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
