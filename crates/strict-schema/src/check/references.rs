//! Judging one `$ref`: it may only point at the root or at a definition of the
//! top level, and must arrive somewhere.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::finding::{Finding, SHOWN, ViolationKind};
use crate::path::{At, python_string};
use crate::reference::{Target, definition};

/// The references of one schema. A definition that is only another reference is
/// followed once, however many point at it.
#[derive(Default)]
pub(super) struct References<'a> {
    /// Definitions that are aliases: whether the chain ends in a schema.
    ends: HashMap<&'a str, bool>,
    /// Whether any reference was seen at all.
    pub(super) any: bool,
}

impl<'a> References<'a> {
    pub(super) fn judge(
        &mut self,
        root: &'a Map<String, Value>,
        reference: &Value,
        at: &At<'_>,
    ) -> Option<Finding> {
        self.any = true;
        let Value::String(text) = reference else {
            return Some(Finding::malformed(at, reference, "is not of type 'string'"));
        };
        let arrives = match Target::of(text) {
            Target::Root => !root.contains_key("$ref"),
            Target::Definition { keyword, name } => {
                let Some((name, schema)) = definition(root, keyword, &name) else {
                    return Some(not_found(at, text));
                };
                !is_alias(schema) || self.ends(root, name, schema)
            }
            Target::Elsewhere(_) => {
                let tail = "reference can only point to definitions defined at the top level of \
                            the schema.";
                return Some(Finding::at(
                    ViolationKind::RefNotDefinition,
                    at,
                    shown(text),
                    tail,
                ));
            }
            Target::Foreign => return Some(not_found(at, text)),
        };
        // OpenAI's text for a cycle of aliases is not public.
        (!arrives).then(|| {
            let tail = format!(
                "reference to {} only leads back to itself.",
                python_string(text)
            );
            Finding::at(ViolationKind::RefCycle, at, shown(text), &tail)
        })
    }

    /// Follows aliases until something known: a schema, a verdict, or the way back.
    fn ends(&mut self, root: &'a Map<String, Value>, name: &'a str, schema: &'a Value) -> bool {
        let mut way = HashSet::new();
        let (mut name, mut schema) = (name, schema);
        let verdict = loop {
            if let Some(known) = self.ends.get(name) {
                break *known;
            }
            if !way.insert(name) {
                break false;
            }
            let reference = schema
                .get("$ref")
                .and_then(Value::as_str)
                .unwrap_or_default();
            match Target::of(reference) {
                Target::Root => break !root.contains_key("$ref"),
                Target::Definition {
                    keyword,
                    name: next,
                } => {
                    match definition(root, keyword, &next) {
                        Some((next, target)) if is_alias(target) => (name, schema) = (next, target),
                        // A broken chain is reported where it breaks.
                        _ => break true,
                    }
                }
                Target::Elsewhere(_) | Target::Foreign => break true,
            }
        };
        self.ends
            .extend(way.into_iter().map(|name| (name, verdict)));
        verdict
    }
}

fn is_alias(schema: &Value) -> bool {
    schema
        .as_object()
        .is_some_and(|map| map.contains_key("$ref"))
}

fn not_found(at: &At<'_>, text: &str) -> Finding {
    let shown = shown(text);
    let tail = format!("reference to component '{shown}' which was not found in the schema.");
    Finding::at(ViolationKind::RefNotFound, at, shown, &tail)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
