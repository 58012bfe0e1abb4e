//! Tools of a fixed form that the client runs: `local_shell`, `shell`,
//! `apply_patch`, `computer`.

use std::{
    fmt::Write,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use waypost_testkit::{Script, upstream::ScriptedUpstream};

use super::{function, open_object, post};
use crate::{
    harness::TestServer,
    support::{World, checked, id_of},
};

/// A key that no other script has.
fn unique() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A tool, what a model writes to call it, and what clients make of it.
struct Case {
    tool: Value,
    /// The arguments of the model.
    written: Value,
    /// The call, without its ids and status.
    call: Value,
    /// What the client answers, without the call's id.
    output: Value,
    /// What the model hears of that.
    heard: Value,
}

fn cases() -> Vec<Case> {
    let picture = "data:image/png;base64,aGk=";
    vec![
        Case {
            tool: json!({"type": "local_shell"}),
            written: json!({"command": ["ls", "-l"], "working_directory": "/tmp",
                "env": [{"name": "A", "value": "b"}]}),
            call: json!({"type": "local_shell_call", "action": {"type": "exec",
                "command": ["ls", "-l"], "env": {"A": "b"}, "working_directory": "/tmp"}}),
            output: json!({"type": "local_shell_call_output", "output": "one file"}),
            heard: json!("one file"),
        },
        Case {
            tool: json!({"type": "shell", "environment": {"type": "local"}}),
            written: json!({"commands": ["pwd", "ls"], "timeout_ms": 1000}),
            call: json!({"type": "shell_call", "environment": {"type": "local"},
                "action": {"commands": ["pwd", "ls"], "timeout_ms": 1000, "max_output_length": null}}),
            output: json!({"type": "shell_call_output", "max_output_length": 100, "output": [
                {"stdout": "/tmp\n", "stderr": "", "outcome": {"type": "exit", "exit_code": -1}},
                {"stdout": "", "stderr": "slow", "outcome": {"type": "timeout"}}]}),
            heard: json!(
                r#"[{"stdout":"/tmp\n","stderr":"","outcome":{"type":"exit","exit_code":-1}},{"stdout":"","stderr":"slow","outcome":{"type":"timeout"}}]"#
            ),
        },
        Case {
            tool: json!({"type": "apply_patch"}),
            written: json!({"operation": {"type": "create_file", "path": "a.txt", "diff": "+é\n"}}),
            call: json!({"type": "apply_patch_call",
                "operation": {"type": "create_file", "path": "a.txt", "diff": "+é\n"}}),
            output: json!({"type": "apply_patch_call_output", "status": "failed", "output": "no room"}),
            heard: json!(r#"{"status":"failed","output":"no room"}"#),
        },
        Case {
            tool: json!({"type": "computer"}),
            written: json!({"actions": [
                {"type": "click", "button": "left", "x": 1, "y": 2, "keys": null},
                {"type": "screenshot"}]}),
            call: json!({"type": "computer_call", "pending_safety_checks": [], "actions": [
                {"type": "click", "button": "left", "x": 1, "y": 2}, {"type": "screenshot"}]}),
            output: json!({"type": "computer_call_output",
                "output": {"type": "computer_screenshot", "image_url": picture}}),
            heard: json!(picture),
        },
    ]
}

impl Case {
    fn name(&self) -> &str {
        self.tool["type"].as_str().expect("a type")
    }

    /// A model that calls the tool, then speaks.
    fn model(&self) -> String {
        let mut written = String::new();
        for byte in self.written.to_string().bytes() {
            write!(written, "%{byte:02X}").expect("strings grow");
        }
        format!(
            "chat?key={}&call={}:{written}&then&say=Done.",
            unique(),
            self.name()
        )
    }

    fn request(&self, model: &str) -> Value {
        json!({"model": model, "input": "x", "tools": [self.tool]})
    }

    fn output(&self, call: &Value) -> Value {
        let mut output = self.output.clone();
        output["call_id"] = call["call_id"].clone();
        output
    }

    /// The only call of the output.
    fn check(&self, output: &Value) -> Value {
        let call = output[0].clone();
        assert_eq!(output.as_array().map(Vec::len), Some(1), "{output}");
        assert_eq!(call["status"], "completed");
        let mut without = call.clone();
        let fields = without.as_object_mut().expect("an item");
        for name in ["id", "call_id", "status"] {
            let known = fields.remove(name).expect(name);
            assert!(
                known.as_str().is_some_and(|text| !text.is_empty()),
                "{name}"
            );
        }
        assert_eq!(without, self.call);
        call
    }
}

#[tokio::test]
async fn a_call_and_its_output_over_any_model_server() {
    let world = World::start().await;
    for case in cases() {
        let model = case.model();
        let first = world.create(case.request(&model)).await;
        assert_eq!(first["tools"], json!([case.tool]));
        let call = case.check(&first["output"]);
        let asked = world.last_request();
        assert_eq!(asked["tools"][0]["function"]["name"], case.name());

        // By the chain, and whole.
        let answer = case.output(&call);
        let chained = json!({"model": model, "previous_response_id": id_of(&first),
            "input": [answer], "tools": [case.tool]});
        let whole = json!({"model": model, "store": false, "tools": [case.tool],
            "input": [{"role": "user", "content": "x"}, call, answer]});
        for body in [chained, whole] {
            let second = world.create(body).await;
            assert_eq!(second["output"][0]["content"][0]["text"], "Done.");
            let asked = world.last_request();
            let messages = asked["messages"].as_array().expect("messages");
            let called = &messages[1]["tool_calls"][0];
            assert_eq!(called["function"]["name"], case.name());
            let arguments = called["function"]["arguments"].as_str().expect("arguments");
            let arguments: Value = serde_json::from_str(arguments).expect("JSON");
            for (name, value) in case.written.as_object().expect("an object") {
                let said = arguments[name].to_string();
                assert_eq!(said, value.to_string().replace(r#","keys":null"#, ""));
            }
            assert_eq!(messages[2]["tool_call_id"], called["id"]);
            let heard = asked["messages"].to_string();
            let wanted = case.heard.to_string();
            assert!(
                heard.contains(wanted.trim_matches('"')),
                "{wanted} in {heard}"
            );
        }
        let items = format!("/v1/responses/{}/input_items", id_of(&first));
        world.client().get(&items).await.ok();
    }
}

#[tokio::test]
async fn a_call_streams_as_its_item_and_the_log_says_the_same() {
    let world = World::start().await;
    for case in cases() {
        let mut body = case.request(&case.model());
        let events = world.stream(body.clone()).await.collect().await;
        case.check(&checked(&events)["output"]);
        let of = |kind: &str| -> Vec<&Value> {
            events
                .iter()
                .filter(|event| event["type"] == kind)
                .collect()
        };
        let added = &of("response.output_item.added")[0]["item"];
        assert_eq!(added["status"], "in_progress");
        match case.name() {
            "shell" => {
                assert_eq!(added["action"]["commands"], json!([]));
                let done: Vec<&Value> = of("response.shell_call_command.done")
                    .iter()
                    .map(|event| &event["command"])
                    .collect();
                assert_eq!(done, ["pwd", "ls"]);
                for event in of("response.shell_call_command.delta") {
                    let names: Vec<&String> = event.as_object().expect("fields").keys().collect();
                    let wanted = [
                        "type",
                        "sequence_number",
                        "output_index",
                        "command_index",
                        "delta",
                    ];
                    assert_eq!(names, wanted);
                }
            }
            "apply_patch" => {
                assert_eq!(added["operation"]["path"], "a.txt");
                assert_eq!(added["operation"]["diff"], "");
                let deltas = of("response.apply_patch_call_operation_diff.delta");
                assert_eq!(deltas[0]["delta"], "+é\n");
                assert_eq!(deltas[0]["item_id"], added["id"]);
                let done = of("response.apply_patch_call_operation_diff.done");
                assert_eq!(done[0]["diff"], "+é\n");
            }
            field => {
                let field = if field == "computer" {
                    "actions"
                } else {
                    "action"
                };
                assert_eq!(added[field], case.call[field]);
            }
        }

        // In the background, and again from the log.
        body["model"] = json!(case.model());
        body["background"] = json!(true);
        let id = id_of(&world.create(body.clone()).await);
        case.check(&world.ended(&id).await["output"]);
        body["model"] = json!(case.model());
        let events = world.stream(body).await.collect().await;
        let id = id_of(&events[0]["response"]);
        assert_eq!(world.replay(&id, None).await.collect().await, events);
        case.check(&checked(&events)["output"]);
    }
}

#[tokio::test]
async fn arguments_are_checked_and_asked_for_again() {
    let world = World::start().await;
    let ask = async |script: &str, more: Value| {
        let key = unique();
        let mut body = json!({"model": format!("chat?key={key}&{script}"),
            "tools": [{"type": "shell"}]});
        for (name, value) in more.as_object().expect("fields") {
            body[name] = value.clone();
        }
        post(&world, body).await.ok().json
    };
    let good = "call=shell:{\"commands\":[\"ls\"]}";
    let bad = "call=shell:{\"commands\":[]}";
    let response = ask(&format!("{bad}&then&{good}"), json!({})).await;
    assert_eq!(response["output"][0]["action"]["commands"], json!(["ls"]));
    let response = ask(&format!("{bad}&then&{bad}"), json!({})).await;
    assert_eq!(response["status"], "failed", "{response}");
    assert_eq!(response["output"], json!([]));
    // What may be null may be missing, and what repair sets right is.
    let response = ask("call=shell:{'commands':['ls'],}", json!({})).await;
    assert_eq!(response["output"][0]["action"]["timeout_ms"], json!(null));
    // No item has a form for half a call.
    let half = "call=shell:{\"commands\":[\"l&finish_reason=length";
    let response = ask(half, json!({})).await;
    assert_eq!(response["status"], "incomplete", "{response}");
    assert_eq!(response["output"], json!([]));
    // One call, where no more are allowed.
    let choice = json!({"tool_choice": "required", "parallel_tool_calls": false});
    let response = ask(&format!("{good}&{good}"), choice).await;
    assert_eq!(
        response["output"].as_array().map(Vec::len),
        Some(1),
        "{response}"
    );
}

#[tokio::test]
async fn they_can_be_chosen_and_stand_beside_functions() {
    let world = World::start().await;
    let tools = json!([function("f", open_object()), {"type": "shell"}, {"type": "computer"}]);
    for (choice, called) in [
        (json!({"type": "shell"}), "shell"),
        (json!({"type": "computer"}), "computer"),
        (json!({"type": "computer_use"}), "computer"),
        (
            json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "shell"}]}),
            "shell",
        ),
    ] {
        let body = json!({"model": "chat?generate=calls", "tools": tools, "tool_choice": choice});
        let response = post(&world, body).await.ok().json;
        assert_eq!(response["tool_choice"], choice);
        assert_eq!(
            response["output"][0]["type"],
            format!("{called}_call"),
            "{response}"
        );
    }
    for (tools, param, code) in [
        (
            json!([{"type": "shell"}, {"type": "shell"}]),
            "tools[1].name",
            "invalid_value",
        ),
        (
            json!([{"type": "shell"}, function("shell", open_object())]),
            "tools[1].name",
            "invalid_value",
        ),
        (
            json!([{"type": "apply_patch", "name": "x"}]),
            "tools[0].name",
            "unknown_parameter",
        ),
        (
            json!([{"type": "shell", "environment": {"type": "moon"}}]),
            "tools[0].environment.type",
            "invalid_value",
        ),
        (
            json!([{"type": "apply_patch", "allowed_callers": ["programmatic"]}]),
            "tools[0].allowed_callers[0]",
            "unsupported_parameter",
        ),
    ] {
        let reply = post(&world, json!({"tools": tools})).await;
        reply.error(400, Some(param), Some(code));
    }
    // What the client's shell has is told to the model.
    let skill = json!({"name": "reports", "description": "Writes reports.", "path": "/skills/r"});
    let shell = json!({"type": "shell", "environment": {"type": "local", "skills": [skill]}});
    let response = post(&world, json!({"tools": [shell]})).await.ok().json;
    assert_eq!(response["tools"], json!([shell]));
    let asked = world.last_request()["tools"][0]["function"]["description"].to_string();
    assert!(
        asked.contains("reports (/skills/r): Writes reports."),
        "{asked}"
    );
}

