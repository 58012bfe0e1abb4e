//! JSON documents of strangers: one object, without duplicate members or deep nesting.
//!
//! A token read differently by two parties is how checks are walked around (RFC 8725 §2.4,
//! RFC 7519 §4). Of what [`strict_json`] says only the kind is kept: its pointer has names that
//! the stranger chose.

use serde_json::{Map, Value};
use strict_json::{Fault, Limits};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonFault {
    Syntax,
    NotAnObject,
    DuplicateMember,
    TooDeep,
}

/// Parses one JSON object, with nothing after it but white space. The object itself is depth 1.
pub(crate) fn parse_object(
    bytes: &[u8],
    max_depth: usize,
) -> Result<Map<String, Value>, JsonFault> {
    let limits = Limits {
        max_depth,
        // Callers bound the bytes.
        max_values: usize::MAX,
    };
    match strict_json::read(bytes, &limits) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(JsonFault::NotAnObject),
        Err(error) => Err(match error.fault {
            Fault::Syntax(_) => JsonFault::Syntax,
            Fault::DuplicateKey => JsonFault::DuplicateMember,
            Fault::TooDeep(_) | Fault::TooManyValues(_) => JsonFault::TooDeep,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> JsonFault {
        parse_object(text.as_bytes(), 32).expect_err("must be refused")
    }

    #[test]
    fn each_fault_has_its_kind() {
        let nested =
            |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        assert!(parse_object(nested(32).as_bytes(), 32).is_ok());
        assert_eq!(fault(&nested(33)), JsonFault::TooDeep);
        assert_eq!(
            fault(r#"{"x":[{"a":1,"b":2,"a":3}]}"#),
            JsonFault::DuplicateMember
        );
        for text in ["", "{", "{}{}", "[] x", "{\"a\":1e999}", "\u{feff}{}"] {
            assert_eq!(fault(text), JsonFault::Syntax, "{text:?}");
        }
    }

    #[test]
    fn only_an_object_is_accepted() {
        assert!(parse_object(b" {\"a\":null} \n", 32).is_ok());
        for text in ["[]", "\"{}\"", "null", "1"] {
            assert_eq!(fault(text), JsonFault::NotAnObject, "{text}");
        }
    }
}
