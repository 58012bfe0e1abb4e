//! An MCP server over Streamable HTTP, scripted: both eras of the protocol, JSON or event-stream
//! replies, tools with ordered answers, and every way to fail.
//!
//! It checks what a strict server would (the newer era's headers, the older era's sessions),
//! records what it got, and counts calls: a test can prove that a call happened once.
//! `POST /__behave` and its kin offer the same to tests in other languages.

mod body;
mod protocol;
mod service;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::net::Server;
use service::Shared;

/// Where the protocol is spoken.
const PATH: &str = "/mcp";

/// A running MCP server; dropping it closes its listener and every connection.
#[derive(Debug)]
pub struct ScriptedMcp {
    server: Server,
    shared: Arc<Shared>,
}

/// How the server is. Read and changed as a whole, at any time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    pub era: Era,
    /// The older era's version that it agrees to.
    pub version: String,
    /// The older era's only versions: asked for another one, it refuses and lists these. Empty: it
    /// agrees to `version`, whatever is asked for.
    pub only: Vec<String>,
    /// What `server/discover` lists; empty for the newer era's version.
    pub discovered: Vec<String>,
    /// Whether the older era has sessions.
    pub sessions: bool,
    /// Replies as event streams.
    pub events: bool,
    /// Tools on one page of the list; 0 for all.
    pub page: usize,
    /// The last page has the first one's cursor again.
    pub circular: bool,
    pub tools: Vec<ScriptedTool>,
    /// What goes wrong, by JSON-RPC method.
    pub faults: BTreeMap<String, Fault>,
    /// The `Authorization` without which it answers 401.
    pub authorization: Option<String>,
}

/// Which protocol it speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Era {
    #[default]
    Both,
    /// 2026-07-28 only.
    Modern,
    /// Before: `initialize`.
    Legacy,
}

/// A tool with the answer to its calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedTool {
    /// As `tools/list` shows it.
    pub definition: Value,
    #[serde(default)]
    pub answer: Answer,
}

/// What a call is answered with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The arguments as JSON text.
    #[default]
    Echo,
    Text(String),
    /// A text with `isError`.
    Failure(String),
    /// This result.
    Result(Value),
    /// A JSON-RPC error.
    Error {
        code: i64,
        message: String,
    },
    /// So many rounds of `input_required` with nothing but a state, then the arguments.
    Rounds(u32),
}

/// What goes wrong at a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Answer after so many milliseconds.
    Slow(u64),
    /// Do it, and never answer.
    Hang,
    /// Answer with this status and no body.
    Status(u16),
    /// 307 to this address.
    Redirect(String),
    /// The answer, followed by white space up to so many bytes.
    Huge(usize),
    /// An HTML page with status 200.
    Html,
    /// This text as JSON with status 200.
    Text(String),
    /// Reset the connection.
    Reset,
    /// Begin a stream, send an event's id and end; the answer follows on a GET.
    Detach,
    /// Begin a stream and end it without the answer.
    Vanish,
    /// Forget the session first, once.
    Forget,
    /// Ask the client this method first, on a stream.
    Ask(String),
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Of HTTP.
    pub verb: String,
    /// Of JSON-RPC; empty for an answer or no body.
    pub method: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

impl Default for Behaviour {
    /// Both eras, JSON, and the tools `echo` (read-only), `add` (idempotent), `write` (neither) and
    /// `fail`.
    fn default() -> Self {
        let tool =
            |name: &str, description: &str, schema: Value, hints: Value, answer| ScriptedTool {
                definition: json!({"name": name, "description": description,
                "inputSchema": schema, "annotations": hints}),
                answer,
            };
        let text = json!({"type": "object", "properties": {"text": {"type": "string"}},
            "required": ["text"]});
        let numbers = json!({"type": "object", "properties": {"a": {"type": "number"},
            "b": {"type": "number"}}, "required": ["a", "b"]});
        let tools = vec![
            tool(
                "echo",
                "Says it again",
                text.clone(),
                json!({"readOnlyHint": true}),
                Answer::Echo,
            ),
            tool(
                "add",
                "Adds",
                numbers,
                json!({"idempotentHint": true}),
                Answer::Echo,
            ),
            tool(
                "write",
                "Writes a note",
                text.clone(),
                json!({}),
                Answer::Text("written".to_owned()),
            ),
            tool(
                "fail",
                "Fails",
                text,
                json!({}),
                Answer::Failure("no such note".to_owned()),
            ),
        ];
        Self {
            era: Era::default(),
            version: "2025-06-18".to_owned(),
            only: Vec::new(),
            discovered: Vec::new(),
            sessions: true,
            events: false,
            page: 0,
            circular: false,
            tools,
            faults: BTreeMap::new(),
            authorization: None,
        }
    }
}

impl ScriptedMcp {
    /// Starts on a free loopback port.
    pub async fn start() -> io::Result<Self> {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    pub async fn start_on(listen: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let server = Server::start(listen, shared.clone()).await?;
        Ok(Self { server, shared })
    }

    /// Where it is served, for an allow-list: `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Where the protocol is spoken.
    pub fn url(&self) -> String {
        format!("{}{PATH}", self.origin())
    }

    /// Changes how it is, from the next request on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        self.shared.behave(change);
    }

    /// What goes wrong at a method from now on; `None` for nothing.
    pub fn fail(&self, method: &str, fault: Option<Fault>) {
        self.behave(|behaviour| match fault {
            Some(fault) => {
                behaviour.faults.insert(method.to_owned(), fault);
            }
            None => {
                behaviour.faults.remove(method);
            }
        });
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests()
    }

    /// The requests of a JSON-RPC method.
    pub fn requests_of(&self, method: &str) -> Vec<Recorded> {
        let mut requests = self.requests();
        requests.retain(|request| request.method == method);
        requests
    }

    /// How often a tool really ran.
    pub fn runs(&self, tool: &str) -> u64 {
        self.shared.runs(tool)
    }

    /// Sessions that are open.
    pub fn sessions(&self) -> usize {
        self.shared.sessions()
    }
}
