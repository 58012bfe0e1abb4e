//! Connections to MCP servers over Streamable HTTP.
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
//! transport of 2024-11-05 is not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use super::{
    address::{ServerRules, ServerUrl},
    discovery::{self, Era},
    error::McpError,
    headers,
    message::{self, Incoming},
    reply::{self, Body, Budget, Messages},
    result::Outcome,
    secrets::Credentials,
    tool::Tool,
};
use crate::{
    config::McpConfig,
    http::outbound::{self, Outbound},
    shutdown::Shutdown,
};

/// How long a connection is kept for the next message of a session.
const REST: Duration = Duration::from_secs(5);
/// How long a farewell or an answer to a server may take.
const ASIDE: Duration = Duration::from_secs(2);
/// Questions of a server within one request that are answered.
const MAX_ASKED: usize = 16;
/// How often a broken stream of one request is gone on with.
const MAX_RESUMES: usize = 8;
/// Pages of one list.
const MAX_PAGES: usize = 256;
/// How often a server may ask to repeat a call with its own state.
const MAX_ROUNDS: usize = 5;

/// What all connections share.
pub struct Servers {
    config: McpConfig,
    rules: ServerRules,
    outbound: Outbound,
    shutdown: Shutdown,
}

/// A connection to one server. Dropping it says farewell, in the background.
pub struct Session {
    peer: Arc<Peer>,
    era: Era,
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

/// One server, and what every message to it needs.
pub(super) struct Peer {
    servers: Arc<Servers>,
    url: ServerUrl,
    credentials: Credentials,
    ids: AtomicU64,
}

impl Servers {
    pub fn new(config: &McpConfig, shutdown: &Shutdown) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            rules: ServerRules::new(config),
            outbound: Outbound::new(REST),
            shutdown: shutdown.clone(),
        })
    }

    /// Which servers may be named.
    pub fn rules(&self) -> &ServerRules {
        &self.rules
    }

    pub fn config(&self) -> &McpConfig {
        &self.config
    }

    /// Finds out how to speak with a server, within `list_timeout`.
    pub async fn connect(
        self: &Arc<Self>,
        url: &ServerUrl,
        credentials: &Credentials,
    ) -> Result<Session, McpError> {
        let peer = Arc::new(Peer {
            servers: Arc::clone(self),
            url: url.clone(),
            credentials: credentials.clone(),
            ids: AtomicU64::new(1),
        });
        let limit = self.config.list_timeout;
        let era = timeout(limit, discovery::find(&peer, limit / 3))
            .await
            .map_err(|_| McpError::Late(limit))??;
        Ok(Session { peer, era })
    }
}

impl Session {
    /// All tools, page by page, within `list_timeout`.
    pub async fn list_tools(&mut self) -> Result<Vec<Tool>, McpError> {
        let limit = self.peer.servers.config.list_timeout;
        timeout(limit, self.pages())
            .await
            .map_err(|_| McpError::Late(limit))?
    }

    /// Calls a tool, within `call_timeout`. When the future is dropped, the
    /// server is told that nobody waits.
    pub async fn call_tool(&mut self, call: &Call) -> Result<Outcome, McpError> {
        let limit = self.peer.servers.config.call_timeout;
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
    pub fn version(&self) -> &'static str {
        self.era.version()
    }

    /// Another session with the same server, in the older era.
    #[cfg(test)]
    pub(super) async fn again_as_legacy(&self) -> Result<Self, McpError> {
        Ok(Self {
            peer: Arc::clone(&self.peer),
            era: discovery::initialize(&self.peer).await?,
        })
    }

