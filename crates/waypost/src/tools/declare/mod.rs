//! The tools of a Responses request: read, checked, resolved, and written the
//! way the response echoes them, which is also what is stored and what a run
//! reads.
//!
//! A [`Declarer`] goes with one request. It reads `tools` and the tools that
//! items bring (`additional_tools`, `tool_search_output`), and gathers what
//! resolving them had to say.
//!
//! Easy to break: a tool is resolved here and nowhere else. Items of earlier
//! turns were resolved when they came, and are taken as they are.

use std::collections::BTreeMap;

use serde_json::Value;
use strict_schema::{Restore, Where};

use self::{hosted::Ignored, names::Taken};
use super::{
    custom::Syntax,
    mcp,
    prepare::{Fallbacks, Place, Preparer},
};
use crate::{
    config::HostedTools,
    http::{
        error::ApiError,
        fields::{Fields, bad_word, missing, unsupported, wrong_type},
        places::Places,
    },
    model::ClientTool,
};

mod client;
pub mod custom;
mod function;
pub mod hosted;
pub mod names;
mod namespace;
mod search;

/// Tools of one list.
const MAX_TOOLS: usize = 128;

/// Bytes of the schemas of one request's tools together: resolving takes time
/// by their length.
const MAX_SCHEMAS: usize = 4 * 1024 * 1024;

/// What this server has.
const SUPPORTED: &[&str] = &[
    "function",
    "custom",
    "namespace",
    "tool_search",
    "mcp",
    "local_shell",
    "shell",
    "apply_patch",
    "computer",
];
/// What is known, and not here, beside [`hosted::TOOLS`].
const KNOWN: &[&str] = &["computer_use", "computer_use_preview"];

type Result<T, E = ApiError> = std::result::Result<T, E>;

/// Reads the tools of one request.
pub struct Declarer<'p> {
    preparer: &'p Preparer,
    /// Tools whose schema could not be made strict, and why.
    pub fallbacks: Fallbacks,
    /// How arguments become what the client's own schema says (level C), by
    /// `name` or `namespace.name`.
    pub restores: BTreeMap<String, Restore>,
    /// The client's own schemas, where it left `strict` out and they were
    /// narrowed; by the same names.
    pub own_schemas: BTreeMap<String, Value>,
    /// Grammars of custom tools, which are yet to be compiled.
    pub grammars: Vec<Grammar>,
    /// What was left out of the request.
    pub ignored: Ignored,
    /// Bytes of the schemas so far.
    schemas: usize,
}

/// The grammar of a custom tool, and where it was given.
#[derive(Debug, Clone)]
pub struct Grammar {
    path: String,
    syntax: Syntax,
    definition: String,
}

/// Where the tools being read stand.
#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    /// `tools` of the request.
    Request,
    /// `tools` of the item with this path.
    Item(&'a str),
}

impl<'p> Declarer<'p> {
    pub fn new(preparer: &'p Preparer, hosted: HostedTools) -> Self {
        Self {
            preparer,
            fallbacks: Fallbacks::default(),
            restores: BTreeMap::new(),
            own_schemas: BTreeMap::new(),
            grammars: Vec::new(),
            ignored: Ignored::new(hosted),
            schemas: 0,
        }
    }

