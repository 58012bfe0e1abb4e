//! Schemas for a model that broke them once, behind an engine that does not
//! enforce all of them: bounds of fractions, multiples and some formats become
//! enums and patterns, which every engine enforces.
//!
//! Narrower than the original, so only for a call that is asked for again:
//! a value on a grid is better than none.

use serde_json::{Map, Value, json};

use super::schema::{MANY, NAMED, ONE};

/// Steps from one bound to the other.
const STEPS: f64 = 100.0;
/// Numbers above this are no longer exact.
const EXACT: f64 = 1e15;
const MAX_DEPTH: usize = 128;

/// Formats, each as a pattern that matches only such texts, and the bytes of the
/// shortest and the longest of them: engines do not count beside a pattern.
const FORMATS: [(&str, &str, (u64, u64)); 8] = [
    (
        "email",
        "^[a-z][a-z0-9]{0,9}([._-][a-z0-9]{1,8})?@[a-z][a-z0-9]{0,9}[.][a-z]{2,3}$",
        (6, 34),
    ),
    (
        "hostname",
        "^[a-z][a-z0-9]{0,9}([.][a-z][a-z0-9]{0,9}){0,2}$",
        (1, 32),
    ),
    (
        "ipv4",
        "^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])$",
        (7, 15),
    ),
    ("ipv6", "^[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}$", (15, 39)),
    (
        "duration",
        "^P([1-9][0-9]{0,2}D|T[1-9][0-9]{0,2}H|T[1-9][0-9]{0,2}M|T[1-9][0-9]{0,2}S)$",
        (3, 6),
    ),
    // No 29th of February, which needs to know the year.
    (
        "date",
        "^[12][0-9][0-9][0-9]-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))$",
        (10, 10),
    ),
    (
        "time",
        "^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])$",
        (9, 14),
    ),
    (
        "date-time",
        "^[12][0-9][0-9][0-9]-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])$",
        (20, 25),
    ),
];

/// A schema whose values are values of `schema`, with less for an engine to
/// know; `None` where it would be the same.
pub fn narrow(schema: &Value) -> Option<Value> {
    let mut narrowed = schema.clone();
    walk(&mut narrowed, 0);
    (narrowed != *schema).then_some(narrowed)
}

fn walk(schema: &mut Value, depth: usize) {
    let Value::Object(map) = schema else { return };
    if depth > MAX_DEPTH {
        return;
    }
    number(map);
    string(map);
    for (key, below) in map.iter_mut() {
        match below {
            Value::Array(schemas) if MANY.contains(&key.as_str()) || key == "items" => {
                for schema in schemas {
                    walk(schema, depth + 1);
                }
            }
            Value::Object(named) if NAMED.contains(&key.as_str()) => {
                for schema in named.values_mut() {
                    walk(schema, depth + 1);
                }
            }
            // What is denied must not shrink.
            below if ONE.contains(&key.as_str()) && !matches!(&**key, "not" | "if") => {
                walk(below, depth + 1);
            }
            _ => {}
        }
    }
}

/// Whether the type is this word, perhaps beside null; and whether null is.
fn is(map: &Map<String, Value>, word: &str) -> Option<bool> {
    match &map.get("type")? {
        Value::String(one) => (one == word).then_some(false),
        Value::Array(list) => {
            let nullable = list.iter().any(|one| one == "null");
            let others = list.iter().filter(|one| *one != "null");
            others.eq([&json!(word)]).then_some(nullable)
        }
        _ => None,
    }
}

