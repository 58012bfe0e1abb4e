//! Plays an answer onto the wire: timing, faults and the cuts between writes.
//!
//! The body is a queue of steps, refilled from the beats a write at a time, so a 10 MB answer
//! needs the memory of one write and a slow reader holds it back. hyper flushes what it was given
//! when the body is pending: a pause is what makes a write a write. Ending a body with an error
//! throws away what is not flushed, so every deliberate break is preceded by one.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::answer::{Answer, Beat};
use super::frame::{self, Frames};
use super::script::Script;
use super::stats::Running;
use crate::net::{Broken, Wire};

/// Between two pieces of one write: enough to be two TCP segments.
const BETWEEN_PIECES: Duration = Duration::from_millis(1);
/// Before a deliberate break, so that what came before it is on the wire.
const BEFORE_BREAK: Duration = Duration::from_millis(10);

/// Writes the events of one dialect.
pub(super) trait Encoder: Send {
    fn open(&mut self, out: &mut Frames);
    fn beat(&mut self, beat: Beat, out: &mut Frames);
    /// Finish reason or terminal event, usage, `[DONE]`.
    fn close(&mut self, out: &mut Frames);
    fn malformed(&mut self, out: &mut Frames);
    fn error(&mut self, out: &mut Frames);
    fn keepalive(&mut self, out: &mut Frames);
}

/// The body of an answer.
pub(crate) enum Playback {
    Whole(Option<Bytes>),
    Steps(Box<Steps>),
}

pub(crate) struct Steps {
    queue: VecDeque<Step>,
    sleep: Option<Pin<Box<Sleep>>>,
    sleeping: bool,
    stream: Option<Stream>,
    running: Running,
    wire: Arc<Wire>,
}

enum Step {
    /// With so many deltas in it.
    Write(Bytes, usize),
    Pause(Duration),
    /// Nothing more, ever.
    Hang,
    /// FIN in the middle of the body.
    Cut,
    Reset,
    End,
}

/// The part of a streamed answer that is still to come.
struct Stream {
    script: Arc<Script>,
    answer: Answer,
    encoder: Box<dyn Encoder>,
    frames: Frames,
    faults: Faults,
    opened: bool,
    deltas: usize,
    /// Of `deltas`, those that are queued.
    flushed: usize,
}

impl Playback {
    pub(super) fn whole(body: impl Into<Bytes>) -> Self {
        Self::Whole(Some(body.into()))
    }

    pub(super) fn stream(
        script: Arc<Script>,
        answer: Answer,
        encoder: Box<dyn Encoder>,
        running: Running,
        wire: Arc<Wire>,
    ) -> Self {
        let stream = Stream {
            frames: Frames::new(&script),
            faults: Faults::of(&script),
            script,
            answer,
            encoder,
            opened: false,
            deltas: 0,
            flushed: 0,
        };
        Self::steps(VecDeque::new(), Some(stream), running, wire)
    }

    /// `bytes`, then a FIN where the reader expects more.
    pub(super) fn torn(bytes: Bytes, running: Running, wire: Arc<Wire>) -> Self {
        let steps = [Step::Write(bytes, 0), Step::Pause(BEFORE_BREAK), Step::Cut];
        Self::steps(steps.into(), None, running, wire)
    }

    fn steps(
        queue: VecDeque<Step>,
        stream: Option<Stream>,
        running: Running,
        wire: Arc<Wire>,
    ) -> Self {
        let steps = Steps {
            queue,
            sleep: None,
            sleeping: false,
            stream,
            running,
            wire,
        };
        Self::Steps(Box::new(steps))
    }
}

impl Body for Playback {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Steps(steps) => steps.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Self::Steps(_) => SizeHint::default(),
        }
    }
}

impl Steps {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if self.sleeping
                && let Some(sleep) = &mut self.sleep
            {
                ready!(sleep.as_mut().poll(cx));
                self.sleeping = false;
            }
            let Some(step) = self.queue.pop_front() else {
                match &mut self.stream {
                    Some(stream) => stream.refill(&mut self.queue),
                    None => return Poll::Ready(None),
                }
                continue;
            };
            match step {
                Step::Write(bytes, deltas) => {
                    self.running.served.sent(bytes.len(), deltas);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Step::Pause(pause) => self.pause(pause),
                Step::Hang => {
                    // Stays the next step: only the client's leaving ends this.
                    self.queue.push_front(Step::Hang);
                    return Poll::Pending;
                }
                Step::Cut => {
                    self.running.finished();
                    return Poll::Ready(Some(Err(Broken)));
                }
                Step::Reset => {
                    self.running.finished();
                    self.wire.reset_on_close();
                    return Poll::Ready(Some(Err(Broken)));
                }
                Step::End => {
                    self.running.finished();
                    self.stream = None;
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn pause(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(until),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(until))),
        }
        self.sleeping = true;
    }
}

