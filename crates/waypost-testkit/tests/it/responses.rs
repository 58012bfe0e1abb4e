//! The Responses dialect, judged by the checker that judges Waypost.

use serde_json::{Value, json};
use waypost_testkit::ScriptedUpstream;
use waypost_testkit::sse::{self, CheckedStream, check_stream};

use crate::client::{numbers, post, responses, responses_request};

async fn checked(upstream: &ScriptedUpstream, query: &str) -> CheckedStream {
    let reply = responses(upstream, query, true).await;
    sse::parse_strict(&reply.bytes()).unwrap();
    check_stream(&reply.events()).unwrap_or_else(|fault| panic!("{query}: {fault}"))
}

fn kinds(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn text_in_both_forms() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let stream = checked(&upstream, "tokens=100").await;
    assert_eq!(stream.output_text(), numbers(100));
    assert_eq!(stream.response["usage"]["output_tokens"], 100);
    let mut plain = responses(&upstream, "tokens=100", false).await.json();
    let mut streamed = stream.response;
    for own in ["id", "created_at", "completed_at"] {
        plain[own] = Value::Null;
        streamed[own] = Value::Null;
    }
    plain["output"][0]["id"] = streamed["output"][0]["id"].clone();
    assert_eq!(plain, streamed);
}

#[tokio::test]
async fn every_kind_of_content_is_a_proper_stream() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let message = "message";
    let call = "function_call";
    let cases: [(&str, &[&str]); 8] = [
        ("reasoning_tokens=3&tokens=2", &["reasoning", message]),
        ("refusal=I+can't.", &[message]),
        ("tools=2&tool_fragments=3", &[call, call]),
        ("tools=2&tool_interleave=1", &[call, call]),
        ("tools=1&tokens=2", &[message, call]),
        ("tools=1&tokens=2&tool_text=after", &[call, message]),
        ("tools=1&tokens=2&tool_text=same_chunk", &[message, call]),
        ("tokens=3&logprobs=1&shape=emoji", &[message]),
    ];
    for (query, expected) in cases {
        let stream = checked(&upstream, query).await;
        assert_eq!(kinds(&stream.items), expected, "{query}");
    }
    let refused = checked(&upstream, "refusal=I+can't.").await;
    assert_eq!(
        refused.items[0]["content"][0],
        json!({"type": "refusal", "refusal": "I can't."})
    );
}

#[tokio::test]
async fn cut_answers_are_incomplete() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let filtered = checked(&upstream, "tokens=2&finish_reason=content_filter").await;
    assert_eq!(
        filtered.response["incomplete_details"]["reason"],
        "content_filter"
    );
    let mut request = responses_request("tokens=10", true);
    request["max_output_tokens"] = json!(4);
    let events = post(&upstream, "/v1/responses", &request).await.events();
    let stream = check_stream(&events).unwrap();
    assert_eq!(
        stream.response["incomplete_details"]["reason"],
        "max_output_tokens"
    );
    assert_eq!(stream.output_text(), numbers(4));
    assert_eq!(stream.items[0]["status"], "incomplete");
}

#[tokio::test]
async fn arguments_only_in_done() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let reply = responses(&upstream, "tools=1&args_only_in_done=1", true).await;
    let events = reply.events();
    check_stream(&events).unwrap();
    let delta = "response.function_call_arguments.delta";
    assert!(events.iter().all(|event| event["type"] != delta));
    let done = events
        .iter()
        .find(|e| e["type"] == "response.function_call_arguments.done");
    assert_eq!(done.unwrap()["arguments"], r#"{"city":"Paris","days":3}"#);
}

#[tokio::test]
async fn keepalives_consume_sequence_numbers() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let events = responses(&upstream, "tokens=6&keepalive=2", true)
        .await
        .events();
    assert_eq!(
        events
            .iter()
            .filter(|event| event["type"] == "keepalive")
            .count(),
        3
    );
    sse::assert_gapless(&events, 0);
    let fault = check_stream(&events).unwrap_err();
    assert_eq!(fault.kind, "keepalive");
}

#[tokio::test]
async fn the_end_in_its_variants() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    assert!(!responses(&upstream, "tokens=1", true).await.is_done());
    assert!(
        responses(&upstream, "tokens=1&with_done=1", true)
            .await
            .is_done()
    );
    let absent = responses(&upstream, "tokens=1&finish_reason=absent", true)
        .await
        .events();
    assert!(
        check_stream(&absent)
            .unwrap_err()
            .problem
            .contains("terminal")
    );
}

#[tokio::test]
async fn an_error_in_mid_stream() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let events = responses(&upstream, "tokens=6&error_after=3&coalesce=1", true)
        .await
        .events();
    let kinds: Vec<&Value> = events
        .iter()
        .rev()
        .take(2)
        .map(|event| &event["type"])
        .collect();
    assert_eq!(kinds, ["response.failed", "error"]);
    let stream = check_stream(&events).unwrap();
    assert_eq!(stream.response["error"]["code"], "server_error");
}

#[tokio::test]
async fn tool_outputs_end_the_round() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let mut request = responses_request("tools=1", true);
    request["tools"] = json!([{"type": "function", "name": "look_up"}]);
    let events = post(&upstream, "/v1/responses", &request).await.events();
    let first = check_stream(&events).unwrap();
    assert_eq!(first.items[0]["name"], "look_up");
    assert_eq!(first.response["tools"], request["tools"]);
    request["input"] = json!([{"role": "user", "content": "weather?"}, first.items[0],
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}]);
    let events = post(&upstream, "/v1/responses", &request).await.events();
    assert_eq!(kinds(&check_stream(&events).unwrap().items), ["message"]);
}
