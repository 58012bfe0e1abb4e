//! Reasoning: the raw text, its summary, and the sealed form.

use serde_json::json;
use waypost_engine::events::EventBatchBuilder;

use super::Assembler;
use super::items::{Open, OpenKind, close_summary_part};
use crate::responses::events::{Event, push};

impl Assembler {
    pub(super) fn reasoning(&mut self, delta: &str, out: &mut EventBatchBuilder) {
        if self.continuing {
            return;
        }
        self.open_reasoning(out);
        if let Some(Open {
            index,
            id,
            kind: OpenKind::Reasoning { text, .. },
        }) = &mut self.open
        {
            if text.is_none() {
                push(
                    out,
                    &Event::PartAdded {
                        item_id: id,
                        output_index: *index,
                        content_index: 0,
                        part: &json!({"type": "reasoning_text", "text": ""}),
                    },
                );
            }
            text.get_or_insert_default().push_str(delta);
            push(
                out,
                &Event::ReasoningDelta {
                    item_id: id,
                    output_index: *index,
                    content_index: 0,
                    delta,
                },
            );
        }
    }

    pub(super) fn summary(&mut self, part: usize, delta: &str, out: &mut EventBatchBuilder) {
        if self.continuing {
            return;
        }
        self.open_reasoning(out);
        if let Some(Open {
            index,
            id,
            kind: OpenKind::Reasoning { summary, .. },
        }) = &mut self.open
        {
            // Parts come in order; whatever number the server gave, ours are dense.
            if summary.is_empty() || part >= summary.len() {
                close_summary_part(*index, id, summary, out);
                summary.push(String::new());
                self.pieces += 1;
                push(
                    out,
                    &Event::SummaryPartAdded {
                        item_id: id,
                        output_index: *index,
                        summary_index: summary.len() as u64 - 1,
                        part: &json!({"type": "summary_text", "text": ""}),
                    },
                );
            }
            let summary_index = summary.len() as u64 - 1;
            if let Some(text) = summary.last_mut() {
                text.push_str(delta);
            }
            push(
                out,
                &Event::SummaryDelta {
                    item_id: id,
                    output_index: *index,
                    summary_index,
                    delta,
                },
            );
        }
    }

    /// The sealed form belongs to the reasoning item that is open, or that was
    /// last: servers send it with the finished item.
    pub(super) fn encrypted(&mut self, sealed: String) {
        if let Some(Open {
            kind: OpenKind::Reasoning { encrypted, .. },
            ..
        }) = &mut self.open
        {
            *encrypted = Some(sealed);
        }
    }

    pub(super) fn open_reasoning(&mut self, out: &mut EventBatchBuilder) {
        if matches!(
            self.open,
            Some(Open {
                kind: OpenKind::Reasoning { .. },
                ..
            })
        ) {
            return;
        }
        self.close_open("completed", out);
        let kind = OpenKind::Reasoning {
            text: None,
            summary: Vec::new(),
            encrypted: None,
        };
        self.open(kind, "rs_", out);
    }
}
