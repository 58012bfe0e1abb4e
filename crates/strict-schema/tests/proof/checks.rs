//! What must hold for every schema there is.
//!
//! `judge` resolves one schema, asserts everything that the crate promises about the outcome, and
//! returns it. A broken promise panics with the schema.

use std::sync::Arc;

use serde_json::{Value, json};
use strict_schema::{
    ArgumentChecker, Automaton, Change, ChangeCode, Level, Profile, Resolved, Validator, Where,
    check_strict, resolve,
};

use crate::{chance::Chance, sample::sample};

/// How a schema is classified: the columns of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    AlreadyStrict,
    /// Closed and required, nothing else.
    A,
    /// Spelled in another way too.
    AB,
    /// With the reason codes, sorted, each once.
    Fallback(Vec<String>),
}

impl Class {
    pub fn name(&self) -> String {
        match self {
            Self::AlreadyStrict => "strict".to_owned(),
            Self::A => "A".to_owned(),
            Self::AB => "A+B".to_owned(),
            Self::Fallback(codes) => format!("fallback {}", codes.join("+")),
        }
    }
}

/// What was found out about instances.
#[derive(Clone, Copy, Debug, Default)]
pub struct Soundness {
    /// Instances tried.
    pub instances: usize,
    /// Accepted by the resolved schema, and so by the original.
    pub accepted: usize,
    /// Accepted by the original but not by the resolved schema: what closing costs.
    pub lost: usize,
    /// Accepted as they stream.
    pub streamed: usize,
    /// Schemas that the validator does not take, so that nothing could be tried.
    pub unverified: usize,
    /// Schemas that cannot be checked as they stream.
    pub without_automaton: usize,
}

impl Soundness {
    pub fn add(&mut self, other: Soundness) {
        self.instances += other.instances;
        self.accepted += other.accepted;
        self.lost += other.lost;
        self.streamed += other.streamed;
        self.unverified += other.unverified;
        self.without_automaton += other.without_automaton;
    }
}

/// One schema with its verdict.
pub struct Judged {
    pub class: Class,
    pub resolved: Option<Value>,
    /// An optional property that cannot be null has become mandatory.
    pub makes_mandatory: bool,
}

/// Resolves and asserts what holds of the schemas themselves.
pub fn judge(schema: &Value, profile: &Profile) -> Judged {
    let untouched = schema.clone();
    let outcome = resolve(schema, profile);
    assert_eq!(schema, &untouched);
    match outcome {
        Resolved::Fallback { reasons } => {
            assert!(!reasons.is_empty(), "a fallback without a reason: {schema}");
            let mut codes = Vec::new();
            for reason in reasons {
                assert!(
                    schema.pointer(&reason.pointer).is_some(),
                    "no such place: {} ({}) in {schema}",
                    reason.pointer,
                    reason.code
                );
                assert!(reason.message.len() > 8, "{reason:?}");
                codes.push(reason.code.to_string());
            }
            codes.sort();
            codes.dedup();
            Judged {
                class: Class::Fallback(codes),
                resolved: None,
                makes_mandatory: false,
            }
        }
        Resolved::Strict {
            schema: resolved,
            restore,
            changes,
        } => {
            let c_is_on = profile.rewrites.nullable_optionals
                || profile.rewrites.maps_to_arrays
                || profile.rewrites.constraints_to_description;
            assert!(c_is_on || restore.is_empty(), "{schema}");
            check_strict_passes(&resolved, profile, schema);
            assert!(
                !changes.is_empty() || &resolved == schema,
                "silent: {schema}\n{resolved}"
            );
            assert_idempotent(schema, &resolved, profile);
            if !c_is_on {
                order_is_kept(schema, &resolved);
            }
            let b = changes.iter().any(|change| change.level == Level::B);
            let class = match (changes.is_empty(), b) {
                (true, _) => Class::AlreadyStrict,
                (false, false) => Class::A,
                (false, true) => Class::AB,
            };
            let mandatory = |change: &Change| change.code == ChangeCode::OptionalMadeMandatory;
            Judged {
                class,
                makes_mandatory: changes.iter().any(mandatory),
                resolved: Some(resolved),
            }
        }
    }
}

fn check_strict_passes(resolved: &Value, profile: &Profile, schema: &Value) {
    let at = Where::ResponsesTool {
        index: 0,
        name: "f",
    };
    if let Err(violations) = check_strict(resolved, profile, at) {
        panic!(
            "resolved to what is not strict: {}\n{schema}\n{resolved}",
            violations[0].message
        );
    }
}

fn assert_idempotent(schema: &Value, resolved: &Value, profile: &Profile) {
    match resolve(resolved, profile) {
        Resolved::Strict {
            schema: again,
            changes,
            ..
        } => {
            // Compared as text: the order of keys counts.
            assert_eq!(
                again.to_string(),
                resolved.to_string(),
                "not idempotent: {schema}\n{changes:?}"
            );
        }
        Resolved::Fallback { reasons } => {
            panic!("the resolved schema falls back: {reasons:?}\n{schema}\n{resolved}")
        }
    }
}

