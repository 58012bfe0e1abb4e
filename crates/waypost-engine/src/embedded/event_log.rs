//! The event log: rows of batches, keyed by the number of their first event.
//!
//! Easy to break: every transaction leaves `responses.next_seq` and the last batch
//! in agreement, and a reader reads both in one transaction.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use super::{
    Tx,
    response_row::{LOG_DROPPED, status},
    sql::{Result, exists, run},
};
use crate::{StoreError, events::EventBatch, refusals, responses::EventPage};

/// Appends a batch. The caller has checked that its first number is the next one.
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

/// Whether the log already has exactly this batch.
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

/// Marks the events before number `to` as given to readers, unless the log was
/// rewound again after `rewinds` rewinds.
pub(super) fn mark(tx: &Tx<'_>, project_id: &str, id: &str, to: u64, rewinds: u64) -> Result<bool> {
    let (now, marked, ended): (u64, u64, bool) = tx
        .conn
        .prepare_cached(
            "SELECT rewinds, read_to, ended_at IS NOT NULL FROM responses
             WHERE id = ? AND project_id = ?",
        )?
        .query_row([id, project_id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?
        .ok_or_else(refusals::no_response)?;
    if now != rewinds {
        return Ok(false);
    }
    if to > marked && !ended {
        run(
            tx.conn,
            "UPDATE responses SET read_to = ? WHERE id = ?",
            (to, id),
        )?;
    }
    Ok(true)
}

/// Removes the events from number `to` on, unless a reader may have been given one.
pub(super) fn rewind(tx: &Tx<'_>, id: &str, to: u64) -> Result<Option<u64>> {
    let (next_seq, read_to, rewinds): (u64, u64, u64) = tx
        .conn
        .prepare_cached("SELECT next_seq, read_to, rewinds FROM responses WHERE id = ?")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if to > next_seq {
        return Err(refusals::rewound_past_the_end(id, to, next_seq));
    }
    if to == next_seq {
        return Ok(Some(rewinds));
    }
    if to < read_to {
        return Ok(None);
    }
    // A batch across the new end keeps its first events.
    let cut: Option<(u64, Vec<u8>)> = tx
        .conn
        .prepare_cached(
            "SELECT first_seq, events FROM event_batches
             WHERE response_id = ?1 AND first_seq < ?2 AND last_seq >= ?2",
        )?
        .query_row((id, to), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((first_seq, events)) = cut {
        let batch = EventBatch::decode(Bytes::from(events)).ok_or_else(|| damaged(id))?;
        let kept = usize::try_from(to - first_seq).unwrap_or(usize::MAX);
        let kept = EventBatch::of(batch.iter().take(kept));
        run(
            tx.conn,
            "UPDATE event_batches SET last_seq = ?, events = ?
             WHERE response_id = ? AND first_seq = ?",
            (to - 1, &kept.as_bytes()[..], id, first_seq),
        )?;
    }
    run(
        tx.conn,
        "DELETE FROM event_batches WHERE response_id = ? AND first_seq >= ?",
        (id, to),
    )?;
    run(
        tx.conn,
        "UPDATE responses SET next_seq = ?, rewinds = rewinds + 1 WHERE id = ?",
        (to, id),
    )?;
    Ok(Some(rewinds + 1))
}

fn damaged(id: &str) -> StoreError {
    StoreError::Internal(format!("the log of {id} is damaged"))
}

pub(super) fn read(
    conn: &Connection,
    project_id: &str,
    id: &str,
    after: Option<u64>,
    max_bytes: usize,
) -> Result<EventPage> {
    let mut page = conn
        .prepare_cached(
            "SELECT status, next_seq, rewinds, read_to, log_state FROM responses
             WHERE id = ? AND project_id = ?",
        )?
        .query_row([id, project_id], |row| {
            Ok(EventPage {
                batches: Vec::new(),
                status: status(row.get_ref(0)?.as_str()?)?,
                next_seq: row.get(1)?,
                rewinds: row.get(2)?,
                read_to: row.get(3)?,
                log_dropped: row.get::<_, i64>(4)? == LOG_DROPPED,
            })
        })
        .optional()?
        .ok_or_else(refusals::no_response)?;
    let wanted = after.map_or(0, |after| after.saturating_add(1));
    if wanted >= page.next_seq || page.log_dropped {
        return Ok(page);
    }
    // The last batch that begins at or before `wanted` holds it.
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
        let batch = EventBatch::decode(events).ok_or_else(|| damaged(id))?;
        page.batches.push((row.get(0)?, batch));
    }
    Ok(page)
}
