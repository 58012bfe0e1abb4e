//! A look into a data directory, for checks beside a server that runs, or without one.
//!
//! Nothing is changed: no file is made, nothing is migrated, and no lock is
//! taken that a server needs. Easy to break: SQLite makes files beside a
//! database that has a write-ahead log, also for a connection that only reads.
//! So a database that nobody has open and whose log is empty is read as one
//! that cannot change.

use std::{
    fmt::Write as _,
    fs::{File, TryLockError},
    path::Path,
};

use rusqlite::{Connection, OpenFlags};

use super::{
    DATABASE_FILE, LOCK_FILE, OpenError, beside, connect_reader, directory, migrate, set_up,
};
use crate::directory::Provider;

/// What a data directory holds, for a check that changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There is no store yet; opening makes one.
    Nothing,
    /// A process has it open.
    InUse,
    /// A store that can be opened, as far as its head says.
    Store,
}

/// Looks at a data directory. An error is what [`open`](super::open) would say.
pub fn look(data_dir: &Path) -> Result<Found, OpenError> {
    let database = data_dir.join(DATABASE_FILE);
    if !database.exists() {
        return Ok(Found::Nothing);
    }
    let lock = data_dir.join(LOCK_FILE);
    // Held for a moment, and nothing is written.
    if let Ok(file) = File::open(&lock)
        && matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    {
        return Ok(Found::InUse);
    }
    migrate::inspect(&database)?;
    Ok(Found::Store)
}

/// The workload identity providers of a data directory, by name, as they were
/// committed last. None where there is no store. A store of a newer version is
/// refused.
pub fn providers(data_dir: &Path) -> Result<Vec<Provider>, OpenError> {
    let found = look(data_dir)?;
    if found == Found::Nothing {
        return Ok(Vec::new());
    }
    let path = data_dir.join(DATABASE_FILE);
    migrate::inspect(&path)?;
    let log = beside(&path, "-wal");
    let has_log = std::fs::metadata(log).is_ok_and(|log| log.len() > 0);
    let read = || -> rusqlite::Result<Vec<Provider>> {
        let conn = if has_log || found == Found::InUse {
            connect_reader(&path)?
        } else {
            connect_unchanging(&path)?
        };
        let version: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
        // A file that was made and never written to.
        if version == 0 {
            return Ok(Vec::new());
        }
        directory::providers(&conn)
    };
    read().map_err(|error| OpenError::sqlite(&path, &error))
}

/// A connection that takes no lock, makes no file and does not look at the log.
fn connect_unchanging(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(uri, flags)?;
    set_up(&conn)?;
    Ok(conn)
}
