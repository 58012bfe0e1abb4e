//! One claim of one background job, from the log's state to the next: it ends
//! finished, released for another attempt, or fenced off.
//!
//! A crash, a broken answer and a drain look the same to the next claim: it
//! reads the log and goes on from there (see [`super::recover`]).

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use waypost_engine::{
    StoreError,
    bus::ResponseHint,
    events::EventBatchBuilder,
    responses::{ClaimedJob, Terminal},
};

use super::{
    assemble::Assembler,
    context,
    events::{Event, encode},
    job::{Job, UnreadableJob},
    object::{self, Failure},
    pump::{self, End, Sink, Stop},
    recover::{Plan, Seam},
    sink::LogSink,
};
use crate::{
    clock,
    model::{Finish, Generation, Prefix},
    responses::Responses,
    run::SinkClosed,
    tools::{
        RunContext,
        agent::{Agent, Earlier},
        mcp::McpAccess,
    },
    upstream::{Upstream, error::UpstreamError},
};

mod resume;

use resume::GoingOn;

/// Pauses before another attempt: doubling, with this first and longest one.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LONGEST: Duration = Duration::from_mins(1);
const BROKEN: &str = "The server had an error while running it.";
const OVERTIME: &str = "It took longer than responses may take here.";
const OUT_OVERTIME: &str =
    "The model server was unavailable until it had taken longer than responses may take here.";
/// A job that met an outage lets those that wait go first: the next probe may be
/// of another model.
const PROBE_AGAIN: Duration = Duration::from_millis(500);
const NOT_SERVED: &str =
    "No configured model server serves it any more, or another version of this server stored it.";
/// How long a job that a newer program stored is left alone.
const NEWER_PAUSE: Duration = Duration::from_secs(30);
/// A drain has this long to hand a job back.
const HAND_BACK: Duration = Duration::from_secs(1);

/// Runs one claim to its end.
pub async fn run(state: &Arc<Responses>, claimed: ClaimedJob, lost: CancellationToken) {
    Claim::new(state, claimed, lost).run().await;
}

/// Ends a job as failed by its row alone: for one whose run panics even where
/// it only has to be given up.
pub async fn abandon(state: &Arc<Responses>, mut job: ClaimedJob, lost: CancellationToken) {
    let store = &state.engine.store;
    match store
        .get_response(&job.response.project_id, &job.response.id)
        .await
    {
        Ok(row) => job.response = row,
        Err(error) => {
            // The lease runs out by itself.
            tracing::warn!(response_id = %job.lease.response_id, %error, "giving up a job failed");
            return;
        }
    }
    let mut claim = Claim::new(state, job, lost);
    if let Next::Finish(end) = claim.give_up(Assembler::default(), BROKEN) {
        claim.finish(end).await;
    }
}

struct Claim {
    state: Arc<Responses>,
    /// What the client asked, for the log.
    model: String,
    object: Value,
    upstream: Option<Arc<Upstream>>,
    job: ClaimedJob,
    sink: LogSink,
}

/// What a claim runs.
struct Work {
    generation: Arc<Generation>,
    context: Arc<RunContext>,
}

/// What to do with the job after an attempt.
enum Next {
    Finish(End),
    /// Give it back; whether this claim counts as an attempt.
    Release {
        delay: Duration,
        counts: bool,
    },
    /// Another writer owns it now, or nobody does.
    Leave,
}

impl Claim {
    fn new(state: &Arc<Responses>, job: ClaimedJob, lost: CancellationToken) -> Self {
        let sink = LogSink {
            engine: state.engine.clone(),
            lease: job.lease.clone(),
            next_seq: job.response.next_seq,
            rewinds: job.response.rewinds,
            lost,
            stop: state.runs.shutdown.stopping(),
            deadline: Instant::now() + time_left(state, &job),
        };
        // A job of another version of this program may not be readable: that
        // is a failure of the job, not of the worker.
        let object = serde_json::from_str(&job.response.body).unwrap_or_else(|_| {
            let row = &job.response;
            object::new(
                &row.id,
                clock::seconds(row.created_at),
                row.status,
                Map::new(),
            )
        });
        let upstream = state.runs.tools.upstreams.by_name(&job.queue);
        let model = object["model"].as_str().unwrap_or_default().to_owned();
        Self {
            state: state.clone(),
            model,
            object: object::in_progress(&object),
            upstream,
            job,
            sink,
        }
    }

