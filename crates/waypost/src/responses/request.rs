//! The body of `POST /v1/responses`: read, checked, and sorted into what is
//! asked of the model, what is stored, and what is only echoed.
//!
//! No field is ignored in silence: it is acted on, echoed where the contract
//! echoes it and its meaning holds, or refused by name. `docs/responses.md`
//! lists which is which.

use serde_json::{Map, Value, json};

use super::{
    fields::{Fields, bad_word, missing, unsupported, wrong_type},
    items::parse_input,
};
use crate::{http::error::ApiError, tools::mcp, upstream::generation::Generation};

/// Function tools of one request.
const MAX_TOOLS: usize = 128;
const MAX_METADATA: usize = 16;
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
}

/// Reads and checks a request body.
pub fn parse(body: &Value) -> Result<CreateRequest> {
    let mut fields = Fields::new(body, "")?;
    refused(&mut fields)?;

    let model = fields.required_string("model")?;
    if model.is_empty() {
        return Err(missing("model"));
    }
    let items = match fields.value("input") {
        Some(input) => parse_input(input)?,
        // Allowed when there is something to continue.
        None if body
            .get("previous_response_id")
            .is_some_and(Value::is_string) =>
        {
            Vec::new()
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
    let text = text(&mut fields)?;
    let reasoning = reasoning(&mut fields)?;
    let tools = tools(&mut fields)?;
    let tool_choice = tool_choice(&mut fields, &tools)?;
    let metadata = metadata(&mut fields)?;
    let truncation = fields
        .word("truncation", &["auto", "disabled"])?
        .unwrap_or("disabled");
    let service_tier = service_tier(&mut fields)?;
    stream_options(&mut fields)?;
    background_options(&mut fields)?;
    let mut hints = Map::new();
    for (name, max) in [
        ("prompt_cache_key", 1024),
        ("safety_identifier", 64),
        ("user", 1024),
    ] {
        if let Some(value) = fields.bounded_string(name, max)? {
            hints.insert(name.into(), json!(value));
        }
    }
    let retention = fields.word("prompt_cache_retention", &["in-memory", "in_memory", "24h"])?;
    fields.end()?;

    let mut echo = Map::new();
    let mut put = |name: &str, value: Value| {
        echo.insert(name.into(), value);
    };
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
    put("tools", json!(tools));
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
        tool_choice: (!tools.is_empty()).then_some(tool_choice),
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
        approved: Vec::new(),
        response_id: String::new(),
        mcp: mcp::Vault::default(),
        mcp_sealed: None,
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
        "prompt_cache_options",
        "Prompt caching is up to the model server.",
    )?;
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
        match INCLUDES.iter().find(|known| **known == word) {
            Some(known) => out.push(*known),
            None => return Err(bad_word(&path, word, INCLUDES)),
        }
    }
    Ok(out)
}

/// Always with a `format`, as the contract echoes it.
fn text(fields: &mut Fields<'_>) -> Result<Value> {
    let mut out = Map::new();
    out.insert("format".into(), json!({"type": "text"}));
    if let Some(mut text) = fields.object("text")? {
        if let Some(mut format) = text.object("format")? {
            let path = format.path("type");
            let kind = format.string("type")?.ok_or_else(|| missing(&path))?;
            let value = match kind {
                "text" | "json_object" => json!({"type": kind}),
                "json_schema" => {
                    let mut value = Map::new();
                    value.insert("type".into(), json!("json_schema"));
                    let description = format.string("description")?;
                    value.insert("description".into(), json!(description));
                    value.insert("name".into(), json!(name(&mut format)?));
                    let schema_path = format.path("schema");
                    let schema = format
                        .value("schema")
                        .ok_or_else(|| missing(&schema_path))?;
                    if !schema.is_object() {
                        return Err(wrong_type(&schema_path, "an object", schema));
                    }
                    value.insert("schema".into(), schema.clone());
                    value.insert(
                        "strict".into(),
                        json!(format.bool("strict")?.unwrap_or(false)),
                    );
                    Value::Object(value)
                }
                other => {
                    return Err(bad_word(
                        &path,
                        other,
                        &["text", "json_object", "json_schema"],
                    ));
                }
            };
            format.end()?;
            out.insert("format".into(), value);
        }
        if let Some(verbosity) = text.word("verbosity", &["low", "medium", "high"])? {
            out.insert("verbosity".into(), json!(verbosity));
        }
        text.end()?;
    }
    Ok(Value::Object(out))
}

/// Always with `effort` and `summary`, as the contract echoes it.
fn reasoning(fields: &mut Fields<'_>) -> Result<Value> {
    let mut effort = None;
    let mut summary = None;
    if let Some(mut reasoning) = fields.object("reasoning")? {
        effort = reasoning.word("effort", EFFORTS)?.map(str::to_owned);
        let old = reasoning
            .word("generate_summary", SUMMARIES)?
            .map(str::to_owned);
        summary = reasoning
            .word("summary", SUMMARIES)?
            .map(str::to_owned)
            .or(old);
        reasoning.refuse("context", "It is up to the model server.")?;
        reasoning.refuse("mode", "It is up to the model server.")?;
        reasoning.end()?;
    }
    Ok(json!({"effort": effort, "summary": summary}))
}

