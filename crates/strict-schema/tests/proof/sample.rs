//! Values for a strict schema, made at random: most are valid, some break a bound on purpose.
//!
//! Only a source of instances: whether one is valid is for the validator to say.

use serde_json::{Map, Value, json};

use crate::chance::Chance;

/// Schemas inside one another, references included, before only small values are made.
const MAX_DEPTH: usize = 12;
/// Items beyond `minItems`.
const MAX_MORE_ITEMS: usize = 3;
/// No longer strings or arrays than this, whatever the schema asks.
const MAX_LENGTH: u64 = 64;
/// What a string is made of: some have to be escaped, some take several bytes.
const LETTERS: [char; 12] = [
    'a', 'Z', '0', '9', '-', ' ', '"', '\\', '\n', 'é', '漢', '𝒳',
];

/// A value that `schema` may accept. `off` is how often something is wrong on purpose, once in so
/// many nodes; 0 is never.
pub fn sample(schema: &Value, chance: &mut Chance, off: usize) -> Value {
    Sampler {
        root: schema,
        chance,
        off,
    }
    .value(schema, 0)
}

struct Sampler<'a> {
    root: &'a Value,
    chance: &'a mut Chance,
    off: usize,
}

impl Sampler<'_> {
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if self.off > 0 && self.chance.one_in(self.off) {
            return self.anything();
        }
        let Some(object) = schema.as_object() else {
            return self.anything();
        };
        if depth > 2 * MAX_DEPTH {
            return Value::Null;
        }
        if let Some(value) = object.get("const") {
            return value.clone();
        }
        if let Some(values) = object.get("enum").and_then(Value::as_array)
            && !values.is_empty()
        {
            return self.chance.pick(values).clone();
        }
        if let Some(target) = object.get("$ref").and_then(|uri| self.target(uri)) {
            return self.value(&target, depth + 1);
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(branches) = object.get(key).and_then(Value::as_array)
                && !branches.is_empty()
            {
                // Deep inside a recursion the branch that ends it.
                let branch = if depth > MAX_DEPTH {
                    branches.iter().find(|one| one["type"] == "null")
                } else {
                    None
                };
                let branch = branch.unwrap_or_else(|| self.chance.pick(branches)).clone();
                return self.value(&branch, depth + 1);
            }
        }
        let kind = match object.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(Value::Array(kinds)) if !kinds.is_empty() => {
                let null = kinds.iter().find(|kind| *kind == "null");
                match null {
                    Some(_) if depth > MAX_DEPTH => "null",
                    _ => self.chance.pick(kinds).as_str().unwrap_or("null"),
                }
            }
            _ if object.contains_key("properties") => "object",
            _ => return self.anything(),
        };
        match kind {
            "object" => self.object(object, depth),
            "array" => self.array(object, depth),
            "string" => self.string(object),
            "integer" => self.number(object, true),
            "number" => self.number(object, false),
            "boolean" => json!(self.chance.one_in(2)),
            _ => Value::Null,
        }
    }

    fn object(&mut self, schema: &Map<String, Value>, depth: usize) -> Value {
        let mut out = Map::new();
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                if self.off > 0 && self.chance.one_in(4 * self.off) {
                    continue;
                }
                out.insert(name.clone(), self.value(property, depth + 1));
            }
        }
        if self.off > 0 && self.chance.one_in(4 * self.off) {
            out.insert("unexpected".to_owned(), self.anything());
        }
        Value::Object(out)
    }

    fn array(&mut self, schema: &Map<String, Value>, depth: usize) -> Value {
        let least = bound(schema, "minItems", 0);
        let most = bound(schema, "maxItems", least + MAX_MORE_ITEMS as u64);
        let more = most.saturating_sub(least).min(MAX_MORE_ITEMS as u64) as usize;
        let more = if depth > MAX_DEPTH { 0 } else { more };
        let length = least as usize + self.chance.below(more + 1);
        match schema.get("items") {
            Some(items) => (0..length).map(|_| self.value(items, depth + 1)).collect(),
            None => (0..length).map(|_| self.anything()).collect(),
        }
    }

    fn string(&mut self, schema: &Map<String, Value>) -> Value {
        let example = match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => "2026-11-23T09:30:00Z",
            Some("date") => "2026-11-23",
            Some("time") => "09:30:00Z",
            Some("duration") => "P1DT2H",
            Some("email") => "someone@example.com",
            Some("hostname") => "www.example.com",
            Some("ipv4") => "192.0.2.1",
            Some("ipv6") => "2001:db8::1",
            Some("uuid") => "0190163d-8694-739b-aea5-966c26f8ad91",
            _ => "",
        };
        if !example.is_empty() {
            return json!(example);
        }
        let least = bound(schema, "minLength", 0);
        let most = bound(schema, "maxLength", least + 8);
        let length = least + self.chance.next() % (most.saturating_sub(least).min(8) + 1);
        let plain = self.chance.one_in(2);
        (0..length)
            .map(|_| {
                if plain {
                    'a'
                } else {
                    *self.chance.pick(&LETTERS)
                }
            })
            .collect::<String>()
            .into()
    }

    fn number(&mut self, schema: &Map<String, Value>, whole: bool) -> Value {
        let number = |key: &str| schema.get(key).and_then(Value::as_f64);
        let low = number("minimum").or(number("exclusiveMinimum").map(|n| n + 1.0));
        let high = number("maximum").or(number("exclusiveMaximum").map(|n| n - 1.0));
        let (low, high) = match (low, high) {
            (Some(low), Some(high)) => (low, high),
            (Some(low), None) => (low, low + 100.0),
            (None, Some(high)) => (high - 100.0, high),
            (None, None) => (-100.0, 100.0),
        };
        let part = self.chance.below(1_001) as f64 / 1_000.0;
        let mut value = low + (high - low) * part;
        if let Some(step) = number("multipleOf").filter(|step| *step > 0.0) {
            value = (value / step).ceil() * step;
        }
        if whole || self.chance.one_in(3) {
            value = value.ceil();
            if value.abs() < 9e15 {
                return json!(value as i64);
            }
        }
        json!(value)
    }

    fn target(&self, uri: &Value) -> Option<Value> {
        let pointer = uri.as_str()?.strip_prefix('#')?;
        self.root.pointer(pointer).cloned()
    }

    /// Whatever JSON there is.
    fn anything(&mut self) -> Value {
        match self.chance.below(8) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(self.chance.next() as i32),
            3 => json!(1.5),
            4 => json!("text"),
            5 => json!(""),
            6 => json!([self.chance.below(3), "x"]),
            _ => json!({"a": self.chance.below(3), "value": null}),
        }
    }
}

fn bound(schema: &Map<String, Value>, key: &str, otherwise: u64) -> u64 {
    let bound = schema.get(key).and_then(Value::as_u64);
    bound.unwrap_or(otherwise).min(MAX_LENGTH)
}