    async fn run(&mut self) {
        let next = match self.work() {
            Ok(work) => self.attempt(&work).await,
            Err(next) => next,
        };
        match next {
            Next::Finish(end) => self.finish(end).await,
            Next::Release { delay, counts } => self.release(delay, counts).await,
            Next::Leave => {}
        }
    }

    /// What the job stores, ready to run. `Err`: it does not run here.
    fn work(&self) -> Result<Work, Next> {
        let job = Job::decode(&self.job.request).map_err(|error| self.refuse(&error))?;
        let Some(upstream) = self.upstream.clone() else {
            return Err(self.give_up(Assembler::default(), NOT_SERVED));
        };
        let access = self.open_access(&job);
        let context = RunContext {
            tools: Arc::clone(&self.state.runs.tools),
            upstream,
            project_id: job.project_id,
            response_id: job.response_id,
            approved: job.approved,
            access,
        };
        Ok(Work {
            generation: Arc::new(job.generation),
            context: Arc::new(context),
        })
    }

    /// The job cannot be read: a newer program that stored it will go on with it.
    fn refuse(&self, error: &UnreadableJob) -> Next {
        let response_id = &self.job.response.id;
        let left = time_left(&self.state, &self.job);
        if let UnreadableJob::Newer(_) = error
            && !left.is_zero()
        {
            if self.state.jobs.is_first_refusal(response_id) {
                tracing::warn!(%response_id, %error, "left a job to a newer version of this program");
            }
            return Next::Release {
                delay: NEWER_PAUSE.min(left),
                counts: false,
            };
        }
        tracing::error!(%response_id, %error, "reading a job failed");
        self.give_up(Assembler::default(), NOT_SERVED)
    }

    async fn attempt(&mut self, work: &Work) -> Next {
        let (generation, upstream) = (&work.generation, &work.context.upstream);
        let GoingOn {
            announced,
            mut assembler,
            prefix,
            earlier,
        } = match self.go_on(upstream, generation).await {
            Ok(going_on) => going_on,
            Err(next) => return next,
        };
        assembler.hold_blank_text = !generation.tools.is_empty();
        if let Some(why) = self.used_up() {
            return self.give_up(assembler, why);
        }
        let mut pending = EventBatchBuilder::default();
        if !announced {
            pending.push(&encode(&Event::InProgress {
                response: &self.object,
            }));
        }
        let delivered = prefix.as_ref().map_or(0, |p| p.tokens);
        let spent = earlier.spent.output_tokens.saturating_add(delivered);
        let stopped = if generation.max_output_tokens.is_some_and(|max| spent >= max) {
            Ok(Finish::Length)
        } else {
            let going_on = (prefix, earlier);
            self.generate(work, going_on, &mut assembler, &mut pending)
                .await
        };
        match stopped {
            Ok(finish) => Next::Finish(pump::end(&self.object, &mut assembler, finish, pending)),
            Err(Stop::SinkClosed(SinkClosed::Stopping)) => {
                // What was read and not yet written is worth keeping.
                if let Ok(Err(_)) | Err(_) =
                    tokio::time::timeout(HAND_BACK, self.write_rest(&mut pending)).await
                {
                    return Next::Leave;
                }
                Next::Release {
                    delay: Duration::ZERO,
                    counts: false,
                }
            }
            Err(Stop::SinkClosed(SinkClosed::Overtime)) => {
                self.failed(&mut assembler, OVERTIME, pending)
            }
            Err(Stop::SinkClosed(_)) => Next::Leave,
            Err(Stop::Upstream(error)) => {
                self.after(&error, upstream, generation, assembler, pending)
                    .await
            }
        }
    }

