//! Calls of tools that the client runs and whose form is fixed, and what came
//! of them.

use serde_json::{Value, json};

use super::{
    MAX_TEXT, Result, STATUSES, calls,
    ids::{self, Prefix},
};
use crate::{
    http::fields::{Fields, bad_word, missing, unsupported, wrong_type},
    model::{ClientTool, MAX_ID},
};

/// Commands of one call, and outputs of one.
const MAX_COMMANDS: usize = 1024;
/// Actions of one call of a computer, and safety checks of one.
const MAX_ACTIONS: usize = 1024;
/// Characters of a path or a user's name.
const MAX_NAME: usize = 64 * 1024;

const ACTIONS: &[&str] = &[
    "click",
    "double_click",
    "drag",
    "keypress",
    "move",
    "screenshot",
    "scroll",
    "type",
    "wait",
];

/// A call of the tool.
pub(super) fn call(tool: ClientTool, mut fields: Fields<'_>) -> Result<Value> {
    let fields = &mut fields;
    let mut item = json!({
        "id": ids::item_id(fields, Prefix::ClientCall(tool))?,
        "type": tool.call_type(),
        "status": fields.word("status", STATUSES)?.unwrap_or("completed"),
        "call_id": ids::call_id(fields)?,
    });
    match tool {
        ClientTool::LocalShell => item["action"] = exec(fields)?,
        ClientTool::Shell => {
            item["action"] = commands(fields)?;
            local(fields)?;
            item["environment"] = json!({"type": "local"});
        }
        ClientTool::ApplyPatch => item["operation"] = operation(fields)?,
        ClientTool::Computer => {
            let single = action_of(fields)?;
            let path = fields.path("actions");
            let actions = fields.array("actions")?;
            if let Some(actions) = actions {
                item["actions"] = list(&path, actions, MAX_ACTIONS, action)?;
            } else {
                item["action"] = single.ok_or_else(|| missing(&path))?;
            }
            item["pending_safety_checks"] = checks(fields, "pending_safety_checks")?;
        }
    }
    calls::end(fields)?;
    Ok(item)
}

/// What came of a call of the tool.
pub(super) fn output(tool: ClientTool, mut fields: Fields<'_>) -> Result<Value> {
    let fields = &mut fields;
    let (id, call_id) = ids_of_output(tool, fields)?;
    let mut item = json!({"id": id, "type": tool.output_type(), "call_id": call_id});
    let statuses = [STATUSES, &["failed"]].concat();
    let status = fields.word("status", &statuses)?;
    match tool {
        ClientTool::LocalShell => item["output"] = json!(fields.required_text("output", MAX_TEXT)?),
        ClientTool::Shell => {
            if let Some(max) = count(fields, "max_output_length")? {
                item["max_output_length"] = max;
            }
            let path = fields.path("output");
            let outputs = fields.array("output")?.ok_or_else(|| missing(&path))?;
            item["output"] = list(&path, outputs, MAX_COMMANDS, command_output)?;
        }
        ClientTool::ApplyPatch => {
            let path = fields.path("status");
            if let Some(word) = status.filter(|word| !["completed", "failed"].contains(word)) {
                return Err(bad_word(&path, word, &["completed", "failed"]));
            }
            if status.is_none() {
                return Err(missing(&path));
            }
            if let Some(output) = fields.bounded_string("output", MAX_TEXT)? {
                item["output"] = json!(output);
            }
        }
        ClientTool::Computer => {
            item["output"] = screenshot(fields)?;
            item["acknowledged_safety_checks"] = checks(fields, "acknowledged_safety_checks")?;
        }
    }
    item["status"] = json!(status.unwrap_or("completed"));
    calls::end(fields)?;
    Ok(item)
}

/// OpenAI's types have the call's id of a local shell in `id`, clients send it
/// as `call_id`.
fn ids_of_output(tool: ClientTool, fields: &mut Fields<'_>) -> Result<(String, String)> {
    let names_call = fields.value("call_id").is_some();
    if tool == ClientTool::LocalShell && !names_call && fields.value("id").is_some() {
        let call_id = fields.sized_string("id", MAX_ID)?;
        let id = waypost_engine::id::fresh(tool.output_prefix());
        return Ok((id, call_id.to_owned()));
    }
    let call_id = ids::call_id(fields)?.to_owned();
    Ok((ids::item_id(fields, Prefix::ClientOutput(tool))?, call_id))
}

fn exec(fields: &mut Fields<'_>) -> Result<Value> {
    let path = fields.path("action");
    let mut action = fields.object("action")?.ok_or_else(|| missing(&path))?;
    action.word("type", &["exec"])?;
    let mut out = json!({"type": "exec", "command": texts(&mut action, "command")?, "env": {}});
    let path = action.path("env");
    if let Some(env) = action.value("env") {
        let env = env
            .as_object()
            .ok_or_else(|| wrong_type(&path, "an object", env))?;
        for (name, value) in env {
            if !value.is_string() {
                return Err(wrong_type(&format!("{path}.{name}"), "a string", value));
            }
        }
        out["env"] = json!(env);
    }
    if let Some(timeout) = count(&mut action, "timeout_ms")? {
        out["timeout_ms"] = timeout;
    }
    for name in ["user", "working_directory"] {
        if let Some(text) = action.bounded_string(name, MAX_NAME)? {
            out[name] = json!(text);
        }
    }
    action.end()?;
    Ok(out)
}

