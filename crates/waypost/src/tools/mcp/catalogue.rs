//! The tools of all servers of a response, as functions of the model.
//!
//! A function's name is made of the server's label and the tool's name, and
//! nothing else: a tool keeps it over turns and requests, so that a model finds
//! its earlier calls under the name that it knows.

use std::{collections::HashSet, fmt::Write};

use aws_lc_rs::digest::{SHA256, digest};
use mcp_client::Tool;
use serde_json::{Value, json};

use super::{policy::Policy, servers::parameters};

/// The longest name of a function (API reference).
const MAX_NAME: usize = 64;
const HASH_DIGITS: usize = 8;

/// What can be called, and as what.
#[derive(Debug, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
    taken: HashSet<String>,
}

/// A tool that the model may call.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The function's name.
    pub function: String,
    pub label: String,
    pub tool: Tool,
    /// A person must allow each call.
    pub needs_approval: bool,
    /// As the model reads it.
    description: Option<String>,
    /// The tool's schema, made fit to be a function's.
    parameters: Value,
}

impl Catalogue {
    /// `taken` are the names of the client's own functions.
    pub fn new(taken: impl IntoIterator<Item = String>) -> Self {
        Self {
            entries: Vec::new(),
            taken: taken.into_iter().collect(),
        }
    }

    /// Adds the tools of one server that the request allows.
    pub fn add(&mut self, policy: &Policy, tools: Vec<Tool>) {
        for tool in tools.into_iter().filter(|tool| policy.allows(tool)) {
            // Lists also come from earlier responses, as clients send them back.
            let Some(parameters) = parameters(&tool) else {
                continue;
            };
            let mut function = function_name(&policy.label, &tool.name);
            if self.taken.contains(&function) {
                function = hashed(&policy.label, &tool.name);
            }
            if !self.taken.insert(function.clone()) {
                continue;
            }
            let needs_approval = policy.needs_approval(&tool);
            let description = match (&policy.description, &tool.description) {
                (Some(server), Some(tool)) => Some(format!("{tool}\n\n{server}")),
                (server, tool) => tool.as_ref().or(server.as_ref()).cloned(),
            };
            self.entries.push(Entry {
                function,
                label: policy.label.clone(),
                tool,
                needs_approval,
                description,
                parameters,
            });
        }
    }

    /// The tool behind a function.
    pub fn by_function(&self, function: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.function == function)
    }

    /// A server's tool.
    pub fn by_tool(&self, label: &str, name: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.label == label && entry.tool.name == name)
    }

    /// The functions of one server.
    pub fn of_server<'a>(&'a self, label: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.label == label)
    }

    /// All of them as function tools. Not strict: their schemas are not the
    /// client's, and their server judges arguments itself.
    pub fn functions(&self) -> impl Iterator<Item = Value> {
        self.entries.iter().map(|entry| {
            json!({
                "type": "function",
                "description": entry.description,
                "name": entry.function,
                "parameters": entry.parameters,
                "strict": false,
            })
        })
    }

    /// The name of a function for a tool, listed or not.
    pub fn name_of(&self, label: &str, tool: &str) -> String {
        self.by_tool(label, tool).map_or_else(
            || function_name(label, tool),
            |entry| entry.function.clone(),
        )
    }
}

/// `label__tool`, or with a hash where that is no name of a function.
fn function_name(label: &str, tool: &str) -> String {
    let plain = format!("{label}__{tool}");
    if plain.len() <= MAX_NAME && plain.bytes().all(is_name_byte) {
        plain
    } else {
        hashed(label, tool)
    }
}

fn hashed(label: &str, tool: &str) -> String {
    let mut name: String = format!("{label}__{tool}")
        .bytes()
        .map(|byte| {
            if is_name_byte(byte) {
                char::from(byte)
            } else {
                '_'
            }
        })
        .take(MAX_NAME - HASH_DIGITS - 1)
        .collect();
    name.push('_');
    // The separator is in no label: no two pairs are the same text.
    let hash = digest(&SHA256, format!("{label}\n{tool}").as_bytes());
    for byte in &hash.as_ref()[..HASH_DIGITS / 2] {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str) -> Tool {
        Tool {
            annotations: None,
            description: Some(format!("Does {name}")),
            input_schema: json!({"type": "object"}),
            name: name.to_owned(),
        }
    }

    fn policy(label: &str) -> Policy {
        Policy::of(&json!({"type": "mcp", "server_label": label, "server_description": "Docs"}))
            .expect("a policy")
    }

    #[test]
    fn names_are_names_of_functions_and_unique() {
        let long = "x".repeat(200);
        let names = [
            "read",
            "notes/read",
            "notes.read",
            "notes_read",
            &long,
            "größe",
            "a__b",
        ];
        let mut catalogue = Catalogue::new(["s__read".to_owned()]);
        for label in ["s", "s__a"] {
            catalogue.add(
                &policy(label),
                names.iter().map(|name| tool(name)).collect(),
            );
        }
        catalogue.add(&policy("s"), vec![tool("a__a__b")]);
        let functions: Vec<Value> = catalogue.functions().collect();
        assert_eq!(functions.len(), 2 * names.len() + 1);
        let mut seen = HashSet::from(["s__read"]);
        for function in &functions {
            let name = function["name"].as_str().expect("a name");
            assert!(
                name.len() <= MAX_NAME && name.bytes().all(is_name_byte),
                "{name}"
            );
            assert!(seen.insert(name), "{name} is there twice");
            let entry = catalogue.by_function(name).expect("an entry");
            assert_eq!(catalogue.name_of(&entry.label, &entry.tool.name), name);
        }
        assert_eq!(functions[1]["description"], "Does notes/read\n\nDocs");
        assert_eq!(function_name("docs", "search"), "docs__search");
    }
}
