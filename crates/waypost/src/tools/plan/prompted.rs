//! What goes into the prompt and into `response_format`: emulated tools, and
//! the structure of an answer.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Form, Planner, Prepared, choice::Mode};
use crate::{
    config::{Buffer, StructuredOutput},
    model::{Adapted, Answer},
    tools::{
        emulate::{self, Described},
        enforce::TextRule,
        schema::ForEngine,
    },
    upstream::dialect::FormatShape,
};

impl Planner<'_> {
    /// The tools in the prompt.
    pub(super) fn emulate(&self, prepared: &[Prepared], adapted: &mut Adapted) {
        let can = &self.upstream.capabilities;
        let may_answer = self.choice.mode != Mode::Required;
        // Only where it was asked for: a small model that may list calls does.
        let several = self.generation.parallel_tool_calls == Some(true);
        let allowed = || {
            let all = self.callables.iter().zip(prepared).enumerate();
            all.filter(|(at, _)| self.choice.allowed[*at])
        };
        let descriptions: Vec<Option<String>> = allowed()
            .map(|(_, (callable, _))| self.description(callable))
            .collect();
        let described: Vec<Described<'_>> = allowed()
            .zip(&descriptions)
            .map(|((at, (_, prepared)), description)| Described {
                name: &self.names[at],
                description: description.as_deref(),
                parameters: &prepared.parameters,
                untold: prepared.engine.as_ref().and_then(|e| e.untold.as_deref()),
            })
            .collect();
        let answer = self.structured.map(|format| match &format["schema"] {
            schema @ Value::Object(_) => self
                .tools
                .schemas
                .for_engine(schema, can.engine)
                .schema
                .clone(),
            _ => json!({"type": "object"}),
        });
        let mut preamble = emulate::prompt(&described, may_answer, several, answer.is_some());
        if let Some(schema) = self.structured.and_then(|format| format.get("schema")) {
            preamble.push_str("\n\nJSON Schema of an answer: ");
            preamble.push_str(&schema.to_string());
        }
        adapted.preamble = Some(preamble);
        let text = match self.structured_output() {
            StructuredOutput::JsonSchema if self.takes_replies() => {
                let schemas: Vec<Cow<'_, Value>> = allowed()
                    .map(|(_, (_, prepared))| self.part(prepared))
                    .collect();
                let tools: Vec<emulate::schema::Callee<'_>> = allowed()
                    .zip(&schemas)
                    .map(|((at, _), parameters)| emulate::schema::Callee {
                        name: &self.names[at],
                        parameters,
                    })
                    .collect();
                let answer = answer.unwrap_or_else(|| json!({"type": "string"}));
                let answer = may_answer.then_some(&answer);
                let schema = emulate::schema::reply(answer, &tools, several);
                json!({"type": "json_schema", "name": "reply", "schema": schema, "strict": true})
            }
            StructuredOutput::JsonObject => json!({"type": "json_object"}),
            StructuredOutput::JsonSchema | StructuredOutput::None => json!({"type": "text"}),
        };
        adapted.text = Some(json!({ "format": text }));
    }

    /// Whether the server takes the schema of a reply, which is a union.
    pub(super) fn takes_replies(&self) -> bool {
        let can = &self.upstream.capabilities;
        self.structured_output() == StructuredOutput::JsonSchema
            && can.format_shape != FormatShape::Value
    }

    /// The schema of a tool's arguments, as a part of a reply's.
    fn part<'p>(&self, prepared: &'p Prepared) -> Cow<'p, Value> {
        if prepared.parameters == strict_schema::empty_parameters() {
            // Said so, it holds for engines too that know no object without properties.
            return Cow::Owned(json!({"enum": [{}]}));
        }
        if self.form == Form::Narrow
            && let Some(narrow) = emulate::narrow::narrow(&prepared.parameters)
        {
            let engine = self
                .tools
                .schemas
                .for_engine(&narrow, self.upstream.capabilities.engine);
            return Cow::Owned(engine.schema.clone());
        }
        let engine = prepared.engine.as_ref();
        Cow::Borrowed(engine.map_or(&prepared.parameters, |engine| &engine.schema))
    }

    /// The structure of the answer as the server takes it, and the rule for it.
    pub(super) fn format(&self, adapted: &mut Adapted) -> Option<TextRule> {
        let format = self.structured?;
        let can = &self.upstream.capabilities;
        let schema = &format["schema"];
        let engine = schema
            .is_object()
            .then(|| self.tools.schemas.for_engine(schema, can.engine));
        let text = |takes| {
            let mut text = self.generation.text.clone().unwrap_or_else(|| json!({}));
            match (takes, &engine) {
                (StructuredOutput::JsonSchema, Some(engine)) => {
                    text["format"]["schema"] = engine.schema.clone();
                }
                (StructuredOutput::JsonSchema, None) => {}
                (StructuredOutput::JsonObject, _) => {
                    text["format"] = json!({"type": "json_object"});
                }
                (StructuredOutput::None, _) => text["format"] = json!({"type": "text"}),
            }
            text
        };
        let preamble = |takes, when| {
            if takes == StructuredOutput::JsonSchema {
                let untold = engine.as_ref()?.untold.as_ref()?;
                return Some(format!(
                    "The JSON of your reply also has to keep to:{untold}"
                ));
            }
            Some(if schema.is_object() {
                format!(
                    "{when} with JSON that matches this JSON Schema, and nothing else:\n{schema}"
                )
            } else {
                format!("{when} with one JSON object and nothing else.")
            })
        };
        let alone = self.takes_alone(engine.as_deref());
        let may_call = !adapted.tools.is_empty() && self.choice.mode != Mode::None;
        let takes = if may_call && !can.formats_beside_tools {
            adapted.answer = (alone != StructuredOutput::None).then(|| Answer {
                preamble: preamble(alone, "Reply"),
                text: text(alone),
            });
            StructuredOutput::None
        } else {
            alone
        };
        adapted.preamble = match self.choice.mode {
            // The model has to call: there is no answer to speak of.
            Mode::Required if may_call => None,
            _ if may_call => preamble(takes, "Call tools as you need them. When you answer, reply"),
            _ => preamble(takes, "Reply"),
        };
        adapted.text = Some(text(takes));
        self.text_rule(engine.as_deref(), takes)
    }

    /// What the server takes of the format where there are no tools.
    fn takes_alone(&self, engine: Option<&ForEngine>) -> StructuredOutput {
        let can = &self.upstream.capabilities;
        let has_properties = engine.is_some_and(|e| e.schema.get("properties").is_some());
        if can.format_shape == FormatShape::Value && !has_properties {
            return StructuredOutput::None;
        }
        self.structured_output()
    }

    /// A strict schema is a promise. Of any other format JSON is, and its schema
    /// is a wish. `sent`: what the server is told of it.
    pub(super) fn text_rule(
        &self,
        engine: Option<&ForEngine>,
        sent: StructuredOutput,
    ) -> Option<TextRule> {
        let format = self.structured?;
        let schema = Some(&format["schema"]).filter(|schema| schema.is_object());
        let strict = schema.filter(|_| format["strict"] == true);
        let told = match strict {
            Some(_) => {
                sent == StructuredOutput::JsonSchema
                    && engine.is_some_and(|engine| engine.enforces_all)
            }
            None => sent != StructuredOutput::None,
        };
        let vouched = self.upstream.capabilities.constrains_output && told;
        let schemas = &self.tools.schemas;
        Some(TextRule {
            name: format["name"].as_str().unwrap_or_default().to_owned(),
            compiled: match strict {
                Some(schema) => schemas.compiled(schema),
                None => schemas.compiled(&json!({"type": "object"})),
            },
            wish: schema
                .filter(|_| strict.is_none())
                .map(|schema| schemas.compiled(schema)),
            hold: self.tools.config.buffer == Buffer::Call && !vouched,
        })
    }
}
