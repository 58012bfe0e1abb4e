use waypost_engine::events::EventBatch;

use super::*;
use crate::model::CallKind;
use crate::responses::events::type_of;

fn text(t: &str) -> Delta {
    Delta::Text {
        text: t.into(),
        logprobs: vec![],
    }
}

fn call(key: u64, id: Option<&str>, name: Option<&str>, arguments: &str) -> Delta {
    Delta::ToolCall {
        key,
        kind: CallKind::Function,
        namespace: None,
        call_id: id.map(Into::into),
        name: name.map(Into::into),
        arguments: arguments.into(),
    }
}

fn assemble(mut assembler: Assembler, deltas: Vec<Delta>) -> (Vec<Value>, Vec<Value>) {
    let mut out = EventBatchBuilder::default();
    for delta in deltas {
        assembler.apply(delta, &mut out);
    }
    let output = assembler.close("completed", &mut out);
    (events(&out.take()), output)
}

fn events(batch: &EventBatch) -> Vec<Value> {
    batch
        .iter()
        .map(|e| serde_json::from_slice(&e).unwrap())
        .collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|e| e["type"].as_str().unwrap()).collect()
}

#[test]
fn a_message_opens_grows_and_closes() {
    let (events, output) = assemble(Assembler::default(), vec![text("Hel"), text("lo")]);
    assert_eq!(
        types(&events),
        [
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
        ]
    );
    assert_eq!(output[0]["content"][0]["text"], "Hello");
    assert_eq!(events.last().unwrap()["item"], output[0]);
    assert_eq!(events[0]["item"]["content"], json!([]));
}

#[test]
fn reasoning_comes_before_the_message_and_is_closed_by_it() {
    let (events, output) = assemble(
        Assembler::default(),
        vec![
            Delta::Reasoning("hm".into()),
            Delta::Reasoning("m".into()),
            text("Hi"),
        ],
    );
    assert_eq!(output[0]["type"], "reasoning");
    assert_eq!(
        output[0]["content"],
        json!([{"type": "reasoning_text", "text": "hmm"}])
    );
    assert_eq!(output[1]["type"], "message");
    let done = types(&events)
        .iter()
        .position(|t| *t == "response.output_item.done")
        .unwrap();
    let opened = types(&events)
        .iter()
        .rposition(|t| *t == "response.output_item.added")
        .unwrap();
    assert!(done < opened);
}

#[test]
fn parallel_calls_may_interleave() {
    let (events, output) = assemble(
        Assembler::default(),
        vec![
            call(0, Some("a"), Some("f"), ""),
            call(1, Some("b"), Some("g"), "{\"x\":"),
            call(0, None, None, "{}"),
            call(1, None, None, "1}"),
        ],
    );
    assert_eq!(output[0]["arguments"], "{}");
    assert_eq!(output[0]["call_id"], "a");
    assert_eq!(output[1]["arguments"], "{\"x\":1}");
    assert_ne!(output[0]["id"], output[0]["call_id"]);
    let indexes: Vec<_> = events
        .iter()
        .filter(|e| e["type"] == "response.output_item.added")
        .map(|e| e["output_index"].as_u64().unwrap())
        .collect();
    assert_eq!(indexes, [0, 1]);
}

