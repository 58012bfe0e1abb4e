use std::{sync::Arc, time::Duration};

use outbound::{AllowedUrl, OriginRules, WebUrl};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use waypost_testkit::mcp::{Answer, Behaviour, Era, Fault, ScriptedMcp, ScriptedTool};

use super::*;

struct World {
    server: ScriptedMcp,
    client: Arc<Client>,
    tasks: TaskTracker,
}

pub(crate) fn settings() -> Settings {
    Settings {
        name: "test",
        version: "1",
        list_timeout: Duration::from_secs(10),
        call_timeout: Duration::from_secs(10),
        max_tools: 512,
        max_list_bytes: 4 * 1024 * 1024,
        max_result_bytes: 1024 * 1024,
        judge_schema: |schema| match schema["type"].as_str() {
            Some("object") => Ok(()),
            _ => Err("its type is not 'object'"),
        },
    }
}

/// The URL of a server whose origin is listed.
pub(crate) fn listed(url: &str) -> AllowedUrl {
    let url = WebUrl::parse(url).expect("a URL");
    let origin = url.origin().to_string();
    let rules = OriginRules::new([origin.as_str()]).expect("rules");
    rules.check(url).expect("it is listed")
}

impl World {
    async fn new(behave: impl FnOnce(&mut Behaviour), limit: impl FnOnce(&mut Settings)) -> Self {
        let server = ScriptedMcp::start().await.expect("a server");
        server.behave(behave);
        let mut settings = settings();
        limit(&mut settings);
        let tasks = TaskTracker::new();
        let client = Client::new(settings, tasks.clone());
        Self {
            server,
            client,
            tasks,
        }
    }

    async fn with(behave: impl FnOnce(&mut Behaviour)) -> Self {
        Self::new(behave, |_| {}).await
    }

    async fn connect(&self) -> Result<Session, McpError> {
        self.connect_with(&Credentials::default()).await
    }

    async fn connect_with(&self, credentials: &Credentials) -> Result<Session, McpError> {
        let url = listed(&self.server.url());
        self.client.connect(url, credentials).await
    }

    /// Waits for everything that was left in the background.
    async fn settle(&self) {
        self.tasks.close();
        let settled = tokio::time::timeout(Duration::from_secs(5), self.tasks.wait());
        settled.await.expect("it ends by itself");
    }
}

fn call(name: &str, arguments: Value) -> Call {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object");
    };
    Call {
        name: name.to_owned(),
        arguments,
        input_schema: json!({}),
        idempotency_key: "resp_1/mcp_1".to_owned(),
    }
}

fn said(outcome: Result<Outcome, McpError>) -> String {
    match outcome.expect("an outcome") {
        Outcome::Output(text) => text,
        Outcome::Failed(error) => panic!("{error:?}"),
    }
}

fn code(error: &McpError) -> Option<u16> {
    match error.call_error() {
        CallError::HttpError { code, .. } => Some(code),
        _ => None,
    }
}

