//! One tool as a server lists it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The longest name; MCP recommends 128 at most.
const MAX_NAME: usize = 256;

/// A tool, in the shape of `mcp_list_tools.tools`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    pub annotations: Option<Value>,
    pub description: Option<String>,
    /// As the server wrote it.
    pub input_schema: Value,
    pub name: String,
}

impl Tool {
    /// Reads an element of `tools/list`; `None` if it is no tool.
    pub(super) fn read(listed: &mut Value) -> Option<Self> {
        let name = listed["name"].as_str()?;
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return None;
        }
        let name = name.to_owned();
        let description = listed["description"].as_str().map(str::to_owned);
        let input_schema = match listed["inputSchema"].take() {
            schema @ Value::Object(_) => schema,
            // Some servers leave it out for a tool without arguments.
            Value::Null => json!({"type": "object", "properties": {}}),
            _ => return None,
        };
        let annotations = Some(listed["annotations"].take()).filter(Value::is_object);
        Some(Self {
            annotations,
            description,
            input_schema,
            name,
        })
    }

    /// Whether its server says that it changes nothing.
    pub fn is_read_only(&self) -> bool {
        self.hint("readOnlyHint")
    }

    /// Whether its server says that calling it twice is calling it once.
    pub fn is_idempotent(&self) -> bool {
        self.hint("idempotentHint")
    }

    fn hint(&self, name: &str) -> bool {
        let annotations = self.annotations.as_ref();
        annotations.is_some_and(|hints| hints[name].as_bool() == Some(true))
    }
}
