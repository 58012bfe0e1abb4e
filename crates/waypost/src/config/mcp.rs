//! `[tools.mcp]`: the MCP servers that requests may name by `server_url`.

use std::{collections::BTreeSet, time::Duration};

use outbound::Origin;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{units, units::ByteSize};

/// Pages of one server's list are of at least one tool each.
const MAX_TOOLS: usize = 10_000;

/// The MCP servers that requests may name by `server_url`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct McpConfig {
    /// Whether requests may use `mcp` tools at all.
    pub enabled: bool,
    /// Exact origins that a server may have although they are not public https
    /// on port 443, like `http://127.0.0.1:9000`.
    pub allow_private_servers: BTreeSet<String>,
    /// The public hosts that requests may name: `mcp.example.com`, or
    /// `*.example.com` for all below it. Absent: every public host. Origins of
    /// `allow_private_servers` need not be repeated here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_servers: Option<BTreeSet<String>>,
    /// How long a server may take to list its tools, with everything before it.
    #[serde(with = "units::duration")]
    pub list_timeout: Duration,
    /// How long one call of a tool may take.
    #[serde(with = "units::duration")]
    pub call_timeout: Duration,
    /// Tools of one server; a longer list is refused.
    pub max_tools: usize,
    /// The largest list of one server, in bytes.
    pub max_list_bytes: ByteSize,
    /// The largest answer to one call, in bytes.
    pub max_result_bytes: ByteSize,
}

impl Default for McpConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            allow_private_servers: BTreeSet::new(),
            allowed_servers: None,
            list_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_mins(1),
            max_tools: 512,
            max_list_bytes: ByteSize(4 * 1024 * 1024),
            max_result_bytes: ByteSize(1024 * 1024),
        }
    }
}

impl McpConfig {
    /// What no type can say: the field and what is wrong with it.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        let some = |field, problem: &str| Some((field, problem.to_owned()));
        for origin in &self.allow_private_servers {
            if let Err(problem) = Origin::parse(origin) {
                return Some((
                    "allow_private_servers",
                    format!("holds `{origin}`: {problem}"),
                ));
            }
        }
        for pattern in self.allowed_servers.iter().flatten() {
            let host = pattern.strip_prefix("*.").unwrap_or(pattern);
            if Origin::parse(&format!("https://{host}")).is_err() || host.contains([':', '/']) {
                return Some((
                    "allowed_servers",
                    format!(
                        "holds `{pattern}`: write a host like \"mcp.example.com\" or \"*.example.com\""
                    ),
                ));
            }
        }
        let least = Duration::from_millis(100);
        if self.list_timeout < least {
            return some("list_timeout", "must be at least 100 ms");
        }
        if self.call_timeout < least {
            return some("call_timeout", "must be at least 100 ms");
        }
        if !(1..=MAX_TOOLS).contains(&self.max_tools) {
            return some("max_tools", "must be 1 to 10000");
        }
        if self.max_list_bytes.0 < 1024 {
            return some("max_list_bytes", "must be at least 1KiB");
        }
        if self.max_result_bytes.0 < 1024 {
            return some("max_result_bytes", "must be at least 1KiB");
        }
        None
    }
}
