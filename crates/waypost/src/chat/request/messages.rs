//! Messages as the Responses API's items, which is what model servers are asked
//! with here.
//!
//! What items have no place for (a speaker's `name`, `reasoning_content`, what
//! only some server knows) goes along as `chat_fields`, and back into the message for chat servers. The
//! Responses API knows neither, and its servers do not get them.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::Result;
use crate::{
    config::UpstreamApi,
    http::{
        error::ApiError,
        fields::{Fields, bad_word, missing, unsupported, wrong_type},
    },
};

/// Messages of one request.
const MAX_MESSAGES: usize = 10_000;
const ROLES: &[&str] = &[
    "system",
    "assistant",
    "user",
    "function",
    "tool",
    "developer",
];
/// Content that chat servers know and the Responses API does not. It goes
/// through as it is.
const CHAT_PARTS: &[&str] = &["input_audio", "audio_url", "video_url"];

/// The conversation as items.
pub fn read(fields: &mut Fields<'_>, api: UpstreamApi) -> Result<Vec<Value>> {
    let messages = fields
        .array("messages")?
        .ok_or_else(|| missing("messages"))?;
    if messages.is_empty() || messages.len() > MAX_MESSAGES {
        let (side, code, bound) = if messages.is_empty() {
            ("empty array", "empty_array", "minimum length 1")
        } else {
            (
                "array too long",
                "array_above_max_length",
                "maximum length 10000",
            )
        };
        return Err(ApiError::invalid(format!(
            "Invalid 'messages': {side}. Expected an array with {bound}, but got an array with \
             length {} instead.",
            messages.len()
        ))
        .param("messages")
        .code(code));
    }
    let mut reader = Reader {
        api,
        items: Vec::with_capacity(messages.len()),
        custom_calls: HashSet::new(),
        legacy_calls: 0,
    };
    for (index, message) in messages.iter().enumerate() {
        reader.message(message, &format!("messages[{index}]"))?;
    }
    Ok(reader.items)
}

/// The fields of messages that items do have a place for.
const WORDS_KEYS: &[&str] = &["role", "content"];
const TOOL_KEYS: &[&str] = &["role", "content", "tool_call_id"];
const ASSISTANT_KEYS: &[&str] = &[
    "role",
    "content",
    "refusal",
    "annotations",
    "tool_calls",
    "function_call",
    // The Python SDK's, of what it parsed.
    "parsed",
];

struct Reader<'a> {
    api: UpstreamApi,
    items: Vec<Value>,
    /// Ids of calls of custom tools: their results are other items.
    custom_calls: HashSet<&'a str>,
    /// `function_call` had no id: its place is one.
    legacy_calls: usize,
}

impl<'a> Reader<'a> {
    fn message(&mut self, message: &'a Value, path: &str) -> Result<()> {
        let mut fields = Fields::new(message, path)?;
        let role_path = fields.path("role");
        let role = fields
            .word("role", ROLES)?
            .ok_or_else(|| missing(&role_path))?;
        match role {
            "assistant" => {
                let carried = self.carried(message, ASSISTANT_KEYS);
                return self.assistant(&mut fields, carried);
            }
            "tool" => self.tool(&mut fields, self.carried(message, TOOL_KEYS))?,
            "function" => self.function(&mut fields)?,
            _ => {
                let path = fields.path("content");
                let content = fields.value("content").ok_or_else(|| missing(&path))?;
                let item = json!({
                    "type": "message",
                    "role": role,
                    "content": self.content(content, &path)?,
                });
                self.push(item, self.carried(message, WORDS_KEYS));
            }
        }
        // The one field that is left out without a word: speakers have no names
        // in the Responses API.
        fields.string("name")?;
        if self.api == UpstreamApi::Responses {
            fields.end()?;
        }
        Ok(())
    }

