//! The two oracles: llguidance with a vocabulary of single bytes, and a JSON parser that knows
//! duplicate names together with the `jsonschema` crate.

use std::fmt;

use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use toktrie::ApproximateTokEnv;

/// llguidance as a validator of bytes.
pub struct Engine(Matcher);

impl Engine {
    /// `None` where it does not compile the schema.
    pub fn new(schema: &Value) -> Option<Self> {
        let environment = ApproximateTokEnv::single_byte_env();
        let mut factory = ParserFactory::new_simple(&environment).expect("a factory");
        factory.quiet();
        let parser = factory
            .create_parser(TopLevelGrammar::from_json_schema(schema.clone()))
            .ok()?;
        Some(Self(Matcher::new(Ok(parser))))
    }

    /// The same schema at the start of a text; compiling it is what takes time.
    pub fn again(&self) -> Self {
        Self(self.0.deep_clone())
    }

    pub fn push(&mut self, byte: u8) -> bool {
        self.0
            .try_consume_tokens(&[u32::from(byte)])
            .is_ok_and(|taken| taken == 1)
    }

    /// Offset of the first refused byte.
    pub fn refuses(&mut self, text: &[u8]) -> Option<usize> {
        text.iter().position(|&byte| !self.push(byte))
    }

    pub fn accepts_end(&mut self) -> bool {
        self.0.is_accepting().unwrap_or(false)
    }

    /// The bytes that may come next.
    pub fn allowed(&mut self) -> Vec<u8> {
        let Ok(mask) = self.0.compute_mask() else {
            return Vec::new();
        };
        (0..=255_u8)
            .filter(|&byte| mask.is_allowed(u32::from(byte)))
            .collect()
    }
}

/// Whether a text is JSON without duplicate names that the validator accepts.
pub fn is_valid(text: &[u8], validator: &strict_schema::Validator) -> bool {
    serde_json::from_slice::<Unique>(text).is_ok_and(|unique| validator.is_valid(&unique.0))
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Unique)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Unique(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = serde_json::Map::new();
        while let Some((name, Unique(value))) = map.next_entry::<String, Unique>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate name"));
            }
        }
        Ok(members.into())
    }
}
