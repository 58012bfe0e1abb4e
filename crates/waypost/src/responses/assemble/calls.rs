//! Function and custom calls, which may be open beside each other.

use serde_json::Value;
use waypost_engine::{events::EventBatchBuilder, id};

use super::Assembler;
use super::items::Call;
use crate::model::CallKind;
use crate::responses::events::{Event, push};

impl Assembler {
    /// The place of the call with this key; a new one if it is new.
    pub(super) fn call_at(&mut self, key: u64, kind: CallKind) -> usize {
        if let Some(at) = self.calls.iter().position(|c| c.key == key) {
            return at;
        }
        self.pieces += 1;
        self.calls.push(Call::new(key, kind));
        self.calls.len() - 1
    }

    pub(super) fn grow_call(&mut self, at: usize, arguments: &str, out: &mut EventBatchBuilder) {
        if arguments.is_empty() {
            return;
        }
        let call = &mut self.calls[at];
        call.arguments.push_str(arguments);
        if let Some(output_index) = call.index {
            push(out, &call.delta(output_index, arguments));
        }
    }

    pub(super) fn call_end(&mut self, key: u64, out: &mut EventBatchBuilder) {
        let ended = |call: &Call| call.key == key && call.index.is_some();
        let Some(at) = self.calls.iter().position(ended) else {
            return;
        };
        let call = self.calls.remove(at);
        let Some(output_index) = call.index else {
            return;
        };
        push(out, &call.done(output_index));
        self.item_done(output_index, call.item("completed"), out);
    }

    /// Opens the item of a call, with the arguments that came before it.
    pub(super) fn announce(&mut self, at: usize, out: &mut EventBatchBuilder) {
        self.held.clear();
        self.close_open("completed", out);
        let output_index = self.output.len() as u64;
        self.output.push(None);
        // An id that another call has could not be answered.
        let call_id = &self.calls[at].call_id;
        let other = |item: &Value| item["call_id"] == call_id.as_str();
        let taken = self.output.iter().flatten().any(other)
            || (0..self.calls.len()).any(|i| {
                i != at && self.calls[i].index.is_some() && self.calls[i].call_id == *call_id
            });
        let call = &mut self.calls[at];
        call.index = Some(output_index);
        if call.call_id.is_empty() || taken {
            call.call_id = id::fresh("call_");
        }
        push(
            out,
            &Event::ItemAdded {
                output_index,
                item: &call.opening(),
            },
        );
        if !call.arguments.is_empty() {
            push(out, &call.delta(output_index, &call.arguments));
        }
    }
}
