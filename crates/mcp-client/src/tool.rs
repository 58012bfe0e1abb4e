//! One tool as a server lists it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The longest name; MCP recommends 128 at most.
const MAX_NAME: usize = 256;

/// A tool, in the shape of `mcp_list_tools.tools`. What a server does not say
/// is left out: clients refuse null there (Vercel AI SDK).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// As the server wrote it.
    pub input_schema: Value,
    pub name: String,
}

/// An element of a list that a model is not given.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// As much of its name as can be shown; empty where it has none.
    pub name: String,
    /// Why: a clause that can follow a colon.
    pub why: &'static str,
}

impl LeftOut {
    pub(crate) fn new(name: &str, why: &'static str) -> Self {
        let shown = name.chars().filter(|c| !c.is_control()).take(MAX_NAME);
        Self {
            name: shown.collect(),
            why,
        }
    }
}

impl Tool {
    /// Reads an element of `tools/list`.
    pub(crate) fn read(
        listed: &mut Value,
        judge_schema: fn(&Value) -> Result<(), &'static str>,
    ) -> Result<Self, LeftOut> {
        let name = listed
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let left_out = |why| Err(LeftOut::new(&name, why));
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return left_out("it has no name, or one that is no name");
        }
        let description = listed["description"].as_str().map(str::to_owned);
        let input_schema = match listed["inputSchema"].take() {
            schema @ Value::Object(_) => schema,
            // Some servers leave it out for a tool without arguments.
            Value::Null => json!({"type": "object", "properties": {}}),
            _ => return left_out("its 'inputSchema' is no object"),
        };
        if let Err(why) = judge_schema(&input_schema) {
            return left_out(why);
        }
        let annotations = Some(listed["annotations"].take()).filter(Value::is_object);
        Ok(Self {
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
