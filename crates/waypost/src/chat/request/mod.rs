//! The body of a Chat Completions request: checked, and put in the form in
//! which this server asks model servers.
//!
//! Two steps, because most requests with tools take only the first: [`check`]
//! says what OpenAI would refuse; [`Checked::into_request`] reads the rest,
//! for a request that runs here. The second refuses what it cannot honour; the
//! first lets pass what it does not know, for that is between the client and
//! its model server.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    chat::Chat,
    chat::spelling,
    config::{HostedTools, UpstreamApi},
    http::{
        error::ApiError,
        fields::{Fields, unknown},
    },
    model::Generation,
    tools::{
        declare::{self, Declarer, Grammar},
        prepare::{Preparer, is_large},
    },
};

mod choice;
mod format;
mod messages;
mod replay;
mod sampling;
mod tools;

use choice::Choice;
use format::Format;
pub use sampling::meant;
use tools::Tools;

type Result<T, E = ApiError> = std::result::Result<T, E>;

/// A request whose tools, format and calls are in order.
pub struct Checked {
    tools: Tools,
    choice: Choice,
    format: Format,
}

/// A request that runs here.
pub struct ChatRequest {
    pub generation: Generation,
    pub stream: bool,
    /// The last chunk is to have the token counts.
    pub include_usage: bool,
    /// It came with `functions`: calls are answered in that form.
    pub legacy: bool,
}

/// Checks tools, output format and the calls of earlier turns; elsewhere if
/// that takes long.
pub async fn check(body: Value, chat: &Chat) -> Result<(Value, Checked)> {
    let (body, (checked, grammars)) = if is_large(&body) {
        let tools = Arc::clone(&chat.runs.tools);
        let work = move || read(&body, &tools.preparer).map(|read| (body, read));
        chat.runs
            .tools
            .blocking
            .run(work)
            .await
            .map_err(ApiError::internal)??
    } else {
        let read = read(&body, &chat.runs.tools.preparer)?;
        (body, read)
    };
    declare::custom::check(&grammars, &chat.runs.tools.grammars).await?;
    Ok((body, checked))
}

/// All but the grammars, which are compiled afterwards.
fn read(body: &Value, preparer: &Preparer) -> Result<(Checked, Vec<Grammar>)> {
    let mut fields = Fields::new(body, "")?;
    let mut declarer = Declarer::new(preparer, HostedTools::Refuse);
    let tools = tools::read(&mut fields, &mut declarer)?;
    let choice = choice::read(&mut fields, &tools)?;
    let format = format::read(&mut fields, preparer)?;
    if let Some(Value::Array(messages)) = fields.value("messages") {
        replay::check(messages)?;
        if format.is_json_object() {
            format::must_ask_for_json(messages)?;
        }
    }
    let checked = Checked {
        tools,
        choice,
        format,
    };
    Ok((checked, declarer.grammars))
}

impl Checked {
    /// Whether this server has to see to something that model servers may
    /// leave out.
    pub fn must_be_enforced(&self) -> bool {
        self.tools.must_be_enforced || self.choice.is_allowed_tools() || self.format.is_strict()
    }

    /// Whether there are tools that a model may call.
    pub fn has_tools(&self) -> bool {
        !self.tools.list.is_empty()
    }

    /// The whole request, for a model server of that kind.
    pub fn into_request(self, body: &Value, api: UpstreamApi) -> Result<ChatRequest> {
        let found = self.tools.unknown.or(self.choice.unknown);
        if let Some(path) = found.or_else(|| self.format.unknown.clone()) {
            return Err(unknown(&path));
        }
        let mut fields = Fields::new(body, "")?;
        let messages = messages::read(&mut fields, api)?;
        let rest = sampling::read(&mut fields, body, api)?;
        let mut extra = rest.extra;
        let mut text = self.format.into_text(api, &mut extra)?;
        if let Some(verbosity) = rest.verbosity {
            text.get_or_insert_default()
                .insert("verbosity".into(), verbosity);
        }
        let has_tools = !self.tools.list.is_empty();
        let generation = Generation {
            model: fields.required_string("model")?.to_owned(),
            items: messages,
            tool_choice: self.choice.value.filter(|_| has_tools),
            parallel_tool_calls: if self.tools.legacy {
                // The old form has room for one call.
                Some(false)
            } else {
                rest.parallel_tool_calls.filter(|_| has_tools)
            },
            tools: self.tools.list,
            temperature: rest.temperature,
            top_p: rest.top_p,
            top_logprobs: rest.top_logprobs,
            max_output_tokens: rest.max_output_tokens,
            text: text.map(Value::Object),
            reasoning: rest.reasoning,
            hints: rest.hints,
            extra,
            ..Generation::default()
        };
        Ok(ChatRequest {
            generation,
            stream: rest.stream,
            include_usage: rest.include_usage,
            legacy: self.tools.legacy,
        })
    }
}

/// The first key of an object that is none of those known. One that is known
/// but for its case is refused at once, even where the request is passed on.
fn unknown_key(value: &Value, path: &str, known: &[&str]) -> Result<Option<String>> {
    let within = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    let mut first = None;
    for key in value
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::keys)
    {
        if known.contains(&key.as_str()) {
            continue;
        }
        if let Some(meant) = spelling::meant(key, known) {
            return Err(spelling::refusal(&within(key), meant));
        }
        if first.is_none() {
            first = Some(within(key));
        }
    }
    Ok(first)
}
