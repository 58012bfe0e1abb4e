//! Chat Completions: passed on, and run here.

use serde_json::{Value, json};

use super::Tape;
use crate::support::World;

#[tokio::test]
async fn completions() {
    let world = World::start().await;
    let mut tape = Tape::of("chat", &world);
    let client = world.client();
    let path = "/v1/chat/completions";
    let user = json!([{"role": "user", "content": "go"}]);
    let function = json!({"type": "function", "function": {"name": "f", "strict": true,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
            "required": ["city"], "additionalProperties": false}}});
    let schema = json!({"type": "json_schema", "json_schema": {"name": "s", "strict": true,
        "schema": {"type": "object", "properties": {"a": {"type": "integer"}},
            "required": ["a"], "additionalProperties": false}}});
    let call = "call=f:{\"city\":\"Rome\"}";
    let cases: [(String, Value); 15] = [
        ("chat?tokens=4".into(), json!({})),
        ("native?tokens=4".into(), json!({})),
        (
            "native?tokens=4&reasoning_tokens=3&logprobs=1".into(),
            json!({"logprobs": true}),
        ),
        (
            "chat?tokens=3&finish_reason=length".into(),
            json!({"max_tokens": 3}),
        ),
        (format!("chat?{call}"), json!({"tools": [function]})),
        (
            format!("native?{call}"),
            json!({"tools": [function], "tool_choice": "required"}),
        ),
        (
            "chat?call=f:{\"town\":1}".into(),
            json!({"tools": [function]}),
        ),
        (
            "chat?say={\"a\":1}".into(),
            json!({"response_format": schema}),
        ),
        ("chat?say=no".into(), json!({"response_format": schema})),
        ("chat?refusal=I+will+not.".into(), json!({})),
        ("chat?status=400".into(), json!({})),
        ("chat?status=429&retry_after=7".into(), json!({})),
        ("chat?status=500".into(), json!({})),
        ("chat?html_body=1".into(), json!({})),
        ("native?status=400".into(), json!({"tools": [function]})),
    ];
    for (model, extra) in cases {
        for stream in [false, true] {
            let mut body = json!({"model": model, "messages": user, "stream": stream});
            for (name, value) in extra.as_object().expect("fields") {
                body[name] = value.clone();
            }
            tape.post(&client, path, body).await;
        }
    }
    for body in [
        json!({"model": "chat"}),
        json!({"model": "chat", "messages": []}),
        json!({"model": "native", "messages": [{"role": "nobody", "content": "x"}]}),
        json!({"model": "chat", "messages": user, "tools": [{"type": "function",
            "function": {"name": "f", "strict": true, "parameters": {"type": "array"}}}]}),
    ] {
        tape.post(&client, path, body).await;
    }
    tape.compare();
}