    async fn pages(&self) -> Result<Vec<Tool>, McpError> {
        let config = &self.peer.servers.config;
        let mut budget = config.max_list_bytes.0;
        let mut tools: Vec<Tool> = Vec::new();
        let mut cursor: Option<Value> = None;
        for _ in 0..MAX_PAGES {
            let mut params = Map::new();
            if let Some(cursor) = cursor.take() {
                params.insert("cursor".to_owned(), cursor);
            }
            let mut page = self.ask("tools/list", params, None, budget).await?;
            budget = budget.saturating_sub(page.to_string().len());
            let Value::Array(listed) = page["tools"].take() else {
                return Err(McpError::Protocol("a list of tools has no 'tools'"));
            };
            for mut listed in listed {
                let tool = Tool::read(&mut listed)
                    .ok_or(McpError::Protocol("an element of its list is no tool"))?;
                let fine = self
                    .era
                    .is_modern()
                    .then(|| headers::marks_are_fine(&tool.input_schema));
                // The first of a name is the one that a call would reach.
                if fine != Some(false) && tools.iter().all(|other| other.name != tool.name) {
                    tools.push(tool);
                }
                if tools.len() > config.max_tools {
                    return Err(McpError::TooManyTools(config.max_tools));
                }
            }
            match page["nextCursor"].take() {
                next @ Value::String(_) => cursor = Some(next),
                _ => return Ok(tools),
            }
        }
        Err(McpError::Protocol("its list of tools does not end"))
    }

    /// A server may ask for the same call again with a state of its own; what
    /// it would ask of a user cannot be answered here.
    async fn rounds(&self, call: &Call) -> Result<Outcome, McpError> {
        let limit = self.peer.servers.config.max_result_bytes.0;
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
                let _ = peer.send(Method::DELETE, headers, None).await;
            });
        }
    }
}