fn number(map: &mut Map<String, Value>) {
    let fraction = is(map, "number");
    let Some(nullable) = fraction.or_else(|| is(map, "integer")) else {
        return;
    };
    let bound = |key: &str| map.get(key).and_then(Value::as_f64);
    let multiple = bound("multipleOf").filter(|step| *step > 0.0);
    if map.contains_key("enum") || map.contains_key("const") {
        return;
    }
    // Bounds of integers hold in every engine; which of several bounds counts is
    // the tighter one.
    let tighter = |a: Option<f64>, b: Option<f64>, pick: fn(f64, f64) -> f64| match (a, b) {
        (Some(a), Some(b)) => Some(pick(a, b)),
        (a, b) => a.or(b),
    };
    let low = tighter(bound("minimum"), bound("exclusiveMinimum"), f64::max);
    let high = tighter(bound("maximum"), bound("exclusiveMaximum"), f64::min);
    if multiple.is_none() && (fraction.is_none() || low.is_none() && high.is_none()) {
        return;
    }
    let span = multiple.unwrap_or(1.0) * STEPS;
    let (low, high) = match (low, high) {
        (Some(low), Some(high)) => (low, high),
        (Some(low), None) => (low, low + span),
        (None, Some(high)) => (high - span, high),
        (None, None) => (0.0, span),
    };
    if low.abs() > EXACT || high.abs() > EXACT {
        return;
    }
    let fits = |value: f64| {
        bound("minimum").is_none_or(|least| value >= least)
            && bound("exclusiveMinimum").is_none_or(|least| value > least)
            && bound("maximum").is_none_or(|most| value <= most)
            && bound("exclusiveMaximum").is_none_or(|most| value < most)
            && (fraction.is_some() || value.fract() == 0.0)
    };
    let mut values: Vec<Value> = grid(low, high, multiple)
        .into_iter()
        .filter(|value| fits(*value))
        .map(written)
        .collect();
    if values.is_empty() {
        return;
    }
    if nullable {
        values.push(Value::Null);
    }
    for key in [
        "type",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "format",
    ] {
        map.shift_remove(key);
    }
    map.insert("enum".to_owned(), Value::Array(values));
}

/// Round numbers from one bound to the other, or multiples.
fn grid(low: f64, high: f64, multiple: Option<f64>) -> Vec<f64> {
    let span = high - low;
    let (step, per) = match multiple {
        Some(multiple) => (multiple * (span / multiple / STEPS).ceil().max(1.0), 1.0),
        None if span <= 0.0 => return vec![low],
        None => {
            let digits = (span / STEPS).log10().floor();
            let unit = |digits: f64| {
                if digits < 0.0 {
                    // Divided, not multiplied: 3 / 10 is 0.3.
                    (1.0, 10_f64.powf(-digits).round())
                } else {
                    (10_f64.powf(digits).round(), 1.0)
                }
            };
            let (up, per) = unit(digits);
            let enough = [1.0, 2.0, 5.0]
                .into_iter()
                .find(|times| span / (times * up / per) <= STEPS);
            enough.map_or_else(|| unit(digits + 1.0), |times| (times * up, per))
        }
    };
    let mut values = Vec::new();
    let mut at = (low * per / step).ceil();
    while at * step / per <= high && values.len() <= STEPS as usize + 1 {
        values.push(at * step / per);
        at += 1.0;
    }
    values
}

/// As a person would write it.
fn written(value: f64) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole, and far from the limits"
    )]
    if value.fract() == 0.0 && value.abs() <= EXACT {
        json!(value as i64)
    } else {
        json!(value)
    }
}

fn string(map: &mut Map<String, Value>) {
    if is(map, "string").is_none() || map.contains_key("pattern") {
        return;
    }
    let Some(format) = map.get("format").and_then(Value::as_str) else {
        return;
    };
    let bound = |key: &str| map.get(key).and_then(Value::as_u64);
    let known = FORMATS.iter().find(|(name, _, (shortest, longest))| {
        *name == format
            && bound("minLength").is_none_or(|least| least <= *shortest)
            && bound("maxLength").is_none_or(|most| most >= *longest)
    });
    if let Some((_, pattern, _)) = known {
        map.insert("pattern".to_owned(), json!(pattern));
    }
}

