//! The only connection that writes, on its own thread, with group commit.
//!
//! A job is a closure over the open transaction. The thread takes the queued jobs,
//! runs each in a savepoint, commits once, and then answers all callers: one fsync
//! serves many of them. A job that fails rolls back to its savepoint and affects no
//! other. A COMMIT that fails, fails the whole group.
//!
//! Easy to break: the thread must not answer before COMMIT, not even with a
//! refusal. A refusal may depend on an earlier change of the same group.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Mutex,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::sql::{Clock, Ids, Result, run};
use crate::{Millis, StoreError, refusals};

/// How many jobs the queue holds. Further callers wait for a place in it.
const QUEUE: usize = 1024;
/// A group is committed when it has this many jobs, when it is [`GROUP_TIME`] old,
/// or when the queue is empty.
const GROUP_JOBS: usize = 256;
/// See [`GROUP_JOBS`].
const GROUP_TIME: Duration = Duration::from_millis(5);
/// After a group failed, this many jobs are committed one by one. Otherwise, on a
/// full disk, failing appends would undo the deletes that make room.
const SINGLE_JOBS: u32 = 256;
/// How long the writer waits for readers before it gives up emptying the log.
const LOG_PATIENCE: Duration = Duration::from_millis(250);
/// On a full disk the writer empties the log to free its space, but not more often
/// than this.
const EMERGENCY_PAUSE: Duration = Duration::from_secs(1);

/// What a job uses: the open transaction, ids and time.
pub(super) struct Tx<'a> {
    pub conn: &'a Connection,
    clock: Clock,
    ids: &'a mut Ids,
}

impl Tx<'_> {
    /// A new id, higher than all earlier ones.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        self.ids.next(prefix)
    }

    /// The time for leases and delays.
    pub(super) fn lease_time(&self) -> Millis {
        self.clock.leases()
    }
}

