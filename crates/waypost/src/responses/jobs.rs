//! The worker: claims background jobs under leases and runs them.
//!
//! Three loops, each with its timer: claiming (woken by hints and by freed
//! slots), heartbeats (one call for all leases), and the sweep (retention,
//! counts). A job holds an upstream slot from before it is claimed until its
//! task is gone, whatever ends it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use waypost_engine::{
    StoreError, id,
    responses::{ClaimedJob, Lease, Retention, Want},
};

use super::background;
use crate::{app::AppRef, config::Keep, upstream::Slot};

/// How long a lost hint can delay a job, and how soon expired leases are seen.
const CLAIM_EVERY: Duration = Duration::from_secs(1);
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Jobs claimed at once for one upstream.
const CLAIM_AT_ONCE: u32 = 64;
/// Jobs of an upstream that the configuration no longer has are claimed only
/// to fail: this many at once.
const ORPHANS_AT_ONCE: u32 = 4;
/// Heartbeats are quicker in a drain, to see its end.
const DRAIN_BEAT: Duration = Duration::from_millis(250);
const RETRY: Duration = Duration::from_millis(500);

/// What the rest of the server may do with the worker.
#[derive(Default)]
pub struct Jobs {
    running: Mutex<HashMap<String, Running>>,
    waiting: AtomicU64,
    freed: Notify,
}

struct Running {
    epoch: i64,
    lost: CancellationToken,
}

impl Jobs {
    /// Tells a job on this node at once that its lease is lost.
    pub fn abort(&self, response_id: &str) {
        if let Some(job) = self.lock().get(response_id) {
            job.lost.cancel();
        }
    }

    /// Jobs that waited in the queue when it was last counted.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, lease: &Lease) -> CancellationToken {
        let lost = CancellationToken::new();
        let job = Running {
            epoch: lease.epoch,
            lost: lost.clone(),
        };
        if let Some(older) = self.lock().insert(lease.response_id.clone(), job) {
            // A later claim of the same job: the earlier one lost its lease.
            older.lost.cancel();
        }
        lost
    }

    fn remove(&self, lease: &Lease) {
        let mut running = self.lock();
        if running
            .get(&lease.response_id)
            .is_some_and(|job| job.epoch == lease.epoch)
        {
            running.remove(&lease.response_id);
        }
        drop(running);
        self.freed.notify_one();
    }

    /// Cancels every job whose lease is not among these.
    fn keep_only(&self, held: &[Lease], claimed_before: &HashMap<String, i64>) {
        let held: HashMap<&str, i64> = held
            .iter()
            .map(|lease| (lease.response_id.as_str(), lease.epoch))
            .collect();
        for (id, job) in self.lock().iter() {
            // Only jobs that the heartbeat could know of: newer ones are fine.
            let asked = claimed_before.get(id) == Some(&job.epoch);
            if asked && held.get(id.as_str()) != Some(&job.epoch) {
                job.lost.cancel();
            }
        }
    }

    fn epochs(&self) -> HashMap<String, i64> {
        self.lock()
            .iter()
            .map(|(id, job)| (id.clone(), job.epoch))
            .collect()
    }
}

/// Starts the worker's loops.
pub fn start(app: &AppRef) {
    let worker = id::fresh("worker_");
    app.shutdown.spawn(claim_loop(app.clone(), worker.clone()));
    app.shutdown.spawn(heartbeat_loop(app.clone(), worker));
    app.shutdown.spawn(sweep_loop(app.clone()));
}

async fn claim_loop(app: AppRef, worker: String) {
    let mut hints = app.engine.bus.watch_jobs();
    while !app.shutdown.is_draining() {
        let pause = match claim(&app, &worker).await {
            // There may be more where these came from.
            Ok(claimed) if claimed > 0 => continue,
            Ok(_) => CLAIM_EVERY,
            Err(error) => {
                tracing::warn!(%error, "claiming jobs failed");
                RETRY
            }
        };
        tokio::select! {
            () = hints.wait(pause) => {}
            () = app.jobs.freed.notified() => {}
            () = app.shutdown.begun() => {}
        }
    }
}

