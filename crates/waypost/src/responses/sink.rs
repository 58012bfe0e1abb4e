//! The two ends a run can write to: the durable log, and a client.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use waypost_engine::{Engine, StoreError, bus::ResponseHint, events::EventBatch, responses::Lease};

use super::{
    events::{FRAME_BYTES, frame},
    pump::Sink,
    recover::Checkpoint,
};
use crate::{
    model::Usage,
    run::{ClientFrames, DiscardSink, SinkClosed},
};

/// First and longest pause between tries of a write that failed for a reason
/// that may pass (a full disk, say).
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(2);

/// The log of a background response, under a lease. Events are hinted at only
/// once they are durable.
pub struct LogSink {
    pub engine: Engine,
    pub lease: Lease,
    /// The number of the next event.
    pub next_seq: u64,
    /// How often the log has been rewound.
    pub rewinds: u64,
    /// Cancelled when the lease is known to be lost.
    pub lost: CancellationToken,
    /// Cancelled when the server stops.
    pub stop: CancellationToken,
    /// When the response has taken as long as it may.
    pub deadline: Instant,
}

impl Sink for LogSink {
    async fn write(&mut self, batch: EventBatch) -> Result<(), SinkClosed> {
        let store = Arc::clone(&self.engine.store);
        let mut pause = RETRY_FIRST;
        loop {
            match store
                .append_events(&self.lease, self.next_seq, batch.clone())
                .await
            {
                Ok(()) => break,
                Err(StoreError::Fenced) => return Err(SinkClosed::Fenced),
                Err(error) if error.is_transient() => {
                    tracing::warn!(response_id = %self.lease.response_id, %error, "appending events failed; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        closed = self.given_up() => {
                            // This batch is not written: nothing may follow it.
                            return Err(match closed {
                                SinkClosed::Stopping => SinkClosed::Store,
                                other => other,
                            });
                        }
                    }
                    pause = (pause * 2).min(RETRY_LONGEST);
                }
                Err(error) => {
                    tracing::error!(response_id = %self.lease.response_id, %error, "appending events failed");
                    return Err(SinkClosed::Store);
                }
            }
        }
        let first_seq = self.next_seq;
        self.next_seq += batch.count();
        let hint = ResponseHint::Events {
            first_seq,
            batch,
            rewinds: self.rewinds,
            terminal: false,
        };
        self.engine
            .bus
            .publish_response(&self.lease.response_id, hint);
        Ok(())
    }

    async fn keep(&mut self, spent: Usage, pending: u64) -> Result<(), SinkClosed> {
        let checkpoint = Checkpoint {
            spent,
            events: self.next_seq + pending,
        };
        let saved = self
            .engine
            .store
            .save_checkpoint(&self.lease, checkpoint.encode());
        match saved.await {
            Err(StoreError::Fenced) => return Err(SinkClosed::Fenced),
            // The next one says it all again.
            Err(error) => {
                tracing::warn!(response_id = %self.lease.response_id, %error, "keeping a response's token counts failed");
            }
            Ok(()) => {}
        }
        Ok(())
    }

    async fn closed(&mut self) -> SinkClosed {
        tokio::select! {
            closed = self.given_up() => closed,
            () = tokio::time::sleep_until(self.deadline) => SinkClosed::Overtime,
        }
    }
}

impl LogSink {
    /// Resolves when writing has no more sense, late or not.
    pub async fn given_up(&self) -> SinkClosed {
        tokio::select! {
            () = self.lost.cancelled() => SinkClosed::Fenced,
            () = self.stop.cancelled() => SinkClosed::Stopping,
        }
    }
}

/// A client that streams: events become frames as they are written.
pub struct ClientSink {
    pub client: ClientFrames,
    next_seq: u64,
}

impl ClientSink {
    pub fn new(client: ClientFrames) -> Self {
        Self {
            client,
            next_seq: 0,
        }
    }
}

impl Sink for ClientSink {
    async fn write(&mut self, batch: EventBatch) -> Result<(), SinkClosed> {
        let mut out = BytesMut::new();
        for event in batch.iter() {
            frame(&mut out, self.next_seq, &event);
            self.next_seq += 1;
            if out.len() >= FRAME_BYTES {
                self.client.send(out.split().freeze()).await?;
            }
        }
        if !out.is_empty() {
            self.client.send(out.freeze()).await?;
        }
        Ok(())
    }

    async fn closed(&mut self) -> SinkClosed {
        self.client.closed().await
    }
}

impl Sink for DiscardSink {
    async fn write(&mut self, _: EventBatch) -> Result<(), SinkClosed> {
        Ok(())
    }

    async fn closed(&mut self) -> SinkClosed {
        DiscardSink::closed(self).await
    }
}
