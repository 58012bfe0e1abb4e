//! A minimal valid instance of a schema, the same one every time.
//!
//! Required properties in the schema's order, the fewest items, the first enum value, the first
//! branch. A string that may be any is its property's name, so a reader sees what went where.
//! A `$ref` into itself is an error, which a union answers with its next branch. It covers what
//! tool schemas hold; `not`, `if`, `contains`, `patternProperties` and `dependent*` are not looked
//! at, so an instance of theirs may be invalid.

use serde_json::{Map, Number, Value, json};

use super::pattern;

/// Of an enum value that is not listed.
const UNLISTED: &str = "not_in_the_enum";

pub(super) struct Maker<'a> {
    root: &'a Value,
    branch: Option<usize>,
    optional: bool,
    wrong_enum: bool,
    enum_broken: bool,
    /// References being followed.
    refs: Vec<String>,
    /// Which of several different values, for `uniqueItems`.
    nth: usize,
}

impl<'a> Maker<'a> {
    /// `branch`: of the first union met. `optional`: optional properties too.
    pub(super) fn new(root: &'a Value, branch: usize, optional: bool, wrong_enum: bool) -> Self {
        Self {
            root,
            branch: Some(branch),
            optional,
            wrong_enum,
            enum_broken: false,
            refs: Vec::new(),
            nth: 0,
        }
    }

    pub(super) fn make(&mut self) -> Result<Value, String> {
        self.value(self.root, "value")
    }

    pub(super) fn has_broken_an_enum(&self) -> bool {
        self.enum_broken
    }

    fn value(&mut self, schema: &Value, name: &str) -> Result<Value, String> {
        let fields = match schema {
            Value::Bool(true) => return Ok(Value::Null),
            Value::Object(fields) => fields,
            other => return Err(format!("no value fits the schema {other}")),
        };
        if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
            return self.referred(reference, fields, name);
        }
        if let Some(constant) = fields.get("const") {
            return Ok(constant.clone());
        }
        if let Some(values) = fields.get("enum").and_then(Value::as_array) {
            return self.listed(values);
        }
        if let Some(parts) = fields.get("allOf").and_then(Value::as_array) {
            let whole = parts.iter().fold(without(fields, "allOf"), merged);
            return self.value(&Value::Object(whole), name);
        }
        for union in ["anyOf", "oneOf"] {
            if let Some(branches) = fields.get(union).and_then(Value::as_array) {
                return self.one_of(&without(fields, union), branches, name);
            }
        }
        match kind(fields) {
            "object" => self.object(fields),
            "array" => self.array(fields, name),
            "string" => self.string(fields, name),
            "integer" => Ok(number(fields, true, self.nth)?),
            "number" => Ok(number(fields, false, self.nth)?),
            "boolean" => Ok(Value::Bool(self.nth == 0)),
            _ => Ok(Value::Null),
        }
    }

    fn referred(
        &mut self,
        reference: &str,
        fields: &Map<String, Value>,
        name: &str,
    ) -> Result<Value, String> {
        let target = reference
            .strip_prefix('#')
            .and_then(|pointer| self.root.pointer(pointer))
            .ok_or_else(|| format!("`{reference}` is not in the schema"))?;
        if self.refs.iter().any(|open| open == reference) {
            return Err(format!("`{reference}` never ends"));
        }
        self.refs.push(reference.to_owned());
        let whole = merged(without(fields, "$ref"), target);
        let made = self.value(&Value::Object(whole), name);
        self.refs.pop();
        made
    }

    fn listed(&mut self, values: &[Value]) -> Result<Value, String> {
        if self.wrong_enum && !self.enum_broken {
            self.enum_broken = true;
            return Ok(json!(UNLISTED));
        }
        let value = values.get(self.nth).or(values.first());
        value.cloned().ok_or_else(|| "an empty enum".to_owned())
    }

    fn one_of(
        &mut self,
        base: &Map<String, Value>,
        branches: &[Value],
        name: &str,
    ) -> Result<Value, String> {
        let first = self.branch.take().unwrap_or(0);
        let mut error = "an empty union".to_owned();
        for at in 0..branches.len() {
            let branch = &branches[(first + at) % branches.len()];
            match self.value(&Value::Object(merged(base.clone(), branch)), name) {
                Ok(value) => return Ok(value),
                Err(why) => error = why,
            }
        }
        Err(error)
    }

    fn object(&mut self, fields: &Map<String, Value>) -> Result<Value, String> {
        let nothing = Map::new();
        let properties = fields
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&nothing);
        let required: Vec<&str> = strings(fields.get("required"));
        let mut object = Map::new();
        for (name, schema) in properties {
            if required.contains(&name.as_str()) {
                object.insert(name.clone(), self.value(schema, name)?);
            } else if self.optional
                && let Ok(value) = self.value(schema, name)
            {
                object.insert(name.clone(), value);
            }
        }
        let additional = fields
            .get("additionalProperties")
            .unwrap_or(&Value::Bool(true));
        for name in required {
            if !properties.contains_key(name) {
                object.insert(name.to_owned(), self.value(additional, name)?);
            }
        }
        let least = size(fields, "minProperties").unwrap_or(0);
        for number in 0..least.saturating_sub(object.len()) {
            let name = format!("key{number}");
            let value = self.value(additional, &name)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }

    fn array(&mut self, fields: &Map<String, Value>, name: &str) -> Result<Value, String> {
        let items = fields.get("items").unwrap_or(&Value::Bool(true));
        let first = fields.get("prefixItems").and_then(Value::as_array);
        let unique = fields.get("uniqueItems") == Some(&Value::Bool(true));
        let outer = self.nth;
        let mut list = Vec::new();
        for at in 0..size(fields, "minItems").unwrap_or(0) {
            self.nth = if unique { at } else { 0 };
            let schema = first.and_then(|first| first.get(at)).unwrap_or(items);
            list.push(self.value(schema, name)?);
        }
        self.nth = outer;
        Ok(Value::Array(list))
    }

    fn string(&mut self, fields: &Map<String, Value>, name: &str) -> Result<Value, String> {
        let least = size(fields, "minLength").unwrap_or(0);
        let most = size(fields, "maxLength").unwrap_or(usize::MAX);
        if let Some(pattern) = fields.get("pattern").and_then(Value::as_str) {
            return pattern::example(pattern, least).map(Value::String);
        }
        if let Some(example) = fields
            .get("format")
            .and_then(Value::as_str)
            .and_then(formatted)
        {
            return Ok(json!(example));
        }
        let mut text = name.to_owned();
        if self.nth > 0 {
            text.insert_str(0, &self.nth.to_string());
        }
        let filled = text.chars().chain(std::iter::repeat('x'));
        let length = text.chars().count().clamp(least.min(most), most);
        Ok(Value::String(filled.take(length).collect()))
    }
}

