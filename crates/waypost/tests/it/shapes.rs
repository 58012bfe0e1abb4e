//! The shape of every event and item that is sent: what must be there, what may
//! be null, and what may be left out but not be null.
//!
//! It is the narrowest of the types of both OpenAI SDKs (Python 3.57.0, Node
//! 7.57.0) and the Vercel AI SDK's schemas (`@ai-sdk/openai` 4.0.118), which
//! refuse a whole answer for one null. A field that none of them knows is a
//! fault too.

use serde_json::{Map, Value};

/// Fields by name, separated by blanks. `name?` may be left out, `name~` may
/// also be null; without a mark it is there and not null.
type Fields = &'static str;

const EVENTS: &[(&str, Fields)] = &[
    ("response.created", "response"),
    ("response.queued", "response"),
    ("response.in_progress", "response"),
    ("response.completed", "response"),
    ("response.incomplete", "response"),
    ("response.failed", "response"),
    ("error", "message code~ param~"),
    ("response.output_item.added", "output_index item"),
    ("response.output_item.done", "output_index item"),
    (
        "response.content_part.added",
        "item_id output_index content_index part",
    ),
    (
        "response.content_part.done",
        "item_id output_index content_index part",
    ),
    (
        "response.output_text.delta",
        "item_id output_index content_index delta logprobs",
    ),
    (
        "response.output_text.done",
        "item_id output_index content_index text logprobs",
    ),
    (
        "response.output_text.annotation.added",
        "item_id output_index content_index annotation_index annotation",
    ),
    (
        "response.refusal.delta",
        "item_id output_index content_index delta",
    ),
    (
        "response.refusal.done",
        "item_id output_index content_index refusal",
    ),
    (
        "response.reasoning_text.delta",
        "item_id output_index content_index delta",
    ),
    (
        "response.reasoning_text.done",
        "item_id output_index content_index text",
    ),
    (
        "response.reasoning_summary_part.added",
        "item_id output_index summary_index part",
    ),
    (
        "response.reasoning_summary_part.done",
        "item_id output_index summary_index part",
    ),
    (
        "response.reasoning_summary_text.delta",
        "item_id output_index summary_index delta",
    ),
    (
        "response.reasoning_summary_text.done",
        "item_id output_index summary_index text",
    ),
    (
        "response.function_call_arguments.delta",
        "item_id output_index delta",
    ),
    (
        "response.function_call_arguments.done",
        "item_id output_index arguments",
    ),
    (
        "response.custom_tool_call_input.delta",
        "item_id output_index delta",
    ),
    (
        "response.custom_tool_call_input.done",
        "item_id output_index input",
    ),
    (
        "response.mcp_list_tools.in_progress",
        "item_id output_index",
    ),
    ("response.mcp_list_tools.completed", "item_id output_index"),
    ("response.mcp_list_tools.failed", "item_id output_index"),
    ("response.mcp_call.in_progress", "item_id output_index"),
    ("response.mcp_call.completed", "item_id output_index"),
    ("response.mcp_call.failed", "item_id output_index"),
    (
        "response.mcp_call_arguments.delta",
        "item_id output_index delta",
    ),
    (
        "response.mcp_call_arguments.done",
        "item_id output_index arguments",
    ),
    (
        "response.shell_call_command.added",
        "output_index command_index command",
    ),
    (
        "response.shell_call_command.delta",
        "output_index command_index delta",
    ),
    (
        "response.shell_call_command.done",
        "output_index command_index command",
    ),
    (
        "response.apply_patch_call_operation_diff.delta",
        "item_id output_index delta",
    ),
    (
        "response.apply_patch_call_operation_diff.done",
        "item_id output_index diff",
    ),
];

const ITEMS: &[(&str, Fields)] = &[
    ("message", "id status role content phase?"),
    (
        "reasoning",
        "id summary status? content? encrypted_content~",
    ),
    (
        "function_call",
        "id status call_id name arguments namespace?",
    ),
    (
        "custom_tool_call",
        "id status? call_id name input namespace?",
    ),
    ("local_shell_call", "id status call_id action"),
    ("shell_call", "id status call_id action environment~"),
    ("apply_patch_call", "id status call_id operation"),
    (
        "computer_call",
        "id status call_id actions pending_safety_checks",
    ),
    ("mcp_list_tools", "id server_label tools error?"),
    (
        "mcp_call",
        "id status server_label name arguments output~ error~ approval_request_id~",
    ),
    ("mcp_approval_request", "id server_label name arguments"),
    ("tool_search_call", "id status execution arguments call_id~"),
    ("tool_search_output", "id status execution tools call_id~"),
];

