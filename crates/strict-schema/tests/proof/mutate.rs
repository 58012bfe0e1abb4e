//! Schemas that nobody would write: good ones damaged, and JSON made of keywords at random.

use serde_json::{Map, Value, json};

use crate::chance::Chance;

/// Every word that means something somewhere, and some that only look so.
const KEYWORDS: [&str; 58] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "enum",
    "const",
    "$ref",
    "$defs",
    "definitions",
    "$schema",
    "$id",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$comment",
    "$vocabulary",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "nullable",
    "discriminator",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "prefixItems",
    "additionalItems",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedProperties",
    "unevaluatedItems",
    "x-order",
];
/// Names that code could take for something else.
const NAMES: [&str; 14] = [
    "a",
    "b",
    "value",
    "key",
    "",
    "$ref",
    "type",
    "properties",
    "required",
    "__proto__",
    "a/b",
    "m~n",
    "items",
    "é\"\\",
];
const TYPES: [&str; 8] = [
    "object", "array", "string", "number", "integer", "boolean", "null", "file",
];
const REFERENCES: [&str; 12] = [
    "#",
    "#/$defs/a",
    "#/$defs/b",
    "#/definitions/a",
    "#/properties/a",
    "#/properties/b/items",
    "#/$defs/a~1b",
    "#/nowhere",
    "https://example.com/schema.json",
    "#anchor",
    "",
    "#/%24defs/a",
];
const WORDS: [&str; 14] = [
    "date-time",
    "email",
    "uri",
    "uuid",
    "^a+$",
    "(?=a)b",
    "(a+)+$",
    "[",
    "\\d{2}",
    "\\p{L}",
    "x",
    "",
    "null",
    "\u{0}\u{1f600}",
];
/// Values inside one another that one call makes.
const MAX_DEPTH: usize = 5;

/// `schema` with up to four changes.
pub fn mutated(schema: &Value, chance: &mut Chance) -> Value {
    let mut schema = schema.clone();
    for _ in 0..=chance.below(4) {
        let places = count(&schema);
        let place = chance.below(places);
        if let Some(node) = nth(&mut schema, &mut { place }) {
            change(node, chance);
        }
    }
    schema
}

/// JSON that may look like a schema.
pub fn arbitrary(chance: &mut Chance) -> Value {
    node(chance, 0)
}