/// A search can be answered by its call's id, also where the model server gave
/// one twice.
#[tokio::test]
async fn calls_of_a_search_have_ids_of_their_own() {
    let world = World::start().await;
    let call = |index: u64| {
        json!({"index": index, "id": "same", "type": "function", "function": {
            "name": "tool_search", "arguments": json!({"q": index.to_string()}).to_string()}})
    };
    let answer = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": null, "tool_calls": [call(0), call(1)]}}]});
    world.upstream.install(
        "chat-twins",
        Script {
            body: Some(answer.to_string()),
            ..Script::default()
        },
    );
    let search = json!({"type": "tool_search", "execution": "client", "description": "Finds.",
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}});
    let response = post(&world, json!({"model": "chat-twins", "tools": [search]})).await;
    let output = response.ok().json["output"].clone();
    let ids: Vec<&str> = (0..2)
        .map(|at| {
            assert_eq!(output[at]["type"], "tool_search_call", "{output}");
            output[at]["call_id"].as_str().expect("an id")
        })
        .collect();
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn items_that_are_sent_back_are_checked() {
    let world = World::start().await;
    let shell = |commands: Value| json!({"type": "shell_call", "call_id": "a", "action": {"commands": commands}});
    let output = json!({"type": "shell_call_output", "call_id": "a", "output": []});
    let outcome = |outcome: Value| {
        json!({"type": "shell_call_output", "call_id": "a",
        "output": [{"stdout": "", "stderr": "", "outcome": outcome}]})
    };
    for (input, message) in [
        (
            json!([shell(json!(["ls"]))]),
            "No tool output found for shell call a.",
        ),
        (
            json!([output]),
            "No tool call found for shell call output with call_id a.",
        ),
    ] {
        let reply = post(&world, json!({"input": input})).await;
        assert_eq!(reply.error(400, Some("input"), None), message);
    }
    for (item, param, code) in [
        (
            shell(json!([1])),
            "input[0].action.commands[0]",
            "invalid_type",
        ),
        (
            json!({"type": "shell_call", "call_id": "a"}),
            "input[0].action",
            "missing_required_parameter",
        ),
        (
            outcome(json!({"type": "exit"})),
            "input[0].output[0].outcome.exit_code",
            "missing_required_parameter",
        ),
        (
            outcome(json!({"type": "gone"})),
            "input[0].output[0].outcome.type",
            "invalid_value",
        ),
        (
            json!({"type": "apply_patch_call_output", "call_id": "a"}),
            "input[0].status",
            "missing_required_parameter",
        ),
        (
            json!({"type": "apply_patch_call", "call_id": "a", "operation": {"type": "rename", "path": "x"}}),
            "input[0].operation.type",
            "invalid_value",
        ),
        (
            json!({"type": "computer_call", "call_id": "a", "actions": [{"type": "dance"}]}),
            "input[0].actions[0].type",
            "invalid_value",
        ),
        (
            json!({"type": "computer_call_output", "call_id": "a", "output": {
                "type": "computer_screenshot", "file_id": "file_1"}}),
            "input[0].output.file_id",
            "unsupported_parameter",
        ),
        (
            json!({"type": "local_shell_call", "call_id": "a", "action": {"command": ["a"], "env": {"A": 1}}}),
            "input[0].action.env.A",
            "invalid_type",
        ),
    ] {
        let reply = post(&world, json!({"input": [item]})).await;
        reply.error(400, Some(param), Some(code));
    }
    // OpenAI's types have a local shell's call id in `id`, and both of the
    // Agents SDKs send more than one form of an action.
    let input = json!([
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "call_1", "status": "completed",
            "action": {"type": "exec", "command": ["ls"], "env": {}}},
        {"type": "local_shell_call_output", "id": "call_1", "output": "{}"},
        {"type": "computer_call", "id": "x", "call_id": "call_2", "action": {"type": "wait"},
            "actions": [{"type": "wait"}], "caller": {"type": "direct"}},
        {"type": "computer_call_output", "call_id": "call_2",
            "output": {"type": "computer_screenshot", "image_url": ""}},
    ]);
    post(&world, json!({"input": input})).await.ok();
    let messages = world.last_request()["messages"].to_string();
    assert!(messages.contains("No screenshot was taken."), "{messages}");
}