#[test]
fn a_call_without_id_gets_one_and_a_late_name_counts() {
    let (_, output) = assemble(
        Assembler::default(),
        vec![call(0, None, None, ""), call(0, None, Some("f"), "{}")],
    );
    assert!(output[0]["call_id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(output[0]["name"], "f");
}

#[test]
fn blank_text_around_calls_is_no_message_but_visible_text_loses_nothing() {
    let holding = || Assembler {
        hold_blank_text: true,
        ..Assembler::default()
    };
    let (_, output) = assemble(
        holding(),
        vec![
            text("\n\n"),
            call(0, Some("a"), Some("f"), "{}"),
            text("\n"),
            call(1, Some("b"), Some("g"), "{}"),
        ],
    );
    assert_eq!(
        output
            .iter()
            .map(|i| i["type"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["function_call"; 2]
    );
    let (_, output) = assemble(
        holding(),
        vec![
            text("\n"),
            text("so "),
            text("\n"),
            call(0, Some("a"), Some("f"), "{}"),
            text(" and"),
        ],
    );
    assert_eq!(output[0]["content"][0]["text"], "\nso \n");
    assert_eq!(output[2]["content"][0]["text"], " and");
    let (_, output) = assemble(holding(), vec![text(" \n")]);
    assert_eq!(output[0]["content"][0]["text"], " \n");
}

#[test]
fn a_refusal_is_a_part_of_its_own() {
    let (events, output) = assemble(
        Assembler::default(),
        vec![
            text("Well."),
            Delta::Refusal("No".into()),
            Delta::Refusal(".".into()),
        ],
    );
    assert_eq!(output[0]["content"][0]["text"], "Well.");
    assert_eq!(
        output[0]["content"][1],
        json!({"type": "refusal", "refusal": "No."})
    );
    assert_eq!(
        events
            .iter()
            .filter(|e| e["type"] == "response.content_part.done")
            .count(),
        2
    );
}

/// An assembler made from the log of these deltas, and what it had seen.
fn replayed(deltas: Vec<Delta>) -> Assembler {
    let mut first = Assembler::default();
    let mut out = EventBatchBuilder::default();
    for delta in deltas {
        first.apply(delta, &mut out);
    }
    let mut again = Assembler::default();
    for event in events(&out.take()) {
        again.replay(&event);
    }
    again
}

#[test]
fn a_resumed_message_goes_on_in_the_same_item() {
    let mut assembler = replayed(vec![
        Delta::Reasoning("hm".into()),
        text("one"),
        text(" tw"),
    ]);
    let prefix = assembler.open_text().unwrap();
    assert_eq!((prefix.text.as_str(), prefix.tokens), ("one tw", 2));
    assembler.continue_message();
    let (events, output) = assemble(
        assembler,
        vec![Delta::Reasoning("again".into()), text("o"), text(" three")],
    );
    assert_eq!(output.len(), 2);
    assert_eq!(output[1]["content"][0]["text"], "one two three");
    assert!(!types(&events).contains(&"response.output_item.added"));
    assert_eq!(events[0]["delta"], "o");
    assert_eq!(events[0]["output_index"], 1);
}

#[test]
fn only_a_message_of_nothing_but_text_can_be_continued() {
    for deltas in [
        vec![Delta::Reasoning("hm".into())],
        vec![text("a"), Delta::Refusal("no".into())],
        vec![text("a"), call(0, Some("c"), Some("f"), "{")],
        vec![call(0, Some("c"), Some("f"), "{"), text("a")],
    ] {
        assert!(replayed(deltas.clone()).open_text().is_none(), "{deltas:?}");
    }
}

#[test]
fn usage_counts_what_earlier_attempts_delivered() {
    let mut assembler = replayed(vec![text("a"), text(" b")]);
    assert_eq!(assembler.usage(), Value::Null);
    let mut out = EventBatchBuilder::default();
    assembler.apply(
        Delta::Usage(Usage {
            input_tokens: 12,
            cached_tokens: 0,
            output_tokens: 5,
            reasoning_tokens: 0,
            reported: true,
        }),
        &mut out,
    );
    let usage = assembler.usage();
    assert_eq!(usage["input_tokens"], 10);
    assert_eq!(usage["output_tokens"], 7);
    assert_eq!(usage["total_tokens"], 17);
}

#[test]
fn summaries_of_reasoning_have_parts_of_their_own() {
    let summary = |index, t: &str| Delta::ReasoningSummary {
        index,
        text: t.into(),
    };
    let (events, output) = assemble(
        Assembler::default(),
        vec![
            summary(0, "first"),
            summary(1, "sec"),
            summary(1, "ond"),
            Delta::ReasoningEncrypted("x".into()),
        ],
    );
    assert_eq!(
        output[0]["summary"][1],
        json!({"type": "summary_text", "text": "second"})
    );
    assert_eq!(output[0]["encrypted_content"], "x");
    assert_eq!(
        events
            .iter()
            .filter(|e| e["type"] == "response.reasoning_summary_part.done")
            .count(),
        2
    );
    assert!(
        events
            .iter()
            .all(|e| type_of(e.to_string().as_bytes()) == e["type"])
    );
}

#[test]
fn two_calls_never_share_an_id() {
    let (_, output) = assemble(
        Assembler::default(),
        vec![
            call(0, Some("c"), Some("f"), "{}"),
            call(1, Some("c"), Some("g"), "{}"),
            Delta::Finish(Finish::Stop),
        ],
    );
    assert_eq!(output[0]["call_id"], "c");
    assert_ne!(output[1]["call_id"], "c");
}

#[test]
fn a_call_that_has_ended_is_closed_before_the_next_and_never_generated_again() {
    let first = || {
        vec![
            call(0, Some("a"), Some("f"), "{}"),
            Delta::CallEnd { key: 0 },
        ]
    };
    let mut deltas = first();
    deltas.push(call(1, Some("b"), Some("g"), "{}"));
    let (events, output) = assemble(Assembler::default(), deltas);
    let one = [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ];
    assert_eq!(types(&events), [one, one].concat());
    let ids: Vec<_> = output.iter().map(|item| &item["call_id"]).collect();
    assert_eq!(ids, ["a", "b"]);
    // After a crash: the turn that made it has not come to its end.
    let again = replayed(first());
    assert!(again.between_turns().is_none() && !again.is_untouched());
    let mut talking = first();
    talking.push(text("and"));
    assert!(replayed(talking).open_text().is_none());
}