    /// What a model said may have anything beside it: clients send back what
    /// they were given, and SDKs put what they parsed into it.
    fn assistant(
        &mut self,
        fields: &mut Fields<'a>,
        carried: Option<Map<String, Value>>,
    ) -> Result<()> {
        fields.refuse(
            "audio",
            "Audio is not supported where tool calls or output formats are enforced.",
        )?;
        // Found in what clients send back of an answer.
        fields.array("annotations")?;
        let path = fields.path("content");
        let mut content = match fields.value("content") {
            None => Vec::new(),
            Some(Value::String(text)) if text.is_empty() => Vec::new(),
            Some(Value::String(text)) => vec![json!({"type": "output_text", "text": text})],
            Some(Value::Array(parts)) => parts
                .iter()
                .enumerate()
                .map(|(at, part)| assistant_part(part, &format!("{path}[{at}]")))
                .collect::<Result<_>>()?,
            Some(other) => {
                return Err(wrong_type(
                    &path,
                    "a string or an array of content parts",
                    other,
                ));
            }
        };
        if let Some(refusal) = fields.string("refusal")?.filter(|text| !text.is_empty()) {
            content.push(json!({"type": "refusal", "refusal": refusal}));
        }
        let calls_path = fields.path("tool_calls");
        let calls = fields
            .array("tool_calls")?
            .map(Vec::as_slice)
            .unwrap_or_default();
        let legacy = fields.object("function_call")?;
        if !content.is_empty() || carried.is_some() || (calls.is_empty() && legacy.is_none()) {
            let item = json!({"type": "message", "role": "assistant", "content": content});
            self.push(item, carried);
        }
        for (at, call) in calls.iter().enumerate() {
            self.call(call, &format!("{calls_path}[{at}]"))?;
        }
        if let Some(mut call) = legacy {
            self.legacy_calls += 1;
            self.items.push(json!({
                "type": "function_call",
                "call_id": legacy_id(self.legacy_calls),
                "name": call.required_string("name")?,
                "arguments": call.required_string("arguments")?,
            }));
            call.end()?;
        }
        Ok(())
    }

    fn call(&mut self, call: &'a Value, path: &str) -> Result<()> {
        let mut fields = Fields::new(call, path)?;
        let id = call_id(&mut fields, "id")?;
        // Chunks have it, and clients that put them together keep it.
        fields.value("index");
        let kind = fields
            .word("type", &["function", "custom"])?
            .unwrap_or("function");
        let inner_path = fields.path(kind);
        let item = if kind == "custom" {
            let mut custom = fields
                .object("custom")?
                .ok_or_else(|| missing(&inner_path))?;
            self.custom_calls.insert(id);
            let item = json!({
                "type": "custom_tool_call",
                "call_id": id,
                "name": custom.required_string("name")?,
                "input": custom.required_string("input")?,
            });
            custom.end()?;
            item
        } else {
            let mut function = fields
                .object("function")?
                .ok_or_else(|| missing(&inner_path))?;
            let item = json!({
                "type": "function_call",
                "call_id": id,
                "name": function.required_string("name")?,
                "arguments": function.required_string("arguments")?,
            });
            // The Python SDK's parsed calls carry what they were parsed to.
            function.value("parsed_arguments");
            function.end()?;
            item
        };
        self.items.push(item);
        fields.end()
    }

    fn tool(&mut self, fields: &mut Fields<'a>, carried: Option<Map<String, Value>>) -> Result<()> {
        let id = call_id(fields, "tool_call_id")?;
        let kind = if self.custom_calls.contains(id) {
            "custom_tool_call_output"
        } else {
            "function_call_output"
        };
        let path = fields.path("content");
        let content = fields.value("content").ok_or_else(|| missing(&path))?;
        let output = match content {
            Value::String(_) => content.clone(),
            other => self.content(other, &path)?,
        };
        let item = json!({"type": kind, "call_id": id, "output": output});
        self.push(item, carried);
        Ok(())
    }

    /// The result of the last `function_call`.
    fn function(&mut self, fields: &mut Fields<'a>) -> Result<()> {
        fields.required_string("name")?;
        let output = fields.string("content")?.unwrap_or_default();
        if self.legacy_calls == 0 {
            return Err(ApiError::invalid(
                "messages with role 'function' must be a response to a preceding message with \
                 'function_call'.",
            )
            .param(fields.path("role")));
        }
        self.items.push(json!({
            "type": "function_call_output",
            "call_id": legacy_id(self.legacy_calls),
            "output": output,
        }));
        Ok(())
    }

