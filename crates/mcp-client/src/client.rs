//! Connections to MCP servers.
//!
//! A small client of our own, of requests that we make and nothing else. rmcp
//! (3.11), the official SDK, was to do this: its client runs a task per
//! connection that opens streams of its own and sends a call again after a
//! session ended, keeps no HTTP status of a refused call (`http_error` needs
//! it), bounds events but not answers, and logs messages whole. Here a call is
//! one POST, owned by who waits for it, under one deadline and one bound; rmcp
//! is the other side in the tests.
//!
//! Both eras are spoken: 2026-07-28, where every message stands for itself, and
//! 2025-03-26 to 2025-11-25, with `initialize` and sessions. The HTTP+SSE
//! transport of 2024-11-05 is not; Streamable HTTP that says this version is.

use std::{collections::HashSet, sync::Arc, time::Duration};

use http::HeaderMap;
use outbound::client as http_client;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{
    discovery::{self, Era},
    error::McpError,
    headers,
    peer::Peer,
    result::Outcome,
    secrets::Credentials,
    settings::Settings,
    tool::{LeftOut, Tool},
    transport::{Outgoing, Target, Transport},
};

/// How long a connection is kept for the next message of a session.
const REST: Duration = Duration::from_secs(5);
/// Pages of one list.
const MAX_PAGES: usize = 256;
/// How often a server may ask to repeat a call with its own state.
const MAX_ROUNDS: usize = 5;

/// What all connections share.
pub struct Client {
    pub(crate) settings: Settings,
    http: Arc<http_client::Client>,
    pub(crate) tasks: TaskTracker,
}

/// A connection to one server. Dropping it says farewell, in the background.
pub struct Session {
    peer: Arc<Peer>,
    era: Era,
}

/// What a server lists.
#[derive(Debug)]
pub struct Listed {
    pub tools: Vec<Tool>,
    /// What is no tool, or none that a model can be given.
    pub left_out: Vec<LeftOut>,
}

/// A call of a tool.
#[derive(Debug, Clone)]
pub struct Call {
    pub name: String,
    pub arguments: Map<String, Value>,
    /// As the tool was listed; it may say what goes into headers.
    pub input_schema: Value,
    /// The same for each attempt at this call, and for no other: sent in
    /// `_meta`, so that a server can tell.
    pub idempotency_key: String,
}

impl Client {
    /// `tasks` sees the farewells out, which nobody waits for: each takes two
    /// seconds at most.
    pub fn new(settings: Settings, tasks: TaskTracker) -> Arc<Self> {
        let user_agent = format!("{}/{}", settings.name, settings.version);
        Arc::new(Self {
            http: Arc::new(http_client::Client::new(user_agent, REST)),
            settings,
            tasks,
        })
    }

    /// Finds out how to speak with a server, within `list_timeout`.
    pub async fn connect(
        self: &Arc<Self>,
        target: impl Into<Target>,
        credentials: &Credentials,
    ) -> Result<Session, McpError> {
        let transport = target.into().transport(&self.http);
        self.connect_over(transport, credentials).await
    }

    pub(crate) async fn connect_over(
        self: &Arc<Self>,
        transport: Arc<dyn Transport>,
        credentials: &Credentials,
    ) -> Result<Session, McpError> {
        let peer = Arc::new(Peer::new(self, transport, credentials));
        let limit = self.settings.list_timeout;
        let era = timeout(limit, discovery::find(&peer, limit / 3))
            .await
            .map_err(|_| McpError::Late(limit))??;
        Ok(Session { peer, era })
    }
}

impl Session {
    /// All tools, page by page, within `list_timeout`.
    pub async fn list_tools(&mut self) -> Result<Listed, McpError> {
        let limit = self.peer.settings().list_timeout;
        timeout(limit, self.pages())
            .await
            .map_err(|_| McpError::Late(limit))?
    }

    /// Calls a tool, within `call_timeout`. When the future is dropped, the
    /// server is told that nobody waits.
    pub async fn call_tool(&mut self, call: &Call) -> Result<Outcome, McpError> {
        let limit = self.peer.settings().call_timeout;
        let call = async {
            match self.rounds(call).await {
                // The server has not looked at it: this is no second call.
                Err(McpError::SessionEnded) => {
                    self.era = discovery::initialize(&self.peer).await?;
                    self.rounds(call).await
                }
                other => other,
            }
        };
        timeout(limit, call)
            .await
            .map_err(|_| McpError::Late(limit))?
    }

