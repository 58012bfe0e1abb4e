//! Calls of the client's own tools, and what came of them.

use serde_json::{Value, json};

use super::{
    MAX_TEXT, Result, STATUSES,
    ids::{self, Prefix},
    message::content_part,
};
use crate::{
    http::fields::{Fields, missing, unsupported, wrong_type},
    tools::declare::names,
};

pub(super) fn function_call(mut fields: Fields<'_>) -> Result<Value> {
    let mut item = json!({
        "id": ids::item_id(&mut fields, Prefix::FunctionCall)?,
        "type": "function_call",
        "status": fields.word("status", STATUSES)?.unwrap_or("completed"),
        "arguments": fields.required_text("arguments", MAX_TEXT)?,
        "call_id": ids::call_id(&mut fields)?,
        "name": fields.sized_string("name", names::MAX_TOOL)?,
    });
    namespace(&mut fields, &mut item)?;
    end(&mut fields)?;
    Ok(item)
}

pub(super) fn function_call_output(mut fields: Fields<'_>) -> Result<Value> {
    let mut item = json!({
        "id": ids::item_id(&mut fields, Prefix::FunctionCallOutput)?,
        "type": "function_call_output",
        "status": fields.word("status", STATUSES)?.unwrap_or("completed"),
        // Where it is left out, the call is looked for.
        "call_id": ids::optional_call_id(&mut fields)?,
        "output": output(&mut fields)?,
    });
    if let Some(name) = fields.bounded_string("name", names::MAX_TOOL)? {
        item["name"] = json!(name);
    }
    namespace(&mut fields, &mut item)?;
    end(&mut fields)?;
    Ok(item)
}

pub(super) fn custom_tool_call(mut fields: Fields<'_>) -> Result<Value> {
    let mut item = json!({
        "id": ids::item_id(&mut fields, Prefix::CustomToolCall)?,
        "type": "custom_tool_call",
        "status": fields.word("status", STATUSES)?.unwrap_or("completed"),
        "call_id": ids::call_id(&mut fields)?,
        "name": fields.sized_string("name", names::MAX_TOOL)?,
        "input": fields.required_text("input", MAX_TEXT)?,
    });
    namespace(&mut fields, &mut item)?;
    end(&mut fields)?;
    Ok(item)
}

pub(super) fn custom_tool_call_output(mut fields: Fields<'_>) -> Result<Value> {
    let item = json!({
        "id": ids::item_id(&mut fields, Prefix::CustomToolCallOutput)?,
        "type": "custom_tool_call_output",
        "status": fields.word("status", STATUSES)?.unwrap_or("completed"),
        "call_id": ids::call_id(&mut fields)?,
        "output": output(&mut fields)?,
    });
    end(&mut fields)?;
    Ok(item)
}

/// Text, or parts of text, images and files.
fn output(fields: &mut Fields<'_>) -> Result<Value> {
    let path = fields.path("output");
    match fields.value("output").ok_or_else(|| missing(&path))? {
        Value::String(_) => Ok(json!(fields.required_text("output", MAX_TEXT)?)),
        Value::Array(parts) => parts
            .iter()
            .enumerate()
            .map(|(at, part)| content_part(part, &format!("{path}[{at}]"), false))
            .collect(),
        other => Err(wrong_type(
            &path,
            "a string or an array of content parts",
            other,
        )),
    }
}

fn namespace(fields: &mut Fields<'_>, item: &mut Value) -> Result<()> {
    if let Some(namespace) = names::optional(fields, "namespace", names::MAX_NAMESPACE)? {
        item["namespace"] = json!(namespace);
    }
    Ok(())
}

/// What every call and output may carry about who called: only the model does,
/// and it waits.
pub(super) fn end(fields: &mut Fields<'_>) -> Result<()> {
    if let Some(mut caller) = fields.object("caller")? {
        let path = caller.path("type");
        if caller.word("type", &["direct", "program"])? == Some("program") {
            return Err(unsupported(
                &path,
                "Programmatic tool calling is not supported; only 'direct' is.",
            ));
        }
        caller.end()?;
    }
    let path = fields.path("async");
    if fields.bool("async")? == Some(true) {
        return Err(unsupported(&path, "Asynchronous calls are not supported."));
    }
    fields.value("created_by");
    fields.end()
}
