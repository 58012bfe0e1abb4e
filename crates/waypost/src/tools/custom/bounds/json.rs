//! Schemas within a grammar: what llguidance joins of them.

use std::collections::HashSet;

use serde_json::Value;

use super::{MAX_OVERLAP, few_classes, joins, overlap::Overlap, too_many_ways};

/// Bytes of all schemas of one grammar, as compact JSON.
const MAX_BYTES: usize = 32 * 1024;
/// Patterns for names in one object, each compared with each.
const MAX_NAME_PATTERNS: usize = 16;
/// Remainders that `multipleOf` has: an integer is read digit by digit, and each
/// remainder is a state.
const MAX_REMAINDERS: u64 = 10_000;
/// Ways that a `format` counts for.
const FORMAT: u64 = 4;

/// Where schemas are put together at one place, all of them may meet there.
const JOINING: [&str; 4] = ["allOf", "anyOf", "oneOf", "$ref"];

/// Whether the schemas of a grammar are within the bounds; the error is a
/// sentence.
pub fn check(schemas: &[&Value]) -> Result<(), String> {
    let bytes: usize = schemas.iter().map(|one| one.to_string().len()).sum();
    if bytes > MAX_BYTES {
        return Err(format!(
            "The Lark grammar is too large: its %json schemas have {bytes} bytes; at most \
             {MAX_BYTES} are supported."
        ));
    }
    for schema in schemas {
        joins::check(schema)?;
        let mut found = Found::default();
        found.visit(schema)?;
        let all = if found.joins {
            &found.all
        } else {
            &found.largest
        };
        if all.ways > MAX_OVERLAP {
            return Err(too_many_ways("A %json schema", "the patterns and formats"));
        }
        if all.remainders > MAX_REMAINDERS {
            return Err(format!(
                "A %json schema is too complex: 'multipleOf' leaves more than {MAX_REMAINDERS} \
                 remainders."
            ));
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Cost {
    ways: u64,
    remainders: u64,
}

impl Default for Cost {
    fn default() -> Self {
        Self {
            ways: 1,
            remainders: 1,
        }
    }
}

#[derive(Default)]
struct Found<'s> {
    /// Of everything together, each pattern and number once.
    all: Cost,
    /// The most of one schema by itself.
    largest: Cost,
    joins: bool,
    patterns: HashSet<&'s str>,
    multiples: HashSet<u64>,
    /// Large classes of all patterns, as they are when JSON's escapes are read.
    classes: usize,
}

impl<'s> Found<'s> {
    fn classes(&mut self, pattern: &str) -> Result<(), String> {
        self.classes += strict_schema::large_classes(pattern);
        few_classes("%json schema", self.classes)
    }

    /// Whatever may be a schema; what only looks like one counts too much, not
    /// too little.
    fn visit(&mut self, value: &'s Value) -> Result<(), String> {
        let map = match value {
            Value::Object(map) => map,
            Value::Array(items) => return items.iter().try_for_each(|item| self.visit(item)),
            _ => return Ok(()),
        };
        self.joins |= JOINING.iter().any(|keyword| map.contains_key(*keyword));
        let mut own = Cost::default();
        if let Some(Value::String(pattern)) = map.get("pattern") {
            self.classes(pattern)?;
            own.ways = Overlap::of_pattern(pattern);
            if self.patterns.insert(pattern) {
                self.all.ways = self.all.ways.saturating_mul(own.ways);
            }
        }
        if let Some(Value::String(format)) = map.get("format") {
            own.ways = own.ways.saturating_mul(FORMAT);
            if self.patterns.insert(format) {
                self.all.ways = self.all.ways.saturating_mul(FORMAT);
            }
        }
        if let Some(Value::Number(multiple)) = map.get("multipleOf") {
            own.remainders = digits(&multiple.to_string());
            if self.multiples.insert(own.remainders) {
                self.all.remainders = self.all.remainders.saturating_mul(own.remainders);
            }
        }
        if let Some(Value::Object(names)) = map.get("patternProperties") {
            if names.len() > MAX_NAME_PATTERNS {
                return Err(format!(
                    "A %json schema is too complex: 'patternProperties' has {} patterns; at most \
                     {MAX_NAME_PATTERNS} are supported.",
                    names.len()
                ));
            }
            for name in names.keys() {
                self.classes(name)?;
                let ways = Overlap::of_pattern(name);
                own.ways = own.ways.max(ways.saturating_mul(ways));
                if self.patterns.insert(name) {
                    self.all.ways = self.all.ways.saturating_mul(ways);
                }
            }
        }
        self.largest.ways = self.largest.ways.max(own.ways);
        self.largest.remainders = self.largest.remainders.max(own.remainders);
        map.values().try_for_each(|below| self.visit(below))
    }
}

/// The digits of a number, without point, sign and zeros around.
fn digits(number: &str) -> u64 {
    let number = number.to_ascii_lowercase();
    let mantissa = number.split('e').next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_matches('0');
    match digits {
        "" => 1,
        digits => digits.parse().unwrap_or(u64::MAX),
    }
}