    async fn generate(
        &mut self,
        work: &Work,
        (prefix, earlier): (Option<Prefix>, Earlier),
        assembler: &mut Assembler,
        pending: &mut EventBatchBuilder,
    ) -> Result<Finish, Stop> {
        pump::flush(pending, &mut self.sink).await?;
        let (prefix, mut seam) = match prefix {
            Some(prefix) => {
                let (prefix, seam) = Seam::new(prefix);
                (Some(prefix), seam)
            }
            None => (None, Seam::default()),
        };
        let mut agent = tokio::select! {
            opened = Agent::resume(&work.context, &work.generation, prefix.as_ref(), earlier) => {
                opened.map_err(Stop::Upstream)?
            }
            closed = self.sink.closed() => return Err(Stop::SinkClosed(closed)),
        };
        pump::pump(&mut agent, assembler, &mut seam, pending, &mut self.sink).await
    }

    async fn write_rest(&mut self, pending: &mut EventBatchBuilder) -> Result<(), SinkClosed> {
        if pending.is_empty() {
            return Ok(());
        }
        let store = self.state.engine.store.clone();
        let batch = pending.take();
        let (lease, seq) = (&self.sink.lease, self.sink.next_seq);
        store
            .append_events(lease, seq, batch.clone())
            .await
            .map_err(|_| SinkClosed::Store)?;
        self.sink.next_seq += batch.count();
        Ok(())
    }

    /// The model server failed: another attempt, or the end.
    async fn after(
        &mut self,
        error: &UpstreamError,
        upstream: &Upstream,
        generation: &Generation,
        mut assembler: Assembler,
        mut pending: EventBatchBuilder,
    ) -> Next {
        let waits = error.is_unavailable();
        let pause = if waits {
            upstream.pause_after(error) + PROBE_AGAIN
        } else {
            self.backoff()
        };
        // Due when its time is over, to be ended.
        let pause = pause.min(time_left(&self.state, &self.job));
        let next = if error.is_retryable() && !self.is_last(error) {
            let again = Next::Release {
                delay: pause,
                counts: !waits,
            };
            self.unless_it_cannot_go_on(again, upstream, generation, &mut pending)
                .await
        } else {
            None
        };
        let next_try = match next {
            Some(Next::Release { delay, .. }) => Some(delay),
            _ => None,
        };
        self.note(error, upstream, next_try);
        if next_try.is_some() {
            self.state
                .runs
                .tools
                .metrics
                .job_retried(&upstream.name, error.kind());
        }
        next.unwrap_or_else(|| {
            let (code, message) = error.for_response();
            let failure = Failure { code, message };
            Next::Finish(pump::failure(
                &self.object,
                &mut assembler,
                &failure,
                pending,
            ))
        })
    }

    /// The next claim decides by the log; it is asked now whether it could.
    /// `None`: it could not.
    async fn unless_it_cannot_go_on(
        &mut self,
        again: Next,
        upstream: &Upstream,
        generation: &Generation,
        pending: &mut EventBatchBuilder,
    ) -> Option<Next> {
        if pump::flush(pending, &mut self.sink).await.is_err() {
            return Some(Next::Leave);
        }
        match self.plan(upstream, generation).await {
            // What it can do may turn out once it answers again.
            Ok((_, Plan::GiveUp { .. })) if !upstream.is_yet_unknown() => None,
            // Waiting for the server is no attempt; the time limit bounds it.
            Ok(_) => Some(again),
            Err(_) => Some(Next::Release {
                delay: self.backoff(),
                counts: true,
            }),
        }
    }

    /// Counts and logs a failed call of this job.
    fn note(&self, error: &UpstreamError, upstream: &Upstream, next_try: Option<Duration>) {
        if let UpstreamError::Dependency { .. } = error {
            // Told where it happened.
            return;
        }
        tracing::warn!(
            response_id = %self.sink.lease.response_id,
            background = true,
            upstream = %upstream.name,
            url = %upstream.url_of(upstream.generation_path()),
            model = %self.model,
            attempt = self.job.attempt,
            counts = !error.is_unavailable(),
            next_try_ms = next_try.map(|pause| pause.as_millis() as u64),
            %error,
            hint = error.hint(),
            "the model server failed"
        );
        (self.state.runs.tools.metrics).upstream_error(&upstream.name, error.kind());
    }

    /// Whether there would be no attempt after this one: then the failure is
    /// told as it is, not that attempts ran out.
    fn is_last(&self, error: &UpstreamError) -> bool {
        let attempts_left = self.job.attempt < self.state.runs.config.max_attempts;
        time_left(&self.state, &self.job).is_zero() || !(attempts_left || error.is_unavailable())
    }

