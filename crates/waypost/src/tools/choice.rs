//! `tool_choice`: its forms, and whether what it names can be called.
//!
//! Only what is callable now can be chosen: a deferred tool can be once an item
//! has brought it. So the form is read with the request, and the names are
//! looked up when the whole context is there.

use serde_json::{Value, json};

use super::known::{Known, known};
use crate::{
    http::{
        error::ApiError,
        fields::{Fields, bad_word, missing, wrong_type},
        places::Places,
    },
    model::{ClientTool, Generation},
};

const WORDS: &[&str] = &["none", "auto", "required"];
/// Types that stand for tools.
const TYPES: &[&str] = &[
    "function",
    "custom",
    "mcp",
    "namespace",
    "tool_search",
    "file_search",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
    "computer",
    "computer_use",
    "computer_use_preview",
    "code_interpreter",
    "image_generation",
    "local_shell",
    "shell",
    "apply_patch",
    "programmatic_tool_calling",
];
const ALLOWED_TOOLS: &str = "allowed_tools";
/// Entries of `allowed_tools`.
const MAX_ALLOWED: usize = 128;

type Result<T, E = ApiError> = std::result::Result<T, E>;

/// Reads `tool_choice`; `auto` when it is left out.
pub fn parse(fields: &mut Fields<'_>) -> Result<Value> {
    match fields.value("tool_choice") {
        None => Ok(json!("auto")),
        Some(Value::String(word)) if WORDS.contains(&word.as_str()) => Ok(json!(word)),
        Some(Value::String(word)) => Err(bad_word("tool_choice", word, WORDS)),
        Some(value @ Value::Object(_)) => {
            let mut choice = Fields::new(value, "tool_choice")?;
            if value["type"] == ALLOWED_TOOLS {
                allowed_tools(choice)?;
            } else {
                tool(&mut choice, &[&[ALLOWED_TOOLS], TYPES].concat())?;
                choice.end()?;
            }
            Ok(value.clone())
        }
        Some(other) => Err(wrong_type("tool_choice", "a string or an object", other)),
    }
}

/// Looks up what the choice names. The entries of `allowed_tools` stood at these
/// places of the list as it came.
pub fn check(generation: &Generation, places: &Places) -> Result<()> {
    let Some(choice) = &generation.tool_choice else {
        return Ok(());
    };
    match choice {
        Value::String(word) => {
            let none = || generation.tools.is_empty() && known(generation).is_empty();
            if word == "required" && none() {
                return Err(ApiError::invalid(
                    "Tool choice 'required' must be specified with 'tools' parameter.",
                )
                .param("tool_choice"));
            }
            Ok(())
        }
        choice if choice["type"] == ALLOWED_TOOLS => {
            let known = known(generation);
            let tools = choice["tools"].as_array().into_iter().flatten();
            for (at, tool) in tools.enumerate() {
                let path = format!("tool_choice.tools[{}]", places.of(at));
                look_up(tool, &known, &path)?;
            }
            Ok(())
        }
        choice => look_up(choice, &known(generation), "tool_choice"),
    }
}

fn allowed_tools(mut choice: Fields<'_>) -> Result<()> {
    choice.string("type")?;
    choice
        .word("mode", &["auto", "required"])?
        .ok_or_else(|| missing("tool_choice.mode"))?;
    let tools = choice
        .array("tools")?
        .ok_or_else(|| missing("tool_choice.tools"))?;
    if tools.is_empty() || tools.len() > MAX_ALLOWED {
        let (what, code) = if tools.is_empty() {
            (
                "empty array. Expected an array with minimum length 1, but got an empty array \
                 instead."
                    .to_owned(),
                "empty_array",
            )
        } else {
            (
                format!(
                    "array too long. Expected an array with maximum length {MAX_ALLOWED}, but \
                     got an array with length {} instead.",
                    tools.len()
                ),
                "array_above_max_length",
            )
        };
        return Err(
            ApiError::invalid(format!("Invalid 'tool_choice.tools': {what}"))
                .param("tool_choice.tools")
                .code(code),
        );
    }
    for (at, entry) in tools.iter().enumerate() {
        let mut entry = Fields::new(entry, &format!("tool_choice.tools[{at}]"))?;
        tool(&mut entry, TYPES)?;
        entry.end()?;
    }
    choice.end()
}

/// The form of one named tool.
fn tool(choice: &mut Fields<'_>, types: &[&str]) -> Result<()> {
    let path = choice.path("type");
    match choice.string("type")?.ok_or_else(|| missing(&path))? {
        "function" | "custom" => {
            choice.required_string("name")?;
            choice.string("namespace").map(drop)
        }
        "namespace" => choice.required_string("name").map(drop),
        "mcp" => {
            choice.required_string("server_label")?;
            choice.string("name").map(drop)
        }
        hosted if TYPES.contains(&hosted) => Ok(()),
        other => Err(bad_word(&path, other, types)),
    }
}

/// OpenAI names the type, not the tool. A name without a namespace is found in
/// any: often it is all that a client knows.
fn look_up(choice: &Value, known: &[Known<'_>], param: &str) -> Result<()> {
    let kind = choice["type"].as_str().unwrap_or_default();
    let found = known.iter().any(|one| match kind {
        "function" | "custom" => {
            let namespace = choice["namespace"].as_str();
            one.callable
                && one.is(kind, choice["name"].as_str().unwrap_or_default())
                && (namespace.is_none() || namespace == one.namespace)
        }
        "namespace" => one.callable && one.namespace == choice["name"].as_str(),
        "tool_search" => one.tool["type"] == "tool_search",
        "mcp" => one.tool["type"] == "mcp" && one.tool["server_label"] == choice["server_label"],
        _ => {
            let client = ClientTool::of_choice(kind);
            client.is_some_and(|tool| one.callable && one.tool["type"] == tool.name())
        }
    });
    if found {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Tool choice '{kind}' not found in 'tools' parameter."
    ))
    .param(param.to_owned()))
}
