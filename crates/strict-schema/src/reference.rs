//! Where a `$ref` points.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::keyword::get;
use crate::path;

/// What a `$ref` names, judged by its text alone.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Target<'r> {
    /// `#`
    Root,
    /// `#/$defs/name` or `#/definitions/name`
    Definition {
        keyword: &'static str,
        name: Cow<'r, str>,
    },
    /// Another JSON pointer into the same document, decoded.
    Elsewhere(Vec<String>),
    /// Another document, or an anchor. Never fetched.
    Foreign,
}

impl<'r> Target<'r> {
    pub(crate) fn of(reference: &'r str) -> Target<'r> {
        let Some(fragment) = reference.strip_prefix('#') else {
            return Target::Foreign;
        };
        if fragment.is_empty() {
            return Target::Root;
        }
        for (prefix, keyword) in [("/$defs/", "$defs"), ("/definitions/", "definitions")] {
            if let Some(name) = fragment.strip_prefix(prefix)
                && !name.contains(['/', '~', '%'])
            {
                return Target::Definition {
                    keyword,
                    name: Cow::Borrowed(name),
                };
            }
        }
        let Some(fragment) = percent_decoded(fragment) else {
            return Target::Foreign;
        };
        let Some(mut tokens) = path::tokens(&fragment) else {
            return Target::Foreign;
        };
        let keyword = match tokens.first().map(String::as_str) {
            Some("$defs") => "$defs",
            Some("definitions") => "definitions",
            _ => return Target::Elsewhere(tokens),
        };
        if tokens.len() == 2 {
            Target::Definition {
                keyword,
                name: Cow::Owned(tokens.swap_remove(1)),
            }
        } else {
            Target::Elsewhere(tokens)
        }
    }
}

/// References one after the other. A longer chain is a cycle, or deserves the same
/// answer.
pub(crate) const MAX_CHAIN: usize = 64;

impl Target<'_> {
    /// What the reference itself names; see [`follow`] for where it leads in the end.
    pub(crate) fn node<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        match self {
            Target::Root => Some(root),
            Target::Definition { keyword, name } => {
                definition(root.as_object()?, keyword, name).map(|(_, node)| node)
            }
            Target::Elsewhere(tokens) => path::schema_at(root, tokens),
            Target::Foreign => None,
        }
    }

    /// The JSON pointer of the target.
    pub(crate) fn pointer(&self) -> String {
        match self {
            Target::Root | Target::Foreign => String::new(),
            Target::Definition { keyword, name } => path::join(&format!("/{keyword}"), name),
            Target::Elsewhere(tokens) => tokens
                .iter()
                .fold(String::new(), |at, token| path::join(&at, token)),
        }
    }
}

/// The definition of this name at the top level of a schema.
pub(crate) fn definition<'v>(
    root: &'v Map<String, Value>,
    keyword: &str,
    name: &str,
) -> Option<(&'v str, &'v Value)> {
    let (_, definitions) = root.get_key_value(keyword)?;
    let (name, schema) = definitions.as_object()?.get_key_value(name)?;
    (schema.is_object() || schema.is_boolean()).then_some((name.as_str(), schema))
}

/// Follows a reference, and the references it leads to, to a node that is none.
/// `None` for a reference that leads nowhere or back to itself.
pub(crate) fn follow<'v>(root: &'v Value, node: &'v Value) -> Option<&'v Value> {
    match node.as_object().and_then(|map| get(map, "$ref")) {
        None => Some(node),
        Some(reference) => locate(root, reference.as_str()?).map(|(_, node)| node),
    }
}

/// The pointer and the node that a reference leads to in the end.
pub(crate) fn locate<'v>(root: &'v Value, reference: &str) -> Option<(String, &'v Value)> {
    let mut reference: &str = reference;
    for _ in 0..MAX_CHAIN {
        let target = Target::of(reference);
        let node = target.node(root)?;
        match node.get("$ref") {
            None => return Some((target.pointer(), node)),
            Some(next) => reference = next.as_str()?,
        }
    }
    None
}

/// A pointer as the fragment of a reference (RFC 6901, section 6).
pub(crate) fn fragment(pointer: &str) -> String {
    let mut out = String::with_capacity(pointer.len() + 1);
    out.push('#');
    for byte in pointer.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' && byte != b'"' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

pub(crate) fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push((high * 16 + low) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_apart_by_their_text() {
        let definition = |keyword, name: &'static str| Target::Definition {
            keyword,
            name: name.into(),
        };
        assert_eq!(Target::of("#"), Target::Root);
        assert_eq!(Target::of("#/$defs/a"), definition("$defs", "a"));
        assert_eq!(
            Target::of("#/definitions/a~1b%20c"),
            definition("definitions", "a/b c")
        );
        assert_eq!(Target::of("#/%24defs/"), definition("$defs", ""));
        assert_eq!(
            Target::of("#/properties/a"),
            Target::Elsewhere(vec!["properties".into(), "a".into()])
        );
        for foreign in [
            "",
            "#anchor",
            "other.json#/$defs/a",
            "https://example.com/s",
            "#/%zz",
        ] {
            assert_eq!(Target::of(foreign), Target::Foreign, "{foreign}");
        }
    }
}
