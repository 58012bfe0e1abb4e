//! Schemas that llguidance puts together (`allOf`, or keywords beside `anyOf`,
//! `$ref` and the like): it writes out every combination of their alternatives,
//! and counts combinations only, not how large they are.

use serde_json::{Map, Value};

/// Bytes of what is written out at one place, about as they would be in JSON.
const MAX_WRITTEN: u64 = 100_000;
/// Places that are looked at in one schema, references followed.
const MAX_LOOKS: usize = 100_000;
/// References and schemas one in another.
const MAX_DEPTH: usize = 200;

/// Keywords that say nothing about values.
const ANNOTATIONS: [&str; 15] = [
    "$anchor",
    "$defs",
    "definitions",
    "$schema",
    "$id",
    "id",
    "$comment",
    "title",
    "description",
    "default",
    "readOnly",
    "writeOnly",
    "examples",
    "contentMediaType",
    "contentEncoding",
];
/// Types that a schema without a type has.
const TYPES: u64 = 6;
/// What a place takes by itself, in bytes.
const PLACE: u64 = 16;

/// Whether a schema is within the bounds; the error is a sentence.
pub fn check(schema: &Value) -> Result<(), String> {
    let mut joins = Joins {
        root: schema,
        looks: MAX_LOOKS,
    };
    joins.visit(schema)
}

struct Joins<'s> {
    root: &'s Value,
    looks: usize,
}

/// What a schema becomes when it is put together with another.
#[derive(Clone, Copy)]
struct Shape {
    /// Alternatives at one place: those of nested places multiply.
    ways: u64,
    bytes: u64,
    /// Most properties or positions of one object or list.
    names: u64,
    /// Levels of schemas that stand for any number of names or positions.
    open: u32,
}

impl Shape {
    const NONE: Self = Self {
        ways: 1,
        bytes: 0,
        names: 1,
        open: 0,
    };

    /// Size and names; `ways` are for the caller.
    fn take(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.names = self.names.max(other.names);
        self.open = self.open.max(other.open);
    }

    fn written(self) -> u64 {
        let names = self.names.saturating_pow(self.open);
        self.bytes.saturating_mul(self.ways).saturating_mul(names)
    }
}

impl<'s> Joins<'s> {
    /// Whatever may be a schema.
    fn visit(&mut self, value: &'s Value) -> Result<(), String> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.visit(item)),
            Value::Object(map) => {
                if joins(map) && self.shape(value, 0)?.written() > MAX_WRITTEN {
                    return Err(too_large());
                }
                map.values().try_for_each(|below| self.visit(below))
            }
            _ => Ok(()),
        }
    }

    fn shape(&mut self, value: &'s Value, depth: usize) -> Result<Shape, String> {
        self.looks = self.looks.saturating_sub(1);
        if self.looks == 0 || depth > MAX_DEPTH {
            return Err(
                "A %json schema is too complex: what it puts together refers to itself, or to \
                 too much."
                    .to_owned(),
            );
        }
        let Value::Object(map) = value else {
            return Ok(Shape {
                bytes: PLACE + value.as_str().map_or(0, str::len) as u64,
                ..Shape::NONE
            });
        };
        let mut shape = Shape {
            bytes: PLACE,
            ..Shape::NONE
        };
        // The most of what is below: siblings do not multiply.
        let mut nested = 1;
        let is_plain = |key: &String| !ANNOTATIONS.contains(&key.as_str()) && !in_place(key);
        if !map.contains_key("type") && map.keys().any(is_plain) {
            shape.ways = TYPES;
        }
        for (key, below) in map {
            // It only grows: nothing needs to be read to the end.
            if shape.bytes > MAX_WRITTEN {
                return Err(too_large());
            }
            shape.bytes = shape.bytes.saturating_add(key.len() as u64);
            match (key.as_str(), below) {
                ("allOf", Value::Array(parts)) => {
                    for part in parts {
                        let part = self.shape(part, depth + 1)?;
                        shape.take(part);
                        if shape.bytes > MAX_WRITTEN {
                            return Err(too_large());
                        }
                        shape.ways = shape.ways.saturating_mul(part.ways);
                    }
                }
                ("anyOf" | "oneOf" | "enum", Value::Array(options)) => {
                    let mut ways: u64 = 0;
                    for option in options {
                        let option = match key.as_str() {
                            "enum" => written_out(option),
                            _ => self.shape(option, depth + 1)?,
                        };
                        shape.take(option);
                        ways = ways.saturating_add(option.ways);
                    }
                    shape.ways = shape.ways.saturating_mul(ways.max(1));
                }
                ("$ref", Value::String(reference)) => {
                    let target = reference.strip_prefix('#');
                    let target = target.and_then(|pointer| self.root.pointer(pointer));
                    let target = target.ok_or(
                        "A %json schema is too complex: a '$ref' beside other keywords is no \
                         pointer into the schema.",
                    )?;
                    let target = self.shape(target, depth + 1)?;
                    shape.take(target);
                    shape.ways = shape.ways.saturating_mul(target.ways);
                }
                ("type", Value::Array(types)) => {
                    shape.ways = shape.ways.saturating_mul((types.len() as u64).max(1));
                }
                ("properties" | "patternProperties", Value::Object(names)) => {
                    shape.names = shape.names.max(names.len() as u64);
                    let mut below = Shape::NONE;
                    for (name, one) in names {
                        below.bytes = below.bytes.saturating_add(name.len() as u64);
                        let one = self.shape(one, depth + 1)?;
                        nested = nested.max(one.ways);
                        below.take(one);
                    }
                    below.open += u32::from(key == "patternProperties");
                    shape.take(below);
                }
                ("prefixItems" | "items", Value::Array(items)) => {
                    shape.names = shape.names.max(items.len() as u64);
                    for item in items {
                        let item = self.shape(item, depth + 1)?;
                        nested = nested.max(item.ways);
                        shape.take(item);
                    }
                }
                ("items" | "additionalItems" | "additionalProperties", Value::Object(_)) => {
                    let mut below = self.shape(below, depth + 1)?;
                    nested = nested.max(below.ways);
                    below.open += 1;
                    shape.take(below);
                }
                (key, _) if ANNOTATIONS.contains(&key) => {}
                _ => shape.take(written_out(below)),
            }
        }
        shape.ways = shape.ways.saturating_mul(nested);
        Ok(shape)
    }
}

fn too_large() -> String {
    format!(
        "A %json schema is too complex: what it puts together has more than {MAX_WRITTEN} bytes, \
         written out with all alternatives."
    )
}

/// A value that stands as it is.
fn written_out(value: &Value) -> Shape {
    Shape {
        bytes: PLACE.saturating_add(value.to_string().len() as u64),
        ..Shape::NONE
    }
}

fn in_place(key: &str) -> bool {
    matches!(key, "const" | "enum" | "allOf" | "anyOf" | "oneOf" | "$ref")
}

/// Whether two or more schemas meet at this place.
fn joins(map: &Map<String, Value>) -> bool {
    let parts: usize = map
        .iter()
        .map(|(key, value)| match (key.as_str(), value) {
            ("allOf", Value::Array(parts)) => parts.len(),
            (key, _) => usize::from(in_place(key)),
        })
        .sum();
    let plain = map
        .keys()
        .any(|key| !in_place(key) && !ANNOTATIONS.contains(&key.as_str()));
    parts + usize::from(plain) > 1
        || map.contains_key("properties") && map.contains_key("patternProperties")
}
