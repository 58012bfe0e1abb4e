//! Compiled schemas, kept: each tool's is compiled once however many requests
//! bring it, and what judges arguments only when a call needs it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock, OnceLock},
};

use moka::sync::Cache;
use serde_json::Value;
use strict_schema::{
    ArgumentChecker, Automaton, Change, Dialect, Downleveled, Mismatch, Validator,
};

/// Schemas kept, compiled and down-levelled.
const KEPT: u64 = 4096;
/// Constraints that the prompt says in words, and the longest value of one.
const MAX_UNTOLD: usize = 32;
const MAX_UNTOLD_VALUE: usize = 256;

static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
static COMPILED: LazyLock<Cache<u64, Arc<Compiled>>> = LazyLock::new(|| Cache::new(KEPT));
static DOWNLEVELED: LazyLock<Cache<(&'static str, u64), Arc<ForEngine>>> =
    LazyLock::new(|| Cache::new(KEPT));

/// What judges JSON against one schema.
pub struct Compiled {
    schema: Value,
    automaton: OnceLock<Option<Arc<Automaton>>>,
    validator: OnceLock<Option<Validator>>,
}

/// A schema as one engine takes it.
pub struct ForEngine {
    original: Value,
    pub schema: Value,
    /// Whether the engine enforces all of the original.
    pub enforces_all: bool,
    /// What it was not told, for the model to know nevertheless: lines like
    /// `/properties/days/multipleOf: 2`.
    pub untold: Option<String>,
}

impl Compiled {
    /// From the cache, or new. The cache goes by a keyed hash, and a hit is
    /// compared: two schemas never share what judges them.
    pub fn of(schema: &Value) -> Arc<Self> {
        let key = HASHER.hash_one(schema);
        if let Some(known) = COMPILED.get(&key)
            && known.schema == *schema
        {
            return known;
        }
        let fresh = Arc::new(Self {
            schema: schema.clone(),
            automaton: OnceLock::new(),
            validator: OnceLock::new(),
        });
        COMPILED.insert(key, fresh.clone());
        fresh
    }

    /// Checks a text as it comes; `None` where the schema cannot be followed.
    /// What it takes still needs the [verdict](Self::verdict).
    pub fn checker(&self) -> Option<ArgumentChecker> {
        let automaton = self
            .automaton
            .get_or_init(|| Automaton::compile_partial(&self.schema).ok().map(Arc::new));
        automaton.clone().map(ArgumentChecker::new)
    }

    /// The value of a whole text, if it is valid; else all that is wrong.
    pub fn verdict(&self, text: &str) -> Result<Value, Vec<Mismatch>> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            vec![Mismatch {
                offset: 0,
                pointer: String::new(),
                message: format!("It is not JSON: {error}."),
            }]
        })?;
        let validator = self
            .validator
            .get_or_init(|| Validator::new(&self.schema).ok());
        match validator {
            Some(validator) => validator.verdict(&value).map(|()| value),
            // A schema that nobody can compile binds nobody.
            None => Ok(value),
        }
    }

    /// The valid text that this one was meant to be, where only one can be
    /// meant.
    pub fn repair(&self, text: &str) -> Option<String> {
        strict_schema::repair(text, &self.schema)
    }
}

/// A schema for one of [`Dialect::NAMES`].
pub fn for_engine(schema: &Value, engine: &'static str) -> Arc<ForEngine> {
    let key = (engine, HASHER.hash_one(schema));
    if let Some(known) = DOWNLEVELED.get(&key)
        && known.original == *schema
    {
        return known;
    }
    let fresh = Arc::new(match Dialect::named(engine) {
        Some(dialect) => {
            let Downleveled {
                schema: taken,
                dropped,
                enforceable,
            } = strict_schema::downlevel(schema, &dialect);
            ForEngine {
                original: schema.clone(),
                schema: taken,
                enforces_all: enforceable && dropped.is_empty(),
                untold: untold(schema, &dropped),
            }
        }
        None => ForEngine {
            original: schema.clone(),
            schema: schema.clone(),
            enforces_all: false,
            untold: None,
        },
    });
    DOWNLEVELED.insert(key, fresh.clone());
    fresh
}

/// The constraints at these places, in words. Whoever does not know of a rule
/// cannot keep it.
fn untold(schema: &Value, dropped: &[Change]) -> Option<String> {
    let mut out = String::new();
    for change in dropped.iter().take(MAX_UNTOLD) {
        let Some(value) = schema.pointer(&change.pointer) else {
            continue;
        };
        let value = value.to_string();
        if value.len() <= MAX_UNTOLD_VALUE {
            out.push_str("\n- ");
            out.push_str(&change.pointer);
            out.push_str(": ");
            out.push_str(&value);
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_engine_is_not_told_the_model_is() {
        let schema = json!({"type": "object", "properties": {
            "n": {"type": "integer", "multipleOf": 2}, "s": {"type": "string"}}});
        let engine = for_engine(&schema, "llama.cpp");
        assert!(!engine.enforces_all);
        assert_eq!(
            engine.untold.as_deref(),
            Some("\n- /properties/n/multipleOf: 2")
        );
        let all = for_engine(&schema["properties"]["s"], "llama.cpp");
        assert!(all.enforces_all && all.untold.is_none());
    }

    #[test]
    fn equal_schemas_are_compiled_once() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
        let compiled = Compiled::of(&schema);
        assert!(Arc::ptr_eq(&compiled, &Compiled::of(&schema.clone())));
        assert!(compiled.verdict(r#"{"a": 1}"#).is_ok());
        let wrong = compiled.verdict(r#"{"a": "x"}"#).unwrap_err();
        assert_eq!(wrong[0].pointer, "/a");
        assert!(compiled.verdict("{").is_err());
    }
}
