//! Where a response begins, and where it goes on after a crash.
//!
//! The policy for calls: one whose result is in the log is done. One that was
//! about to be made, and whose result is not known, is made again only if its
//! server says that this is safe (`readOnlyHint`, `idempotentHint`), with the
//! same idempotency key; otherwise it has failed, and the model decides what to
//! do about it.

use std::collections::{HashMap, HashSet};

use mcp_client::CallError;
use serde_json::Value;

use super::{Making, OpenItem, Todo, ToolLoop};
use crate::{
    model::Delta,
    tools::{mcp::items, turn::Step},
};

/// Said of a call whose result died with its server.
const UNKNOWN: &str = "outcome unknown after server restart";
const NOT_MADE: &str = "interrupted before the call was made";

impl ToolLoop {
    /// What is to be done first.
    pub(super) fn plan(&mut self, open: Vec<OpenItem>, waits: bool) {
        let mut announced: HashMap<String, (u64, Value)> = HashMap::new();
        let mut recover = Vec::new();
        for open in open {
            match open.item["server_label"].as_str() {
                Some(label) if items::is(&open.item, "mcp_list_tools") => {
                    announced.insert(label.to_owned(), (open.key, open.item));
                }
                _ => recover.push(open),
            }
        }
        for at in 0..self.policies.len() {
            let policy = &self.policies[at];
            let known = self.history.iter().rfind(|item| {
                items::is(item, "mcp_list_tools")
                    && item["server_label"] == policy.label.as_str()
                    && item["error"].is_null()
            });
            let tools = known.map(items::tools);
            if let Some(tools) = tools.filter(|tools| policy.is_served_by(tools)) {
                self.catalogue.add(policy, tools);
            } else {
                let announced = announced.remove(&policy.label);
                self.todo.push_back(Todo::List(at, announced));
            }
        }
        let begun: HashSet<String> = self
            .history
            .iter()
            .chain(recover.iter().map(|open| &open.item))
            .filter(|item| items::is(item, "mcp_call"))
            .filter_map(|item| item["approval_request_id"].as_str().map(str::to_owned))
            .collect();
        self.todo.extend(recover.into_iter().map(Todo::Recover));
        let approved = self.context.approved.iter();
        let to_begin = approved.filter(|approved| !begun.contains(&approved.request_id));
        self.todo.extend(to_begin.cloned().map(Todo::Begin));
        // A turn that ended with a question to a person was the last.
        self.todo
            .push_back(if waits { Todo::End } else { Todo::Ask });
    }

    /// A call that was under way when its server died is made again only if
    /// that is safe; otherwise the model decides what to do about it.
    pub(super) fn recover(&mut self, open: OpenItem, out: &mut Vec<Delta>) -> Option<Step> {
        let OpenItem {
            key,
            mut item,
            is_intent,
        } = open;
        let text = |key: &str| item[key].as_str().unwrap_or_default();
        let entry = self.catalogue.by_tool(text("server_label"), text("name"));
        let safe = entry.is_some_and(|e| e.tool.is_read_only() || e.tool.is_idempotent());
        self.calls += 1;
        if is_intent && safe {
            let arguments = text("arguments").to_owned();
            item["arguments"] = "".into();
            self.make(Making {
                key,
                item,
                arguments,
            });
            return None;
        }
        let said = if is_intent { UNKNOWN } else { NOT_MADE };
        if !is_intent {
            out.push(items::arguments_done(key, text("arguments")));
        }
        items::fail_call(&mut item, &CallError::execution(said));
        out.push(items::event(key, "response.mcp_call.failed"));
        out.push(Delta::ItemDone {
            key,
            item: item.clone(),
        });
        self.history.push(item);
        Some(Step::More)
    }
}
