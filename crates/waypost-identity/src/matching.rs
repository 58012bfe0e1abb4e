//! `attribute_matchers` of a federation rule: which verified claims a rule admits.
//!
//! Every row must match (AND). A row's key names a top-level claim as the token has it. Values
//! compare strictly by type: `"1"` is not `1`, `"true"` is not `true`; numbers compare by value,
//! so `1` is `1.0`. Strings compare byte by byte, case-sensitively, without normalization; one
//! trailing `*` makes a string a plain prefix, which crosses `/`, `:` and everything else. A list
//! matches only for `aud`, if any element does. A missing claim matches nothing, not even `""`.

use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

use crate::text::quote;
use crate::verify::VerifiedClaims;

/// Most rows of one rule.
pub const MAX_MATCHER_ROWS: usize = 32;
/// Longest key, in bytes.
pub const MAX_MATCHER_KEY_BYTES: usize = 256;
/// Longest string value, in bytes; as long as the longest accepted `sub`.
pub const MAX_MATCHER_VALUE_BYTES: usize = 4096;
/// Keys of this form name attributes that a provider's transformations derive, never raw claims.
const DERIVED_PREFIX: &str = "openai.";
/// A prefix that ends in one of these ends at the edge of a name.
const DELIMITERS: [char; 4] = [':', '/', '@', '#'];
const MAX_EXACT_NUMBER: f64 = 9_007_199_254_740_992.0;

/// The rows of one rule, validated.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributeMatchers {
    rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    key: String,
    expected: Expected,
}

#[derive(Debug, Clone, PartialEq)]
enum Expected {
    Text(String),
    /// Without the `*`; never empty.
    Prefix(String),
    Bool(bool),
    Number(Number),
}

/// Why a rule's rows are refused when it is saved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    #[error("`attribute_matchers` must be an object of claim names and values.")]
    NotAnObject,
    #[error(
        "`attribute_matchers` is empty; a rule without rows would admit every workload of the \
         provider."
    )]
    NoRows,
    #[error("`attribute_matchers` has {count} rows; at most {MAX_MATCHER_ROWS} are accepted.")]
    TooManyRows { count: usize },
    #[error("`attribute_matchers` has an empty key.")]
    EmptyKey,
    #[error("A key of `attribute_matchers` is longer than {MAX_MATCHER_KEY_BYTES} bytes.")]
    KeyTooLong,
    #[error(
        "`attribute_matchers` key {key} names a derived attribute (`openai.…`), which needs an \
         attribute transformation on the provider; transformations are not supported yet."
    )]
    NeedsTransformation { key: String },
    #[error("The value for {key} must be a string, a boolean or a number.")]
    ValueType { key: String },
    #[error("The value for {key} is longer than {MAX_MATCHER_VALUE_BYTES} bytes.")]
    ValueTooLong { key: String },
    #[error("The value for {key} is a number beyond 2^53, which JSON cannot carry exactly.")]
    InexactNumber { key: String },
    #[error(
        "The value for {key} is only `*`, which would match anything; write a prefix before the \
         `*`."
    )]
    BareWildcard { key: String },
    #[error(
        "The value for {key} has a `*` that is not at its end; only one trailing `*` is accepted."
    )]
    MisplacedWildcard { key: String },
}

/// Advice on a rule that is legal but probably wider than meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatcherWarning {
    /// The row it is about, or none for the rule as a whole.
    pub key: Option<String>,
    pub message: String,
}

/// The first row that a token's claims do not satisfy. For operators: it shows the claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The row {row} expects {expected}; the token has {got}.")]
pub struct Mismatch {
    /// Key of the row, quoted.
    pub row: String,
    /// The expected value as JSON, with its `*`.
    pub expected: String,
    /// The claim's value, escaped and cut; of lists and objects only what they are.
    got: String,
}

fn describe(claim: Option<&Value>) -> String {
    match claim {
        None => "no such claim".to_owned(),
        Some(Value::String(text)) => quote(text),
        Some(scalar @ (Value::Null | Value::Bool(_) | Value::Number(_))) => scalar.to_string(),
        Some(Value::Array(list)) if list.is_empty() => "an empty list".to_owned(),
        Some(Value::Array(list)) => list
            .iter()
            .map(Value::as_str)
            .collect::<Option<Vec<_>>>()
            .map_or_else(
                || "a list".to_owned(),
                |texts| format!("a list of {}", quote(&texts.join(" "))),
            ),
        Some(Value::Object(_)) => "an object".to_owned(),
    }
}

impl AttributeMatchers {
    /// Checks and takes over the rows of a rule, as the Admin API has them.
    pub fn parse(value: &Value) -> Result<Self, MatcherError> {
        let rows = value.as_object().ok_or(MatcherError::NotAnObject)?;
        if rows.is_empty() {
            return Err(MatcherError::NoRows);
        }
        if rows.len() > MAX_MATCHER_ROWS {
            return Err(MatcherError::TooManyRows { count: rows.len() });
        }
        let rows = rows.iter().map(|(key, value)| Row::parse(key, value));
        Ok(Self {
            rows: rows.collect::<Result<_, _>>()?,
        })
    }

