//! The `mcp` tool: servers that a request names, whose tools this server calls
//! itself.
//!
//! [`Servers`] knows which servers may be named and connects to them.
//! [`declare`] reads the tool; its address and credentials go into a [`McpAccess`],
//! everything else is what the response echoes. [`catalogue`] makes functions
//! for the model of what servers list, [`history`] tells the model of calls
//! that were made, [`approval`] finds those that a person has to allow. The
//! turns themselves are in [`super::agent`].
//!
//! Easy to break: a URL's path, `authorization` and `headers` are in no echo,
//! item, log line or error, and in the store only sealed.

mod access;
mod address;
pub mod approval;
pub mod calls;
pub mod catalogue;
pub mod choice;
pub mod declare;
pub mod history;
pub mod input;
pub mod items;
pub mod policy;
mod servers;

pub use access::{Access, McpAccess};
pub use address::ServerRules;
pub use servers::{Failure, Servers};

/// A tool of the request that is an MCP server.
pub fn is_server(tool: &serde_json::Value) -> bool {
    tool["type"] == "mcp"
}
