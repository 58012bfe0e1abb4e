//! What a request allows of a server's tools, and what a person has to allow.
//!
//! Read from the tool as it is echoed, so that a run after a crash decides
//! alike.

use mcp_client::Tool;
use serde_json::Value;

/// One server's part of a request.
#[derive(Debug, Clone)]
pub struct Policy {
    pub label: String,
    pub description: Option<String>,
    allowed: Option<Filter>,
    approval: Approval,
}

/// Some of a server's tools: those that fit all that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    names: Option<Vec<String>>,
    read_only: Option<bool>,
}

#[derive(Debug, Clone)]
enum Approval {
    Always,
    Never,
    /// `always` wins; what neither names needs approval.
    By {
        always: Option<Filter>,
        never: Option<Filter>,
    },
}

impl Filter {
    /// A list of names, or an object with `tool_names` and `read_only`.
    pub fn read(value: &Value) -> Option<Self> {
        let names = |value: &Value| -> Option<Vec<String>> {
            let names = value.as_array()?.iter();
            Some(
                names
                    .filter_map(|name| name.as_str().map(str::to_owned))
                    .collect(),
            )
        };
        match value {
            Value::Array(_) => Some(Self {
                names: names(value),
                read_only: None,
            }),
            Value::Object(_) => Some(Self {
                names: names(&value["tool_names"]),
                read_only: value["read_only"].as_bool(),
            }),
            _ => None,
        }
    }

    /// Whether it says nothing, and so fits every tool.
    pub fn is_open(&self) -> bool {
        self.names.is_none() && self.read_only.is_none()
    }

    fn fits(&self, tool: &Tool) -> bool {
        self.names
            .as_ref()
            .is_none_or(|names| names.contains(&tool.name))
            && self
                .read_only
                .is_none_or(|read_only| tool.is_read_only() == read_only)
    }
}

impl Policy {
    /// Reads an echoed tool; `None` if it is no MCP server.
    pub fn of(tool: &Value) -> Option<Self> {
        if !super::is_server(tool) {
            return None;
        }
        let approval = match &tool["require_approval"] {
            Value::String(word) if word == "never" => Approval::Never,
            Value::Object(by) => Approval::By {
                always: by.get("always").and_then(Filter::read),
                never: by.get("never").and_then(Filter::read),
            },
            _ => Approval::Always,
        };
        Some(Self {
            label: tool["server_label"].as_str()?.to_owned(),
            description: tool["server_description"].as_str().map(str::to_owned),
            allowed: Filter::read(&tool["allowed_tools"]),
            approval,
        })
    }

    pub fn allows(&self, tool: &Tool) -> bool {
        self.allowed.as_ref().is_none_or(|filter| filter.fits(tool))
    }

    pub fn needs_approval(&self, tool: &Tool) -> bool {
        match &self.approval {
            Approval::Always => true,
            Approval::Never => false,
            Approval::By { always, never } => {
                let fits = |filter: &Option<Filter>| filter.as_ref().is_some_and(|f| f.fits(tool));
                fits(always) || !fits(never)
            }
        }
    }

    /// Whether a list from the context will do: it was made for another
    /// request, which may have allowed fewer tools.
    pub fn is_served_by(&self, tools: &[Tool]) -> bool {
        let names = self
            .allowed
            .as_ref()
            .and_then(|filter| filter.names.as_ref());
        names.is_none_or(|names| {
            names
                .iter()
                .all(|name| tools.iter().any(|tool| tool.name == *name))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(name: &str, read_only: bool) -> Tool {
        Tool {
            annotations: Some(json!({"readOnlyHint": read_only})),
            description: None,
            input_schema: json!({}),
            name: name.to_owned(),
        }
    }

    fn policy(fields: Value) -> Policy {
        let mut tool = json!({"type": "mcp", "server_label": "s"});
        for (name, value) in fields.as_object().expect("an object") {
            tool[name] = value.clone();
        }
        Policy::of(&tool).expect("a policy")
    }

    #[test]
    fn allowed_tools_by_name_and_by_hint() {
        let (read, write) = (tool("read", true), tool("write", false));
        for (allowed, reads, writes) in [
            (json!(null), true, true),
            (json!(["write"]), false, true),
            (json!([]), false, false),
            (
                json!({"tool_names": ["read", "write"], "read_only": true}),
                true,
                false,
            ),
            (json!({"read_only": false}), false, true),
            (json!({}), true, true),
        ] {
            let policy = policy(json!({"allowed_tools": allowed}));
            assert_eq!(
                (policy.allows(&read), policy.allows(&write)),
                (reads, writes),
                "{allowed}"
            );
        }
    }

    #[test]
    fn approval_is_needed_unless_said_otherwise() {
        let (read, write) = (tool("read", true), tool("write", false));
        for (approval, reads, writes) in [
            (json!(null), true, true),
            (json!("always"), true, true),
            (json!("never"), false, false),
            (json!({"never": {"read_only": true}}), false, true),
            (json!({"always": {"tool_names": ["write"]}}), true, true),
            (
                json!({"always": {"tool_names": ["read"]}, "never": {"tool_names": ["read", "write"]}}),
                true,
                false,
            ),
            (json!({}), true, true),
        ] {
            let policy = policy(json!({"require_approval": approval}));
            assert_eq!(
                (policy.needs_approval(&read), policy.needs_approval(&write)),
                (reads, writes),
                "{approval}"
            );
        }
    }

    #[test]
    fn a_list_that_lacks_a_named_tool_is_made_again() {
        let tools = [tool("read", true)];
        assert!(policy(json!({"allowed_tools": ["read"]})).is_served_by(&tools));
        assert!(!policy(json!({"allowed_tools": ["write"]})).is_served_by(&tools));
        assert!(policy(json!({})).is_served_by(&tools));
    }
}