/// Handle of the writer thread. Dropping it lets the thread finish its queue.
pub(super) struct Writer {
    queue: async_channel::Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The write-ahead log. SQLite runs a passive checkpoint every 1,000 pages, which
/// cannot restart the log while readers overlap without a pause. When the log is
/// past its limit, the writer stops and waits for the readers; their transactions
/// are short.
pub(super) struct Log {
    path: PathBuf,
    limit: u64,
    /// The size for the next attempt, raised when a reader did not finish in time.
    next_try: u64,
    emergency: Option<Instant>,
}

impl Log {
    pub(super) fn new(path: PathBuf, limit: u64) -> Self {
        Self {
            path,
            limit,
            next_try: limit,
            emergency: None,
        }
    }
}

/// Runs in the transaction, or gets the reason why there is none.
type Job = Box<dyn FnOnce(Result<&mut Tx<'_>>) -> Done + Send>;

/// A job that ran.
struct Done {
    failure: Option<StoreError>,
    /// Sends the job's own result, or its group's error.
    answer: Box<dyn FnOnce(Result<()>)>,
}

impl Writer {
    /// `keep` (the directory's lock) is dropped after the connection is closed.
    pub(super) fn spawn(
        conn: Connection,
        clock: Clock,
        ids: Ids,
        log: Log,
        keep: impl Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = async_channel::bounded(QUEUE);
        let thread = std::thread::Builder::new()
            .name("waypost-writer".into())
            .spawn(move || {
                Thread {
                    conn,
                    clock,
                    ids,
                    jobs,
                    single: 0,
                    log,
                }
                .work();
                drop(keep);
            })?;
        Ok(Self {
            queue,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Runs `change` in a transaction; resolves after it is durable.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let result = tx.and_then(change);
            Done {
                failure: result.as_ref().err().cloned(),
                answer: Box::new(move |group| {
                    // The change stands even if the caller is gone.
                    let _ = sender.send(group.and(result));
                }),
            }
        });
        let sent = self.queue.send(job).await;
        sent.map_err(|_| refusals::closed())?;
        receiver.await.unwrap_or_else(|_| {
            Err(StoreError::Internal(
                "the change panicked and was undone".into(),
            ))
        })
    }

    /// Refuses new jobs. The thread finishes the queued ones, then ends.
    pub(super) fn close(&self) -> Option<JoinHandle<()>> {
        self.queue.close();
        self.thread.lock().ok()?.take()
    }
}

struct Thread {
    conn: Connection,
    clock: Clock,
    ids: Ids,
    jobs: async_channel::Receiver<Job>,
    /// How many jobs are still to be committed one by one.
    single: u32,
    log: Log,
}

impl Thread {
    fn work(mut self) {
        // A closed channel still yields what was queued.
        while let Ok(first) = self.jobs.recv_blocking() {
            let mut done = Vec::new();
            let outcome = self.group(first, &mut done);
            if let Err(error) = &outcome {
                tracing::warn!(%error, jobs = done.len(), "a group of changes was not committed");
                self.single = SINGLE_JOBS;
            }
            for job in done {
                (job.answer)(outcome.clone());
            }
            match outcome {
                Ok(()) => self.shorten_log(),
                Err(StoreError::Full(_)) => self.free_log(),
                Err(_) => {}
            }
        }
    }

    /// Runs and commits a group. After an error, none of it remains.
    fn group(&mut self, first: Job, done: &mut Vec<Done>) -> Result<()> {
        if let Err(error) = run(&self.conn, "BEGIN IMMEDIATE", []) {
            let error = StoreError::from(error);
            done.push(first(Err(error.clone())));
            return Err(error);
        }
        let outcome = self
            .run_jobs(first, done)
            .and_then(|()| Ok(run(&self.conn, "COMMIT", []).map(drop)?));
        if outcome.is_err() && !self.conn.is_autocommit() {
            // If this fails, the next BEGIN fails too and reports it.
            let _ = run(&self.conn, "ROLLBACK", []);
        }
        outcome
    }

    fn run_jobs(&mut self, first: Job, done: &mut Vec<Done>) -> Result<()> {
        let started = Instant::now();
        let mut next = Some(first);
        while let Some(job) = next {
            self.run_job(job, done)?;
            if self.single > 0 {
                self.single -= 1;
                return Ok(());
            }
            if done.len() >= GROUP_JOBS || started.elapsed() >= GROUP_TIME {
                return Ok(());
            }
            next = self.jobs.try_recv().ok();
        }
        Ok(())
    }

    /// Runs one job in a savepoint. An error ends the whole transaction.
    fn run_job(&mut self, job: Job, done: &mut Vec<Done>) -> Result<()> {
        if let Err(error) = run(&self.conn, "SAVEPOINT job", []) {
            let error = StoreError::from(error);
            done.push(job(Err(error.clone())));
            return Err(error);
        }
        let mut tx = Tx {
            conn: &self.conn,
            clock: self.clock,
            ids: &mut self.ids,
        };
        let ran = catch_unwind(AssertUnwindSafe(|| job(Ok(&mut tx))));
        let failure = match ran {
            Ok(job) => {
                let failure = job.failure.clone();
                done.push(job);
                failure
            }
            // The dropped channel answers the caller, and the panic hook has
            // reported the panic.
            Err(_panic) => Some(StoreError::Internal("a change panicked".into())),
        };
        if self.conn.is_autocommit() {
            // SQLite rolls the whole transaction back when the disk is full, or
            // fails in a statement that SQLite cannot undo by itself.
            let given_up = || StoreError::Unavailable("the transaction was given up".into());
            return Err(failure
                .filter(StoreError::is_transient)
                .unwrap_or_else(given_up));
        }
        if failure.is_some() {
            run(&self.conn, "ROLLBACK TO job", [])?;
        }
        run(&self.conn, "RELEASE job", [])?;
        Ok(())
    }

    fn shorten_log(&mut self) {
        let size = std::fs::metadata(&self.log.path).map_or(0, |log| log.len());
        if size >= self.log.next_try {
            let kept = if self.empty_log() { 0 } else { size };
            self.log.next_try = kept + self.log.limit;
        }
    }

    fn free_log(&mut self) {
        let paused = |at: Instant| at.elapsed() > EMERGENCY_PAUSE;
        if self.log.emergency.is_none_or(paused) {
            self.log.emergency = Some(Instant::now());
            self.empty_log();
        }
    }

    fn empty_log(&self) -> bool {
        let patience = |time| self.conn.busy_timeout(time);
        let emptied = patience(LOG_PATIENCE).and_then(|()| {
            self.conn
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                    row.get::<_, i64>(0)
                })
        });
        let restored = patience(super::BUSY_TIMEOUT);
        matches!((emptied, restored), (Ok(0), Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn writer() -> Writer {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)")
            .unwrap();
        let ids = Ids::load(&{
            let mut empty = Connection::open_in_memory().unwrap();
            super::super::migrate::migrate(&mut empty).unwrap();
            empty
        });
        let log = Log::new("no such file".into(), u64::MAX);
        Writer::spawn(conn, Clock::start(), ids.unwrap(), log, ()).unwrap()
    }

    fn insert(tx: &Tx<'_>, n: i64) -> Result<()> {
        run(tx.conn, "INSERT INTO t VALUES (?)", [n])?;
        Ok(())
    }

    async fn rows(writer: &Writer) -> Vec<i64> {
        let rows = writer.write(|tx| {
            let mut select = tx.conn.prepare("SELECT n FROM t ORDER BY n")?;
            let rows = select.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<Vec<i64>>>()?)
        });
        rows.await.unwrap()
    }

    #[tokio::test]
    async fn a_panic_undoes_its_own_job_only() {
        let writer = writer();
        let [before, panics, after] = [1, 2, 3].map(|n| {
            writer.write(move |tx| {
                insert(tx, n)?;
                assert!(n != 2, "on purpose");
                Ok(())
            })
        });
        let (before, panics, after) = tokio::join!(before, panics, after);
        assert_eq!((before, after), (Ok(()), Ok(())));
        assert!(matches!(panics, Err(StoreError::Internal(_))), "{panics:?}");
        assert_eq!(rows(&writer).await, [1, 3]);
    }

    #[tokio::test]
    async fn a_lost_transaction_fails_its_group_and_no_other() {
        let writer = writer();
        writer.write(|tx| insert(tx, 1)).await.unwrap();
        let gate = writer.write(|_| {
            // Meanwhile the three changes below are queued.
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        });
        let first = writer.write(|tx| insert(tx, 2));
        let breaks = writer.write(|tx| {
            run(tx.conn, "ROLLBACK", [])?;
            Ok(())
        });
        let later = writer.write(|tx| insert(tx, 3));
        let (gate, first, breaks, later) = tokio::join!(gate, first, breaks, later);
        gate.unwrap();
        for lost in [first, breaks] {
            assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
        }
        later.unwrap();
        assert_eq!(rows(&writer).await, [1, 3]);
    }

    /// On a full disk, the change that makes room must succeed while all others
    /// keep failing.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn failing_groups_do_not_keep_others_out() {
        let writer = Arc::new(writer());
        let failing: Vec<_> = (0..16)
            .map(|_| {
                let writer = Arc::clone(&writer);
                tokio::spawn(async move {
                    loop {
                        let breaks = writer.write(|tx| {
                            run(tx.conn, "ROLLBACK", [])?;
                            Ok(())
                        });
                        breaks.await.unwrap_err();
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        for n in 0..100 {
            writer.write(move |tx| insert(tx, n)).await.unwrap();
        }
        for task in failing {
            task.abort();
        }
    }

    #[tokio::test]
    async fn what_was_queued_is_done_before_closing() {
        let writer = writer();
        let jobs = (0..100).map(|n| {
            writer.write(move |tx| {
                if n == 0 {
                    // Meanwhile all others are queued.
                    std::thread::sleep(Duration::from_millis(50));
                }
                insert(tx, n)
            })
        });
        let mut jobs: Vec<_> = jobs.map(Box::pin).collect();
        for job in &mut jobs {
            // Queues it.
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(job.as_mut().poll(cx)));
            assert!(polled.await.is_pending());
        }
        let thread = writer.close().unwrap();
        for job in jobs {
            job.await.unwrap();
        }
        tokio::task::spawn_blocking(|| thread.join().unwrap())
            .await
            .unwrap();
        let late = writer.write(|tx| insert(tx, 1000)).await;
        assert!(matches!(late, Err(StoreError::Unavailable(_))));
    }
}
