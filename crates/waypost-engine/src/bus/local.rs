//! The fan-out within one process: two counters, and a channel for each watched
//! response.
//!
//! The embedded engine has one process, so this is its whole bus. On an engine
//! of several nodes, what one node publishes is also published here on every
//! other; the watchers see no difference.
//!
//! A response has an entry only while someone watches it. Easy to break: the
//! last watcher's guard must remove the entry under the lock that watchers also
//! take to join. Otherwise a new watcher could hold a channel that is no longer
//! in the map.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};

use super::{Bus, ResponseHint, ResponseHints, Wake};

/// A watcher that is more hints behind than this is told to read the store.
const BEHIND: usize = 16;
/// The map is split by id, so that busy responses rarely share a lock.
const SHARDS: usize = 16;

type Watched = HashMap<String, broadcast::Sender<ResponseHint>>;

pub(crate) struct LocalBus {
    jobs: watch::Sender<u64>,
    directory: watch::Sender<u64>,
    responses: Arc<Shards>,
}

struct Shards {
    hasher: RandomState,
    maps: [Mutex<Watched>; SHARDS],
}

impl Default for LocalBus {
    fn default() -> Self {
        Self {
            jobs: watch::Sender::new(0),
            directory: watch::Sender::new(0),
            responses: Arc::new(Shards {
                hasher: RandomState::new(),
                maps: Default::default(),
            }),
        }
    }
}

#[async_trait]
impl Bus for LocalBus {
    fn publish_jobs(&self) {
        raise(&self.jobs);
    }

    fn publish_directory(&self) {
        raise(&self.directory);
    }

    fn publish_response(&self, id: &str, hint: ResponseHint) {
        if let Some(watched) = self.responses.shard(id).get(id) {
            // This fails only if the last watcher is leaving right now.
            let _ = watched.send(hint);
        }
    }

    async fn watch_jobs(&self) -> Wake {
        Wake::new(self.jobs.subscribe())
    }

    async fn watch_directory(&self) -> Wake {
        Wake::new(self.directory.subscribe())
    }

    async fn watch_response(&self, id: &str) -> ResponseHints {
        let receiver = {
            let mut shard = self.responses.shard(id);
            match shard.get(id) {
                Some(watched) => watched.subscribe(),
                None => shard
                    .entry(id.to_owned())
                    .or_insert(broadcast::Sender::new(BEHIND))
                    .subscribe(),
            }
        };
        let leaving = Leaving {
            responses: Arc::clone(&self.responses),
            id: id.to_owned(),
        };
        ResponseHints::new(receiver, leaving)
    }
}

fn raise(counter: &watch::Sender<u64>) {
    counter.send_modify(|count| *count = count.wrapping_add(1));
}

impl Shards {
    fn shard(&self, id: &str) -> MutexGuard<'_, Watched> {
        let shard = self.hasher.hash_one(id) as usize % SHARDS;
        // No operation leaves a map half changed, so a poisoned one can be used.
        self.maps[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the entry after the last watcher. Drop it after the watcher's receiver.
struct Leaving {
    responses: Arc<Shards>,
    id: String,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut shard = self.responses.shard(&self.id);
        let unwatched = |watched: &broadcast::Sender<_>| watched.receiver_count() == 0;
        if shard.get(&self.id).is_some_and(unwatched) {
            shard.remove(&self.id);
            // Give back the memory of a burst of watchers.
            if shard.capacity() > 1024 && shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_response_that_nobody_watches_takes_no_memory() {
        let bus = LocalBus::default();
        let mut held = Vec::new();
        for n in 0..100_000 {
            held.push(bus.watch_response(&format!("resp_{n}")).await);
        }
        let second = bus.watch_response("resp_7").await;
        drop(held);
        let entries = |bus: &LocalBus| -> usize {
            let maps = bus.responses.maps.iter();
            maps.map(|map| map.lock().unwrap().len()).sum()
        };
        assert_eq!(entries(&bus), 1, "resp_7 has a second watcher");
        drop(second);
        for n in 0..100_000 {
            bus.publish_response(&format!("resp_{n}"), ResponseHint::Changed);
        }
        assert_eq!(entries(&bus), 0);
        let room: usize = (bus.responses.maps.iter())
            .map(|map| map.lock().unwrap().capacity())
            .sum();
        assert!(room <= SHARDS * 1024, "{room}");
    }
}
