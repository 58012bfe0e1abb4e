use serde_json::Value;

use super::*;

fn label(legacy: bool) -> Label {
    Label {
        id: "chatcmpl-1".to_owned(),
        created: 1,
        model: "m".to_owned(),
        legacy,
    }
}

fn piece(key: u64, id: Option<&str>, name: Option<&str>, arguments: &str) -> Delta {
    Delta::ToolCall {
        key,
        kind: CallKind::Function,
        call_id: id.map(str::to_owned),
        name: name.map(str::to_owned),
        namespace: None,
        arguments: arguments.to_owned(),
    }
}

/// The deltas of the chunks, and the finish reason.
fn written(legacy: bool, deltas: Vec<Delta>) -> (Vec<Value>, Value) {
    let mut chunks = Chunks::new(label(legacy), false);
    let mut out = BytesMut::new();
    for delta in deltas {
        chunks.apply(delta, &mut out);
    }
    assert!(chunks.finish(&mut out));
    let text = std::str::from_utf8(&out).expect("UTF-8");
    let mut events: Vec<&str> = text.split_terminator("\n\n").collect();
    assert_eq!(events.pop(), Some("data: [DONE]"));
    let mut chunks: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").expect("data")))
        .collect::<Result<_, _>>()
        .expect("JSON");
    let last = chunks.pop().expect("a last chunk");
    assert_eq!(last["choices"][0]["delta"], json!({}));
    let deltas = chunks
        .iter_mut()
        .map(|chunk| chunk["choices"][0]["delta"].take());
    (
        deltas.collect(),
        last["choices"][0]["finish_reason"].clone(),
    )
}

#[test]
fn arguments_wait_for_the_name_and_an_id_is_made_where_none_comes() {
    let (deltas, finish) = written(
        false,
        vec![
            piece(7, None, None, "{"),
            piece(7, None, Some("f"), "\"a\""),
            piece(7, Some("late"), None, ":1}"),
            Delta::Finish(Finish::Stop),
        ],
    );
    assert_eq!(finish, "tool_calls");
    let [role, call, rest @ ..] = &deltas[..] else {
        panic!("{deltas:?}")
    };
    assert_eq!(
        role,
        &json!({"role": "assistant", "content": null, "refusal": null})
    );
    let call = &call["tool_calls"][0];
    let id = call["id"].as_str().expect("an id");
    assert!(id.starts_with("call_"), "{id}");
    assert_eq!(
        call,
        &json!({"index": 0, "id": id, "type": "function",
            "function": {"name": "f", "arguments": ""}})
    );
    let arguments: String = rest
        .iter()
        .filter_map(|delta| delta["tool_calls"][0]["function"]["arguments"].as_str())
        .collect();
    assert_eq!(arguments, "{\"a\":1}");
}

#[test]
fn a_call_without_a_name_is_still_shown() {
    let (deltas, _) = written(
        false,
        vec![piece(0, Some("a"), None, "{}"), Delta::Finish(Finish::Stop)],
    );
    assert_eq!(deltas[1]["tool_calls"][0]["function"]["name"], "");
    assert_eq!(deltas[2]["tool_calls"][0]["function"]["arguments"], "{}");
}

#[test]
fn a_function_call_of_old_is_one() {
    let (deltas, finish) = written(
        true,
        vec![
            piece(0, Some("a"), Some("f"), "{}"),
            piece(1, Some("b"), Some("g"), "{}"),
            Delta::Finish(Finish::Stop),
        ],
    );
    assert_eq!(finish, "function_call");
    assert_eq!(deltas.len(), 3, "{deltas:?}");
    assert_eq!(
        deltas[1],
        json!({"function_call": {"name": "f", "arguments": ""}})
    );
    assert_eq!(deltas[2], json!({"function_call": {"arguments": "{}"}}));
}

#[test]
fn messages_are_set_apart() {
    let text = |text: &str| Delta::Text {
        text: text.to_owned(),
        logprobs: Vec::new(),
    };
    let message = || Delta::Message { phase: None };
    let (deltas, _) = written(
        false,
        vec![
            message(),
            text("a"),
            message(),
            text("b"),
            Delta::Finish(Finish::Stop),
        ],
    );
    let content: Vec<_> = deltas.iter().map(|delta| &delta["content"]).collect();
    assert_eq!(content, ["", "a", "\n\n", "b"]);
}

#[test]
fn an_answer_without_an_end_is_none() {
    let mut chunks = Chunks::new(label(false), true);
    assert!(!chunks.finish(&mut BytesMut::new()));
}
