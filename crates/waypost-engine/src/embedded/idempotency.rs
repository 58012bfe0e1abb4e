//! The idempotency keys under which responses were created.

use rusqlite::{Connection, OptionalExtension};

use super::{
    Tx,
    sql::{Result, now, run},
};
use crate::{
    refusals,
    responses::{CreatedUnder, Idempotency, NewResponse},
};

/// Takes the key for the response. An error if another response has it.
pub(super) fn take(tx: &Tx<'_>, new: &NewResponse, taken: &Idempotency) -> Result<()> {
    let rows = run(
        tx.conn,
        "INSERT INTO idempotency_keys (project_id, key, fingerprint, response_id, created_at)
         VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            &new.project_id,
            &taken.key,
            taken.fingerprint,
            &new.id,
            now(),
        ),
    )?;
    if rows == 0 {
        return Err(refusals::idempotency_key_is_taken());
    }
    Ok(())
}

pub(super) fn find(conn: &Connection, project_id: &str, key: &str) -> Result<Option<CreatedUnder>> {
    Ok(conn
        .prepare_cached(
            "SELECT response_id, fingerprint FROM idempotency_keys
             WHERE project_id = ? AND key = ?",
        )?
        .query_row([project_id, key], |row| {
            Ok(CreatedUnder {
                response_id: row.get("response_id")?,
                fingerprint: row.get("fingerprint")?,
            })
        })
        .optional()?)
}
