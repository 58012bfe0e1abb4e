//! The end of the server, and who owns what runs until then.
//!
//! Everything spawned goes through [`Shutdown::spawn`] and stops on
//! [`Shutdown::token`]; [`Shutdown::wait`] sees them all out within the grace
//! limit. Open streams end on the same token, or they would hold the drain.

use std::{future::Future, time::Duration};

use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFuture},
    task::TaskTracker,
};

/// Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Cancelled once the drain begins: take no new work, end streams, hand
    /// jobs over.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Resolves once the drain begins.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// Cancelled when the drain's patience ends: runs hand their job back,
    /// streams end where they are. Between the drain's beginning and this, what
    /// runs may come to its end.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends the drain's patience.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Begins the drain. Doing it twice changes nothing.
    pub fn begin(&self) {
        self.token.cancel();
        self.tasks.close();
    }

    /// Runs a task that ends by itself soon after the drain begins.
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Waits until every task ended; `false` when `limit` was not enough.
    pub async fn wait(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }
}
