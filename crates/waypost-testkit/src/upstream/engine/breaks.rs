//! Writes an instance, broken in the ways that the script names.
//!
//! A break that finds nothing to break is an error: a test would pass without having tested.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::super::kinds::Break;

/// The text of `value` with all `breaks`: first those of the value, then those of the text.
pub(super) fn write(mut value: Value, breaks: &[Break], pretty: bool) -> Result<String, String> {
    for kind in breaks {
        if !break_value(&mut value, *kind) {
            return Err(nothing(*kind));
        }
    }
    let quote = if breaks.contains(&Break::SingleQuotes) {
        '\''
    } else {
        '"'
    };
    let python = breaks.contains(&Break::Python);
    let mut text = String::new();
    Writer {
        quote,
        python,
        pretty,
        text: &mut text,
    }
    .value(&value, 0);
    for kind in breaks {
        text = break_text(text, *kind).ok_or_else(|| nothing(*kind))?;
    }
    Ok(text)
}

pub(super) fn nothing(kind: Break) -> String {
    format!("the script's `break` {kind:?} finds nothing to break")
}

/// False if there was nothing to break.
fn break_value(value: &mut Value, kind: Break) -> bool {
    match kind {
        Break::StringNumber => each(value, &mut |leaf| {
            let text = leaf.is_number().then(|| leaf.to_string());
            text.map(|text| *leaf = json!(text)).is_some()
        }),
        Break::WrongType => first(value, &mut |leaf| {
            leaf.is_string().then(|| *leaf = json!(7)).is_some()
        }),
        Break::BareItem => first(value, &mut |leaf| {
            let item = leaf.get(0).cloned();
            item.map(|item| *leaf = item).is_some()
        }),
        Break::ExtraKey => value
            .as_object_mut()
            .map(|object| object.insert("unexpected_key".to_owned(), json!(true)))
            .is_some(),
        Break::MissingKey => value
            .as_object_mut()
            .and_then(|object| {
                let first = object.keys().next()?.clone();
                object.shift_remove(&first)
            })
            .is_some(),
        Break::Python => first(value, &mut |leaf| leaf.is_boolean() || leaf.is_null()),
        Break::SingleQuotes => {
            first(value, &mut |leaf| leaf.is_string())
                || value.as_object().is_some_and(|object| !object.is_empty())
        }
        // An enum was broken while it was made; the rest is for the text.
        _ => true,
    }
}

fn break_text(text: String, kind: Break) -> Option<String> {
    Some(match kind {
        Break::Fence => format!("```json\n{text}\n```"),
        Break::Think => format!("<think>\nThe tool wants {{}}.\n</think>\n{text}"),
        Break::Prose => format!("Sure, here it is:\n{text}\nAnything else?"),
        Break::NotJson => "I would rather not.".to_owned(),
        Break::TrailingComma => {
            let end = text.rfind(['}', ']'])?;
            let before = text[..end].trim_end();
            if before.ends_with(['{', '[']) || before.is_empty() {
                return None;
            }
            format!("{before},{}", &text[before.len()..])
        }
        Break::Unclosed => text.strip_suffix(['}', ']'])?.to_owned(),
        Break::Truncated => {
            let half = text.floor_char_boundary(text.len() / 2);
            if half == 0 {
                return None;
            }
            text[..half].to_owned()
        }
        _ => text,
    })
}

/// Offers every value to `change`, containers first; true if any took it.
fn each(value: &mut Value, change: &mut impl FnMut(&mut Value) -> bool) -> bool {
    if change(value) {
        return true;
    }
    match value {
        Value::Array(items) => items
            .iter_mut()
            .fold(false, |any, item| each(item, change) | any),
        Value::Object(fields) => fields
            .values_mut()
            .fold(false, |any, field| each(field, change) | any),
        _ => false,
    }
}

/// Like [`each`], up to the first that took it.
fn first(value: &mut Value, change: &mut impl FnMut(&mut Value) -> bool) -> bool {
    change(value)
        || match value {
            Value::Array(items) => items.iter_mut().any(|item| first(item, change)),
            Value::Object(fields) => fields.values_mut().any(|field| first(field, change)),
            _ => false,
        }
}

/// JSON, or what a careless model takes for it.
struct Writer<'a> {
    quote: char,
    python: bool,
    pretty: bool,
    text: &'a mut String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Null if self.python => self.text.push_str("None"),
            Value::Bool(true) if self.python => self.text.push_str("True"),
            Value::Bool(false) if self.python => self.text.push_str("False"),
            Value::String(text) => self.string(text),
            Value::Array(items) => {
                self.text.push('[');
                for (at, item) in items.iter().enumerate() {
                    self.next(at, depth + 1);
                    self.value(item, depth + 1);
                }
                self.end(items.is_empty(), depth);
                self.text.push(']');
            }
            Value::Object(fields) => self.object(fields, depth),
            plain => write!(self.text, "{plain}").expect("strings grow"),
        }
    }

    fn object(&mut self, fields: &Map<String, Value>, depth: usize) {
        self.text.push('{');
        for (at, (name, field)) in fields.iter().enumerate() {
            self.next(at, depth + 1);
            self.string(name);
            self.text.push_str(if self.pretty { ": " } else { ":" });
            self.value(field, depth + 1);
        }
        self.end(fields.is_empty(), depth);
        self.text.push('}');
    }

    fn next(&mut self, at: usize, depth: usize) {
        if at > 0 {
            self.text.push(',');
        }
        self.line(depth);
    }

    fn end(&mut self, empty: bool, depth: usize) {
        if !empty {
            self.line(depth);
        }
    }

    fn line(&mut self, depth: usize) {
        if self.pretty {
            self.text.push('\n');
            self.text.push_str(&"  ".repeat(depth));
        }
    }

    fn string(&mut self, text: &str) {
        let json = json!(text).to_string();
        if self.quote == '"' {
            self.text.push_str(&json);
            return;
        }
        let inner = json[1..json.len() - 1]
            .replace("\\\"", "\"")
            .replace('\'', "\\'");
        self.text.push(self.quote);
        self.text.push_str(&inner);
        self.text.push(self.quote);
    }
}
