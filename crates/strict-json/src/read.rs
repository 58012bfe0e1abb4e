//! JSON text to a value; what two readers could read differently is refused.
//!
//! serde_json keeps the last of two equal keys, other parsers keep the first: a
//! check and what it guards could each see another document (RFC 8725, section
//! 2.4). Numbers too large for an `f64` and lone surrogates serde_json refuses
//! itself.
//!
//! One pass of its parser builds the value; a key that comes twice in one
//! object, too many values or levels stop it there. The pointer of the place is
//! put together while the error travels out, so a good text pays nothing for it.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::pointer::{push_index, push_token};

/// Bounds for one text. Bytes are for the caller to count, who knows how the
/// text came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arrays and objects inside one another, the outermost included. Beyond 127
    /// serde_json's parser stops by itself, with [`Fault::Syntax`].
    pub max_depth: usize,
    /// JSON values in all, arrays and objects included, keys not.
    pub max_values: usize,
}

/// Why a text was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Which rule it breaks.
    pub fault: Fault,
    /// JSON pointer of the value that was being read; of a duplicate key, the
    /// key's. It has keys of the text in it.
    pub pointer: String,
    /// Line in the text, from 1; 0 where the text is empty.
    pub line: usize,
    /// Column in that line, from 1, in bytes; 0 where nothing of the line was
    /// read.
    pub column: usize,
}

/// The rules of [`read`]. Their phrases have no place in them, and nothing of
/// the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No JSON text (RFC 8259); what serde_json says.
    Syntax(String),
    /// The same key twice in one object, whichever way it is escaped.
    DuplicateKey,
    /// Deeper than [`Limits::max_depth`], which is here.
    TooDeep(usize),
    /// More values than [`Limits::max_values`], which is here.
    TooManyValues(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(message) => f.write_str(message),
            Self::DuplicateKey => f.write_str("the same key is there twice in one object"),
            Self::TooDeep(max) => {
                write!(f, "arrays and objects are nested deeper than {max}")
            }
            Self::TooManyValues(max) => write!(f, "the text holds more than {max} values"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fault,
            pointer,
            line,
            column,
        } = self;
        write!(
            f,
            "{fault} (at \"{pointer}\", line {line}, column {column})"
        )
    }
}

impl std::error::Error for Error {}

