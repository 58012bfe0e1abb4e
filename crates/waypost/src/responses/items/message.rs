//! Messages, and the parts that messages and outputs of tools are made of.

use serde_json::{Map, Value, json};

use super::{
    Result, STATUSES,
    ids::{self, Prefix},
};
use crate::http::fields::{Fields, bad_word, missing, wrong_type};

const ROLES: &[&str] = &["assistant", "system", "developer", "user"];
const PHASES: &[&str] = &["commentary", "final_answer"];

pub(super) fn message(mut fields: Fields<'_>) -> Result<Value> {
    let role_path = fields.path("role");
    let role = fields
        .word("role", ROLES)?
        .ok_or_else(|| missing(&role_path))?;
    let path = fields.path("content");
    let content = match fields.value("content").ok_or_else(|| missing(&path))? {
        Value::String(text) if role == "assistant" => {
            json!([{"type": "output_text", "text": text, "annotations": [], "logprobs": []}])
        }
        Value::String(text) => json!([{"type": "input_text", "text": text}]),
        Value::Array(parts) => parts
            .iter()
            .enumerate()
            .map(|(at, part)| content_part(part, &format!("{path}[{at}]"), role == "assistant"))
            .collect::<Result<Value>>()?,
        other => {
            return Err(wrong_type(
                &path,
                "a string or an array of content parts",
                other,
            ));
        }
    };
    let mut item = json!({
        "id": ids::item_id(&mut fields, Prefix::Message)?,
        "type": "message",
        "status": fields.word("status", STATUSES)?.unwrap_or("completed"),
        "content": content,
        "role": role,
    });
    if let Some(phase) = fields.word("phase", PHASES)? {
        item["phase"] = json!(phase);
    }
    fields.end()?;
    Ok(item)
}

pub(super) fn content_part(part: &Value, path: &str, assistant: bool) -> Result<Value> {
    let mut fields = Fields::new(part, path)?;
    let type_path = fields.path("type");
    let kind = fields.string("type")?.ok_or_else(|| missing(&type_path))?;
    let kinds: &[&str] = if assistant {
        &["output_text", "refusal"]
    } else {
        &["input_text", "input_image", "input_file"]
    };
    let mut out = Map::new();
    out.insert("type".into(), json!(kind));
    let mut copy = |fields: &mut Fields<'_>, name: &'static str| -> Result<bool> {
        let value = fields.string(name)?;
        if let Some(value) = value {
            out.insert(name.into(), json!(value));
        }
        Ok(value.is_some())
    };
    match kind {
        // Tolerated on either side: clients echo what they were given.
        "input_text" | "output_text" => {
            if !copy(&mut fields, "text")? {
                return Err(missing(&fields.path("text")));
            }
            if kind == "output_text" {
                for name in ["annotations", "logprobs"] {
                    let list = fields.array(name)?.cloned().unwrap_or_default();
                    out.insert(name.into(), Value::Array(list));
                }
            }
        }
        "refusal" => {
            if !copy(&mut fields, "refusal")? {
                return Err(missing(&fields.path("refusal")));
            }
        }
        "input_image" if !assistant => {
            let detail = fields.word("detail", &["auto", "low", "high", "original"])?;
            fields.refuse("file_id", "There are no files here; send 'image_url'.")?;
            if !copy(&mut fields, "image_url")? {
                return Err(missing(&fields.path("image_url")));
            }
            out.insert("detail".into(), json!(detail.unwrap_or("auto")));
        }
        "input_file" if !assistant => {
            // An id could only be one of the model server's account, which
            // every project shares.
            fields.refuse("file_id", "There are no files here; send 'file_data'.")?;
            let data = copy(&mut fields, "file_data")?;
            if !copy(&mut fields, "file_url")? && !data {
                return Err(missing(&fields.path("file_data")));
            }
            copy(&mut fields, "filename")?;
            copy(&mut fields, "detail")?;
        }
        other => return Err(bad_word(&type_path, other, kinds)),
    }
    if kind != "refusal"
        && let Some(point) = fields.prompt_cache_breakpoint()?
    {
        out.insert("prompt_cache_breakpoint".into(), point);
    }
    fields.end()?;
    Ok(Value::Object(out))
}
