//! A stand-in for an engine with constrained decoding.
//!
//! It reads the request's tools, `tool_choice` and format, decides what to answer and makes
//! minimal valid instances of their schemas, less what the script ignores or breaks. A format that
//! a trailing assistant message began is generated whole all the same: real engines apply a
//! grammar to new tokens only.

mod breaks;
mod instance;
mod pattern;
mod refuse;
mod wanted;

use serde_json::Value;

use super::kinds::{Break, BreakWhen, Generate};
use super::plan::{CallKind, Part, Plan, Planned};
use super::script::Script;
use instance::Maker;
pub(super) use refuse::{Refused, refuse};
use wanted::{Choice, Format, Tool, Wanted};

/// Input of a custom tool that takes any text.
const ANY_INPUT: &str = "free text";

/// What the engine answers to this request.
pub(super) fn answer(script: &Script, body: &[u8], may_call: bool) -> Result<Plan, Refused> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Refused::plain(&format!("could not read the request: {error}")))?;
    let wanted = Wanted::read(&body, script);
    let called = called(script, &wanted, may_call);
    let made = if called.is_empty() {
        text(script, &wanted)
    } else {
        calls(script, &wanted, &called)
    };
    made.map_err(|message| Refused::plain(&message))
}

/// The tools to call, in order; empty if the answer is text.
fn called<'a>(script: &Script, wanted: &'a Wanted, may_call: bool) -> Vec<&'a Tool> {
    let choice = &wanted.choice;
    let forced = choice.is_forced();
    let open = script.generate == Generate::Calls && may_call && !matches!(choice, Choice::None);
    if !(forced || open) {
        return Vec::new();
    }
    let callable: Vec<&Tool> = wanted
        .tools
        .iter()
        .filter(|tool| choice.allows(&tool.name))
        .collect();
    let named: Vec<&Tool> = script
        .names()
        .filter_map(|name| callable.iter().find(|tool| tool.name == name).copied())
        .collect();
    // A forced name that the script does not think of is called all the same.
    let tools = if named.is_empty() { callable } else { named };
    let mut count = script.tools.max(1);
    if !wanted.parallel {
        count = 1;
    }
    tools
        .iter()
        .cycle()
        .take(if tools.is_empty() { 0 } else { count })
        .copied()
        .collect()
}

fn calls(script: &Script, wanted: &Wanted, called: &[&Tool]) -> Result<Plan, String> {
    let mut plan = Plan::default();
    for tool in called {
        let constrained = tool.strict || wanted.choice.is_forced();
        let struck = script.break_when == BreakWhen::Always || !constrained;
        let breaks: &[Break] = if struck { &script.breaks } else { &[] };
        let arguments = match (scripted(script, tool), tool.kind) {
            (Some(arguments), _) => arguments,
            (None, CallKind::Function | CallKind::Search) => {
                json_text(script, &tool.parameters, breaks, &mut plan)?
            }
            (None, CallKind::Custom) => input(tool)?,
        };
        plan.parts.push(Part::Call(Planned {
            kind: tool.kind,
            name: tool.name.clone(),
            namespace: tool.namespace.clone(),
            arguments,
        }));
    }
    Ok(plan)
}

/// The answer that is no call: the format's instance, the script's texts, or numbered tokens.
fn text(script: &Script, wanted: &Wanted) -> Result<Plan, String> {
    let mut plan = Plan::default();
    let said: Vec<Part> = script
        .steps
        .iter()
        .map(Part::from)
        .filter(|part| matches!(part, Part::Say(_)))
        .collect();
    let text = match &wanted.format {
        Some(Format::Schema(schema)) => json_text(script, schema, &script.breaks, &mut plan)?,
        Some(Format::OneOf(choices)) => choices.first().cloned().unwrap_or_default(),
        Some(Format::Regex(regex)) => pattern::example(regex, 0)?,
        Some(Format::Grammar) if said.is_empty() => {
            return Err("the script has no `say` for the request's grammar".to_owned());
        }
        Some(Format::Grammar) | None => {
            plan.parts = said;
            return Ok(plan);
        }
    };
    plan.parts.push(Part::Say(text));
    Ok(plan)
}

fn json_text(
    script: &Script,
    schema: &Value,
    breaks: &[Break],
    plan: &mut Plan,
) -> Result<String, String> {
    let wrong_enum = breaks.contains(&Break::WrongEnum);
    let mut maker = Maker::new(schema, script.branch, script.optional, wrong_enum);
    let value = maker.make()?;
    if wrong_enum && !maker.has_broken_an_enum() {
        return Err(breaks::nothing(Break::WrongEnum));
    }
    plan.truncated |= breaks.contains(&Break::Truncated);
    breaks::write(value, breaks, script.pretty)
}

/// Input of a custom tool, as its format asks for it.
fn input(tool: &Tool) -> Result<String, String> {
    match &tool.format {
        None => Ok(ANY_INPUT.to_owned()),
        Some(Format::Regex(regex)) => pattern::example(regex, 0),
        Some(_) => Err(format!(
            "the script has no `custom` for the grammar of `{}`",
            tool.name
        )),
    }
}

/// What the script's own call of this tool says, if it has one.
fn scripted(script: &Script, tool: &Tool) -> Option<String> {
    script
        .steps
        .iter()
        .map(Part::from)
        .find_map(|part| match part {
            Part::Call(call)
                if call.name == tool.name
                    && (call.kind == CallKind::Custom) == (tool.kind == CallKind::Custom) =>
            {
                Some(call.arguments)
            }
            _ => None,
        })
}

#[cfg(test)]
mod instance_tests;
#[cfg(test)]
mod tests;
