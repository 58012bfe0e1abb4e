//! What a script needs to know of a request, in either dialect.
//!
//! Everything else in the body is only recorded. Unknown fields are fine here: a model server
//! that judged requests would hide what the server under test sends.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A request, boiled down.
#[derive(Debug, Default)]
pub(super) struct Ask {
    pub(super) model: String,
    pub(super) stream: bool,
    /// `max_tokens`, `max_completion_tokens` or `max_output_tokens`.
    pub(super) max_tokens: Option<usize>,
    pub(super) include_usage: bool,
    /// Text of the last message, if it is the assistant's.
    pub(super) prefix: Option<String>,
    /// vLLM's pair of flags that ask to go on with the last message.
    pub(super) continues: bool,
    /// Rounds of tool results since the last user message.
    pub(super) tool_rounds: usize,
    /// Names of the request's function tools.
    pub(super) tool_names: Vec<String>,
    /// The request's `tools`, to be echoed by the responses dialect.
    pub(super) tools: Option<Box<RawValue>>,
}

pub(super) fn chat(body: &[u8]) -> Result<Ask, String> {
    let request: Chat<'_> = parse(body)?;
    let last = request.messages.last();
    let prefix = last
        .filter(|message| message.role == "assistant")
        .map(|message| message.content.map(text_of).unwrap_or_default());
    let results = request
        .messages
        .iter()
        .rev()
        .take_while(|message| message.role != "user");
    Ok(Ask {
        model: request.model.into_owned(),
        stream: request.stream.unwrap_or(false),
        max_tokens: request.max_completion_tokens.or(request.max_tokens),
        include_usage: request
            .stream_options
            .is_some_and(|o| o.include_usage.unwrap_or(false)),
        prefix,
        continues: request.continue_final_message == Some(true)
            && request.add_generation_prompt == Some(false),
        tool_rounds: runs(results.map(|message| message.role == "tool")),
        tool_names: tool_names(request.tools),
        tools: None,
    })
}

pub(super) fn responses(body: &[u8]) -> Result<Ask, String> {
    let request: Responses<'_> = parse(body)?;
    let items: Vec<Item<'_>> = match request.input {
        Some(input) if input.get().starts_with('[') => parse(input.get().as_bytes())?,
        _ => Vec::new(),
    };
    let results = items
        .iter()
        .rev()
        .take_while(|item| item.role.as_deref() != Some("user"));
    Ok(Ask {
        model: request.model.into_owned(),
        stream: request.stream.unwrap_or(false),
        max_tokens: request.max_output_tokens,
        tool_rounds: runs(results.map(|item| item.kind.as_deref() == Some("function_call_output"))),
        tool_names: tool_names(request.tools),
        tools: request.tools.map(ToOwned::to_owned),
        ..Ask::default()
    })
}

#[derive(Deserialize)]
struct Chat<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    continue_final_message: Option<bool>,
    add_generation_prompt: Option<bool>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Responses<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    stream: Option<bool>,
    max_output_tokens: Option<usize>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("could not read the request: {error}"))
}

/// Groups of consecutive `true`: parallel results are one round.
fn runs(results: impl Iterator<Item = bool>) -> usize {
    let mut previous = false;
    let mut runs = 0;
    for result in results {
        runs += usize::from(result && !previous);
        previous = result;
    }
    runs
}

/// `content` is a string, `null`, or a list of parts.
fn text_of(content: &RawValue) -> String {
    match serde_json::from_str(content.get()) {
        Ok(Value::String(text)) => text,
        Ok(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part.get("text")?.as_str())
            .collect(),
        _ => String::new(),
    }
}

/// Both nestings: chat's `{function: {name}}` and the flat one of responses.
fn tool_names(tools: Option<&RawValue>) -> Vec<String> {
    let Some(Ok(Value::Array(tools))) = tools.map(|tools| serde_json::from_str(tools.get())) else {
        return Vec::new();
    };
    let functions = tools.iter().filter(|tool| tool["type"] == "function");
    functions
        .filter_map(|tool| {
            tool.pointer("/function/name")
                .or(tool.get("name"))?
                .as_str()
        })
        .map(ToOwned::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tool_rounds_count_since_the_last_user_message() {
        let ask = chat(
            br#"{"model":"m","messages":[
                {"role":"user","content":"a"},{"role":"assistant","content":null},
                {"role":"tool","content":"1"},{"role":"user","content":"b"},
                {"role":"assistant"},{"role":"tool","content":"1"},{"role":"tool","content":"2"},
                {"role":"assistant"},{"role":"tool","content":"3"}]}"#,
        )
        .unwrap();
        assert_eq!((ask.tool_rounds, ask.prefix), (2, None));
    }

    #[test]
    fn the_prefix_is_the_last_assistant_message_in_either_form() {
        for content in [
            r#""0 1""#,
            r#"[{"type":"text","text":"0 "},{"type":"text","text":"1"}]"#,
        ] {
            let body = format!(
                r#"{{"model":"m","messages":[{{"role":"assistant","content":{content}}}]}}"#
            );
            assert_eq!(
                chat(body.as_bytes()).unwrap().prefix.as_deref(),
                Some("0 1")
            );
        }
    }

    #[test]
    fn both_nestings_of_function_tools_are_read() {
        let nested =
            br#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"a"}}]}"#;
        let flat = br#"{"model":"m","input":"x","tools":[{"type":"function","name":"a"}]}"#;
        assert_eq!(chat(nested).unwrap().tool_names, ["a"]);
        assert_eq!(responses(flat).unwrap().tool_names, ["a"]);
    }
}
