//! What a request asks an engine for, in either dialect and in the words of several servers.

use serde_json::{Value, json};

use super::super::kinds::Ignored;
use super::super::plan::CallKind;
use super::super::script::Script;

#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) tools: Vec<Tool>,
    pub(super) choice: Choice,
    /// Several calls in one answer are fine.
    pub(super) parallel: bool,
    pub(super) format: Option<Format>,
}

#[derive(Debug)]
pub(super) struct Tool {
    pub(super) kind: CallKind,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) parameters: Value,
    /// A custom tool's; `None` for any text.
    pub(super) format: Option<Format>,
    pub(super) strict: bool,
    /// Waits for a search.
    deferred: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    None,
    Auto,
    Required,
    Named(String),
    Allowed { names: Vec<String>, required: bool },
}

#[derive(Debug, PartialEq)]
pub(super) enum Format {
    Schema(Value),
    OneOf(Vec<String>),
    Regex(String),
    /// GBNF, EBNF, Lark, structural tags.
    Grammar,
}

impl Wanted {
    pub(super) fn read(body: &Value, script: &Script) -> Self {
        let ignores = |part| script.ignores(part);
        Self {
            tools: if ignores(Ignored::Tools) {
                Vec::new()
            } else {
                callable(body)
            },
            choice: if ignores(Ignored::ToolChoice) {
                Choice::Auto
            } else {
                Choice::read(&body["tool_choice"])
            },
            parallel: ignores(Ignored::ParallelToolCalls) || body["parallel_tool_calls"] != false,
            format: format(body).filter(|_| !ignores(Ignored::Format)),
        }
    }
}

impl Choice {
    fn read(choice: &Value) -> Self {
        if let Some(word) = choice.as_str() {
            return match word {
                "none" => Self::None,
                "required" => Self::Required,
                _ => Self::Auto,
            };
        }
        if choice["type"] == "allowed_tools" {
            let allowed = choice.get("allowed_tools").unwrap_or(choice);
            let tools = allowed["tools"].as_array().into_iter().flatten();
            return Self::Allowed {
                names: tools.filter_map(name).collect(),
                required: allowed["mode"] == "required",
            };
        }
        name(choice).map_or(Self::Auto, Self::Named)
    }

    /// The answer must be a call.
    pub(super) fn is_forced(&self) -> bool {
        match self {
            Self::None | Self::Auto => false,
            Self::Required | Self::Named(_) => true,
            Self::Allowed { required, .. } => *required,
        }
    }

    pub(super) fn allows(&self, tool: &str) -> bool {
        match self {
            Self::None => false,
            Self::Auto | Self::Required => true,
            Self::Named(name) => name == tool,
            Self::Allowed { names, .. } => names.iter().any(|name| name == tool),
        }
    }
}

/// The name in `{name}`, `{function: {name}}` or `{custom: {name}}`.
fn name(of: &Value) -> Option<String> {
    let name = of
        .pointer("/function/name")
        .or_else(|| of.pointer("/custom/name"))
        .or_else(|| of.get("name"));
    name?.as_str().map(ToOwned::to_owned)
}

/// The request's tools, less those that a search is to find, and those that one has found.
fn callable(body: &Value) -> Vec<Tool> {
    let mut callable = tools(&body["tools"], None);
    callable.retain(|tool| !tool.deferred);
    for item in body["input"].as_array().into_iter().flatten() {
        if matches!(
            item["type"].as_str(),
            Some("tool_search_output" | "additional_tools")
        ) {
            callable.extend(tools(&item["tools"], None));
        }
    }
    callable
}