    /// Resolves and checks schemas for this request.
    pub fn preparer(&self) -> &'p Preparer {
        self.preparer
    }

    /// The request's `tools`, without those that are left out.
    pub fn of_request(&mut self, fields: &mut Fields<'_>) -> Result<Vec<Value>> {
        let tools = fields
            .array("tools")?
            .map(Vec::as_slice)
            .unwrap_or_default();
        let (declared, places) = self.list(tools, Source::Request)?;
        search::required_by_deferred(&declared, &places)?;
        Ok(declared)
    }

    /// The tools that the item at `path` brings.
    pub fn of_item(&mut self, path: &str, tools: &[Value]) -> Result<Vec<Value>> {
        let (declared, _) = self.list(tools, Source::Item(path))?;
        Ok(declared)
    }

    /// What is declared, and where it stood in the list.
    fn list(&mut self, tools: &[Value], source: Source<'_>) -> Result<(Vec<Value>, Places)> {
        let path = source.path();
        at_most(&path, tools.len(), MAX_TOOLS)?;
        let mut taken = Taken::default();
        Places::gather(
            tools.iter().enumerate().map(|(at, tool)| {
                self.tool(tool, &format!("{path}[{at}]"), at, source, &mut taken)
            }),
        )
    }

    fn tool<'v>(
        &mut self,
        tool: &'v Value,
        path: &str,
        at: usize,
        source: Source<'_>,
        taken: &mut Taken<'v>,
    ) -> Result<Option<Value>> {
        let mut fields = Fields::new(tool, path)?;
        let kind = kind(&mut fields)?;
        if self.ignored.tool(kind, tool) {
            return Ok(None);
        }
        if let Some(client) = ClientTool::of_tool(kind) {
            taken.take(client.name(), path)?;
            return client::client(client, fields).map(Some);
        }
        let declared = match (kind, source) {
            ("function", _) => {
                let name = names::required(&mut fields, names::MAX_TOOL)?;
                taken.take(name, path)?;
                let place = source.place(Where::ResponsesTool { index: at, name });
                self.function(fields, name, None, place)
            }
            ("custom", _) => {
                let name = names::required(&mut fields, names::MAX_TOOL)?;
                taken.take(name, path)?;
                self.custom(fields, name)
            }
            ("namespace", _) => {
                let name = names::required(&mut fields, names::MAX_NAMESPACE)?;
                taken.take(name, path)?;
                self.namespace(fields, name, at, source)
            }
            ("tool_search", Source::Request) => {
                taken.take(search::NAME, path)?;
                search::search(fields)
            }
            ("tool_search", Source::Item(_)) => Err(unsupported(
                &fields.path("type"),
                "Tool search is declared in 'tools' of the request.",
            )),
            ("mcp", Source::Request) => mcp::declare::echo(fields),
            ("mcp", Source::Item(_)) => Err(unsupported(
                &fields.path("type"),
                "MCP servers are declared in 'tools' of the request.",
            )),
            _ if hosted::TOOLS.contains(&kind) || KNOWN.contains(&kind) => {
                Err(refused(&fields, kind))
            }
            _ => Err(bad_word(&fields.path("type"), kind, SUPPORTED)),
        };
        declared.map(Some)
    }
}

impl<'a> Source<'a> {
    fn path(self) -> String {
        match self {
            Self::Request => "tools".to_owned(),
            Self::Item(path) => format!("{path}.tools"),
        }
    }

    fn place(self, at: Where<'a>) -> Place<'a> {
        Place {
            at,
            item: match self {
                Self::Request => None,
                Self::Item(path) => Some(path),
            },
        }
    }
}

fn kind<'a>(fields: &mut Fields<'a>) -> Result<&'a str> {
    let path = fields.path("type");
    fields.string("type")?.ok_or_else(|| missing(&path))
}

/// A type of tool that is known, and not here.
fn refused(fields: &Fields<'_>, kind: &str) -> ApiError {
    let list: Vec<String> = SUPPORTED.iter().map(|word| format!("'{word}'")).collect();
    unsupported(
        &fields.path("type"),
        &format!(
            "Tools of type '{kind}' are not supported; this server has tools of type {}.",
            list.join(", ")
        ),
    )
}

/// Refuses a list that is too long.
pub fn at_most(path: &str, len: usize, max: usize) -> Result<()> {
    if len <= max {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Invalid '{path}': array too long. Expected an array with maximum length {max}, \
         but got an array with length {len} instead."
    ))
    .param(path.to_owned())
    .code("array_above_max_length"))
}

/// `allowed_callers`: the model is the only caller here.
fn allowed_callers<'a>(fields: &mut Fields<'a>) -> Result<Option<&'a Vec<Value>>> {
    let callers = fields.array("allowed_callers")?;
    for (at, caller) in callers.into_iter().flatten().enumerate() {
        let path = format!("{}[{at}]", fields.path("allowed_callers"));
        match caller.as_str() {
            Some("direct") => {}
            Some("programmatic") => {
                return Err(unsupported(
                    &path,
                    "Programmatic tool calling is not supported; only 'direct' is.",
                ));
            }
            Some(other) => return Err(bad_word(&path, other, &["direct", "programmatic"])),
            None => {
                return Err(wrong_type(&path, "a string", caller));
            }
        }
    }
    Ok(callers)
}

/// `async`: calls are waited for here.
fn not_async(fields: &mut Fields<'_>) -> Result<()> {
    let path = fields.path("async");
    if fields.bool("async")? == Some(true) {
        return Err(unsupported(&path, "Asynchronous tools are not supported."));
    }
    Ok(())
}
