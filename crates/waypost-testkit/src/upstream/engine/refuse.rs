//! Refusals of what an engine cannot take, in the words of the servers that refuse it.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::super::kinds::RefuseStyle;
use super::super::script::Script;

/// A 400 and its body.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) body: Value,
}

impl Refused {
    /// In nobody's words: the script is at fault.
    pub(super) fn plain(message: &str) -> Self {
        Self {
            body: json!({"error": super::super::error_object(400, message)}),
        }
    }
}

/// Refuses the request if it has what the script does not take.
pub(crate) fn refuse(script: &Script, body: &[u8]) -> Result<(), Refused> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let style = script.refuse_style;
    for field in &script.refuse_fields {
        if body.get(field).is_some_and(|value| !value.is_null()) {
            return Err(of_field(
                style,
                field,
                body["model"].as_str().unwrap_or_default(),
            ));
        }
    }
    for (at, tool) in body["tools"].as_array().into_iter().flatten().enumerate() {
        let (definition, path) = match tool.get("function") {
            Some(function) => (function, format!("tools[{at}].function.parameters")),
            None => (tool, format!("tools[{at}].parameters")),
        };
        if let Some(word) = keyword(&definition["parameters"], &script.refuse_keywords) {
            let name = definition["name"].as_str().unwrap_or_default();
            let subject = format!("function '{name}'");
            return Err(of_keyword(
                style,
                word,
                &subject,
                &path,
                "invalid_function_parameters",
            ));
        }
    }
    let formats = [
        (
            "response_format",
            body.pointer("/response_format/json_schema/schema"),
        ),
        ("text.format.schema", body.pointer("/text/format/schema")),
        (
            "structured_outputs",
            body.pointer("/structured_outputs/json"),
        ),
        ("json_schema", body.get("json_schema")),
        ("format", body.get("format")),
    ];
    for (path, schema) in formats {
        let found = schema.and_then(|schema| keyword(schema, &script.refuse_keywords));
        if let Some(word) = found {
            let subject = "response_format";
            return Err(of_keyword(
                style,
                word,
                subject,
                path,
                "invalid_json_schema",
            ));
        }
    }
    Ok(())
}

/// The first of the keywords that a schema has, property names apart.
fn keyword<'a>(schema: &Value, words: &'a [String]) -> Option<&'a str> {
    let mut open = VecDeque::from([(schema, false)]);
    while let Some((value, names)) = open.pop_front() {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    if !names && let Some(word) = words.iter().find(|word| *word == key) {
                        return Some(word);
                    }
                    let literal = matches!(key.as_str(), "enum" | "const" | "default" | "examples");
                    if names || !literal {
                        let names = !names
                            && matches!(
                                key.as_str(),
                                "properties" | "$defs" | "definitions" | "patternProperties"
                            );
                        open.push_back((value, names));
                    }
                }
            }
            Value::Array(items) => open.extend(items.iter().map(|item| (item, false))),
            _ => {}
        }
    }
    None
}

fn of_keyword(style: RefuseStyle, word: &str, subject: &str, path: &str, code: &str) -> Refused {
    let body = match style {
        RefuseStyle::OpenAi => json!({"error": {
            "message": format!(
                "Invalid schema for {subject}: In context=(), '{word}' is not permitted."
            ),
            "type": "invalid_request_error", "param": path, "code": code}}),
        RefuseStyle::LlamaCpp => {
            llama_cpp("Failed to initialize samplers: failed to parse grammar")
        }
        RefuseStyle::Vllm => vllm(&format!(
            "The provided JSON schema contains features not supported by xgrammar: {word}."
        )),
        RefuseStyle::Sglang => sglang(&format!("Failed to compile the json_schema: {word}.")),
        RefuseStyle::Ollama => ollama("failed to load model vocabulary required for format"),
    };
    Refused { body }
}

fn of_field(style: RefuseStyle, field: &str, model: &str) -> Refused {
    let body = match (style, field) {
        (RefuseStyle::OpenAi, _) => json!({"error": {
            "message": format!("Unknown parameter: '{field}'."),
            "type": "invalid_request_error", "param": field, "code": "unknown_parameter"}}),
        (RefuseStyle::LlamaCpp, "tools") => llama_cpp("tools param requires --jinja flag"),
        (RefuseStyle::LlamaCpp, _) => llama_cpp(&format!("Unsupported param: {field}")),
        (RefuseStyle::Vllm, "tools" | "tool_choice") => vllm(
            "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set",
        ),
        (RefuseStyle::Vllm, _) => vllm(&format!("{field}: extra inputs are not permitted")),
        (RefuseStyle::Sglang, _) => sglang(&format!("{field} is not supported.")),
        (RefuseStyle::Ollama, "tools") => {
            let model = model.split('?').next().unwrap_or_default();
            ollama(&format!(
                "registry.ollama.ai/library/{model} does not support tools"
            ))
        }
        (RefuseStyle::Ollama, _) => ollama(&format!("invalid option: {field}")),
    };
    Refused { body }
}

fn llama_cpp(message: &str) -> Value {
    json!({"error": {"code": 400, "message": message, "type": "invalid_request_error"}})
}

fn vllm(message: &str) -> Value {
    json!({"error": {"message": message, "type": "BadRequestError", "param": null, "code": 400}})
}

fn sglang(message: &str) -> Value {
    json!({"object": "error", "message": message, "type": "BadRequestError", "param": null,
        "code": 400})
}

fn ollama(message: &str) -> Value {
    json!({"error": {"message": message, "type": "api_error", "param": null, "code": null}})
}
