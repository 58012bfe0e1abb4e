//! The bus's contract: hints that something changed.
//!
//! - A hint may be lost, late, doubled or out of order. So a waiter also sets a
//!   timer.
//! - A watcher of one response is never given another's events.
//! - Subscribing takes effect before its future resolves: a change committed
//!   after that is hinted at, so *watch, read, wait* misses nothing while the
//!   bus works. It may wait for a server to confirm, and never fails: while the
//!   server cannot be reached, its hints are lost.
//! - Publishing never waits and never fails.
//! - A hint about events may carry them. The publisher commits the events
//!   first. A reader may use them if they continue exactly at its place and in
//!   the same state of the log (`rewinds`); otherwise it reads the store.

pub(crate) mod local;

use std::{any::Any, time::Duration};

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};

use crate::events::EventBatch;

/// Passes hints from publishers to watchers.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Jobs became ready.
    fn publish_jobs(&self);
    /// The directory changed.
    fn publish_directory(&self);
    /// A response's log grew or it became terminal.
    fn publish_response(&self, id: &str, hint: ResponseHint);

    async fn watch_jobs(&self) -> Wake;
    async fn watch_directory(&self) -> Wake;
    async fn watch_response(&self, id: &str) -> ResponseHints;
}

/// What changed about a response.
#[derive(Debug, Clone)]
pub enum ResponseHint {
    /// These events were committed, the first one with this number.
    Events {
        first_seq: u64,
        batch: EventBatch,
        /// How often the log had been rewound when they were committed.
        rewinds: u64,
        terminal: bool,
    },
    /// Something changed; read the store.
    Changed,
}

/// Wakes when something was published since it last woke.
pub struct Wake(watch::Receiver<u64>);

impl Wake {
    pub(crate) fn new(receiver: watch::Receiver<u64>) -> Self {
        Self(receiver)
    }

    /// Returns on a hint, or after `timer`.
    pub async fn wait(&mut self, timer: Duration) {
        if let Ok(Err(_closed)) = tokio::time::timeout(timer, self.0.changed()).await {
            // The bus is gone, so only the timer ends the wait.
            tokio::time::sleep(timer).await;
        }
    }
}

/// The hints about one response.
pub struct ResponseHints {
    // Fields are dropped in this order. The guard counts receivers, so this one
    // must be gone before it.
    receiver: broadcast::Receiver<ResponseHint>,
    _leaving: Box<dyn Any + Send + Sync>,
}

impl ResponseHints {
    /// The watcher drops its receiver first, then `leaving`.
    pub(crate) fn new(
        receiver: broadcast::Receiver<ResponseHint>,
        leaving: impl Any + Send + Sync,
    ) -> Self {
        Self {
            receiver,
            _leaving: Box::new(leaving),
        }
    }

    /// The next hint; [`ResponseHint::Changed`] after `timer`, or when hints
    /// were dropped because this reader was slow.
    pub async fn next(&mut self, timer: Duration) -> ResponseHint {
        match tokio::time::timeout(timer, self.receiver.recv()).await {
            Ok(Ok(hint)) => hint,
            Ok(Err(broadcast::error::RecvError::Closed)) => {
                tokio::time::sleep(timer).await;
                ResponseHint::Changed
            }
            Ok(Err(broadcast::error::RecvError::Lagged(_))) | Err(_) => ResponseHint::Changed,
        }
    }
}
