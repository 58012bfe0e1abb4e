//! Values and bounds against the type of their node: enum and const, number,
//! length and count bounds, patterns.

use serde_json::{Map, Value};

use super::finding::{Finding, SHOWN, ViolationKind};
use crate::facts::Facts;
use crate::keyword::{Keyword, KeywordSet};
use crate::path::{At, python_value};
use crate::pattern::Patterns;
use crate::profile::Profile;
use crate::types::TypeSet;

/// Keywords that this module judges.
pub(super) const JUDGED: KeywordSet = KeywordSet::of(&[
    Keyword::Pattern,
    Keyword::Minimum,
    Keyword::Maximum,
    Keyword::ExclusiveMinimum,
    Keyword::ExclusiveMaximum,
    Keyword::MultipleOf,
    Keyword::MinLength,
    Keyword::MaxLength,
    Keyword::MinItems,
    Keyword::MaxItems,
]);

/// Judges `enum` and `const` of a node of these types (none: untyped).
pub(super) fn enumeration(
    facts: &Facts<'_>,
    types: Option<TypeSet>,
    profile: &Profile,
    at: &At<'_>,
    out: &mut Vec<Finding>,
) {
    let values = match facts.values {
        None => [].as_slice(),
        Some(Value::Array(values)) if !values.is_empty() => values,
        Some(Value::Array(values)) => {
            let empty = Value::Array(values.clone());
            out.push(Finding::malformed(at, &empty, "should be non-empty"));
            return;
        }
        Some(other) => {
            out.push(Finding::malformed(at, other, "is not of type 'array'"));
            return;
        }
    };
    let all = || values.iter().chain(facts.constant);
    if !profile.choices.container_enums
        && all().any(|value| TypeSet::of_value(value).within(TypeSet::CONTAINER))
    {
        // OpenAI's text for these is not public.
        let tail = "enum and const values must not be arrays or objects.";
        out.push(Finding::at(ViolationKind::EnumOfContainers, at, "", tail));
        return;
    }
    if mixed(values) {
        out.push(Finding::plain(
            ViolationKind::EnumMixedTypes,
            at.pointer(),
            "",
            "enum values must be of the same type.".into(),
        ));
        return;
    }
    let Some(types) = types else { return };
    if let Some(value) = all().find(|value| !types.admits(TypeSet::of_value(value))) {
        let written = facts
            .types
            .map(|types| python_value(types, SHOWN))
            .unwrap_or_default();
        let value = match value {
            Value::String(text) => text.chars().take(SHOWN).collect(),
            other => python_value(other, SHOWN),
        };
        out.push(Finding::plain(
            ViolationKind::EnumTypeMismatch,
            at.pointer(),
            value.clone(),
            format!("enum value {value} does not validate against {{'type': {written}}}."),
        ));
    }
    if let (Some(constant), [_, ..]) = (facts.constant, values)
        && profile.choices.refuse_unsatisfiable
        && !values.iter().any(|value| same(value, constant))
    {
        out.push(Finding::unsatisfiable(
            at,
            "the const value is not in the enum".into(),
        ));
    }
}

/// Whether values other than null are of several types, numbers counting as one.
pub(crate) fn mixed(values: &[Value]) -> bool {
    let kinds = values
        .iter()
        .fold(TypeSet::NONE, |set, value| set.plus(kind(value)));
    kinds.count() > 1
}

/// The type of an enum value as far as `enum values must be of the same type`
/// tells them apart; none for null.
pub(crate) fn kind(value: &Value) -> TypeSet {
    match TypeSet::of_value(value) {
        TypeSet::NULL => TypeSet::NONE,
        TypeSet::INTEGER => TypeSet::NUMBER,
        other => other,
    }
}

/// Equality as JSON Schema has it: 1 and 1.0 are the same number.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

