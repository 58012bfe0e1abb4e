//! Made-up schemas that look like those people write, always the same ones.

use serde_json::{Map, Value, json};

use crate::stats::Rng;

const WORDS: &[&str] = &[
    "city",
    "country",
    "start_date",
    "end_date",
    "limit",
    "offset",
    "query",
    "status",
    "owner",
    "repository",
    "labels",
    "assignee",
    "priority",
    "amount",
    "currency",
    "email",
    "language",
    "page",
    "sort",
    "include_archived",
];

/// Schemas of tools, about 500 bytes each, as those of public servers are on average: one to four
/// parameters, some optional, some nested.
pub fn tools(count: usize) -> Vec<String> {
    tools_of(count, 0)
}

/// Other schemas of the same kind for every `edition`.
pub fn tools_of(count: usize, edition: u64) -> Vec<String> {
    let mut rng = Rng::new(7 + edition);
    (0..count)
        .map(|at| {
            let fields = 1 + rng.below(4);
            let mut schema = object(&mut rng, fields, 1);
            schema["description"] = json!(format!("Arguments of tool {at}, edition {edition}."));
            schema.to_string()
        })
        .collect()
}

/// Schemas of about four kilobytes: many fields, three levels, definitions.
pub fn large(count: usize) -> Vec<String> {
    let mut rng = Rng::new(11);
    (0..count)
        .map(|_| {
            let mut schema = object(&mut rng, 12, 2);
            let address = object(&mut rng, 6, 0);
            schema["$defs"] = json!({"address": address});
            schema["properties"]["home"] = json!({"$ref": "#/$defs/address"});
            schema.to_string()
        })
        .collect()
}

/// A strict schema, and arguments for it.
pub fn call() -> (Value, Value) {
    let item = json!({
        "type": "object",
        "properties": {
            "sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
            "quantity": {"type": "integer", "minimum": 1, "maximum": 999},
            "note": {"type": ["string", "null"]},
        },
        "required": ["sku", "quantity", "note"],
        "additionalProperties": false,
    });
    let schema = json!({
        "type": "object",
        "properties": {
            "customer": {"type": "string", "description": "Who orders"},
            "priority": {"type": "string", "enum": ["low", "normal", "high"]},
            "express": {"type": "boolean"},
            "budget": {"type": "number"},
            "deliver_on": {"type": "string", "format": "date"},
            "items": {"type": "array", "items": item, "minItems": 1},
        },
        "required": ["customer", "priority", "express", "budget", "deliver_on", "items"],
        "additionalProperties": false,
    });
    let items: Vec<Value> = (0..6)
        .map(|at| {
            json!({
                "sku": format!("ABC-{:04}", 1000 + at),
                "quantity": 3 + at,
                "note": if at % 2 == 0 { json!("leave it at the door, please") } else { Value::Null },
            })
        })
        .collect();
    let arguments = json!({
        "customer": "Zoë's bicycle workshop, \"Zum Goldenen Lenker\"",
        "priority": "normal",
        "express": true,
        "budget": 1250.75,
        "deliver_on": "2026-12-01",
        "items": items,
    });
    (schema, arguments)
}

fn object(rng: &mut Rng, fields: u64, depth: u32) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for at in 0..fields {
        let word = WORDS[rng.below(WORDS.len() as u64) as usize];
        let name = if properties.contains_key(word) {
            format!("{word}_{at}")
        } else {
            word.to_owned()
        };
        let mut schema = field(rng, depth);
        schema["description"] = json!(format!("The {name} to use, if there is one."));
        if rng.below(2) == 0 {
            required.push(json!(name));
        }
        properties.insert(name, schema);
    }
    json!({"type": "object", "properties": properties, "required": required})
}

fn field(rng: &mut Rng, depth: u32) -> Value {
    match rng.below(if depth > 0 { 8 } else { 6 }) {
        0 | 1 => json!({"type": "string"}),
        2 => json!({"type": "integer", "minimum": 0, "maximum": 100}),
        3 => json!({"type": "string", "enum": ["open", "closed", "all"]}),
        4 => json!({"type": "boolean", "default": false}),
        5 => json!({"type": "array", "items": {"type": "string"}}),
        6 => object(rng, 4, depth - 1),
        _ => json!({"type": "array", "items": object(rng, 4, depth - 1)}),
    }
}
