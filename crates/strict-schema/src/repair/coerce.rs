//! Values of the wrong kind, converted where the schema leaves exactly one way.

use std::collections::HashMap;

use jsonschema::{Draft, Registry};
use serde_json::{Value, json};

use super::read;
use crate::{
    Validator,
    pointer::{escape, percent_encode},
    validator,
};

/// Values converted, copied and judged in one repair, and schema places compiled for it.
const MAX_STEPS: usize = 1_000_000;
const MAX_PLACES: usize = 64;
/// References in a row, and JSON inside strings inside JSON.
const MAX_ALIASES: usize = 16;
const MAX_QUOTED: usize = 2;

/// Conversions within one another. Lists of lists may refer to themselves, and one value is
/// put into as many as there are.
const MAX_DEPTH: usize = 150;

const ROOT: &str = "urn:strict-schema:root";

/// A conversion that could go two ways, or too much work.
struct Stop;

pub(super) struct Coercer<'s> {
    root: &'s Value,
    validator: &'s Validator,
    registry: Registry<'s>,
    places: HashMap<String, Option<jsonschema::Validator>>,
    steps: usize,
    depth: usize,
}

impl<'s> Coercer<'s> {
    pub(super) fn new(root: &'s Value, validator: &'s Validator) -> Option<Self> {
        let registry = Registry::new()
            .draft(draft(root))
            .add(ROOT, root)
            .ok()?
            .prepare()
            .ok()?;
        Some(Self {
            root,
            validator,
            registry,
            places: HashMap::new(),
            steps: 0,
            depth: 0,
        })
    }

    /// The value, converted if need be, if it is valid.
    pub(super) fn fit(&mut self, value: Value) -> Option<Value> {
        if self.validator.is_valid(&value) {
            return Some(value);
        }
        let root = self.root;
        let fitted = self.convert(value, root, "", 0).ok()?;
        self.validator.is_valid(&fitted).then_some(fitted)
    }

    fn convert(
        &mut self,
        value: Value,
        schema: &'s Value,
        pointer: &str,
        quoted: usize,
    ) -> Result<Value, Stop> {
        self.charge(1)?;
        if self.depth == MAX_DEPTH {
            return Err(Stop);
        }
        self.depth += 1;
        let converted = self.converted(value, schema, pointer, quoted);
        self.depth -= 1;
        converted
    }

    fn converted(
        &mut self,
        value: Value,
        schema: &'s Value,
        pointer: &str,
        quoted: usize,
    ) -> Result<Value, Stop> {
        let (schema, pointer) = self.resolve(schema, pointer)?;
        for keyword in ["anyOf", "oneOf"] {
            if let Some(branches) = schema[keyword].as_array() {
                return self.choose(
                    value,
                    branches,
                    &format!("{pointer}/{keyword}"),
                    &pointer,
                    quoted,
                );
            }
        }
        if let Some(branches) = schema["allOf"].as_array()
            && let [only] = branches.as_slice()
        {
            return self.convert(value, only, &format!("{pointer}/allOf/0"), quoted);
        }
        let wanted = Wanted::of(schema);
        match value {
            Value::Object(mut members) if wanted.takes("object") => {
                if let Some(properties) = schema["properties"].as_object() {
                    for (name, schema) in properties {
                        if let Some(member) = members.get_mut(name) {
                            let at = format!("{pointer}/properties/{}", escape(name));
                            *member = self.convert(member.take(), schema, &at, quoted)?;
                        }
                    }
                }
                Ok(Value::Object(members))
            }
            Value::Array(items) if wanted.takes("array") => {
                let at = format!("{pointer}/items");
                let item = &schema["items"];
                let items: Result<Vec<Value>, Stop> = items
                    .into_iter()
                    .map(|value| self.convert(value, item, &at, quoted))
                    .collect();
                items.map(Value::Array)
            }
            value if wanted.takes(kind(&value)) => Ok(value),
            value => self.other_kind(value, schema, &pointer, &wanted, quoted),
        }
    }

