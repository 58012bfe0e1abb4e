//! Optional fields that strict mode makes mandatory.
//!
//! Closing a schema requires every property. A property that may be null stays a choice; any other
//! forces the model to write something, and models then invent `""`, `0` or the first enum value.
//! This is what users of strict tools complain about most, so lint says it for every field.

use serde_json::{Map, Value};

/// References followed to find out whether a property may be null.
const MAX_REFERENCES: usize = 8;

/// A property that is optional, cannot be null and so becomes mandatory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Optional {
    pub pointer: String,
    pub name: String,
    pub has_default: bool,
}

/// All of them, in the order of the document. Looks only where schemas are, never into `enum`,
/// `const`, `default` or `examples`; goes as deep as the parser let the document go.
pub(super) fn become_mandatory(schema: &Value) -> Vec<Optional> {
    let mut found = Vec::new();
    walk(schema, schema, "", &mut found);
    found
}

fn walk(node: &Value, root: &Value, at: &str, found: &mut Vec<Optional>) {
    let Some(object) = node.as_object() else {
        return;
    };
    if let Some(Value::Object(properties)) = object.get("properties") {
        for (name, property) in properties {
            let pointer = format!("{at}/properties/{}", escaped(name));
            if !is_required(object, name) && !may_be_null(property, root, MAX_REFERENCES) {
                found.push(Optional {
                    pointer: pointer.clone(),
                    name: name.clone(),
                    has_default: property.get("default").is_some(),
                });
            }
            walk(property, root, &pointer, found);
        }
    }
    for (key, value) in object {
        match (key.as_str(), value) {
            ("items" | "additionalProperties", Value::Object(_)) => {
                walk(value, root, &format!("{at}/{key}"), found);
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(branches)) => {
                for (index, branch) in branches.iter().enumerate() {
                    walk(branch, root, &format!("{at}/{key}/{index}"), found);
                }
            }
            ("$defs" | "definitions", Value::Object(definitions)) => {
                for (name, definition) in definitions {
                    walk(
                        definition,
                        root,
                        &format!("{at}/{key}/{}", escaped(name)),
                        found,
                    );
                }
            }
            _ => {}
        }
    }
}

fn is_required(object: &Map<String, Value>, name: &str) -> bool {
    let required = object.get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|required| required == name))
}

fn may_be_null(schema: &Value, root: &Value, references: usize) -> bool {
    let is_null = |kind: &Value| kind == "null";
    let Some(object) = schema.as_object() else {
        return schema == &Value::Bool(true);
    };
    let by_branch = ["anyOf", "oneOf"].iter().any(|key| {
        let branches = object.get(*key).and_then(Value::as_array);
        branches.is_some_and(|all| all.iter().any(|one| may_be_null(one, root, references)))
    });
    let by_type = match object.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_null),
        Some(kind) => is_null(kind),
        None => {
            let listed = object.get("enum").and_then(Value::as_array);
            listed.is_some_and(|values| values.iter().any(Value::is_null))
                || object.get("const").is_some_and(Value::is_null)
        }
    };
    let by_reference = references > 0
        && object
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|uri| root.pointer(uri.strip_prefix('#')?))
            .is_some_and(|target| may_be_null(target, root, references - 1));
    let nullable = object.get("nullable") == Some(&Value::Bool(true));
    by_branch || by_type || by_reference || nullable
}

fn escaped(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(schema: Value) -> Vec<String> {
        let found = become_mandatory(&schema);
        for one in &found {
            assert!(schema.pointer(&one.pointer).is_some(), "{one:?}");
        }
        found.into_iter().map(|one| one.pointer).collect()
    }

    #[test]
    fn what_is_optional_and_cannot_be_null_is_found_at_every_depth() {
        let schema = json!({
            "type": "object", "required": ["kept", "list"],
            "properties": {
                "kept": {"type": "string"},
                "lost": {"type": "string", "default": "x"},
                "a/b": {"enum": ["x"]},
                "list": {"type": "array", "items": {"anyOf": [
                    {"type": "object", "properties": {"deep": {"type": "integer"}}}]}},
            },
            "$defs": {"D": {"properties": {"in_definition": {"type": "boolean"}}}},
        });
        assert_eq!(
            names(schema),
            [
                "/properties/lost",
                "/properties/a~1b",
                "/properties/list/items/anyOf/0/properties/deep",
                "/$defs/D/properties/in_definition",
            ]
        );
    }

    #[test]
    fn what_may_be_null_stays_a_choice() {
        let schema = json!({"properties": {
            "a": {"type": ["string", "null"]},
            "b": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "c": {"$ref": "#/$defs/N"},
            "d": {"type": "string", "nullable": true},
            "e": {"enum": ["x", null]},
            "f": {"const": null},
        }, "$defs": {"N": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/N"}]}}});
        assert_eq!(names(schema), Vec::<String>::new());
        let circle = json!({"properties": {"a": {"$ref": "#/properties/a"}}});
        assert_eq!(names(circle), ["/properties/a"]);
    }

    #[test]
    fn a_default_is_noticed() {
        let found = become_mandatory(&json!({"properties": {"a": {"default": 1}, "b": {}}}));
        assert_eq!(
            found.iter().map(|one| one.has_default).collect::<Vec<_>>(),
            [true, false]
        );
    }
}
