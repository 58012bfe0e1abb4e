//! The output items of one answer, found by what events call them.

use std::{borrow::Cow, collections::HashSet};

use serde_json::Value;

use crate::upstream::{error::UpstreamError, lenient::text_of};

/// Items of one answer that are kept track of.
const MAX_ITEMS: usize = 4096;

/// Those that were announced, in their order.
#[derive(Debug, Default)]
pub(super) struct Items(Vec<Item>);

/// An output item that was announced.
#[derive(Debug)]
struct Item {
    /// Ours: the server's index, or a number of its own where that is taken.
    key: u64,
    index: u64,
    id: Option<String>,
    done: bool,
}

impl Items {
    /// The item that an event is about: by its id, else the latest with that
    /// index.
    pub(super) fn key_of(&self, index: u64, event: &Value) -> u64 {
        let id = event["item_id"].as_str();
        let by_id = self
            .0
            .iter()
            .rfind(|item| id.is_some() && item.id.as_deref() == id);
        let by_index = || self.0.iter().rfind(|item| item.index == index);
        by_id.or_else(by_index).map_or(index, |item| item.key)
    }

    /// The key of an item that was announced.
    pub(super) fn announced(&self, index: u64, item: &Value) -> Option<u64> {
        let id = id_of(item);
        let same = |seen: &&Item| match (&seen.id, &id) {
            (Some(seen), Some(id)) => seen == id,
            _ => seen.index == index,
        };
        // A server may give an item another id at its end; it has its place then.
        let open = |seen: &&Item| seen.index == index && !seen.done;
        let here = || self.0.iter().rfind(open);
        let found = self.0.iter().rfind(same);
        found.or_else(here).map(|item| item.key)
    }

    /// Takes in an item that is announced: its key, and whether it is new.
    pub(super) fn announce(
        &mut self,
        index: u64,
        item: &Value,
    ) -> Result<(u64, bool), UpstreamError> {
        let id = id_of(item);
        let again = |seen: &&Item| seen.index == index && seen.id == id;
        if let Some(seen) = self.0.iter().find(again) {
            return Ok((seen.key, false));
        }
        if self.0.len() == MAX_ITEMS {
            return Err(UpstreamError::TooLarge(format!(
                "more than {MAX_ITEMS} items in one answer"
            )));
        }
        // Some number every item 0.
        let taken = self.0.iter().any(|seen| seen.key == index);
        let key = if taken { self.free_key() } else { index };
        self.0.push(Item {
            key,
            index,
            id,
            done: false,
        });
        Ok((key, true))
    }

    /// Nothing more comes of that item.
    pub(super) fn done(&mut self, key: u64) {
        if let Some(item) = self.0.iter_mut().find(|item| item.key == key) {
            item.done = true;
        }
    }

    /// A key that no item has: behind all others, else the first in a gap.
    fn free_key(&self) -> u64 {
        let keys = self.0.iter().map(|item| item.key);
        match keys.clone().max() {
            None => 0,
            Some(last) if last < u64::MAX => last + 1,
            Some(_) => {
                let taken: HashSet<u64> = keys.collect();
                (0..=u64::MAX)
                    .find(|key| !taken.contains(key))
                    .unwrap_or_default()
            }
        }
    }
}

/// What tells an item from others: its own id, or that of its call.
fn id_of(item: &Value) -> Option<String> {
    [&item["id"], &item["call_id"]]
        .into_iter()
        .filter_map(text_of)
        .find(|id| !id.is_empty())
        .map(Cow::into_owned)
}
