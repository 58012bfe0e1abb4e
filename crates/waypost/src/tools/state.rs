//! What tools keep for the whole server, and what one run of them is given.

use std::sync::Arc;

use waypost_engine::Store;

use super::{
    mcp::{McpAccess, approval::Approved},
    prepare::Preparer,
};
use crate::{
    config::ToolsConfig,
    mcp,
    metrics::Metrics,
    upstream::{Upstream, Upstreams},
};

/// What the tools of all runs share.
pub struct Tools {
    pub config: ToolsConfig,
    /// Makes the schemas of tools strict, and remembers them.
    pub preparer: Preparer,
    /// The MCP servers that requests name.
    pub mcp: Arc<mcp::Servers>,
    /// The model servers.
    pub upstreams: Arc<Upstreams>,
    /// Knows which approvals were used.
    pub store: Arc<dyn Store>,
    pub metrics: Metrics,
}

/// Everything that a run needs beside what it asks the model: whose it is,
/// which model server it asks, and what it may do.
pub struct RunContext {
    pub tools: Arc<Tools>,
    pub upstream: Arc<Upstream>,
    pub project_id: String,
    /// Empty for a run that makes no response.
    pub response_id: String,
    /// Calls of MCP servers that a person has just allowed.
    pub approved: Vec<Approved>,
    /// How to reach the MCP servers of the request.
    pub access: McpAccess,
}