fn commands(fields: &mut Fields<'_>) -> Result<Value> {
    let path = fields.path("action");
    let mut action = fields.object("action")?.ok_or_else(|| missing(&path))?;
    let out = json!({
        "commands": texts(&mut action, "commands")?,
        "timeout_ms": count(&mut action, "timeout_ms")?,
        "max_output_length": count(&mut action, "max_output_length")?,
    });
    action.end()?;
    Ok(out)
}

/// The environment of a shell's call, which is the client's own.
fn local(fields: &mut Fields<'_>) -> Result<()> {
    let Some(mut environment) = fields.object("environment")? else {
        return Ok(());
    };
    let path = environment.path("type");
    match environment.string("type")? {
        Some("local") | None => {}
        Some(_) => {
            return Err(unsupported(
                &path,
                "Only calls of a shell of type 'local' are supported, which the client runs.",
            ));
        }
    }
    environment.value("skills");
    environment.end()
}

fn operation(fields: &mut Fields<'_>) -> Result<Value> {
    let path = fields.path("operation");
    let mut operation = fields.object("operation")?.ok_or_else(|| missing(&path))?;
    let path = operation.path("type");
    let kinds = ["create_file", "update_file", "delete_file"];
    let kind = operation
        .word("type", &kinds)?
        .ok_or_else(|| missing(&path))?;
    let mut out = json!({"type": kind, "path": operation.sized_string("path", MAX_NAME)?});
    if kind == "delete_file" {
        operation.value("diff");
    } else {
        out["diff"] = json!(operation.required_text("diff", MAX_TEXT)?);
    }
    // The Agents SDKs' own.
    if let Some(to) = operation.bounded_string("move_to", MAX_NAME)? {
        out["move_to"] = json!(to);
    }
    operation.end()?;
    Ok(out)
}

fn command_output(value: &Value, path: &str) -> Result<Value> {
    let mut fields = Fields::new(value, path)?;
    let path = fields.path("outcome");
    let mut outcome = fields.object("outcome")?.ok_or_else(|| missing(&path))?;
    let path = outcome.path("type");
    let kind = outcome.word("type", &["exit", "timeout"])?;
    let mut came = json!({"type": kind.ok_or_else(|| missing(&path))?});
    let path = outcome.path("exit_code");
    let code = outcome.value("exit_code");
    if kind == Some("exit") {
        let code = code.ok_or_else(|| missing(&path))?;
        // Windows has codes that are negative.
        if code.as_i64().is_none() {
            return Err(wrong_type(&path, "an integer", code));
        }
        came["exit_code"] = code.clone();
    }
    outcome.end()?;
    let out = json!({
        "stdout": fields.required_text("stdout", MAX_TEXT)?,
        "stderr": fields.required_text("stderr", MAX_TEXT)?,
        "outcome": came,
    });
    fields.value("created_by");
    fields.end()?;
    Ok(out)
}

fn screenshot(fields: &mut Fields<'_>) -> Result<Value> {
    let path = fields.path("output");
    let mut output = fields.object("output")?.ok_or_else(|| missing(&path))?;
    let kind = output.word("type", &["computer_screenshot"])?;
    let mut out = json!({"type": kind.ok_or_else(|| missing(&output.path("type")))?});
    output.refuse("file_id", "There are no files here; send 'image_url'.")?;
    for name in ["image_url", "detail"] {
        if let Some(text) = output.string(name)? {
            out[name] = json!(text);
        }
    }
    output.end()?;
    Ok(out)
}

/// The single action of older calls.
fn action_of(fields: &mut Fields<'_>) -> Result<Option<Value>> {
    let path = fields.path("action");
    fields
        .value("action")
        .map(|value| action(value, &path))
        .transpose()
}

/// One action of a computer, by its type: its fields are the client's own.
fn action(value: &Value, path: &str) -> Result<Value> {
    let mut fields = Fields::new(value, path)?;
    let path = fields.path("type");
    fields
        .word("type", ACTIONS)?
        .ok_or_else(|| missing(&path))?;
    Ok(value.clone())
}

fn checks(fields: &mut Fields<'_>, name: &'static str) -> Result<Value> {
    let path = fields.path(name);
    let checks = fields.array(name)?.map(Vec::as_slice).unwrap_or_default();
    list(&path, checks, MAX_ACTIONS, |value, path| {
        let mut check = Fields::new(value, path)?;
        check.sized_string("id", MAX_NAME)?;
        Ok(value.clone())
    })
}

fn texts(fields: &mut Fields<'_>, name: &'static str) -> Result<Value> {
    let path = fields.path(name);
    let texts = fields.array(name)?.ok_or_else(|| missing(&path))?;
    list(&path, texts, MAX_COMMANDS, |value, path| match value {
        Value::String(_) => Ok(value.clone()),
        other => Err(wrong_type(path, "a string", other)),
    })
}

fn list(
    path: &str,
    values: &[Value],
    most: usize,
    read: impl Fn(&Value, &str) -> Result<Value>,
) -> Result<Value> {
    crate::tools::declare::at_most(path, values.len(), most)?;
    let mut values = values.iter().enumerate();
    values.try_fold(json!([]), |mut out, (at, value)| {
        let read = read(value, &format!("{path}[{at}]"))?;
        if let Some(out) = out.as_array_mut() {
            out.push(read);
        }
        Ok(out)
    })
}

/// A number of milliseconds or characters.
fn count(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<Value>> {
    Ok(fields
        .integer(name, 0, u64::from(u32::MAX))?
        .map(|n| json!(n)))
}
