//! Where in a schema a walk stands, at no cost until somebody asks.
//!
//! A walk passes [`At`] down its own stack frames; only a finding turns the
//! chain into a JSON pointer (RFC 6901) or into the Python tuple of OpenAI's
//! error texts.

use std::fmt::Write as _;

use serde_json::Value;
use strict_json::pointer::unescaped;
pub(crate) use strict_json::pointer::{push_index, push_token};

use crate::keyword::{Keyword, Shape};

/// One step from the root of a schema, linked to the steps before it.
#[derive(Clone, Copy)]
pub(crate) enum At<'a> {
    Root,
    Key(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
}

impl<'a> At<'a> {
    pub(crate) fn key(&'a self, key: &'a str) -> At<'a> {
        At::Key(self, key)
    }

    pub(crate) fn index(&'a self, index: usize) -> At<'a> {
        At::Index(self, index)
    }

    pub(crate) fn is_root(&self) -> bool {
        matches!(self, At::Root)
    }

    /// The JSON pointer of this place: empty for the root.
    pub(crate) fn pointer(&self) -> String {
        let mut out = String::new();
        for step in self.steps() {
            match step {
                At::Root => {}
                At::Key(_, key) => push_token(&mut out, key),
                At::Index(_, index) => push_index(&mut out, *index),
            }
        }
        out
    }

    /// The same place as Python prints a tuple of strings.
    pub(crate) fn tuple(&self) -> String {
        let steps = self.steps();
        let mut out = String::from("(");
        for (position, step) in steps.iter().skip(1).enumerate() {
            if position > 0 {
                out.push_str(", ");
            }
            match step {
                At::Root => {}
                At::Key(_, key) => out.push_str(&python_string(key)),
                At::Index(_, index) => {
                    let _ = write!(out, "'{index}'");
                }
            }
        }
        // A tuple of one keeps its comma.
        out.push_str(if steps.len() == 2 { ",)" } else { ")" });
        out
    }

    fn steps(&self) -> Vec<&At<'a>> {
        let mut steps = vec![self];
        let mut at = self;
        while let At::Key(parent, _) | At::Index(parent, _) = at {
            steps.push(parent);
            at = parent;
        }
        steps.reverse();
        steps
    }
}

/// A pointer one token longer.
pub(crate) fn join(pointer: &str, token: &str) -> String {
    let mut out = String::with_capacity(pointer.len() + token.len() + 1);
    out.push_str(pointer);
    push_token(&mut out, token);
    out
}

/// The tokens of a pointer, unescaped. `None` where it is no pointer.
pub(crate) fn tokens(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let rest = pointer.strip_prefix('/')?;
    Some(rest.split('/').map(unescaped).collect())
}

/// The schema that a pointer leads to, going only where schemas are: not into
/// the values of an `enum`, not to the map that `properties` is.
pub(crate) fn schema_at<'v>(root: &'v Value, tokens: &[String]) -> Option<&'v Value> {
    let mut node = root;
    let mut rest = tokens;
    while let [keyword, below @ ..] = rest {
        let child = node.as_object()?.get(keyword)?;
        (node, rest) = match (Keyword::of(keyword)?.shape(), below) {
            (Shape::Schema | Shape::SchemaOrList, _) if !child.is_array() => (child, below),
            (Shape::List | Shape::SchemaOrList, [index, below @ ..]) => {
                (child.as_array()?.get(array_index(index)?)?, below)
            }
            (Shape::Map, [name, below @ ..]) => (child.as_object()?.get(name)?, below),
            _ => return None,
        };
    }
    (node.is_object() || node.is_boolean()).then_some(node)
}

/// An array index of RFC 6901: digits without a leading zero.
pub(crate) fn array_index(token: &str) -> Option<usize> {
    if token.len() > 1 && token.starts_with('0') || !token.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    token.parse().ok()
}

/// `repr()` of a Python string.
pub(crate) fn python_string(text: &str) -> String {
    // Python prefers single quotes, and changes them rather than escape one.
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if u32::from(c) < 0x20 || (0x7f..=0xa0).contains(&u32::from(c)) || c == '\u{ad}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// `repr()` of a JSON value as Python reads it, cut after `limit` bytes.
pub(crate) fn python_value(value: &Value, limit: usize) -> String {
    let mut out = String::new();
    write_python(&mut out, value, limit);
    if out.len() > limit {
        let mut end = limit;
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
        out.push('…');
    }
    out
}

fn write_python(out: &mut String, value: &Value, limit: usize) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Value::String(text) => out.push_str(&python_string(text)),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if out.len() > limit {
                    return;
                }
                if index > 0 {
                    out.push_str(", ");
                }
                write_python(out, item, limit);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (index, (key, item)) in map.iter().enumerate() {
                if out.len() > limit {
                    return;
                }
                if index > 0 {
                    out.push_str(", ");
                }
                let _ = write!(out, "{}: ", python_string(key));
                write_python(out, item, limit);
            }
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_print_as_pointer_and_as_tuple() {
        let root = At::Root;
        let properties = root.key("properties");
        let name = properties.key("a/b~'");
        let branch = name.index(0);
        assert_eq!((root.pointer().as_str(), root.tuple().as_str()), ("", "()"));
        assert_eq!(properties.tuple(), "('properties',)");
        assert_eq!(branch.tuple(), r#"('properties', "a/b~'", '0')"#);
        assert_eq!(branch.pointer(), "/properties/a~1b~0'/0");
    }

    #[test]
    fn python_prints_values_in_its_own_way() {
        assert_eq!(
            python_value(&json!(["a", null, true, 1.5]), 80),
            "['a', None, True, 1.5]"
        );
        assert_eq!(python_value(&json!({"k": "it's"}), 80), r#"{'k': "it's"}"#);
        assert_eq!(
            python_string("both ' and \"\n\u{1}é"),
            r#"'both \' and "\n\x01é'"#
        );
        assert_eq!(python_value(&json!("é".repeat(9)), 4), "'é…");
    }

    #[test]
    fn a_pointer_leads_only_to_schemas() {
        let schema = json!({
            "properties": {"$ref": {"anyOf": [{"type": "null"}]}, "": true},
            "enum": [{"type": "null"}],
        });
        let found = |pointer: &str| schema_at(&schema, &tokens(pointer).unwrap()).is_some();
        assert!(found("") && found("/properties/$ref/anyOf/0") && found("/properties/"));
        for nowhere in [
            "/properties",
            "/enum/0",
            "/properties/$ref/anyOf/00",
            "/properties/x",
        ] {
            assert!(!found(nowhere), "{nowhere}");
        }
        assert_eq!(tokens("no pointer"), None);
    }
}
