use super::*;
use crate::model::Usage;

fn decode(lines: &[&str]) -> (Vec<Delta>, Result<(), UpstreamError>) {
    let mut decoder = ChatDecoder::new(true);
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
                reasoning_tokens: 0,
                reported: true,
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

/// The calls of an answer: id, name and arguments, in the order of their keys.
fn calls(lines: &[&str]) -> Vec<(String, String, String)> {
    let mut out: Vec<(String, String, String)> = Vec::new();
    for delta in decode(lines).0 {
        if let Delta::ToolCall {
            key,
            call_id,
            name,
            arguments,
            ..
        } = delta
        {
            let key = usize::try_from(key).expect("a small key");
            if out.len() <= key {
                out.resize(key + 1, Default::default());
            }
            let call = &mut out[key];
            if let (true, Some(id)) = (call.0.is_empty(), call_id) {
                call.0 = id;
            }
            if let (true, Some(name)) = (call.1.is_empty(), name) {
                call.1 = name;
            }
            call.2.push_str(&arguments);
        }
    }
    out
}

fn expect_calls(lines: &[&str], expected: &[(&str, &str, &str)]) {
    let owned =
        |(a, b, c): &(&str, &str, &str)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned());
    let expected: Vec<_> = expected.iter().map(owned).collect();
    assert_eq!(calls(lines), expected, "{lines:#?}");
}

