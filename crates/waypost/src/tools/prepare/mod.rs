//! Schemas of a request, made strict where they can be: what `strict` means in
//! the Responses API.
//!
//! - omitted or null: the schema is resolved; what cannot be is left untouched
//!   but for a root that is only a reference, and not strict, and the reasons are
//!   kept for whoever asks.
//! - `true`: the schema is checked as it is, and refused in OpenAI's words.
//! - `false`: the schema is left untouched, but for such a root.
//!
//! Whatever `strict` says, a function's schema must be an object's.
//!
//! The same tools come with every turn of a conversation, so what resolving
//! found is kept ([`cache`]). Easy to break: what is kept depends on the schema
//! and the profile alone, never on the tool's name or its place.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use strict_schema::{
    Decision, Profile, Reason, Restore, Rewrites, Violation, Where, decide, empty_parameters,
};

use self::cache::{Cache, Key};
pub use self::{
    fallbacks::{FALLBACK_HEADER, Fallbacks},
    large::is_large,
};
use crate::{config::ToolsConfig, http::error::ApiError, metrics::Metrics};

mod cache;
mod fallbacks;
mod large;
#[cfg(test)]
mod tests;

/// What became of one function's schema.
#[derive(Debug)]
pub struct Prepared {
    /// The resolved schema, or the client's own with its root's reference
    /// inlined; `None` where the client's own stands.
    pub parameters: Option<Value>,
    /// Whether arguments are guaranteed to validate against it.
    pub strict: bool,
    /// The client left `strict` out and wrote another schema than the resolved
    /// one: what satisfies its own may be delivered.
    pub narrows: bool,
    /// How arguments become what the client's own schema says (level C).
    pub restore: Restore,
    /// Why the schema could not be made strict.
    pub fallback: Option<Vec<Reason>>,
    /// About the bytes of the schema as the client wrote it.
    pub bytes: usize,
    outcome: Outcome,
}

/// Where a schema stands, for errors.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its place in a list of tools, or as a format.
    pub at: Where<'a>,
    /// The path of the item that holds the list; `None` for the request itself.
    pub item: Option<&'a str>,
}

/// Prepares schemas under the configured profile.
pub struct Preparer {
    /// For the request's own tools.
    profile: Profile,
    /// For tools in items: they are stored resolved, without what would undo a
    /// rewrite of level C, so they get none.
    stored: Profile,
    cache: Cache,
    counters: Counters,
}

/// A profile's name that no profile has.
#[derive(Debug, thiserror::Error)]
#[error("is `{0}`: it must be one of {names}", names = Profile::NAMES.join(", "))]
pub struct UnknownProfile(String);

/// What was found, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Strict as it came.
    Unchanged,
    /// Strict after rewriting.
    Rewritten,
    /// Not strict: it could not be.
    Fallback,
    /// What `strict: true` or `false` asked for.
    AsAsked,
}

struct Counters {
    unchanged: Counter,
    rewritten: Counter,
    fallback: Counter,
    as_asked: Counter,
    refused: Counter,
}

impl Preparer {
    pub fn new(config: &ToolsConfig, metrics: &Metrics) -> Result<Self, UnknownProfile> {
        let named = Profile::named(&config.profile)
            .ok_or_else(|| UnknownProfile(config.profile.clone()))?;
        let with = |rewrites: Rewrites| Profile {
            rewrites,
            ..named.clone()
        };
        let count = |outcome| metrics.schemas_resolved(outcome);
        Ok(Self {
            profile: with(Rewrites {
                meaning_preserving: config.rewrite_equivalent,
                nullable_optionals: config.optional_as_nullable,
                constraints_to_description: config.constraints_in_description,
                maps_to_arrays: config.maps_as_arrays,
            }),
            stored: with(Rewrites {
                meaning_preserving: config.rewrite_equivalent,
                nullable_optionals: false,
                constraints_to_description: false,
                maps_to_arrays: false,
            }),
            cache: Cache::default(),
            counters: Counters {
                unchanged: count("strict_unchanged"),
                rewritten: count("strict_rewritten"),
                fallback: count("fallback"),
                as_asked: count("as_asked"),
                refused: count("refused"),
            },
        })
    }