    /// The protocol's version, as dated.
    #[cfg(test)]
    pub(crate) fn version(&self) -> &'static str {
        self.era.version()
    }

    /// Another session with the same server, in the older era.
    #[cfg(test)]
    pub(crate) async fn again_as_legacy(&self) -> Result<Self, McpError> {
        Ok(Self {
            peer: Arc::clone(&self.peer),
            era: discovery::initialize(&self.peer).await?,
        })
    }

    async fn pages(&self) -> Result<Listed, McpError> {
        let settings = self.peer.settings();
        let mut budget = settings.max_list_bytes;
        let mut tools: Vec<Tool> = Vec::new();
        let mut left_out = Vec::new();
        let mut cursor: Option<Value> = None;
        let mut asked_with = HashSet::new();
        for _ in 0..MAX_PAGES {
            let mut params = Map::new();
            if let Some(cursor) = cursor.take() {
                params.insert("cursor".to_owned(), cursor);
            }
            let mut page = self.ask("tools/list", params, None, budget).await?;
            budget = budget.saturating_sub(page.to_string().len());
            // Anything may come as a result: only an object can be indexed.
            let Some(Value::Array(listed)) = page.get_mut("tools").map(Value::take) else {
                return Err(McpError::Protocol("a list of tools has no 'tools'"));
            };
            for mut listed in listed {
                let tool = match Tool::read(&mut listed, settings.judge_schema) {
                    Ok(tool) => tool,
                    Err(one) => {
                        left_out.push(one);
                        continue;
                    }
                };
                if self.era.is_modern() && !headers::marks_are_fine(&tool.input_schema) {
                    left_out.push(LeftOut::new(
                        &tool.name,
                        "its 'x-mcp-header' marks are wrong",
                    ));
                } else if tools.iter().all(|other| other.name != tool.name) {
                    // The first of a name is the one that a call would reach.
                    tools.push(tool);
                }
                if tools.len() + left_out.len() > settings.max_tools {
                    return Err(McpError::TooManyTools(settings.max_tools));
                }
            }
            match page.get_mut("nextCursor").map(Value::take) {
                // A cursor that was asked with already leads round in circles.
                Some(Value::String(next)) if asked_with.insert(next.clone()) => {
                    cursor = Some(next.into());
                }
                _ => return Ok(Listed { tools, left_out }),
            }
        }
        Err(McpError::Protocol("its list of tools does not end"))
    }

    /// A server may ask for the same call again with a state of its own; what
    /// it would ask of a user cannot be answered here.
    async fn rounds(&self, call: &Call) -> Result<Outcome, McpError> {
        let limit = self.peer.settings().max_result_bytes;
        let mut state = Value::Null;
        for _ in 0..MAX_ROUNDS {
            let mut params = Map::new();
            params.insert("name".to_owned(), call.name.as_str().into());
            params.insert("arguments".to_owned(), call.arguments.clone().into());
            params.insert(
                "_meta".to_owned(),
                json!({"waypost/idempotencyKey": call.idempotency_key}),
            );
            if !state.is_null() {
                params.insert("requestState".to_owned(), state.take());
            }
            let mut result = self.ask("tools/call", params, Some(call), limit).await?;
            match result["resultType"].as_str() {
                None | Some("complete") => return Outcome::read(result),
                Some("input_required")
                    if result["inputRequests"]
                        .as_object()
                        .is_none_or(Map::is_empty) =>
                {
                    state = result["requestState"].take();
                }
                Some("input_required") => {
                    return Err(McpError::Protocol(
                        "the tool asks for a user's input, which cannot be given here",
                    ));
                }
                Some(_) => return Err(McpError::Protocol("a result of an unknown type")),
            }
        }
        Err(McpError::Protocol("the call does not come to an end"))
    }

    async fn ask(
        &self,
        method: &str,
        params: Map<String, Value>,
        call: Option<&Call>,
        limit: usize,
    ) -> Result<Value, McpError> {
        let answer = self.peer.ask(&self.era, method, params, call, limit).await;
        answer.map(|(result, _)| result)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.era.session().is_some() {
            let (peer, era) = (Arc::clone(&self.peer), self.era.clone());
            self.peer.aside(async move {
                let mut headers = HeaderMap::new();
                era.head(&mut headers);
                // Servers may refuse: not all end sessions on request.
                let _ = peer.send(Outgoing::End, headers, 0).await;
            });
        }
    }
}
