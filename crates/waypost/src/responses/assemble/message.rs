//! Messages: text, refusals and annotations, part by part.

use serde_json::Value;
use waypost_engine::events::EventBatchBuilder;

use super::Assembler;
use super::items::{Open, OpenKind, Part, add_part, close_part};
use crate::responses::events::{Event, push};

impl Assembler {
    /// Models put blank text before and between tool calls. It is held back
    /// until something visible follows, so that it does not become a message
    /// of its own; where something visible follows, nothing is lost.
    pub(super) fn text(&mut self, text: String, logprobs: Vec<Value>, out: &mut EventBatchBuilder) {
        let in_message = matches!(
            self.open,
            Some(Open {
                kind: OpenKind::Message { .. },
                ..
            })
        );
        let may_hold = self.hold_blank_text && !in_message && logprobs.is_empty();
        if may_hold && text.trim().is_empty() {
            self.held.push_str(&text);
            return;
        }
        let text = if self.held.is_empty() {
            text
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.push_str(&text);
            held
        };
        self.deliver_text(&text, logprobs, out);
    }

    pub(super) fn deliver_text(
        &mut self,
        delta: &str,
        new: Vec<Value>,
        out: &mut EventBatchBuilder,
    ) {
        self.open_message(out);
        let Some(Open {
            index,
            id,
            kind: OpenKind::Message { parts, .. },
        }) = &mut self.open
        else {
            return;
        };
        if !matches!(parts.last(), Some(Part::Text { .. })) {
            close_part(*index, id, parts, out);
            let part = Part::Text {
                text: String::new(),
                logprobs: vec![],
                annotations: vec![],
            };
            add_part(*index, id, parts, part, out);
            self.pieces += 1;
        }
        let content_index = parts.len() as u64 - 1;
        if let Some(Part::Text { text, logprobs, .. }) = parts.last_mut() {
            text.push_str(delta);
            push(
                out,
                &Event::TextDelta {
                    item_id: id,
                    output_index: *index,
                    content_index,
                    delta,
                    logprobs: &new,
                },
            );
            logprobs.extend(new);
        }
        for annotation in std::mem::take(&mut self.early) {
            self.annotation(annotation, out);
        }
    }

    /// A source, which belongs to the text that is open. One that comes before
    /// any waits for it: where text is held, they overtake it.
    pub(super) fn annotation(&mut self, annotation: Value, out: &mut EventBatchBuilder) {
        if let Some(Open {
            index,
            id,
            kind: OpenKind::Message { parts, .. },
        }) = &mut self.open
            && let content_index = (parts.len() as u64).saturating_sub(1)
            && let Some(Part::Text { annotations, .. }) = parts.last_mut()
        {
            push(
                out,
                &Event::AnnotationAdded {
                    item_id: id,
                    output_index: *index,
                    content_index,
                    annotation_index: annotations.len() as u64,
                    annotation: &annotation,
                },
            );
            annotations.push(annotation);
        } else {
            self.early.push(annotation);
        }
    }

    pub(super) fn refusal(&mut self, delta: &str, out: &mut EventBatchBuilder) {
        self.open_message(out);
        let Some(Open {
            index,
            id,
            kind: OpenKind::Message { parts, .. },
        }) = &mut self.open
        else {
            return;
        };
        if !matches!(parts.last(), Some(Part::Refusal { .. })) {
            close_part(*index, id, parts, out);
            add_part(
                *index,
                id,
                parts,
                Part::Refusal {
                    text: String::new(),
                },
                out,
            );
            self.pieces += 1;
        }
        let content_index = parts.len() as u64 - 1;
        if let Some(Part::Refusal { text }) = parts.last_mut() {
            text.push_str(delta);
            push(
                out,
                &Event::RefusalDelta {
                    item_id: id,
                    output_index: *index,
                    content_index,
                    delta,
                },
            );
        }
    }

    pub(super) fn open_message(&mut self, out: &mut EventBatchBuilder) {
        if matches!(
            self.open,
            Some(Open {
                kind: OpenKind::Message { .. },
                ..
            })
        ) {
            return;
        }
        self.close_open("completed", out);
        let phase = self.phase.take();
        self.open(
            OpenKind::Message {
                phase,
                parts: Vec::new(),
            },
            "msg_",
            out,
        );
    }
}
