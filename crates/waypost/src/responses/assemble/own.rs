//! Items that this server makes itself, not the model: the results of MCP
//! servers and of tool search, and calls whose form is not a function's. Whoever makes them knows their shape; here they
//! get their place among the others.

use serde_json::{Map, Value};
use waypost_engine::events::EventBatchBuilder;

use super::{Assembler, Own};
use crate::{
    model::ClientTool,
    responses::events::{Event, ItemEvent, encode, push},
};

impl Assembler {
    /// Announces an item. What the model was saying is closed: the item comes
    /// after it. Calls of the model that are open beside it stay open.
    pub(super) fn own_added(&mut self, key: u64, item: Value, out: &mut EventBatchBuilder) {
        self.held.clear();
        self.close_open("completed", out);
        let index = self.output.len() as u64;
        self.output.push(None);
        self.pieces += 1;
        push(
            out,
            &Event::ItemAdded {
                output_index: index,
                item: &item,
            },
        );
        self.own.push(Own {
            key,
            index,
            item,
            is_intent: false,
        });
    }

    /// An event about an announced item.
    pub(super) fn own_event(
        &mut self,
        key: u64,
        kind: &str,
        fields: &Map<String, Value>,
        out: &mut EventBatchBuilder,
    ) {
        if let Some(own) = self.own.iter_mut().find(|own| own.key == key) {
            own.note(kind, |name| fields.get(name).cloned().unwrap_or_default());
            let event = ItemEvent {
                kind,
                item_id: own.item["id"]
                    .as_str()
                    .filter(|_| ClientTool::names_its_item(kind)),
                output_index: own.index,
                fields,
            };
            out.push(&encode(&event));
        }
    }

    /// The item is finished.
    pub(super) fn own_done(&mut self, key: u64, item: Value, out: &mut EventBatchBuilder) {
        if let Some(at) = self.own.iter().position(|own| own.key == key) {
            let own = self.own.remove(at);
            self.item_done(own.index, item, out);
        }
    }

    /// Closes what is still open, with this status.
    pub(super) fn close_own(&mut self, status: &str, out: &mut EventBatchBuilder) {
        let last = (self.output.len() as u64).saturating_sub(1);
        for own in std::mem::take(&mut self.own) {
            let mut item = own.item;
            // What came of the arguments is all there will be.
            if !own.is_intent && item["arguments"].as_str().is_some_and(|a| !a.is_empty()) {
                let mut fields = Map::new();
                fields.insert("arguments".to_owned(), item["arguments"].clone());
                let event = ItemEvent {
                    kind: "response.mcp_call_arguments.done",
                    item_id: item["id"].as_str(),
                    output_index: own.index,
                    fields: &fields,
                };
                out.push(&encode(&event));
            }
            // Not every kind of item has a status; an incomplete item is the
            // last one (Open Responses).
            if item.get("status").is_some() {
                item["status"] = if own.index == last { status } else { "failed" }.into();
            }
            self.item_done(own.index, item, out);
        }
    }
}
