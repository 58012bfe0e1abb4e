//! Tools for models that know none: they are described in the prompt, and the
//! model writes its calls as JSON text, constrained by the server's structured
//! output where it has one.
//!
//! The reply has one of few forms ([`schema`]), is read as it streams
//! ([`read`]), and what comes out are the same deltas as those of a model that
//! knows tools: whatever enforces calls does not see the difference.

pub mod narrow;
pub mod probe;
pub mod read;
pub mod schema;
pub mod transcript;

use serde_json::Value;

/// What the prompt says of a tool.
pub struct Described<'a> {
    pub name: &'a str,
    pub description: Option<&'a str>,
    pub parameters: &'a Value,
    /// What of the schema nothing but the model's good will keeps to.
    pub untold: Option<&'a str>,
}

/// What the model is told of its tools.
///
/// `may_answer`: words are allowed; `several`: more than one call is.
pub fn prompt(tools: &[Described<'_>], may_answer: bool, several: bool, json: bool) -> String {
    let mut out = String::with_capacity(512);
    out.push_str("You can use tools. Reply with one JSON object and nothing else.\n");
    if may_answer {
        out.push_str(if json {
            "To answer: {\"answer\": <JSON of the requested form>}\n"
        } else {
            "To answer in words: {\"answer\": \"<text>\"}\n"
        });
    }
    out.push_str(if several {
        "To call tools: {\"calls\": [{\"name\": \"<tool>\", \"arguments\": {…}}, …]}\n"
    } else {
        "To call a tool: {\"name\": \"<tool>\", \"arguments\": {…}}\n"
    });
    out.push_str(if may_answer {
        "Call a tool when it helps; its result comes in the next message. Answer when you know \
         enough.\n"
    } else {
        "Call a tool now; do not answer in words.\n"
    });
    out.push_str("\nTools, each with the JSON Schema of its arguments:\n");
    for tool in tools {
        out.push_str("\n- ");
        out.push_str(tool.name);
        if let Some(description) = tool.description.filter(|text| !text.is_empty()) {
            out.push_str(": ");
            out.push_str(description);
        }
        out.push_str("\n  ");
        out.push_str(&tool.parameters.to_string());
        if let Some(untold) = tool.untold {
            out.push_str("\n  The arguments also have to keep to:");
            out.push_str(&untold.replace('\n', "\n  "));
        }
    }
    out
}
