//! Tools of the Responses API.

use serde_json::{Value, json};

use super::Tape;
use crate::support::World;

#[tokio::test]
async fn calls() {
    let world = World::start().await;
    let mut tape = Tape::of("tools", &world);
    let client = world.client();
    let city = json!({"type": "object", "properties": {"city": {"type": "string"},
        "days": {"type": "integer", "default": 3}}, "required": ["city"]});
    let f = json!({"type": "function", "name": "f", "parameters": city});
    let strict = json!({"type": "function", "name": "f", "strict": true, "parameters": city});
    let free = json!({"type": "function", "name": "f", "parameters": {"type": "object",
        "additionalProperties": {"type": "string"}}});
    let custom = json!({"type": "custom", "name": "c"});
    let digits = json!({"type": "custom", "name": "c",
        "format": {"type": "grammar", "syntax": "regex", "definition": "[0-9]+"}});
    let call = "call=f:{\"city\":\"Rome\",\"days\":2}";
    let format = json!({"format": {"type": "json_schema", "name": "s", "strict": true,
        "schema": {"type": "object", "properties": {"a": {"type": "integer"}},
            "required": ["a"], "additionalProperties": false}}});
    for kind in ["chat", "native"] {
        for (script, extra) in [
            (call, json!({"tools": [f]})),
            (
                call,
                json!({"tools": [f], "tool_choice": {"type": "function", "name": "f"}}),
            ),
            (call, json!({"tools": [strict]})),
            (call, json!({"tools": [free]})),
            ("call=f:{\"town\":1}", json!({"tools": [f]})),
            ("call=g:{}", json!({"tools": [f]})),
            ("tokens=3", json!({"tools": [f], "tool_choice": "none"})),
            ("custom=c:12", json!({"tools": [digits]})),
            ("custom=c:anything", json!({"tools": [custom]})),
            ("tokens=3", json!({"tools": [{"type": "web_search"}, f]})),
            (
                "tokens=3",
                json!({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}),
            ),
            (
                "tokens=3",
                json!({"tools": [{"type": "namespace", "name": "n", "description": "d", "tools": [f]}]}),
            ),
            ("tokens=3", json!({"tools": [{"type": "local_shell"}]})),
            ("say={\"a\":1}", json!({"text": format})),
            ("say={\"b\":1}", json!({"text": format})),
            (
                "tokens=3",
                json!({"tools": [{"type": "function", "name": "no name"}]}),
            ),
            (
                "tokens=3",
                json!({"tools": [{"type": "custom", "name": "c", "format":
                {"type": "grammar", "syntax": "lark", "definition": "start: ("}}]}),
            ),
        ] {
            for stream in [false, true] {
                let mut body = json!({"model": format!("{kind}?{script}"), "input": "go",
                    "stream": stream});
                for (name, value) in extra.as_object().expect("fields") {
                    body[name] = value.clone();
                }
                tape.post(&client, "/v1/responses", body).await;
            }
        }
    }
    let output = |call_id: &str, output: Value| -> Value {
        json!([{"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{\"city\":\"Rome\"}"},
            {"type": "function_call_output", "call_id": call_id, "output": output}])
    };
    for input in [
        output("call_1", json!("sunny")),
        output("call_2", json!("sunny")),
        output("call_1", json!(5)),
    ] {
        let body = json!({"model": "chat?tokens=3", "input": input, "tools": [f]});
        tape.post(&client, "/v1/responses", body).await;
    }
    tape.compare();
}
