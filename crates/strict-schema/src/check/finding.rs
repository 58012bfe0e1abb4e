//! What a check finds, and the words for it.
//!
//! The texts are OpenAI's, so clients that match on them keep working. Where
//! OpenAI's text is not public the sentence is ours and says so.

use std::fmt;

use serde_json::Value;

use crate::path::{At, python_string, python_value};

/// Bytes of a value that an error text repeats.
pub(crate) const SHOWN: usize = 200;

/// Keywords that a function's root must not have.
pub(crate) const ROOT_COMBINATORS: [&str; 5] = ["oneOf", "anyOf", "allOf", "enum", "not"];

macro_rules! kinds {
    ($($(#[$doc:meta])+ $variant:ident $word:literal,)+) => {
        /// Why a schema is not strict. `Display` is a stable word in snake_case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ViolationKind { $($(#[$doc])+ $variant,)+ }

        impl ViolationKind {
            /// Every kind.
            pub const ALL: &[ViolationKind] = &[$(ViolationKind::$variant,)+];

            /// The stable word.
            pub fn as_str(self) -> &'static str {
                match self { $(ViolationKind::$variant => $word,)+ }
            }
        }
    };
}

kinds! {
    /// The root is no object.
    RootNotObject "root_not_object",
    /// The root of a function's parameters has a union, an enum or a negation.
    RootCombinator "root_combinator",
    /// An object does not say `additionalProperties: false`.
    OpenObject "open_object",
    /// `additionalProperties` is a schema: a map with any keys.
    MapObject "map_object",
    /// An object without `properties`: anything goes.
    FreeFormObject "free_form_object",
    /// A property is not in `required`.
    OptionalProperty "optional_property",
    /// `required` names what `properties` lacks.
    UndeclaredRequired "undeclared_required",
    /// `required` names a property whose schema allows anything.
    RequiredWithoutSchema "required_without_schema",
    /// An array without `items`.
    ArrayWithoutItems "array_without_items",
    /// `items` is a list: a tuple.
    TupleItems "tuple_items",
    /// No `type`, and no union that would have one.
    Untyped "untyped",
    /// `true` or `false` as a schema.
    BooleanSchema "boolean_schema",
    /// A keyword outside the subset.
    KeywordNotPermitted "keyword_not_permitted",
    /// A `format` outside the subset.
    FormatNotPermitted "format_not_permitted",
    /// A `pattern` that linear-time regular expressions cannot say.
    PatternNotSupported "pattern_not_supported",
    /// `$ref` with other keywords beside it.
    RefWithSiblings "ref_with_siblings",
    /// `$ref` to a place that is no definition of the top level.
    RefNotDefinition "ref_not_definition",
    /// `$ref` to nothing, or to another document.
    RefNotFound "ref_not_found",
    /// `$ref`s that only lead to one another.
    RefCycle "ref_cycle",
    /// An enum or const value is not of the node's type.
    EnumTypeMismatch "enum_type_mismatch",
    /// Enum values of several types.
    EnumMixedTypes "enum_mixed_types",
    /// An enum or const value is an array or an object.
    EnumOfContainers "enum_of_containers",
    /// No document, or no finite one, satisfies it.
    Unsatisfiable "unsatisfiable",
    /// Not JSON Schema at all.
    Malformed "malformed",
    /// Too many levels.
    TooManyLevels "too_many_levels",
    /// Too many properties.
    TooManyProperties "too_many_properties",
    /// Too many enum values.
    TooManyEnumValues "too_many_enum_values",
    /// One long enum has too many characters.
    EnumTooLong "enum_too_long",
    /// Names and values have too many characters.
    TooManyCharacters "too_many_characters",
    /// Too large to be read.
    TooLarge "too_large",
}

impl fmt::Display for ViolationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One violation, before anybody knows in which request it was.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub kind: ViolationKind,
    pub pointer: String,
    /// OpenAI's text without its prefix.
    pub text: String,
    /// The keyword, key, format or number it is about, for other sentences.
    pub subject: String,
}

impl Finding {
    /// `In context=(…), {tail}`
    pub(crate) fn at(
        kind: ViolationKind,
        at: &At<'_>,
        subject: impl Into<String>,
        tail: &str,
    ) -> Finding {
        let text = format!("In context={}, {tail}", at.tuple());
        Finding {
            kind,
            pointer: at.pointer(),
            text,
            subject: subject.into(),
        }
    }

    /// A text that names no place.
    pub(crate) fn plain(
        kind: ViolationKind,
        pointer: String,
        subject: impl Into<String>,
        text: String,
    ) -> Finding {
        Finding {
            kind,
            pointer,
            text,
            subject: subject.into(),
        }
    }

    /// Bytes of its texts.
    pub(super) fn bytes(&self) -> usize {
        self.pointer.len() + self.text.len() + self.subject.len()
    }

    pub(crate) fn not_permitted(at: &At<'_>, keyword: &str) -> Finding {
        let kind = ViolationKind::KeywordNotPermitted;
        if keyword == "not" {
            return Self::plain(
                kind,
                at.pointer(),
                keyword,
                "Unsupported keywords ('not',)".into(),
            );
        }
        Self::at(
            kind,
            at,
            keyword,
            &format!("{} is not permitted.", python_string(keyword)),
        )
    }

    pub(crate) fn untyped(at: &At<'_>) -> Finding {
        Self::at(
            ViolationKind::Untyped,
            at,
            "",
            "schema must have a 'type' key.",
        )
    }

    pub(crate) fn open(kind: ViolationKind, at: &At<'_>) -> Finding {
        let tail = "'additionalProperties' is required to be supplied and to be false.";
        Self::at(kind, at, "", tail)
    }

    pub(crate) fn required(kind: ViolationKind, at: &At<'_>, key: &str, tail: &str) -> Finding {
        let sentence = "'required' is required to be supplied and to be an array including \
                        every key in properties.";
        Self::at(kind, at, key, &format!("{sentence}{tail}"))
    }

    /// What the metaschema refuses, worded as a Python validator words it.
    pub(crate) fn malformed(at: &At<'_>, value: &Value, complaint: &str) -> Finding {
        let shown = python_value(value, SHOWN);
        let complaint = format!("{shown} {complaint}");
        Self::at(
            ViolationKind::Malformed,
            at,
            complaint.clone(),
            &format!("{complaint}."),
        )
    }

    /// Not documented by OpenAI: our own sentence.
    pub(crate) fn unsatisfiable(at: &At<'_>, why: String) -> Finding {
        let tail = format!("no value can satisfy the schema: {why}.");
        Self::at(ViolationKind::Unsatisfiable, at, why, &tail)
    }
}

/// What is wrong with the root, for strict and other schemas alike.
pub(crate) fn root_findings(schema: &Value, function: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let keyword = |key: &str| schema.as_object().and_then(|map| map.get(key));
    if function && ROOT_COMBINATORS.iter().any(|key| keyword(key).is_some()) {
        findings.push(Finding::plain(
            ViolationKind::RootCombinator,
            String::new(),
            "",
            "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at \
             the top level."
                .into(),
        ));
    }
    let got = match keyword("type") {
        Some(Value::String(name)) if name == "object" => return findings,
        Some(Value::String(name)) => name.clone(),
        Some(other) => python_value(other, SHOWN),
        None => "None".into(),
    };
    if findings.is_empty() {
        findings.push(Finding::plain(
            ViolationKind::RootNotObject,
            String::new(),
            got.clone(),
            format!("schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{got}\"'."),
        ));
    }
    findings
}
