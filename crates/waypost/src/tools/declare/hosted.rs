//! Tools that OpenAI's platform runs, and no model server here: web search and
//! its like.
//!
//! A model need not call a tool that nobody forces, so such a tool is left out
//! of what the model sees, and the answer says so. A call of it that is forced
//! could only fail, and is refused. The operator may have them refused always.

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::Result;
use crate::{
    config::HostedTools,
    http::{error::ApiError, fields::unsupported, places::Places},
    model::Generation,
    tools::known::brought,
};

/// Names the types of tools that were left out.
pub const IGNORED_TOOLS: HeaderName = HeaderName::from_static("x-waypost-ignored-tools");
/// Names the types of input items that were left out.
pub const IGNORED_ITEMS: HeaderName = HeaderName::from_static("x-waypost-ignored-items");

/// Their types.
pub(super) const TOOLS: &[&str] = &[
    "file_search",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
    "code_interpreter",
    "image_generation",
    "programmatic_tool_calling",
];
/// A `shell` is one where its environment is a container of the platform.
const SHELL: &str = "shell";
/// Items that tell of their calls: clients send them back with a conversation
/// that another provider began.
const ITEMS: &[&str] = &[
    "file_search_call",
    "web_search_call",
    "code_interpreter_call",
    "image_generation_call",
];

/// What was left out of a request: types, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignored {
    pub tools: Vec<&'static str>,
    pub items: Vec<&'static str>,
    /// Where the entries of `allowed_tools` stood that are left of it.
    pub places_in_choice: Places,
    refuses: bool,
}

impl Ignored {
    pub fn new(policy: HostedTools) -> Self {
        Self {
            refuses: policy == HostedTools::Refuse,
            ..Self::default()
        }
    }

    /// Leaves out a tool, if it is one of these.
    pub(super) fn tool(&mut self, kind: &str, tool: &Value) -> bool {
        let found = match TOOLS.iter().find(|known| **known == kind) {
            None if kind == SHELL && in_a_container(tool) => Some(&SHELL),
            found => found,
        };
        !self.refuses && found.is_some_and(|kind| note(&mut self.tools, kind))
    }

    /// Leaves out an input item, if it tells of such a call.
    pub fn item(&mut self, kind: &str) -> bool {
        let found = ITEMS.iter().find(|known| **known == kind);
        !self.refuses && found.is_some_and(|kind| note(&mut self.items, kind))
    }

    /// The choice without what was left out. One that forces a call of it is an
    /// error.
    pub fn settle(&mut self, mut choice: Value) -> Result<Value> {
        let kind = choice["type"].as_str().unwrap_or_default();
        if kind != "allowed_tools" {
            return match self.same(kind) {
                Some(kind) => Err(forced(kind, "tool_choice")),
                None => Ok(choice),
            };
        }
        let must = choice["mode"] == "required";
        let Some(entries) = choice["tools"].as_array_mut() else {
            return Ok(choice);
        };
        let mut left_out = None;
        let mut places = Places::default();
        places.retain(entries, |entry| {
            let found = self.same(entry["type"].as_str().unwrap_or_default());
            left_out = left_out.or(found);
            found.is_none()
        });
        self.places_in_choice = places;
        match left_out.filter(|_| entries.is_empty()) {
            Some(kind) if must => Err(forced(kind, "tool_choice.tools")),
            // Nothing is left that may be called.
            Some(_) => Ok(json!("none")),
            None => Ok(choice),
        }
    }

    /// A call of any tool cannot be forced where none is left.
    pub fn leaves_a_choice(&self, generation: &Generation) -> Result<()> {
        let none = || {
            generation.tools.is_empty()
                && !generation
                    .items
                    .iter()
                    .filter_map(brought)
                    .any(|t| !t.is_empty())
        };
        match (self.tools.first(), &generation.tool_choice) {
            (Some(kind), Some(choice)) if choice == "required" && none() => {
                Err(forced(kind, "tool_choice"))
            }
            _ => Ok(()),
        }
    }

    /// The response headers that say what was left out.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        [(IGNORED_TOOLS, &self.tools), (IGNORED_ITEMS, &self.items)]
            .into_iter()
            .filter(|(_, kinds)| !kinds.is_empty())
            .filter_map(|(name, kinds)| Some((name, HeaderValue::try_from(kinds.join(", ")).ok()?)))
    }

    /// The type that was left out and is meant by that word: one without a date
    /// means any version.
    fn same(&self, kind: &str) -> Option<&'static str> {
        let meant = |ignored: &&&str| {
            **ignored == kind
                || ignored
                    .strip_prefix(kind)
                    .is_some_and(|rest| rest.starts_with("_20"))
        };
        self.tools.iter().find(meant).copied()
    }
}

fn note(kinds: &mut Vec<&'static str>, kind: &'static str) -> bool {
    if !kinds.contains(&kind) {
        kinds.push(kind);
    }
    true
}

fn in_a_container(tool: &Value) -> bool {
    let environment = tool["environment"]["type"].as_str();
    environment.is_some_and(|kind| kind.starts_with("container"))
}

fn forced(kind: &str, param: &str) -> ApiError {
    unsupported(
        param,
        &format!(
            "It asks for a call of a tool of type '{kind}', which OpenAI's platform runs and this \
             server does not have."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_loses_what_is_left_out() {
        let mut ignored = Ignored::new(HostedTools::Ignore);
        let dated = json!({"type": "web_search_2025_08_26"});
        assert!(ignored.tool("web_search_2025_08_26", &dated));
        assert!(!ignored.tool("function", &json!({})));
        assert!(!ignored.tool("shell", &json!({"environment": {"type": "local"}})));
        assert!(ignored.tool("shell", &json!({"environment": {"type": "container_auto"}})));
        let search = json!({"type": "web_search"});
        let own = json!({"type": "function", "name": "f"});
        let allowed = |mode: &str, tools: Value| json!({"type": "allowed_tools", "mode": mode, "tools": tools});
        for (choice, settled) in [
            (json!("auto"), Some(json!("auto"))),
            (own.clone(), Some(own.clone())),
            (search.clone(), None),
            (dated, None),
            (
                json!({"type": "web_search_preview"}),
                Some(json!({"type": "web_search_preview"})),
            ),
            (allowed("auto", json!([search])), Some(json!("none"))),
            (allowed("required", json!([search])), None),
            (
                allowed("required", json!([search, own])),
                Some(allowed("required", json!([own]))),
            ),
        ] {
            assert_eq!(ignored.settle(choice.clone()).ok(), settled, "{choice}");
        }
        let mut refusing = Ignored::new(HostedTools::Refuse);
        assert!(!refusing.tool("web_search", &search) && !refusing.item("web_search_call"));
    }
}
