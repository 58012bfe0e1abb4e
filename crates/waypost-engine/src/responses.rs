//! Stored responses, their event logs and their jobs. Plain data.

use std::time::Duration;

use bytes::Bytes;

use crate::{Millis, events::EventBatch};

/// Where a response is. The last four are terminal and never change.
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

    /// Whether nothing can follow.
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

/// A response to be stored, by whichever way.
#[derive(Debug, Clone)]
pub struct NewResponse {
    /// `resp_…`, made by the server: clients see it before it is stored.
    pub id: String,
    pub project_id: String,
    /// The Response object as JSON text. Its `status` and `output` are those of
    /// the moment; on reading, the `status` column is the truth.
    pub body: String,
    pub created_at: Millis,
    pub background: bool,
    /// Created with `stream: true`: only then may the log be streamed.
    pub streamable: bool,
    /// `store: true`. Otherwise kept only for the ephemeral time.
    pub store: bool,
    pub previous_response_id: Option<String>,
    /// This request's own input, in order.
    pub input: Vec<InputItem>,
    /// Items of the body's output that requests may refer to.
    pub output: Vec<OutputItem>,
    /// The caller's name for this create, if it has one.
    pub idempotency: Option<Idempotency>,
}

/// A caller's name for one create: under it a second response is never made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Unique in a project.
    pub key: String,
    /// Of the request; opaque here.
    pub fingerprint: [u8; 32],
}

/// What was created under an idempotency key. The response may be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedUnder {
    pub response_id: String,
    /// Of the request that created it.
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
    /// All that a worker needs to run it, encoded by the server; deleted with
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
    /// The number the next event would get: how many the log holds.
    pub next_seq: u64,
    /// How often the log's end was taken back; see
    /// [`rewind`](crate::store::ResponseStore::rewind).
    pub rewinds: u64,
    /// The log was dropped by retention; the response itself remains.
    pub log_dropped: bool,
}

/// Proof of the right to write: held by one worker for one claim of one job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    pub response_id: String,
    /// Rises by one at every claim, and at cancel. A write with another epoch
    /// than the row's is refused.
    pub epoch: i64,
}

/// A job that is now this worker's.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    pub lease: Lease,
    pub response: StoredResponse,
    pub queue: String,
    pub request: Bytes,
    /// The last checkpoint of an earlier claim; see
    /// [`save_checkpoint`](crate::store::ResponseStore::save_checkpoint).
    pub checkpoint: Option<Bytes>,
    /// Which claim this is, counted from 1; releases that do not count are
    /// left out.
    pub attempt: u32,
    /// The lease it replaces had expired: its worker died or was cut off.
    pub taken_over: bool,
}

/// Longest checkpoint of a job, in bytes.
pub const MAX_CHECKPOINT: usize = 4096;

/// How many jobs of a queue a worker can take now.
#[derive(Debug, Clone)]
pub struct Want {
    pub queue: String,
    pub max: u32,
    /// Of these, only jobs whose response was created longer ago.
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

/// What became of a cancel.
#[derive(Debug, Clone)]
pub enum Cancelled {
    /// This call won: the response is now `cancelled`.
    Now(StoredResponse),
    /// It was already terminal, or is no background response; unchanged.
    Unchanged(StoredResponse),
}

/// A stretch of an event log.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// Batches in order, each with the number of its first event. The first one
    /// may begin before what was asked for: skip what is not wanted.
    pub batches: Vec<(u64, EventBatch)>,
    /// The response's status at the same moment.
    pub status: Status,
    /// The number after the log's last event at the same moment: when the last
    /// batch here ends before it, read on.
    pub next_seq: u64,
    /// How often the log had been rewound at the same moment.
    pub rewinds: u64,
    /// Readers may have been given the events before this number.
    pub read_to: u64,
    /// The log was dropped by retention.
    pub log_dropped: bool,
}

/// A response in a chain, which `previous_response_id` makes.
#[derive(Debug, Clone)]
pub struct ChainLink {
    pub id: String,
    pub status: Status,
    /// Its own input items, JSON texts.
    pub input: Vec<String>,
    /// The Response object; its `output` continues the context.
    pub body: String,
}

/// Bounds of a chain walk.
#[derive(Debug, Clone, Copy)]
pub struct ChainLimits {
    pub max_turns: u32,
    pub max_bytes: usize,
}

/// How long things are kept, those that end after they ended.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Event logs of terminal responses.
    pub event_log_ms: Millis,
    /// Responses with `store: true`; `None` keeps them until deleted.
    pub stored_ms: Option<Millis>,
    /// Responses with `store: false`, log and all.
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
