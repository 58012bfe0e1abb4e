//! `strict: true`: is this schema in the strict subset, and if not, in OpenAI's
//! own words, why not.
//!
//! One walk in document order finds everything; [`check_strict`] puts the prefix,
//! `param` and `code` of the API and the place of the schema around each finding.
//! The first violation is the one that OpenAI would report, so its order is part
//! of the contract: node before children, and what is said about a node in the
//! order of [`walk`].

mod counts;
pub(crate) mod finding;
mod inhabited;
mod references;
mod shape;
pub(crate) mod values;
mod walk;

use serde_json::Value;

use crate::profile::Profile;
pub use finding::ViolationKind;
use finding::{Finding, root_findings};

/// Which schema of a request is being checked. Decides prefix, `param`, `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where<'a> {
    /// `tools[index].parameters` of a Responses request.
    ResponsesTool {
        /// Place in `tools`.
        index: usize,
        /// The function's name.
        name: &'a str,
    },
    /// `tools[index].tools[inner].parameters`: a function inside a namespace.
    ResponsesNamespaceTool {
        /// Place of the namespace in `tools`.
        index: usize,
        /// Place of the function in the namespace.
        inner: usize,
        /// The function's name.
        name: &'a str,
    },
    /// `tools[index].function.parameters` of a Chat Completions request.
    ChatTool {
        /// Place in `tools`.
        index: usize,
        /// The function's name.
        name: &'a str,
    },
    /// `text.format.schema` of a Responses request.
    ResponsesFormat {
        /// The format's name.
        name: &'a str,
    },
    /// `response_format` of a Chat Completions request.
    ChatFormat {
        /// The format's name.
        name: &'a str,
    },
}

impl Where<'_> {
    pub(crate) fn is_function(self) -> bool {
        !matches!(
            self,
            Where::ResponsesFormat { .. } | Where::ChatFormat { .. }
        )
    }

    /// The request parameter that an error about this schema names.
    pub fn param(self) -> String {
        match self {
            Where::ResponsesTool { index, .. } => format!("tools[{index}].parameters"),
            Where::ResponsesNamespaceTool { index, inner, .. } => {
                format!("tools[{index}].tools[{inner}].parameters")
            }
            Where::ChatTool { index, .. } => format!("tools[{index}].function.parameters"),
            Where::ResponsesFormat { .. } => "text.format.schema".into(),
            Where::ChatFormat { .. } => "response_format".into(),
        }
    }

    /// The error's `code`.
    pub fn code(self) -> &'static str {
        if self.is_function() {
            "invalid_function_parameters"
        } else {
            "invalid_json_schema"
        }
    }

    fn prefix(self) -> String {
        match self {
            Where::ResponsesTool { name, .. }
            | Where::ResponsesNamespaceTool { name, .. }
            | Where::ChatTool { name, .. } => format!("Invalid schema for function '{name}': "),
            Where::ResponsesFormat { name } | Where::ChatFormat { name } => {
                format!("Invalid schema for response_format '{name}': ")
            }
        }
    }

    fn violation(self, finding: Finding) -> Violation {
        Violation {
            message: self.prefix() + &finding.text,
            param: self.param(),
            code: self.code(),
            pointer: finding.pointer,
            kind: finding.kind,
        }
    }
}

/// One thing that keeps a schema out of the strict subset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The whole text of OpenAI's error.
    pub message: String,
    /// The request parameter at fault.
    pub param: String,
    /// OpenAI's error code.
    pub code: &'static str,
    /// JSON pointer into the schema.
    pub pointer: String,
    /// A stable word for it.
    pub kind: ViolationKind,
}

/// Checks a schema that is sent with `strict: true`.
///
/// All violations come back, up to 64 of them and 64 KiB of text, in document order; the first is
/// the one OpenAI reports.
///
/// ```
/// use serde_json::json;
/// use strict_schema::{Profile, Where, check_strict};
///
/// let at = Where::ResponsesTool { index: 0, name: "get_weather" };
/// let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
/// let violations = check_strict(&schema, &Profile::default(), at).unwrap_err();
/// assert_eq!(
///     violations[0].message,
///     "Invalid schema for function 'get_weather': In context=(), \
///      'additionalProperties' is required to be supplied and to be false.",
/// );
/// assert_eq!(violations[0].param, "tools[0].parameters");
/// ```
pub fn check_strict(
    schema: &Value,
    profile: &Profile,
    at: Where<'_>,
) -> Result<(), Vec<Violation>> {
    let findings = walk::findings(schema, profile, at.is_function());
    if findings.is_empty() {
        return Ok(());
    }
    Err(findings
        .into_iter()
        .map(|finding| at.violation(finding))
        .collect())
}

/// Checks what holds for every schema at the root of a request's tool or format,
/// strict or not: a function's parameters are an object without a union.
///
/// A schema whose `strict` was omitted is to be resolved first: a root `$ref`, or
/// a root that has `properties` and no `type`, becomes strict and passes then.
pub fn check_root(schema: &Value, at: Where<'_>) -> Result<(), Violation> {
    match root_findings(schema, at.is_function()).into_iter().next() {
        None => Ok(()),
        Some(finding) => Err(at.violation(finding)),
    }
}

/// What keeps `schema` out of the subset, for [`crate::resolve`].
pub(crate) fn findings(schema: &Value, profile: &Profile) -> Vec<Finding> {
    walk::findings(schema, profile, true)
}