/// Judges bounds and patterns.
pub(super) fn bounds(
    map: &Map<String, Value>,
    types: Option<TypeSet>,
    profile: &Profile,
    patterns: &mut Patterns,
    at: &At<'_>,
    out: &mut Vec<Finding>,
) {
    // What is not listed is not written either: it would not count towards the end of the list.
    let refuse = profile.choices.refuse_unsatisfiable;
    if let Some(pattern) = map.get("pattern") {
        match pattern {
            Value::String(text) => {
                if let Err(why) = patterns.admit(text) {
                    // OpenAI's text is not public.
                    let tail = format!("'pattern' is not supported: {why}.");
                    out.push(Finding::at(
                        ViolationKind::PatternNotSupported,
                        at,
                        why,
                        &tail,
                    ));
                }
            }
            other => out.push(Finding::malformed(at, other, "is not of type 'string'")),
        }
    }
    let mut number = |key: &str| match map.get(key)? {
        Value::Number(number) => number.as_f64(),
        other => {
            out.push(Finding::malformed(at, other, "is not of type 'number'"));
            None
        }
    };
    let low = (number("minimum"), number("exclusiveMinimum"));
    let high = (number("maximum"), number("exclusiveMaximum"));
    let step = number("multipleOf");
    if let Some(step) = step.filter(|step| *step <= 0.0) {
        let complaint = "is less than or equal to the minimum of 0";
        let shown = map.get("multipleOf").cloned().unwrap_or(step.into());
        out.push(Finding::malformed(at, &shown, complaint));
    }
    if refuse && let Some(why) = empty_range(low, high, types) {
        out.push(Finding::unsatisfiable(at, why));
    }
    for (least, most) in [("minLength", "maxLength"), ("minItems", "maxItems")] {
        let mut count = |key: &str| {
            let value = map.get(key)?;
            let whole = value.as_u64().or_else(|| {
                value
                    .as_f64()
                    .filter(|f| f.fract() == 0.0 && *f >= 0.0)
                    .map(|f| f as u64)
            });
            if whole.is_none() {
                let complaint = if value.as_f64().is_some_and(|f| f.fract() == 0.0) {
                    "is less than the minimum of 0"
                } else {
                    "is not of type 'integer'"
                };
                out.push(Finding::malformed(at, value, complaint));
            }
            whole
        };
        if let (Some(min), Some(max)) = (count(least), count(most))
            && refuse
            && min > max
        {
            let why = format!("{least} {min} is greater than {most} {max}");
            out.push(Finding::unsatisfiable(at, why));
        }
    }
}

type Bound = (Option<f64>, Option<f64>);

/// Why no number lies within the bounds, each `(inclusive, exclusive)`.
fn empty_range(low: Bound, high: Bound, types: Option<TypeSet>) -> Option<String> {
    let tightest = |bound: Bound, sign: f64| match bound {
        (None, None) => None,
        (Some(value), None) => Some((value, false)),
        (None, Some(value)) => Some((value, true)),
        (Some(closed), Some(open)) if closed * sign > open * sign => Some((closed, false)),
        (Some(_), Some(open)) => Some((open, true)),
    };
    let (low, low_open) = tightest(low, 1.0)?;
    let (high, high_open) = tightest(high, -1.0)?;
    if low > high {
        return Some(format!(
            "the minimum {low} is greater than the maximum {high}"
        ));
    }
    #[expect(
        clippy::float_cmp,
        reason = "the bounds as written, not results of arithmetic"
    )]
    if low == high && (low_open || high_open) {
        return Some(format!(
            "the bounds exclude {low}, the only number between them"
        ));
    }
    let integer =
        types.is_some_and(|types| types.meets(TypeSet::INTEGER) && !types.meets(TypeSet::NUMBER));
    let first = if low_open {
        low.floor() + 1.0
    } else {
        low.ceil()
    };
    let last = if high_open {
        high.ceil() - 1.0
    } else {
        high.floor()
    };
    (integer && first > last).then(|| format!("there is no integer between {low} and {high}"))
}