    /// Why there is to be no further attempt, if so.
    fn used_up(&self) -> Option<&'static str> {
        if self.job.attempt > self.state.runs.config.max_attempts {
            return Some("It was tried as often as is allowed here.");
        }
        time_left(&self.state, &self.job)
            .is_zero()
            .then(|| match &self.upstream {
                Some(upstream) if upstream.outage.is_out() => OUT_OVERTIME,
                _ => OVERTIME,
            })
    }

    fn backoff(&self) -> Duration {
        let doublings = self.job.attempt.saturating_sub(1).min(16);
        (BACKOFF_FIRST * 2u32.pow(doublings)).min(BACKOFF_LONGEST)
    }

    fn give_up(&self, mut assembler: Assembler, why: &str) -> Next {
        self.failed(&mut assembler, why, EventBatchBuilder::default())
    }

    fn failed(&self, assembler: &mut Assembler, why: &str, pending: EventBatchBuilder) -> Next {
        tracing::warn!(response_id = %self.sink.lease.response_id, why, "a background response failed");
        let failure = Failure {
            code: "server_error",
            message: format!("The response could not be completed. {why}"),
        };
        Next::Finish(pump::failure(&self.object, assembler, &failure, pending))
    }

    async fn finish(&mut self, end: End) {
        let events = end.events();
        let store = self.state.engine.store.clone();
        let (lease, first_seq) = (self.sink.lease.clone(), self.sink.next_seq);
        let mut pause = BACKOFF_FIRST;
        loop {
            let terminal = Terminal {
                status: end.status,
                body: end.object.to_string(),
                output: context::referable(&end.object, end.status),
            };
            match store
                .finish(&lease, first_seq, events.clone(), terminal)
                .await
            {
                Ok(()) => break self.ended(&end),
                Err(StoreError::Fenced) => return,
                Err(error) if error.is_transient() => {
                    tracing::warn!(response_id = %lease.response_id, %error, "finishing failed; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = self.sink.given_up() => return,
                    }
                    pause = (pause * 2).min(BACKOFF_LONGEST);
                }
                Err(error) => {
                    tracing::error!(response_id = %lease.response_id, %error, "finishing failed");
                    return;
                }
            }
        }
        let hint = ResponseHint::Events {
            first_seq,
            batch: events,
            rewinds: self.sink.rewinds,
            terminal: true,
        };
        self.state
            .engine
            .bus
            .publish_response(&lease.response_id, hint);
    }

    fn ended(&self, end: &End) {
        let status = end.status.as_str();
        tracing::info!(
            response_id = %self.sink.lease.response_id,
            upstream = %self.job.queue,
            model = %self.model,
            attempt = self.job.attempt,
            status,
            "a background response ended"
        );
        self.state.runs.tools.metrics.job_ended(status);
    }

    /// How to reach the request's MCP servers. Where it does not open, its calls
    /// will say that they cannot be made.
    fn open_access(&self, job: &Job) -> McpAccess {
        let Some(sealed) = &job.sealed_access else {
            return McpAccess::default();
        };
        let id = &self.job.response.id;
        McpAccess::open(self.state.identity.master_key(), id, sealed).unwrap_or_else(|error| {
            tracing::error!(response_id = %id, %error, "reading a job");
            McpAccess::default()
        })
    }

    async fn release(&self, delay: Duration, counts: bool) {
        match self
            .state
            .engine
            .store
            .release_job(&self.sink.lease, delay, counts)
            .await
        {
            Ok(()) if delay.is_zero() => self.state.engine.bus.publish_jobs(),
            Ok(()) | Err(StoreError::Fenced) => {}
            // The lease runs out by itself.
            Err(error) => {
                tracing::warn!(response_id = %self.sink.lease.response_id, %error, "releasing a job failed");
            }
        }
    }
}

/// What is left of the longest time that a response may take.
fn time_left(state: &Arc<Responses>, job: &ClaimedJob) -> Duration {
    let age = clock::now().saturating_sub(job.response.created_at).max(0);
    let age = Duration::from_millis(age.unsigned_abs());
    state.runs.config.max_duration.saturating_sub(age)
}
