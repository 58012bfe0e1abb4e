use std::collections::HashSet;

use super::*;

fn decode(lines: &[&str]) -> (Vec<Delta>, Result<(), UpstreamError>) {
    let mut decoder = ResponsesDecoder::new(true);
    let mut out = Vec::new();
    for line in lines {
        if let Err(e) = decoder.data(line, &mut out) {
            return (out, Err(e));
        }
    }
    let end = decoder.end();
    (out, end)
}

#[test]
fn arguments_only_in_done_are_delivered_once() {
    let (deltas, end) = decode(&[
        r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_theirs"}}"#,
        r#"{"type":"keepalive","sequence_number":1}"#,
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"c","name":"f","arguments":""}}"#,
        r#"{"type":"response.function_call_arguments.done","output_index":0,"arguments":"{}"}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}}"#,
        r#"{"type":"response.completed","response":{"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}}"#,
    ]);
    assert!(end.is_ok());
    let arguments: String = deltas
        .iter()
        .filter_map(|d| match d {
            Delta::ToolCall { arguments, .. } => Some(arguments.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(arguments, "{}");
}

#[test]
fn custom_calls_keep_their_kind_and_namespace() {
    let (deltas, _) = decode(&[
        r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"custom_tool_call","call_id":"c","name":"t","namespace":"n","input":""}}"#,
        r#"{"type":"response.custom_tool_call_input.delta","output_index":1,"delta":"ab"}"#,
        r#"{"type":"response.custom_tool_call_input.done","output_index":1,"input":"abc"}"#,
        r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"custom_tool_call","call_id":"c","name":"t","input":"abc"}}"#,
    ]);
    let piece = |name: Option<&str>, arguments: &str| Delta::ToolCall {
        key: 1,
        kind: CallKind::Custom,
        call_id: name.map(|_| "c".into()),
        name: name.map(Into::into),
        namespace: name.map(|_| "n".into()),
        arguments: arguments.into(),
    };
    assert_eq!(
        deltas,
        [piece(Some("t"), ""), piece(None, "ab"), piece(None, "c")]
    );
}

#[test]
fn text_is_completed_from_the_done_event() {
    let (deltas, _) = decode(&[
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message"}}"#,
        r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hel","obfuscation":"xx"}"#,
        r#"{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"Hello"}"#,
    ]);
    assert_eq!(
        deltas,
        [
            Delta::Text {
                text: "Hel".into(),
                logprobs: vec![]
            },
            Delta::Text {
                text: "lo".into(),
                logprobs: vec![]
            },
        ]
    );
}

#[test]
fn an_end_without_terminal_event_is_broken_and_failures_are_errors() {
    assert!(matches!(decode(&[]).1, Err(UpstreamError::Broken(_))));
    let failed = r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"later"}}}"#;
    assert!(decode(&[failed]).1.unwrap_err().is_throttle());
    let nested = r#"{"type":"error","error":{"message":"no"}}"#;
    assert!(
        matches!(decode(&[nested]).1, Err(UpstreamError::Status { message, .. }) if message == "no")
    );
}

fn arguments(deltas: &[Delta]) -> Vec<(u64, String)> {
    let mut out: Vec<(u64, String)> = Vec::new();
    for delta in deltas {
        if let Delta::ToolCall { key, arguments, .. } = delta {
            match out.iter_mut().find(|(known, _)| known == key) {
                Some((_, text)) => text.push_str(arguments),
                None => out.push((*key, arguments.clone())),
            }
        }
    }
    out
}

