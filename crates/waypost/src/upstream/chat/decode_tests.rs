use super::*;

fn decode(lines: &[&str]) -> (Vec<Delta>, Result<(), UpstreamError>) {
    let mut decoder = ChatDecoder::default();
    let mut out = Vec::new();
    for line in lines {
        if let Err(e) = decoder.data(line, &mut out) {
            return (out, Err(e));
        }
    }
    let end = decoder.end();
    (out, end)
}

fn text(t: &str) -> Delta {
    Delta::Text {
        text: t.into(),
        logprobs: vec![],
    }
}

#[test]
fn text_finish_and_usage_after_finish() {
    let (deltas, end) = decode(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":null}}"#,
        "[DONE]",
    ]);
    assert_eq!(
        deltas,
        [
            text("Hi"),
            Delta::Finish(Finish::Stop),
            Delta::Usage(Usage {
                input_tokens: 3,
                cached_tokens: 2,
                output_tokens: 1,
                reasoning_tokens: 0
            }),
        ]
    );
    assert!(end.is_ok());
}

#[test]
fn an_end_without_finish_reason_is_never_complete() {
    assert!(matches!(
        decode(&[r#"{"choices":[{"delta":{"content":"Hi"}}]}"#]).1,
        Err(UpstreamError::Broken(_))
    ));
    assert!(matches!(
        decode(&["[DONE]"]).1,
        Err(UpstreamError::Broken(_))
    ));
    assert!(matches!(
        decode(&[r#"{"choices":[{"delta":{},"finish_reason":"abort"}]}"#]).1,
        Err(UpstreamError::Broken(_))
    ));
}

#[test]
fn reasoning_under_either_name_or_both_is_read_once() {
    for line in [
        r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":"hm"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":"hm","reasoning_content":"hm","content":null}}]}"#,
    ] {
        assert_eq!(decode(&[line]).0, [Delta::Reasoning("hm".into())]);
    }
}

#[test]
fn calls_by_index_by_id_or_by_nothing() {
    let call = |key, id: Option<&str>, name: Option<&str>, args: &str| Delta::ToolCall {
        key,
        kind: CallKind::Function,
        namespace: None,
        call_id: id.map(Into::into),
        name: name.map(Into::into),
        arguments: args.into(),
    };
    let by_index = decode(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#,
    ]);
    assert_eq!(
        by_index.0,
        [
            call(0, Some("a"), Some("f"), ""),
            call(1, Some("b"), Some("g"), "{"),
            call(0, None, None, "{}")
        ]
    );
    let by_id = decode(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"g","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"arguments":"}"}}]}}]}"#,
    ]);
    assert_eq!(
        by_id.0,
        [
            call(0, Some("a"), Some("f"), "{"),
            call(1, Some("b"), Some("g"), "{}"),
            call(0, Some("a"), None, "}")
        ]
    );
    let by_nothing = decode(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"}"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"g","arguments":{"x":1}}}]}}]}"#,
    ]);
    assert_eq!(
        by_nothing.0,
        [
            call(0, None, Some("f"), "{"),
            call(0, None, None, "}"),
            call(1, None, Some("g"), r#"{"x":1}"#)
        ]
    );
}

#[test]
fn errors_inside_the_stream_are_errors() {
    let (_, end) = decode(&[r#"{"error":{"message":"slow down","code":429}}"#]);
    assert!(end.unwrap_err().is_throttle());
    let (_, end) = decode(&[r#"{"error":"out of memory"}"#]);
    assert!(matches!(end, Err(UpstreamError::Status { status, .. }) if status.is_server_error()));
    assert!(matches!(
        decode(&["{oops"]).1,
        Err(UpstreamError::Malformed(_))
    ));
}

#[test]
fn logprobs_ride_on_their_text() {
    let (deltas, _) = decode(&[
        r#"{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":-0.1,"bytes":[97],"top_logprobs":[]}]}}]}"#,
    ]);
    assert!(matches!(&deltas[0], Delta::Text { logprobs, .. } if logprobs[0]["token"] == "a"));
}

#[test]
fn other_choices_and_unknown_fields_are_left_alone() {
    let (deltas, _) = decode(&[
        r#"{"id":"x","object":"chat.completion.chunk","choices":[{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"content":"yes","novel":1}}],"usage":null}"#,
    ]);
    assert_eq!(deltas, [text("yes")]);
}
