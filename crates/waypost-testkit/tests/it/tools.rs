//! Tool calls in the shapes that chat servers send them.

use serde_json::{Value, json};
use waypost_testkit::ScriptedUpstream;

use crate::client::{chat, chat_request, post};

const ARGUMENTS: &str = r#"{"city":"Paris","days":3}"#;

/// Every tool call delta, in order.
fn deltas(events: &[Value]) -> Vec<Value> {
    let lists = events.iter().filter_map(|event| {
        event
            .pointer("/choices/0/delta/tool_calls")?
            .as_array()
            .cloned()
    });
    lists.flatten().collect()
}

fn arguments(deltas: &[Value], index: usize) -> String {
    let mine = deltas.iter().filter(|delta| delta["index"] == index);
    mine.filter_map(|delta| delta["function"]["arguments"].as_str())
        .collect()
}

async fn streamed(query: &str) -> (Vec<Value>, Vec<Value>) {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let events = chat(&upstream, query, true).await.events();
    let deltas = deltas(&events);
    (events, deltas)
}

#[tokio::test]
async fn parallel_calls_in_fragments() {
    for interleave in [0, 1] {
        let query = format!("tools=3&tool_fragments=5&tool_names=a,b&tool_interleave={interleave}");
        let (events, deltas) = streamed(&query).await;
        assert_eq!(deltas.len(), 3 * 6);
        for index in 0..3 {
            assert_eq!(arguments(&deltas, index), ARGUMENTS);
            let first = deltas.iter().find(|delta| delta["index"] == index).unwrap();
            assert_eq!(first["function"]["name"], ["a", "b", "a"][index]);
            assert!(first["id"].as_str().unwrap().starts_with("call_"));
        }
        let turns = deltas[0]["index"] != deltas[1]["index"];
        assert_eq!(turns, interleave == 1);
        assert_eq!(
            events.last().unwrap()["choices"][0]["finish_reason"],
            "tool_calls"
        );
    }
}

#[tokio::test]
async fn all_arguments_in_one_chunk() {
    let (_, deltas) = streamed("tools=2&tool_style=one_chunk").await;
    assert_eq!(deltas.len(), 2);
    assert_eq!(
        deltas[1]["function"],
        json!({"name": "get_weather", "arguments": ARGUMENTS})
    );
}

#[tokio::test]
async fn ids_late_or_never() {
    let (_, late) = streamed("tools=1&tool_style=late_id").await;
    assert!(late[0]["id"].is_null() && late[0]["function"]["name"] == "get_weather");
    assert!(late[1]["id"].is_string());
    assert_eq!(arguments(&late, 0), ARGUMENTS);
    let (_, never) = streamed("tools=1&tool_style=no_id").await;
    assert!(never.iter().all(|delta| delta["id"].is_null()));
    assert_eq!(arguments(&never, 0), ARGUMENTS);
}

#[tokio::test]
async fn no_index() {
    let (_, deltas) = streamed("tools=2&tool_style=no_index").await;
    assert!(deltas.iter().all(|delta| delta.get("index").is_none()));
    assert_eq!(
        deltas
            .iter()
            .filter(|delta| delta["id"].is_string())
            .count(),
        2
    );
}

#[tokio::test]
async fn arguments_only_in_the_finish_chunk() {
    let (events, deltas) = streamed("tools=2&tool_style=args_at_end").await;
    let last = &events.last().unwrap()["choices"][0];
    assert_eq!(last["finish_reason"], "tool_calls");
    assert_eq!(last["delta"]["tool_calls"].as_array().unwrap().len(), 2);
    assert!(
        deltas[..2]
            .iter()
            .all(|delta| delta["function"].get("arguments").is_none())
    );
    assert_eq!(arguments(&deltas, 1), ARGUMENTS);
}

#[tokio::test]
async fn empty_deltas_in_between() {
    let (events, deltas) = streamed("tools=1&tool_fragments=3&tool_style=empty_deltas").await;
    let empty = deltas[1..]
        .iter()
        .filter(|delta| delta["function"]["arguments"] == "")
        .count();
    assert_eq!(empty, 3);
    let hollow = events
        .iter()
        .filter(|event| event["choices"][0]["delta"] == json!({}))
        .count();
    assert_eq!(hollow, 3 + 1);
    assert_eq!(arguments(&deltas, 0), ARGUMENTS);
}

#[tokio::test]
async fn text_before_after_and_in_the_same_chunk() {
    let order = |events: &[Value]| -> Vec<&'static str> {
        let of = |event: &Value| {
            let delta = &event["choices"][0]["delta"];
            let text = delta["content"]
                .as_str()
                .is_some_and(|text| !text.is_empty());
            match (text, delta["tool_calls"].is_array()) {
                (true, true) => Some("both"),
                (true, false) => Some("text"),
                (false, true) => Some("tool"),
                _ => None,
            }
        };
        events.iter().filter_map(of).collect()
    };
    let script = "tools=1&tool_fragments=1&tokens=2&tool_text";
    let (before, _) = streamed(&format!("{script}=before")).await;
    assert_eq!(order(&before), ["text", "text", "tool", "tool"]);
    let (after, _) = streamed(&format!("{script}=after")).await;
    assert_eq!(order(&after), ["tool", "tool", "text", "text"]);
    let (same, deltas) = streamed(&format!("{script}=same_chunk")).await;
    assert_eq!(order(&same), ["text", "both", "tool"]);
    assert_eq!(arguments(&deltas, 0), ARGUMENTS);
}

#[tokio::test]
async fn plain_calls_carry_the_requests_tool_names() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let mut request = chat_request("tools=2", false);
    request["tools"] = json!([{"type": "function", "function": {"name": "look_up"}}]);
    let reply = post(&upstream, "/v1/chat/completions", &request)
        .await
        .json();
    let calls = reply["choices"][0]["message"]["tool_calls"]
        .as_array()
        .unwrap();
    assert_eq!(calls.len(), 2);
    assert!(
        calls
            .iter()
            .all(|call| call["function"]["name"] == "look_up")
    );
    assert_eq!(calls[0]["function"]["arguments"], ARGUMENTS);
    assert_eq!(reply["choices"][0]["message"]["content"], Value::Null);
    assert_eq!(reply["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn after_its_rounds_of_tools_the_model_answers() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    for (rounds, calls) in [(1, false), (2, true)] {
        let mut request = chat_request(&format!("tools=1&tool_rounds={rounds}"), true);
        let messages = request["messages"].as_array_mut().unwrap();
        messages.push(json!({"role": "assistant", "content": null, "tool_calls": []}));
        messages.push(json!({"role": "tool", "tool_call_id": "call_1", "content": "sunny"}));
        let events = post(&upstream, "/v1/chat/completions", &request)
            .await
            .events();
        assert_eq!(!deltas(&events).is_empty(), calls, "{rounds} rounds");
    }
}