#[test]
fn items_that_all_have_the_number_0_are_told_apart() {
    let added = |id: &str| {
        format!(
            r#"{{"type":"response.output_item.added","output_index":"0","item":{{"type":"function_call","id":"fc_{id}","call_id":"{id}","name":"f","arguments":null}}}}"#
        )
    };
    let delta = |id: &str, text: &str| {
        format!(
            r#"{{"type":"response.function_call_arguments.delta","output_index":0,"item_id":"fc_{id}","delta":"{text}"}}"#
        )
    };
    let done = |id: &str, text: &str| {
        format!(
            r#"{{"type":"response.output_item.done","output_index":0,"item":{{"type":"function_call","id":"fc_{id}","call_id":"{id}","name":"f","arguments":{text}}}}}"#
        )
    };
    let both = [(0, r#"{"x":1}"#.to_owned()), (1, "{}".to_owned())];
    let lines = [
        added("a"),
        delta("a", r#"{\"x\""#),
        added("b"),
        delta("b", "{"),
        delta("a", ":1}"),
        done("b", r#""{}""#),
        done("a", r#"{"x":1}"#),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(arguments(&decode(&lines).0), both);
    // Nothing but finished items.
    let lines = [done("a", r#"{"x":1}"#), done("b", r#""{}""#)];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (deltas, _) = decode(&lines);
    assert_eq!(arguments(&deltas), both);
    assert!(
        matches!(&deltas[0], Delta::ToolCall { name: Some(name), call_id: Some(id), .. } if name == "f" && id == "a")
    );
}

#[test]
fn an_items_id_may_change_and_types_may_be_odd() {
    let (deltas, end) = decode(&[
        "null",
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"x1","content":null,"phase":null}}"#,
        r#"{"type":"response.output_text.delta","output_index":"0","content_index":null,"item_id":"x2","delta":"a\ud83d","logprobs":null}"#,
        r#"{"type":"response.output_text.delta","output_index":0,"content_index":"0","item_id":"x3","delta":"\ude00"}"#,
        r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"item_id":"x3","delta":5}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"x4","content":[null,{"type":"output_text","text":null},5]}}"#,
        r#"{"type":"response.completed","response":{"usage":{"input_tokens":1.0,"output_tokens":"2","input_tokens_details":null}}}"#,
    ]);
    assert!(end.is_ok());
    assert_eq!(crate::upstream::mutated::said(&deltas), "a😀5");
    assert!(
        deltas
            .iter()
            .any(|delta| matches!(delta, Delta::Usage(usage)
        if usage.input_tokens == 1 && usage.output_tokens == 2 && usage.reported))
    );
}

#[test]
fn a_whole_response_is_read() {
    let whole = |body: &str| {
        let mut decoder = ResponsesDecoder::new(true);
        let mut out = Vec::new();
        let read = decoder.whole(body, &mut out);
        (out, read.and_then(|()| decoder.end()))
    };
    let (deltas, end) = whole(
        r#"{"object":"response","status":"incomplete","error":null,"incomplete_details":{"reason":"content_filter"},"output":[{"type":"reasoning","id":"r","summary":[{"type":"summary_text","text":"s"}]},{"type":"message","id":"m","content":[{"type":"output_text","text":"Hi"}]},{"type":"function_call","id":"f","call_id":"c","name":"g","arguments":"{}"}],"usage":null}"#,
    );
    assert!(end.is_ok());
    let said = |delta: &Delta| match delta {
        Delta::ReasoningSummary { text, .. } | Delta::Text { text, .. } => text.clone(),
        Delta::ToolCall { arguments, .. } => arguments.clone(),
        other => format!("{other:?}"),
    };
    let said: Vec<String> = deltas.iter().map(said).collect();
    assert_eq!(said, ["s", "Hi", "", "{}", "Finish(ContentFilter)"]);
    let error = whole(r#"{"error":{"message":"slow","code":"rate_limit_exceeded"}}"#);
    assert!(error.1.unwrap_err().is_throttle());
    assert!(matches!(whole("{}").1, Err(UpstreamError::Malformed(_))));
}

mod mutated {
    //! Events with values of other types in any place.

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::upstream::mutated::{odd, place, put, said};

    fn answer() -> Vec<Value> {
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        let message = |status: &str, content: Value| {
            json!({"type": "message", "id": "m", "role": "assistant",
            "status": status, "phase": null, "content": content})
        };
        let call = |arguments: &str| {
            json!({"type": "function_call", "id": "f", "call_id": "c",
            "name": "f", "namespace": null, "arguments": arguments, "status": "completed"})
        };
        let delta = |text: &str| {
            json!({"type": "response.output_text.delta", "sequence_number": 3,
            "output_index": 0, "content_index": 0, "item_id": "m", "delta": text, "logprobs":
            [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}]})
        };
        let finished = message("completed", json!([part("one two")]));
        vec![
            json!({"type": "response.created", "response": {"id": "r", "output": [], "usage": null}}),
            json!({"type": "response.output_item.added", "output_index": 0,
                "item": message("in_progress", json!([]))}),
            json!({"type": "response.content_part.added", "output_index": 0, "content_index": 0,
                "item_id": "m", "part": part("")}),
            delta("one "),
            delta("two"),
            json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0,
                "item_id": "m", "text": "one two", "logprobs": []}),
            json!({"type": "response.output_item.done", "output_index": 0, "item": finished}),
            json!({"type": "response.output_item.added", "output_index": 1, "item": call("")}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 1,
                "item_id": "f", "delta": "{}"}),
            json!({"type": "response.output_item.done", "output_index": 1, "item": call("{}")}),
            json!({"type": "response.completed", "response": {"id": "r", "status": "completed",
                "error": null, "incomplete_details": null, "output": [finished, call("{}")],
                "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3,
                    "input_tokens_details": {"cached_tokens": 0},
                    "output_tokens_details": {"reasoning_tokens": 0}}}}),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever stands in one place, the text in the others is read.
        #[test]
        fn text_is_read(at in 0..11_usize, index in any::<prop::sample::Index>(), odd in odd()) {
            let mut events = answer();
            let place = place(&events[at], &index).expect("a place");
            // An item of a kind that nobody asked for ends the answer.
            let is_a_kind = odd.as_str().is_some_and(|kind| !kind.is_empty());
            prop_assume!(!(place == "/item/type" && is_a_kind));
            // The word itself.
            prop_assume!(!(at == 4 && place == "/delta"));
            put(&mut events[at], &place, odd);
            let lines: Vec<String> = events.iter().map(Value::to_string).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let (deltas, _) = decode(&lines);
            let text = said(&deltas);
            prop_assert!(text.contains("two"), "{} in event {}: {}", place, at, text);
        }

        /// Nothing makes it panic, in many places at once.
        #[test]
        fn nothing_makes_it_panic(
            changes in prop::collection::vec((0..11_usize, any::<prop::sample::Index>(), odd()), 1..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut events = answer();
            for (at, index, odd) in changes {
                if let Some(place) = place(&events[at], &index) {
                    put(&mut events[at], &place, odd);
                }
            }
            let mut decoder = ResponsesDecoder::new(true);
            let mut out = Vec::new();
            for event in &events {
                let line = event.to_string();
                let _ = decoder.data(&line, &mut out);
                let _ = decoder.data(&line[..line.floor_char_boundary(cut.index(line.len()))], &mut out);
                let _ = ResponsesDecoder::new(true).whole(&event["response"].to_string(), &mut out);
            }
        }
    }
}

#[test]
fn items_whose_numbers_are_beyond_all_others_are_told_apart() {
    let last = u64::MAX;
    let call = |id: &str| {
        format!(
            r#"{{"type":"response.output_item.done","output_index":{last},"item":{{"type":"function_call","id":"{id}","call_id":"{id}","name":"f","arguments":"{{}}"}}}}"#
        )
    };
    let lines = ["a", "b", "c"].map(call);
    let (deltas, _) = decode(&lines.each_ref().map(String::as_str));
    let keys: HashSet<u64> = deltas
        .iter()
        .filter_map(|delta| match delta {
            Delta::ToolCall { key, .. } => Some(*key),
            _ => None,
        })
        .collect();
    assert_eq!(keys, HashSet::from([last, 0, 1]));
}
