//! The `mcp` tool, through the front door: a scripted model that calls the
//! tools of a scripted server.

mod approvals;
mod calls;
mod crashes;
mod lists;
mod refusals;
mod secrets;

use serde_json::{Value, json};
use waypost_testkit::{ScriptedMcp, ScriptedUpstream};

use crate::{
    harness::TestServer,
    support::{World, upstreams},
};

/// Marks whatever must not be seen.
pub const SECRET: &str = "s3cret";

/// A world with an MCP server.
pub struct Mcp {
    pub world: World,
    pub mcp: ScriptedMcp,
}

impl Mcp {
    pub async fn start() -> Self {
        Self::with("", "").await
    }

    /// With lines of `[responses]` and `[tools.mcp]`.
    pub async fn with(responses: &str, tools: &str) -> Self {
        let mcp = ScriptedMcp::start().await.expect("an MCP server");
        let upstream = ScriptedUpstream::start().await.expect("a model server");
        let config = format!(
            "[responses]\n{responses}\n[tools.mcp]\nallow_private_servers = [\"{}\"]\n{tools}\n{}",
            mcp.origin(),
            upstreams(&upstream.base_url(), 64)
        );
        let server = TestServer::builder().config(&config).start().await;
        let tenant = server.project("tests").await;
        Self {
            world: World::of(server, upstream, tenant),
            mcp,
        }
    }

    /// The server as a tool, called without asking.
    pub fn tool(&self) -> Value {
        json!({"type": "mcp", "server_label": "notes", "server_url": self.mcp.url(),
            "require_approval": "never"})
    }

    /// A request in which the model calls this function so many rounds.
    pub fn request(&self, model: &str) -> Value {
        json!({"model": model, "input": "go", "tools": [self.tool()]})
    }
}

/// A model that calls `notes__{tool}` with these arguments, so many rounds.
pub fn calling(dialect: &str, tool: &str, arguments: &str, rounds: usize) -> String {
    let arguments = arguments
        .replace('%', "%25")
        .replace('&', "%26")
        .replace(' ', "+");
    format!("{dialect}?tools=1&tool_names=notes__{tool}&tool_args={arguments}&tool_rounds={rounds}")
}

/// The output's items of a type.
pub fn items<'a>(response: &'a Value, kind: &str) -> Vec<&'a Value> {
    let output = response["output"].as_array().expect("an output");
    output.iter().filter(|item| item["type"] == kind).collect()
}

/// The types of the output's items, in order.
pub fn kinds(response: &Value) -> Vec<&str> {
    let output = response["output"].as_array().expect("an output");
    output
        .iter()
        .map(|item| item["type"].as_str().expect("a type"))
        .collect()
}
