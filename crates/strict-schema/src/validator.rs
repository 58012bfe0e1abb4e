//! The final verdict on finished arguments, by the `jsonschema` crate.
//!
//! The draft is the schema's own (`$schema`), 2020-12 without one. Formats are asserted (the nine of
//! strict mode in every draft), patterns
//! run on the linear-time engine (lookaround and backreferences are a compile error), references
//! never leave the document. What would take too long is not judged: see [`Validator::affordable`].

use jsonschema::Draft;
use serde_json::Value;

use crate::{
    CompileError, Mismatch,
    argument::format::Format,
    cost::{COMPILED, Guard},
    pattern::{self, Patterns},
};

/// Errors reported for one document.
pub const MAX_ERRORS: usize = 16;
/// Characters of one message: the crate quotes the instance in it.
const MAX_MESSAGE_CHARS: usize = 400;
/// Said of a document that is not judged.
const TOO_COSTLY: &str = "the schema is too costly to judge for this value: its references branch";
/// Bytes one compiled pattern may take.
const PATTERN_SIZE_LIMIT: usize = 4 << 20;

/// A compiled schema.
///
/// ```
/// use serde_json::json;
/// use strict_schema::Validator;
///
/// let validator = Validator::new(&json!({
///     "type": "object",
///     "properties": {"when": {"type": "string", "format": "date"}}
/// }))?;
/// assert!(validator.verdict(&json!({"when": "2024-02-29"})).is_ok());
/// let errors = validator.verdict(&json!({"when": "tomorrow"})).unwrap_err();
/// assert_eq!(errors[0].pointer, "/when");
/// # Ok::<(), strict_schema::CompileError>(())
/// ```
#[derive(Debug)]
pub struct Validator {
    judge: jsonschema::Validator,
    guard: Guard,
}

impl Validator {
    /// Compiles a schema of any draft. Fails on schemas that are not valid in their draft, on
    /// references that are not in the document, and on patterns that need backtracking.
    pub fn new(schema: &Value) -> Result<Self, CompileError> {
        let guard = Guard::new(schema);
        if !guard.compiles() {
            return Err(CompileError::TooLarge {
                what: "schemas around unevaluated properties and items",
                limit: COMPILED as usize,
            });
        }
        if !Patterns::affordable(schema) {
            return Err(CompileError::TooLarge {
                what: "states of its patterns",
                limit: pattern::MAX_STATES as usize,
            });
        }
        let mut options = options();
        match Draft::default().detect(schema) {
            // Older drafts lack some of the nine formats, but strict mode asserts them all.
            Draft::Draft4 | Draft::Draft6 | Draft::Draft7 => {
                for name in ["date", "duration", "time", "uuid"] {
                    options = options.with_format(name, move |text: &str| {
                        Format::named(name).is_some_and(|format| format.accepts(text))
                    });
                }
            }
            Draft::Draft201909 => {}
            _ => options = options.with_draft(Draft::Draft202012),
        }
        options
            .build(schema)
            .map(|judge| Self { judge, guard })
            .map_err(|error| CompileError::Invalid {
                pointer: error.instance_path().as_str().to_owned(),
                message: shorten(&error.to_string()),
            })
    }

    /// Whether this document is judged at all. References that branch can make a verdict
    /// exponential in the size of the schema; where it would take more than a million applications
    /// of a subschema to a value, [`verdict`](Self::verdict) says so in its only error and
    /// [`is_valid`](Self::is_valid) is false, whatever the document is.
    ///
    /// ```
    /// use serde_json::json;
    /// use strict_schema::Validator;
    ///
    /// let mut definitions = json!({"d28": {"type": "string"}});
    /// for index in 0..28 {
    ///     let next = json!({"$ref": format!("#/$defs/d{}", index + 1)});
    ///     definitions[format!("d{index}")] = json!({"anyOf": [next, next]});
    /// }
    /// let schema = json!({"$defs": definitions, "properties": {"a": {"$ref": "#/$defs/d0"}}});
    /// let validator = Validator::new(&schema)?;
    /// assert!(validator.affordable(&json!({"b": 1})));
    /// assert!(!validator.affordable(&json!({"a": 1})));
    /// # Ok::<(), strict_schema::CompileError>(())
    /// ```
    pub fn affordable(&self, arguments: &Value) -> bool {
        self.guard.cost("", arguments).is_some()
    }

    /// What judging a document by the part of the schema at `pointer` costs, if it may be judged.
    pub(crate) fn cost(&self, pointer: &str, value: &Value) -> Option<u64> {
        self.guard.cost(pointer, value)
    }

    /// Judges a document: all errors up to [`MAX_ERRORS`], with pointers into it. `offset` is 0 in
    /// each, for a parsed value has no bytes. A document that is not
    /// [`affordable`](Self::affordable) is refused unjudged.
    pub fn verdict(&self, arguments: &Value) -> Result<(), Vec<Mismatch>> {
        if !self.affordable(arguments) {
            return Err(vec![Mismatch {
                offset: 0,
                pointer: String::new(),
                message: TOO_COSTLY.to_owned(),
            }]);
        }
        let errors: Vec<Mismatch> = self
            .judge
            .iter_errors(arguments)
            .take(MAX_ERRORS)
            .map(|error| Mismatch {
                offset: 0,
                pointer: error.instance_path().as_str().to_owned(),
                message: shorten(&error.to_string()),
            })
            .collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// Whether the document is judged and valid; cheaper than [`verdict`](Self::verdict).
    pub fn is_valid(&self, arguments: &Value) -> bool {
        self.affordable(arguments) && self.judge.is_valid(arguments)
    }
}

/// How every schema is compiled here.
pub(crate) fn options<'i>() -> jsonschema::ValidationOptions<'i> {
    let patterns = jsonschema::PatternOptions::regex()
        .size_limit(PATTERN_SIZE_LIMIT)
        .dfa_size_limit(PATTERN_SIZE_LIMIT);
    jsonschema::options()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        .with_pattern_options(patterns)
        .offline()
}

fn shorten(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE_CHARS) {
        None => message.to_owned(),
        Some((cut, _)) => format!("{}...", &message[..cut]),
    }
}
