//! From where a claim goes on: the log, folded and planned from. What nobody has
//! read and nothing can continue is taken back first.

use std::time::Duration;

use waypost_engine::StoreError;

use super::{BACKOFF_FIRST, Claim, Next, time_left};
use crate::{
    model::{Generation, Prefix},
    responses::{
        assemble::Assembler,
        recover::{Checkpoint, Folded, Plan},
    },
    tools::agent::Earlier,
    upstream::Upstream,
};

/// Encoded events read at once when a log is folded.
const PAGE_BYTES: usize = 1024 * 1024;
/// Pause before another look at a job whose model server has not said yet what
/// it is.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(2);

/// How a claim goes on.
pub(super) struct GoingOn {
    /// `response.in_progress` is in the log already.
    pub announced: bool,
    pub assembler: Assembler,
    /// The model is asked to continue this text.
    pub prefix: Option<Prefix>,
    pub earlier: Earlier,
}

impl Claim {
    /// From where this claim goes on. What nobody has read and nothing can
    /// continue is taken back first. `Err`: it does not go on now.
    pub(super) async fn go_on(
        &mut self,
        upstream: &Upstream,
        generation: &Generation,
    ) -> Result<GoingOn, Next> {
        loop {
            let (announced, plan) = match self.plan(upstream, generation).await {
                Ok(planned) => planned,
                Err(error) => return Err(self.unreadable(&error)),
            };
            // What the model server can do may turn out once it answers: that is no attempt.
            let waits = upstream.is_yet_unknown() && !time_left(&self.state, &self.job).is_zero();
            match plan {
                Plan::Run {
                    assembler,
                    prefix,
                    earlier,
                } => {
                    return Ok(GoingOn {
                        announced,
                        assembler: *assembler,
                        prefix,
                        earlier,
                    });
                }
                Plan::TakeBack { .. } | Plan::GiveUp { .. } if waits => {
                    return Err(Next::Release {
                        delay: UNKNOWN_PAUSE,
                        counts: false,
                    });
                }
                Plan::TakeBack { to, assembler, .. } => {
                    if let Some(why) = self.used_up() {
                        return Err(self.give_up(*assembler, why));
                    }
                    // Where a reader came first, the next plan says what then.
                    self.take_back(to).await?;
                }
                Plan::GiveUp { assembler, why } => {
                    return Err(self.give_up(*assembler, &format!("It was interrupted {why}.")));
                }
            }
        }
    }

    /// How the log can be gone on from, and whether `response.in_progress` is in
    /// it. Nothing is taken back that could not be asked for again.
    pub(super) async fn plan(
        &self,
        upstream: &Upstream,
        generation: &Generation,
    ) -> Result<(bool, Plan), StoreError> {
        let folded = self.fold(u64::MAX).await?;
        let announced = folded.announced;
        let plan = folded.plan(upstream, generation);
        let Plan::TakeBack { to, assembler, why } = plan else {
            return Ok((announced, plan));
        };
        let shorter = self.fold(to).await?;
        let plan = match shorter.plan(upstream, generation) {
            Plan::Run { .. } => Plan::TakeBack { to, assembler, why },
            _ => Plan::GiveUp { assembler, why },
        };
        Ok((announced, plan))
    }

    /// Takes back the events from a number on, unless a reader came first.
    async fn take_back(&mut self, to: u64) -> Result<(), Next> {
        let lease = &self.sink.lease;
        let store = &self.state.engine.store;
        match store.rewind(lease, to).await {
            Ok(Some(rewinds)) => {
                // Other events come where the checkpoint says that a turn ended.
                let checkpoint = self.job.checkpoint.as_deref().and_then(Checkpoint::decode);
                if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.events > to) {
                    let checkpoint = Checkpoint {
                        events: to,
                        ..checkpoint
                    }
                    .encode();
                    if let Err(error) = store.save_checkpoint(lease, checkpoint.clone()).await {
                        return Err(self.unreadable(&error));
                    }
                    self.job.checkpoint = Some(checkpoint);
                }
                tracing::info!(
                    response_id = %lease.response_id,
                    events = self.sink.next_seq - to,
                    attempt = self.job.attempt,
                    "an answer that broke off, and that nobody has read, starts again"
                );
                self.sink.next_seq = to;
                self.sink.rewinds = rewinds;
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// The store cannot say, or do, what a claim needs.
    fn unreadable(&self, error: &StoreError) -> Next {
        if matches!(error, StoreError::NotFound(_) | StoreError::Fenced) {
            return Next::Leave;
        }
        tracing::warn!(response_id = %self.sink.lease.response_id, %error, "reading an event log failed");
        Next::Release {
            delay: BACKOFF_FIRST,
            counts: true,
        }
    }

    /// What the log holds, as far as the event before `end`.
    async fn fold(&self, end: u64) -> Result<Folded, StoreError> {
        let checkpoint = self.job.checkpoint.as_deref().and_then(Checkpoint::decode);
        let mut folded = Folded::new(checkpoint);
        let mut after = None;
        loop {
            let row = &self.job.response;
            let page = self
                .state
                .engine
                .store
                .read_events(&row.project_id, &row.id, after, PAGE_BYTES)
                .await?;
            let mut last = after;
            folded.read_to = page.read_to;
            for (first, batch) in &page.batches {
                folded.read(batch, end);
                last = (first + batch.count()).checked_sub(1);
            }
            let end = end.min(page.next_seq);
            if last == after || last.is_some_and(|last| last + 1 >= end) {
                return Ok(folded);
            }
            after = last;
        }
    }
}