/// A text with up to three bytes changed, lost or doubled.
pub fn damaged(text: &str, chance: &mut Chance) -> Vec<u8> {
    const BYTES: [u8; 16] = *b"{}[]\",:\\0-e.tn \xff";
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..chance.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = chance.below(bytes.len());
        match chance.below(4) {
            0 => bytes[at] = *chance.pick(&BYTES),
            1 => {
                bytes.remove(at);
            }
            2 => bytes.insert(at, *chance.pick(&BYTES)),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn change(node: &mut Value, chance: &mut Chance) {
    match chance.below(10) {
        0 => *node = self::node(chance, 2),
        1 => {
            *node = json!({ *chance.pick(&["anyOf", "oneOf", "allOf"]): [node.take(), self::node(chance, 3)] });
        }
        2 => *node = json!({ *chance.pick(&["anyOf", "oneOf", "allOf"]): [node.take()] }),
        3 => *node = json!({"type": "array", "items": node.take()}),
        4 => *node = json!({"type": "object", "properties": {*chance.pick(&NAMES): node.take()}}),
        _ => match node {
            Value::Object(object) => change_object(object, chance),
            Value::Array(items) if !items.is_empty() => {
                let at = chance.below(items.len());
                if chance.one_in(2) {
                    items.remove(at);
                } else {
                    let twice = items[at].clone();
                    items.push(twice);
                }
            }
            _ => *node = self::node(chance, 3),
        },
    }
}

fn change_object(object: &mut Map<String, Value>, chance: &mut Chance) {
    let keys: Vec<String> = object.keys().cloned().collect();
    if !keys.is_empty() && chance.one_in(3) {
        object.shift_remove(chance.pick(&keys).as_str());
        return;
    }
    let keyword = *chance.pick(&KEYWORDS);
    let value = if chance.one_in(6) {
        node(chance, 3)
    } else {
        fitting(keyword, chance, 3)
    };
    object.insert(keyword.to_owned(), value);
}

fn node(chance: &mut Chance, depth: usize) -> Value {
    if depth >= MAX_DEPTH {
        return leaf(chance);
    }
    match chance.below(8) {
        0 => leaf(chance),
        1 => (0..chance.below(4))
            .map(|_| node(chance, depth + 1))
            .collect(),
        _ => {
            let mut object = Map::new();
            if chance.one_in(2) {
                object.insert("type".to_owned(), fitting("type", chance, depth + 1));
            }
            for _ in 0..chance.below(5) {
                let keyword = *chance.pick(&KEYWORDS);
                object.insert(keyword.to_owned(), fitting(keyword, chance, depth + 1));
            }
            Value::Object(object)
        }
    }
}

/// A value of the kind that the keyword wants.
fn fitting(keyword: &str, chance: &mut Chance, depth: usize) -> Value {
    match keyword {
        "type" if chance.one_in(4) => (0..chance.below(3))
            .map(|_| json!(chance.pick(&TYPES)))
            .collect(),
        "type" => json!(chance.pick(&TYPES)),
        "properties" | "$defs" | "definitions" | "patternProperties" | "dependentSchemas" => {
            let mut object = Map::new();
            for _ in 0..chance.below(4) {
                object.insert((*chance.pick(&NAMES)).to_owned(), node(chance, depth + 1));
            }
            Value::Object(object)
        }
        "required" => (0..chance.below(4))
            .map(|_| json!(chance.pick(&NAMES)))
            .collect(),
        "anyOf" | "oneOf" | "allOf" | "prefixItems" => (0..chance.below(4))
            .map(|_| node(chance, depth + 1))
            .collect(),
        "enum" | "examples" => (0..chance.below(4)).map(|_| leaf(chance)).collect(),
        "additionalProperties"
        | "unevaluatedProperties"
        | "uniqueItems"
        | "nullable"
        | "deprecated"
        | "readOnly"
            if !chance.one_in(5) =>
        {
            json!(chance.one_in(2))
        }
        "items"
        | "not"
        | "if"
        | "then"
        | "else"
        | "contains"
        | "additionalProperties"
        | "propertyNames"
        | "unevaluatedItems" => node(chance, depth + 1),
        "$ref" | "$dynamicRef" | "$recursiveRef" => json!(chance.pick(&REFERENCES)),
        "format" | "pattern" | "title" | "description" | "$id" | "$schema" => {
            json!(chance.pick(&WORDS))
        }
        "minLength" | "maxLength" | "minimum" | "maximum" | "exclusiveMinimum"
        | "exclusiveMaximum" | "multipleOf" | "minItems" | "maxItems" | "minContains"
        | "minProperties" => number(chance),
        _ => leaf(chance),
    }
}

fn leaf(chance: &mut Chance) -> Value {
    match chance.below(7) {
        0 => Value::Null,
        1 => json!(chance.one_in(2)),
        2 | 3 => number(chance),
        4 => json!([]),
        5 => json!({}),
        _ => json!(chance.pick(&WORDS)),
    }
}

fn number(chance: &mut Chance) -> Value {
    match chance.below(9) {
        0 => json!(0),
        1 => json!(1),
        2 => json!(-1),
        3 => json!(0.5),
        4 => json!(u64::MAX),
        5 => json!(i64::MIN),
        6 => json!(1e300),
        7 => json!(-0.0),
        _ => json!(chance.below(20)),
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(object) => object.values().map(count).sum(),
        _ => 0,
    }
}

/// The node at `place` in the order of the document.
fn nth<'a>(value: &'a mut Value, place: &mut usize) -> Option<&'a mut Value> {
    if *place == 0 {
        return Some(value);
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, place)),
        Value::Object(object) => object.values_mut().find_map(|item| nth(item, place)),
        _ => None,
    }
}