#[tokio::test]
async fn both_eras_list_and_call_as_json_and_as_events() {
    for (era, version) in [
        (Era::Both, "2026-07-28"),
        (Era::Modern, "2026-07-28"),
        (Era::Legacy, "2025-06-18"),
    ] {
        for (events, sessions) in [(false, true), (true, true), (true, false)] {
            let world = World::with(|server| {
                (server.era, server.events, server.sessions) = (era, events, sessions);
            })
            .await;
            let mut session = world.connect().await.expect("a session");
            assert_eq!(session.version(), version);
            let tools = session.list_tools().await.expect("tools").tools;
            let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
            assert_eq!(names, ["echo", "add", "write", "fail"]);
            assert!(tools[0].is_read_only() && !tools[0].is_idempotent());
            assert!(tools[1].is_idempotent() && !tools[2].is_read_only());
            let outcome = session
                .call_tool(&call("echo", json!({"text": "hi"})))
                .await;
            assert_eq!(said(outcome), r#"{"text":"hi"}"#);
            assert_eq!(
                session
                    .call_tool(&call("fail", json!({})))
                    .await
                    .expect("an outcome"),
                Outcome::Failed(CallError::execution("no such note"))
            );
            let sent = &world.server.requests_of("tools/call")[0];
            assert_eq!(
                sent.body["params"]["_meta"]["waypost/idempotencyKey"],
                "resp_1/mcp_1"
            );
            assert_eq!(sent.headers["mcp-protocol-version"], version);
            drop(session);
            world.settle().await;
            assert_eq!(world.server.sessions(), 0, "the session was ended");
        }
    }
}

#[tokio::test]
async fn a_list_is_read_to_its_end_within_bounds() {
    let tool = |index: usize| ScriptedTool {
        definition: json!({"name": format!("tool-{index}"), "inputSchema": {"type": "object"}}),
        answer: Answer::Echo,
    };
    let many = |count: usize| {
        move |server: &mut Behaviour| {
            server.tools = (0..count).map(tool).collect();
            server.page = 7;
        }
    };
    let world = World::with(many(100)).await;
    let mut session = world.connect().await.expect("a session");
    assert_eq!(session.list_tools().await.expect("tools").tools.len(), 100);
    assert_eq!(world.server.requests_of("tools/list").len(), 15);

    let world = World::new(many(100), |settings| settings.max_tools = 99).await;
    let mut session = world.connect().await.expect("a session");
    let refused = session.list_tools().await.expect_err("too many");
    assert!(matches!(refused, McpError::TooManyTools(99)), "{refused}");

    let world = World::new(many(100), |settings| settings.max_list_bytes = 2048).await;
    let mut session = world.connect().await.expect("a session");
    let refused = session.list_tools().await.expect_err("too large");
    assert!(matches!(refused, McpError::TooLarge(_)), "{refused}");
}

#[tokio::test]
async fn a_cursor_that_comes_again_ends_the_list() {
    let world = World::with(|server| (server.page, server.circular) = (2, true)).await;
    let mut session = world.connect().await.expect("a session");
    assert_eq!(session.list_tools().await.expect("tools").tools.len(), 4);
    assert_eq!(world.server.requests_of("tools/list").len(), 2);
}

#[tokio::test]
async fn what_is_no_tool_is_left_out_and_named() {
    let tool = |definition| ScriptedTool {
        definition,
        answer: Answer::Echo,
    };
    let world = World::with(|server| {
        server.tools = vec![
            tool(json!({"name": "good", "inputSchema": {"type": "object"}})),
            tool(json!({"name": "list", "inputSchema": []})),
            tool(json!({"name": "text", "inputSchema": {"type": "string"}})),
            tool(json!({"inputSchema": {"type": "object"}})),
            tool(json!("no tool")),
            tool(json!({"name": "bare"})),
        ];
    })
    .await;
    let mut session = world.connect().await.expect("a session");
    let listed = session.list_tools().await.expect("tools");
    let names: Vec<_> = listed.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["good", "bare"]);
    let names: Vec<_> = listed
        .left_out
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["list", "text", "", ""]);
}

#[tokio::test]
async fn a_server_that_lists_its_versions_is_asked_with_one_of_them() {
    let versions = |versions: &[&str]| versions.iter().map(|v| (*v).to_owned()).collect();
    for (discovered, only, spoken) in [
        (&[][..], &["2025-03-26"][..], "2025-03-26"),
        (&[], &["2024-11-05", "2023-01-01"], "2024-11-05"),
        (&["2025-06-18", "2025-03-26"], &["2025-06-18"], "2025-06-18"),
    ] {
        let world = World::with(|server| {
            server.era = if discovered.is_empty() {
                Era::Legacy
            } else {
                Era::Both
            };
            (server.discovered, server.only) = (versions(discovered), versions(only));
        })
        .await;
        let mut session = world.connect().await.expect("a session");
        assert_eq!(session.version(), spoken);
        assert_eq!(session.list_tools().await.expect("tools").tools.len(), 4);
    }
    // None that both speak: asked once, and refused.
    let world = World::with(|server| {
        (server.era, server.only) = (Era::Legacy, versions(&["2023-01-01"]));
    })
    .await;
    let refused = world.connect().await.err().expect("refused");
    assert!(
        matches!(refused, McpError::Rpc { code: -32602, .. }),
        "{refused}"
    );
    assert_eq!(world.server.requests_of("initialize").len(), 1);
    // Streamable HTTP that says a version from before it.
    let world = World::with(|server| {
        (server.era, server.version) = (Era::Legacy, "2024-11-05".to_owned());
    })
    .await;
    let mut session = world.connect().await.expect("a session");
    assert_eq!(session.version(), "2024-11-05");
    said(session.call_tool(&call("echo", json!({}))).await);
}

#[tokio::test]
async fn a_gateway_that_refuses_unknown_methods_is_asked_to_initialize() {
    for status in [401, 403] {
        let world = World::with(|server| {
            server.era = Era::Legacy;
            server
                .faults
                .insert("server/discover".to_owned(), Fault::Status(status));
        })
        .await;
        world.connect().await.expect("a session");
        // And who is not let in learns that.
        world.server.fail("initialize", Some(Fault::Status(status)));
        let refused = world.connect().await.err().expect("refused");
        assert_eq!(code(&refused), Some(status));
        assert_eq!(world.server.requests_of("initialize").len(), 2);
    }
}

