//! The event log: rows of batches, each found by the number of its first event.
//!
//! Easy to break: `responses.next_seq` and the last batch agree, always in the
//! same transaction; a reader takes both at one moment.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use super::{
    Tx,
    responses::{LOG_DROPPED, status},
    sql::{Result, exists, run},
};
use crate::{StoreError, events::EventBatch, responses::EventPage};

/// Appends a batch, whose first number the caller has checked to be next.
pub(super) fn append(
    tx: &Tx<'_>,
    id: &str,
    epoch: i64,
    first_seq: u64,
    batch: &EventBatch,
) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let next_seq = first_seq.saturating_add(batch.count());
    run(
        tx.conn,
        "INSERT INTO event_batches (response_id, first_seq, last_seq, epoch, events)
         VALUES (?, ?, ?, ?, ?)",
        (id, first_seq, next_seq - 1, epoch, &batch.as_bytes()[..]),
    )?;
    run(
        tx.conn,
        "UPDATE responses SET next_seq = ? WHERE id = ?",
        (next_seq, id),
    )?;
    Ok(())
}

/// Whether exactly this batch is in the log already.
pub(super) fn holds(tx: &Tx<'_>, id: &str, first_seq: u64, batch: &EventBatch) -> Result<bool> {
    if batch.is_empty() {
        return Ok(true);
    }
    Ok(exists(
        tx.conn,
        "SELECT 1 FROM event_batches WHERE response_id = ? AND first_seq = ? AND events = ?",
        (id, first_seq, &batch.as_bytes()[..]),
    )?)
}

pub(super) fn read(
    conn: &Connection,
    project_id: &str,
    id: &str,
    after: Option<u64>,
    max_bytes: usize,
) -> Result<EventPage> {
    let (status, next_seq, log_state): (_, u64, i64) = conn
        .prepare_cached(
            "SELECT status, next_seq, log_state FROM responses WHERE id = ? AND project_id = ?",
        )?
        .query_row([id, project_id], |row| {
            let word = status(row.get_ref(0)?.as_str()?)?;
            Ok((word, row.get(1)?, row.get(2)?))
        })
        .optional()?
        .ok_or(StoreError::NotFound("response"))?;
    let mut page = EventPage {
        batches: Vec::new(),
        status,
        next_seq,
        log_dropped: log_state == LOG_DROPPED,
    };
    let wanted = after.map_or(0, |after| after.saturating_add(1));
    if wanted >= next_seq || page.log_dropped {
        return Ok(page);
    }
    // The batch that holds `wanted` is the last one that begins at or before it.
    let mut select = conn.prepare_cached(
        "SELECT first_seq, events FROM event_batches
         WHERE response_id = ?1 AND first_seq >= (
             SELECT max(first_seq) FROM event_batches WHERE response_id = ?1 AND first_seq <= ?2)
         ORDER BY first_seq",
    )?;
    let mut rows = select.query((id, wanted))?;
    let mut bytes = 0;
    while bytes < max_bytes.max(1)
        && let Some(row) = rows.next()?
    {
        let events = Bytes::from(row.get::<_, Vec<u8>>(1)?);
        bytes += events.len();
        let batch = EventBatch::decode(events)
            .ok_or_else(|| StoreError::Internal(format!("the log of {id} is damaged")))?;
        page.batches.push((row.get(0)?, batch));
    }
    Ok(page)
}
