//! What one turn asks of one model server, and what it holds the model to.
//!
//! Flow: the callable tools and the choice among them → tools and items in the
//! server's own words ([`ModelRequest`]) → the [`Rules`] for what comes back. A
//! generation without tools and without a structure of its answer needs none
//! of this and pays nothing for it.

pub mod choice;
pub mod items;
pub mod names;
mod native;
mod prepared;
mod prompted;

use std::{borrow::Cow, sync::Arc};

use serde_json::Value;

use self::{
    choice::{Choice, Mode},
    items::Takes,
    prepared::Prepared,
};
use super::{
    RunContext, Tools,
    callable::{Callable, Kind, callables},
    emulate::transcript,
    enforce::{Judge, Rules, Tool},
};
use crate::{
    config::{Buffer, StructuredOutput, UpstreamApi},
    model::{Adapted, Generation, ModelRequest},
    upstream::{Upstream, error::UpstreamError},
};

/// A turn, prepared.
pub struct Plan {
    pub ask: ModelRequest,
    pub rules: Rules,
    /// Tools are written as text.
    pub emulated: Option<Emulated>,
    /// The server is told no schemas; see [`loosened`].
    pub loosened: bool,
}

impl Plan {
    /// A turn that nothing is asked of but an answer.
    pub fn free(generation: &Arc<Generation>) -> Self {
        Self {
            ask: ModelRequest::plain(generation),
            rules: Rules::default(),
            emulated: None,
            loosened: false,
        }
    }

    /// Takes a forced call back, for a server that refuses one: it is asked for
    /// in words, and the check here holds the model to it. Whether there was one.
    pub fn unforce(&mut self) -> bool {
        let Some(adapted) = self.ask.adapted.as_deref() else {
            return false;
        };
        let Some(choice) = &adapted.tool_choice else {
            return false;
        };
        if choice == "auto" || choice == "none" || choice["type"] == "allowed_tools" {
            return false;
        }
        let mut adapted = adapted.clone();
        let word = if let Some(name) = choice["name"].as_str() {
            adapted.tools.retain(|tool| tool["name"] == name);
            format!("Reply with a call of the tool '{name}'.")
        } else {
            "Reply with a call of a tool.".to_owned()
        };
        adapted.preamble = Some(match adapted.preamble {
            Some(preamble) => format!("{preamble}\n\n{word}"),
            None => word,
        });
        // Left out it is `auto` everywhere.
        adapted.tool_choice = None;
        self.ask.adapted = Some(Arc::new(adapted));
        self.rules.hold_text = self.rules.must_call;
        true
    }
}

/// How tools are emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emulated {
    /// Words are allowed, not only calls.
    pub may_answer: bool,
}

/// Prepares a turn; `None` where the generation goes out as it is.
///
/// `continues`: the model is to go on with words that it said before. An
/// emulated turn then has no tools: it had chosen to answer.
pub async fn plan(
    context: &RunContext,
    generation: &Arc<Generation>,
    continues: bool,
) -> Result<Option<Plan>, UpstreamError> {
    plan_with(context, generation, continues, Form::Told).await
}

/// The same for a server whose engine cannot take the schemas: it is told none,
/// the model is told them in words, and the check here holds it to them.
pub async fn loosened(
    context: &RunContext,
    generation: &Arc<Generation>,
    continues: bool,
) -> Result<Option<Plan>, UpstreamError> {
    plan_with(context, generation, continues, Form::Loose).await
}

/// The form of an emulated reply, as narrow as it takes for a server that does
/// not enforce all of the schemas: for a model that broke them once.
pub async fn narrower(context: &RunContext, generation: &Arc<Generation>) -> Option<Value> {
    let plan = plan_with(context, generation, false, Form::Narrow).await;
    plan.ok()??.ask.adapted?.text.clone()
}

