//! The sweep removes rows that are past their retention.
//!
//! Easy to break: the sweep may only touch responses with `ended_at`, which they
//! get when they become terminal. A call must be short, because all other writes
//! wait for it.

use rusqlite::Connection;

use super::{
    Tx,
    response_row::LOG_DROPPED,
    sql::{Result, now, run},
};
use crate::{
    Millis,
    responses::{Retention, Swept},
};

/// How many logs, and how many responses of each kind, one call removes.
const ROWS: i64 = 64;
/// How many small rows of each kind one call removes.
const SMALL_ROWS: i64 = 1024;

pub(super) fn sweep(tx: &Tx<'_>, keep: Retention) -> Result<Swept> {
    let now = now();
    let mut swept = Swept::default();
    for (store, kept) in [(true, keep.stored_ms), (false, Some(keep.ephemeral_ms))] {
        let Some(kept) = kept else { continue };
        // The foreign keys delete body, input and log.
        swept.responses += changed(
            tx.conn,
            "DELETE FROM responses WHERE id IN (
                 SELECT id FROM responses WHERE store = ? AND ended_at <= ? LIMIT ?)",
            (store, before(now, kept), ROWS),
        )?;
    }
    let ended: Vec<String> = tx
        .conn
        .prepare_cached(
            "SELECT id FROM responses WHERE log_state = 1 AND ended_at <= ?
             ORDER BY ended_at LIMIT ?",
        )?
        .query_map((before(now, keep.event_log_ms), ROWS), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &ended {
        run(
            tx.conn,
            "DELETE FROM event_batches WHERE response_id = ?",
            [id],
        )?;
        run(
            tx.conn,
            "UPDATE responses SET log_state = ? WHERE id = ?",
            (LOG_DROPPED, id),
        )?;
        swept.logs += 1;
    }
    swept.revocations = changed(
        tx.conn,
        "DELETE FROM revocations WHERE jti IN (
             SELECT jti FROM revocations WHERE expires_at <= ? LIMIT ?)",
        (now, SMALL_ROWS),
    )?;
    swept.keys = changed(
        tx.conn,
        "DELETE FROM idempotency_keys WHERE (project_id, key) IN (
             SELECT project_id, key FROM idempotency_keys WHERE created_at <= ? LIMIT ?)",
        (before(now, keep.idempotency_ms), SMALL_ROWS),
    )?;
    if let Some(kept) = keep.audit_ms {
        swept.audit_events = changed(
            tx.conn,
            "DELETE FROM audit WHERE id IN (
                 SELECT id FROM audit WHERE effective_at <= ? LIMIT ?)",
            (before(now, kept), SMALL_ROWS),
        )?;
    }
    // These are not counted: no caller can see that they are gone.
    if let Some(kept) = keep.stored_ms {
        run(
            tx.conn,
            "DELETE FROM approvals WHERE (project_id, request_id) IN (
                 SELECT project_id, request_id FROM approvals WHERE taken_at <= ? LIMIT ?)",
            (before(now, kept), SMALL_ROWS),
        )?;
    }
    Ok(swept)
}

fn before(now: Millis, kept: Millis) -> Millis {
    now.saturating_sub(kept)
}

fn changed(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<u64> {
    Ok(run(conn, sql, params)? as u64)
}