    /// The parameters of a function; `None` is a function without any.
    pub fn function(
        &self,
        parameters: Option<&Value>,
        strict: Option<bool>,
        place: Place<'_>,
    ) -> Result<Arc<Prepared>, ApiError> {
        let profile = match place.item {
            None => &self.profile,
            Some(_) => &self.stored,
        };
        let scope = u8::from(place.item.is_some());
        let prepared = self.cached(scope, parameters, strict, || {
            prepare(parameters, strict, profile, place.at)
        });
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(violations) => {
                self.counters.refused.inc();
                return Err(refusal(violations, place.item));
            }
        };
        self.counters.of(prepared.outcome).inc();
        if let Some(reasons) = &prepared.fallback {
            tracing::debug!(
                schema = %place.at.param(),
                reasons = ?reasons,
                "a tool's schema cannot be made strict"
            );
        }
        Ok(prepared)
    }

    /// The schema of an output's format: never rewritten.
    pub fn format(&self, schema: &Value, strict: bool, at: Where<'_>) -> Result<(), ApiError> {
        const SCOPE: u8 = 2;
        self.cached(SCOPE, Some(schema), Some(strict), || {
            prepare(Some(schema), Some(strict), &self.profile, at)
        })
        .map(drop)
        .map_err(|violations| refusal(violations, None))
    }

    fn cached(
        &self,
        scope: u8,
        schema: Option<&Value>,
        strict: Option<bool>,
        prepare: impl FnOnce() -> Result<Prepared, Vec<Violation>>,
    ) -> Result<Arc<Prepared>, Vec<Violation>> {
        Key::with(scope, schema, strict, |key| {
            if let Some(known) = self.cache.get(key) {
                return Ok(known);
            }
            let prepared = Arc::new(Prepared {
                bytes: key.bytes(),
                ..prepare()?
            });
            self.cache.put(key, &prepared);
            Ok(prepared)
        })
    }
}

fn prepare(
    schema: Option<&Value>,
    strict: Option<bool>,
    profile: &Profile,
    at: Where<'_>,
) -> Result<Prepared, Vec<Violation>> {
    let as_asked = |parameters, strict| Prepared {
        parameters,
        strict,
        narrows: false,
        restore: Restore::default(),
        fallback: None,
        bytes: 0,
        outcome: Outcome::AsAsked,
    };
    let Some(schema) = schema else {
        return Ok(match strict {
            Some(false) => as_asked(None, false),
            Some(true) => as_asked(Some(empty_parameters()), true),
            None => Prepared {
                outcome: Outcome::Rewritten,
                ..as_asked(Some(empty_parameters()), true)
            },
        });
    };
    Ok(match decide(schema, strict, profile, at)? {
        Decision::AsAsked { schema } => as_asked(schema, strict == Some(true)),
        Decision::Strict {
            schema,
            restore,
            changes,
        } => Prepared {
            restore,
            narrows: !changes.is_empty(),
            outcome: if changes.is_empty() {
                Outcome::Unchanged
            } else {
                Outcome::Rewritten
            },
            ..as_asked((!changes.is_empty()).then_some(schema), true)
        },
        Decision::Fallback { schema, reasons } => Prepared {
            fallback: Some(reasons),
            outcome: Outcome::Fallback,
            ..as_asked(schema, false)
        },
    })
}

/// OpenAI says what is wrong first; here the rest is said too.
fn refusal(violations: Vec<Violation>, item: Option<&str>) -> ApiError {
    let details = violations
        .iter()
        .map(|violation| {
            json!({
                "message": violation.message,
                "param": within(item, &violation.param),
                "code": violation.code,
                "pointer": violation.pointer,
                "kind": violation.kind.to_string(),
            })
        })
        .collect();
    let Some(first) = violations.into_iter().next() else {
        return ApiError::internal("a schema was refused without a violation");
    };
    ApiError::invalid(first.message)
        .param(within(item, &first.param))
        .code(first.code)
        .details(details)
}

fn within(item: Option<&str>, param: &str) -> String {
    match item {
        Some(item) => format!("{item}.{param}"),
        None => param.to_owned(),
    }
}

impl Counters {
    fn of(&self, outcome: Outcome) -> &Counter {
        match outcome {
            Outcome::Unchanged => &self.unchanged,
            Outcome::Rewritten => &self.rewritten,
            Outcome::Fallback => &self.fallback,
            Outcome::AsAsked => &self.as_asked,
        }
    }
}