impl Stream {
    /// Queues one write with its pause, or what a fault makes of it.
    fn refill(&mut self, queue: &mut VecDeque<Step>) {
        if !self.opened {
            self.opened = true;
            if self.script.first_delay_ms > 0 {
                queue.push_back(Step::Pause(Duration::from_millis(
                    self.script.first_delay_ms,
                )));
            }
            self.encoder.open(&mut self.frames);
        }
        let per_write = self.script.deltas_per_write();
        let mut in_write = 0;
        while in_write < per_write {
            while let Some(fault) = self.faults.due(self.deltas) {
                if self.strike(fault, queue) {
                    return;
                }
            }
            let Some(beat) = self.answer.next() else {
                self.encoder.close(&mut self.frames);
                self.flush(queue);
                queue.push_back(Step::End);
                return;
            };
            self.encoder.beat(beat, &mut self.frames);
            if beat.is_delta() {
                in_write += 1;
                self.deltas += 1;
                let every = self.script.keepalive;
                if every > 0 && self.deltas.is_multiple_of(every) {
                    self.encoder.keepalive(&mut self.frames);
                }
            }
        }
        self.flush(queue);
        if self.script.delay_ms > 0 {
            queue.push_back(Step::Pause(Duration::from_millis(self.script.delay_ms)));
        }
    }

    /// True if the answer ends here.
    fn strike(&mut self, fault: Fault, queue: &mut VecDeque<Step>) -> bool {
        match fault {
            Fault::Malformed => {
                self.encoder.malformed(&mut self.frames);
                return false;
            }
            Fault::Error => self.encoder.error(&mut self.frames),
            Fault::Stall | Fault::Eof | Fault::Cut | Fault::Reset => {}
        }
        self.flush(queue);
        match fault {
            Fault::Stall if self.script.stall_ms > 0 => {
                queue.push_back(Step::Pause(Duration::from_millis(self.script.stall_ms)));
                return false;
            }
            Fault::Stall => queue.push_back(Step::Hang),
            Fault::Cut => queue.extend([Step::Pause(BEFORE_BREAK), Step::Cut]),
            Fault::Reset => queue.extend([Step::Pause(BEFORE_BREAK), Step::Reset]),
            Fault::Eof | Fault::Error | Fault::Malformed => queue.push_back(Step::End),
        }
        true
    }

    fn flush(&mut self, queue: &mut VecDeque<Step>) {
        if self.frames.is_empty() {
            return;
        }
        let mut between = false;
        let mut deltas = self.deltas - std::mem::replace(&mut self.flushed, self.deltas);
        for piece in frame::pieces(&self.script, self.frames.take()) {
            if between {
                queue.push_back(Step::Pause(BETWEEN_PIECES));
            }
            queue.push_back(Step::Write(piece, std::mem::take(&mut deltas)));
            between = true;
        }
        if between && (self.script.split_utf8 || self.script.write_bytes.is_some()) {
            // The next write must not join this one's last piece.
            queue.push_back(Step::Pause(BETWEEN_PIECES));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Stall,
    Malformed,
    Error,
    Eof,
    Cut,
    Reset,
}

/// The faults of one call, each of which strikes once.
#[derive(Debug)]
pub(super) struct Faults([Option<(usize, Fault)>; 6]);

impl Faults {
    pub(super) fn of(script: &Script) -> Self {
        let at = |after: Option<usize>, fault| after.map(|after| (after, fault));
        Self([
            at(script.stall_after, Fault::Stall),
            at(script.malformed_after, Fault::Malformed),
            at(script.error_after, Fault::Error),
            at(script.eof_after, Fault::Eof),
            at(script.cut_after, Fault::Cut),
            at(script.reset_after, Fault::Reset),
        ])
    }

    /// A fault that strikes after `deltas`, in the order of the enum.
    pub(super) fn due(&mut self, deltas: usize) -> Option<Fault> {
        let due = self
            .0
            .iter_mut()
            .find(|fault| fault.is_some_and(|(after, _)| after <= deltas));
        due?.take().map(|(_, fault)| fault)
    }
}
