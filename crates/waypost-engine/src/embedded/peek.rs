//! Reads a data directory for a check, whether or not a server runs on it.
//!
//! A check changes nothing: it creates no file, migrates nothing, and holds no lock
//! that a server needs. Easy to break: SQLite creates files beside a database with a
//! write-ahead log, even for a connection that only reads. So if nobody has the
//! database open and its log is empty, this opens it as immutable.

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

/// What a check finds in a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There is no store yet. Opening creates one.
    Nothing,
    /// A process has it open.
    InUse,
    /// A store that can be opened, according to its header.
    Store,
}

/// Looks at a data directory. The error is the one that [`open`](super::open) would
/// return.
pub fn look(data_dir: &Path) -> Result<Found, OpenError> {
    let database = data_dir.join(DATABASE_FILE);
    if !database.exists() {
        return Ok(Found::Nothing);
    }
    let lock = data_dir.join(LOCK_FILE);
    // The lock is held for a moment only, and nothing is written.
    if let Ok(file) = File::open(&lock)
        && matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    {
        return Ok(Found::InUse);
    }
    migrate::inspect(&database)?;
    Ok(Found::Store)
}

/// The workload identity providers of a data directory, in the order of their names,
/// as last committed. Empty if there is no store. A store of a newer version is an
/// error.
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
        // The file was created and never written to.
        if version == 0 {
            return Ok(Vec::new());
        }
        directory::providers(&conn)
    };
    read().map_err(|error| OpenError::sqlite(&path, &error))
}

/// A connection that takes no lock, creates no file and ignores the log.
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
