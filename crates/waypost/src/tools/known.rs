//! The functions and custom tools that a request's context declares, for
//! checks that ask what a name stands for.

use serde_json::Value;

use crate::model::Generation;

/// A declared tool.
#[derive(Debug, Clone, Copy)]
pub struct Known<'g> {
    pub namespace: Option<&'g str>,
    pub tool: &'g Value,
    /// Deferred tools are not, until an item brings them.
    pub callable: bool,
}

impl Known<'_> {
    /// Whether it is of this type and has this name, in whatever namespace.
    pub fn is(&self, kind: &str, name: &str) -> bool {
        self.tool["type"] == kind && self.tool["name"] == name
    }
}

/// All of them: the request's, then those that items bring.
pub fn known(generation: &Generation) -> Vec<Known<'_>> {
    let mut out = Vec::with_capacity(generation.tools.len());
    add(&generation.tools, false, &mut out);
    for tools in generation.items.iter().filter_map(brought) {
        add(tools, true, &mut out);
    }
    out
}

/// The tools that an item brings.
pub fn brought(item: &Value) -> Option<&[Value]> {
    match item["type"].as_str() {
        Some("tool_search_output" | "additional_tools") => {
            item["tools"].as_array().map(Vec::as_slice)
        }
        _ => None,
    }
}

fn add<'g>(tools: &'g [Value], brought: bool, out: &mut Vec<Known<'g>>) {
    let mut one = |tool: &'g Value, namespace| {
        out.push(Known {
            namespace,
            tool,
            callable: brought || tool["defer_loading"] != true,
        });
    };
    for tool in tools {
        match tool["tools"].as_array() {
            Some(inner) if tool["type"] == "namespace" => {
                for inner in inner {
                    one(inner, tool["name"].as_str());
                }
            }
            _ => one(tool, None),
        }
    }
}
