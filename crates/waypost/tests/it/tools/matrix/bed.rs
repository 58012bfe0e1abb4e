//! One server with a scripted model server of every dialect behind it.
//!
//! A request goes to each in turn. What every model server was sent, and then what came back to the
//! client over each, are sections of text; dialects whose sections are the same share one.

use std::fmt::Write;

use reqwest::Method;
use serde_json::Value;
use waypost_testkit::{ScriptedUpstream, upstream::About};

use super::snapshot;
use crate::{
    harness::{Client, TestServer},
    support::{Events, checked},
};

/// Section title, `dialect`, `api`.
const DIALECTS: &[(&str, &str, &str)] = &[
    ("generic", "generic", "chat"),
    ("openai", "openai", "chat"),
    ("azure", "azure", "chat"),
    ("vllm", "vllm", "chat"),
    ("sglang", "sglang", "chat"),
    ("llama.cpp", "llama.cpp", "chat"),
    ("ollama", "ollama", "chat"),
    ("tgi", "tgi", "chat"),
    ("deepseek", "deepseek", "chat"),
    ("openai-responses", "openai", "responses"),
    ("vllm-responses", "vllm", "responses"),
];

/// Fields of a request that are the same for every tool feature.
const DULL_SENT: &[&str] = &["model", "stream", "stream_options"];
/// Fields of a Response that tools have a say in.
const TELLING: &[&str] = &[
    "status",
    "error",
    "incomplete_details",
    "output",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
];
/// Headers that say nothing about tools.
const DULL_HEADERS: &[&str] = &[
    "content-type",
    "content-length",
    "cache-control",
    "date",
    "transfer-encoding",
    "connection",
    "x-request-id",
    "x-accel-buffering",
    "x-content-type-options",
];

/// What a client sends, to each dialect.
pub struct Asked {
    /// Names the snapshot.
    pub name: &'static str,
    pub path: &'static str,
    /// Without `model`.
    pub body: Value,
    /// What the model servers do.
    pub script: &'static str,
}

pub struct Bed {
    server: TestServer,
    client: Client,
    upstreams: Vec<ScriptedUpstream>,
}

impl Bed {
    /// `tools`: whether the models behind llama.cpp and Ollama know tools, which those servers tell.
    pub async fn start(tools: bool) -> Self {
        let mut config = String::new();
        let mut upstreams = Vec::new();
        for (title, dialect, api) in DIALECTS {
            let upstream = ScriptedUpstream::start().await.expect("a model server");
            upstream.set_about(about(dialect, tools));
            let base_url = upstream.base_url();
            let block = format!(
                "[[upstreams]]\nname = \"{title}\"\nbase_url = \"{base_url}\"\n\
                 models = [\"{title}?*\"]\ndialect = \"{dialect}\"\napi = \"{api}\"\n"
            );
            config.push_str(&block);
            upstreams.push(upstream);
        }
        let server = TestServer::builder().config(&config).start().await;
        let tenant = server.project("tools").await;
        let client = server.client(&tenant.key);
        Self {
            server,
            client,
            upstreams,
        }
    }

    /// Asks every dialect; the whole snapshot.
    pub async fn ask(&self, asked: &Asked) -> String {
        let mut text = format!("POST {}\n", asked.path);
        fields(&asked.body, &[], &mut text);
        let _ = writeln!(text, "  model: DIALECT?{}", asked.script);
        let (mut sent, mut came_back) = (Sections::default(), Sections::default());
        for (at, (title, ..)) in DIALECTS.iter().enumerate() {
            let mut body = asked.body.clone();
            body["model"] = Value::from(format!("{title}?key={}&{}", asked.name, asked.script));
            let answer = self.answer(asked.path, &body).await;
            sent.add(title, &self.sent(at, asked.name));
            came_back.add(title, &answer);
        }
        sent.write("sent to", &mut text);
        came_back.write("came back over", &mut text);
        text
    }

    /// The requests that a model server got.
    fn sent(&self, at: usize, name: &str) -> String {
        let mut text = String::new();
        let requests = self.upstreams[at].requests_of(name);
        if requests.is_empty() {
            text.push_str("nothing\n");
        }
        for request in &requests {
            let _ = writeln!(text, "POST {}", request.route);
            fields(&request.json(), DULL_SENT, &mut text);
        }
        text
    }

