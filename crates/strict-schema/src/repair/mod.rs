//! Repair of a finished argument text that a model spoilt in one of the usual ways.
//!
//! Flow: find the JSON values in the text (inside `<tool_call>` tags, code fences, prose), read
//! them tolerantly (`read`), convert values of the wrong kind where the schema leaves one way
//! (`coerce`), validate. The one rule: nothing is guessed. If two values in the text fit, if a
//! conversion could go two ways, or if something required is missing, there is no repair; and
//! what comes back always validates.

mod coerce;
mod read;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::coerce::Coercer;
use crate::Validator;

/// Longest text that is looked at.
pub const MAX_REPAIR_BYTES: usize = 1 << 20;
/// Values that are looked for in surrounding prose, and places where one could begin.
const MAX_VALUES: usize = 8;

/// Repairs `text` so that it validates against `schema`.
///
/// What is repaired: `<think>` blocks, `<tool_call>` tags, code fences and prose around one
/// value; trailing commas; strings, arrays and objects still open at the end; single quotes;
/// `True`, `False`, `None`; raw line breaks in strings; a number, boolean, null, array or object
/// inside a string, an integer where a string is wanted, and a single item where an array is
/// wanted. A text that is valid already comes back as it is. `None` if the result would not
/// validate, or if there is more than one result. Work is linear in the text for a given schema.
///
/// ```
/// use serde_json::json;
/// use strict_schema::repair;
///
/// let schema = json!({
///     "type": "object",
///     "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
///     "required": ["city", "days"],
///     "additionalProperties": false
/// });
/// let text = "Sure!\n```json\n{'city': 'Paris', 'days': '3',}\n```";
/// assert_eq!(repair(text, &schema).as_deref(), Some(r#"{"city":"Paris","days":3}"#));
/// assert_eq!(repair(r#"{"city": "Paris"}"#, &schema), None, "nothing is invented");
/// ```
pub fn repair(text: &str, schema: &Value) -> Option<String> {
    if text.len() > MAX_REPAIR_BYTES {
        return None;
    }
    let validator = Validator::new(schema).ok()?;
    // Strict reading and the tolerant one agree on JSON; duplicates are what serde would miss.
    if let Some(whole) = read::whole(text) {
        if !whole.touched && validator.is_valid(&whole.value) {
            return Some(text.to_owned());
        }
        let mut coercer = Coercer::new(schema, &validator)?;
        return coercer.fit(whole.value).map(|value| value.to_string());
    }
    let mut coercer = Coercer::new(schema, &validator)?;
    let body = without_thoughts(text.trim())?;
    let (body, called) = within_tags(body);
    let body = within_fence(body);
    let mut found: Option<String> = None;
    for value in values_in(body) {
        let Some(repaired) = unwrap_call(value, called, &mut coercer) else {
            continue;
        };
        let repaired = repaired.to_string();
        if found.as_ref().is_some_and(|found| *found != repaired) {
            return None;
        }
        found = Some(repaired);
    }
    found
}

/// The value itself or, inside `<tool_call>` tags, the arguments of a call object.
fn unwrap_call(value: Value, called: bool, coercer: &mut Coercer<'_>) -> Option<Value> {
    if called
        && let Value::Object(call) = &value
        && call.len() == 2
        && call.get("name").is_some_and(Value::is_string)
        && let Some(arguments) = call.get("arguments").or_else(|| call.get("parameters"))
    {
        let inner = coercer.fit(arguments.clone());
        return match (inner, coercer.fit(value)) {
            (Some(_), Some(_)) => None,
            (inner, outer) => inner.or(outer),
        };
    }
    coercer.fit(value)
}

/// Removes `<think>...</think>`; `None` if a thought never ends, for then nothing was answered.
fn without_thoughts(text: &str) -> Option<&str> {
    // Templates that open the thought in the prompt leave only the closing tag in the answer.
    let rest = text.rsplit_once("</think>").map_or(text, |(_, rest)| rest);
    (!rest.trim_start().starts_with("<think>")).then_some(rest.trim())
}

fn within_tags(text: &str) -> (&str, bool) {
    match text.split_once("<tool_call>") {
        None => (text, false),
        // Two calls stay in the text, and are two values.
        Some((_, inner)) => (
            inner
                .rsplit_once("</tool_call>")
                .map_or(inner, |(inner, _)| inner)
                .trim(),
            true,
        ),
    }
}

fn within_fence(text: &str) -> &str {
    let Some((before, inner)) = text.split_once("```") else {
        return text;
    };
    // A value before the fence: leave the text whole, so that it is found too.
    if before.contains(['{', '[']) {
        return text;
    }
    // The info string, when it is a word on the fence's own line.
    let inner = match inner.split_once('\n') {
        Some((info, rest)) if info.trim().chars().all(char::is_alphanumeric) => rest,
        _ => inner,
    };
    // What follows the fence is cut only if no value is in it.
    match inner.rsplit_once("```") {
        Some((inner, after)) if !after.contains(['{', '[']) => inner.trim(),
        _ => inner.trim(),
    }
}

/// The top-level objects and arrays in the text, read tolerantly.
fn values_in(text: &str) -> Vec<Value> {
    let mut values = Vec::new();
    let mut at = 0;
    for _ in 0..MAX_VALUES {
        let Some(next) = text[at..].find(['{', '[']) else {
            return values;
        };
        at += next;
        match read::value_at(text, at) {
            Some((reading, end)) => {
                values.push(reading.value);
                at = end;
            }
            None => at += 1,
        }
    }
    // More than that is not one value with prose around it.
    if text[at..].contains(['{', '[']) {
        Vec::new()
    } else {
        values
    }
}
