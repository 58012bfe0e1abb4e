//! The schema that a model server's engine takes.
//!
//! Engines refuse, ignore or choke on parts of JSON Schema, each on others. What
//! goes to an upstream is therefore a looser schema in the engine's words; what
//! it lost is checked here, on the arguments that come back, against the schema
//! the client got. The invariant: it accepts whatever the original accepts. The
//! one exception is written at [`PatternStyle::whole`].

mod dialect;
mod loosen;

use serde_json::Value;

pub use crate::pattern::PatternStyle;
use crate::resolve::Change;
pub use dialect::Dialect;

/// A schema for an upstream.
#[derive(Clone, Debug)]
pub struct Downleveled {
    /// What to send.
    pub schema: Value,
    /// What the engine will not enforce: JSON pointers into the given schema, at
    /// most a hundred. Their level is C, for the meaning changes.
    pub dropped: Vec<Change>,
    /// Whether the engine can hold a model to the schema at all. False where
    /// nothing of the root is left, the root is a union that the server refuses,
    /// or the schema is larger than the server takes.
    pub enforceable: bool,
}

/// Rewrites a schema for an engine. It accepts all that the original accepts.
///
/// ```
/// use serde_json::json;
/// use strict_schema::{Dialect, downlevel};
///
/// let schema = json!({"type": "string", "pattern": "^\\d{4}$", "maxLength": 5000});
/// let llama = downlevel(&schema, &Dialect::named("llama.cpp").unwrap());
/// assert_eq!(llama.schema, json!({"type": "string", "pattern": "^[0-9]{4}$"}));
/// assert_eq!(llama.dropped[0].pointer, "/maxLength");
/// ```
pub fn downlevel(schema: &Value, dialect: &Dialect) -> Downleveled {
    loosen::downlevel(schema, dialect)
}
