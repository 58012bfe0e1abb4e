//! The worker: claims background jobs under leases and runs them.
//!
//! Three loops, each with its timer: claiming (woken by hints and by freed
//! slots), heartbeats (one call for all leases), and the sweep (retention,
//! counts). A job holds an upstream slot from before it is claimed until its
//! task is gone, whatever ends it.

use std::{
    any::Any,
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use waypost_engine::{
    StoreError, id,
    responses::{ClaimedJob, Lease, Retention, Want},
};

use super::{background, idempotency};
use crate::{
    config::Keep,
    responses::Responses,
    upstream::{
        Slot,
        outage::{Probe, Room},
    },
};

/// How long a lost hint can delay a job, and how soon expired leases are seen.
const CLAIM_EVERY: Duration = Duration::from_secs(1);
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Jobs claimed at once for one upstream.
const CLAIM_AT_ONCE: u32 = 64;
/// Jobs whose time is over are claimed where there is no room too, only to
/// fail: this many at once.
const OVERDUE_AT_ONCE: u32 = 16;
/// Jobs of an upstream that the configuration no longer has are claimed only
/// to fail: this many at once.
const ORPHANS_AT_ONCE: u32 = 4;
/// Heartbeats are quicker in a drain, to see its end.
const DRAIN_BEAT: Duration = Duration::from_millis(250);
const RETRY: Duration = Duration::from_millis(500);
/// Jobs of a newer program that are remembered, to be logged once each.
const MAX_REFUSED: usize = 1024;

/// What the rest of the server may do with the worker.
#[derive(Default)]
pub struct Jobs {
    running: Mutex<HashMap<String, Running>>,
    waiting: AtomicU64,
    freed: Notify,
    /// Those that a newer program has to run, as far as the log knows of them.
    refused: Mutex<HashSet<String>>,
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

    /// Whether this is the first time that the job is left to a newer program.
    pub(super) fn is_first_refusal(&self, response_id: &str) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() == MAX_REFUSED {
            refused.clear();
        }
        refused.insert(response_id.to_owned())
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
pub fn start(state: &Arc<Responses>) {
    let worker = id::fresh("worker_");
    state
        .runs
        .shutdown
        .spawn(claim_loop(state.clone(), worker.clone()));
    state
        .runs
        .shutdown
        .spawn(heartbeat_loop(state.clone(), worker));
    state.runs.shutdown.spawn(sweep_loop(state.clone()));
}

async fn claim_loop(state: Arc<Responses>, worker: String) {
    let mut hints = state.engine.bus.watch_jobs().await;
    let mut overdue = Overdue::default();
    while !state.runs.shutdown.is_leaving() {
        let pause = match claim(&state, &worker, &mut overdue).await {
            // There may be more where these came from.
            Ok(claimed) if claimed > 0 => continue,
            Ok(_) => next_probe(&state).map_or(CLAIM_EVERY, |pause| pause.min(CLAIM_EVERY)),
            Err(error) => {
                tracing::warn!(%error, "claiming jobs failed");
                RETRY
            }
        };
        tokio::select! {
            () = hints.wait(pause) => {}
            () = state.jobs.freed.notified() => {}
            () = state.runs.shutdown.left() => {}
        }
    }
}

/// How long until a probe may go, where an outage is on.
fn next_probe(state: &Arc<Responses>) -> Option<Duration> {
    let now = tokio::time::Instant::now();
    let all = state.runs.tools.upstreams.all();
    let next = all.iter().filter_map(|upstream| upstream.outage.next_try());
    next.filter(|next| *next > now).min().map(|next| next - now)
}

/// When the next look at jobs whose time is over is due, of upstreams without
/// room. Every job that is created or ends wakes the loop, and where there is
/// no room each of these would be one more look in vain.
#[derive(Debug, Default)]
struct Overdue {
    next: Option<tokio::time::Instant>,
}

impl Overdue {
    fn is_due(&self, now: tokio::time::Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// Where there were some, there may be more.
    fn looked(&mut self, now: tokio::time::Instant, found: bool) {
        self.next = (!found).then(|| now + CLAIM_EVERY);
    }
}

/// Claims as much as there is room for; how many jobs that was.
async fn claim(
    state: &Arc<Responses>,
    worker: &str,
    overdue: &mut Overdue,
) -> Result<usize, StoreError> {
    let now = tokio::time::Instant::now();
    let looks = overdue.is_due(now);
    let mut slots: HashMap<String, Vec<Slot>> = HashMap::new();
    let mut probes: HashMap<String, Probe> = HashMap::new();
    let mut want = Vec::new();
    // Slots are taken only for work that is there: foreground requests wait
    // for the same ones.
    for queue in state.engine.store.ready_queues().await? {
        let (mut max, mut older_than) = (ORPHANS_AT_ONCE, None);
        if let Some(upstream) = state.runs.tools.upstreams.by_name(&queue) {
            let at_once = match upstream.outage.room(now) {
                Room::Open => CLAIM_AT_ONCE,
                Room::Probe(probe) => {
                    probes.insert(queue.clone(), probe);
                    1
                }
                Room::Shut => 0,
            };
            let free = upstream.free_slots(at_once);
            max = free.len() as u32;
            if free.is_empty() {
                probes.remove(&queue);
                if !looks {
                    continue;
                }
                max = OVERDUE_AT_ONCE;
                older_than = Some(state.runs.config.max_duration);
            }
            slots.insert(queue.clone(), free);
        }
        want.push(Want {
            queue,
            max,
            older_than,
        });
    }
    if want.is_empty() {
        return Ok(0);
    }
    let full: HashSet<String> = want
        .iter()
        .filter(|want| want.older_than.is_some())
        .map(|want| want.queue.clone())
        .collect();
    let lease = state.runs.config.lease;
    let claimed = state.engine.store.claim_jobs(worker, want, lease).await?;
    if !full.is_empty() {
        overdue.looked(now, claimed.iter().any(|job| full.contains(&job.queue)));
    }
    let count = claimed.len();
    for job in claimed {
        if job.taken_over {
            tracing::warn!(response_id = %job.lease.response_id, attempt = job.attempt, "took over a job whose worker was lost");
            state.runs.tools.metrics.lease_takeovers.inc();
        }
        let slot = slots.get_mut(&job.queue).and_then(Vec::pop);
        let probe = probes.remove(&job.queue);
        spawn(state, job, slot, probe);
    }
    Ok(count)
}

fn spawn(state: &Arc<Responses>, job: ClaimedJob, slot: Option<Slot>, probe: Option<Probe>) {
    let lost = state.jobs.add(&job.lease);
    let task = Arc::clone(state);
    state.runs.shutdown.spawn(async move {
        let _slot = slot;
        let _probe = probe;
        let held = Held {
            state: task.clone(),
            lease: job.lease.clone(),
        };
        // Without the request: what is left to do after a panic needs none.
        let claim = ClaimedJob {
            request: Bytes::new(),
            ..job.clone()
        };
        let run = background::run(&task, job, lost.clone());
        supervise(&task, claim, lost, run).await;
        drop(held);
    });
}

/// Sees to it that a panic in a claim's run does not leave the job to its
/// lease: it goes back to the queue as after a crash, and where attempts have
/// run out it ends.
async fn supervise(
    state: &Arc<Responses>,
    job: ClaimedJob,
    lost: CancellationToken,
    run: impl Future<Output = ()>,
) {
    let Err(panic) = AssertUnwindSafe(run).catch_unwind().await else {
        return;
    };
    let id = job.lease.response_id.clone();
    tracing::error!(response_id = %id, attempt = job.attempt, panic = said(&*panic), "the run of a background response panicked");
    // The attempt after the last one only gives the job up, with what is in its
    // log. If that is what panics, the log is left alone.
    if job.attempt <= state.runs.config.max_attempts {
        if let Err(error) = state
            .engine
            .store
            .release_job(&job.lease, RETRY, true)
            .await
        {
            tracing::warn!(response_id = %id, %error, "releasing a job failed");
        }
        return;
    }
    background::abandon(state, job, lost).await;
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text")
}

/// Takes the job off the list even when its task panics.
struct Held {
    state: Arc<Responses>,
    lease: Lease,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.state.jobs.remove(&self.lease);
    }
}

async fn heartbeat_loop(state: Arc<Responses>, worker: String) {
    let lease = state.runs.config.lease;
    let mut strays = HashSet::new();
    let mut good_until = Instant::now() + lease;
    loop {
        if state.runs.shutdown.is_draining() {
            // Keep renewing leases while any job runs.
            if state.jobs.epochs().is_empty() || state.runs.shutdown.stopping().is_cancelled() {
                return;
            }
            tokio::time::sleep(DRAIN_BEAT).await;
        } else {
            tokio::select! {
                () = tokio::time::sleep(state.runs.config.heartbeat()) => {}
                () = state.runs.shutdown.begun() => {}
            }
        }
        let before = state.jobs.epochs();
        if before.is_empty() {
            good_until = Instant::now() + lease;
            continue;
        }
        let asked = Instant::now();
        match state.engine.store.heartbeat(&worker, lease).await {
            Ok(held) => {
                good_until = asked + lease;
                state.jobs.keep_only(&held, &before);
                strays = give_back(&state, held, &strays).await;
            }
            Err(error) => {
                tracing::warn!(%error, "the heartbeat failed");
                if Instant::now() > good_until {
                    // The store would refuse their writes; stop their spending.
                    state.jobs.keep_only(&[], &before);
                }
            }
        }
    }
}

/// A task may end without giving its job back (the store refused, it panicked),
/// and the heartbeat, being one call for all, would hold that lease for ever.
/// What no task owns at two heartbeats in a row goes back to the queue; at one,
/// it may just have been claimed. Returns what no task owns now.
async fn give_back(
    state: &Arc<Responses>,
    held: Vec<Lease>,
    before: &HashSet<Lease>,
) -> HashSet<Lease> {
    let running = state.jobs.epochs();
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
        if let Err(error) = state.engine.store.release_job(&lease, RETRY, true).await {
            tracing::warn!(response_id = %lease.response_id, %error, "releasing a job failed");
            strays.insert(lease);
        }
    }
    strays
}

async fn sweep_loop(state: Arc<Responses>) {
    let config = &state.runs.config;
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let retention = Retention {
        event_log_ms: millis(config.event_log_retention),
        stored_ms: match config.stored_retention {
            Keep::For(time) => Some(millis(time)),
            Keep::Forever => None,
        },
        ephemeral_ms: millis(config.ephemeral_retention),
        idempotency_ms: millis(idempotency::KEPT),
        audit_ms: match state.audit_retention {
            Keep::For(time) => Some(millis(time)),
            Keep::Forever => None,
        },
    };
    while !state.runs.shutdown.is_draining() {
        match state.engine.store.sweep(retention).await {
            Ok(swept) if swept.logs + swept.responses + swept.keys + swept.audit_events > 0 => {
                tracing::info!(
                    logs = swept.logs,
                    responses = swept.responses,
                    idempotency_keys = swept.keys,
                    audit_events = swept.audit_events,
                    "removed what was past its retention"
                );
                continue;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the sweep failed"),
        }
        match state.engine.store.job_counts().await {
            Ok(counts) => {
                state.jobs.waiting.store(counts.queued, Ordering::Relaxed);
                state.runs.tools.metrics.set_jobs(counts);
            }
            Err(error) => tracing::warn!(%error, "counting jobs failed"),
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            () = state.runs.shutdown.begun() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use waypost_engine::{
        events::EventBatch,
        responses::{NewJob, NewResponse, Status},
    };

    use super::*;
    use crate::app::tests::app;

    const WORKER: &str = "worker";

    #[test]
    fn jobs_whose_time_is_over_are_looked_for_once_in_a_while_or_while_some_are_found() {
        let mut overdue = Overdue::default();
        let now = tokio::time::Instant::now();
        assert!(overdue.is_due(now));
        overdue.looked(now, true);
        assert!(overdue.is_due(now));
        overdue.looked(now, false);
        assert!(!overdue.is_due(now + CLAIM_EVERY / 2));
        assert!(overdue.is_due(now + CLAIM_EVERY));
    }

    async fn state() -> (Arc<Responses>, tempfile::TempDir) {
        let (app, dir) = app().await;
        (Arc::clone(&app.responses), dir)
    }

    /// Stores a job and claims it, as if for a task.
    async fn claimed(state: &Arc<Responses>) -> Lease {
        claim_one(state).await.lease
    }

    async fn claim_one(state: &Arc<Responses>) -> ClaimedJob {
        claim_request(state, b"{}").await
    }

    async fn claim_request(state: &Arc<Responses>, request: &'static [u8]) -> ClaimedJob {
        let row = NewResponse {
            id: id::fresh("resp_"),
            project_id: "proj_test".to_owned(),
            body: "{}".to_owned(),
            created_at: crate::clock::now(),
            background: true,
            streamable: true,
            store: true,
            previous_response_id: None,
            input: Vec::new(),
            output: Vec::new(),
            idempotency: None,
        };
        let job = NewJob {
            queue: "queue".to_owned(),
            request: request.into(),
        };
        let store = &state.engine.store;
        store
            .create_background(row, EventBatch::of::<Vec<u8>>([]), job, 10)
            .await
            .expect("created");
        claim_next(state).await.expect("a job")
    }

    async fn claim_next(state: &Arc<Responses>) -> Option<ClaimedJob> {
        let want = vec![Want {
            queue: "queue".to_owned(),
            max: 1,
            older_than: None,
        }];
        let lease = Duration::from_secs(30);
        let jobs = state.engine.store.claim_jobs(WORKER, want, lease).await;
        jobs.expect("an answer").pop()
    }

    #[tokio::test]
    async fn a_lease_that_no_task_has_is_given_back_and_no_other() {
        let (state, _dir) = state().await;
        let (mine, stray) = (claimed(&state).await, claimed(&state).await);
        state.jobs.add(&mine);
        let beat = async || {
            let beat = state
                .engine
                .store
                .heartbeat(WORKER, Duration::from_secs(30));
            beat.await.expect("a heartbeat")
        };
        // Once is no proof: its task may be about to start.
        let first = give_back(&state, beat().await, &HashSet::new()).await;
        assert_eq!(first, HashSet::from([stray]));
        assert_eq!(beat().await.len(), 2);
        let second = give_back(&state, beat().await, &first).await;
        assert!(second.is_empty());
        assert_eq!(beat().await, [mine]);
    }

    #[tokio::test]
    async fn a_run_that_panics_gives_its_job_back_and_in_the_end_fails() {
        let (state, _dir) = state().await;
        let mut job = claim_one(&state).await;
        let id = job.lease.response_id.clone();
        let row = async || {
            let row = state.engine.store.get_response("proj_test", &id).await;
            row.expect("a row")
        };
        for attempt in 1.. {
            assert_eq!(job.attempt, attempt);
            let lost = CancellationToken::new();
            // What the run wrote before is in the log.
            let events = EventBatch::of([b"{\"type\":\"response.in_progress\"}".to_vec()]);
            let written =
                state
                    .engine
                    .store
                    .append_events(&job.lease, row().await.next_seq, events);
            written.await.expect("written");
            let run = async {
                tokio::task::yield_now().await;
                panic!("attempt {attempt}");
            };
            supervise(&state, job, lost, run).await;
            if attempt > state.runs.config.max_attempts {
                break;
            }
            assert!(!row().await.status.is_terminal());
            tokio::time::sleep(RETRY).await;
            job = claim_next(&state)
                .await
                .expect("the job, long before its lease ends");
        }
        let row = row().await;
        assert_eq!(row.status, Status::Failed);
        let object: serde_json::Value = serde_json::from_str(&row.body).expect("JSON");
        assert_eq!(object["error"]["code"], "server_error");
        assert!(claim_next(&state).await.is_none());
    }

    #[tokio::test]
    async fn a_job_of_a_newer_program_is_left_to_it() {
        let (state, _dir) = state().await;
        let job = claim_request(&state, br#"{"version": 1000, "what": "ever"}"#).await;
        let id = job.lease.response_id.clone();
        background::run(&state, job, CancellationToken::new()).await;
        let row = state.engine.store.get_response("proj_test", &id).await;
        assert!(!row.expect("a row").status.is_terminal());
        // Given back, but not at once.
        let beat = state
            .engine
            .store
            .heartbeat(WORKER, Duration::from_secs(30));
        assert_eq!(beat.await.expect("a heartbeat"), []);
        assert!(claim_next(&state).await.is_none());
        assert!(!state.jobs.is_first_refusal(&id));
    }

    #[tokio::test]
    async fn a_run_that_ends_is_left_alone() {
        let (state, _dir) = state().await;
        let job = claim_one(&state).await;
        let lease = job.lease.clone();
        supervise(&state, job, CancellationToken::new(), async {}).await;
        let beat = state
            .engine
            .store
            .heartbeat(WORKER, Duration::from_secs(30));
        assert_eq!(beat.await.expect("a heartbeat"), [lease]);
    }
}
