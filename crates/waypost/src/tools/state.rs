//! What tools keep for the whole server, and what one run of them is given.

use std::sync::Arc;

use anyhow::Context;
use waypost_engine::Store;

use super::{
    custom::Grammars,
    emulate::probe::ToolSupport,
    mcp::{McpAccess, Servers, approval::Approved},
    prepare::Preparer,
    schema::Schemas,
};
use crate::{
    blocking::Blocking,
    config::ToolsConfig,
    metrics::Metrics,
    upstream::{Upstream, Upstreams},
};

/// What the tools of all runs share.
pub struct Tools {
    pub config: ToolsConfig,
    /// Makes the schemas of tools strict, and remembers them.
    pub preparer: Preparer,
    pub schemas: Schemas,
    pub grammars: Grammars,
    /// Which models know tools.
    pub support: ToolSupport,
    pub blocking: Blocking,
    /// The MCP servers that requests name.
    pub mcp: Arc<Servers>,
    /// The model servers.
    pub upstreams: Arc<Upstreams>,
    /// Knows which approvals were used.
    pub store: Arc<dyn Store>,
    pub metrics: Metrics,
}

impl Tools {
    /// # Errors
    ///
    /// A strict profile that is not known.
    pub fn new(
        config: &ToolsConfig,
        mcp: Servers,
        upstreams: &Arc<Upstreams>,
        store: &Arc<dyn Store>,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            preparer: Preparer::new(config, metrics).context("[tools] profile")?,
            config: config.clone(),
            schemas: Schemas::default(),
            grammars: Grammars::default(),
            support: ToolSupport::default(),
            blocking: Blocking::default(),
            mcp: Arc::new(mcp),
            upstreams: Arc::clone(upstreams),
            store: Arc::clone(store),
            metrics: metrics.clone(),
        })
    }
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
