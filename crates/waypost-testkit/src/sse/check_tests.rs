//! One good stream, and the same stream spoiled in every way that a rule forbids.

use serde_json::{Value, json};

use super::{check_stream, check_stream_from, gapless};

fn good() -> Vec<Value> {
    let response = |status: &str, output: Value| {
        json!({"id": "resp_1", "object": "response",
        "status": status, "output": output, "error": null, "incomplete_details": null,
        "completed_at": (status == "completed").then_some(1)})
    };
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let message = |status: &str, content: Value| {
        json!({"id": "msg_1", "type": "message",
        "role": "assistant", "status": status, "content": content})
    };
    let call = |status: &str, arguments: &str| {
        json!({"id": "fc_1", "type": "function_call",
        "call_id": "call_1", "name": "f", "status": status, "arguments": arguments})
    };
    let done = message("completed", json!([part("0 1 ")]));
    let called = call("completed", "{\"a\":1}");
    let at = |index: u64, id: &str| json!({"output_index": index, "item_id": id});
    let with = |mut base: Value, more: Value| {
        base.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        base
    };
    let text = |more: Value| with(with(at(0, "msg_1"), json!({"content_index": 0})), more);
    let events = [
        (
            "response.created",
            json!({"response": response("queued", json!([]))}),
        ),
        (
            "response.queued",
            json!({"response": response("queued", json!([]))}),
        ),
        (
            "response.in_progress",
            json!({"response": response("in_progress", json!([]))}),
        ),
        (
            "response.output_item.added",
            json!({"output_index": 0, "item": message("in_progress", json!([]))}),
        ),
        (
            "response.content_part.added",
            text(json!({"part": part("")})),
        ),
        (
            "response.output_text.delta",
            text(json!({"delta": "0 ", "logprobs": []})),
        ),
        (
            "response.output_text.delta",
            text(json!({"delta": "1 ", "logprobs": []})),
        ),
        (
            "response.output_text.done",
            text(json!({"text": "0 1 ", "logprobs": []})),
        ),
        (
            "response.content_part.done",
            text(json!({"part": part("0 1 ")})),
        ),
        (
            "response.output_item.done",
            json!({"output_index": 0, "item": done}),
        ),
        (
            "response.output_item.added",
            json!({"output_index": 1, "item": call("in_progress", "")}),
        ),
        (
            "response.function_call_arguments.delta",
            with(at(1, "fc_1"), json!({"delta": "{\"a\":"})),
        ),
        (
            "response.function_call_arguments.delta",
            with(at(1, "fc_1"), json!({"delta": "1}"})),
        ),
        (
            "response.function_call_arguments.done",
            with(at(1, "fc_1"), json!({"arguments": "{\"a\":1}"})),
        ),
        (
            "response.output_item.done",
            json!({"output_index": 1, "item": called}),
        ),
        (
            "response.completed",
            json!({"response": response("completed", json!([done, called]))}),
        ),
    ];
    let event = |(sequence, (kind, fields)): (usize, (&str, Value))| {
        with(json!({"type": kind, "sequence_number": sequence}), fields)
    };
    events.into_iter().enumerate().map(event).collect()
}

fn renumbered(mut events: Vec<Value>) -> Vec<Value> {
    for (sequence, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(sequence);
    }
    events
}

#[test]
fn a_good_stream_passes() {
    let checked = check_stream(&good()).unwrap();
    assert_eq!(checked.output_text(), "0 1 ");
    assert_eq!(
        (checked.items.len(), &checked.response["status"]),
        (2, &json!("completed"))
    );
}

#[test]
fn every_tail_of_a_good_stream_passes_as_a_resumed_one() {
    for start in 1..good().len() {
        check_stream_from(&good()[start..], start as u64).unwrap();
    }
}

#[test]
fn no_event_can_be_missing_or_doubled_unnoticed() {
    // Even with the sequence numbers made to fit.
    for position in 0..good().len() {
        let kind = good()[position]["type"].clone();
        let mut missing = good();
        missing.remove(position);
        assert!(gapless(&missing, 0).is_err() || position == good().len() - 1);
        let optional = kind == "response.queued" || kind == "response.in_progress";
        assert_eq!(
            check_stream(&renumbered(missing)).is_ok(),
            optional,
            "without {kind}"
        );
        let mut doubled = good();
        doubled.insert(position, good()[position].clone());
        assert!(check_stream(&renumbered(doubled)).is_err(), "twice {kind}");
    }
}

