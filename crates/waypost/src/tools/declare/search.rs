//! The search for tools, which brings deferred ones into the conversation.

use serde_json::{Value, json};

use super::{Result, function::schema};
use crate::http::{
    error::ApiError,
    fields::{Fields, unsupported},
    places::Places,
};

/// The name that the search has among the other tools.
pub(super) const NAME: &str = "tool_search";

/// A `tool_search` tool, whose `type` has been read.
pub(super) fn search(mut fields: Fields<'_>) -> Result<Value> {
    let execution = fields
        .word("execution", &["server", "client"])?
        .unwrap_or("server");
    let description = fields.string("description")?;
    let path = fields.path("parameters");
    let parameters = schema(&mut fields, "parameters")?;
    if execution == "server" && parameters.is_some() {
        return Err(unsupported(
            &path,
            "A search that the server executes has parameters of its own; they are for \
             'execution' 'client'.",
        ));
    }
    fields.end()?;
    Ok(json!({
        "type": "tool_search",
        "execution": execution,
        "description": description,
        "parameters": parameters,
    }))
}

/// Deferred tools are out of the model's reach without a search. The tools stood
/// at these places of the request's list.
pub(super) fn required_by_deferred(tools: &[Value], places: &Places) -> Result<()> {
    if tools.iter().any(|tool| tool["type"] == NAME) {
        return Ok(());
    }
    for (at, tool) in tools.iter().enumerate() {
        let at = places.of(at);
        let deferred = |tool: &Value| tool["defer_loading"] == true;
        let inner = tool["tools"]
            .as_array()
            .and_then(|tools| tools.iter().position(deferred));
        let path = match inner {
            Some(inner) => format!("tools[{at}].tools[{inner}].defer_loading"),
            None if deferred(tool) => format!("tools[{at}].defer_loading"),
            None => continue,
        };
        return Err(ApiError::invalid(format!(
            "Invalid '{path}': a deferred tool can only be loaded by a tool of type \
             'tool_search', which is not in 'tools'."
        ))
        .param(path)
        .code("invalid_value"));
    }
    Ok(())
}