impl Peer {
    /// Sends a request and waits for its answer and the answer's headers;
    /// `limit` bounds the bytes of all that comes with it.
    pub(super) async fn ask(
        self: &Arc<Self>,
        era: &Era,
        method: &str,
        mut params: Map<String, Value>,
        call: Option<&Call>,
        limit: usize,
    ) -> Result<(Value, HeaderMap), McpError> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut head = HeaderMap::new();
        era.head(&mut head);
        if era.is_modern() {
            discovery::describe_ourselves(&mut params);
            headers::standard(&mut head, method, call.map(|call| call.name.as_str()));
            if let Some(call) = call {
                headers::params(&mut head, &call.input_schema, &call.arguments);
            }
        }
        let body = message::request(id, method, params);
        let mut in_flight = InFlight {
            peer: self,
            era,
            id,
            answered: false,
        };
        let answer = async {
            let response = self.send(Method::POST, head, Some(&body)).await?;
            let headers = response.headers().clone();
            let budget = Budget::new(limit);
            let answer = self.receive(era, response, id, budget).await?;
            Ok((answer, headers))
        }
        .await;
        in_flight.answered = true;
        answer
    }

    /// Sends a notification, or an answer to a server's question.
    pub(super) async fn tell(&self, era: &Era, body: &Value) -> Result<(), McpError> {
        let mut head = HeaderMap::new();
        era.head(&mut head);
        let response = self.send(Method::POST, head, Some(body)).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(McpError::Status(status)),
        }
    }

    async fn send(
        &self,
        method: Method,
        mut headers: HeaderMap,
        body: Option<&Value>,
    ) -> Result<reqwest::Response, McpError> {
        let client = self
            .servers
            .outbound
            .client(self.url.origin(), self.url.is_private())
            .await
            .map_err(unreachable)?;
        self.credentials.apply(&mut headers);
        let mut request = client.request(method, self.url.expose()).headers(headers);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.map_err(|error| {
            if error.is_connect() {
                unreachable(outbound::explain(error))
            } else {
                reply::broken(error)
            }
        })
    }

    async fn receive(
        self: &Arc<Self>,
        era: &Era,
        response: reqwest::Response,
        id: u64,
        budget: Budget,
    ) -> Result<Value, McpError> {
        let status = response.status();
        if status == StatusCode::NOT_FOUND && era.session().is_some() {
            return Err(McpError::SessionEnded);
        }
        if status.is_redirection() {
            return Err(McpError::Redirect(status));
        }
        match (status.is_success(), reply::body_of(&response)) {
            (true, Body::Events) => {
                let messages = Messages::new(response, budget, None);
                self.follow(era, messages, id, budget).await
            }
            (true, Body::Json) => {
                let message = reply::json(response, budget).await?;
                for incoming in message::read(message, id) {
                    if let Incoming::Answer(answer) = incoming {
                        return answer;
                    }
                }
                Err(McpError::Protocol("it answers something else"))
            }
            (true, Body::Other) => Err(McpError::Protocol(
                "it is neither JSON nor a stream of events",
            )),
            // Who is not let in learns that, whatever the body says.
            (false, Body::Json)
                if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) =>
            {
                let answer = reply::json(response, budget).await.ok();
                let answers = answer.map(|message| message::read(message, id));
                for incoming in answers.into_iter().flatten() {
                    if let Incoming::Answer(Err(error)) = incoming {
                        return Err(error);
                    }
                }
                Err(McpError::Status(status))
            }
            (false, _) => Err(McpError::Status(status)),
        }
    }

    /// Reads a stream until the answer comes. A stream that ends or breaks
    /// before is gone on with, if its events have ids: that repeats nothing
    /// (MCP, "Resumability and Redelivery").
    async fn follow(
        self: &Arc<Self>,
        era: &Era,
        mut messages: Messages,
        id: u64,
        budget: Budget,
    ) -> Result<Value, McpError> {
        let mut asked = 0;
        let mut resumes = 0;
        loop {
            let Some(message) = messages.next().await? else {
                messages = self.resume(era, messages, &mut resumes, budget).await?;
                continue;
            };
            for incoming in message::read(message, id) {
                match incoming {
                    Incoming::Answer(answer) => return answer,
                    Incoming::Request { id, method } if asked < MAX_ASKED => {
                        asked += 1;
                        let reply = message::reply(id, &method);
                        let _ = timeout(ASIDE, self.tell(era, &reply)).await;
                    }
                    Incoming::Request { .. } => {
                        return Err(McpError::Protocol("it asks more than it answers"));
                    }
                    Incoming::Other => {}
                }
            }
        }
    }

    async fn resume(
        self: &Arc<Self>,
        era: &Era,
        ended: Messages,
        resumes: &mut usize,
        budget: Budget,
    ) -> Result<Messages, McpError> {
        const ENDED: McpError = McpError::Protocol("its stream ended without the answer");
        let Messages { last_id, retry, .. } = ended;
        let last_id = last_id.ok_or(ENDED)?;
        *resumes += 1;
        if *resumes > MAX_RESUMES {
            return Err(ENDED);
        }
        sleep(retry).await;
        let mut head = HeaderMap::new();
        era.head(&mut head);
        let id = HeaderValue::from_str(&last_id).map_err(|_| ENDED)?;
        head.insert("last-event-id", id);
        let response = self.send(Method::GET, head, None).await?;
        match (response.status().is_success(), reply::body_of(&response)) {
            (true, Body::Events) => Ok(Messages::new(response, budget, Some(last_id))),
            _ => Err(ENDED),
        }
    }

    /// Runs something that nobody waits for, shortly.
    fn aside(&self, task: impl Future<Output = ()> + Send + 'static) {
        if tokio::runtime::Handle::try_current().is_ok() {
            self.servers.shutdown.spawn(async move {
                let _ = timeout(ASIDE, task).await;
            });
        }
    }
}

/// A request that waits for its answer. A server of the older era is told when
/// nobody waits any more; to one of the newer era the closed connection says
/// so.
struct InFlight<'a> {
    peer: &'a Arc<Peer>,
    era: &'a Era,
    id: u64,
    answered: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.answered || self.era.is_modern() {
            return;
        }
        let mut params = Map::new();
        params.insert("requestId".to_owned(), self.id.into());
        params.insert("reason".to_owned(), "nobody waits any more".into());
        let body = message::notification("notifications/cancelled", params);
        let (peer, era) = (Arc::clone(self.peer), self.era.clone());
        self.peer.aside(async move {
            let _ = peer.tell(&era, &body).await;
        });
    }
}

fn unreachable(error: outbound::OutboundError) -> McpError {
    match error {
        outbound::OutboundError::NotPublic { .. } => McpError::NotPublic(error),
        other => McpError::Unreachable(other),
    }
}
