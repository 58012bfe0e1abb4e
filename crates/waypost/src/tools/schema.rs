//! Compiled schemas, kept: each tool's is compiled once however many requests
//! bring it, and what judges arguments only when a call needs it.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use moka::sync::Cache;
use serde_json::Value;
use strict_schema::{
    ArgumentChecker, Automaton, Change, Dialect, Downleveled, Mismatch, Validator, admit_null,
};

use crate::blocking::Blocking;

/// About the memory that kept schemas may take, compiled and down-levelled.
const MAX_COMPILED: u64 = 128 * 1024 * 1024;
const MAX_DOWNLEVELED: u64 = 32 * 1024 * 1024;
/// What compiling makes of a byte of schema, and of a pattern, at most about.
const COMPILED_PER_BYTE: usize = 64;
const COMPILED_PER_PATTERN: usize = 256 * 1024;

/// Schemas with more patterns than this are compiled away from the threads
/// that serve.
const FEW_PATTERNS: usize = 4;
/// And those that are longer than this.
const SHORT: usize = 32 * 1024;

/// Constraints that the prompt says in words, and the longest value of one.
const MAX_UNTOLD: usize = 32;
const MAX_UNTOLD_VALUE: usize = 256;
/// Places that one rule of a definition is told of.
const MAX_PLACES: usize = 8;

/// An engine, and a schema's text.
type EngineKey = (&'static str, Arc<str>);

/// The schemas that were compiled and written for engines, bounded in bytes.
///
/// Both go by the schema's text: schemas that differ in the order of their keys
/// are not the same, for the model writes its keys in that order.
pub struct Schemas {
    compiled: Cache<Arc<str>, Arc<Compiled>>,
    for_engines: Cache<EngineKey, Arc<ForEngine>>,
}

impl Default for Schemas {
    fn default() -> Self {
        let compiled = |text: &Arc<str>, _: &Arc<Compiled>| {
            weight(text.len() * COMPILED_PER_BYTE + patterns(text) * COMPILED_PER_PATTERN)
        };
        let for_engine = |(_, text): &EngineKey, _: &Arc<ForEngine>| weight(text.len() * 16);
        Self {
            compiled: Cache::builder()
                .weigher(compiled)
                .max_capacity(MAX_COMPILED)
                .build(),
            for_engines: Cache::builder()
                .weigher(for_engine)
                .max_capacity(MAX_DOWNLEVELED)
                .build(),
        }
    }
}

impl Schemas {
    /// What judges JSON against the schema: kept, or new.
    pub fn compiled(&self, schema: &Value) -> Arc<Compiled> {
        let text: Arc<str> = schema.to_string().into();
        if let Some(known) = self.compiled.get(&text) {
            return known;
        }
        let fresh = Arc::new(Compiled::new(schema, &text));
        self.compiled.insert(text, fresh.clone());
        fresh
    }

    /// A schema for one of [`Dialect::NAMES`]: kept, or new.
    pub fn for_engine(&self, schema: &Value, engine: &'static str) -> Arc<ForEngine> {
        let key = (engine, schema.to_string().into());
        if let Some(known) = self.for_engines.get(&key) {
            return known;
        }
        let fresh = Arc::new(ForEngine::new(schema, engine));
        self.for_engines.insert(key, fresh.clone());
        fresh
    }
}

/// About how many patterns a schema has.
fn patterns(text: &str) -> usize {
    text.matches("\"pattern").count()
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// What judges JSON against one schema.
pub struct Compiled {
    schema: Value,
    is_heavy: bool,
    automaton: OnceLock<Option<Arc<Automaton>>>,
    validator: OnceLock<Option<Validator>>,
}

/// A schema as one engine takes it.
pub struct ForEngine {
    pub schema: Value,
    /// Whether the engine enforces all of the original.
    pub enforces_all: bool,
    /// What it was not told, for the model to know nevertheless: lines like
    /// `/properties/days/multipleOf: 2`.
    pub untold: Option<String>,
}

impl Compiled {
    fn new(schema: &Value, text: &str) -> Self {
        Self {
            schema: admit_null(schema).unwrap_or_else(|| schema.clone()),
            is_heavy: text.len() > SHORT || patterns(text) > FEW_PATTERNS,
            automaton: OnceLock::new(),
            validator: OnceLock::new(),
        }
    }

    /// Compiles what would take long here and now somewhere else.
    pub async fn warm(self: &Arc<Self>, blocking: &Blocking) {
        if !self.is_heavy || self.automaton.get().is_some() {
            return;
        }
        let this = self.clone();
        // A panic in there would come again where it is seen.
        let compile = move || {
            this.automaton();
            this.validator();
        };
        let _ = blocking.run(compile).await;
    }

    fn validator(&self) -> Option<&Validator> {
        self.validator
            .get_or_init(|| Validator::new(&self.schema).ok())
            .as_ref()
    }

    /// Checks a text as it comes; `None` where the schema cannot be followed.
    /// What it takes still needs the [verdict](Self::verdict).
    pub fn checker(&self) -> Option<ArgumentChecker> {
        self.automaton().cloned().map(ArgumentChecker::new)
    }

    fn automaton(&self) -> Option<&Arc<Automaton>> {
        self.automaton
            .get_or_init(|| Automaton::compile_partial(&self.schema).ok().map(Arc::new))
            .as_ref()
    }

    /// The value of a whole text, if it is valid; else all that is wrong. Where
    /// the schema is too costly to judge by, a text is valid only if nothing
    /// was promised: `strict` fails closed.
    pub fn verdict(&self, text: &str, strict: bool) -> Result<Value, Vec<Mismatch>> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| wrong(format!("It is not JSON: {error}.")))?;
        match self.validator() {
            Some(validator) if validator.affordable(&value) => {
                validator.verdict(&value).map(|()| value)
            }
            _ if !strict => Ok(value),
            _ => self.followed(text).map(|()| value),
        }
    }

    /// The verdict of the automaton alone, if it follows all of the schema.
    fn followed(&self, text: &str) -> Result<(), Vec<Mismatch>> {
        let automaton = self.automaton().filter(|one| one.skipped().is_empty());
        let Some(automaton) = automaton else {
            return Err(wrong(
                "The schema is too complex to judge this value by.".to_owned(),
            ));
        };
        let mut checker = ArgumentChecker::new(automaton.clone());
        checker
            .push(text.as_bytes())
            .and_then(|()| checker.finish())
            .map_err(|mismatch| vec![mismatch])
    }

    /// The valid text that this one was meant to be, where only one can be
    /// meant.
    pub fn repair(&self, text: &str) -> Option<String> {
        strict_schema::repair(text, &self.schema)
    }
}