#[tokio::test]
async fn tools_with_wrong_header_marks_are_left_out_and_right_ones_sent() {
    let marked = |name: &str, kind: &str| ScriptedTool {
        definition: json!({"name": name, "inputSchema": {"type": "object", "properties": {
            "region": {"type": kind, "x-mcp-header": "Region"}}}}),
        answer: Answer::Echo,
    };
    let world = World::with(|server| {
        server.tools = vec![marked("good", "string"), marked("bad", "object")];
    })
    .await;
    let mut session = world.connect().await.expect("a session");
    let tools = session.list_tools().await.expect("tools").tools;
    assert_eq!(tools.len(), 1);
    let mut call = call("good", json!({"region": "eu"}));
    call.input_schema = tools[0].input_schema.clone();
    said(session.call_tool(&call).await);
    let sent = &world.server.requests_of("tools/call")[0];
    assert_eq!(sent.headers["mcp-param-region"], "eu");
    assert_eq!(sent.headers["mcp-name"], "good");
}

#[tokio::test]
async fn credentials_go_with_every_message_and_into_no_error() {
    let headers = json!({"x-key": "s3cret-key"});
    let credentials = Credentials::read(Some("s3cret-token"), Some(&headers)).expect("credentials");
    for era in [Era::Modern, Era::Legacy] {
        let world = World::with(|server| {
            server.era = era;
            server.authorization = Some("Bearer s3cret-token".to_owned());
        })
        .await;
        let mut session = world.connect_with(&credentials).await.expect("a session");
        session.list_tools().await.expect("tools");
        said(session.call_tool(&call("echo", json!({}))).await);
        drop(session);
        world.settle().await;
        for request in world.server.requests() {
            assert_eq!(request.headers["authorization"], "Bearer s3cret-token");
            assert_eq!(request.headers["x-key"], "s3cret-key");
        }
        world
            .server
            .behave(|server| server.authorization = Some("other".to_owned()));
        let refused = world.connect_with(&credentials).await.err().expect("401");
        assert!(!format!("{refused} {refused:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn every_failure_has_its_shape() {
    for era in [Era::Modern, Era::Legacy] {
        for events in [false, true] {
            let world = World::new(
                |server| (server.era, server.events) = (era, events),
                |settings| {
                    settings.call_timeout = Duration::from_millis(1500);
                    settings.max_result_bytes = 4096;
                },
            )
            .await;
            let mut session = world.connect().await.expect("a session");
            for (fault, status) in [
                (Fault::Status(500), Some(500)),
                (Fault::Status(403), Some(403)),
                (Fault::Redirect("http://127.0.0.1:1/".to_owned()), Some(307)),
                (Fault::Huge(100_000), Some(502)),
                (Fault::Reset, Some(502)),
                (Fault::Hang, Some(504)),
                (Fault::Html, None),
                (Fault::Text("{}".to_owned()), None),
                (Fault::Text("{\"jsonrpc\": oops".to_owned()), None),
                (Fault::Vanish, None),
            ] {
                world.server.fail("tools/call", Some(fault.clone()));
                let failed = session
                    .call_tool(&call("echo", json!({})))
                    .await
                    .expect_err("a failure");
                assert_eq!(code(&failed), status, "{fault:?}: {failed}");
                if status.is_none() {
                    let shape = serde_json::to_value(failed.call_error()).expect("JSON");
                    assert_eq!(shape["type"], "mcp_protocol_error", "{fault:?}");
                }
                let text = failed.to_string();
                assert!(text.ends_with('.') && !text.contains("127.0.0.1"), "{text}");
            }
            world.server.fail("tools/call", None);
            let failed = session
                .call_tool(&call("nothing", json!({})))
                .await
                .expect_err("an unknown tool");
            assert!(
                matches!(&failed, McpError::Rpc { code: -32602, .. }),
                "{failed:?}"
            );
            assert_eq!(
                said(session.call_tool(&call("echo", json!({}))).await),
                "{}"
            );
        }
    }
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_cancelled_and_made_once() {
    for events in [false, true] {
        let world = World::with(|server| {
            server.era = Era::Legacy;
            server.events = events;
            server.faults.insert("tools/call".to_owned(), Fault::Hang);
        })
        .await;
        let mut session = world.connect().await.expect("a session");
        let call = call("write", json!({}));
        let waiting = session.call_tool(&call);
        let gone = tokio::time::timeout(Duration::from_millis(300), waiting).await;
        assert!(gone.is_err());
        drop(session);
        world.settle().await;
        assert_eq!(world.server.runs("write"), 1);
        let cancelled = world.server.requests_of("notifications/cancelled");
        let called = &world.server.requests_of("tools/call")[0];
        assert_eq!(cancelled.len(), 1);
        assert_eq!(cancelled[0].body["params"]["requestId"], called.body["id"]);
        assert_eq!(world.server.sessions(), 0);
    }
}

#[tokio::test]
async fn a_forgotten_session_begins_anew_and_a_broken_call_is_not_repeated() {
    let world = World::with(|server| server.era = Era::Legacy).await;
    let mut session = world.connect().await.expect("a session");
    world.server.fail("tools/call", Some(Fault::Forget));
    said(session.call_tool(&call("write", json!({}))).await);
    assert_eq!(world.server.runs("write"), 1);
    assert_eq!(world.server.requests_of("initialize").len(), 2);

    world.server.fail("tools/call", Some(Fault::Vanish));
    session
        .call_tool(&call("write", json!({})))
        .await
        .expect_err("no answer");
    assert_eq!(world.server.runs("write"), 2);
}

#[tokio::test]
async fn a_stream_is_gone_on_with_and_a_server_may_ask() {
    for era in [Era::Modern, Era::Legacy] {
        let world = World::with(|server| server.era = era).await;
        let mut session = world.connect().await.expect("a session");
        world.server.fail("tools/call", Some(Fault::Detach));
        let outcome = session
            .call_tool(&call("echo", json!({"text": "later"})))
            .await;
        assert_eq!(said(outcome), r#"{"text":"later"}"#);
        assert_eq!(world.server.runs("echo"), 1);

        for (method, key) in [("ping", "result"), ("sampling/createMessage", "error")] {
            world
                .server
                .fail("tools/call", Some(Fault::Ask(method.to_owned())));
            said(session.call_tool(&call("echo", json!({}))).await);
            let requests = world.server.requests();
            let reply = requests.iter().rfind(|request| request.body["id"] == "q1");
            assert!(reply.expect("a reply").body[key].is_object(), "{method}");
        }
    }
}

#[tokio::test]
async fn a_call_in_rounds_comes_to_an_end() {
    let rounds = |rounds| ScriptedTool {
        definition: json!({"name": format!("r{rounds}"), "inputSchema": {"type": "object"}}),
        answer: Answer::Rounds(rounds),
    };
    let world = World::with(|server| {
        let input =
            json!({"resultType": "input_required", "inputRequests": {"a": {"method": "x"}}});
        server.tools = vec![
            rounds(2),
            rounds(1000),
            ScriptedTool {
                definition: json!({"name": "input", "inputSchema": {"type": "object"}}),
                answer: Answer::Result(input),
            },
        ];
    })
    .await;
    let mut session = world.connect().await.expect("a session");
    said(session.call_tool(&call("r2", json!({}))).await);
    assert_eq!(world.server.runs("r2"), 3);
    for name in ["r1000", "input"] {
        let failed = session.call_tool(&call(name, json!({}))).await;
        assert!(matches!(failed, Err(McpError::Protocol(_))), "{failed:?}");
    }
}

#[tokio::test]
async fn only_a_refusal_that_an_older_server_could_give_leads_to_initialize() {
    for (fault, tried) in [
        (Fault::Status(400), true),
        (Fault::Status(404), true),
        (Fault::Status(405), true),
        (Fault::Status(500), true),
        (Fault::Html, true),
        (Fault::Status(401), true),
        (Fault::Status(403), true),
        (Fault::Status(429), false),
        (Fault::Status(503), false),
        (Fault::Reset, false),
        (Fault::Redirect("/elsewhere".to_owned()), false),
    ] {
        let world = World::with(|server| {
            server.era = Era::Both;
            server
                .faults
                .insert("server/discover".to_owned(), fault.clone());
        })
        .await;
        let session = world.connect().await;
        assert_eq!(session.is_ok(), tried, "{fault:?}");
        assert_eq!(
            world.server.requests_of("initialize").len(),
            usize::from(tried),
            "{fault:?}"
        );
    }
    // One that hangs on what it does not know.
    let world = World::new(
        |server| {
            server.era = Era::Legacy;
            server
                .faults
                .insert("server/discover".to_owned(), Fault::Slow(60_000));
        },
        |settings| settings.list_timeout = Duration::from_secs(3),
    )
    .await;
    assert!(world.connect().await.is_ok());
    // Versions that nobody knows are not agreed to.
    let world = World::with(|server| {
        server.era = Era::Legacy;
        server.version = "2024-10-07".to_owned();
    })
    .await;
    assert!(matches!(world.connect().await, Err(McpError::Protocol(_))));
}

#[tokio::test]
async fn nobody_at_the_other_end() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let origin = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let client = Client::new(settings(), TaskTracker::new());
    let refused = client
        .connect(listed(&origin), &Credentials::default())
        .await
        .err()
        .expect("nobody there");
    assert!(matches!(refused, McpError::Unreachable(_)), "{refused}");
    assert_eq!(code(&refused), Some(502));
}