const PARTS: &[(&str, Fields)] = &[
    ("output_text", "text annotations logprobs"),
    ("refusal", "refusal"),
    ("summary_text", "text"),
    ("reasoning_text", "text"),
    ("url_citation", "url title start_index end_index"),
    ("file_citation", "file_id filename index"),
    (
        "container_file_citation",
        "container_id file_id filename start_index end_index",
    ),
    ("file_path", "file_id index"),
];

/// What the SDKs' `Response` always has; there may be more.
const RESPONSE: Fields = "id object created_at status error~ incomplete_details~ instructions~ \
     metadata~ model output parallel_tool_calls temperature~ tool_choice tools top_p~ usage~";
const LISTED_TOOL: Fields = "name input_schema description? annotations?";
const LOGPROB: Fields = "token logprob bytes top_logprobs";
const USAGE: Fields =
    "input_tokens input_tokens_details output_tokens output_tokens_details total_tokens";

/// Judges an event with all that it carries.
pub fn judge(event: &Value) -> Result<(), String> {
    let kind = typed(event, EVENTS, "sequence_number")?;
    for (field, table) in [("item", ITEMS), ("part", PARTS), ("annotation", PARTS)] {
        if let Some(value) = event.get(field) {
            nested(value, table)?;
        }
    }
    if let Some(response) = event.get("response") {
        judge_response(response)?;
    }
    let logprobs = event["logprobs"].as_array().into_iter().flatten();
    // The SDKs' events have no bytes; more than they ask for is fine there.
    for one in logprobs {
        if !one["token"].is_string()
            || !one["logprob"].is_number()
            || !one["top_logprobs"].is_array()
        {
            return Err(format!("{kind}: {one}"));
        }
    }
    Ok(())
}

/// Judges a Response object, in an event or as a body.
pub fn judge_response(response: &Value) -> Result<(), String> {
    for field in RESPONSE.split(' ') {
        let is_fine = match response.get(field.trim_end_matches('~')) {
            None => false,
            Some(value) => field.ends_with('~') || !value.is_null(),
        };
        if !is_fine {
            return Err(format!("'{field}' is not as it should be: {response}"));
        }
    }
    let output = response["output"].as_array();
    let mut output = output.ok_or("a response without output")?.iter();
    output.try_for_each(|item| nested(item, ITEMS))?;
    match &response["usage"] {
        Value::Null => Ok(()),
        usage => fields(usage, USAGE, ""),
    }
}

fn nested(value: &Value, table: &[(&str, Fields)]) -> Result<(), String> {
    let kind = typed(value, table, "")?;
    let each = |field: &str| value[field].as_array().into_iter().flatten();
    match kind {
        "message" | "reasoning" => each("content")
            .chain(each("summary"))
            .try_for_each(|part| nested(part, PARTS)),
        "output_text" => {
            each("annotations").try_for_each(|one| nested(one, PARTS))?;
            each("logprobs").try_for_each(|one| fields(one, LOGPROB, ""))
        }
        "mcp_list_tools" => each("tools").try_for_each(|tool| fields(tool, LISTED_TOOL, "")),
        "local_shell_call" => fields(
            &value["action"],
            "command env timeout_ms? user? working_directory?",
            "",
        ),
        "shell_call" => fields(
            &value["action"],
            "commands timeout_ms~ max_output_length~",
            "",
        ),
        "apply_patch_call" => fields(&value["operation"], "path diff?", ""),
        _ => Ok(()),
    }
}

fn typed<'v>(value: &'v Value, table: &[(&str, Fields)], also: &str) -> Result<&'v str, String> {
    let kind = value["type"]
        .as_str()
        .ok_or_else(|| format!("no type: {value}"))?;
    let (_, wanted) = table
        .iter()
        .find(|(known, _)| *known == kind)
        .ok_or_else(|| format!("no shape is known for '{kind}'"))?;
    fields(value, wanted, also)?;
    Ok(kind)
}

fn fields(value: &Value, wanted: Fields, also: &str) -> Result<(), String> {
    let map = value
        .as_object()
        .ok_or_else(|| format!("no object: {value}"))?;
    let name = |field: &'static str| field.trim_end_matches(['?', '~']);
    for field in wanted.split(' ') {
        let is_fine = match map.get(name(field)) {
            None => field.ends_with(['?', '~']),
            Some(Value::Null) => field.ends_with('~'),
            Some(_) => true,
        };
        if !is_fine {
            return Err(format!("'{field}' is not as it should be: {value}"));
        }
    }
    unknown(map, wanted, also).map_or(Ok(()), |key| Err(format!("nobody knows '{key}': {value}")))
}

fn unknown<'m>(map: &'m Map<String, Value>, wanted: Fields, also: &str) -> Option<&'m str> {
    let mut keys = map.keys().map(String::as_str);
    keys.find(|key| {
        *key != "type"
            && *key != also
            && !wanted
                .split(' ')
                .any(|field| field.trim_end_matches(['?', '~']) == *key)
    })
}