async fn plan_with(
    context: &RunContext,
    generation: &Arc<Generation>,
    continues: bool,
    form: Form,
) -> Result<Option<Plan>, UpstreamError> {
    let RunContext {
        tools, upstream, ..
    } = context;
    let takes = Takes {
        custom: upstream.capabilities.custom_tools,
        all: upstream.capabilities.responses_tools,
    };
    let format = generation.text.as_ref().map(|text| &text["format"]);
    let structured =
        format.filter(|format| format["type"] == "json_schema" || format["type"] == "json_object");
    let has_calls = || {
        let is_call = |item: &Value| item["type"] == "function_call";
        generation.items.iter().any(is_call)
    };
    let rewrites = items::need_rewriting(&generation.items, takes);
    if generation.tools.is_empty() && structured.is_none() && !rewrites && !has_calls() {
        return Ok(None);
    }
    let mut callables = callables(generation);
    let emulates = (!callables.is_empty() || rewrites || has_calls())
        && upstream.api == UpstreamApi::Chat
        && tools
            .support
            .must_emulate(&tools.upstreams, upstream, &generation.model)
            .await;
    if emulates && continues {
        callables.clear();
    }
    let planner = Planner {
        tools,
        upstream,
        generation,
        takes,
        choice: Choice::new(generation.tool_choice.as_ref(), &callables),
        names: names::all(callables.iter().map(|c| (c.namespace, c.name))),
        callables,
        structured,
        form,
    };
    if planner.callables.is_empty() && structured.is_none() && !rewrites && !emulates {
        return Ok(None);
    }
    planner.plan(emulates).await.map(Some)
}

struct Planner<'a> {
    tools: &'a Tools,
    upstream: &'a Upstream,
    generation: &'a Arc<Generation>,
    takes: Takes,
    callables: Vec<Callable<'a>>,
    choice: Choice,
    /// The callables' names at the server.
    names: Vec<String>,
    /// `text.format`, where it asks for a structure.
    structured: Option<&'a Value>,
    form: Form,
}

/// How schemas are put for the server's engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With all that the engine is known to take.
    Told,
    /// See [`narrower`].
    Narrow,
    /// See [`loosened`].
    Loose,
}

