//! JSON text to a value, with what a schema from outside must not do refused.
//!
//! One pass of serde_json's parser builds the value; a key that comes twice in
//! one object, too many bytes, values or levels stop it there. The pointer of the
//! place is put together while the error travels out, so a good text pays
//! nothing for it.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};
use thiserror::Error;

use crate::limits::Limits;
use crate::path::{push_index, push_token};

/// Why a text is no JSON that this crate takes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message} (at \"{pointer}\", line {line}, column {column})")]
pub struct ParseError {
    /// Which rule it breaks.
    pub kind: ParseErrorKind,
    /// JSON pointer of the value that was being read.
    pub pointer: String,
    /// Line in the text, from 1; 0 where the text was not read.
    pub line: usize,
    /// Column in that line, from 1; 0 where the text was not read.
    pub column: usize,
    /// A sentence.
    pub message: String,
}

/// The rules of [`parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// No JSON text (RFC 8259).
    Syntax,
    /// The same key twice in one object. Parsers differ on which value counts,
    /// so a check and the engine behind it could read two different schemas.
    DuplicateKey,
    /// More bytes than [`Limits::max_bytes`].
    TooManyBytes,
    /// Deeper than [`Limits::max_depth`].
    TooDeep,
    /// More values than [`Limits::max_nodes`].
    TooManyNodes,
}

/// Parses one JSON text.
///
/// ```
/// use strict_schema::{Limits, parse};
///
/// let limits = Limits::default();
/// assert!(parse(br#"{"type": "object"}"#, &limits).is_ok());
/// let error = parse(br#"{"properties": {"a": {}, "a": {}}}"#, &limits).unwrap_err();
/// assert_eq!(error.pointer, "/properties/a");
/// ```
pub fn parse(text: &[u8], limits: &Limits) -> Result<Value, ParseError> {
    if text.len() > limits.max_bytes {
        return Err(ParseError {
            kind: ParseErrorKind::TooManyBytes,
            pointer: String::new(),
            line: 0,
            column: 0,
            message: format!(
                "the JSON text has {} bytes; the limit is {}",
                text.len(),
                limits.max_bytes
            ),
        });
    }
    let mut state = State {
        limits,
        nodes: 0,
        refused: None,
        trail: Vec::new(),
    };
    let mut input = serde_json::Deserializer::from_slice(text);
    let value = Node {
        state: &mut state,
        depth: 0,
    }
    .deserialize(&mut input);
    value
        .and_then(|value| input.end().map(|()| value))
        .map_err(|error| state.error(&error))
}

struct State<'l> {
    limits: &'l Limits,
    nodes: usize,
    refused: Option<ParseErrorKind>,
    /// The way out from the error, innermost step first.
    trail: Vec<Step>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl State<'_> {
    fn refuse<E: serde::de::Error>(&mut self, kind: ParseErrorKind) -> E {
        self.refused = Some(kind);
        // The sentence is written where the kind is known; this one is not shown.
        E::custom("refused")
    }

    fn error(&self, error: &serde_json::Error) -> ParseError {
        let mut pointer = String::new();
        for step in self.trail.iter().rev() {
            match step {
                Step::Key(key) => push_token(&mut pointer, key),
                Step::Index(index) => push_index(&mut pointer, *index),
            }
        }
        let kind = self.refused.unwrap_or(ParseErrorKind::Syntax);
        let message = match kind {
            ParseErrorKind::DuplicateKey => "the same key is there twice in one object".into(),
            ParseErrorKind::TooDeep => {
                format!(
                    "arrays and objects are nested deeper than {}",
                    self.limits.max_depth
                )
            }
            ParseErrorKind::TooManyNodes => {
                format!("the text holds more than {} values", self.limits.max_nodes)
            }
            ParseErrorKind::Syntax | ParseErrorKind::TooManyBytes => {
                let text = error.to_string();
                let end = text.find(" at line ").unwrap_or(text.len());
                format!("not valid JSON: {}", &text[..end])
            }
        };
        ParseError {
            kind,
            pointer,
            line: error.line(),
            column: error.column(),
            message,
        }
    }
}

