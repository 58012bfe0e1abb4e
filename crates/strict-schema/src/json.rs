//! JSON text to a value, with what a schema from outside must not do refused.

use serde_json::Value;
use strict_json::Fault;
use thiserror::Error;

use crate::limits::Limits;

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
    let bounds = strict_json::Limits {
        max_depth: limits.max_depth,
        max_values: limits.max_nodes,
    };
    strict_json::read(text, &bounds).map_err(|error| {
        let phrase = error.fault.to_string();
        let (kind, message) = match error.fault {
            Fault::Syntax(_) => (ParseErrorKind::Syntax, format!("not valid JSON: {phrase}")),
            Fault::DuplicateKey => (ParseErrorKind::DuplicateKey, phrase),
            Fault::TooDeep(_) => (ParseErrorKind::TooDeep, phrase),
            Fault::TooManyValues(_) => (ParseErrorKind::TooManyNodes, phrase),
        };
        ParseError {
            kind,
            pointer: error.pointer,
            line: error.line,
            column: error.column,
            message,
        }
    })
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
    fn row_81_duplicate_keys_are_refused_with_their_place() {
        let error = refused("{\"a\": [0,\n {\"b/c\": 1, \"b/c\": 2}]}");
        assert_eq!(error.kind, ParseErrorKind::DuplicateKey);
        assert_eq!((error.pointer.as_str(), error.line), ("/a/1/b~1c", 2));
        assert!(error.to_string().contains("twice"), "{error}");
    }

    #[test]
    fn each_rule_has_its_sentence() {
        for (text, kind, sentence) in [
            (
                "1".repeat(201),
                ParseErrorKind::TooManyBytes,
                "the JSON text has 201 bytes; the limit is 200 (at \"\", line 0, column 0)",
            ),
            (
                r#"[[{"a":[]}]]"#.into(),
                ParseErrorKind::TooDeep,
                "arrays and objects are nested deeper than 3 (at \"/0/0/a\", line 1, column 9)",
            ),
            (
                format!("[{}1]", "1,".repeat(19)),
                ParseErrorKind::TooManyNodes,
                "the text holds more than 20 values (at \"/19\", line 1, column 39)",
            ),
            (
                "[1,]".into(),
                ParseErrorKind::Syntax,
                "not valid JSON: trailing comma (at \"/1\", line 1, column 4)",
            ),
        ] {
            let error = refused(&text);
            assert_eq!((error.kind, error.to_string().as_str()), (kind, sentence));
        }
    }
}