/// The type that an instance gets: the first one named, else the one that the keywords speak of.
fn kind(fields: &Map<String, Value>) -> &str {
    match fields.get("type") {
        Some(Value::String(kind)) => return kind,
        Some(Value::Array(kinds)) => {
            if let Some(kind) = kinds.first().and_then(Value::as_str) {
                return kind;
            }
        }
        _ => {}
    }
    let speaks_of = [
        ("object", &["properties", "required", "minProperties"][..]),
        ("array", &["items", "prefixItems", "minItems"]),
        ("string", &["pattern", "minLength", "maxLength", "format"]),
        (
            "number",
            &[
                "minimum",
                "maximum",
                "multipleOf",
                "exclusiveMinimum",
                "exclusiveMaximum",
            ],
        ),
    ];
    speaks_of
        .iter()
        .find(|(_, words)| words.iter().any(|word| fields.contains_key(*word)))
        .map_or("null", |(kind, _)| kind)
}

fn without(fields: &Map<String, Value>, key: &str) -> Map<String, Value> {
    let mut rest = fields.clone();
    rest.shift_remove(key);
    rest
}

/// Both schemas at once, as far as tool schemas need it: properties and required names join, of
/// any other keyword the added schema's wins.
fn merged(mut base: Map<String, Value>, added: &Value) -> Map<String, Value> {
    let Value::Object(added) = added else {
        return base;
    };
    for (key, value) in added {
        match (base.get_mut(key), value) {
            (Some(Value::Object(known)), Value::Object(more)) if key == "properties" => {
                known.extend(more.clone());
            }
            (Some(Value::Array(known)), Value::Array(more)) if key == "required" => {
                known.extend(more.iter().cloned());
            }
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
    base
}

fn strings(list: Option<&Value>) -> Vec<&str> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

fn size(fields: &Map<String, Value>, key: &str) -> Option<usize> {
    fields.get(key)?.as_u64().map(|size| size as usize)
}

fn number(fields: &Map<String, Value>, integer: bool, nth: usize) -> Result<Value, String> {
    let bound = |key: &str| fields.get(key).and_then(Value::as_f64);
    let step = bound("multipleOf").filter(|step| *step > 0.0);
    let grid = step.unwrap_or(if integer { 1.0 } else { 0.5 });
    let least = bound("minimum");
    let above = bound("exclusiveMinimum");
    let most = bound("maximum");
    let below = bound("exclusiveMaximum");
    let fits = |value: f64| {
        least.is_none_or(|least| value >= least)
            && above.is_none_or(|above| value > above)
            && most.is_none_or(|most| value <= most)
            && below.is_none_or(|below| value < below)
    };
    // From the lower bound up, from the upper bound down, or from 1.
    let (start, direction) = match (least.or(above), most.or(below)) {
        (Some(low), _) => ((low / grid).ceil(), 1.0),
        (None, Some(high)) if high < 1.0 => ((high / grid).floor(), -1.0),
        _ => ((1.0 / grid).ceil(), 1.0),
    };
    let found = (0..4)
        .map(|at| (start + direction * f64::from(at + nth as u32)) * grid)
        .find(|value| fits(*value));
    let between = || Some(f64::midpoint(least.or(above)?, most.or(below)?));
    let value = match found {
        Some(value) => value,
        None if !integer && step.is_none() => between()
            .filter(|value| fits(*value))
            .ok_or("no number fits")?,
        None => return Err("no number fits".to_owned()),
    };
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Ok(json!(value as i64));
    }
    Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
}

fn formatted(format: &str) -> Option<&'static str> {
    Some(match format {
        "date-time" => "2026-01-02T03:04:05Z",
        "date" => "2026-01-02",
        "time" => "03:04:05Z",
        "duration" => "P1D",
        "email" => "a@example.com",
        "hostname" => "example.com",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "uuid" => "00000000-0000-4000-8000-000000000001",
        "uri" => "https://example.com/",
        _ => return None,
    })
}
