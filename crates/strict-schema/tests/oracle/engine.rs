//! The two oracles: llguidance with a vocabulary of single bytes, and a JSON parser that knows
//! duplicate names together with the `jsonschema` crate.

use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar};
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
    let unbounded = strict_json::Limits {
        max_depth: usize::MAX,
        max_values: usize::MAX,
    };
    strict_json::read(text, &unbounded).is_ok_and(|value| validator.is_valid(&value))
}
