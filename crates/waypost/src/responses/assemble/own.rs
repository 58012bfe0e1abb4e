//! Items that this server makes itself, not the model: the results of MCP
//! servers and of tool search. Whoever makes them knows their shape; here they
//! get their place among the others.

use serde_json::{Map, Value};
use waypost_engine::events::EventBatchBuilder;

use super::{Assembler, Own, push};
use crate::responses::events::{Event, ItemEvent, encode};

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
        if let Some(own) = self.own.iter().find(|own| own.key == key) {
            let event = ItemEvent {
                kind,
                item_id: own.item["id"].as_str().unwrap_or_default(),
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
        for own in std::mem::take(&mut self.own) {
            let mut item = own.item;
            // Not every kind of item has one.
            if item.get("status").is_some() {
                item["status"] = status.into();
            }
            self.item_done(own.index, item, out);
        }
    }
}