/// A server that knows these tools is told of them as they came.
#[tokio::test]
async fn they_are_passed_on_to_openai() {
    let upstream = ScriptedUpstream::start().await.expect("a model server");
    let config = format!(
        "[[upstreams]]\nname = \"openai\"\nbase_url = \"{}\"\ndialect = \"openai\"\napi = \"responses\"\nmodels = [\"*\"]\n",
        upstream.base_url()
    );
    let server = TestServer::builder().config(&config).start().await;
    let tenant = server.project("tests").await;
    let world = World::of(server, upstream, tenant);
    for case in cases() {
        let call = json!({"type": case.call["type"], "id": "own_1", "call_id": "call_1", "status": "completed"});
        let mut call = call;
        for (name, value) in case.call.as_object().expect("fields") {
            call[name] = value.clone();
        }
        let body = json!({"model": "gpt?tokens=1", "tools": [case.tool], "store": false,
            "input": [call, case.output(&call)]});
        world.create(body).await;
        let asked = world.last_request();
        assert_eq!(asked["tools"], json!([case.tool]));
        let mut passed = call.clone();
        let fields = passed.as_object_mut().expect("fields");
        // An empty list of them is refused there.
        fields.remove("pending_safety_checks");
        for (name, value) in fields {
            assert_eq!(&asked["input"][0][name], value, "{name}");
        }
        assert_eq!(asked["input"][1]["call_id"], "call_1");
        assert_eq!(asked["input"][1]["output"], case.output["output"]);
    }
}
