//! The end of the server, and who owns what runs until then.
//!
//! Three steps: the server leaves (it is not ready any more, and still serves),
//! it drains (nothing new is taken), it stops (what runs ends where it is).
//!
//! Everything spawned goes through [`Shutdown::spawn`] and stops on
//! [`Shutdown::begun`]; [`Shutdown::wait`] sees them all out within the grace
//! limit. Open streams end on [`Shutdown::stopping`], or they would hold the
//! drain.

use std::{future::Future, time::Duration};

use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFuture},
    task::TaskTracker,
};

/// Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Shutdown {
    leaving: CancellationToken,
    token: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Says that the end is near: load balancers are told to go elsewhere, and
    /// no job is begun. Requests are still served.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// Resolves once the server leaves.
    pub fn left(&self) -> WaitForCancellationFuture<'_> {
        self.leaving.cancelled()
    }

    /// Whether the server leaves, drains or stops.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Resolves once the drain begins: take no new work, end streams, hand jobs
    /// over.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// Cancelled when the drain's patience ends: runs hand their job back,
    /// streams of background responses end where they are, and what clients wait
    /// for fails. Between the drain's beginning and this, what
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
        self.leaving.cancel();
        self.token.cancel();
        self.tasks.close();
    }

    /// Owns the tasks, for those who spawn them without knowing of the server.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
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
