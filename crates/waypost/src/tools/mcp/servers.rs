//! The MCP servers that requests may name, and the client that speaks with
//! them.

use std::sync::Arc;

use mcp_client::{Client, Credentials, McpError, Session, Settings, Tool};
use serde_json::Value;
use strict_schema::Profile;
use tokio_util::task::TaskTracker;

use super::ServerRules;
use crate::config::McpConfig;

/// Which servers may be named, and the way to them.
pub struct Servers {
    rules: ServerRules,
    client: Arc<Client>,
}

/// Why there is no connection to a server.
pub enum Failure {
    /// The operator's rules, in a sentence.
    Refused(String),
    Mcp(McpError),
}

impl Servers {
    /// `tasks` sees out what nobody waits for.
    pub fn new(config: &McpConfig, tasks: &TaskTracker) -> Self {
        Self {
            rules: ServerRules::new(config),
            client: Client::new(settings(config), tasks.clone()),
        }
    }

    /// Which servers may be named.
    pub fn rules(&self) -> &ServerRules {
        &self.rules
    }

    /// Connects to a server, if the rules allow it.
    pub async fn connect(&self, url: &str, credentials: &Credentials) -> Result<Session, Failure> {
        let url = self.rules.check(url);
        let url = url.map_err(|error| Failure::Refused(error.to_string()))?;
        let session = self.client.connect(url, credentials).await;
        session.map_err(Failure::Mcp)
    }
}

/// The parameters of a function for a tool; `None` where its schema can be
/// none. OpenAI refuses what servers list, and nobody else can mend it.
pub fn parameters(tool: &Tool) -> Option<Value> {
    mend(&tool.input_schema)
}

fn mend(input_schema: &Value) -> Option<Value> {
    strict_schema::mend(input_schema, &Profile::default())
}

fn settings(config: &McpConfig) -> Settings {
    Settings {
        name: "waypost",
        version: env!("CARGO_PKG_VERSION"),
        list_timeout: config.list_timeout,
        call_timeout: config.call_timeout,
        max_tools: config.max_tools,
        max_list_bytes: config.max_list_bytes.0,
        max_result_bytes: config.max_result_bytes.0,
        judge_schema: |schema| match mend(schema) {
            Some(_) => Ok(()),
            None => Err("its 'inputSchema' is too large, or its type is not 'object'"),
        },
    }
}
