//! Items that bring tools into the conversation: what a search for tools found,
//! and what a developer adds.
//!
//! Their tools are resolved here, once, and stored so: a later turn reads them
//! as they are.

use serde_json::{Value, json};

use super::{
    Result, STATUSES,
    ids::{self, Prefix},
};
use crate::{
    http::fields::{Fields, missing},
    tools::declare::Declarer,
};

const EXECUTIONS: &[&str] = &["server", "client"];

pub(super) fn tool_search_call(mut fields: Fields<'_>) -> Result<Value> {
    let path = fields.path("arguments");
    let arguments = fields.value("arguments").ok_or_else(|| missing(&path))?;
    let (execution, call_id) = execution(&mut fields)?;
    let item = json!({
        "id": ids::item_id(&mut fields, Prefix::ToolSearchCall)?,
        "type": "tool_search_call",
        "status": fields.word("status", STATUSES)?.unwrap_or("completed"),
        "arguments": arguments,
        "call_id": call_id,
        "execution": execution,
    });
    fields.value("created_by");
    fields.end()?;
    Ok(item)
}

pub(super) fn tool_search_output(
    mut fields: Fields<'_>,
    declarer: &mut Declarer<'_>,
) -> Result<Value> {
    let (execution, call_id) = execution(&mut fields)?;
    let item = json!({
        "id": ids::item_id(&mut fields, Prefix::ToolSearchOutput)?,
        "type": "tool_search_output",
        "status": fields.word("status", STATUSES)?.unwrap_or("completed"),
        "call_id": call_id,
        "execution": execution,
        "tools": tools(&mut fields, declarer)?,
    });
    fields.value("created_by");
    fields.end()?;
    Ok(item)
}

pub(super) fn additional_tools(
    mut fields: Fields<'_>,
    declarer: &mut Declarer<'_>,
) -> Result<Value> {
    let path = fields.path("role");
    let role = fields
        .word("role", &["developer"])?
        .ok_or_else(|| missing(&path))?;
    let item = json!({
        "id": ids::item_id(&mut fields, Prefix::AdditionalTools)?,
        "type": "additional_tools",
        "role": role,
        "tools": tools(&mut fields, declarer)?,
    });
    fields.value("status");
    fields.end()?;
    Ok(item)
}

/// Who searches, and the id that ties the output to the call where that is the
/// client. Without `execution`, the id tells.
fn execution<'a>(fields: &mut Fields<'a>) -> Result<(&'a str, Option<&'a str>)> {
    let call_id = match fields.value("call_id") {
        Some(_) => Some(ids::call_id(fields)?),
        None => None,
    };
    let execution = fields
        .word("execution", EXECUTIONS)?
        .unwrap_or(if call_id.is_some() {
            "client"
        } else {
            "server"
        });
    if execution == "client" && call_id.is_none() {
        return Err(missing(&fields.path("call_id")));
    }
    Ok((execution, call_id))
}

fn tools(fields: &mut Fields<'_>, declarer: &mut Declarer<'_>) -> Result<Vec<Value>> {
    let path = fields.path("tools");
    let tools = fields.array("tools")?.ok_or_else(|| missing(&path))?;
    declarer.of_item(fields.here(), tools)
}
