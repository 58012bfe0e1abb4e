//! Why a schema could not be made strict, in sentences for its author.

use std::collections::HashSet;

use serde_json::Value;

use super::moves::Moves;
use super::restore::MAX_PLACES;
pub use crate::check::ViolationKind as ReasonCode;
use crate::check::finding::Finding;

/// One reason for a fallback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A stable word.
    pub code: ReasonCode,
    /// JSON pointer into the original schema.
    pub pointer: String,
    /// A sentence.
    pub message: String,
}

/// The reasons behind findings in the rewritten schema.
pub(super) fn reasons(findings: Vec<Finding>, moves: &Moves, original: &Value) -> Vec<Reason> {
    let consequence = |finding: &Finding| finding.kind == ReasonCode::RequiredWithoutSchema;
    // Where a property's own schema is at fault, its parent is not.
    let only_those = findings.iter().all(consequence);
    let mut seen = HashSet::new();
    findings
        .into_iter()
        .filter(|finding| only_those || !consequence(finding))
        .map(|finding| Reason {
            code: finding.kind,
            pointer: existing(original, moves.original(&finding.pointer)),
            message: sentence(finding.kind, &finding.subject),
        })
        .filter(|reason| seen.insert((reason.code, reason.pointer.clone(), reason.message.clone())))
        .collect()
}

/// What level C changed could not be kept to be changed back.
pub(super) fn too_many_places() -> Reason {
    let subject =
        format!("the places of its optional properties and maps take more than {MAX_PLACES} bytes");
    Reason {
        code: ReasonCode::TooLarge,
        pointer: String::new(),
        message: sentence(ReasonCode::TooLarge, &subject),
    }
}

/// A part that two parts were merged into was in neither: its nearest ancestor
/// that was in the original stands for it.
fn existing(original: &Value, mut pointer: String) -> String {
    while original.pointer(&pointer).is_none() {
        pointer.truncate(pointer.rfind('/').unwrap_or(0));
    }
    pointer
}

fn sentence(kind: ReasonCode, subject: &str) -> String {
    use ReasonCode as K;
    let text = match kind {
        K::RootNotObject => {
            return format!("A function's parameters are an object; the root's type is {subject}.");
        }
        K::RootCombinator => {
            "The root may not have oneOf, anyOf, allOf, enum or not; put the union into a property."
        }
        K::OpenObject => "The object allows additional properties; strict objects are closed.",
        K::MapObject => {
            "A map with arbitrary keys has no strict form; use an array of key and value."
        }
        K::FreeFormObject => "An object without properties allows anything; list its properties.",
        K::OptionalProperty => return format!("Property \"{subject}\" is not required."),
        K::UndeclaredRequired => {
            return format!("\"{subject}\" is required but not among the properties.");
        }
        K::RequiredWithoutSchema => return format!("Property \"{subject}\" allows anything."),
        K::ArrayWithoutItems => "The array does not say what its items are; add items.",
        K::TupleItems => "Tuples have no strict form; use an object or one schema for all items.",
        K::Untyped => "The schema has no type, so it allows anything; add a type.",
        K::BooleanSchema => "A boolean schema allows anything or nothing; add a type.",
        K::KeywordNotPermitted => {
            return match subject {
                "oneOf" => "oneOf is only taken where its branches exclude each other by type or \
                            by a constant property; use anyOf."
                    .into(),
                "allOf" => {
                    "The parts of allOf cannot be merged exactly; write them as one schema.".into()
                }
                _ => format!("The keyword \"{subject}\" is outside the strict subset."),
            };
        }
        K::FormatNotPermitted => {
            return format!("The format \"{subject}\" is outside the strict subset.");
        }
        K::PatternNotSupported => {
            return format!("The pattern is not a linear-time regular expression: {subject}.");
        }
        K::RefWithSiblings => {
            return format!("$ref stands beside \"{subject}\", which constrains it further.");
        }
        K::RefNotDefinition => {
            return format!("$ref \"{subject}\" does not point to a definition of the top level.");
        }
        K::RefNotFound => {
            return format!("$ref \"{subject}\" points to nothing in this schema.");
        }
        K::RefCycle => return format!("$ref \"{subject}\" only leads back to itself."),
        K::EnumTypeMismatch => {
            return format!("The value {subject} is not of the schema's type.");
        }
        K::EnumMixedTypes => "The values of enum are of several types.",
        K::EnumOfContainers => "Values of enum and const must not be arrays or objects.",
        K::Unsatisfiable => return format!("No value can satisfy the schema: {subject}."),
        K::Malformed => return format!("This is not JSON Schema: {subject}."),
        K::TooManyLevels => return format!("The schema has {subject} levels of nesting."),
        K::TooManyProperties => return format!("The schema has {subject} properties."),
        K::TooManyEnumValues => return format!("The schema has {subject} enum values."),
        K::EnumTooLong => return format!("The values of this enum have {subject} characters."),
        K::TooManyCharacters => {
            return format!("Names and values of the schema have {subject} characters.");
        }
        K::TooLarge => return format!("The schema is too large: {subject}."),
    };
    text.into()
}