struct Node<'s, 'l> {
    state: &'s mut State<'l>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        self.state.nodes += 1;
        if self.state.nodes > self.state.limits.max_nodes {
            return Err(self.state.refuse(ParseErrorKind::TooManyNodes));
        }
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        if self.depth == self.state.limits.max_depth {
            return Err(self.state.refuse(ParseErrorKind::TooDeep));
        }
        let mut items = Vec::new();
        loop {
            let node = Node {
                state: &mut *self.state,
                depth: self.depth + 1,
            };
            match access.next_element_seed(node) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return Ok(Value::Array(items)),
                Err(error) => {
                    self.state.trail.push(Step::Index(items.len()));
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        if self.depth == self.state.limits.max_depth {
            return Err(self.state.refuse(ParseErrorKind::TooDeep));
        }
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            match map.entry(key) {
                Entry::Vacant(entry) => {
                    let node = Node {
                        state: &mut *self.state,
                        depth: self.depth + 1,
                    };
                    match access.next_value_seed(node) {
                        Ok(value) => {
                            entry.insert(value);
                        }
                        Err(error) => {
                            self.state.trail.push(Step::Key(entry.key().clone()));
                            return Err(error);
                        }
                    }
                }
                Entry::Occupied(entry) => {
                    self.state.trail.push(Step::Key(entry.key().clone()));
                    return Err(A::Error::custom(
                        self.state.refuse::<A::Error>(ParseErrorKind::DuplicateKey),
                    ));
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> ParseError {
        let limits = Limits {
            max_bytes: 200,
            max_depth: 3,
            max_nodes: 20,
        };
        parse(text.as_bytes(), &limits).expect_err(text)
    }

    #[test]
    fn reads_what_serde_json_reads_and_keeps_the_order() {
        let text = r#"{"z":[1,-2,2.5,true,null,"é"],"a":{"":{}, "$ref":18446744073709551615}}"#;
        let value = parse(text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(value.to_string(), text.replace(", ", ","));
    }

    #[test]
    fn row_81_duplicate_keys_are_refused_with_their_place() {
        let error = refused("{\"a\": [0,\n {\"b/c\": 1, \"b/c\": 2}]}");
        assert_eq!(error.kind, ParseErrorKind::DuplicateKey);
        assert_eq!((error.pointer.as_str(), error.line), ("/a/1/b~1c", 2));
        assert!(error.to_string().contains("twice"), "{error}");
    }

    #[test]
    fn limits_hold_at_their_edge() {
        assert_eq!(refused(&"1".repeat(201)).kind, ParseErrorKind::TooManyBytes);
        let error = refused(r#"[[{"a":[]}]]"#);
        assert_eq!(
            (error.kind, error.pointer.as_str()),
            (ParseErrorKind::TooDeep, "/0/0/a")
        );
        assert_eq!(
            refused(&format!("[{}1]", "1,".repeat(19))).kind,
            ParseErrorKind::TooManyNodes
        );
        let limits = Limits {
            max_bytes: 200,
            max_depth: 3,
            max_nodes: 20,
        };
        assert!(parse(b"[[[]]]", &limits).is_ok());
        assert!(parse(format!("[{}1]", "1,".repeat(18)).as_bytes(), &limits).is_ok());
    }

    #[test]
    fn bad_syntax_says_where() {
        for (text, pointer) in [
            ("", ""),
            ("{", ""),
            ("[1,]", "/1"),
            ("{} {}", ""),
            ("{\"a\":nul}", "/a"),
            ("1e999", ""),
            ("\"\\ud800\"", ""),
        ] {
            let error = refused(text);
            assert_eq!(
                (error.kind, error.pointer.as_str()),
                (ParseErrorKind::Syntax, pointer)
            );
            assert!(!error.message.contains("at line"), "{error}");
        }
    }
}
