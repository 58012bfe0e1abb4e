//! The schema of an emulated reply: an answer, a call, or several.
//!
//! Each tool's schema becomes a part of a larger one, so its definitions move to
//! the top, under names of its own, and its references follow.

use serde_json::{Map, Value, json};

/// Calls of one reply. A small model that may list calls does not always find
/// the end of the list.
const MAX_CALLS: usize = 8;

/// Keywords that hold one schema, an array of schemas, or schemas by name.
pub(super) const ONE: &[&str] = &[
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];
pub(super) const MANY: &[&str] = &["anyOf", "oneOf", "allOf", "prefixItems"];
pub(super) const NAMED: &[&str] = &[
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
];

/// A tool: its name and the schema of its arguments.
pub struct Callee<'a> {
    pub name: &'a str,
    pub parameters: &'a Value,
}

/// The schema of a reply. `answer` is the schema of an answer, where one is
/// allowed.
pub fn reply(answer: Option<&Value>, tools: &[Callee<'_>], several: bool) -> Value {
    let mut defs = Map::new();
    let mut branches = Vec::with_capacity(tools.len() + 2);
    if let Some(answer) = answer {
        let answer = embed(answer, "answer", &mut defs);
        branches.push(object(vec![("answer", answer)]));
    }
    let calls: Vec<Value> = tools
        .iter()
        .enumerate()
        .map(|(at, tool)| {
            let arguments = embed(tool.parameters, &format!("t{at}"), &mut defs);
            let name = json!({"type": "string", "enum": [tool.name]});
            object(vec![("name", name), ("arguments", arguments)])
        })
        .collect();
    if several && !calls.is_empty() {
        let list = json!({
            "type": "array",
            "items": one_of(calls),
            "minItems": 1,
            "maxItems": MAX_CALLS,
        });
        branches.push(object(vec![("calls", list)]));
    } else {
        branches.extend(calls);
    }
    let mut schema = one_of(branches);
    if !defs.is_empty() {
        schema["$defs"] = Value::Object(defs);
    }
    schema
}

fn one_of(mut schemas: Vec<Value>) -> Value {
    if schemas.len() == 1 {
        return schemas.swap_remove(0);
    }
    json!({ "anyOf": schemas })
}

fn object(properties: Vec<(&str, Value)>) -> Value {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let required = json!(required);
    let properties: Map<String, Value> = properties
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// The schema as a part of another: its definitions are added to `defs`.
fn embed(schema: &Value, prefix: &str, defs: &mut Map<String, Value>) -> Value {
    let mut refers_to_root = false;
    let mut schema = moved(schema, prefix, &mut refers_to_root);
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("$id");
        for key in ["$defs", "definitions"] {
            if let Some(Value::Object(own)) = object.shift_remove(key) {
                for (name, definition) in own {
                    defs.insert(format!("{prefix}_{name}"), definition);
                }
            }
        }
    }
    if refers_to_root {
        defs.insert(prefix.to_owned(), schema);
        return json!({"$ref": format!("#/$defs/{prefix}")});
    }
    schema
}

/// A copy whose references point to where the definitions go. Walks schemas
/// only: a property may be called `$ref`, an enum may hold anything.
fn moved(schema: &Value, prefix: &str, refers_to_root: &mut bool) -> Value {
    let Value::Object(object) = schema else {
        return schema.clone();
    };
    let mut out = Map::with_capacity(object.len());
    for (key, value) in object {
        let value = match value {
            Value::String(target) if key == "$ref" => {
                let definition = target
                    .strip_prefix("#/$defs/")
                    .or_else(|| target.strip_prefix("#/definitions/"));
                match definition {
                    Some(rest) => json!(format!("#/$defs/{prefix}_{rest}")),
                    None if target == "#" => {
                        *refers_to_root = true;
                        json!(format!("#/$defs/{prefix}"))
                    }
                    None => value.clone(),
                }
            }
            Value::Array(schemas) if MANY.contains(&key.as_str()) || key == "items" => schemas
                .iter()
                .map(|schema| moved(schema, prefix, refers_to_root))
                .collect(),
            value if ONE.contains(&key.as_str()) => moved(value, prefix, refers_to_root),
            Value::Object(named) if NAMED.contains(&key.as_str()) => Value::Object(
                named
                    .iter()
                    .map(|(name, schema)| (name.clone(), moved(schema, prefix, refers_to_root)))
                    .collect(),
            ),
            other => other.clone(),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_move_up_and_references_follow() {
        let tree = json!({
            "$schema": "x",
            "type": "object",
            "properties": {
                "$ref": {"type": "string", "enum": ["#/$defs/leaf"]},
                "leaf": {"$ref": "#/$defs/leaf"},
                "children": {"type": "array", "items": {"$ref": "#"}},
            },
            "$defs": {"leaf": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/leaf"}]}},
        });
        let tools = [
            Callee {
                name: "f",
                parameters: &tree,
            },
            Callee {
                name: "g",
                parameters: &json!({"type": "object"}),
            },
        ];
        let schema = reply(Some(&json!({"type": "string"})), &tools, false);
        let branches = schema["anyOf"].as_array().unwrap();
        assert_eq!(branches.len(), 3);
        assert_eq!(
            branches[1]["properties"]["arguments"],
            json!({"$ref": "#/$defs/t0"})
        );
        let moved = &schema["$defs"]["t0"];
        assert_eq!(
            moved["properties"]["$ref"]["enum"][0], "#/$defs/leaf",
            "a value, not a reference"
        );
        assert_eq!(moved["properties"]["leaf"]["$ref"], "#/$defs/t0_leaf");
        assert_eq!(
            moved["properties"]["children"]["items"]["$ref"],
            "#/$defs/t0"
        );
        assert_eq!(
            schema["$defs"]["t0_leaf"]["anyOf"][1]["$ref"],
            "#/$defs/t0_leaf"
        );
        assert!(moved.get("$defs").is_none() && moved.get("$schema").is_none());
    }

    #[test]
    fn one_branch_needs_no_union() {
        let parameters = json!({"type": "object"});
        let tools = [Callee {
            name: "f",
            parameters: &parameters,
        }];
        let schema = reply(None, &tools, false);
        assert_eq!(schema["properties"]["name"]["enum"], json!(["f"]));
        let several = reply(None, &tools, true);
        assert_eq!(
            several["properties"]["calls"]["items"]["properties"]["name"]["enum"],
            json!(["f"])
        );
    }
}
