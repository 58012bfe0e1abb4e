//! One server: a message to it and what comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, StatusCode};
use outbound::redact::Redactor;
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};

use super::{
    client::{Call, Client},
    discovery::{self, Era},
    error::McpError,
    headers,
    message::{self, Incoming},
    redact,
    reply::{self, Messages},
    secrets::Credentials,
    settings::Settings,
    transport::{Kind, Outgoing, Reply, Transport},
};

/// How long a farewell or an answer to a server may take.
const ASIDE: Duration = Duration::from_secs(2);
/// Questions of a server within one request that are answered.
const MAX_ASKED: usize = 16;
/// How often a broken stream of one request is gone on with.
const MAX_RESUMES: usize = 8;
/// What of a result goes back to its server and to nobody else: it has to be
/// as the server wrote it.
const SERVERS_OWN: &[&str] = &["nextCursor", "requestState"];

/// One server, and what every message to it needs.
pub(crate) struct Peer {
    client: Arc<Client>,
    transport: Arc<dyn Transport>,
    credentials: Credentials,
    redactor: Redactor,
    ids: AtomicU64,
}

impl Peer {
    pub(crate) fn new(
        client: &Arc<Client>,
        transport: Arc<dyn Transport>,
        credentials: &Credentials,
    ) -> Self {
        Self {
            client: Arc::clone(client),
            redactor: redact::redactor(credentials, &*transport),
            transport,
            credentials: credentials.clone(),
            ids: AtomicU64::new(1),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.client.settings
    }

    /// Sends a request and waits for its answer and the answer's headers;
    /// `limit` bounds the bytes of all that comes with it.
    pub(crate) async fn ask(
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
            discovery::describe_ourselves(&mut params, self.settings());
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
            let message = Outgoing::Message(body.to_string().into());
            let reply = self.send(message, head, limit).await?;
            let headers = reply.headers.clone();
            let answer = self.receive(era, reply, id, limit).await?;
            Ok((answer, headers))
        }
        .await;
        in_flight.answered = true;
        match answer {
            Ok((result, headers)) => Ok((self.redacted(result), headers)),
            Err(McpError::Rpc {
                code,
                mut message,
                versions,
            }) => {
                self.redactor.text(&mut message);
                Err(message::bounded(code, message, versions))
            }
            Err(error) => Err(error),
        }
    }

    /// A result without the credentials that its server was sent.
    fn redacted(&self, mut result: Value) -> Value {
        let own: Vec<(&str, Value)> = SERVERS_OWN
            .iter()
            .filter_map(|key| Some((*key, result.get_mut(key)?.take())))
            .collect();
        self.redactor.value(&mut result);
        for (key, value) in own {
            result[key] = value;
        }
        result
    }

    /// Sends a notification, or an answer to a server's question.
    pub(crate) async fn tell(&self, era: &Era, body: &Value) -> Result<(), McpError> {
        let mut head = HeaderMap::new();
        era.head(&mut head);
        let message = Outgoing::Message(body.to_string().into());
        match self.send(message, head, 0).await?.status {
            status if status.is_success() => Ok(()),
            status => Err(McpError::Status(status)),
        }
    }

    pub(crate) async fn send(
        &self,
        outgoing: Outgoing,
        mut headers: HeaderMap,
        limit: usize,
    ) -> Result<Reply, McpError> {
        self.credentials.apply(&mut headers);
        self.transport.send(outgoing, headers, limit).await
    }

    async fn receive(
        self: &Arc<Self>,
        era: &Era,
        reply: Reply,
        id: u64,
        limit: usize,
    ) -> Result<Value, McpError> {
        let status = reply.status;
        if status == StatusCode::NOT_FOUND && era.session().is_some() {
            return Err(McpError::SessionEnded);
        }
        if status.is_redirection() {
            return Err(McpError::Redirect(status));
        }
        match (status.is_success(), reply.kind()) {
            (true, Kind::Events) => {
                let messages = Messages::new(reply, None);
                self.follow(era, messages, id, limit).await
            }
            (true, Kind::Json) => {
                let message = reply::json(reply, limit).await?;
                for incoming in message::read(message, id) {
                    if let Incoming::Answer(answer) = incoming {
                        return answer;
                    }
                }
                Err(McpError::Protocol("it answers something else"))
            }
            (true, Kind::Other) => Err(McpError::Protocol(
                "it is neither JSON nor a stream of events",
            )),
            // Who is not let in learns that, whatever the body says.
            (false, Kind::Json)
                if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) =>
            {
                let answer = reply::json(reply, limit).await.ok();
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
        limit: usize,
    ) -> Result<Value, McpError> {
        let mut asked = 0;
        let mut resumes = 0;
        loop {
            let Some(message) = messages.next().await? else {
                messages = self.resume(era, messages, &mut resumes, limit).await?;
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
        limit: usize,
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
        let reply = self.send(Outgoing::Resume, head, limit).await?;
        match (reply.status.is_success(), reply.kind()) {
            (true, Kind::Events) => Ok(Messages::new(reply, Some(last_id))),
            _ => Err(ENDED),
        }
    }

    /// Runs something that nobody waits for, shortly.
    pub(crate) fn aside(&self, task: impl Future<Output = ()> + Send + 'static) {
        if tokio::runtime::Handle::try_current().is_ok() {
            self.client.tasks.spawn(async move {
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
