//! JSON parsing for hostile input: duplicate members and deep nesting are refused.
//!
//! `serde_json` keeps the last of two equal members, and other parsers keep the first; a token
//! read differently by two parties is how checks are walked around (RFC 8725 §2.4, RFC 7519 §4).
//! Numbers too large for an `f64` and lone surrogates are refused by `serde_json` itself.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonFault {
    #[error("is not valid JSON")]
    Syntax,
    #[error("is not a JSON object")]
    NotAnObject,
    #[error("repeats a member name within one object")]
    DuplicateMember,
    #[error("nests objects or arrays too deeply")]
    TooDeep,
}

/// Parses one JSON object, with nothing after it but white space. The object itself is depth 1.
pub(crate) fn parse_object(
    bytes: &[u8],
    max_depth: usize,
) -> Result<Map<String, Value>, JsonFault> {
    // Serde carries only messages through its errors, so the visitor notes the fault here.
    let mut fault = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Strict {
        depth_left: max_depth,
        fault: &mut fault,
    };
    let parsed = seed.deserialize(&mut deserializer).and_then(|value| {
        deserializer.end()?;
        Ok(value)
    });
    match parsed {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(JsonFault::NotAnObject),
        Err(_) => Err(fault.unwrap_or(JsonFault::Syntax)),
    }
}

struct Strict<'f> {
    depth_left: usize,
    fault: &'f mut Option<JsonFault>,
}

impl Strict<'_> {
    fn enter<E: serde::de::Error>(&mut self) -> Result<usize, E> {
        self.depth_left.checked_sub(1).ok_or_else(|| {
            *self.fault = Some(JsonFault::TooDeep);
            E::custom("too deep")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
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
            .ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        let depth_left = self.enter()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict {
            depth_left,
            fault: &mut *self.fault,
        })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let depth_left = self.enter()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                *self.fault = Some(JsonFault::DuplicateMember);
                return Err(A::Error::custom("duplicate member"));
            }
            let value = access.next_value_seed(Strict {
                depth_left,
                fault: &mut *self.fault,
            })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> JsonFault {
        parse_object(text.as_bytes(), 32).expect_err("must be refused")
    }

    #[test]
    fn duplicate_members_are_refused_at_every_level_and_through_escapes() {
        assert_eq!(fault(r#"{"a":1,"a":1}"#), JsonFault::DuplicateMember);
        assert_eq!(
            fault(r#"{"x":[{"a":1,"b":2,"a":3}]}"#),
            JsonFault::DuplicateMember
        );
        assert_eq!(fault("{\"a\":1,\"\\u0061\":1}"), JsonFault::DuplicateMember);
    }

    #[test]
    fn depth_is_counted_from_the_outer_object() {
        let nested =
            |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        assert!(parse_object(nested(32).as_bytes(), 32).is_ok());
        assert_eq!(fault(&nested(33)), JsonFault::TooDeep);
        assert_eq!(
            fault(&format!(r#"{{"a":{}"#, "[".repeat(10_000))),
            JsonFault::TooDeep
        );
    }

    #[test]
    fn only_one_complete_object_is_accepted() {
        assert!(parse_object(b" {\"a\":null} \n", 32).is_ok());
        assert_eq!(fault("[]"), JsonFault::NotAnObject);
        assert_eq!(fault("\"{}\""), JsonFault::NotAnObject);
        for text in [
            "",
            "{",
            "{}{}",
            "{}x",
            "{\"a\":1,}",
            "{'a':1}",
            "{\"a\":NaN}",
            "\u{feff}{}",
        ] {
            assert_eq!(fault(text), JsonFault::Syntax, "{text:?}");
        }
        assert_eq!(fault(r#"{"a":1e999}"#), JsonFault::Syntax);
        assert_eq!(fault(r#"{"a":"\ud800"}"#), JsonFault::Syntax);
        assert!(parse_object(b"{\"a\":\"\xff\"}", 32).is_err());
    }
}
