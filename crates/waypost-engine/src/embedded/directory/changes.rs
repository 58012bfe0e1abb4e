//! What every change of the directory brings with it.
//!
//! Easy to break: a change, its audit event and the higher version are one
//! transaction. The version tells other parts to load the directory again.

use rusqlite::Connection;

use crate::{
    audit::AuditDraft,
    embedded::{
        Tx, audit,
        sql::{Result, run},
    },
};

/// Writes the event of a change and raises the version. `created` is the id of the
/// row that the change created.
pub(super) fn record(tx: &mut Tx<'_>, event: AuditDraft, created: Option<&str>) -> Result<()> {
    audit::append(tx, event, created)?;
    raise_version(tx, 1)
}

/// Raises the version, unless there were no changes.
pub(super) fn raise_version(tx: &Tx<'_>, changes: usize) -> Result<()> {
    if changes > 0 {
        run(
            tx.conn,
            "UPDATE meta SET value = value + 1 WHERE key = 'directory_version'",
            [],
        )?;
    }
    Ok(())
}

pub(super) fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = 'directory_version'")?
        .query_row([], |row| row.get(0))
}
