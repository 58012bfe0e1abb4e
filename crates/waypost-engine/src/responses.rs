//! Stored responses, their event logs and their jobs. Plain data.

use std::time::Duration;

use bytes::Bytes;

use crate::{Millis, events::EventBatch};

/// The status of a response. The last four are terminal and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    Queued,
    InProgress,
    Completed,
    Failed,
    Incomplete,
    Cancelled,
}

impl Status {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "queued" => Self::Queued,
            "in_progress" => Self::InProgress,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "incomplete" => Self::Incomplete,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }

    /// Whether the response has ended.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }
}

/// An input item: its id and its JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputItem {
    pub id: String,
    pub json: String,
}

/// A response to be stored.
#[derive(Debug, Clone)]
pub struct NewResponse {
    /// `resp_…`. The server makes it, because clients see it before it is stored.
    pub id: String,
    pub project_id: String,
    /// The Response object as JSON text. Its `status` may be outdated later; the
    /// `status` column is the truth.
    pub body: String,
    pub created_at: Millis,
    pub background: bool,
    /// Created with `stream: true`. Other responses cannot be streamed.
    pub streamable: bool,
    /// `store: true`. Other responses are kept for the ephemeral time only.
    pub store: bool,
    pub previous_response_id: Option<String>,
    /// This request's own input, in order.
    pub input: Vec<InputItem>,
    /// Items of the body's output that requests may refer to.
    pub output: Vec<OutputItem>,
    /// The key that the caller gave this create, if any.
    pub idempotency: Option<Idempotency>,
}

/// A caller's key for one create. The store never creates a second response
/// under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Unique in a project.
    pub key: String,
    /// A fingerprint of the request, opaque to the store.
    pub fingerprint: [u8; 32],
}

/// The response that was created under an idempotency key. It may be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedUnder {
    pub response_id: String,
    /// The fingerprint of the request that created it.
    pub fingerprint: [u8; 32],
}

/// An item of a final body's `output`, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputItem {
    pub id: String,
    /// Its place in `output`, from 0.
    pub position: u32,
}

/// The work behind a background response.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Jobs of one queue share an upstream's capacity.
    pub queue: String,
    /// Everything a worker needs to run it, encoded by the server. Deleted with
    /// the job.
    pub request: Bytes,
}

/// A response as stored.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, as the API has them"
)]
pub struct StoredResponse {
    pub id: String,
    pub project_id: String,
    pub status: Status,
    pub body: String,
    pub created_at: Millis,
    pub background: bool,
    pub streamable: bool,
    pub store: bool,
    pub previous_response_id: Option<String>,
    /// The number of the next event, which is how many events the log holds.
    pub next_seq: u64,
    /// How often the log was rewound; see
    /// [`rewind`](crate::store::ResponseStore::rewind).
    pub rewinds: u64,
    /// The log was dropped by retention; the response itself remains.
    pub log_dropped: bool,
}

/// The right to write: one worker holds it for one claim of one job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    pub response_id: String,
    /// Rises by one at every claim and at a cancel. The store refuses a write whose
    /// epoch is not the row's.
    pub epoch: i64,
}

/// A job that this worker has claimed.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    pub lease: Lease,
    pub response: StoredResponse,
    pub queue: String,
    pub request: Bytes,
    /// The last checkpoint of an earlier claim; see
    /// [`save_checkpoint`](crate::store::ResponseStore::save_checkpoint).
    pub checkpoint: Option<Bytes>,
    /// The number of this claim, from 1. Claims whose release did not count are
    /// left out.
    pub attempt: u32,
    /// The claim replaces an expired lease, whose worker died or was cut off.
    pub taken_over: bool,
}

/// Longest checkpoint of a job, in bytes.
pub const MAX_CHECKPOINT: usize = 4096;

/// How many jobs of a queue a worker wants.
#[derive(Debug, Clone)]
pub struct Want {
    pub queue: String,
    pub max: u32,
    /// Only jobs whose response was created longer ago than this.
    pub older_than: Option<Duration>,
}

/// The end of a response.
#[derive(Debug, Clone)]
pub struct Terminal {
    pub status: Status,
    /// The final Response object as JSON text.
    pub body: String,
    /// Items of its output that requests may refer to.
    pub output: Vec<OutputItem>,
}

/// The outcome of a cancel.
#[derive(Debug, Clone)]
pub enum Cancelled {
    /// This call won: the response is now `cancelled`.
    Now(StoredResponse),
    /// It was already terminal or is not a background response. Nothing changed.
    Unchanged(StoredResponse),
}

/// A part of an event log.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// Batches in order, each with the number of its first event. The first batch
    /// may begin before the wanted event; skip the events before it.
    pub batches: Vec<(u64, EventBatch)>,
    /// The response's status at the same moment.
    pub status: Status,
    /// The number after the log's last event at the same moment. If the last batch
    /// here ends before it, read on.
    pub next_seq: u64,
    /// How often the log had been rewound at the same moment.
    pub rewinds: u64,
    /// Readers may have been given the events before this number.
    pub read_to: u64,
    /// The log was dropped by retention.
    pub log_dropped: bool,
}

/// A response in a chain of `previous_response_id`s.
#[derive(Debug, Clone)]
pub struct ChainLink {
    pub id: String,
    pub status: Status,
    /// Its own input items, JSON texts.
    pub input: Vec<String>,
    /// The Response object. Its `output` is part of the context.
    pub body: String,
}

/// Bounds of a chain walk.
#[derive(Debug, Clone, Copy)]
pub struct ChainLimits {
    pub max_turns: u32,
    pub max_bytes: usize,
}

/// How long each kind of row is kept. For responses and logs the time begins when
/// the response ends.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Event logs of terminal responses.
    pub event_log_ms: Millis,
    /// Responses with `store: true`; `None` keeps them until deleted.
    pub stored_ms: Option<Millis>,
    /// Responses with `store: false`, with their logs.
    pub ephemeral_ms: Millis,
    /// Idempotency keys, from when they were taken.
    pub idempotency_ms: Millis,
    /// Events of the audit log, from when they happened; `None` keeps them.
    pub audit_ms: Option<Millis>,
}

/// What one sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    pub logs: u64,
    pub responses: u64,
    pub revocations: u64,
    /// Idempotency keys.
    pub keys: u64,
    /// Events of the audit log.
    pub audit_events: u64,
}

/// Jobs by state, for metrics and poll hints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    pub queued: u64,
    pub running: u64,
    /// When the oldest of the queued ones was created.
    pub oldest_queued_at: Option<Millis>,
}
