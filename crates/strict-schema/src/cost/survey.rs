//! What a schema has that matters to its cost: references, names that move them, and the
//! keywords that write schemas out.
//!
//! Examples, defaults and enums are data: what looks like a keyword there is none. The trap: a
//! reference can make a schema of them, and then it is one.

use serde_json::Value;

use super::Guard;
use crate::{
    keyword::{Keyword, Shape},
    path,
    reference::Target,
};

/// Looks through the whole schema once.
pub(super) fn survey(guard: &mut Guard, schema: &Value) {
    let mut survey = Survey {
        guard,
        hidden: false,
        wide: false,
    };
    survey.visit(schema, Role::Schema, &mut String::new());
    let hidden = survey.hidden && survey.wide;
    guard.opaque |= hidden;
}

struct Survey<'g> {
    guard: &'g mut Guard,
    /// Something in data would matter if it were a schema.
    hidden: bool,
    /// A reference leads into data, or it cannot be told where.
    wide: bool,
}

/// What a value in a schema is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A schema, or a list of them.
    Schema,
    /// Schemas by name.
    Names,
    /// No schema, unless a reference makes it one.
    Data,
}

impl Role {
    /// What stands under a key.
    fn below(self, key: &str) -> Role {
        match self {
            Role::Names => Role::Schema,
            Role::Data => Role::Data,
            Role::Schema => match Keyword::of(key).map(Keyword::shape) {
                Some(Shape::Plain) => Role::Data,
                Some(Shape::Map) => Role::Names,
                // An unknown word may be a schema's: nothing is missed that way.
                Some(Shape::Schema | Shape::List | Shape::SchemaOrList) | None => Role::Schema,
            },
        }
    }
}

impl Survey<'_> {
    fn visit(&mut self, value: &Value, role: Role, pointer: &mut String) {
        self.guard.size += 1;
        let length = pointer.len();
        match value {
            Value::Object(map) => {
                for (key, below) in map {
                    if role != Role::Names {
                        self.key(key, below, role, pointer);
                    }
                    path::push_token(pointer, key);
                    self.visit(below, role.below(key), pointer);
                    pointer.truncate(length);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path::push_index(pointer, index);
                    self.visit(item, role, pointer);
                    pointer.truncate(length);
                }
            }
            _ => {}
        }
    }

    fn key(&mut self, key: &str, below: &Value, role: Role, pointer: &str) {
        let draft_4 = || {
            let draft = self.guard.schema.get("$schema").and_then(Value::as_str);
            draft.is_some_and(|draft| draft.contains("draft-04"))
        };
        let telling = match (key, below) {
            (
                "$ref" | "$dynamicRef" | "$recursiveRef" | "$anchor" | "$dynamicAnchor",
                Value::String(_),
            )
            | ("unevaluatedProperties" | "unevaluatedItems", _) => true,
            ("$id", Value::String(_)) => !pointer.is_empty(),
            // Only draft 4 calls it so; elsewhere it is a word like others.
            ("id", Value::String(_)) => !pointer.is_empty() && draft_4(),
            _ => false,
        };
        if telling && role == Role::Data {
            self.hidden = true;
            return;
        }
        match (key, below) {
            ("$ref", Value::String(reference)) => {
                self.guard.plain = false;
                self.wide |= match Target::of(reference) {
                    Target::Root | Target::Definition { .. } => false,
                    Target::Elsewhere(tokens) => {
                        let role = |role: Role, token: &String| role.below(token);
                        tokens.iter().fold(Role::Schema, role) == Role::Data
                    }
                    Target::Foreign => true,
                };
            }
            ("unevaluatedProperties" | "unevaluatedItems", _) => {
                self.guard.plain = false;
                self.guard.unevaluated.push(pointer.to_owned());
            }
            ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                self.guard.plain = false;
                self.guard.opaque = true;
            }
            // A schema inside with a name of its own moves the references in it.
            ("$id" | "id", Value::String(_)) => self.guard.opaque |= telling,
            ("$anchor" | "$dynamicAnchor", Value::String(name)) => {
                let known = self.guard.anchors.insert(name.clone(), pointer.to_owned());
                self.guard.opaque |= known.is_some();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn opaque(schema: &Value) -> bool {
        Guard::new(schema).opaque
    }

    #[test]
    fn what_looks_like_a_keyword_in_data_is_none() {
        let words = json!({"$id": "https://example.com/a", "$dynamicRef": "#x", "$ref": "#/a"});
        for key in ["default", "const", "examples", "enum", "discriminator"] {
            let data = json!([words]);
            assert!(!opaque(&json!({"type": "object", key: data})), "{key}");
            let used = json!({key: data, "not": {"$ref": format!("#/{key}/0")}});
            assert!(opaque(&used), "a reference makes a schema of {key}");
        }
        let elsewhere = json!({"default": words, "properties": {"default": {"type": "string"},
            "a": {"$ref": "#/properties/default"}}});
        assert!(!opaque(&elsewhere), "a reference to a schema");
        let named = json!({"properties": {"default": words}});
        assert!(opaque(&named), "a property may have any name");
        assert!(opaque(&json!({"x-own": words})), "and a schema any word");
    }
}
