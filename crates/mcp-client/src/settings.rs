//! What whoever uses this crate decides.

use std::time::Duration;

use serde_json::Value;

/// The client's name, its bounds, and which tools it takes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What servers are told about who asks: in the protocol, and together as
    /// the user agent.
    pub name: &'static str,
    pub version: &'static str,
    /// How long a server may take to list its tools, and to say how to speak
    /// with it.
    pub list_timeout: Duration,
    /// How long one call of a tool may take.
    pub call_timeout: Duration,
    /// Tools of one server; a longer list is refused.
    pub max_tools: usize,
    /// The largest list of one server, in bytes.
    pub max_list_bytes: usize,
    /// The largest answer to one call, in bytes.
    pub max_result_bytes: usize,
    /// Judges the `inputSchema` of a tool, which is an object. A tool whose
    /// schema is refused is left out; the error is a clause that says why.
    pub judge_schema: fn(&Value) -> Result<(), &'static str>,
}