impl Planner<'_> {
    async fn plan(&self, emulates: bool) -> Result<Plan, UpstreamError> {
        let mut prepared = Vec::with_capacity(self.callables.len());
        for callable in &self.callables {
            prepared.push(self.prepare(callable, emulates).await?);
        }
        self.fit(&mut prepared);
        let mut adapted = Adapted {
            items: self.items(emulates),
            ..Adapted::default()
        };
        let text = if emulates && self.choice.allows_any() {
            self.emulate(&prepared, &mut adapted);
            self.text_rule(None, StructuredOutput::None)
        } else {
            if !emulates {
                self.native_tools(&prepared, &mut adapted);
            }
            self.format(&mut adapted)
        };
        let can = &self.upstream.capabilities;
        let loosened = self.form == Form::Loose;
        let must_call = self.choice.mode == Mode::Required && self.choice.allows_any();
        let obeys_choice = emulates
            || match self.choice.named {
                Some(_) => can.choices.named || can.choices.required,
                None => can.choices.required,
            };
        let constrains = if emulates {
            can.constrains_output && self.takes_replies()
        } else {
            can.constrains_tools && !loosened
        };
        let rules = Rules {
            tools: self
                .callables
                .iter()
                .zip(prepared)
                .enumerate()
                .map(|(at, (callable, prepared))| {
                    self.tool(at, callable, prepared, constrains, emulates)
                })
                .collect(),
            must_call,
            one_call: self.generation.parallel_tool_calls == Some(false),
            hold_text: must_call && !(obeys_choice && constrains),
            text,
        };
        rules.warm(&self.tools.blocking).await;
        let replies = (emulates && self.choice.allows_any()).then_some(Emulated {
            may_answer: !must_call,
        });
        Ok(Plan {
            ask: ModelRequest {
                generation: self.generation.clone(),
                adapted: Some(Arc::new(adapted)),
                appended: Vec::new(),
            },
            rules,
            emulated: replies,
            loosened,
        })
    }

    /// What the server makes of the structure of an answer.
    fn structured_output(&self) -> StructuredOutput {
        match self.upstream.capabilities.structured_output {
            StructuredOutput::JsonSchema if self.form == Form::Loose => {
                StructuredOutput::JsonObject
            }
            known => known,
        }
    }

    /// The tool as it is held to the rules.
    fn tool(
        &self,
        at: usize,
        callable: &Callable<'_>,
        prepared: Prepared,
        constrains: bool,
        emulates: bool,
    ) -> Tool {
        let native_custom = callable.kind == Kind::Custom && self.takes.custom && !emulates;
        let strict = match callable.kind {
            Kind::Custom | Kind::Client(_) => true,
            Kind::Search => !callable.tool["parameters"].is_object(),
            Kind::Function => callable.tool["strict"] == true,
        };
        let restore = self
            .generation
            .restores
            .get(&callable.label())
            .cloned()
            .unwrap_or_default();
        let accepted = match callable.kind {
            Kind::Client(client) => Some(client.accepted()),
            _ => None,
        };
        let own = self.generation.own_schemas.get(&callable.label());
        let own = accepted.as_ref().or(own);
        let constrains = constrains && !prepared.loose;
        let vouched = match callable.kind {
            // Its own engine, its own grammar: its input comes as it is written.
            Kind::Custom if native_custom => true,
            Kind::Custom => {
                let enforces = prepared.engine.as_ref().is_some_and(|e| e.enforces_all);
                constrains && enforces && prepared.grammar.is_none()
            }
            // A server that constrains strict tools is one that writes the
            // others well enough, and they are passed on in any case.
            Kind::Function | Kind::Search | Kind::Client(_) => {
                let enforces = prepared.engine.as_ref().is_some_and(|e| e.enforces_all);
                constrains && (enforces || !strict)
            }
        };
        let buffers = self.tools.config.buffer == Buffer::Call;
        let wire = if self.takes.all {
            (
                callable.namespace.map(str::to_owned),
                callable.name.to_owned(),
            )
        } else {
            (None, self.names[at].clone())
        };
        Tool {
            kind: callable.kind,
            namespace: callable.namespace.map(str::to_owned),
            name: callable.name.to_owned(),
            under_its_name: callable.is_under_its_name(),
            wire,
            allowed: self.choice.allowed[at],
            strict,
            // An item of a fixed form is announced when all of it is known.
            hold: buffers && !vouched
                || !restore.is_empty()
                || matches!(callable.kind, Kind::Search | Kind::Client(_)),
            judge: match callable.kind {
                Kind::Custom if native_custom => Judge::Input(prepared.grammar),
                Kind::Custom => Judge::Wrapped(prepared.grammar),
                Kind::Function | Kind::Search | Kind::Client(_) => {
                    Judge::Arguments(self.tools.schemas.compiled(&prepared.parameters))
                }
            },
            own: own
                .filter(|_| strict)
                .map(|own| self.tools.schemas.compiled(own)),
            restore,
            searches_here: callable.kind == Kind::Search && callable.tool["execution"] != "client",
        }
    }

    /// The context as the server takes it; `None` for as it is.
    fn items(&self, emulates: bool) -> Option<Vec<Value>> {
        let items = &self.generation.items;
        let rewrites = items::need_rewriting(items, self.takes);
        if !rewrites && !emulates {
            return None;
        }
        let name = |namespace: Option<&str>, name: &str| {
            let at = |namespace: Option<&str>| {
                let mut callables = self.callables.iter();
                callables.position(|c| c.namespace == namespace && c.name == name)
            };
            let mut known = at(namespace);
            if known.is_none() && namespace == Some(name) {
                // A deferred function came back under its own name.
                known = at(None).filter(|at| self.callables[*at].is_under_its_name());
            }
            known.map_or_else(|| names::flat(namespace, name), |at| self.names[at].clone())
        };
        let rewritten = items::rewrite(items, self.takes, &name);
        Some(if emulates {
            transcript::rewrite(rewritten.iter().map(|item| &**item))
        } else {
            rewritten.into_iter().map(Cow::into_owned).collect()
        })
    }
}