    /// What came back. A Responses stream is judged, and shown with its events.
    async fn answer(&self, path: &str, body: &Value) -> String {
        let request = self.client.request(Method::POST, path).json(body);
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let mut text = format!("{status}\n");
        for (name, value) in response.headers() {
            let name = name.as_str();
            if !DULL_HEADERS.contains(&name) && !name.starts_with("openai-") {
                let _ = writeln!(text, "  {name}: {}", value.to_str().unwrap_or("?"));
            }
        }
        if status == 200 && body["stream"] == true && path.ends_with("/responses") {
            let events = Events::of(response).collect().await;
            let _ = writeln!(text, "  events: {}", kinds(&events));
            let response = checked(&events);
            keeps_its_word(&response);
            told(&response, &mut text);
        } else {
            let reply: Value = response.json().await.expect("JSON");
            match (status, reply["choices"].as_array()) {
                (200, Some(choices)) => {
                    for choice in choices {
                        fields(choice, &["index", "logprobs"], &mut text);
                    }
                }
                (200, None) => told(&reply, &mut text),
                _ => fields(&reply["error"], &[], &mut text),
            }
        }
        text
    }

    /// The server, for what a test looks up besides.
    pub fn server(&self) -> &TestServer {
        &self.server
    }
}

/// Sections of text under the titles that share them.
#[derive(Default)]
struct Sections(Vec<(Vec<&'static str>, String)>);

impl Sections {
    fn add(&mut self, title: &'static str, text: &str) {
        let text = snapshot::numbered(text);
        match self.0.iter_mut().find(|(_, known)| *known == text) {
            Some((titles, _)) => titles.push(title),
            None => self.0.push((vec![title], text)),
        }
    }

    fn write(&self, what: &str, out: &mut String) {
        for (titles, text) in &self.0 {
            let _ = write!(out, "\n==== {what} {}\n{text}", titles.join(", "));
        }
    }
}

fn about(dialect: &str, tools: bool) -> About {
    match dialect {
        "llama.cpp" => About::LlamaCpp {
            tools,
            chat_template: None,
            no_caps: false,
        },
        "ollama" => {
            let all = ["completion", "tools"].map(ToOwned::to_owned);
            let known = if tools { 2 } else { 1 };
            About::Ollama {
                capabilities: all[..known].to_vec(),
            }
        }
        _ => About::Nobody,
    }
}

fn told(response: &Value, out: &mut String) {
    let told: Value = TELLING
        .iter()
        .filter(|field| !response[**field].is_null())
        .map(|field| ((*field).to_owned(), response[*field].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    fields(&told, &[], out);
}

/// Whatever the model server did: a completed call of a strict function has arguments that its
/// schema accepts.
#[track_caller]
fn keeps_its_word(response: &Value) {
    let calls = response["output"].as_array().into_iter().flatten();
    let calls =
        calls.filter(|item| item["type"] == "function_call" && item["status"] == "completed");
    for call in calls {
        let tools = match call["namespace"].as_str() {
            Some(namespace) => tools_of(&response["tools"])
                .find(|tool| tool["type"] == "namespace" && tool["name"] == namespace)
                .map_or(&Value::Null, |namespace| &namespace["tools"]),
            None => &response["tools"],
        };
        let tool = tools_of(tools).find(|tool| tool["name"] == call["name"]);
        // Tools that a search has found are in the input.
        let Some(tool) = tool.filter(|tool| tool["strict"] == true) else {
            continue;
        };
        let arguments: Value = call["arguments"]
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_else(|| panic!("not JSON: {call}"));
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&tool["parameters"])
            .expect("a schema");
        assert!(validator.is_valid(&arguments), "{call} for {tool}");
    }
}

fn tools_of(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// One line a field; lists of objects one line an element.
fn fields(object: &Value, without: &[&str], out: &mut String) {
    for (name, value) in object.as_object().into_iter().flatten() {
        if without.contains(&name.as_str()) {
            continue;
        }
        let elements = value
            .as_array()
            .filter(|list| list.iter().any(Value::is_object));
        match elements {
            Some(elements) => {
                for (at, element) in elements.iter().enumerate() {
                    let _ = writeln!(out, "  {name}[{at}]: {element}");
                }
            }
            None => {
                let _ = writeln!(out, "  {name}: {value}");
            }
        }
    }
}

/// Event types in order; `+` after one that came several times, as deltas do.
fn kinds(events: &[Value]) -> String {
    let mut kinds: Vec<(&str, bool)> = Vec::new();
    for event in events {
        let kind = event["type"].as_str().unwrap_or("?");
        let kind = kind.strip_prefix("response.").unwrap_or(kind);
        match kinds.last_mut() {
            Some((last, again)) if *last == kind => *again = true,
            _ => kinds.push((kind, false)),
        }
    }
    let kinds = kinds
        .iter()
        .map(|(kind, again)| format!("{kind}{}", if *again { "+" } else { "" }));
    kinds.collect::<Vec<_>>().join(" ")
}