#[test]
fn neighbours_cannot_change_places_unless_nothing_depends_on_it() {
    for position in 0..good().len() - 1 {
        let mut swapped = good();
        swapped.swap(position, position + 1);
        let names = [&swapped[position]["type"], &swapped[position + 1]["type"]].map(Value::clone);
        // Items may overlap, as parallel tool calls do.
        let overlap = names == ["response.output_item.added", "response.output_item.done"];
        assert_eq!(
            check_stream(&renumbered(swapped)).is_ok(),
            overlap,
            "{names:?}"
        );
    }
}

#[test]
fn spoiled_fields_are_found() {
    let spoil: [(usize, &str, Value, &str); 17] = [
        (0, "/response/output", json!([1]), "output"),
        (2, "/response/id", json!("resp_2"), "resp_2"),
        (3, "/output_index", json!(1), "expected 0"),
        (3, "/item/status", json!("completed"), "status"),
        (4, "/content_index", json!(1), "expected 0"),
        (5, "/item_id", json!("msg_2"), "msg_2"),
        (5, "/delta", json!("0"), "join to"),
        (5, "/logprobs", json!(null), "logprobs"),
        (7, "/text", json!("0 1"), "join to"),
        (8, "/part/text", json!("0 1"), "part.text"),
        (9, "/item/content/0/text", json!("0 1"), "part"),
        (9, "/item/content", json!([]), "parts"),
        (10, "/item/id", json!("msg_1"), "twice"),
        (14, "/item/arguments", json!("{}"), "arguments"),
        (14, "/item/name", json!("g"), "name"),
        (15, "/response/output/1/arguments", json!("{}"), "output[1]"),
        (15, "/response/status", json!("failed"), "status"),
    ];
    for (position, pointer, value, named) in spoil {
        let mut events = good();
        *events[position].pointer_mut(pointer).unwrap() = value;
        let fault = check_stream(&events).unwrap_err();
        assert!(fault.to_string().contains(named), "{pointer}: {fault}");
    }
}

#[test]
fn terminal_rules_hold() {
    let end = |events: &[Value], kind: &str, status: &str, output: Value, error: Value| {
        let mut events = events.to_vec();
        let response = json!({"id": "resp_1", "object": "response", "status": status,
            "output": output, "error": error, "incomplete_details": null, "completed_at": null});
        let sequence = events.len();
        events.push(json!({"type": kind, "sequence_number": sequence, "response": response}));
        check_stream(&events).map(|_| ())
    };
    let failure = json!({"code": "server_error", "message": "x"});
    let started = &good()[..6];
    end(
        started,
        "response.failed",
        "failed",
        json!([]),
        failure.clone(),
    )
    .unwrap();
    end(
        started,
        "response.failed",
        "cancelled",
        json!([]),
        json!(null),
    )
    .unwrap();
    assert!(
        end(
            started,
            "response.completed",
            "completed",
            json!([]),
            json!(null)
        )
        .is_err()
    );
    assert!(end(started, "response.failed", "failed", json!([]), json!(null)).is_err());
    assert!(
        end(
            started,
            "response.cancelled",
            "cancelled",
            json!([]),
            json!(null)
        )
        .is_err()
    );
    let done = &good()[..10];
    assert!(end(done, "response.failed", "failed", json!([]), failure).is_err());
    assert!(
        check_stream(&good()[..15])
            .unwrap_err()
            .problem
            .contains("terminal")
    );
}

#[test]
fn keepalives_and_top_level_errors_are_refused() {
    let mut events = good();
    events.insert(5, json!({"type": "keepalive"}));
    assert!(check_stream(&renumbered(events)).is_err());
    let mut events = good();
    events[5]["error"] = json!({"message": "x"});
    assert!(check_stream(&events).is_err());
    let bare = [json!({"type": "error", "sequence_number": 0, "message": "x", "code": null})];
    assert_eq!(check_stream(&bare).unwrap().response, Value::Null);
}
