//! What a model may call in a generation: one function for everyone who needs
//! to know.
//!
//! A callable's identity is its namespace and name. Deferred tools become
//! callable when a `tool_search_output` or `additional_tools` item of the
//! context brings them; what is brought twice counts as it was brought last.

use serde_json::Value;

use crate::model::{ClientTool, Generation};

/// The name under which a model sees the search for tools.
pub const TOOL_SEARCH: &str = "tool_search";

/// A tool that the model may call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Callable<'g> {
    pub kind: Kind,
    pub namespace: Option<&'g str>,
    /// What the namespace is about, for models that see no namespaces.
    pub about: Option<&'g str>,
    pub name: &'g str,
    /// The tool as the generation holds it.
    pub tool: &'g Value,
}

/// What kind of tool it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Function,
    Custom,
    /// The search for deferred tools.
    Search,
    /// A tool of a fixed form, which the client runs.
    Client(ClientTool),
}

impl<'g> Callable<'g> {
    /// Of a tool that has calls of its own; `None` for any other.
    fn of(tool: &'g Value, namespace: Option<&'g str>) -> Option<Self> {
        let (kind, name) = match tool["type"].as_str()? {
            "function" => (Kind::Function, tool["name"].as_str()?),
            "custom" => (Kind::Custom, tool["name"].as_str()?),
            other => {
                let client = ClientTool::of_tool(other)?;
                (Kind::Client(client), client.name())
            }
        };
        Some(Self {
            kind,
            namespace,
            about: None,
            name,
            tool,
        })
    }

    /// A deferred function that is in no namespace comes back under its own
    /// name, as if that were one (OpenAI, gpt-5.4).
    pub fn is_under_its_name(&self) -> bool {
        self.kind == Kind::Function
            && self.namespace.is_none()
            && self.tool["defer_loading"] == true
    }

    /// `name`, or `namespace.name`: the key of `Generation.restores`, and what
    /// people read.
    pub fn label(&self) -> String {
        match self.namespace {
            Some(namespace) => format!("{namespace}.{}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// All tools that the model may call, in the request's order, then in that of
/// the items that brought them.
pub fn callables(generation: &Generation) -> Vec<Callable<'_>> {
    let mut out = Vec::with_capacity(generation.tools.len());
    collect(&generation.tools, false, &mut out);
    for item in &generation.items {
        if matches!(
            item["type"].as_str(),
            Some("tool_search_output" | "additional_tools")
        ) && let Some(tools) = item["tools"].as_array()
        {
            collect(tools, true, &mut out);
        }
    }
    out
}

/// `brought`: by an item, which is what deferred tools wait for.
fn collect<'g>(tools: &'g [Value], brought: bool, out: &mut Vec<Callable<'g>>) {
    let mut add = |callable: Option<Callable<'g>>| {
        let Some(callable) = callable else { return };
        if callable.tool["defer_loading"] == true && !brought {
            return;
        }
        match out
            .iter_mut()
            .find(|c| (c.namespace, c.name) == (callable.namespace, callable.name))
        {
            Some(known) => *known = callable,
            None => out.push(callable),
        }
    };
    for tool in tools {
        match tool["type"].as_str() {
            Some("namespace") => {
                let namespace = tool["name"].as_str();
                let about = tool["description"].as_str().filter(|text| !text.is_empty());
                for inner in tool["tools"].as_array().into_iter().flatten() {
                    let callable = Callable::of(inner, namespace);
                    add(callable.map(|callable| Callable { about, ..callable }));
                }
            }
            Some("tool_search") => add(Some(Callable {
                kind: Kind::Search,
                namespace: None,
                about: None,
                name: TOOL_SEARCH,
                tool,
            })),
            _ => add(Callable::of(tool, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn generation(tools: Value, items: Value) -> Generation {
        serde_json::from_value(json!({"model": "m", "items": items, "tools": tools})).unwrap()
    }

    fn labels(generation: &Generation) -> Vec<String> {
        callables(generation).iter().map(Callable::label).collect()
    }

    #[test]
    fn deferred_tools_wait_until_an_item_brings_them() {
        let tools = json!([
            {"type": "function", "name": "plain"},
            {"type": "function", "name": "later", "defer_loading": true},
            {"type": "namespace", "name": "crm", "description": "", "tools": [
                {"type": "function", "name": "find"},
                {"type": "custom", "name": "note", "defer_loading": true},
            ]},
            {"type": "tool_search", "execution": "server"},
            {"type": "mcp", "server_label": "docs"},
        ]);
        assert_eq!(
            labels(&generation(tools.clone(), json!([]))),
            ["plain", "crm.find", "tool_search"]
        );
        let items = json!([
            {"type": "message", "role": "user", "content": "hi"},
            {"type": "tool_search_output", "tools": [
                {"type": "namespace", "name": "crm", "tools": [
                    {"type": "custom", "name": "note", "defer_loading": true, "description": "now"},
                    {"type": "function", "name": "find", "description": "again"},
                ]},
            ]},
            {"type": "additional_tools", "role": "developer", "tools": [
                {"type": "function", "name": "later", "defer_loading": true},
            ]},
        ]);
        let loaded = generation(tools, items);
        assert_eq!(
            labels(&loaded),
            ["plain", "crm.find", "tool_search", "crm.note", "later"]
        );
        let find = callables(&loaded)[1];
        assert_eq!(find.tool["description"], "again", "the last one counts");
    }
}
