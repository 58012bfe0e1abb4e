//! What a model that knows none of these tools is told of them.

use crate::model::ClientTool;

use serde_json::{Map, Value, json};

/// How a diff is written, as the Agents SDKs apply it.
const PATCHES: &str = "\
Creates, updates or deletes one file by a diff. `path` is relative to the working directory.
create_file: `diff` is the new file, every line with `+` before it.
update_file: `diff` has one or more hunks. A hunk begins with a line `@@`, which may name the class \
or function that it is in (`@@ def main():`). The lines of the hunk follow: with ` ` before those \
that stay, `-` before those that go, `+` before those that come. Give three lines that stay before \
and after each change. There are no line numbers and no file headers.
delete_file: no `diff`.";

impl ClientTool {
    /// The schema of the function's arguments, strict.
    pub fn parameters(self) -> Value {
        self.schema(true)
    }

    /// What is taken of a model: the same, where what may be null may be
    /// missing.
    pub fn accepted(self) -> Value {
        self.schema(false)
    }

    /// What the function does. `tool` may have more to say.
    pub fn description(self, tool: &Value) -> String {
        match self {
            Self::LocalShell => {
                "Runs a program on the user's computer, without a shell: `command` \
                                 is the program and its arguments."
                    .to_owned()
            }
            Self::Shell => {
                let does = "Runs command lines in a shell on the user's computer, one after the \
                            other, and returns the output of each.";
                format!("{does}{}", skills(&tool["environment"]["skills"]))
            }
            Self::ApplyPatch => PATCHES.to_owned(),
            Self::Computer => "Acts on the user's computer: the actions happen in order, then the \
                               result is a screenshot. Coordinates are pixels of the last \
                               screenshot, from its upper left corner. Ask for a screenshot first."
                .to_owned(),
        }
    }

    fn schema(self, strict: bool) -> Value {
        let object = |fields: Vec<Field>| object(fields, strict);
        match self {
            Self::LocalShell => object(vec![
                must("command", texts(1)),
                may("working_directory", json!({"type": "string"})),
                may("timeout_ms", json!({"type": "integer"})),
                may("user", json!({"type": "string"})),
                may(
                    "env",
                    json!({"type": "array", "items": object(vec![
                        must("name", json!({"type": "string"})),
                        must("value", json!({"type": "string"})),
                    ])}),
                ),
            ]),
            Self::Shell => object(vec![
                must("commands", texts(1)),
                may("timeout_ms", json!({"type": "integer"})),
                may("max_output_length", json!({"type": "integer"})),
            ]),
            Self::ApplyPatch => {
                let path = || must("path", json!({"type": "string"}));
                let diff = || json!({"type": "string"});
                let writes = object(vec![
                    must("type", words(&["create_file", "update_file"])),
                    path(),
                    must("diff", diff()),
                ]);
                let mut deletes = vec![must("type", words(&["delete_file"])), path()];
                if !strict {
                    deletes.push(may("diff", diff()));
                }
                object(vec![must(
                    "operation",
                    json!({"anyOf": [writes, object(deletes)]}),
                )])
            }
            Self::Computer => object(vec![must(
                "actions",
                json!({"type": "array", "minItems": 1, "items": {"anyOf": actions(&object)}}),
            )]),
        }
    }
}

/// What can be done with a computer.
fn actions(object: &impl Fn(Vec<Field>) -> Value) -> Vec<Value> {
    let kind = |word: &str| must("type", words(&[word]));
    let number = |name: &'static str| must(name, json!({"type": "integer"}));
    let keys = || may("keys", texts(0));
    let point = || object(vec![number("x"), number("y")]);
    let button = words(&["left", "right", "wheel", "back", "forward"]);
    vec![
        object(vec![
            kind("click"),
            must("button", button),
            number("x"),
            number("y"),
            keys(),
        ]),
        object(vec![kind("double_click"), number("x"), number("y"), keys()]),
        object(vec![
            kind("drag"),
            must("path", json!({"type": "array", "items": point()})),
            keys(),
        ]),
        object(vec![kind("keypress"), must("keys", texts(0))]),
        object(vec![kind("move"), number("x"), number("y"), keys()]),
        object(vec![kind("screenshot")]),
        object(vec![
            kind("scroll"),
            number("x"),
            number("y"),
            number("scroll_x"),
            number("scroll_y"),
            keys(),
        ]),
        object(vec![kind("type"), must("text", json!({"type": "string"}))]),
        object(vec![kind("wait")]),
    ]
}

struct Field {
    name: &'static str,
    schema: Value,
    required: bool,
}

fn must(name: &'static str, schema: Value) -> Field {
    Field {
        name,
        schema,
        required: true,
    }
}

/// A field that may be null.
fn may(name: &'static str, mut schema: Value) -> Field {
    schema["type"] = json!([schema["type"], "null"]);
    Field {
        name,
        schema,
        required: false,
    }
}

fn object(fields: Vec<Field>, strict: bool) -> Value {
    let required = fields.iter().filter(|field| strict || field.required);
    let required: Vec<&str> = required.map(|field| field.name).collect();
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| (field.name.to_owned(), field.schema.clone()))
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn texts(at_least: usize) -> Value {
    let mut list = json!({"type": "array", "items": {"type": "string"}});
    if at_least > 0 {
        list["minItems"] = json!(at_least);
    }
    list
}

fn words(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

/// What the client's skills are, for a model that is told of the shell.
fn skills(skills: &Value) -> String {
    let mut told = String::new();
    for skill in skills.as_array().into_iter().flatten() {
        let text = |key: &str| skill[key].as_str().unwrap_or_default();
        if told.is_empty() {
            told.push_str("\nThese skills are there; read the files of one before you use it:");
        }
        for piece in [
            "\n",
            text("name"),
            " (",
            text("path"),
            "): ",
            text("description"),
        ] {
            told.push_str(piece);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use strict_schema::{Profile, check_strict};

    use super::*;

    #[test]
    fn the_schemas_are_strict() {
        for tool in ClientTool::ALL {
            let schema = tool.parameters();
            let place = strict_schema::Where::ResponsesTool {
                index: 0,
                name: tool.name(),
            };
            let checked = check_strict(&schema, &Profile::default(), place);
            assert!(checked.is_ok(), "{}: {checked:?}", tool.name());
        }
    }
}