/// Claims as much as there is room for; how many jobs that was.
async fn claim(app: &AppRef, worker: &str) -> Result<usize, StoreError> {
    let mut slots: HashMap<String, Vec<Slot>> = HashMap::new();
    let mut want = Vec::new();
    // Slots are taken only for work that is there: foreground requests wait
    // for the same ones.
    for queue in app.engine.store.ready_queues().await? {
        let max = match app.upstreams.by_name(&queue) {
            Some(upstream) => {
                let free = upstream.free_slots(CLAIM_AT_ONCE);
                let max = free.len() as u32;
                slots.insert(queue.clone(), free);
                max
            }
            None => ORPHANS_AT_ONCE,
        };
        if max > 0 {
            want.push(Want { queue, max });
        }
    }
    if want.is_empty() {
        return Ok(0);
    }
    let lease = app.config.responses.lease;
    let claimed = app.engine.store.claim_jobs(worker, want, lease).await?;
    let count = claimed.len();
    for job in claimed {
        if job.taken_over {
            tracing::warn!(response_id = %job.lease.response_id, attempt = job.attempt, "took over a job whose worker was lost");
            app.metrics.lease_takeovers.inc();
        }
        let slot = slots.get_mut(&job.queue).and_then(Vec::pop);
        spawn(app, job, slot);
    }
    Ok(count)
}

fn spawn(app: &AppRef, job: ClaimedJob, slot: Option<Slot>) {
    let lost = app.jobs.add(&job.lease);
    let task = Arc::clone(app);
    app.shutdown.spawn(async move {
        let _slot = slot;
        let held = Held {
            app: task.clone(),
            lease: job.lease.clone(),
        };
        background::run(&task, job, lost).await;
        drop(held);
    });
}

/// Takes the job off the list even when its task panics.
struct Held {
    app: AppRef,
    lease: Lease,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.app.jobs.remove(&self.lease);
    }
}

async fn heartbeat_loop(app: AppRef, worker: String) {
    let lease = app.config.responses.lease;
    let mut strays = HashSet::new();
    let mut good_until = Instant::now() + lease;
    loop {
        if app.shutdown.is_draining() {
            // As long as there are jobs, so long their leases are needed.
            if app.jobs.epochs().is_empty() || app.shutdown.stopping().is_cancelled() {
                return;
            }
            tokio::time::sleep(DRAIN_BEAT).await;
        } else {
            tokio::select! {
                () = tokio::time::sleep(app.config.responses.heartbeat()) => {}
                () = app.shutdown.begun() => {}
            }
        }
        let before = app.jobs.epochs();
        if before.is_empty() {
            good_until = Instant::now() + lease;
            continue;
        }
        let asked = Instant::now();
        match app.engine.store.heartbeat(&worker, lease).await {
            Ok(held) => {
                good_until = asked + lease;
                app.jobs.keep_only(&held, &before);
                strays = give_back(&app, held, &strays).await;
            }
            Err(error) => {
                tracing::warn!(%error, "the heartbeat failed");
                if Instant::now() > good_until {
                    // The store would refuse their writes; stop their spending.
                    app.jobs.keep_only(&[], &before);
                }
            }
        }
    }
}

/// A task may end without giving its job back (the store refused, it panicked),
/// and the heartbeat, being one call for all, would hold that lease for ever.
/// What no task owns at two heartbeats in a row goes back to the queue; at one,
/// it may just have been claimed. Returns what no task owns now.
async fn give_back(app: &AppRef, held: Vec<Lease>, before: &HashSet<Lease>) -> HashSet<Lease> {
    let running = app.jobs.epochs();
    let unowned = held
        .into_iter()
        .filter(|lease| running.get(&lease.response_id) != Some(&lease.epoch));
    let mut strays = HashSet::new();
    for lease in unowned {
        if !before.contains(&lease) {
            strays.insert(lease);
            continue;
        }
        tracing::warn!(response_id = %lease.response_id, "a job that no task owns goes back to the queue");
        if let Err(error) = app.engine.store.release_job(&lease, RETRY, true).await {
            tracing::warn!(response_id = %lease.response_id, %error, "releasing a job failed");
            strays.insert(lease);
        }
    }
    strays
}

async fn sweep_loop(app: AppRef) {
    let config = &app.config.responses;
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let retention = Retention {
        event_log_ms: millis(config.event_log_retention),
        stored_ms: match config.stored_retention {
            Keep::For(time) => Some(millis(time)),
            Keep::Forever => None,
        },
        ephemeral_ms: millis(config.ephemeral_retention),
    };
    while !app.shutdown.is_draining() {
        match app.engine.store.sweep(retention).await {
            Ok(swept) if swept.logs + swept.responses > 0 => {
                tracing::info!(
                    logs = swept.logs,
                    responses = swept.responses,
                    "removed what was past its retention"
                );
                continue;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the sweep failed"),
        }
        match app.engine.store.job_counts().await {
            Ok(counts) => {
                app.jobs.waiting.store(counts.queued, Ordering::Relaxed);
                app.metrics.set_jobs(counts);
            }
            Err(error) => tracing::warn!(%error, "counting jobs failed"),
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            () = app.shutdown.begun() => {}
        }
    }
}