fn wrong(message: String) -> Vec<Mismatch> {
    vec![Mismatch {
        offset: 0,
        pointer: String::new(),
        message,
    }]
}

/// The engine that takes schemas as its guide writes them.
const OPENAI: &str = "openai";

impl ForEngine {
    fn new(schema: &Value, engine: &'static str) -> Self {
        // OpenAI's own reads such an enum as its guide means it.
        let admitted = (engine != OPENAI).then(|| admit_null(schema)).flatten();
        let schema = admitted.as_ref().unwrap_or(schema);
        let Some(dialect) = Dialect::named(engine) else {
            return Self {
                schema: schema.clone(),
                enforces_all: false,
                untold: None,
            };
        };
        let Downleveled {
            schema: taken,
            dropped,
            enforceable,
        } = strict_schema::downlevel(schema, &dialect);
        Self {
            enforces_all: enforceable && dropped.is_empty(),
            untold: untold(schema, &taken, &dropped),
            schema: taken,
        }
    }
}

/// The constraints at these places, in words. Whoever does not know of a rule
/// cannot keep it. `taken` is what the model sees: where a definition was put in
/// the places that refer to it, the rule is told of those.
fn untold(schema: &Value, taken: &Value, dropped: &[Change]) -> Option<String> {
    let mut out = String::new();
    for change in dropped.iter().take(MAX_UNTOLD) {
        let Some(value) = schema.pointer(&change.pointer) else {
            continue;
        };
        if change.pointer.is_empty() && *value == strict_schema::empty_parameters() {
            out.push_str("\n- no properties: {}");
            continue;
        }
        let value = value.to_string();
        if value.len() <= MAX_UNTOLD_VALUE {
            for place in places(schema, taken, &change.pointer) {
                out.push_str("\n- ");
                out.push_str(if place.is_empty() {
                    "the whole"
                } else {
                    &place
                });
                out.push_str(": ");
                out.push_str(&value);
            }
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Where the model finds what stands at `pointer`.
fn places(schema: &Value, taken: &Value, pointer: &str) -> Vec<String> {
    let mut ends = pointer.match_indices('/').map(|(at, _)| at);
    let (root, end) = (ends.next(), ends.nth(1));
    let definition = end.map_or(pointer, |end| &pointer[..end]);
    let defined = definition.starts_with("/$defs/") || definition.starts_with("/definitions/");
    let mut found = Vec::new();
    if root.is_some() && defined && taken.pointer(definition).is_none() {
        let rest = &pointer[definition.len()..];
        references(
            schema,
            &format!("#{definition}"),
            &mut Vec::new(),
            rest,
            &mut found,
        );
    }
    if found.is_empty() {
        found.push(pointer.to_owned());
    }
    found
}

/// Adds the places of the references to a definition, each with `rest`. `path`
/// leads to `schema`; a list's index is in it as its text.
fn references<'s>(
    schema: &'s Value,
    to: &str,
    path: &mut Vec<Cow<'s, str>>,
    rest: &str,
    found: &mut Vec<String>,
) {
    if found.len() >= MAX_PLACES {
        return;
    }
    match schema {
        Value::Object(object) if object.get("$ref").is_some_and(|target| target == to) => {
            let mut place = String::new();
            for key in path.iter() {
                place.push('/');
                place.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            place.push_str(rest);
            found.push(place);
        }
        Value::Object(object) => {
            for (key, below) in object {
                path.push(Cow::Borrowed(key));
                references(below, to, path, rest, found);
                path.pop();
            }
        }
        Value::Array(list) => {
            for (index, below) in list.iter().enumerate() {
                path.push(Cow::Owned(index.to_string()));
                references(below, to, path, rest, found);
                path.pop();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_engine_is_not_told_the_model_is() {
        let schema = json!({"type": "object", "properties": {
            "n": {"type": "integer", "multipleOf": 2}, "s": {"type": "string"}}});
        let engine = Schemas::default().for_engine(&schema, "llama.cpp");
        assert!(!engine.enforces_all);
        assert_eq!(
            engine.untold.as_deref(),
            Some("\n- /properties/n/multipleOf: 2")
        );
        let shared = json!({"type": "object", "$defs": {"n": {"type": "integer", "minimum": 3}},
            "properties": {"a": {"$ref": "#/$defs/n"}, "b/c": {"$ref": "#/$defs/n"}}});
        assert_eq!(
            Schemas::default()
                .for_engine(&shared, "tgi")
                .untold
                .as_deref(),
            Some("\n- /properties/a/minimum: 3\n- /properties/b~1c/minimum: 3"),
            "where the model sees it"
        );
        let all = Schemas::default().for_engine(&schema["properties"]["s"], "llama.cpp");
        assert!(all.enforces_all && all.untold.is_none());
    }

    #[test]
    fn what_cannot_be_judged_binds_strict_and_nobody_else() {
        let mut schema = json!({"$ref": "#/$defs/d0", "$defs": {}});
        for at in 0..28 {
            let next = json!({"$ref": format!("#/$defs/d{}", at + 1)});
            schema["$defs"][format!("d{at}")] = json!({"allOf": [next, next]});
        }
        schema["$defs"]["d28"] = json!({"type": "object", "not": {"required": ["b"]}});
        let compiled = Schemas::default().compiled(&schema);
        assert!(compiled.verdict(r#"{"a": {}}"#, false).is_ok());
        assert!(compiled.verdict(r#"{"a": {}}"#, true).is_err());
    }

    #[test]
    fn the_order_of_keys_is_kept_apart() {
        let one: Value = serde_json::from_str(r#"{"type":"object","properties":{"a":{},"b":{}}}"#)
            .expect("JSON");
        let other: Value =
            serde_json::from_str(r#"{"type":"object","properties":{"b":{},"a":{}}}"#)
                .expect("JSON");
        assert_eq!(
            Schemas::default()
                .for_engine(&one, "openai")
                .schema
                .to_string(),
            one.to_string()
        );
        assert_eq!(
            Schemas::default()
                .for_engine(&other, "openai")
                .schema
                .to_string(),
            other.to_string()
        );
    }

    #[test]
    fn equal_schemas_are_compiled_once() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
        let schemas = Schemas::default();
        let compiled = schemas.compiled(&schema);
        assert!(Arc::ptr_eq(&compiled, &schemas.compiled(&schema.clone())));
        assert!(compiled.verdict(r#"{"a": 1}"#, true).is_ok());
        let wrong = compiled.verdict(r#"{"a": "x"}"#, true).unwrap_err();
        assert_eq!(wrong[0].pointer, "/a");
        assert!(compiled.verdict("{", false).is_err());
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes() {
        let schemas = Schemas::default();
        // Each is another, and all together are several times what is kept.
        for at in 0..64 {
            let schema = json!({"type": "object", "title": at, "description": "x".repeat(128 * 1024),
                "properties": {}, "required": [], "additionalProperties": false});
            schemas.compiled(&schema);
            schemas.for_engine(&schema, "vllm");
        }
        schemas.compiled.run_pending_tasks();
        schemas.for_engines.run_pending_tasks();
        for (kept, entries, most) in [
            (
                schemas.compiled.weighted_size(),
                schemas.compiled.entry_count(),
                MAX_COMPILED,
            ),
            (
                schemas.for_engines.weighted_size(),
                schemas.for_engines.entry_count(),
                MAX_DOWNLEVELED,
            ),
        ] {
            assert!(kept <= most, "{kept} of {most}");
            assert!(entries > 0, "nothing is kept");
        }
        assert!(schemas.compiled.entry_count() < 64 && schemas.for_engines.entry_count() < 64);
    }
}
