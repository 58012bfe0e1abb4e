//! A response that has ended, told as a stream once more. No log is kept of a
//! foreground response, so these are not the events that were sent first: each
//! text comes as one delta. They say the same, in the same order of items.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use waypost_engine::{events::EventBatchBuilder, responses::Status};

use super::{
    events::{DONE, Event, FRAME_BYTES, frame, push},
    object,
};

/// The whole stream of a Response object that ended so.
pub fn frames(status: Status, response: &Value, done_marker: bool) -> Vec<Bytes> {
    let mut events = EventBatchBuilder::default();
    let begun = begun(response);
    push(&mut events, &Event::Created { response: &begun });
    push(&mut events, &Event::InProgress { response: &begun });
    let items = response["output"].as_array().map_or(&[][..], Vec::as_slice);
    for (output_index, item) in (0..).zip(items) {
        self::item(output_index, item, &mut events);
    }
    push(
        &mut events,
        &Event::terminal(status, &object::for_clients(response)),
    );

    let mut frames = Vec::new();
    let mut out = BytesMut::new();
    for (number, event) in (0..).zip(events.take().iter()) {
        frame(&mut out, number, &event);
        if out.len() >= FRAME_BYTES {
            frames.push(out.split().freeze());
        }
    }
    frames.push(out.freeze());
    if done_marker {
        frames.push(DONE);
    }
    frames
}

/// The object as it was when nothing had been generated.
fn begun(response: &Value) -> Value {
    let mut begun = object::in_progress(response);
    begun["output"] = json!([]);
    for later in ["completed_at", "error", "incomplete_details", "usage"] {
        begun[later] = Value::Null;
    }
    begun
}

fn item(output_index: u64, item: &Value, out: &mut EventBatchBuilder) {
    let mut opening = item.clone();
    if opening["status"].is_string() {
        opening["status"] = json!("in_progress");
    }
    let kind = item["type"].as_str().unwrap_or_default();
    for (of, field, blank) in [
        ("message", "content", json!([])),
        ("reasoning", "content", json!([])),
        ("reasoning", "summary", json!([])),
        ("function_call", "arguments", json!("")),
        ("custom_tool_call", "input", json!("")),
    ] {
        if kind == of && !item[field].is_null() {
            opening[field] = blank;
        }
    }
    let opening = &opening;
    push(
        out,
        &Event::ItemAdded {
            output_index,
            item: opening,
        },
    );
    let item_id = item["id"].as_str().unwrap_or_default();
    let text = |field: &str| item[field].as_str().unwrap_or_default();
    let parts = |field: &str| item[field].as_array().map_or(&[][..], Vec::as_slice);
    match kind {
        "message" => {
            for (content_index, part) in (0..).zip(parts("content")) {
                message_part([output_index, content_index], item_id, part, out);
            }
        }
        "reasoning" => {
            for (summary_index, part) in (0..).zip(parts("summary")) {
                summary_part([output_index, summary_index], item_id, part, out);
            }
            for (content_index, part) in (0..).zip(parts("content")) {
                reasoning_part([output_index, content_index], item_id, part, out);
            }
        }
        "function_call" => {
            let arguments = text("arguments");
            push(
                out,
                &Event::ArgumentsDelta {
                    item_id,
                    output_index,
                    delta: arguments,
                },
            );
            push(
                out,
                &Event::ArgumentsDone {
                    item_id,
                    output_index,
                    arguments,
                },
            );
        }
        "custom_tool_call" => {
            let input = text("input");
            push(
                out,
                &Event::CustomInputDelta {
                    item_id,
                    output_index,
                    delta: input,
                },
            );
            push(
                out,
                &Event::CustomInputDone {
                    item_id,
                    output_index,
                    input,
                },
            );
        }
        _ => {}
    }
    push(out, &Event::ItemDone { output_index, item });
}

fn message_part(at: [u64; 2], item_id: &str, part: &Value, out: &mut EventBatchBuilder) {
    let [output_index, content_index] = at;
    let list = |field: &str| part[field].as_array().map_or(&[][..], Vec::as_slice);
    let is_refusal = part["type"] == "refusal";
    let field = if is_refusal { "refusal" } else { "text" };
    let text = part[field].as_str().unwrap_or_default();
    let mut opening = part.clone();
    opening[field] = json!("");
    for list in ["annotations", "logprobs"] {
        if part[list].is_array() {
            opening[list] = json!([]);
        }
    }
    push(
        out,
        &Event::PartAdded {
            item_id,
            output_index,
            content_index,
            part: &opening,
        },
    );
    if is_refusal {
        push(
            out,
            &Event::RefusalDelta {
                item_id,
                output_index,
                content_index,
                delta: text,
            },
        );
        push(
            out,
            &Event::RefusalDone {
                item_id,
                output_index,
                content_index,
                refusal: text,
            },
        );
    } else {
        let logprobs = list("logprobs");
        push(
            out,
            &Event::TextDelta {
                item_id,
                output_index,
                content_index,
                delta: text,
                logprobs,
            },
        );
        for (annotation_index, annotation) in (0..).zip(list("annotations")) {
            push(
                out,
                &Event::AnnotationAdded {
                    item_id,
                    output_index,
                    content_index,
                    annotation_index,
                    annotation,
                },
            );
        }
        push(
            out,
            &Event::TextDone {
                item_id,
                output_index,
                content_index,
                text,
                logprobs,
            },
        );
    }
    push(
        out,
        &Event::PartDone {
            item_id,
            output_index,
            content_index,
            part,
        },
    );
}

fn summary_part(at: [u64; 2], item_id: &str, part: &Value, out: &mut EventBatchBuilder) {
    let [output_index, summary_index] = at;
    let text = part["text"].as_str().unwrap_or_default();
    push(
        out,
        &Event::SummaryPartAdded {
            item_id,
            output_index,
            summary_index,
            part: &json!({"type": "summary_text", "text": ""}),
        },
    );
    push(
        out,
        &Event::SummaryDelta {
            item_id,
            output_index,
            summary_index,
            delta: text,
        },
    );
    push(
        out,
        &Event::SummaryDone {
            item_id,
            output_index,
            summary_index,
            text,
        },
    );
    push(
        out,
        &Event::SummaryPartDone {
            item_id,
            output_index,
            summary_index,
            part,
        },
    );
}

fn reasoning_part(at: [u64; 2], item_id: &str, part: &Value, out: &mut EventBatchBuilder) {
    let [output_index, content_index] = at;
    let text = part["text"].as_str().unwrap_or_default();
    push(
        out,
        &Event::PartAdded {
            item_id,
            output_index,
            content_index,
            part: &json!({"type": "reasoning_text", "text": ""}),
        },
    );
    push(
        out,
        &Event::ReasoningDelta {
            item_id,
            output_index,
            content_index,
            delta: text,
        },
    );
    push(
        out,
        &Event::ReasoningDone {
            item_id,
            output_index,
            content_index,
            text,
        },
    );
    push(
        out,
        &Event::PartDone {
            item_id,
            output_index,
            content_index,
            part,
        },
    );
}