    /// The content of a message that is not the model's.
    fn content(&self, content: &Value, path: &str) -> Result<Value> {
        match content {
            Value::String(text) => Ok(json!([{"type": "input_text", "text": text}])),
            Value::Array(parts) => parts
                .iter()
                .enumerate()
                .map(|(at, part)| self.part(part, &format!("{path}[{at}]")))
                .collect(),
            other => Err(wrong_type(
                path,
                "a string or an array of content parts",
                other,
            )),
        }
    }

    fn part(&self, part: &Value, path: &str) -> Result<Value> {
        let mut fields = Fields::new(part, path)?;
        let type_path = fields.path("type");
        let kind = fields.string("type")?.ok_or_else(|| missing(&type_path))?;
        let inner_path = fields.path(kind);
        let breakpoint = fields.prompt_cache_breakpoint()?;
        let mut item = match kind {
            "text" => json!({"type": "input_text", "text": fields.required_string("text")?}),
            "image_url" => {
                let mut image = fields
                    .object("image_url")?
                    .ok_or_else(|| missing(&inner_path))?;
                let mut out = json!({
                    "type": "input_image",
                    "image_url": image.required_string("url")?,
                });
                if let Some(detail) = image.string("detail")? {
                    out["detail"] = json!(detail);
                } else if self.api == UpstreamApi::Responses {
                    // The Responses API has no default for it.
                    out["detail"] = json!("auto");
                }
                image.end()?;
                out
            }
            "file" => {
                let mut file = fields.object("file")?.ok_or_else(|| missing(&inner_path))?;
                // An id is one of the model server's account, which every
                // project shares.
                file.refuse("file_id", "There are no files here; send 'file_data'.")?;
                let mut out = json!({
                    "type": "input_file",
                    "file_data": file.required_string("file_data")?,
                });
                if let Some(name) = file.string("filename")? {
                    out["filename"] = json!(name);
                }
                file.end()?;
                out
            }
            other if CHAT_PARTS.contains(&other) => {
                if self.api == UpstreamApi::Responses {
                    return Err(unsupported(
                        &type_path,
                        "This model is served through the Responses API, which takes text, \
                         images and files.",
                    ));
                }
                return Ok(part.clone());
            }
            other => {
                let words = &["text", "image_url", "input_audio", "file"];
                return Err(bad_word(&type_path, other, words));
            }
        };
        if let Some(point) = breakpoint {
            item["prompt_cache_breakpoint"] = point;
        }
        fields.end()?;
        Ok(item)
    }

    /// The fields that items have no place for, for a chat server.
    fn carried(&self, message: &Value, read: &[&str]) -> Option<Map<String, Value>> {
        if self.api == UpstreamApi::Responses {
            return None;
        }
        let fields = message.as_object()?.iter();
        let out: Map<String, Value> = fields
            .filter(|(name, value)| !read.contains(&name.as_str()) && !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        (!out.is_empty()).then_some(out)
    }

    fn push(&mut self, mut item: Value, carried: Option<Map<String, Value>>) {
        if let Some(carried) = carried {
            item["chat_fields"] = Value::Object(carried);
        }
        self.items.push(item);
    }
}

fn assistant_part(part: &Value, path: &str) -> Result<Value> {
    let mut fields = Fields::new(part, path)?;
    let type_path = fields.path("type");
    let kind = fields
        .word("type", &["text", "refusal"])?
        .ok_or_else(|| missing(&type_path))?;
    let item = if kind == "text" {
        json!({"type": "output_text", "text": fields.required_string("text")?})
    } else {
        json!({"type": "refusal", "refusal": fields.required_string("refusal")?})
    };
    // Nothing is cached up to a part of the model's own.
    fields.prompt_cache_breakpoint()?;
    fields.end()?;
    Ok(item)
}

/// Any id that some model server made is taken back; only none at all is not.
fn call_id<'a>(fields: &mut Fields<'a>, name: &'static str) -> Result<&'a str> {
    let path = fields.path(name);
    let id = fields.required_string(name)?;
    if id.is_empty() {
        return Err(ApiError::invalid(format!(
            "Invalid '{path}': empty string. Expected a string with minimum length 1, but got an \
             empty string instead."
        ))
        .param(path)
        .code("empty_string"));
    }
    Ok(id)
}

fn legacy_id(number: usize) -> String {
    format!("call_function_{number}")
}
