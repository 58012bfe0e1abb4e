//! The one reader of event logs: replay from the store, then live tail.
//!
//! Watch first, then read, then wait for a hint or a timer. A hint that
//! carries the next events saves the read; any other hint, and silence, lead
//! back to the store, which is the truth.
//!
//! Before a reader gives away an event it marks it in the store: what is marked
//! is never taken back (see [`super::recover`]). Easy to break: what was taken
//! and is not marked may be gone from the log at any time.

use std::sync::Arc;

use std::{collections::VecDeque, time::Duration};

use crate::responses::Responses;

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use waypost_engine::{
    bus::{ResponseHint, ResponseHints},
    events::EventBatch,
};

use super::events::{DONE, FRAME_BYTES, frame, is_about_an_item};

/// Encoded events that are read at once.
const PAGE_BYTES: usize = 256 * 1024;
/// How long a lost hint can delay a reader.
const POLL: Duration = Duration::from_secs(5);
/// Pause after a read that failed.
const RETRY: Duration = Duration::from_millis(500);
/// Events that are marked ahead, so that not each one waits for a write of its
/// own. More would keep more of a broken answer from starting again.
const MARKED_AHEAD: u64 = 64;

/// A place in one response's log.
struct Reader {
    responses: Arc<Responses>,
    project_id: String,
    id: String,
    hints: ResponseHints,
    /// The number of the next event to be taken.
    next: u64,
    /// Taken events that are not framed yet; they share their batch's memory.
    taken: VecDeque<(u64, Bytes)>,
    /// Where the log was known to end when it was last read.
    known: u64,
    /// How often it had been rewound then.
    rewinds: u64,
    /// Events before this number may be given away.
    marked: u64,
    /// Whether the log has ended: nothing of it can be taken back.
    ended: bool,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Reading,
    Waiting,
    /// The terminal event went out; the marker follows, if it is on.
    Ended,
    Closed,
}

/// The frames of a response's events after number `after`, to the terminal
/// event and the end marker. The stream ends early only when the response or
/// its log is gone.
pub async fn follow(
    responses: Arc<Responses>,
    project_id: String,
    id: String,
    after: Option<u64>,
) -> impl Stream<Item = Bytes> {
    let hints = responses.engine.bus.watch_response(&id).await;
    let next = after.map_or(0, |n| n.saturating_add(1));
    let reader = Reader {
        responses,
        project_id,
        id,
        hints,
        next,
        taken: VecDeque::new(),
        known: 0,
        rewinds: 0,
        marked: 0,
        ended: false,
        state: State::Reading,
    };
    stream::unfold(reader, |mut reader| async move {
        let frames = reader.frames().await?;
        Some((frames, reader))
    })
}

impl Reader {
    async fn frames(&mut self) -> Option<Bytes> {
        loop {
            if !self.taken.is_empty() {
                if self.ended || self.next <= self.marked {
                    return Some(self.frame_some());
                }
                self.mark().await;
                continue;
            }
            match self.state {
                State::Closed => return None,
                State::Ended => {
                    self.state = State::Closed;
                    if self.responses.runs.config.done_marker {
                        return Some(DONE);
                    }
                }
                State::Reading => self.read().await,
                State::Waiting => self.wait().await,
            }
        }
    }

    async fn read(&mut self) {
        let after = self.next.checked_sub(1);
        let page = self
            .responses
            .engine
            .store
            .read_events(&self.project_id, &self.id, after, PAGE_BYTES)
            .await;
        let page = match page {
            Ok(page) if page.log_dropped => {
                self.state = State::Closed;
                return;
            }
            Ok(page) => page,
            Err(error) if error.is_transient() => {
                tracing::warn!(response_id = %self.id, %error, "reading an event log failed");
                tokio::time::sleep(RETRY).await;
                return;
            }
            Err(_gone) => {
                self.state = State::Closed;
                return;
            }
        };
        self.known = page.next_seq;
        self.rewinds = page.rewinds;
        self.marked = self.marked.max(page.read_to);
        self.ended = page.status.is_terminal();
        for (first, batch) in page.batches {
            self.take(first, &batch);
        }
        if self.next >= self.known {
            self.state = if self.ended {
                State::Ended
            } else {
                State::Waiting
            };
        }
    }

    async fn wait(&mut self) {
        match self.hints.next(POLL).await {
            // A doubled or late hint: nothing new.
            ResponseHint::Events {
                first_seq,
                batch,
                rewinds,
                terminal: false,
            } if rewinds == self.rewinds && first_seq + batch.count() <= self.next => {}
            ResponseHint::Events {
                first_seq,
                batch,
                rewinds,
                terminal,
            } if rewinds == self.rewinds && first_seq <= self.next => {
                self.take(first_seq, &batch);
                if terminal {
                    self.ended = true;
                    self.state = State::Ended;
                }
            }
            _ => self.state = State::Reading,
        }
    }

    /// Marks what was taken as given, or lets go of it where it is no more.
    async fn mark(&mut self) {
        // What comes before the first item is never taken back: marking ahead of
        // it would keep the first item from starting again.
        let items = self
            .taken
            .back()
            .is_some_and(|(_, event)| is_about_an_item(event));
        let to = self.next + if items { MARKED_AHEAD } else { 0 };
        let store = &self.responses.engine.store;
        match store
            .mark_read(&self.project_id, &self.id, to, self.rewinds)
            .await
        {
            Ok(true) => self.marked = to,
            Ok(false) => {
                self.next -= self.taken.len() as u64;
                self.taken.clear();
                self.state = State::Reading;
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(response_id = %self.id, %error, "marking events as read failed");
                tokio::time::sleep(RETRY).await;
            }
            Err(_gone) => {
                self.taken.clear();
                self.state = State::Closed;
            }
        }
    }

    /// Takes what of a batch is new.
    fn take(&mut self, first: u64, batch: &EventBatch) {
        for (number, event) in (first..).zip(batch.iter()) {
            if number == self.next {
                self.taken.push_back((number, event));
                self.next += 1;
            }
        }
    }

    fn frame_some(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        while out.len() < FRAME_BYTES
            && let Some((number, event)) = self.taken.pop_front()
        {
            frame(&mut out, number, &event);
        }
        out.freeze()
    }
}
