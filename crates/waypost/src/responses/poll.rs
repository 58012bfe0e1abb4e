//! When a polling client should come again: `openai-poll-after-ms`, which the
//! official agents SDK honours.

use std::sync::Arc;

use std::time::Duration;

use crate::responses::Responses;

use http::{HeaderMap, HeaderValue};
use waypost_engine::responses::Status;

/// `Retry-After` of a full queue.
pub const QUEUE_FULL_RETRY: Duration = Duration::from_secs(10);

const RUNNING_MS: u64 = 500;
const QUEUED_LEAST_MS: u64 = 500;
const QUEUED_MOST_MS: u64 = 10_000;
/// What each waiting job adds to a queued one's hint.
const PER_WAITING_MS: u64 = 20;

/// Adds the hint while the response is not terminal.
pub fn hint(state: &Arc<Responses>, status: Status, headers: &mut HeaderMap) {
    let after = match status {
        Status::Queued => {
            (state.jobs.waiting() * PER_WAITING_MS).clamp(QUEUED_LEAST_MS, QUEUED_MOST_MS)
        }
        Status::InProgress => RUNNING_MS,
        _ => return,
    };
    headers.insert("openai-poll-after-ms", HeaderValue::from(after));
}
