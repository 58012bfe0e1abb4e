//! The stream's events, encoded.
//!
//! Every event is a JSON object that begins with its `type` and has no
//! `sequence_number`: the log's place is its number, and [`frame`] puts it in
//! when the event goes on the wire.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde_json::{Map, Value};
use waypost_engine::{events::EventBatchBuilder, responses::Status};

/// What every encoded event begins with.
const HEAD: &[u8] = br#"{"type":""#;

/// An event, in the order of its fields on the wire.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub enum Event<'a> {
    #[serde(rename = "response.created")]
    Created { response: &'a Value },
    #[serde(rename = "response.queued")]
    Queued { response: &'a Value },
    #[serde(rename = "response.in_progress")]
    InProgress { response: &'a Value },
    #[serde(rename = "response.completed")]
    Completed { response: &'a Value },
    #[serde(rename = "response.incomplete")]
    Incomplete { response: &'a Value },
    #[serde(rename = "response.failed")]
    Failed { response: &'a Value },

    #[serde(rename = "response.output_item.added")]
    ItemAdded { output_index: u64, item: &'a Value },
    #[serde(rename = "response.output_item.done")]
    ItemDone { output_index: u64, item: &'a Value },
    #[serde(rename = "response.content_part.added")]
    PartAdded {
        item_id: &'a str,
        output_index: u64,
        content_index: u64,
        part: &'a Value,
    },
    #[serde(rename = "response.content_part.done")]
    PartDone {
        item_id: &'a str,
        output_index: u64,
        content_index: u64,
        part: &'a Value,
    },

    #[serde(rename = "response.output_text.delta")]
    TextDelta {
        item_id: &'a str,
        output_index: u64,
        content_index: u64,
        delta: &'a str,
        logprobs: &'a [Value],
    },
    #[serde(rename = "response.output_text.done")]
    TextDone {
        item_id: &'a str,
        output_index: u64,
        content_index: u64,
        text: &'a str,
        logprobs: &'a [Value],
    },
    #[serde(rename = "response.output_text.annotation.added")]
    AnnotationAdded {
        item_id: &'a str,
        output_index: u64,
        content_index: u64,
        annotation_index: u64,
        annotation: &'a Value,
    },
    #[serde(rename = "response.refusal.delta")]
    RefusalDelta {
        item_id: &'a str,
        output_index: u64,
        content_index: u64,
        delta: &'a str,
    },
    #[serde(rename = "response.refusal.done")]
    RefusalDone {
        item_id: &'a str,
        output_index: u64,
        content_index: u64,
        refusal: &'a str,
    },

    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningDelta {
        item_id: &'a str,
        output_index: u64,
        content_index: u64,
        delta: &'a str,
    },
    #[serde(rename = "response.reasoning_text.done")]
    ReasoningDone {
        item_id: &'a str,
        output_index: u64,
        content_index: u64,
        text: &'a str,
    },
    #[serde(rename = "response.reasoning_summary_part.added")]
    SummaryPartAdded {
        item_id: &'a str,
        output_index: u64,
        summary_index: u64,
        part: &'a Value,
    },
    #[serde(rename = "response.reasoning_summary_part.done")]
    SummaryPartDone {
        item_id: &'a str,
        output_index: u64,
        summary_index: u64,
        part: &'a Value,
    },
    #[serde(rename = "response.reasoning_summary_text.delta")]
    SummaryDelta {
        item_id: &'a str,
        output_index: u64,
        summary_index: u64,
        delta: &'a str,
    },
    #[serde(rename = "response.reasoning_summary_text.done")]
    SummaryDone {
        item_id: &'a str,
        output_index: u64,
        summary_index: u64,
        text: &'a str,
    },

    #[serde(rename = "response.function_call_arguments.delta")]
    ArgumentsDelta {
        item_id: &'a str,
        output_index: u64,
        delta: &'a str,
    },
    #[serde(rename = "response.function_call_arguments.done")]
    ArgumentsDone {
        item_id: &'a str,
        output_index: u64,
        arguments: &'a str,
    },
    #[serde(rename = "response.custom_tool_call_input.delta")]
    CustomInputDelta {
        item_id: &'a str,
        output_index: u64,
        delta: &'a str,
    },
    #[serde(rename = "response.custom_tool_call_input.done")]
    CustomInputDone {
        item_id: &'a str,
        output_index: u64,
        input: &'a str,
    },
}

impl<'a> Event<'a> {
    /// The last event of a response that ended so. The API has none of its own
    /// for a cancelled one: its `response.status` says so.
    pub fn terminal(status: Status, response: &'a Value) -> Self {
        match status {
            Status::Completed => Self::Completed { response },
            Status::Incomplete => Self::Incomplete { response },
            _ => Self::Failed { response },
        }
    }
}

/// An event about an item that this server made: its type is data.
#[derive(Debug, Serialize)]
pub struct ItemEvent<'a> {
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// Some events have the item's place alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<&'a str>,
    pub output_index: u64,
    #[serde(flatten)]
    pub fields: &'a Map<String, Value>,
}

/// Encodes an event for the log.
pub fn encode<E: Serialize>(event: &E) -> Vec<u8> {
    serde_json::to_vec(event).expect("events hold only strings, numbers and JSON values")
}

/// Encodes an event and adds it to what is to be written.
pub fn push(out: &mut EventBatchBuilder, event: &Event<'_>) {
    out.push(&encode(event));
}

/// The type of an encoded event.
pub fn type_of(event: &[u8]) -> &str {
    let rest = event.strip_prefix(HEAD).unwrap_or_default();
    let end = rest.iter().position(|b| *b == b'"').unwrap_or_default();
    std::str::from_utf8(&rest[..end]).unwrap_or_default()
}

/// Whether an encoded event is about an output item: those before the first of
/// these say only that the response is on its way.
pub fn is_about_an_item(event: &[u8]) -> bool {
    !matches!(
        type_of(event),
        "response.created" | "response.queued" | "response.in_progress"
    )
}

/// About how much is framed at once: a slow reader of a long answer holds this
/// much of its own, whatever the batches it comes from.
pub const FRAME_BYTES: usize = 64 * 1024;

/// An encoded event as a server-sent event with its number.
pub fn frame(out: &mut BytesMut, sequence_number: u64, event: &[u8]) {
    let kind = type_of(event);
    let split = HEAD.len() + kind.len() + 1;
    out.reserve(event.len() + kind.len() + 64);
    out.put_slice(b"event: ");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\ndata: ");
    out.put_slice(&event[..split]);
    out.put_slice(b",\"sequence_number\":");
    out.put_slice(sequence_number.to_string().as_bytes());
    out.put_slice(&event[split..]);
    out.put_slice(b"\n\n");
}

/// The last frame of every finished stream (Open Responses demands it; the
/// official SDKs stop reading at it).
pub const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_frame_has_type_number_and_fields() {
        let event = encode(&Event::ArgumentsDelta {
            item_id: "fc_1",
            output_index: 2,
            delta: "a\nb",
        });
        assert_eq!(type_of(&event), "response.function_call_arguments.delta");
        let mut out = BytesMut::new();
        frame(&mut out, 7, &event);
        let text = std::str::from_utf8(&out).unwrap();
        let (head, data) = text.split_once('\n').unwrap();
        assert_eq!(head, "event: response.function_call_arguments.delta");
        let data: Value =
            serde_json::from_str(data.strip_prefix("data: ").unwrap().trim()).unwrap();
        assert_eq!(
            data,
            json!({"type": "response.function_call_arguments.delta", "sequence_number": 7,
                "item_id": "fc_1", "output_index": 2, "delta": "a\nb"})
        );
    }
}