fn tools(fields: &mut Fields<'_>) -> Result<Vec<Value>> {
    let tools = fields
        .array("tools")?
        .map(Vec::as_slice)
        .unwrap_or_default();
    if tools.len() > MAX_TOOLS {
        return Err(ApiError::invalid(format!(
            "Invalid 'tools': array too long. Expected an array with maximum length {MAX_TOOLS}, \
             but got an array with length {} instead.",
            tools.len()
        ))
        .param("tools")
        .code("array_above_max_length"));
    }
    tools
        .iter()
        .enumerate()
        .map(|(at, tool)| function_tool(tool, &format!("tools[{at}]")))
        .collect()
}

fn function_tool(tool: &Value, path: &str) -> Result<Value> {
    let mut fields = Fields::new(tool, path)?;
    let type_path = fields.path("type");
    match fields.string("type")?.ok_or_else(|| missing(&type_path))? {
        "function" => {}
        "mcp" => return mcp::declare::echo(fields),
        other => {
            return Err(unsupported(
                &type_path,
                &format!(
                    "Tools of type '{}' are not supported; this server runs 'function' tools.",
                    other.chars().take(64).collect::<String>()
                ),
            ));
        }
    }
    let name = name(&mut fields)?;
    let description = fields.string("description")?;
    let path = fields.path("parameters");
    let parameters = fields.value("parameters").cloned().unwrap_or(Value::Null);
    if !parameters.is_null() && !parameters.is_object() {
        return Err(wrong_type(&path, "an object", &parameters));
    }
    // Omitted means "strict where possible" in the API. This server does not
    // resolve schemas yet and says so: what it sends is not strict.
    let strict = fields.bool("strict")?.unwrap_or(false);
    fields.refuse("defer_loading", "Tool search is not supported.")?;
    fields.refuse(
        "allowed_callers",
        "Programmatic tool calling is not supported.",
    )?;
    fields.refuse("output_schema", "It belongs to programmatic tool calling.")?;
    fields.end()?;
    Ok(json!({
        "type": "function",
        "description": description,
        "name": name,
        "parameters": parameters,
        "strict": strict,
    }))
}

/// A name of a function or schema: `^[a-zA-Z0-9_-]{1,64}$`.
fn name<'a>(fields: &mut Fields<'a>) -> Result<&'a str> {
    let path = fields.path("name");
    let name = fields.string("name")?.ok_or_else(|| missing(&path))?;
    let fits = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if fits {
        return Ok(name);
    }
    Err(ApiError::invalid(format!(
        "Invalid '{path}': string does not match pattern. Expected a string that matches the \
         pattern '^[a-zA-Z0-9_-]{{1,64}}$'."
    ))
    .param(path.clone())
    .code("invalid_value"))
}

fn tool_choice(fields: &mut Fields<'_>, tools: &[Value]) -> Result<Value> {
    const WORDS: &[&str] = &["none", "auto", "required"];
    let has = |name: &str| {
        let functions = tools.iter().filter(|tool| !mcp::is_server(tool));
        functions.into_iter().any(|tool| tool["name"] == name)
    };
    let unknown = |path: String, name: &str| {
        ApiError::invalid(format!(
            "Tool choice '{name}' not found in 'tools' parameter."
        ))
        .param(path.clone())
        .code("invalid_value")
    };
    match fields.value("tool_choice") {
        None => Ok(json!("auto")),
        Some(Value::String(word)) => {
            if !WORDS.contains(&word.as_str()) {
                return Err(bad_word("tool_choice", word, WORDS));
            }
            if word == "required" && tools.is_empty() {
                return Err(ApiError::invalid(
                    "Tool choice 'required' must be specified with 'tools' parameter.",
                )
                .param("tool_choice")
                .code("invalid_value"));
            }
            Ok(json!(word))
        }
        Some(value @ Value::Object(_)) => {
            let mut choice = Fields::new(value, "tool_choice")?;
            match choice
                .string("type")?
                .ok_or_else(|| missing("tool_choice.type"))?
            {
                "function" => {
                    let name = choice.required_string("name")?;
                    if !has(name) {
                        return Err(unknown("tool_choice".into(), name));
                    }
                    choice.end()?;
                }
                "allowed_tools" => {
                    choice
                        .word("mode", &["auto", "required"])?
                        .ok_or_else(|| missing("tool_choice.mode"))?;
                    let allowed = choice
                        .array("tools")?
                        .ok_or_else(|| missing("tool_choice.tools"))?;
                    for (at, tool) in allowed.iter().enumerate() {
                        let path = format!("tool_choice.tools[{at}]");
                        let mut tool = Fields::new(tool, &path)?;
                        if tool.word("type", &["function", "mcp"])? == Some("mcp") {
                            mcp::choice::check(tool, tools, &path)?;
                            continue;
                        }
                        let name = tool.required_string("name")?;
                        if !has(name) {
                            return Err(unknown(path, name));
                        }
                        tool.end()?;
                    }
                    choice.end()?;
                }
                "mcp" => mcp::choice::check(choice, tools, "tool_choice")?,
                other => {
                    return Err(bad_word(
                        "tool_choice.type",
                        other,
                        &["function", "allowed_tools", "mcp"],
                    ));
                }
            }
            Ok(value.clone())
        }
        Some(other) => Err(wrong_type("tool_choice", "a string or an object", other)),
    }
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
#[path = "request_tests.rs"]
mod tests;
