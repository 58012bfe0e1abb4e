//! Whether background jobs are given to a model server now.
//!
//! After a failure that says "not now" ([`UpstreamError::is_unavailable`]) no
//! job is claimed for the server until a pause is over; then one job goes out
//! as the probe, however many wait. Any answer ends this, a foreground
//! request's too: those are always tried at once. It is known to this process
//! only, and of the whole server: a queue holds jobs of all its models.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Upstream, error::UpstreamError};

/// Pauses before the next probe: doubling, with this first and longest one.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_mins(1);
/// A server that asks for more is asked again all the same after this.
const LONGEST_ASKED: Duration = Duration::from_mins(10);

/// Shared by the upstream, its answers and the probe that is out.
#[derive(Debug, Default, Clone)]
pub struct Outage(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Pauses since it last said a word of an answer.
    steps: u32,
    /// `None` while it answers.
    next_try: Option<Instant>,
    /// The number of the probe that is out.
    probe: Option<u64>,
    probes: u64,
}

/// How many jobs may be claimed now.
#[derive(Debug)]
pub enum Room {
    /// As many as there are slots.
    Open,
    /// One: the probe.
    Probe(Probe),
    /// None.
    Shut,
}

/// The right to be the one probe, until dropped.
#[derive(Debug)]
pub struct Probe {
    outage: Outage,
    number: u64,
}

impl Outage {
    /// What may be claimed now.
    pub fn room(&self, now: Instant) -> Room {
        let mut state = self.lock();
        match state.next_try {
            None => Room::Open,
            Some(next) if state.probe.is_some() || now < next => Room::Shut,
            Some(_) => {
                state.probes += 1;
                let number = state.probes;
                state.probe = Some(number);
                Room::Probe(Probe {
                    outage: self.clone(),
                    number,
                })
            }
        }
    }

    /// The server accepted a request; returns whether it had been unavailable.
    /// Pauses go on growing where it then refuses inside its answer.
    pub fn accepted(&self) -> bool {
        let mut state = self.lock();
        state.probe = None;
        state.next_try.take().is_some()
    }

    /// The server said something of an answer: the next outage is another one.
    pub fn answered(&self) {
        self.lock().steps = 0;
    }

    /// The server was unavailable, and asked for so long a pause; returns whether
    /// that is news. Failures within one pause are one step: all requests that
    /// were on their way fail together.
    pub fn unavailable(&self, asked: Option<Duration>, now: Instant) -> bool {
        let mut state = self.lock();
        let asked = bounded(asked);
        let next = match state.next_try {
            Some(next) if now < next => next.max(now + asked),
            _ => {
                let pause = (FIRST * 2u32.pow(state.steps.min(16))).min(LONGEST);
                state.steps = state.steps.saturating_add(1);
                now + pause.max(asked)
            }
        };
        state.next_try.replace(next).is_none()
    }

    /// Something else says that the server is back: the next probe may go at
    /// once.
    pub fn may_be_over(&self, now: Instant) {
        if let Some(next) = &mut self.lock().next_try {
            *next = now.min(*next);
        }
    }

    /// When the next probe may go; `None` while the server answers. It may be
    /// past: then the probe is out, or nothing waits.
    pub fn next_try(&self) -> Option<Instant> {
        self.lock().next_try
    }

    /// Whether the server was unavailable when it was last asked.
    pub fn is_out(&self) -> bool {
        self.next_try().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let mut state = self.outage.lock();
        if state.probe == Some(self.number) {
            state.probe = None;
        }
    }
}

impl Upstream {
    /// A request was answered with success, so far.
    pub fn accepted(&self) {
        if self.outage.accepted() {
            tracing::info!(upstream = %self.name, "the model server answers again");
        }
    }

    /// A request failed.
    pub fn failed(&self, error: &UpstreamError) {
        if error.is_unavailable() {
            let now = Instant::now();
            // It may limit one model, or one key, and serve others.
            let asked = error.retry_after().filter(|_| !error.is_throttle());
            if self.outage.unavailable(asked, now) {
                tracing::warn!(upstream = %self.name, %error, "the model server is unavailable: its background jobs wait, and one at a time asks again");
            }
        } else if let UpstreamError::Status { .. } = error {
            self.accepted();
            self.outage.answered();
        }
    }

    /// How long a job waits that met this failure.
    pub fn pause_after(&self, error: &UpstreamError) -> Duration {
        let next = self.outage.next_try();
        let left = next.map_or(FIRST, |next| {
            next.saturating_duration_since(Instant::now()).max(FIRST)
        });
        left.max(bounded(error.retry_after()))
    }
}

fn bounded(asked: Option<Duration>) -> Duration {
    asked.unwrap_or_default().min(LONGEST_ASKED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(outage: &Outage, now: Instant) -> Probe {
        match outage.room(now) {
            Room::Probe(probe) => probe,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_probe_a_step_and_any_answer_opens() {
        let outage = Outage::default();
        let mut now = Instant::now();
        assert!(matches!(outage.room(now), Room::Open));
        for step in [500, 1000, 2000, 4000] {
            outage.unavailable(None, now);
            // Those that fail with it make no step of their own.
            assert!(!outage.unavailable(None, now));
            let pause = Duration::from_millis(step);
            assert_eq!(outage.next_try(), Some(now + pause));
            assert!(matches!(outage.room(now), Room::Shut));
            now += pause;
            let probe = probe(&outage, now);
            assert!(matches!(outage.room(now), Room::Shut), "one at a time");
            drop(probe);
        }
        assert!(outage.accepted() && !outage.accepted());
        assert!(matches!(outage.room(now), Room::Open));
        // It refused inside its answer: the pauses go on growing.
        assert!(outage.unavailable(None, now));
        assert_eq!(outage.next_try(), Some(now + Duration::from_secs(8)));
        outage.accepted();
        outage.answered();
        assert!(outage.unavailable(None, now));
        assert_eq!(outage.next_try(), Some(now + FIRST));
    }

    #[test]
    fn a_probe_that_was_answered_does_not_stand_for_a_later_one() {
        let outage = Outage::default();
        let now = Instant::now();
        outage.unavailable(None, now);
        let old = probe(&outage, now + FIRST);
        // Its answer goes on for long, and the server goes away again.
        outage.accepted();
        outage.answered();
        outage.unavailable(None, now + FIRST);
        let new = probe(&outage, now + FIRST * 2);
        drop(old);
        assert!(matches!(outage.room(now + FIRST * 2), Room::Shut));
        drop(new);
        drop(probe(&outage, now + FIRST * 2));
    }

    #[test]
    fn pauses_are_bounded_whoever_asks_for_them() {
        let outage = Outage::default();
        let mut now = Instant::now();
        outage.unavailable(Some(Duration::from_hours(24)), now);
        assert_eq!(outage.next_try(), Some(now + LONGEST_ASKED));
        outage.may_be_over(now);
        drop(probe(&outage, now));
        for _ in 0..40 {
            now += LONGEST_ASKED;
            outage.unavailable(None, now);
            assert!(outage.next_try() <= Some(now + LONGEST));
        }
    }
}
