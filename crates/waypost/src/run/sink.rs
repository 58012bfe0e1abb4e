//! The ends that an answer can have at a client, and why they take no more.

use std::time::Duration;

use bytes::Bytes;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// A foreground client that takes nothing for so long has left: until then it
/// holds a slot of the model server.
const CLIENT_PATIENCE: Duration = Duration::from_mins(10);
/// How long a foreground client may take for its last frames once the server
/// stops.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why a sink takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkClosed {
    /// The client left.
    Client,
    /// The lease was lost: cancelled, taken over.
    Fenced,
    /// The server stops; what was written so far is safe.
    Stopping,
    /// The store cannot take it.
    Store,
    /// The response has taken as long as it may. Nothing is lost: what is
    /// pending can still be written.
    Overtime,
}

/// A client that streams.
pub struct ClientFrames {
    frames: mpsc::Sender<Bytes>,
    stop: CancellationToken,
    deadline: Instant,
    /// Frames were lost: nothing may follow them.
    broken: bool,
}

impl ClientFrames {
    /// `stop` is cancelled when the server stops, `deadline` is when the answer
    /// has taken as long as it may.
    pub fn new(frames: mpsc::Sender<Bytes>, stop: CancellationToken, deadline: Instant) -> Self {
        Self {
            frames,
            stop,
            deadline,
            broken: false,
        }
    }

    /// Resolves when the client takes no more.
    pub async fn closed(&self) -> SinkClosed {
        tokio::select! {
            () = self.frames.closed() => SinkClosed::Client,
            () = self.stop.cancelled() => SinkClosed::Stopping,
            () = tokio::time::sleep_until(self.deadline) => SinkClosed::Overtime,
        }
    }

    /// Sends frames; resolves when there is room for them. When the server stops
    /// there is still time for the last ones.
    pub async fn send(&mut self, frames: Bytes) -> Result<(), SinkClosed> {
        if self.broken {
            return Err(SinkClosed::Client);
        }
        let stopped = async {
            self.stop.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        };
        let sent = tokio::select! {
            sent = self.frames.send(frames) => sent.map_err(|_| SinkClosed::Client),
            () = stopped => Err(SinkClosed::Stopping),
            () = tokio::time::sleep(CLIENT_PATIENCE) => Err(SinkClosed::Client),
        };
        self.broken = sent.is_err();
        sent
    }
}

/// A client that waits for the whole answer: dropping its request ends the run,
/// so nothing else has to.
pub struct DiscardSink {
    pub stop: CancellationToken,
    pub deadline: Instant,
}

impl DiscardSink {
    /// Resolves when the answer may take no longer.
    pub async fn closed(&self) -> SinkClosed {
        tokio::select! {
            () = self.stop.cancelled() => SinkClosed::Stopping,
            () = tokio::time::sleep_until(self.deadline) => SinkClosed::Overtime,
        }
    }
}
