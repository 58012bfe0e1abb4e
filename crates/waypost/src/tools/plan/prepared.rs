//! A tool's schemas as a server's engine takes them, and all of them together.

use std::sync::Arc;

use serde_json::{Value, json};
use strict_schema::Dialect;

use super::{Form, Planner};
use crate::{
    tools::{
        callable::{Callable, Kind},
        custom::{self, Grammar, Syntax, unwrap},
        schema::{ForEngine, Schemas},
        search,
    },
    upstream::error::UpstreamError,
};

/// A tool as the server is told of it.
pub(super) struct Prepared {
    pub(super) grammar: Option<Arc<Grammar>>,
    /// The arguments' schema for the client, and for the engine.
    pub(super) parameters: Value,
    pub(super) engine: Option<Arc<ForEngine>>,
    /// The engine is told nothing of the parameters.
    pub(super) loose: bool,
}

impl Planner<'_> {
    pub(super) async fn prepare(
        &self,
        callable: &Callable<'_>,
        emulates: bool,
    ) -> Result<Prepared, UpstreamError> {
        let can = &self.upstream.capabilities;
        let engine = if emulates {
            can.engine
        } else {
            can.tool_engine
        };
        let mut prepared = self.prepare_whole(callable, engine).await?;
        if self.form == Form::Loose {
            prepared.loosen(callable.kind, engine, &self.tools.schemas);
        }
        Ok(prepared)
    }

    async fn prepare_whole(
        &self,
        callable: &Callable<'_>,
        engine: &'static str,
    ) -> Result<Prepared, UpstreamError> {
        let (tool, schemas) = (callable.tool, &self.tools.schemas);
        match callable.kind {
            Kind::Custom => {
                let definition = custom::grammar_of(tool);
                let grammar = match definition {
                    Some((syntax, definition)) => {
                        let compiled = self.tools.grammars.compiled(syntax, definition).await;
                        Some(compiled.map_err(|message| UpstreamError::Unsupported {
                            message,
                            param: "tools".to_owned(),
                        })?)
                    }
                    None => None,
                };
                let pattern = definition
                    .filter(|(syntax, pattern)| *syntax == Syntax::Regex && is_plain(pattern))
                    .map(|(_, pattern)| format!("^(?:{pattern})$"));
                let parameters = unwrap::schema(&input_description(tool), pattern.as_deref());
                Ok(Prepared {
                    engine: Some(schemas.for_engine(&parameters, engine)),
                    parameters,
                    grammar,
                    loose: false,
                })
            }
            Kind::Client(client) => {
                let parameters = client.parameters();
                Ok(Prepared {
                    engine: Some(schemas.for_engine(&parameters, engine)),
                    parameters,
                    grammar: None,
                    loose: false,
                })
            }
            Kind::Function | Kind::Search => {
                let parameters = match &tool["parameters"] {
                    Value::Object(object) => Value::Object(object.clone()),
                    _ if callable.kind == Kind::Search => search::parameters(),
                    _ => strict_schema::empty_parameters(),
                };
                Ok(Prepared {
                    engine: Some(schemas.for_engine(&parameters, engine)),
                    parameters,
                    grammar: None,
                    loose: false,
                })
            }
        }
    }

    /// Loosens the largest tools where all schemas together are more than the
    /// engine takes.
    pub(super) fn fit(&self, prepared: &mut [Prepared]) {
        let (engine, schemas) = (self.upstream.capabilities.engine, &self.tools.schemas);
        let most = Dialect::named(engine).and_then(|dialect| dialect.max_schema_bytes);
        let Some(most) = most else { return };
        let size = |prepared: &Prepared| {
            let engine = prepared.engine.as_ref();
            engine.map_or(0, |engine| engine.schema.to_string().len())
        };
        let format = self.structured.map(|format| &format["schema"]);
        let format = format.filter(|schema| schema.is_object());
        let mut sizes: Vec<usize> = prepared.iter().map(size).collect();
        let mut total = sizes.iter().sum::<usize>()
            + format.map_or(0, |schema| {
                schemas.for_engine(schema, engine).schema.to_string().len()
            });
        while total > most {
            let largest = (0..sizes.len())
                .filter(|at| prepared[*at].can_be_loosened())
                .max_by_key(|at| sizes[*at]);
            let Some(at) = largest else { return };
            prepared[at].loosen(self.callables[at].kind, engine, schemas);
            let now = size(&prepared[at]);
            total = total - sizes[at] + now;
            sizes[at] = now;
            tracing::debug!(
                upstream = %self.upstream.name,
                tool = self.callables[at].name,
                "the schemas of a request are more than the model server's engine takes; \
                 it is not told this one"
            );
        }
    }
}

impl Prepared {
    /// Tells the engine no more than what kind of arguments there are.
    fn loosen(&mut self, kind: Kind, engine: &'static str, schemas: &Schemas) {
        if !self.can_be_loosened() {
            return;
        }
        let shape = match kind {
            Kind::Custom => unwrap::schema("", None),
            Kind::Function | Kind::Search | Kind::Client(_) => json!({"type": "object"}),
        };
        self.engine = Some(Arc::new(ForEngine {
            schema: schemas.for_engine(&shape, engine).schema.clone(),
            enforces_all: false,
            untold: None,
        }));
        self.loose = true;
    }

    fn can_be_loosened(&self) -> bool {
        !self.loose && self.parameters != strict_schema::empty_parameters()
    }
}

/// What a function's only argument is, for the model.
fn input_description(tool: &Value) -> String {
    match custom::grammar_of(tool) {
        Some(_) => "The tool's input, in the form that the tool's description gives.".to_owned(),
        None => "The tool's input, as plain text.".to_owned(),
    }
}

/// Whether a regular expression means the same to every engine.
fn is_plain(pattern: &str) -> bool {
    !pattern.contains("(?") && !pattern.contains('\\') && pattern.is_ascii()
}
