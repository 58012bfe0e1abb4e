//! Whether a request's items fit together and with the turns before them:
//! every call has its output, every output its call, no item is there twice.
//!
//! Calls and outputs are read in order, one output for each call. Model servers
//! give the same call id again in later turns, so an answered call makes room
//! for the next one.
//!
//! Reasoning items are not missed: no model server here needs those of earlier
//! turns, and clients that drop items or their ids would break.

use std::collections::{HashMap, HashSet};

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::{
    http::{
        error::{ApiError, shown},
        places::Places,
    },
    model::{ClientTool, Generation},
    tools::known::{Known, known},
};

type Result<T, E = ApiError> = std::result::Result<T, E>;

/// Checks the context of a request whose own items begin at `own`, and stood at
/// these places of its input.
pub fn check(generation: &Generation, own: usize, places: &Places) -> Result<()> {
    let items = &generation.items;
    unique(items)?;
    paired(items)?;
    let (earlier, fresh) = items.split_at(own);
    // Looking names up is for the few items that need it.
    let mut tools: Option<Vec<Known<'_>>> = None;
    for (at, item) in fresh.iter().enumerate() {
        match item["type"].as_str() {
            Some("function_call") if item["namespace"].is_null() => {
                let tools = tools.get_or_insert_with(|| known(generation));
                in_default_namespace(item, places.of(at), tools)?;
            }
            Some("function_call_output") if item["output"].is_string() => {
                let tools = tools.get_or_insert_with(|| known(generation));
                let before = earlier.iter().chain(&fresh[..at]);
                as_output_schema_says(item, before, tools)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn unique(items: &[Value]) -> Result<()> {
    let mut seen = HashSet::with_capacity(items.len());
    for id in items.iter().filter_map(|item| item["id"].as_str()) {
        if !seen.insert(id) {
            return Err(ApiError::invalid(format!(
                "Duplicate item found with id {}. Remove duplicate items from your input and try \
                 again.",
                shown(id)
            ))
            .param("input"));
        }
    }
    Ok(())
}

/// What is called, in the words of the errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Called {
    Function,
    Custom,
    Search,
    Client(ClientTool),
}

impl Called {
    fn words(self) -> &'static str {
        match self {
            Self::Function => "function call",
            Self::Custom => "custom tool call",
            Self::Search => "tool search call",
            Self::Client(tool) => tool.words(),
        }
    }
}

fn paired(items: &[Value]) -> Result<()> {
    // Calls without an output so far: how many, and the place of the first.
    let mut open: HashMap<(Called, &str), (usize, usize)> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        let (called, is_output) = match item["type"].as_str() {
            Some("function_call") => (Called::Function, false),
            Some("function_call_output") => (Called::Function, true),
            Some("custom_tool_call") => (Called::Custom, false),
            Some("custom_tool_call_output") => (Called::Custom, true),
            // What the server searches for, it finds itself.
            Some("tool_search_call") if item["execution"] == "client" => (Called::Search, false),
            Some("tool_search_output") if item["execution"] == "client" => (Called::Search, true),
            _ => match (ClientTool::of_call(item), ClientTool::of_output(item)) {
                (Some(tool), _) => (Called::Client(tool), false),
                (_, Some(tool)) => (Called::Client(tool), true),
                _ => continue,
            },
        };
        let call_id = item["call_id"].as_str().unwrap_or_default();
        if !is_output {
            open.entry((called, call_id)).or_insert((0, at)).0 += 1;
            continue;
        }
        match open.get_mut(&(called, call_id)) {
            Some((count, _)) if *count > 1 => *count -= 1,
            Some(_) => {
                open.remove(&(called, call_id));
            }
            None => {
                let words = match called {
                    Called::Search => "tool search output".to_owned(),
                    other => format!("{} output", other.words()),
                };
                return Err(ApiError::invalid(format!(
                    "No tool call found for {words} with call_id {}.",
                    shown(call_id)
                ))
                .param("input"));
            }
        }
    }
    let first = open.iter().min_by_key(|(_, (_, at))| *at);
    if let Some(((called, call_id), _)) = first {
        return Err(ApiError::invalid(format!(
            "No tool output found for {} {}.",
            called.words(),
            shown(call_id)
        ))
        .param("input"));
    }
    Ok(())
}

/// A call without a namespace, of a function that only a namespace has.
fn in_default_namespace(call: &Value, at: usize, tools: &[Known<'_>]) -> Result<()> {
    let name = call["name"].as_str().unwrap_or_default();
    let mut namesakes = tools
        .iter()
        .filter(|known| known.is("function", name))
        .peekable();
    if namesakes.peek().is_none() || namesakes.any(|known| known.namespace.is_none()) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Missing namespace for function_call '{name}'. It does not exist in the default \
         namespace. Round-trip the model's function_call item with its namespace field included."
    ))
    .param(format!("input[{at}].namespace")))
}

/// A function that declares an output schema answers with JSON.
fn as_output_schema_says<'a>(
    output: &Value,
    before: impl DoubleEndedIterator<Item = &'a Value>,
    tools: &[Known<'_>],
) -> Result<()> {
    let is_call =
        |item: &&Value| item["type"] == "function_call" && item["call_id"] == output["call_id"];
    let Some(call) = before.rev().find(is_call) else {
        return Ok(());
    };
    let name = call["name"].as_str().unwrap_or_default();
    // A deferred function that is in no namespace comes back under its own name.
    let namespace = call["namespace"].as_str();
    let declares = tools.iter().any(|known| {
        known.is("function", name)
            && (known.namespace == namespace
                || known.namespace.is_none() && namespace == Some(name))
            && known.tool["output_schema"].is_object()
    });
    let text = output["output"].as_str().unwrap_or_default();
    if !declares || serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Ok(());
    }
    Err(ApiError::invalid(
        "Invalid function_call_output.output: expected a JSON string because the function \
         declares output_schema.",
    )
    .param("input")
    .code("invalid_value"))
}
