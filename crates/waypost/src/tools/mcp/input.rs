//! MCP items of a request's input: what clients were given, and approvals.

use mcp_client::{CallError, Tool};
use serde_json::{Value, json};
use waypost_engine::id;

use crate::http::{
    error::ApiError,
    fields::{Fields, missing, wrong_type},
};

/// Tools of one list.
const MAX_TOOLS: usize = 10_000;
const MAX_ID: usize = 128;
const STATUSES: &[&str] = &[
    "in_progress",
    "completed",
    "incomplete",
    "calling",
    "failed",
];

type Result<T, E = ApiError> = std::result::Result<T, E>;

/// An item of one of the four kinds; `type` has been read. `None` for any
/// other.
pub fn item(kind: &str, fields: Fields<'_>) -> Option<Result<Value>> {
    Some(match kind {
        "mcp_list_tools" => list_tools(fields),
        "mcp_call" => call(fields),
        "mcp_approval_request" => approval_request(fields),
        "mcp_approval_response" => approval_response(fields),
        _ => return None,
    })
}

fn list_tools(mut fields: Fields<'_>) -> Result<Value> {
    let path = fields.path("tools");
    let tools = fields.array("tools")?.ok_or_else(|| missing(&path))?;
    if tools.len() > MAX_TOOLS {
        return Err(ApiError::invalid(format!(
            "Invalid '{path}': array too long. Expected an array with maximum length {MAX_TOOLS}, \
             but got an array with length {} instead.",
            tools.len()
        ))
        .param(path)
        .code("array_above_max_length"));
    }
    let tools = tools
        .iter()
        .enumerate()
        .map(|(at, tool)| listed(tool, &format!("{path}[{at}]")))
        .collect::<Result<Vec<_>>>()?;
    let item = json!({
        "id": own_id(&mut fields, "mcpl_")?,
        "type": "mcp_list_tools",
        "error": fields.string("error")?,
        "server_label": fields.required_string("server_label")?,
        "tools": tools,
    });
    fields.value("status");
    fields.end()?;
    Ok(item)
}

fn listed(tool: &Value, path: &str) -> Result<Tool> {
    let mut fields = Fields::new(tool, path)?;
    let schema_path = fields.path("input_schema");
    let input_schema = fields
        .value("input_schema")
        .ok_or_else(|| missing(&schema_path))?;
    if !input_schema.is_object() {
        return Err(wrong_type(&schema_path, "an object", input_schema));
    }
    let tool = Tool {
        annotations: fields.value("annotations").cloned(),
        description: fields.string("description")?.map(str::to_owned),
        input_schema: input_schema.clone(),
        name: fields.required_string("name")?.to_owned(),
    };
    fields.end()?;
    Ok(tool)
}

fn call(mut fields: Fields<'_>) -> Result<Value> {
    let error = match fields.value("error") {
        None => Value::Null,
        // Older clients keep it as a text.
        Some(Value::String(text)) => json!(CallError::execution(text)),
        Some(error) => serde_json::from_value::<CallError>(error.clone())
            .map(|error| json!(error))
            .map_err(|_| wrong_type(&fields.path("error"), "an error of an MCP call", error))?,
    };
    let default = if error.is_null() {
        "completed"
    } else {
        "failed"
    };
    let item = json!({
        "id": own_id(&mut fields, "mcp_")?,
        "type": "mcp_call",
        "status": fields.word("status", STATUSES)?.unwrap_or(default),
        "approval_request_id": fields.bounded_string("approval_request_id", MAX_ID)?,
        "arguments": fields.required_string("arguments")?,
        "error": error,
        "name": fields.required_string("name")?,
        "output": fields.string("output")?,
        "server_label": fields.required_string("server_label")?,
    });
    fields.end()?;
    Ok(item)
}

fn approval_request(mut fields: Fields<'_>) -> Result<Value> {
    let path = fields.path("id");
    let id = fields
        .bounded_string("id", MAX_ID)?
        .ok_or_else(|| missing(&path))?;
    let item = json!({
        "id": id,
        "type": "mcp_approval_request",
        "arguments": fields.required_string("arguments")?,
        "name": fields.required_string("name")?,
        "server_label": fields.required_string("server_label")?,
    });
    fields.value("status");
    fields.end()?;
    Ok(item)
}

fn approval_response(mut fields: Fields<'_>) -> Result<Value> {
    let path = fields.path("approval_request_id");
    let request = fields
        .bounded_string("approval_request_id", MAX_ID)?
        .ok_or_else(|| missing(&path))?;
    let path = fields.path("approve");
    let item = json!({
        "id": own_id(&mut fields, "mcpa_")?,
        "type": "mcp_approval_response",
        "approval_request_id": request,
        "approve": fields.bool("approve")?.ok_or_else(|| missing(&path))?,
        "reason": fields.string("reason")?,
    });
    fields.value("status");
    fields.end()?;
    Ok(item)
}

/// The client's own id, or a fresh one.
fn own_id(fields: &mut Fields<'_>, prefix: &str) -> Result<String> {
    Ok(fields
        .bounded_string("id", MAX_ID)?
        .map_or_else(|| id::fresh(prefix), str::to_owned))
}
