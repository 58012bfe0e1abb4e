//! Content of chat answers, streamed and plain.

use serde_json::{Value, json};
use waypost_testkit::ScriptedUpstream;
use waypost_testkit::upstream::{Script, Shape, expected_text};

use crate::client::{chat, chat_request, joined, numbers, post};

#[tokio::test]
async fn numbered_tokens_in_both_forms() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let stream = chat(&upstream, "tokens=200", true).await;
    assert_eq!(
        stream.header("content-type"),
        "text/event-stream; charset=utf-8"
    );
    assert_eq!(stream.content(), numbers(200));
    assert!(stream.is_done());
    let events = stream.events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert!(events.iter().all(|event| event["id"] == events[0]["id"]));
    assert!(
        events
            .iter()
            .all(|event| event["object"] == "chat.completion.chunk")
    );
    let last = events.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(last["choices"][0]["delta"], json!({}));

    let plain = chat(&upstream, "tokens=200", false).await.json();
    assert_eq!(plain["choices"][0]["message"]["content"], numbers(200));
    assert_eq!(plain["choices"][0]["finish_reason"], "stop");
    assert_eq!(plain["usage"]["completion_tokens"], 200);
    assert_ne!(plain["id"], events[0]["id"]);
}

#[tokio::test]
async fn shapes_are_the_oracles_text() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    for (query, shape) in [
        ("shape=emoji", Shape::Emoji),
        ("shape=filler&token_bytes=64", Shape::Filler),
    ] {
        let script = Script {
            shape,
            token_bytes: 64,
            ..Script::default()
        };
        let query = format!("tokens=50&{query}");
        let expected = expected_text(&script, 50);
        assert_eq!(chat(&upstream, &query, true).await.content(), expected);
        let plain = chat(&upstream, &query, false).await.json();
        assert_eq!(plain["choices"][0]["message"]["content"], expected);
    }
}

#[tokio::test]
async fn ten_megabytes() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let query = "shape=filler&token_bytes=4096&tokens=2560";
    let content = chat(&upstream, query, true).await.content();
    assert_eq!(content.len(), 10 * 1024 * 1024);
    assert!(content.ends_with("x ") && content.contains(" 00002559x"));
}

#[tokio::test]
async fn reasoning_under_either_name() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    for field in ["reasoning_content", "reasoning"] {
        let query = format!("tokens=2&reasoning_tokens=3&reasoning_field={field}");
        let events = chat(&upstream, &query, true).await.events();
        assert_eq!(
            joined(&events, &format!("/choices/0/delta/{field}")),
            "r0 r1 r2 "
        );
        let first_text = events
            .iter()
            .position(|e| e["choices"][0]["delta"]["content"] == "0 ");
        let last_thought = events
            .iter()
            .rposition(|e| !e["choices"][0]["delta"][field].is_null());
        assert!(last_thought < first_text);
        let plain = chat(&upstream, &query, false).await.json();
        assert_eq!(plain["choices"][0]["message"][field], "r0 r1 r2 ");
        assert_eq!(
            plain["usage"]["completion_tokens_details"]["reasoning_tokens"],
            3
        );
    }
}

#[tokio::test]
async fn a_refusal() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let events = chat(&upstream, "refusal=I+can't+do+that.", true)
        .await
        .events();
    assert_eq!(
        joined(&events, "/choices/0/delta/refusal"),
        "I can't do that."
    );
    assert_eq!(joined(&events, "/choices/0/delta/content"), "");
    let plain = chat(&upstream, "refusal=No.", false).await.json();
    let message = &plain["choices"][0]["message"];
    assert_eq!(
        (&message["refusal"], &message["content"]),
        (&json!("No."), &Value::Null)
    );
}

#[tokio::test]
async fn logprobs_name_every_token() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let events = chat(&upstream, "tokens=3&logprobs=1", true).await.events();
    assert_eq!(
        joined(&events, "/choices/0/logprobs/content/0/token"),
        "0 1 2 "
    );
    assert_eq!(joined(&events, "/choices/0/delta/content"), "0 1 2 ");
    let plain = chat(&upstream, "tokens=3&logprobs=1", false).await.json();
    let logprobs = plain["choices"][0]["logprobs"]["content"]
        .as_array()
        .unwrap();
    assert_eq!(
        (logprobs.len(), &logprobs[2]["bytes"]),
        (3, &json!([b'2', b' ']))
    );
}

