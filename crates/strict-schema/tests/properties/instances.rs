//! Arguments for a schema, and arguments that are nearly right.

use serde_json::{Map, Value, json};

use super::generate::{STRINGS, Tape};

/// A document in the shape of a schema. Bounds are met by luck.
pub fn instance(root: &Value, node: &Value, tape: &mut Tape<'_>, depth: usize) -> Value {
    let Some(map) = node.as_object() else {
        return json!(1);
    };
    if depth > 8 {
        return Value::Null;
    }
    if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
        let pointer = reference.trim_start_matches('#').replace("%25", "%");
        return match root.pointer(&pointer) {
            Some(target) => instance(root, target, tape, depth + 1),
            None => Value::Null,
        };
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(Value::Array(branches)) = map.get(keyword)
            && !branches.is_empty()
        {
            let branch = tape.pick(branches);
            return instance(root, branch, tape, depth + 1);
        }
    }
    if let Some(value) = map.get("const") {
        return value.clone();
    }
    if let Some(Value::Array(values)) = map.get("enum")
        && !values.is_empty()
    {
        return tape.pick(values).clone();
    }
    let types: Vec<&str> = match map.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec!["object"],
    };
    match *tape.pick(&types) {
        "string" => fitting(map, tape),
        "integer" => json!(tape.below(9)),
        "number" => json!(tape.below(18) as f64 / 2.0),
        "boolean" => tape.once_in(2).into(),
        "array" => {
            let Some(items) = map.get("items") else {
                return json!([]);
            };
            (0..tape.below(4))
                .map(|_| instance(root, items, tape, depth + 1))
                .collect()
        }
        "object" => {
            let mut fields = Map::new();
            if let Some(Value::Object(properties)) = map.get("properties") {
                for (name, schema) in properties {
                    fields.insert(name.clone(), instance(root, schema, tape, depth + 1));
                }
            }
            if let Some(values @ Value::Object(_)) = map.get("additionalProperties") {
                for _ in 0..tape.below(3) {
                    let name = (*tape.pick(&STRINGS)).to_owned();
                    fields.insert(name, instance(root, values, tape, depth + 1));
                }
            }
            fields.into()
        }
        _ => Value::Null,
    }
}

/// A string of the pool that its schema takes, where there is one.
fn fitting(schema: &Map<String, Value>, tape: &mut Tape<'_>) -> Value {
    let judge = super::judge(&schema.clone().into());
    let pool: Vec<&str> = STRINGS
        .into_iter()
        .filter(|text| {
            judge
                .as_ref()
                .is_some_and(|judge| judge.is_valid(&json!(text)))
        })
        .collect();
    if pool.is_empty() {
        json!("?")
    } else {
        (*tape.pick(&pool)).into()
    }
}

/// Changes one place of a document.
pub fn mutate(value: &mut Value, tape: &mut Tape<'_>, depth: usize) {
    if depth < 4 && !tape.once_in(4) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                let name = tape
                    .pick(&fields.keys().cloned().collect::<Vec<_>>())
                    .clone();
                match tape.below(5) {
                    0 => {
                        fields.shift_remove(&name);
                    }
                    1 => {
                        fields.insert("kind".into(), json!("y"));
                    }
                    _ => mutate(&mut fields[&name], tape, depth + 1),
                }
                return;
            }
            Value::Array(items) if !items.is_empty() => {
                let index = tape.below(items.len());
                match tape.below(5) {
                    0 => {
                        items.remove(index);
                    }
                    1 => items.push(items[index].clone()),
                    _ => mutate(&mut items[index], tape, depth + 1),
                }
                return;
            }
            _ => {}
        }
    }
    *value = tape
        .pick(&[
            json!(null),
            json!("x"),
            json!(1),
            json!(2.5),
            json!({}),
            json!([]),
            json!(true),
        ])
        .clone();
}