/// The properties of the root keep their order, and so do those of every object that is at the same
/// place afterwards; `required` lists them in that order.
fn order_is_kept(before: &Value, after: &Value) {
    if let (Some(old), Some(new)) = (properties(before), properties(after)) {
        let old: Vec<_> = old.keys().collect();
        let new: Vec<_> = new.keys().collect();
        // A part of `allOf` that is closed takes keys away; nothing else does.
        let old: Vec<_> = old
            .into_iter()
            .filter(|key| before.get("allOf").is_none() || new.contains(key))
            .collect();
        // A merged `allOf` adds keys; those there were stay in order.
        let kept: Vec<_> = new
            .iter()
            .filter(|key| old.contains(key))
            .copied()
            .collect();
        assert_eq!(kept, old, "reordered: {before}\n{after}");
        let required = after["required"].as_array().expect("every property");
        if after["type"] == "object" && before.get("required") != after.get("required") {
            let required: Vec<_> = required.iter().filter_map(Value::as_str).collect();
            assert_eq!(required, new, "required is in another order: {after}");
        }
        for key in old {
            order_is_kept(&before["properties"][key], &after["properties"][key]);
        }
    }
    if let (Some(old), Some(new)) = (before.get("items"), after.get("items")) {
        order_is_kept(old, new);
    }
}

fn properties(schema: &Value) -> Option<&serde_json::Map<String, Value>> {
    schema.get("properties")?.as_object()
}

/// The schema with OpenAPI's `nullable` as a type: plain JSON Schema does not hear it, and the
/// resolver does (row 27).
pub fn heard(schema: &Value) -> Value {
    let Some(object) = schema.as_object() else {
        return schema.clone();
    };
    let mut out = serde_json::Map::new();
    for (key, value) in object {
        let value = match (key.as_str(), value) {
            (
                "properties" | "$defs" | "definitions" | "patternProperties" | "dependentSchemas",
                Value::Object(named),
            ) => named
                .iter()
                .map(|(name, inner)| (name.clone(), heard(inner)))
                .collect(),
            ("const" | "enum" | "default" | "examples", _) => value.clone(),
            (_, Value::Array(parts)) => parts.iter().map(heard).collect(),
            (_, Value::Object(_)) => heard(value),
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    let nullable = object.get("nullable") == Some(&Value::Bool(true));
    if let (true, Some(Value::String(kind))) = (nullable, object.get("type")) {
        out.insert("type".to_owned(), json!([kind, "null"]));
    } else if let (true, Some(Value::Array(kinds))) = (nullable, object.get("type"))
        && !kinds.iter().any(|kind| kind == "null")
    {
        let mut kinds = kinds.clone();
        kinds.push(json!("null"));
        out.insert("type".to_owned(), kinds.into());
    } else if nullable && !object.contains_key("type") {
        // Beside a reference or its `allOf` it is how OpenAPI writes "that one, or null".
        let null = json!({"type": "null"});
        for key in ["anyOf", "oneOf"] {
            if let Some(Value::Array(branches)) = out.get_mut(key) {
                branches.push(null);
                return Value::Object(out);
            }
        }
        for key in ["$ref", "allOf"] {
            if let Some(value) = out.shift_remove(key) {
                out.insert(
                    "anyOf".to_owned(),
                    json!([{ key: value }, {"type": "null"}]),
                );
                break;
            }
        }
    }
    Value::Object(out)
}

/// Instances against both schemas. `given` come from the corpus; `samples` more are made.
pub fn instances(
    original: &Value,
    resolved: &Value,
    given: &[Value],
    samples: usize,
    chance: &mut Chance,
) -> Soundness {
    let mut sound = Soundness::default();
    let (Ok(old), Ok(new)) = (Validator::new(&heard(original)), Validator::new(resolved)) else {
        sound.unverified = 1;
        return sound;
    };
    let automaton = Automaton::compile(resolved).map(Arc::new);
    sound.without_automaton = usize::from(automaton.is_err());
    let made: Vec<Value> = (0..samples)
        .map(|n| sample(resolved, chance, if n % 4 == 3 { 6 } else { 0 }))
        .collect();
    for instance in given.iter().chain(&made) {
        sound.instances += 1;
        let by_old = old.verdict(instance).is_ok();
        let by_new = new.verdict(instance).is_ok();
        assert!(
            by_old || !by_new,
            "unsound: {instance}\nis valid against {resolved}\nbut not against {original}"
        );
        sound.accepted += usize::from(by_new);
        sound.lost += usize::from(by_old && !by_new);
        let Ok(automaton) = &automaton else { continue };
        let streamed = streams(automaton.clone(), &instance.to_string());
        // The automaton also wants the keys in order, which instances from outside need not keep.
        assert!(
            streamed || !by_new || given.iter().any(|one| one == instance),
            "valid, but refused as it streams: {instance}\n{resolved}"
        );
        sound.streamed += usize::from(streamed);
    }
    sound
}

/// Whether a text is accepted whole, a byte at a time.
pub fn streams(automaton: Arc<Automaton>, text: &str) -> bool {
    let mut checker = ArgumentChecker::new(automaton);
    for byte in text.as_bytes() {
        if checker.push(std::slice::from_ref(byte)).is_err() {
            return false;
        }
        assert!(checker.state_bytes() < 4_096, "{text}");
    }
    checker.is_complete()
}

pub fn accepts(schema: &Value, instance: &Value) -> bool {
    Validator::new(schema).is_ok_and(|validator| validator.verdict(instance).is_ok())
}
