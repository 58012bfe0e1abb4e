//! Null beside an `enum`.
//!
//! OpenAI's guide makes a parameter optional by adding null to its type and
//! leaves its `enum` as it is (`{"type": ["string", "null"], "enum": ["C", "F"]}`).
//! By JSON Schema's letter the enum then forbids what the type allows. What is
//! meant is the type.

use serde_json::Value;

use crate::keyword::{Keyword, Shape};

/// The schema with null in each `enum` whose `type` is a list that has null;
/// `None` where there is nothing to add.
pub fn admit_null(schema: &Value) -> Option<Value> {
    let mut admitted = schema.clone();
    admit(&mut admitted).then_some(admitted)
}

/// Whether something was added. As deep as a schema may be, which [`Limits`]
/// bounds.
///
/// [`Limits`]: crate::Limits
fn admit(schema: &mut Value) -> bool {
    let Value::Object(node) = schema else {
        return false;
    };
    let null_by_type = node
        .get("type")
        .and_then(Value::as_array)
        .is_some_and(|types| types.iter().any(|kind| kind == "null"));
    let mut added = false;
    if null_by_type
        && let Some(Value::Array(values)) = node.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
        added = true;
    }
    for (key, below) in node.iter_mut() {
        let Some(keyword) = Keyword::of(key) else {
            continue;
        };
        match (keyword.shape(), below) {
            (Shape::Map, Value::Object(named)) => {
                for schema in named.values_mut() {
                    added |= admit(schema);
                }
            }
            (Shape::List | Shape::SchemaOrList, Value::Array(schemas)) => {
                for schema in schemas {
                    added |= admit(schema);
                }
            }
            (Shape::Schema | Shape::SchemaOrList, schema) => added |= admit(schema),
            _ => {}
        }
    }
    added
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_joins_an_enum_whose_type_has_it() {
        let optional = json!({"type": ["string", "null"], "enum": ["C", "F"]});
        let schema = json!({"type": "object", "properties": {
            "unit": optional,
            "list": {"type": "array", "items": {"anyOf": [optional]}},
            "plain": {"type": "string", "enum": ["C"]},
        }, "$defs": {"u": optional}});
        let admitted = admit_null(&schema).expect("something to add");
        for place in [
            "/properties/unit",
            "/properties/list/items/anyOf/0",
            "/$defs/u",
        ] {
            let node = admitted.pointer(place).expect(place);
            assert_eq!(node["enum"], json!(["C", "F", null]), "{place}");
        }
        assert_eq!(
            admitted["properties"]["plain"],
            schema["properties"]["plain"]
        );
        assert_eq!(admit_null(&admitted), None);
    }

    #[test]
    fn values_are_no_schemas() {
        let data = json!({"type": ["string", "null"], "enum": ["C"]});
        let schema = json!({"default": data, "enum": [data], "const": data, "examples": [data]});
        assert_eq!(admit_null(&schema), None);
    }
}