#[tokio::test]
async fn every_finish_reason() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    for reason in ["stop", "length", "tool_calls", "content_filter"] {
        let query = format!("tokens=2&finish_reason={reason}");
        let stream = chat(&upstream, &query, true).await;
        assert_eq!(joined(&stream.events(), "/choices/0/finish_reason"), reason);
        let plain = chat(&upstream, &query, false).await.json();
        assert_eq!(plain["choices"][0]["finish_reason"], reason);
    }
    let absent = chat(&upstream, "tokens=2&finish_reason=absent", true).await;
    assert_eq!(joined(&absent.events(), "/choices/0/finish_reason"), "");
    assert!(absent.is_done());
    assert!(!chat(&upstream, "no_done=1", true).await.is_done());
}

#[tokio::test]
async fn usage_where_the_script_wants_it() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let with_usage = |query: &str, asks: bool| {
        let mut request = chat_request(query, true);
        if asks {
            request["stream_options"] = json!({"include_usage": true});
        }
        let upstream = &upstream;
        async move {
            let events = post(upstream, "/v1/chat/completions", &request)
                .await
                .events();
            let has = |event: &&Value| !event["usage"].is_null();
            let found: Vec<Value> = events.iter().filter(has).cloned().collect();
            assert!(found.len() < 2);
            found.into_iter().next()
        }
    };
    let script = "tokens=5&prompt_tokens=7&cached_tokens=3";
    let last = with_usage(script, true).await.unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["total_tokens"], 12);
    assert_eq!(last["usage"]["prompt_tokens_details"]["cached_tokens"], 3);
    assert_eq!(with_usage(script, false).await, None);
    assert!(with_usage("usage=last", false).await.is_some());
    assert_eq!(with_usage("usage=none", true).await, None);
    let finish = with_usage("usage=finish", false).await.unwrap();
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert!(
        chat(&upstream, "usage=none", false)
            .await
            .json()
            .get("usage")
            .is_none()
    );
}

#[tokio::test]
async fn max_tokens_is_honoured() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    for field in ["max_tokens", "max_completion_tokens"] {
        for stream in [true, false] {
            let mut request = chat_request("tokens=10", stream);
            request[field] = json!(4);
            let reply = post(&upstream, "/v1/chat/completions", &request).await;
            let (text, reason) = if stream {
                (
                    reply.content(),
                    joined(&reply.events(), "/choices/0/finish_reason"),
                )
            } else {
                let choice = reply.json()["choices"][0].clone();
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                (
                    text(&choice["message"]["content"]),
                    text(&choice["finish_reason"]),
                )
            };
            assert_eq!(
                (text.as_str(), reason.as_str()),
                ("0 1 2 3 ", "length"),
                "{field}"
            );
        }
    }
}

fn prefilled(query: &str, prefix: &str, stream: bool) -> Value {
    let mut request = chat_request(query, stream);
    let messages = request["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": prefix}));
    request
}

#[tokio::test]
async fn a_prefix_is_continued_at_exactly_the_next_character() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let full = numbers(14);
    for at in 0..=full.len() {
        let stream = post(
            &upstream,
            "/v1/chat/completions",
            &prefilled("tokens=14", &full[..at], true),
        )
        .await;
        assert_eq!(stream.content(), full[at..], "cut at {at}");
        assert_eq!(joined(&stream.events(), "/choices/0/finish_reason"), "stop");
    }
    let request = prefilled("tokens=14", "0 1 2", false);
    let plain = post(&upstream, "/v1/chat/completions", &request)
        .await
        .json();
    assert_eq!(plain["choices"][0]["message"]["content"], full[5..]);
}

#[tokio::test]
async fn servers_differ_in_what_they_make_of_a_prefix() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let full = numbers(6);
    let ask = |request: Value| {
        let upstream = &upstream;
        async move { post(upstream, "/v1/chat/completions", &request).await }
    };
    let content = |reply: Value| reply["choices"][0]["message"]["content"].clone();

    let llama = "tokens=6&repeat_prefix_in_plain=1";
    assert_eq!(
        content(ask(prefilled(llama, "0 1", false)).await.json()),
        full
    );
    assert_eq!(
        ask(prefilled(llama, "0 1", true)).await.content(),
        full[3..]
    );

    let ignoring = ask(prefilled("tokens=6&ignore_prefill=1", "0 1", true)).await;
    assert_eq!(ignoring.content(), full);

    let vllm = "tokens=6&vllm_prefill=1";
    assert_eq!(ask(prefilled(vllm, "0 1", true)).await.content(), full);
    let mut asked = prefilled(vllm, "0 1", true);
    asked["continue_final_message"] = json!(true);
    asked["add_generation_prompt"] = json!(false);
    assert_eq!(ask(asked).await.content(), full[3..]);

    let rejecting = ask(prefilled("reject_prefill=1", "0 1", true)).await;
    assert_eq!(rejecting.status, 400);
}
