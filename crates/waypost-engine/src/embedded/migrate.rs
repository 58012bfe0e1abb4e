//! Numbered migrations, each in one transaction.
//!
//! The table `migrations` is a history for people. The number that decides is
//! `user_version` in the file's header: the engine can read it, and refuse a newer
//! database, before SQLite opens the file for writing. Opening it could already
//! recover, checkpoint or delete its write-ahead log.

use std::{fs::File, io::Read, path::Path};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{OpenError, sql::now};

/// Number, name and SQL. The numbers ascend from 1.
const MIGRATIONS: &[(u32, &str, &str)] = &[
    (
        1,
        "start",
        include_str!("../../migrations/sqlite/0001_start.sql"),
    ),
    (
        2,
        "approvals",
        include_str!("../../migrations/sqlite/0002_approvals.sql"),
    ),
    (
        3,
        "job_notes",
        include_str!("../../migrations/sqlite/0003_job_notes.sql"),
    ),
    (
        4,
        "items",
        include_str!("../../migrations/sqlite/0004_items.sql"),
    ),
    (
        5,
        "idempotency",
        include_str!("../../migrations/sqlite/0005_idempotency.sql"),
    ),
    (
        6,
        "reader_marks",
        include_str!("../../migrations/sqlite/0006_reader_marks.sql"),
    ),
];

/// "WYPT" in the header's application id.
const APPLICATION_ID: u32 = 0x5759_5054;

/// The newest schema version that this binary knows.
pub(super) const KNOWN: u32 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Refuses a file that this binary must not open, and changes no byte of it.
pub(super) fn inspect(path: &Path) -> Result<(), OpenError> {
    let corrupt = |detail: &str| OpenError::Corrupt {
        path: path.to_owned(),
        detail: detail.to_owned(),
    };
    let mut header = Vec::with_capacity(100);
    match File::open(path) {
        Ok(file) => {
            file.take(100)
                .read_to_end(&mut header)
                .map_err(|source| OpenError::NotWritable {
                    path: path.to_owned(),
                    source,
                })?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(OpenError::NotWritable {
                path: path.to_owned(),
                source,
            });
        }
    };
    // An empty file is a database that was never written to.
    if header.is_empty() {
        return Ok(());
    }
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return Err(corrupt("it is not a SQLite database"));
    }
    // SQLite file format, section 1.3: user version at 60, application id at 68.
    let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| header[at + i]));
    let (mut version, mut application) = (word(60), word(68));

    // A committed migration may still be in the log only.
    let log = super::beside(path, "-wal");
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let read = || -> rusqlite::Result<(u32, u32)> {
            let conn = Connection::open_with_flags(path, flags)?;
            Ok((
                conn.pragma_query_value(None, "user_version", |row| row.get(0))?,
                conn.pragma_query_value(None, "application_id", |row| row.get(0))?,
            ))
        };
        (version, application) = read().map_err(|error| OpenError::sqlite(path, &error))?;
    }
    if application != APPLICATION_ID && (application, version) != (0, 0) {
        return Err(corrupt("it is another program's database"));
    }
    if version > KNOWN {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found: version,
            known: KNOWN,
        });
    }
    Ok(())
}

/// Brings the schema to [`KNOWN`].
pub(super) fn migrate(conn: &mut Connection) -> rusqlite::Result<()> {
    let version: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (number, name, sql) in MIGRATIONS.iter().filter(|(number, ..)| *number > version) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(
            "CREATE TABLE IF NOT EXISTS migrations (
                 number     INTEGER NOT NULL PRIMARY KEY,
                 name       TEXT    NOT NULL,
                 applied_at INTEGER NOT NULL
             ) STRICT",
        )?;
        tx.execute_batch(sql)?;
        tx.execute(
            "INSERT INTO migrations (number, name, applied_at) VALUES (?, ?, ?)",
            (number, name, now()),
        )?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", number)?;
        tx.commit()?;
    }
    if version < KNOWN {
        // `inspect` reads the header on disk.
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_from_one() {
        assert!(MIGRATIONS.iter().map(|(number, ..)| *number).eq(1..=KNOWN));
    }

    /// The migration indexes the items of responses that were stored before.
    #[test]
    fn stored_items_can_be_referred_to_after_the_migration() {
        let mut conn = Connection::open_in_memory().unwrap();
        for (number, _, sql) in MIGRATIONS.iter().take_while(|(number, ..)| *number < 4) {
            conn.execute_batch(sql).unwrap();
            conn.pragma_update(None, "user_version", number).unwrap();
        }
        let output = r#"[{"id":"rs_1","type":"reasoning"},{"id":"fc_1","type":"function_call"},
            {"id":"msg_1","type":"message"},{"type":"message"}]"#;
        for (id, status, ended, store) in [
            ("resp_1", "completed", Some(1), 1),
            ("resp_2", "incomplete", Some(1), 1),
            ("resp_3", "in_progress", None, 1),
            ("resp_4", "completed", Some(1), 0),
        ] {
            conn.execute(
                "INSERT INTO responses VALUES (?, 'p', ?, 0, 1, 1, ?, NULL, 0, 0, 0, ?)",
                (id, status, store, ended),
            )
            .unwrap();
            let body = format!(r#"{{"output":{output}}}"#);
            conn.execute("INSERT INTO response_bodies VALUES (?, ?)", (id, body))
                .unwrap();
            conn.execute(
                "INSERT INTO input_items VALUES (?, 0, 'in_' || ?, '{}')",
                (id, id),
            )
            .unwrap();
        }
        migrate(&mut conn).unwrap();
        let rows: Vec<String> = conn
            .prepare(
                "SELECT response_id || ' ' || id || ' ' || is_output || ' ' || position
                 FROM items ORDER BY response_id, is_output, position",
            )
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        assert_eq!(
            rows,
            [
                "resp_1 in_resp_1 0 0",
                "resp_1 rs_1 1 0",
                "resp_1 fc_1 1 1",
                "resp_1 msg_1 1 2",
                // resp_2 is incomplete: its reasoning and calls broke off, so only
                // its message can be referred to.
                "resp_2 in_resp_2 0 0",
                "resp_2 msg_1 1 2",
                "resp_3 in_resp_3 0 0",
            ]
        );
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        let count = |conn: &Connection| {
            conn.query_row("SELECT count(*) FROM migrations", [], |row| {
                row.get::<_, u32>(0)
            })
        };
        assert_eq!(count(&conn).unwrap(), KNOWN);
        migrate(&mut conn).unwrap();
        assert_eq!(count(&conn).unwrap(), KNOWN);
    }
}
