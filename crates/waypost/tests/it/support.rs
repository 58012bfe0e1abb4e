//! What the tests of responses and faults share: a server with scripted model
//! servers behind it, its event streams, and seeded chance.
//!
//! One scripted server stands behind three upstreams, told apart by the model's
//! name: `native…` speaks the Responses API, `prefill…` can continue an answer,
//! anything else is plain Chat Completions.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use waypost_testkit::{
    Script, ScriptedUpstream,
    sse::{SseEvent, SseReader, check_stream},
    upstream::expected_text,
};

use crate::harness::{Client, Reply, Tenant, TestServer};
use crate::shapes;

/// Whatever has not happened by then will not.
pub const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// A server, its model server and a workload's credential.
pub struct World {
    pub server: TestServer,
    pub upstream: ScriptedUpstream,
    pub tenant: Tenant,
    /// Making one costs more than most requests. It belongs to one life of the
    /// server: connections kept from an earlier one would fail.
    client: Mutex<Option<(u32, Client)>>,
}

/// How a [`World`] is to be.
pub struct WorldBuilder {
    top: String,
    responses: String,
    max_concurrent: u32,
}

impl World {
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> WorldBuilder {
        WorldBuilder {
            top: String::new(),
            responses: String::new(),
            max_concurrent: 64,
        }
    }

    /// Puts a world together.
    pub fn of(server: TestServer, upstream: ScriptedUpstream, tenant: Tenant) -> Self {
        Self {
            server,
            upstream,
            tenant,
            client: Mutex::default(),
        }
    }

    /// A client with the workload's key.
    pub fn client(&self) -> Client {
        let mut kept = self.client.lock().expect("no panic while it was held");
        match &*kept {
            Some((pid, client)) if *pid == self.server.pid() => client.clone(),
            _ => {
                let client = self.server.client(&self.tenant.key);
                *kept = Some((self.server.pid(), client.clone()));
                client
            }
        }
    }

    /// Creates a response and expects a 200: the Response object.
    pub async fn create(&self, body: Value) -> Value {
        self.client().post("/v1/responses", body).await.ok().json
    }

    /// Creates a background response: its id.
    pub async fn background(&self, model: &str) -> String {
        let mut body = json!({"model": model, "input": "go", "background": true, "stream": false});
        declare_tools(&mut body);
        id_of(&self.create(body).await)
    }

    /// Creates a background response whose log may be streamed, and leaves its
    /// own stream at once.
    pub async fn background_streamable(&self, model: &str) -> String {
        let mut body = json!({"model": model, "input": "go", "background": true, "stream": true});
        declare_tools(&mut body);
        let mut events = self.stream(body).await;
        id_of(&events.next().await.expect("response.created")["response"])
    }

    /// Creates with `stream: true`, whatever the body says.
    pub async fn stream(&self, mut body: Value) -> Events {
        body["stream"] = json!(true);
        let client = self.client();
        Events::open(client.request(Method::POST, "/v1/responses").json(&body)).await
    }

    /// The log of a response, from the beginning or after a number.
    pub async fn replay(&self, id: &str, after: Option<u64>) -> Events {
        let client = self.client();
        Events::open(client.request(Method::GET, &replay_path(id, after))).await
    }

    pub async fn get(&self, id: &str) -> Reply {
        self.client().get(&format!("/v1/responses/{id}")).await
    }

    /// Polls until the response has ended.
    pub async fn ended(&self, id: &str) -> Value {
        let client = self.client();
        ended(&client, id, PATIENCE).await
    }

    /// Polls until the response is `in_progress` at the model server.
    pub async fn running(&self, id: &str) {
        let client = self.client();
        until("the response runs", async || {
            let reply = client.get(&format!("/v1/responses/{id}")).await.ok();
            reply.json["status"] == "in_progress" && self.upstream.stats().active_streams > 0
        })
        .await;
    }

    /// Polls until no request is at the model server.
    pub async fn idle(&self) {
        until("the model server is idle", async || {
            self.upstream.stats().active_calls == 0
        })
        .await;
    }

    /// The last request that the model server got, as JSON.
    pub fn last_request(&self) -> Value {
        let requests = self.upstream.requests();
        requests.last().expect("a request").json()
    }
}

impl WorldBuilder {
    /// A line before all tables.
    pub fn top(mut self, line: &str) -> Self {
        self.top.push_str(line);
        self.top.push('\n');
        self
    }

    /// Lines of `[responses]`.
    pub fn responses(mut self, lines: &str) -> Self {
        self.responses.push_str(lines);
        self.responses.push('\n');
        self
    }

    pub fn max_concurrent(mut self, max: u32) -> Self {
        self.max_concurrent = max;
        self
    }

    pub async fn start(self) -> World {
        let upstream = ScriptedUpstream::start().await.expect("a model server");
        let config = format!(
            "{}[responses]\n{}\n{}",
            self.top,
            self.responses,
            upstreams(&upstream.base_url(), self.max_concurrent)
        );
        let server = TestServer::builder().config(&config).start().await;
        let tenant = server.project("tests").await;
        World::of(server, upstream, tenant)
    }
}

/// Adds the tools that a model with `tools=` calls, with no promise about their
/// arguments.
pub fn declare_tools(body: &mut Value) {
    if body["model"]
        .as_str()
        .is_some_and(|model| model.contains("tools="))
    {
        let tool = |name: &str| json!({"type": "function", "name": name, "strict": false});
        body["tools"] = json!([tool("get_weather"), tool("get_time")]);
    }
}

