//! Tools in the request's `tools`.

use serde_json::{Map, Value, json};

use super::{Planner, Prepared, choice::Mode};
use crate::{
    model::Adapted,
    tools::{
        callable::{Callable, Kind},
        custom::{self, Syntax},
    },
    upstream::dialect::StrictFlag,
};

impl Planner<'_> {
    /// The tools in the request's `tools`.
    pub(super) fn native_tools(&self, prepared: &[Prepared], adapted: &mut Adapted) {
        let can = &self.upstream.capabilities;
        if self.takes.all {
            adapted.tools = self.generation.tools.iter().map(without_nulls).collect();
            adapted.tool_choice.clone_from(&self.generation.tool_choice);
            adapted.parallel_tool_calls = self.generation.parallel_tool_calls;
            return;
        }
        let names_one = self.choice.named.is_some() && can.choices.named;
        let hides_others = match self.choice.mode {
            // Not sending them is what every server understands.
            Mode::None => !can.choices.none,
            Mode::Auto | Mode::Required => !names_one,
        };
        for (at, (callable, prepared)) in self.callables.iter().zip(prepared).enumerate() {
            if !hides_others || self.choice.allowed[at] {
                adapted.tools.push(self.native_tool(at, callable, prepared));
            }
        }
        if adapted.tools.is_empty() {
            return;
        }
        adapted.tool_choice = Some(match (self.choice.mode, self.choice.named) {
            (Mode::None, _) => json!("none"),
            (Mode::Auto, _) => json!("auto"),
            (Mode::Required, Some(at)) if names_one => {
                let custom = self.takes.custom && self.callables[at].kind == Kind::Custom;
                let kind = if custom { "custom" } else { "function" };
                json!({"type": kind, "name": self.names[at]})
            }
            (Mode::Required, _) => json!("required"),
        });
        adapted.parallel_tool_calls = self.generation.parallel_tool_calls;
    }

    fn native_tool(&self, at: usize, callable: &Callable<'_>, prepared: &Prepared) -> Value {
        let tool = callable.tool;
        let mut out = Map::new();
        let mut description = self.description(callable);
        if callable.kind == Kind::Custom && self.takes.custom {
            out.insert("type".into(), json!("custom"));
            out.insert("name".into(), json!(self.names[at]));
            out.insert("description".into(), json!(description));
            out.insert("format".into(), tool["format"].clone());
            return Value::Object(out);
        }
        if prepared.loose && callable.kind != Kind::Custom {
            let own = description.map(|own| own + "\n").unwrap_or_default();
            let schema = &prepared.parameters;
            description = Some(format!(
                "{own}The arguments have to match this JSON Schema:\n{schema}"
            ));
        }
        if let Some(untold) = prepared.engine.as_ref().and_then(|e| e.untold.as_deref()) {
            let own = description.map(|own| own + "\n").unwrap_or_default();
            description = Some(format!("{own}The arguments also have to keep to:{untold}"));
        }
        out.insert("type".into(), json!("function"));
        out.insert("name".into(), json!(self.names[at]));
        out.insert("description".into(), json!(description));
        let parameters = prepared
            .engine
            .as_ref()
            .map_or(&prepared.parameters, |engine| &engine.schema);
        out.insert("parameters".into(), parameters.clone());
        let is_ours = matches!(callable.kind, Kind::Custom | Kind::Client(_));
        let strict = is_ours || tool["strict"] == true;
        // It says of a schema that nothing else is accepted: not of this one.
        let strict = strict && !prepared.loose;
        let says = match self.upstream.capabilities.strict_flag {
            StrictFlag::Always => true,
            StrictFlag::WhereTrue => strict,
            // A forced call is constrained there without it.
            StrictFlag::WhenItHelps => strict && self.choice.mode == Mode::Auto,
            StrictFlag::Never => false,
        };
        if says {
            out.insert("strict".into(), json!(strict));
        }
        Value::Object(out)
    }

    /// The description for the model: that of a custom tool says what its input
    /// has to be, where the server does not know custom tools.
    pub(super) fn description(&self, callable: &Callable<'_>) -> Option<String> {
        let own = match callable.kind {
            Kind::Client(client) => Some(client.description(callable.tool)),
            _ => callable.tool["description"].as_str().map(str::to_owned),
        };
        let own = own.or_else(|| {
            (callable.kind == Kind::Search).then(|| {
                "Searches for further tools. What it finds can be called afterwards.".to_owned()
            })
        });
        let own = match (own, callable.about) {
            (Some(own), Some(about)) => Some(format!("{own}\n\n{about}")),
            (own, about) => own.or(about.map(str::to_owned)),
        };
        if callable.kind != Kind::Custom || self.takes.custom {
            return own;
        }
        let Some((syntax, definition)) = custom::grammar_of(callable.tool) else {
            return own;
        };
        let rule = match syntax {
            Syntax::Regex => "The input has to match this regular expression, whole",
            Syntax::Lark => "The input has to be derived from this Lark grammar",
        };
        let own = own.map(|own| own + "\n").unwrap_or_default();
        Some(format!("{own}{rule}:\n{definition}"))
    }
}

/// A tool as it is echoed has fields that say nothing, and that servers which
/// do not know them may refuse.
fn without_nulls(tool: &Value) -> Value {
    let mut tool = tool.clone();
    if let Some(fields) = tool.as_object_mut() {
        fields.retain(|name, value| !value.is_null() || name == "parameters");
        if let Some(Value::Array(inner)) = fields.get_mut("tools") {
            for tool in inner {
                *tool = without_nulls(tool);
            }
        }
    }
    tool
}