/// A chunk with these pieces of calls.
fn pieces(calls: &str) -> String {
    format!(r#"{{"choices":[{{"delta":{{"tool_calls":{calls}}}}}]}}"#)
}

#[test]
fn parallel_calls_that_all_have_the_number_0() {
    let two = [("a", "f", r#"{"x":1}"#), ("b", "g", "{}")];
    // Whole, one a chunk, and both in one chunk.
    let f = r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}"#;
    let g = r#"{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}"#;
    expect_calls(
        &[&pieces(&format!("[{f}]")), &pieces(&format!("[{g}]"))],
        &two,
    );
    expect_calls(&[&pieces(&format!("[{f},{g}]"))], &two);
    // In fragments, which say the id again or do not.
    for again in ["", r#""id":"a","#, r#""id":"a","type":"function","#] {
        let begin = r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}]"#;
        let more = format!(r#"[{{"index":0,{again}"function":{{"arguments":":1}}"}}}}]"#);
        expect_calls(
            &[&pieces(begin), &pieces(&more), &pieces(&format!("[{g}]"))],
            &two,
        );
    }
    // With id and name in every fragment.
    let begin = r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}]"#;
    let more = r#"[{"index":0,"id":"a","function":{"name":"f","arguments":":1}"}}]"#;
    expect_calls(
        &[&pieces(begin), &pieces(more), &pieces(&format!("[{g}]"))],
        &two,
    );
    // A new id for every fragment, and the name only once (old vLLM).
    let more = r#"[{"index":0,"id":"zz","function":{"arguments":":1}"}}]"#;
    expect_calls(&[&pieces(begin), &pieces(more)], &two[..1]);
    // Interleaved, told apart by their ids.
    let g1 = r#"[{"index":0,"id":"b","function":{"name":"g","arguments":"{"}}]"#;
    let f2 = r#"[{"index":0,"id":"a","function":{"arguments":":1}"}}]"#;
    let g2 = r#"[{"index":0,"id":"b","function":{"arguments":"}"}}]"#;
    expect_calls(
        &[&pieces(begin), &pieces(g1), &pieces(f2), &pieces(g2)],
        &two,
    );
    // Empty ids.
    let no_id = |calls: &str| pieces(&calls.replace("\"a\"", "\"\"").replace("\"b\"", "null"));
    expect_calls(
        &[&no_id(&format!("[{f}]")), &no_id(&format!("[{g}]"))],
        &[("", "f", r#"{"x":1}"#), ("", "g", "{}")],
    );
    // The same tool twice.
    expect_calls(
        &[&no_id(&format!("[{f}]")), &no_id(&format!("[{f}]"))],
        &[("", "f", r#"{"x":1}"#), ("", "f", r#"{"x":1}"#)],
    );
    // Without arguments.
    expect_calls(
        &[
            &pieces(r#"[{"index":0,"function":{"name":"f","arguments":""}}]"#),
            &pieces(r#"[{"index":0,"function":{"name":"g","arguments":""}}]"#),
        ],
        &[("", "f", ""), ("", "g", "")],
    );
}

#[test]
fn calls_are_not_doubled() {
    let f = r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":\"}\\\"\"}"}}]"#;
    let one = [("a", "f", r#"{"x":"}\""}"#)];
    // A last chunk that repeats all of it.
    expect_calls(&[&pieces(f), &pieces(f)], &one);
    // And the whole message.
    let whole = r#"{"choices":[{"message":{"content":"hi","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}"#;
    expect_calls(&[&pieces(f), whole], &one);
    // One id for two numbers is two calls.
    let g = r#"[{"index":1,"id":"a","function":{"name":"g","arguments":"{}"}}]"#;
    assert_eq!(calls(&[&pieces(f), &pieces(g)]).len(), 2);
    // A name that is said again without a number or an id.
    expect_calls(
        &[
            &pieces(r#"[{"function":{"name":"f","arguments":"{"}}]"#),
            &pieces(r#"[{"function":{"name":"f","arguments":"}"}}]"#),
        ],
        &[("", "f", "{}")],
    );
}

#[test]
fn a_legacy_function_call_is_a_call() {
    expect_calls(
        &[
            r#"{"choices":[{"delta":{"function_call":{"name":"f","arguments":"{"}}}]}"#,
            r#"{"choices":[{"delta":{"function_call":{"arguments":"}"},"tool_calls":null}}]}"#,
            r#"{"choices":[{"delta":{"function_call":null},"finish_reason":"function_call"}]}"#,
        ],
        &[("", "f", "{}")],
    );
}

#[test]
fn content_may_be_parts() {
    let (deltas, _) = decode(&[
        r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":"so"},{"type":"text","text":"yes"},{"type":"reference","reference_ids":[1]}]}}]}"#,
        r#"{"choices":[{"delta":{"content":{"type":"text","text":"!"}}}]}"#,
        r#"{"choices":[{"delta":{"content":["a",null,{"text":"b"}]}}]}"#,
    ]);
    let thought = |text: &str| Delta::Reasoning(text.into());
    assert_eq!(
        deltas,
        [
            thought("hm"),
            thought("so"),
            text("yes"),
            text("!"),
            text("a"),
            text("b")
        ]
    );
}

#[test]
fn odd_types_cost_nothing_but_themselves() {
    for line in [
        r#"{"choices":[{"index":"0","delta":{"content":"x"}}]}"#,
        r#"{"choices":[{"index":0.0,"delta":{"content":"x","tool_calls":null,"refusal":null,"annotations":null},"logprobs":null,"finish_reason":null}],"usage":null,"error":null}"#,
        r#"{"choices":[{"index":null,"delta":{"content":"x","reasoning":5.5e400,"reasoning_content":{}},"logprobs":"no","finish_reason":{}}],"usage":"none"}"#
            .replace("5.5e400", "{}")
            .as_str(),
        r#"{"choices":{"delta":{"content":"x","tool_calls":{},"function_call":"none"}},"usage":[],"error":false}"#,
        r#"{"choices":[null,{"delta":{"content":"x","refusal":[]},"logprobs":{"content":"no"}}],"error":""}"#,
        r#"{"choices":[{"delta":{"content":"x","content":"x"},"logprobs":{"content":[{"token":"x","logprob":-Infinity}]}}]}"#,
        "{\"choices\":[{\"delta\":{\"content\":\"x\",\"refusal\":\"\"}}],\"note\":\"a\tb\"}",
    ] {
        let said = decode(&[line]).0;
        assert!(
            matches!(said.as_slice(), [.., Delta::Text { text, .. }] if text == "x"),
            "{line}: {said:?}"
        );
    }
    for line in [
        r#"{"choices":null}"#,
        r#"{"choices":[{"delta":null}]}"#,
        r#"{"choices":[{"delta":"x"}]}"#,
        "null",
        "[]",
        "\"ping\"",
        "5",
    ] {
        assert!(decode(&[line]).0.is_empty(), "{line}");
    }
    expect_calls(
        &[&pieces(
            r#"[null,{"index":"1","id":7,"function":{"name":"f","arguments":{"a":1}}},{"index":"1","id":7,"function":null}]"#,
        )],
        &[("7", "f", r#"{"a":1}"#)],
    );
    let done = r#"{"choices":[{"delta":{"content":"x"},"finish_reason":"null"}]}"#;
    assert!(decode(&[done]).1.is_err(), "a word for null is no reason");
}

#[test]
fn counts_are_read_and_never_made_up() {
    let usage = |usage: &str| {
        let line = format!(r#"{{"choices":[],"usage":{usage}}}"#);
        decode(&[&line]).0
    };
    let counted = |input_tokens, output_tokens| {
        [Delta::Usage(Usage {
            input_tokens,
            output_tokens,
            reported: true,
            ..Usage::default()
        })]
    };
    assert_eq!(
        usage(r#"{"prompt_tokens":3.0,"completion_tokens":1.6}"#),
        counted(3, 2)
    );
    assert_eq!(
        usage(r#"{"prompt_tokens":"3","completion_tokens":null}"#),
        counted(3, 0)
    );
    assert_eq!(
        usage(r#"{"prompt_tokens":0,"completion_tokens":0}"#),
        counted(0, 0)
    );
    for nothing in [
        "null",
        "{}",
        r#"{"prompt_tokens":null}"#,
        "[]",
        "7",
        r#"{"total_tokens":3}"#,
    ] {
        assert!(usage(nothing).is_empty(), "{nothing}");
    }
}

#[test]
fn halves_of_characters_are_joined() {
    let chunk = |field: &str, value: &str| {
        format!(r#"{{"choices":[{{"delta":{{"{field}":"{value}"}}}}]}}"#)
    };
    let (deltas, _) = decode(&[
        &chunk("reasoning_content", r"r\ud83d"),
        &chunk("content", r"a\ud83d"),
        &chunk("content", r"\ude00b"),
        &chunk("content", r"\ud83d"),
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
    ]);
    let alone = "\u{fffd}";
    assert_eq!(
        deltas,
        [
            Delta::Reasoning("r".into()),
            Delta::Reasoning(alone.into()),
            text("a"),
            text("😀b"),
            text(alone),
            Delta::Finish(Finish::Stop),
        ]
    );
    let first = r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":\"\ud83d"}}]"#;
    let other = r#"[{"index":1,"id":"b","function":{"name":"g","arguments":"{\"y\":\"\ud83d"}}]"#;
    let rest =
        |index: u8| format!(r#"[{{"index":{index},"function":{{"arguments":"\ude00\"}}"}}}}]"#);
    expect_calls(
        &[
            &pieces(first),
            &pieces(other),
            &pieces(&rest(0)),
            &pieces(&rest(1)),
        ],
        &[("a", "f", r#"{"x":"😀"}"#), ("b", "g", r#"{"y":"😀"}"#)],
    );
}

#[test]
fn sources_are_kept_in_the_responses_apis_form() {
    let (deltas, _) = decode(&[
        r#"{"choices":[{"delta":{"content":"a","annotations":[{"type":"url_citation","url_citation":{"url":"https://a","title":"A","start_index":0,"end_index":1,"content":"long"}},{"type":"url_citation","url":"https://b"},{"type":"file","file":{}},null]}}]}"#,
    ]);
    let source = |url: &str, title: &str, end: u64| {
        Delta::Annotation(serde_json::json!({"type": "url_citation", "start_index": 0,
            "end_index": end, "url": url, "title": title}))
    };
    assert_eq!(
        deltas,
        [
            text("a"),
            source("https://a", "A", 1),
            source("https://b", "", 0)
        ]
    );
}

#[test]
fn a_whole_answer_is_read() {
    let whole = |body: &str| {
        let mut decoder = ChatDecoder::new(true);
        let mut out = Vec::new();
        let read = decoder.whole(body, &mut out);
        (out, read.and_then(|()| decoder.end()))
    };
    let (deltas, end) = whole(
        r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
    );
    assert!(end.is_ok());
    assert_eq!(deltas[0], text("Hi"));
    assert!(matches!(&deltas[1], Delta::ToolCall { key: 0, .. }));
    assert!(matches!(&deltas[2], Delta::ToolCall { key: 1, .. }));
    assert_eq!(deltas[3], Delta::Finish(Finish::Length));
    let (deltas, end) = whole(r#"{"choices":[{"message":{"content":"Hi"}}]}"#);
    assert!(end.is_ok());
    assert_eq!(deltas, [text("Hi"), Delta::Finish(Finish::Stop)]);
    let error = whole(r#"{"error":{"message":"no","code":400}}"#)
        .1
        .unwrap_err();
    assert!(matches!(error, UpstreamError::Status { status, .. } if status == 400));
    for nothing in ["{}", "[]", r#"{"choices":[]}"#, "{\"choices\":["] {
        assert!(
            matches!(whole(nothing).1, Err(UpstreamError::Malformed(_))),
            "{nothing}"
        );
    }
}

mod mutated {
    //! Chunks with values of other types in any place.

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::upstream::mutated::{odd, place, put, said};

    fn answer() -> Vec<Value> {
        let delta = |delta: Value| {
            json!({"id": "c", "object": "chat.completion.chunk", "created": 1,
            "model": "m", "choices": [{"index": 0, "delta": delta, "logprobs": {"content":
                [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}]},
                "finish_reason": null}], "usage": null})
        };
        let call = |call: Value| delta(json!({"tool_calls": [call]}));
        vec![
            delta(
                json!({"role": "assistant", "content": "", "refusal": null, "reasoning_content": "r"}),
            ),
            delta(
                json!({"content": "one ", "annotations": [{"type": "url_citation",
                "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}]}),
            ),
            delta(json!({"content": "two"})),
            call(json!({"index": 0, "id": "a", "type": "function",
                "function": {"name": "f", "arguments": "{\"x\""}})),
            call(json!({"index": 0, "function": {"arguments": ":1}"}})),
            json!({"choices": [{"index": 0, "delta": {"content": " three"}, "finish_reason": "stop"}]}),
            json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 1}}}),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever stands in one place, the text in the others is read.
        #[test]
        fn text_is_read(at in 0..7_usize, index in any::<prop::sample::Index>(), odd in odd()) {
            let mut chunks = answer();
            let place = place(&chunks[at], &index).expect("a place");
            let says_something_else = ["/choices", "/choices/0", "/choices/0/delta",
                "/choices/0/delta/content", "/choices/0/delta/refusal"].contains(&place.as_str())
                // Of another answer of several.
                || place == "/choices/0/index" && odd != json!(0);
            prop_assume!(!says_something_else);
            put(&mut chunks[at], &place, odd);
            let lines: Vec<String> = chunks.iter().map(Value::to_string).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let (deltas, _) = decode(&lines);
            let text = said(&deltas);
            prop_assert_eq!(text, "one two three", "{} in chunk {}", place, at);
        }

        /// Nothing makes it panic, in many places at once.
        #[test]
        fn nothing_makes_it_panic(
            changes in prop::collection::vec((0..7_usize, any::<prop::sample::Index>(), odd()), 1..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut chunks = answer();
            for (at, index, odd) in changes {
                if let Some(place) = place(&chunks[at], &index) {
                    put(&mut chunks[at], &place, odd);
                }
            }
            let mut decoder = ChatDecoder::new(true);
            let mut out = Vec::new();
            for chunk in &chunks {
                let line = chunk.to_string();
                let _ = decoder.data(&line, &mut out);
                let _ = decoder.data(&line[..line.floor_char_boundary(cut.index(line.len()))], &mut out);
                let _ = ChatDecoder::new(true).whole(&line, &mut out);
            }
        }
    }
}
