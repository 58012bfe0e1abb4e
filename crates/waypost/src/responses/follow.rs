//! The one reader of event logs: replay from the store, then live tail.
//!
//! Watch first, then read, then wait for a hint or a timer. A hint that
//! carries the next events saves the read; any other hint, and silence, lead
//! back to the store, which is the truth.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use waypost_engine::{
    bus::{ResponseHint, ResponseHints},
    events::EventBatch,
};

use super::events::{DONE, frame};
use crate::app::AppRef;

/// Encoded events that are read at once.
const PAGE_BYTES: usize = 256 * 1024;
/// How long a lost hint can delay a reader.
const POLL: Duration = Duration::from_secs(5);
/// Pause after a read that failed.
const RETRY: Duration = Duration::from_millis(500);

/// A place in one response's log.
struct Reader {
    app: AppRef,
    project_id: String,
    id: String,
    hints: ResponseHints,
    /// The number of the next event.
    next: u64,
    /// Where the log was known to end when it was last read.
    known: u64,
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
pub fn follow(
    app: AppRef,
    project_id: String,
    id: String,
    after: Option<u64>,
) -> impl Stream<Item = Bytes> {
    let hints = app.engine.bus.watch_response(&id);
    let next = after.map_or(0, |n| n.saturating_add(1));
    let reader = Reader {
        app,
        project_id,
        id,
        hints,
        next,
        known: 0,
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
            match self.state {
                State::Closed => return None,
                State::Ended => {
                    self.state = State::Closed;
                    if self.app.config.responses.done_marker {
                        return Some(DONE);
                    }
                }
                State::Reading => {
                    if let Some(frames) = self.read().await {
                        return Some(frames);
                    }
                }
                State::Waiting => {
                    if let Some(frames) = self.wait().await {
                        return Some(frames);
                    }
                }
            }
        }
    }

    async fn read(&mut self) -> Option<Bytes> {
        let after = self.next.checked_sub(1);
        let page = self
            .app
            .engine
            .store
            .read_events(&self.project_id, &self.id, after, PAGE_BYTES)
            .await;
        let page = match page {
            Ok(page) if page.log_dropped => {
                self.state = State::Closed;
                return None;
            }
            Ok(page) => page,
            Err(error) if error.is_transient() => {
                tracing::warn!(response_id = %self.id, %error, "reading an event log failed");
                tokio::time::sleep(RETRY).await;
                return None;
            }
            Err(_gone) => {
                self.state = State::Closed;
                return None;
            }
        };
        self.known = page.next_seq;
        let mut out = BytesMut::new();
        for (first, batch) in page.batches {
            self.take(first, &batch, &mut out);
        }
        if self.next >= self.known {
            self.state = if page.status.is_terminal() {
                State::Ended
            } else {
                State::Waiting
            };
        }
        (!out.is_empty()).then(|| out.freeze())
    }

    async fn wait(&mut self) -> Option<Bytes> {
        match self.hints.next(POLL).await {
            // A doubled or late hint: nothing new.
            ResponseHint::Events {
                first_seq,
                batch,
                terminal: false,
            } if first_seq + batch.count() <= self.next => None,
            ResponseHint::Events {
                first_seq,
                batch,
                terminal,
            } if first_seq <= self.next => {
                let mut out = BytesMut::new();
                self.take(first_seq, &batch, &mut out);
                if terminal {
                    self.state = State::Ended;
                }
                (!out.is_empty()).then(|| out.freeze())
            }
            _ => {
                self.state = State::Reading;
                None
            }
        }
    }

    /// Frames what of a batch is new.
    fn take(&mut self, first: u64, batch: &EventBatch, out: &mut BytesMut) {
        for (number, event) in (first..).zip(batch.iter()) {
            if number == self.next {
                frame(out, number, &event);
                self.next += 1;
            }
        }
    }
}