#[cfg(test)]
mod tests {
    use strict_schema::Validator;

    use super::*;

    fn values(schema: Value) -> Vec<Value> {
        let narrowed = narrow(&schema).expect("narrower");
        let values = narrowed["enum"].as_array().expect("an enum").clone();
        let judge = Validator::new(&schema).expect("a schema");
        for value in &values {
            assert!(judge.verdict(value).is_ok(), "{value} for {schema}");
        }
        assert!(values.len() <= 102);
        values
    }

    #[test]
    fn bounds_of_numbers_become_a_grid_within_them() {
        let per_cent = values(json!({"type": "number", "minimum": 0, "maximum": 100}));
        assert_eq!(per_cent.len(), 101);
        assert_eq!(per_cent[50], json!(50));
        let share =
            values(json!({"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1}));
        assert_eq!((&share[0], &share[29]), (&json!(0.01), &json!(0.3)));
        assert_eq!(share.last(), Some(&Value::Null));
        let latitude = values(json!({"type": "number", "minimum": -90, "maximum": 90}));
        assert_eq!((&latitude[0], &latitude[1]), (&json!(-90), &json!(-88)));
        assert_eq!(
            values(json!({"type": "number", "minimum": 2.5, "maximum": 2.5})),
            [json!(2.5)]
        );
        assert!(values(json!({"type": "number", "minimum": 7})).contains(&json!(7)));
        assert!(values(json!({"type": "number", "exclusiveMaximum": 0})).len() > 90);
        assert_eq!(
            values(json!({"type": "integer", "multipleOf": 5, "minimum": 3, "maximum": 21})),
            [json!(5), json!(10), json!(15), json!(20)]
        );
        assert_eq!(values(json!({"type": "integer", "multipleOf": 2}))[1], 2);
    }

    #[test]
    fn what_engines_enforce_stays() {
        for schema in [
            json!({"type": "integer", "minimum": 1, "maximum": 9}),
            json!({"type": "number"}),
            json!({"type": "number", "enum": [1.5], "minimum": 1}),
            json!({"type": "object", "properties": {"multipleOf": {"type": "integer"}}}),
            json!({"type": "string", "format": "uuid"}),
            json!({"type": "string", "format": "ipv4", "pattern": "^1"}),
            json!({"type": "string", "format": "ipv4", "maxLength": 14}),
            json!({"type": "string", "format": "ipv4", "minLength": 8}),
        ] {
            assert_eq!(narrow(&schema), None, "{schema}");
        }
    }

    #[test]
    fn it_goes_where_schemas_are() {
        let schema = json!({"type": "object",
            "properties": {"minimum": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/d"}]}},
            "$defs": {"d": {"type": "array", "items": {"type": "string", "format": "ipv4"}}}});
        let narrowed = narrow(&schema).expect("narrower");
        let item = &narrowed["$defs"]["d"]["items"];
        assert!(item["pattern"].as_str().is_some_and(|p| p.contains("25")));
    }

    #[test]
    fn patterns_match_only_their_format() {
        let good = [
            ("email", "ada.l@example.org"),
            ("hostname", "a.b2.org"),
            ("ipv4", "10.0.255.9"),
            ("ipv6", "0:1:2:3:4:5:abcd:f"),
            ("duration", "PT15M"),
            ("date", "2024-02-28"),
            ("time", "23:59:59+05:30"),
            ("date-time", "2026-10-31T09:00:00Z"),
        ];
        for ((name, pattern, _), (format, text)) in FORMATS.iter().zip(good) {
            assert_eq!(*name, format);
            let both = json!({"type": "string", "format": name, "pattern": pattern});
            let judge = Validator::new(&both).expect("a schema");
            assert!(judge.verdict(&json!(text)).is_ok(), "{text}");
            assert!(judge.verdict(&json!("1.2.3.4.5.6 x")).is_err());
        }
    }
}
