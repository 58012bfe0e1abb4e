//! A verdict for each tool: what the server does with it when a request carries it.
//!
//! Responses with `strict` left out resolves the schema; everything else takes it as it is. What
//! `strict: true` says is checked with OpenAI's rules and refused with OpenAI's words.

use serde::Serialize;
use serde_json::Value;
use strict_json::Position;
use strict_schema::{
    Change, ChangeCode, Decision, Level, Profile, Resolved, Violation, Where, decide,
    empty_parameters, resolve,
};

use super::{
    Api,
    shapes::{Found, Shape},
};

/// What becomes of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Strict as it is written.
    Strict,
    /// Strict, with the schema that is shown.
    StrictAfterRewriting,
    /// Taken as it is written, and not enforced: `strict: false`.
    Fallback,
    /// The request is answered with 400.
    Refused,
}

/// A tool with its verdict; the entry of the JSON document.
#[derive(Debug, Serialize)]
pub(super) struct Judged {
    pub file: String,
    /// Of the tool in its document.
    pub pointer: String,
    #[serde(flatten)]
    pub position: Option<Position>,
    pub shape: Shape,
    pub name: Option<String>,
    pub namespace: Option<String>,
    /// As the tool says it.
    pub strict: Option<bool>,
    pub verdict: Verdict,
    /// Why it is refused or falls back.
    pub reasons: Vec<Finding>,
    pub warnings: Vec<Finding>,
    pub changes: Vec<Changed>,
    /// What strict mode uses; null when it falls back or is refused.
    pub schema: Option<Value>,
    /// What the rewrites that change meaning would make of it, where they change the outcome.
    pub with_all_rewrites: Option<Alternative>,
    #[serde(skip)]
    pub original: Value,
    #[serde(skip)]
    schema_pointer: String,
}

