//! The row of a response: reading it, and ending it.
//!
//! Easy to break: the status column is the truth, and becomes terminal in
//! [`end`] only, which also removes the job.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Tx,
    sql::{Result, now, run, unreadable},
};
use crate::{
    refusals,
    responses::{Status, StoredResponse},
};

/// Values of the column `log_state`.
pub(super) const NO_LOG: i64 = 0;
pub(super) const HAS_LOG: i64 = 1;
pub(super) const LOG_DROPPED: i64 = 2;

pub(super) fn get(conn: &Connection, project_id: &str, id: &str) -> Result<StoredResponse> {
    let response = get_any(conn, id)?;
    if response.project_id != project_id {
        return Err(refusals::no_response());
    }
    Ok(response)
}

/// A response of any project, for jobs: the lease is their right to the row.
pub(super) fn get_any(conn: &Connection, id: &str) -> Result<StoredResponse> {
    conn.prepare_cached(
        "SELECT * FROM responses JOIN response_bodies ON response_id = id WHERE id = ?",
    )?
    .query_row([id], read_response)
    .optional()?
    .ok_or_else(refusals::no_response)
}

fn read_response(row: &Row<'_>) -> rusqlite::Result<StoredResponse> {
    Ok(StoredResponse {
        id: row.get("id")?,
        project_id: row.get("project_id")?,
        status: status(row.get_ref("status")?.as_str()?)?,
        body: row.get("body")?,
        created_at: row.get("created_at")?,
        background: row.get("background")?,
        streamable: row.get("streamable")?,
        store: row.get("store")?,
        previous_response_id: row.get("previous_response_id")?,
        next_seq: row.get("next_seq")?,
        rewinds: row.get("rewinds")?,
        log_dropped: row.get::<_, i64>("log_state")? == LOG_DROPPED,
    })
}

pub(super) fn status(word: &str) -> rusqlite::Result<Status> {
    Status::parse(word).ok_or_else(|| unreadable("status", word))
}

/// Makes a response terminal: writes status, body and time, and removes the job.
pub(super) fn end(tx: &Tx<'_>, id: &str, status: Status, body: &str) -> Result<()> {
    run(
        tx.conn,
        "UPDATE responses SET status = ?, ended_at = ? WHERE id = ?",
        (status.as_str(), now(), id),
    )?;
    run(
        tx.conn,
        "UPDATE response_bodies SET body = ? WHERE response_id = ?",
        [body, id],
    )?;
    run(tx.conn, "DELETE FROM jobs WHERE response_id = ?", [id])?;
    Ok(())
}