    /// One of several alternatives: the value as it is if it fits, else the only conversion.
    fn choose(
        &mut self,
        value: Value,
        branches: &'s [Value],
        base: &str,
        pointer: &str,
        quoted: usize,
    ) -> Result<Value, Stop> {
        if self.fits(&value, pointer)? {
            return Ok(value);
        }
        let mut options = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let at = format!("{base}/{index}");
            self.charge(weight(&value))?;
            let option = self.convert(value.clone(), branch, &at, quoted)?;
            if option != value {
                options.push(option);
            }
        }
        self.only(value, options, pointer)
    }

    /// The value is of a kind that the schema does not take.
    fn other_kind(
        &mut self,
        value: Value,
        schema: &'s Value,
        pointer: &str,
        wanted: &Wanted,
        quoted: usize,
    ) -> Result<Value, Stop> {
        let mut options = Vec::new();
        match &value {
            Value::String(text) => {
                let trimmed = text.trim();
                if wanted.takes("number") {
                    options.extend(read::number(trimmed).map(Value::Number));
                }
                if wanted.takes("boolean") {
                    options.extend(match trimmed {
                        "true" | "True" => Some(Value::Bool(true)),
                        "false" | "False" => Some(Value::Bool(false)),
                        _ => None,
                    });
                }
                if wanted.takes("null") && matches!(trimmed, "null" | "None") {
                    options.push(Value::Null);
                }
                if (wanted.takes("object") || wanted.takes("array"))
                    && quoted < MAX_QUOTED
                    && let Some(inner) = read::whole(text)
                    && (inner.value.is_object()
                        || inner.value.is_array()
                        || inner.value.is_string())
                    && !inner.touched
                    && (inner.value.is_string() || wanted.takes(kind(&inner.value)))
                {
                    options.push(self.convert(inner.value, schema, pointer, quoted + 1)?);
                }
            }
            Value::Number(number) if wanted.takes("string") && !number.is_f64() => {
                options.push(Value::String(number.to_string()));
            }
            Value::Bool(flag) if wanted.takes("string") && schema.get("enum").is_some() => {
                options.push(Value::String(flag.to_string()));
            }
            _ => {}
        }
        if wanted.takes("array") && !value.is_null() && schema["items"].is_object() {
            let at = format!("{pointer}/items");
            let item = self.convert(value.clone(), &schema["items"], &at, quoted)?;
            options.push(Value::Array(vec![item]));
        }
        self.only(value, options, pointer)
    }

    /// The one option that fits; the value as it was if none does.
    fn only(&mut self, value: Value, options: Vec<Value>, pointer: &str) -> Result<Value, Stop> {
        let mut chosen: Option<Value> = None;
        for option in options {
            if !self.fits(&option, pointer)? {
                continue;
            }
            if chosen.as_ref().is_some_and(|chosen| *chosen != option) {
                return Err(Stop);
            }
            chosen = Some(option);
        }
        Ok(chosen.unwrap_or(value))
    }

    fn fits(&mut self, value: &Value, pointer: &str) -> Result<bool, Stop> {
        // A place is judged by itself, without the validator's own look at the cost.
        let cost = self.validator.cost(pointer, value).ok_or(Stop)?;
        self.charge(usize::try_from(cost).unwrap_or(MAX_STEPS))?;
        if !self.places.contains_key(pointer) {
            if self.places.len() >= MAX_PLACES {
                return Err(Stop);
            }
            let fragment = percent_encode(pointer);
            let validator = validator::options()
                .with_registry(&self.registry)
                .with_draft(draft(self.root))
                .build(&json!({ "$ref": format!("{ROOT}#{fragment}") }))
                .ok();
            self.places.insert(pointer.to_owned(), validator);
        }
        let place = self.places.get(pointer).and_then(Option::as_ref);
        Ok(place.is_some_and(|place| place.is_valid(value)))
    }

    fn charge(&mut self, steps: usize) -> Result<(), Stop> {
        self.steps += steps;
        if self.steps > MAX_STEPS {
            Err(Stop)
        } else {
            Ok(())
        }
    }

    fn resolve(&self, mut schema: &'s Value, pointer: &str) -> Result<(&'s Value, String), Stop> {
        let mut pointer = pointer.to_owned();
        for _ in 0..MAX_ALIASES {
            let Some(reference) = schema["$ref"].as_str() else {
                return Ok((schema, pointer));
            };
            let target = reference.strip_prefix('#').ok_or(Stop)?;
            schema = self.root.pointer(target).ok_or(Stop)?;
            target.clone_into(&mut pointer);
        }
        Err(Stop)
    }
}

fn draft(root: &Value) -> Draft {
    Draft::default().detect(root)
}

/// Which kinds of value a schema takes, by `type`, `enum` and `const`.
struct Wanted<'s> {
    types: Option<Vec<&'s str>>,
    values: Option<Vec<&'s Value>>,
}

impl<'s> Wanted<'s> {
    fn of(schema: &'s Value) -> Self {
        let types = match &schema["type"] {
            Value::String(name) => Some(vec![name.as_str()]),
            Value::Array(names) => Some(names.iter().filter_map(Value::as_str).collect()),
            _ => None,
        };
        let values = schema.get("const").map(|value| vec![value]).or_else(|| {
            schema["enum"]
                .as_array()
                .map(|options| options.iter().collect())
        });
        Self { types, values }
    }

    /// Integers count as numbers here: the verdict is about the rest.
    fn takes(&self, wanted: &str) -> bool {
        let same = |name: &str| name == wanted || (name == "integer" && wanted == "number");
        self.types
            .as_ref()
            .is_none_or(|types| types.iter().any(|name| same(name)))
            && self
                .values
                .as_ref()
                .is_none_or(|values| values.iter().any(|value| kind(value) == wanted))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What copying or judging the value costs, in steps.
fn weight(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => {
            1 + members
                .iter()
                .map(|(name, value)| 1 + name.len() / 64 + weight(value))
                .sum::<usize>()
        }
        Value::String(text) => 1 + text.len() / 64,
        _ => 1,
    }
}