/// Reads one JSON text, with nothing after it but white space.
///
/// The value is what serde_json makes of the text, its keys in their order.
pub fn read(text: &[u8], limits: &Limits) -> Result<Value, Error> {
    let mut state = State {
        limits,
        values: 0,
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
    values: usize,
    refused: Option<Fault>,
    /// The way out from the error, innermost step first.
    trail: Vec<Step>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl State<'_> {
    fn refuse<E: serde::de::Error>(&mut self, fault: Fault) -> E {
        self.refused = Some(fault);
        // The phrase is the fault's; this one is not shown.
        E::custom("refused")
    }

    fn error(self, error: &serde_json::Error) -> Error {
        let mut pointer = String::new();
        for step in self.trail.iter().rev() {
            match step {
                Step::Key(key) => push_token(&mut pointer, key),
                Step::Index(index) => push_index(&mut pointer, *index),
            }
        }
        Error {
            fault: self.refused.unwrap_or_else(|| {
                let text = error.to_string();
                let end = text.find(" at line ").unwrap_or(text.len());
                Fault::Syntax(text[..end].to_owned())
            }),
            pointer,
            line: error.line(),
            column: error.column(),
        }
    }
}

struct Node<'s, 'l> {
    state: &'s mut State<'l>,
    /// Arrays and objects around it.
    depth: usize,
}

impl Node<'_, '_> {
    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        let max = self.state.limits.max_depth;
        if self.depth == max {
            return Err(self.state.refuse(Fault::TooDeep(max)));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        self.state.values += 1;
        let max = self.state.limits.max_values;
        if self.state.values > max {
            return Err(self.state.refuse(Fault::TooManyValues(max)));
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

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        self.enter()?;
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

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        self.enter()?;
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
                    return Err(self.state.refuse(Fault::DuplicateKey));
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Limits = Limits {
        max_depth: 100,
        max_values: 100_000,
    };
    const NARROW: Limits = Limits {
        max_depth: 3,
        max_values: 20,
    };

    fn refused(text: &str) -> Error {
        read(text.as_bytes(), &NARROW).expect_err(text)
    }

    #[test]
    fn reads_what_serde_json_reads_and_keeps_the_order() {
        let text = r#"{"z":[1,-2,2.5,true,null,"é"],"a":{"":{}, "$ref":18446744073709551615}}"#;
        let value = read(text.as_bytes(), &WIDE).expect(text);
        assert_eq!(value, serde_json::from_str::<Value>(text).expect(text));
        assert_eq!(value.to_string(), text.replace(", ", ","));
    }

    #[test]
    fn duplicate_keys_are_refused_with_their_place() {
        let error = refused("{\"a\": [0,\n {\"b/c\": 1, \"b/c\": 2}]}");
        assert_eq!(error.fault, Fault::DuplicateKey);
        assert_eq!((error.pointer.as_str(), error.line), ("/a/1/b~1c", 2));
        assert_eq!(
            error.to_string(),
            "the same key is there twice in one object (at \"/a/1/b~1c\", line 2, column 17)"
        );
    }

    #[test]
    fn duplicate_keys_are_refused_at_every_level_and_through_escapes() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":[{"a":1,"b":2,"a":3}]}"#,
            "{\"a\":1,\"\\u0061\":1}",
        ] {
            assert_eq!(refused(text).fault, Fault::DuplicateKey, "{text}");
        }
        assert!(read(br#"[{"a":{"a":1}},{"a":1}]"#, &WIDE).is_ok());
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let error = refused(r#"[[{"a":[]}]]"#);
        assert_eq!(
            (error.fault, error.pointer.as_str()),
            (Fault::TooDeep(3), "/0/0/a")
        );
        assert!(read(b"[[[]]]", &NARROW).is_ok());
        assert_eq!(
            refused(&format!("[{}1]", "1,".repeat(19))).fault,
            Fault::TooManyValues(20)
        );
        assert!(read(format!("[{}1]", "1,".repeat(18)).as_bytes(), &NARROW).is_ok());
    }

    #[test]
    fn depth_is_counted_from_the_outermost() {
        let nested =
            |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        let limits = Limits {
            max_depth: 32,
            ..WIDE
        };
        assert!(read(nested(32).as_bytes(), &limits).is_ok());
        for text in [
            nested(33),
            format!(r#"{{"a":{}"#, "[".repeat(10_000)),
            "[".repeat(100_000),
        ] {
            let error = read(text.as_bytes(), &limits).expect_err("too deep");
            assert_eq!(error.fault, Fault::TooDeep(32));
        }
        assert!(
            read(
                b"1",
                &Limits {
                    max_depth: 0,
                    ..WIDE
                }
            )
            .is_ok()
        );
    }

    #[test]
    fn the_parser_has_a_bound_of_its_own() {
        let limits = Limits {
            max_depth: usize::MAX,
            ..WIDE
        };
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(read(nested(127).as_bytes(), &limits).is_ok());
        let error = read(nested(128).as_bytes(), &limits).expect_err("too deep");
        assert_eq!(
            error.fault,
            Fault::Syntax("recursion limit exceeded".into())
        );
    }

    #[test]
    fn bad_syntax_says_where() {
        for (text, pointer) in [
            ("", ""),
            ("{", ""),
            ("[1,]", "/1"),
            ("{} {}", ""),
            ("{}x", ""),
            ("{\"a\":1,}", ""),
            ("{'a':1}", ""),
            ("{\"a\":nul}", "/a"),
            ("{\"a\":NaN}", "/a"),
            ("1e999", ""),
            ("{\"a\":1e999}", "/a"),
            ("\"\\ud800\"", ""),
            ("\u{feff}{}", ""),
        ] {
            let error = refused(text);
            assert_eq!(error.pointer, pointer, "{text:?}");
            let Fault::Syntax(message) = error.fault else {
                panic!("{text:?}: {:?}", error.fault)
            };
            assert!(!message.contains("at line"), "{message}");
        }
        assert!(read(b"{\"a\":\"\xff\"}", &WIDE).is_err());
        let error = refused("{\"a\":\n  nul}");
        assert_eq!(
            error.to_string(),
            "expected ident (at \"/a\", line 2, column 6)"
        );
    }

    #[test]
    fn white_space_around_a_text_is_no_part_of_it() {
        assert!(read(b" {\"a\":null} \n", &WIDE).is_ok());
    }
}