/// Something to know about one place of a schema.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// A stable word.
    pub code: String,
    /// In the tool's schema.
    pub pointer: String,
    #[serde(flatten)]
    pub position: Option<Position>,
    pub message: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Changed {
    pub level: &'static str,
    pub code: String,
    pub pointer: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Alternative {
    pub verdict: Verdict,
    /// Those of level C.
    pub changes: Vec<Changed>,
}

/// Judges by one API and one profile.
pub(super) struct Judge {
    api: Api,
    profile: Profile,
    /// The same with every rewrite on.
    generous: Profile,
}

impl Judge {
    pub(super) fn new(api: Api, profile: Profile) -> Self {
        let mut generous = profile.clone();
        generous.rewrites.meaning_preserving = true;
        generous.rewrites.nullable_optionals = true;
        generous.rewrites.constraints_to_description = true;
        generous.rewrites.maps_to_arrays = true;
        Self {
            api,
            profile,
            generous,
        }
    }

    pub(super) fn judge(&self, found: &Found<'_>) -> Judged {
        let mut judged = Judged::new(found);
        let at = self.place(found);
        let is_format = matches!(found.shape, Shape::ResponsesFormat | Shape::ChatFormat);
        if found.shape == Shape::LegacyFunction && found.strict.is_some() {
            judged.refuse(
                "strict_in_functions",
                format!(
                    "Invalid function definition for '{}': the 'strict' parameter is only permitted in 'tools'.",
                    found.name.unwrap_or_default()
                ),
            );
            return judged;
        }
        let Some(schema) = found.schema else {
            if is_format {
                judged.refuse("schema_missing", "The format has no schema.".to_owned());
            } else {
                // Documented: a function without parameters has an empty parameter list.
                judged.verdict = Verdict::StrictAfterRewriting;
                judged.schema = Some(empty_parameters());
            }
            return judged;
        };
        let resolves = self.api == Api::Responses && !is_format;
        // Left out, it is false everywhere else.
        let strict = match found.strict {
            None if resolves => None,
            strict => Some(strict.unwrap_or(false)),
        };
        match decide(schema, strict, &self.profile, at) {
            Err(violations) => judged.violations(Verdict::Refused, violations),
            Ok(_) if strict == Some(true) => judged.schema = Some(schema.clone()),
            Ok(_) if resolves => {
                self.resolve(schema, at, &mut judged);
                if found.strict == Some(false) {
                    judged.warn("strict_is_off", "", "The tool says `strict: false`: nothing is enforced. The verdict is what leaving it out gives.".to_owned());
                }
            }
            Ok(_) => match decide(schema, Some(true), &self.profile, at) {
                Ok(_) => {
                    judged.schema = Some(schema.clone());
                    judged.warn("strict_is_off", "", "Nothing is enforced without `strict: true`, which this schema is ready for.".to_owned());
                }
                Err(violations) => judged.violations(Verdict::Fallback, violations),
            },
        }
        judged
    }

    /// What holds for names: the characters, the length, and only once. `seen` is the document's.
    pub(super) fn name(
        &self,
        found: &Found<'_>,
        seen: &mut Vec<(Option<String>, String)>,
        judged: &mut Judged,
    ) {
        // Names of MCP tools and of bare schemas are never sent as function names unchanged.
        let most = match (found.shape, self.api) {
            (Shape::Schema | Shape::Mcp | Shape::Messages, _) => return,
            (Shape::ResponsesFunction, Api::Responses) => 128,
            _ => 64,
        };
        let Some(name) = found.name else {
            return judged.refuse("name_missing", "It has no name.".to_owned());
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(allowed) {
            judged.refuse(
                "name_pattern",
                format!("The name '{name}' does not match the pattern '^[a-zA-Z0-9_-]+$'."),
            );
        } else if name.len() > most {
            judged.refuse(
                "name_too_long",
                format!(
                    "The name has {} characters; the limit is {most}.",
                    name.len()
                ),
            );
        }
        if matches!(found.shape, Shape::ResponsesFormat | Shape::ChatFormat) {
            return;
        }
        let full = (found.namespace.map(str::to_owned), name.to_owned());
        if seen.contains(&full) {
            judged.refuse("name_twice", "Tool names must be unique".to_owned());
        }
        seen.push(full);
    }

    fn resolve(&self, schema: &Value, at: Where<'_>, judged: &mut Judged) {
        match decide(schema, None, &self.profile, at) {
            Ok(Decision::Strict {
                schema: resolved,
                changes,
                ..
            }) => {
                if &resolved != schema || !changes.is_empty() {
                    judged.verdict = Verdict::StrictAfterRewriting;
                }
                judged.changes = changes.iter().map(Changed::of).collect();
                judged.schema = Some(resolved);
                judged.warn_of_mandatory(schema, &changes);
            }
            Ok(Decision::Fallback { reasons, .. }) => {
                judged.verdict = Verdict::Fallback;
                judged.reasons = reasons
                    .into_iter()
                    .map(|reason| Finding {
                        code: reason.code.to_string(),
                        pointer: reason.pointer,
                        position: None,
                        message: reason.message,
                    })
                    .collect();
            }
            Ok(Decision::AsAsked { .. }) => {}
            Err(violations) => judged.violations(Verdict::Refused, violations),
        }
        let wants_more = judged.verdict == Verdict::Fallback || !judged.warnings.is_empty();
        if wants_more && self.generous != self.profile {
            judged.with_all_rewrites = self.alternative(schema);
        }
    }

    fn alternative(&self, schema: &Value) -> Option<Alternative> {
        let Resolved::Strict { changes, .. } = resolve(schema, &self.generous) else {
            return None;
        };
        let changes: Vec<_> = changes
            .iter()
            .filter(|change| change.level == Level::C)
            .map(Changed::of)
            .collect();
        (!changes.is_empty()).then_some(Alternative {
            verdict: Verdict::StrictAfterRewriting,
            changes,
        })
    }

    fn place<'a>(&self, found: &Found<'a>) -> Where<'a> {
        let (index, name) = (found.index, found.name.unwrap_or_default());
        match (found.shape, self.api) {
            (Shape::ResponsesFormat, _) => Where::ResponsesFormat { name },
            (Shape::ChatFormat, _) => Where::ChatFormat { name },
            (_, Api::Chat) => Where::ChatTool { index, name },
            (_, Api::Responses) => match found.inner {
                Some(inner) => Where::ResponsesNamespaceTool { index, inner, name },
                None => Where::ResponsesTool { index, name },
            },
        }
    }
}

