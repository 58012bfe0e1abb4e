//! What becomes of a function's schema in a request: one answer, for the server and for whoever
//! wants to know it beforehand.

use serde_json::Value;

use crate::{
    Change, Profile, Reason, Resolved, Restore, Violation, Where, check_root, check_strict,
    resolve, resolve::inline_root,
};

/// The outcome for a schema that is not refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// What `strict: true` or `false` asked for. `schema` is `None` where the schema stands as it
    /// is.
    AsAsked {
        /// The schema with its root's reference inlined.
        schema: Option<Value>,
    },
    /// `strict` was left out, and the schema is strict now.
    Strict {
        /// The resolved schema.
        schema: Value,
        /// How arguments become what the original says.
        restore: Restore,
        /// What was rewritten.
        changes: Vec<Change>,
    },
    /// `strict` was left out, and the schema cannot be strict: best effort.
    Fallback {
        /// As in [`Decision::AsAsked`].
        schema: Option<Value>,
        /// Why.
        reasons: Vec<Reason>,
    },
}

/// Decides about a function's parameters or a format's schema, `strict` as the request says it.
///
/// A function's root that is only a `$ref` is replaced by what it refers to before it is judged
/// (`strict: true` excepted, which takes schemas as they are).
///
/// # Errors
/// The request is refused with these violations, the first of them in OpenAI's words.
pub fn decide(
    schema: &Value,
    strict: Option<bool>,
    profile: &Profile,
    at: Where<'_>,
) -> Result<Decision, Vec<Violation>> {
    let reasons = match strict {
        Some(true) => {
            check_strict(schema, profile, at)?;
            return Ok(Decision::AsAsked { schema: None });
        }
        Some(false) => None,
        None => match resolve(schema, profile) {
            Resolved::Strict {
                schema,
                restore,
                changes,
            } => {
                return Ok(Decision::Strict {
                    schema,
                    restore,
                    changes,
                });
            }
            Resolved::Fallback { reasons } => Some(reasons),
        },
    };
    let inlined = at
        .is_function()
        .then(|| inline_root(schema, profile))
        .flatten();
    check_root(inlined.as_ref().unwrap_or(schema), at).map_err(|violation| vec![violation])?;
    Ok(match reasons {
        Some(reasons) => Decision::Fallback {
            schema: inlined,
            reasons,
        },
        None => Decision::AsAsked { schema: inlined },
    })
}
