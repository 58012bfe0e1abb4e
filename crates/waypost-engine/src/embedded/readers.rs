//! A few read-only connections, each on its own thread.
//!
//! A read is a closure in one short transaction. It sees the store at one moment,
//! with every change that was committed before it began. Reads and writes never
//! wait for each other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::sql::Result;
use crate::{StoreError, refusals};

/// How many reads the queue holds. Further callers wait for a place in it.
const QUEUE: usize = 1024;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Handle of the reader threads. After it is dropped, they finish their queue.
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
                        // If the job panics, the dropped channel answers its
                        // caller, and the transaction's destructor ends it.
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
            // Nobody waits for the result any more.
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

    /// Refuses new reads. The threads finish the queued ones, then end.
    pub(super) fn close(&self) -> Vec<JoinHandle<()>> {
        self.queue.close();
        let threads = self.threads.lock();
        threads.map_or_else(|_| Vec::new(), |mut threads| std::mem::take(&mut *threads))
    }
}

fn at_one_moment<T>(conn: &Connection, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    // Dropping the transaction rolls it back, which ends the read.
    let transaction = conn.unchecked_transaction()?;
    query(&transaction)
}