fn tools(list: &Value, namespace: Option<&str>) -> Vec<Tool> {
    let mut tools = Vec::new();
    for tool in list.as_array().into_iter().flatten() {
        let Some(kind) = tool["type"].as_str() else {
            continue;
        };
        if kind == "namespace" {
            tools.extend(self::tools(&tool["tools"], tool["name"].as_str()));
            continue;
        }
        // Chat nests the definition below the type's name.
        let definition = tool.get(kind).unwrap_or(tool);
        let kind = match kind {
            "function" => CallKind::Function,
            "custom" => CallKind::Custom,
            "tool_search" if tool["execution"] == "client" => CallKind::Search,
            _ => continue,
        };
        let name = match kind {
            CallKind::Search => "tool_search".to_owned(),
            _ => name(tool).unwrap_or_default(),
        };
        let no_parameters = json!({"type": "object", "properties": {}});
        tools.push(Tool {
            kind,
            name,
            namespace: namespace.map(ToOwned::to_owned),
            parameters: match &definition["parameters"] {
                Value::Null => no_parameters,
                parameters => parameters.clone(),
            },
            format: custom_format(&definition["format"]),
            strict: definition["strict"] == true,
            deferred: definition["defer_loading"] == true,
        });
    }
    tools
}

fn custom_format(format: &Value) -> Option<Format> {
    if format["type"] != "grammar" {
        return None;
    }
    let grammar = format.get("grammar").unwrap_or(format);
    match grammar["definition"].as_str() {
        Some(regex) if grammar["syntax"] == "regex" => Some(Format::Regex(regex.to_owned())),
        _ => Some(Format::Grammar),
    }
}

/// The format of the answer's text, wherever the request says it.
fn format(body: &Value) -> Option<Format> {
    let any_object = || Format::Schema(json!({"type": "object"}));
    let of_type = |format: &Value| match format["type"].as_str() {
        Some("json_schema") => {
            // OpenAI's chat; its responses; TGI's.
            let schema = format
                .pointer("/json_schema/schema")
                .or(format.get("schema"));
            schema.or(format.get("value")).map(schema_of)
        }
        // llama.cpp takes a schema beside `json_object`, TGI a `value`.
        Some("json_object" | "json") => {
            let schema = format.get("schema").or(format.get("value"));
            Some(schema.map_or_else(any_object, schema_of))
        }
        Some("regex") => format["value"]
            .as_str()
            .map(|regex| Format::Regex(regex.to_owned())),
        Some("structural_tag") => Some(Format::Grammar),
        _ => None,
    };
    let structured = &body["structured_outputs"];
    [
        of_type(&body["response_format"]),
        of_type(&body["text"]["format"]),
        // vLLM's, and the names that it had before.
        structured
            .get("json")
            .or(body.get("guided_json"))
            .map(schema_of),
        structured
            .get("json_object")
            .filter(|on| **on == true)
            .map(|_| any_object()),
        structured
            .get("choice")
            .or(body.get("guided_choice"))
            .and_then(Value::as_array)
            .map(|choices| {
                let words = choices.iter().filter_map(Value::as_str);
                Format::OneOf(words.map(ToOwned::to_owned).collect())
            }),
        // vLLM's and SGLang's.
        structured
            .get("regex")
            .or(body.get("guided_regex"))
            .or(body.get("regex"))
            .and_then(Value::as_str)
            .map(|regex| Format::Regex(regex.to_owned())),
        structured
            .get("grammar")
            .or(structured.get("structural_tag"))
            .or(body.get("guided_grammar"))
            .or(body.get("ebnf"))
            .map(|_| Format::Grammar),
        // llama.cpp's and SGLang's.
        body.get("json_schema")
            .filter(|schema| !schema.is_null())
            .map(schema_of),
        // llama.cpp's is a string, TGI's an object.
        body.get("grammar").and_then(|grammar| match grammar {
            Value::String(_) => Some(Format::Grammar),
            other => of_type(other),
        }),
        // Ollama's.
        body.get("format").and_then(|format| match format {
            Value::String(word) if word == "json" => Some(any_object()),
            Value::Object(_) => Some(schema_of(format)),
            _ => None,
        }),
    ]
    .into_iter()
    .flatten()
    .next()
}

/// SGLang and vLLM take a schema as text too.
fn schema_of(schema: &Value) -> Format {
    let parsed = schema
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    Format::Schema(parsed.unwrap_or_else(|| schema.clone()))
}
