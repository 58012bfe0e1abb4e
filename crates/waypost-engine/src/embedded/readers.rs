//! A few read-only connections, each on its own thread.
//!
//! A read is a closure that runs in one short transaction: it sees one moment,
//! and everything that was committed before it began. It never waits for the
//! writer, nor the writer for it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::sql::Result;
use crate::{StoreError, refusals};

/// Reads that may wait; further callers wait to queue theirs.
const QUEUE: usize = 1024;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Handle of the reader threads. Dropping it lets them finish their queue.
pub(super) struct Readers {
    queue: async_channel::Sender<Job>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    pub(super) fn spawn(connections: Vec<Connection>) -> std::io::Result<Self> {
        let (queue, jobs) = async_channel::bounded::<Job>(QUEUE);
        let mut threads = Vec::new();
        for conn in connections {
            let jobs = jobs.clone();
            let thread = std::thread::Builder::new()
                .name("waypost-reader".into())
                .spawn(move || {
                    while let Ok(job) = jobs.recv_blocking() {
                        // The caller of a panicking job is answered by the
                        // dropped channel; its transaction by its destructor.
                        let _ = catch_unwind(AssertUnwindSafe(|| job(&conn)));
                    }
                })?;
            threads.push(thread);
        }
        Ok(Self {
            queue,
            threads: Mutex::new(threads),
        })
    }

    /// Runs `query` in a read transaction.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            // Nobody waits any more.
            if sender.is_closed() {
                return;
            }
            let _ = sender.send(at_one_moment(conn, query));
        });
        let sent = self.queue.send(job).await;
        sent.map_err(|_| refusals::closed())?;
        receiver
            .await
            .unwrap_or_else(|_| Err(StoreError::Internal("the read panicked".into())))
    }

    /// Refuses new reads; the threads end when they have done the queued ones.
    pub(super) fn close(&self) -> Vec<JoinHandle<()>> {
        self.queue.close();
        let threads = self.threads.lock();
        threads.map_or_else(|_| Vec::new(), |mut threads| std::mem::take(&mut *threads))
    }
}

fn at_one_moment<T>(conn: &Connection, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    // Rolled back when dropped, which is how a read ends.
    let transaction = conn.unchecked_transaction()?;
    query(&transaction)
}