    /// Whether every row matches; else the first that does not.
    pub fn matches(&self, claims: &VerifiedClaims) -> Result<(), Mismatch> {
        self.rows
            .iter()
            .try_for_each(|row| row.matches(claims.raw()))
    }

    pub fn warnings(&self) -> Vec<MatcherWarning> {
        let mut warnings: Vec<_> = self.rows.iter().filter_map(Row::warning).collect();
        if self
            .rows
            .iter()
            .all(|row| matches!(row.key.as_str(), "iss" | "aud"))
        {
            warnings.push(MatcherWarning {
                key: None,
                message: "The rule checks `iss` and `aud` only, so it admits every workload of \
                          the issuer; add a row that names one, such as `sub`."
                    .to_owned(),
            });
        }
        warnings
    }
}

/// The Admin API's form: the map that [`AttributeMatchers::parse`] was given.
impl Serialize for AttributeMatchers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.rows
                .iter()
                .map(|row| (&row.key, row.expected.to_json())),
        )
    }
}

impl Row {
    fn parse(key: &str, value: &Value) -> Result<Self, MatcherError> {
        if key.is_empty() {
            return Err(MatcherError::EmptyKey);
        }
        if key.len() > MAX_MATCHER_KEY_BYTES {
            return Err(MatcherError::KeyTooLong);
        }
        let quoted = quote(key);
        if key.starts_with(DERIVED_PREFIX) {
            return Err(MatcherError::NeedsTransformation { key: quoted });
        }
        let expected = match value {
            Value::Bool(flag) => Expected::Bool(*flag),
            Value::Number(number) if is_exact(number) => Expected::Number(number.clone()),
            Value::Number(_) => return Err(MatcherError::InexactNumber { key: quoted }),
            Value::String(text) => Expected::parse_text(quoted, text)?,
            _ => return Err(MatcherError::ValueType { key: quoted }),
        };
        Ok(Self {
            key: key.to_owned(),
            expected,
        })
    }

    fn matches(&self, claims: &Map<String, Value>) -> Result<(), Mismatch> {
        let claim = claims.get(&self.key);
        let matched = match claim {
            None => false,
            Some(Value::Array(elements)) if self.key == "aud" => elements
                .iter()
                .any(|element| self.expected.matches(element)),
            Some(claim) => self.expected.matches(claim),
        };
        if matched {
            return Ok(());
        }
        Err(Mismatch {
            row: quote(&self.key),
            expected: self.expected.to_json().to_string(),
            got: describe(claim),
        })
    }

    fn warning(&self) -> Option<MatcherWarning> {
        let Expected::Prefix(prefix) = &self.expected else {
            return None;
        };
        if prefix.ends_with(DELIMITERS) {
            return None;
        }
        let message = format!(
            "The value {prefix}* also matches longer names, such as {prefix}-evil; end the \
             prefix at a delimiter (one of : / @ #), or drop the *.",
            prefix = prefix.escape_debug(),
        );
        Some(MatcherWarning {
            key: Some(self.key.clone()),
            message,
        })
    }
}

impl Expected {
    fn parse_text(key: String, text: &str) -> Result<Self, MatcherError> {
        if text.len() > MAX_MATCHER_VALUE_BYTES {
            return Err(MatcherError::ValueTooLong { key });
        }
        let Some(star) = text.find('*') else {
            return Ok(Self::Text(text.to_owned()));
        };
        if text == "*" {
            Err(MatcherError::BareWildcard { key })
        } else if star + 1 == text.len() {
            Ok(Self::Prefix(text[..star].to_owned()))
        } else {
            Err(MatcherError::MisplacedWildcard { key })
        }
    }

    fn matches(&self, claim: &Value) -> bool {
        match (self, claim) {
            (Self::Text(expected), Value::String(got)) => expected == got,
            (Self::Prefix(prefix), Value::String(got)) => got.starts_with(prefix.as_str()),
            (Self::Bool(expected), Value::Bool(got)) => expected == got,
            (Self::Number(expected), Value::Number(got)) => same_number(expected, got),
            _ => false,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.clone()),
            Self::Prefix(prefix) => Value::String(format!("{prefix}*")),
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Number(number) => Value::Number(number.clone()),
        }
    }
}

/// Integers are exact as far as 64 bits go; fractions and larger numbers were rounded to a double
/// when they were read, so beyond 2^53 two different numbers could look equal.
fn is_exact(number: &Number) -> bool {
    !number.is_f64()
        || number
            .as_f64()
            .is_some_and(|value| value.abs() < MAX_EXACT_NUMBER)
}

fn same_number(expected: &Number, got: &Number) -> bool {
    if !expected.is_f64() && !got.is_f64() {
        return expected == got;
    }
    // One side at least is a double. Being exact it is below 2^53, so an integer that equals it
    // after conversion was not rounded.
    let equal = expected.as_f64() == got.as_f64();
    equal && is_exact(expected) && is_exact(got)
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