impl Judged {
    fn new(found: &Found<'_>) -> Self {
        Self {
            file: String::new(),
            pointer: found.tool_pointer.clone(),
            position: None,
            shape: found.shape,
            name: found.name.map(str::to_owned),
            namespace: found.namespace.map(str::to_owned),
            strict: found.strict,
            verdict: Verdict::Strict,
            reasons: Vec::new(),
            warnings: Vec::new(),
            changes: Vec::new(),
            schema: None,
            with_all_rewrites: None,
            original: found.schema.cloned().unwrap_or(Value::Null),
            schema_pointer: found.schema_pointer.clone(),
        }
    }

    /// Sets file, lines and columns; `locate` takes pointers into the document.
    pub(super) fn place(&mut self, file: &str, locate: impl Fn(&str) -> Option<Position>) {
        file.clone_into(&mut self.file);
        self.position = locate(&self.pointer);
        let (base, tool) = (&self.schema_pointer, self.position);
        for finding in self.reasons.iter_mut().chain(&mut self.warnings) {
            // A reason can point to something that is missing: then its tool is the place.
            finding.position = locate(&format!("{base}{}", finding.pointer)).or(tool);
        }
    }

    fn refuse(&mut self, code: &str, message: String) {
        self.verdict = Verdict::Refused;
        self.schema = None;
        self.changes.clear();
        self.with_all_rewrites = None;
        self.reasons.push(Finding::new(code, "", message));
    }

    fn violations(&mut self, verdict: Verdict, violations: Vec<Violation>) {
        self.verdict = verdict;
        self.reasons = violations
            .into_iter()
            .map(|violation| {
                Finding::new(
                    &violation.kind.to_string(),
                    &violation.pointer,
                    violation.message,
                )
            })
            .collect();
    }

    fn warn(&mut self, code: &str, pointer: &str, message: String) {
        self.warnings.push(Finding::new(code, pointer, message));
    }

    /// What users of strict tools complain about most: models fill such a field with `""`, `0` or
    /// the first enum value.
    fn warn_of_mandatory(&mut self, schema: &Value, changes: &[Change]) {
        for change in changes {
            if change.code != ChangeCode::OptionalMadeMandatory {
                continue;
            }
            let field = change.pointer.rsplit('/').next().unwrap_or_default();
            let field = field.replace("~1", "/").replace("~0", "~");
            let property = schema.pointer(&change.pointer);
            let default = match property.and_then(|property| property.get("default")) {
                Some(_) => ", whatever its default says,",
                None => "",
            };
            self.warn(
                "optional_becomes_mandatory",
                &change.pointer,
                format!(
                    "'{field}' is optional and cannot be null: strict mode makes it mandatory{default} and the model has to invent a value for it."
                ),
            );
        }
    }
}

impl Finding {
    fn new(code: &str, pointer: &str, message: String) -> Self {
        Self {
            code: code.to_owned(),
            pointer: pointer.to_owned(),
            position: None,
            message,
        }
    }
}

impl Changed {
    fn of(change: &Change) -> Self {
        Self {
            level: match change.level {
                Level::A => "A",
                Level::B => "B",
                Level::C => "C",
            },
            code: change.code.to_string(),
            pointer: change.pointer.clone(),
        }
    }
}
