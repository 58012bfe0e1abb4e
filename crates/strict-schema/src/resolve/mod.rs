//! `strict` omitted: make the schema strict if that can be done, say why if not.
//!
//! A copy is rewritten in place, top-down and in order: references are gathered
//! at the top level ([`hoist`]), then each node is respelled (level B,
//! [`spelling`]), opened up where the operator asked for it (level C, [`loose`])
//! and closed (level A, [`rewrite`]). Nothing is judged on the way. The result
//! goes through the same check as `strict: true`; what the check finds are the
//! reasons of the fallback, carried back to the places of the original.
//!
//! The invariant: levels A and B only narrow. A document that the resolved schema
//! accepts, the original accepts.

mod changes;
mod conjoin;
mod hoist;
mod loose;
mod merge;
mod moves;
mod no_op;
mod reason;
mod restore;
mod rewrite;
mod spelling;
mod union;

use std::fmt;

use serde_json::{Value, json};

use crate::check;
use crate::limits::Size;
use crate::profile::Profile;
pub use reason::{Reason, ReasonCode};
pub use restore::Restore;

/// What became of a schema whose `strict` was omitted.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// It is strict now.
    Strict {
        /// The schema to use and to echo.
        schema: Value,
        /// How arguments for it become arguments for the original. Empty unless
        /// a rewrite of level C was done.
        restore: Restore,
        /// What was rewritten, the first few hundred of it. Empty only when the schema was strict
        /// already.
        changes: Vec<Change>,
    },
    /// It stays as it was, and is not enforced.
    Fallback {
        /// Why, in document order. Never empty.
        reasons: Vec<Reason>,
    },
}

/// One rewrite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// JSON pointer into the original schema.
    pub pointer: String,
    /// What was done there.
    pub code: ChangeCode,
    /// How far it may change the meaning.
    pub level: Level,
}

/// How far a rewrite may change what a schema means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Closing objects and requiring properties, as OpenAI does.
    A,
    /// Another spelling of the same.
    B,
    /// On the operator's word.
    C,
}

macro_rules! changes {
    ($($(#[$doc:meta])+ $variant:ident $word:literal,)+) => {
        /// What a rewrite does. `Display` is a stable word in snake_case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ChangeCode { $($(#[$doc])+ $variant,)+ }

        impl ChangeCode {
            /// The stable word.
            pub fn as_str(self) -> &'static str {
                match self { $(ChangeCode::$variant => $word,)+ }
            }
        }
    };
}

changes! {
    /// `additionalProperties: false` was added.
    ObjectClosed "object_closed",
    /// An empty `properties` was added to a closed object.
    PropertiesAdded "properties_added",
    /// A property that may be null was added to `required`.
    PropertyRequired "property_required",
    /// A property that was optional, and may not be null, is mandatory now.
    OptionalMadeMandatory "optional_made_mandatory",
    /// `required` was added to an object without properties.
    RequiredAdded "required_added",
    /// `type` was written as a plain name, or inferred.
    TypeSpelled "type_spelled",
    /// `enum` of several types became a union.
    EnumSplit "enum_split",
    /// OpenAPI's `nullable` became a type.
    NullableSpelled "nullable_spelled",
    /// `oneOf` with disjoint branches became `anyOf`.
    OneOfToAnyOf "one_of_to_any_of",
    /// `allOf` was merged into its node.
    AllOfMerged "all_of_merged",
    /// A `$ref` with annotations was wrapped.
    RefWrapped "ref_wrapped",
    /// The root's `$ref` was replaced by its target.
    RootRefInlined "root_ref_inlined",
    /// A definition moved to the top level.
    DefinitionHoisted "definition_hoisted",
    /// A keyword that constrains nothing here was dropped.
    KeywordDropped "keyword_dropped",
    /// A keyword was written as current drafts write it.
    KeywordModernized "keyword_modernized",
    /// Level C: an optional property may be null, and the null is taken away.
    OptionalMadeNullable "optional_made_nullable",
    /// Level C: a constraint was moved into the description.
    ConstraintDescribed "constraint_described",
    /// Level C: a map became an array of keys and values.
    MapToArray "map_to_array",
    /// Down-levelling: a constraint that the engine does not take was dropped.
    ConstraintDropped "constraint_dropped",
    /// Down-levelling: a part was replaced by "anything".
    Loosened "loosened",
}

impl fmt::Display for ChangeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Resolves a function's parameters whose `strict` was omitted.
///
/// Missing parameters are no schema; see [`empty_parameters`] for them.
///
/// ```
/// use serde_json::json;
/// use strict_schema::{Profile, Resolved, resolve};
///
/// let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
/// let Resolved::Strict { schema, .. } = resolve(&schema, &Profile::default()) else {
///     panic!("an object with one string becomes strict");
/// };
/// assert_eq!(schema["additionalProperties"], json!(false));
/// assert_eq!(schema["required"], json!(["city"]));
///
/// let map = json!({"type": "object", "properties": {
///     "labels": {"type": "object", "additionalProperties": {"type": "string"}},
/// }});
/// let Resolved::Fallback { reasons } = resolve(&map, &Profile::default()) else {
///     panic!("a map has no strict form");
/// };
/// assert_eq!(reasons[0].pointer, "/properties/labels");
/// assert_eq!(reasons[0].code.to_string(), "map_object");
/// ```
pub fn resolve(schema: &Value, profile: &Profile) -> Resolved {
    if let Err(reasons) = guard(schema, profile) {
        return Resolved::Fallback { reasons };
    }
    let outcome = rewrite::rewrite(schema, profile);
    let findings = check::findings(&outcome.schema, profile);
    if findings.is_empty() && outcome.places.are_too_many() {
        return Resolved::Fallback {
            reasons: vec![reason::too_many_places()],
        };
    }
    if findings.is_empty() {
        let restore = Restore::new(&outcome.schema, outcome.places);
        return Resolved::Strict {
            schema: outcome.schema,
            restore,
            changes: outcome.changes.told(),
        };
    }
    Resolved::Fallback {
        reasons: reason::reasons(findings, &outcome.moves, schema),
    }
}

/// The schema with what its root refers to in the root's place; `None` where the root is more than
/// a reference, or rewrites that keep the meaning are off.
pub(crate) fn inline_root(schema: &Value, profile: &Profile) -> Option<Value> {
    if !profile.rewrites.meaning_preserving || Size::of(schema, &profile.guards).is_err() {
        return None;
    }
    rewrite::inline_root(schema, profile)
}

/// What missing or null parameters mean: a closed object without properties.
pub fn empty_parameters() -> Value {
    json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false})
}

/// Too large a schema is not even copied.
fn guard(schema: &Value, profile: &Profile) -> Result<(), Vec<Reason>> {
    match Size::of(schema, &profile.guards) {
        Ok(_) => Ok(()),
        Err(_) => Err(reason::reasons(
            check::findings(schema, profile),
            &moves::Moves::default(),
            schema,
        )),
    }
}