/// The three upstreams of a [`World`] as configuration.
pub fn upstreams(base_url: &str, max_concurrent: u32) -> String {
    let one = |name: &str, models: &str, more: &str| {
        format!(
            "[[upstreams]]\nname = \"{name}\"\nbase_url = \"{base_url}\"\nmodels = [\"{models}\"]\n\
             max_concurrent = {max_concurrent}\n{more}\n"
        )
    };
    one("native", "native*", "api = \"responses\"")
        + &one("prefill", "prefill*", "assistant_prefill = true")
        + &one("chat", "*", "")
}

/// The path of a replay.
pub fn replay_path(id: &str, after: Option<u64>) -> String {
    let after = after.map_or(String::new(), |n| format!("&starting_after={n}"));
    format!("/v1/responses/{id}?stream=true{after}")
}

/// An event stream that is being read.
pub struct Events {
    pub headers: HeaderMap,
    pub version: reqwest::Version,
    reader: SseReader<BoxStream<'static, reqwest::Result<Bytes>>>,
    /// `[DONE]` has come.
    pub done: bool,
}

impl Events {
    /// Sends the request and expects a stream.
    pub async fn open(request: RequestBuilder) -> Self {
        let answer = request
            .timeout(Duration::from_mins(5))
            .send()
            .await
            .expect("an answer");
        if answer.status() == 200 {
            return Self::of(answer);
        }
        let status = answer.status();
        panic!("{status}: {}", answer.text().await.expect("a body"))
    }

    /// Reads a stream that has been answered.
    pub fn of(answer: reqwest::Response) -> Self {
        Self {
            headers: answer.headers().clone(),
            version: answer.version(),
            reader: SseReader::strict(answer.bytes_stream().boxed()),
            done: false,
        }
    }

    /// The next event's JSON; `None` at the end. `[DONE]` is noted.
    pub async fn next(&mut self) -> Option<Value> {
        self.try_next().await.expect("a whole stream")
    }

    /// Like [`Events::next`], for streams that may break off.
    pub async fn try_next(&mut self) -> Result<Option<Value>, String> {
        let next = tokio::time::timeout(PATIENCE, self.reader.next())
            .await
            .map_err(|_| "the stream is silent".to_owned())?;
        match next.map_err(|error| error.to_string())? {
            None => Ok(None),
            Some(event) => {
                assert!(!self.done, "something follows [DONE]: {event:?}");
                if event.is_done() {
                    self.done = true;
                    return match self.reader.next().await {
                        Ok(None) => Ok(None),
                        other => panic!("after [DONE]: {other:?}"),
                    };
                }
                Ok(Some(named(&event)))
            }
        }
    }

    /// Reads to the end.
    pub async fn collect(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// Reads until something breaks or ends.
    pub async fn collect_what_comes(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Ok(Some(event)) = self.try_next().await {
            events.push(event);
        }
        events
    }

    /// Reads to the end; checks order, numbering and the terminal event, whose
    /// response it returns.
    pub async fn checked(&mut self) -> Value {
        checked(&self.collect().await)
    }

    /// Comments seen so far.
    pub fn comments(&self) -> usize {
        self.reader.comments()
    }
}

fn named(event: &SseEvent) -> Value {
    let value = event.json().expect("JSON");
    assert_eq!(
        event.name.as_deref(),
        value["type"].as_str(),
        "name and type differ"
    );
    value
}

/// Judges a whole stream: the terminal event's response.
#[track_caller]
pub fn checked(events: &[Value]) -> Value {
    for event in events {
        if let Err(fault) = shapes::judge(event) {
            panic!("{fault}\n{event}");
        }
    }
    match check_stream(events) {
        Ok(checked) => checked.response,
        Err(fault) => {
            let events: Vec<String> = events.iter().map(Value::to_string).collect();
            panic!("{fault}\n{}", events.join("\n"))
        }
    }
}

/// Polls until the response has ended.
pub async fn ended(client: &Client, id: &str, patience: Duration) -> Value {
    let deadline = Instant::now() + patience;
    loop {
        let reply = client.get(&format!("/v1/responses/{id}")).await.ok();
        if is_terminal(&reply.json) {
            return reply.json;
        }
        assert!(Instant::now() < deadline, "it never ended: {}", reply.text);
        tokio::time::sleep(POLL).await;
    }
}

pub fn is_terminal(response: &Value) -> bool {
    matches!(
        response["status"].as_str(),
        Some("completed" | "failed" | "incomplete" | "cancelled")
    )
}

/// Polls until it holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    until_within(what, PATIENCE, &mut holds).await;
}

/// Polls until it holds, for at most so long.
pub async fn until_within(what: &str, patience: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds().await {
        assert!(Instant::now() < deadline, "within {patience:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

pub fn id_of(response: &Value) -> String {
    response["id"].as_str().expect("an id").to_owned()
}

/// The text of all messages, as the SDKs' `output_text` joins it.
pub fn output_text(response: &Value) -> String {
    let items = response["output"].as_array().into_iter().flatten();
    items
        .filter(|item| item["type"] == "message")
        .flat_map(|item| item["content"].as_array().into_iter().flatten())
        .filter_map(|part| part["text"].as_str())
        .collect()
}

/// The script that a model's name carries.
pub fn script(model: &str) -> Script {
    let query = model.split_once('?').map_or("", |(_, query)| query);
    Script::from_query(query).expect("a script")
}

/// The text of a model's whole answer.
pub fn answer_of(model: &str) -> String {
    let script = script(model);
    expected_text(&script, script.tokens.unwrap_or(8))
}

/// Chance with a seed, printed by whoever uses it (splitmix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `range`.
    pub fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }
}
