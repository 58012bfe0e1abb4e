//! The embedded engine: one SQLite file, one process, no other service.
//!
//! All changes go through one thread that commits in groups ([`writer`]); reads
//! go to a few read-only connections ([`readers`]). `waypost.lock` in the data
//! directory keeps a second process out. The bus is in-process (`bus::local`).
//!
//! Easy to break: the process must hold the lock from before it opens the
//! database until after it has closed it. Opening ends all leases, which is safe
//! only because the lock proves that no other worker is alive.

mod audit;
mod directory;
mod event_log;
mod idempotency;
mod items;
mod jobs;
mod migrate;
mod peek;
mod private;
mod readers;
mod response_row;
mod responses;
mod retention;
mod sql;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fs::{DirBuilder, File, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OpenFlags};

pub use self::peek::{Found, look, providers};
use self::{
    private::{DIR_MODE, private_file, restore_modes},
    readers::Readers,
    sql::{Clock, Ids, Result, now, run},
    writer::{Log, Tx, Writer},
};
use crate::{Engine, Store, StoreError, bus::local::LocalBus, id, store::StoreSize};

/// The name of the database in the data directory.
pub const DATABASE_FILE: &str = "waypost.db";
/// The name of the lock file in the data directory. It holds the owner's process id.
pub const LOCK_FILE: &str = "waypost.lock";

/// Only other programs (a backup, a shell) make a connection wait.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements that each connection keeps: room for every statement.
const STATEMENTS: usize = 256;
/// Page cache of the writer and of each reader, in KiB.
const CACHE_KIB: i64 = 8192;
/// A checkpoint that empties the log also cuts its file to this size.
const LOG_KEPT: i64 = 16 << 20;

/// Where and how to keep things.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Opening creates it with mode 0700 if it does not exist, and removes other
    /// users' access to the engine's files in it.
    pub data_dir: PathBuf,
    /// Read-only connections, each with a thread; at least 1.
    pub readers: usize,
    /// The database file grows to this many bytes at most. A change that does not
    /// fit is [`StoreError::Full`]. `None`: as the disk allows.
    pub max_bytes: Option<u64>,
    /// When the write-ahead log is larger than this, the writer briefly waits for
    /// the readers and empties it.
    pub log_bytes: u64,
}

impl EmbeddedOptions {
    /// The defaults for this directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            readers: 4,
            max_bytes: None,
            log_bytes: 64 << 20,
        }
    }
}

/// Why the engine did not open. It changed nothing, but it may have created the
/// directory and the lock file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot create the data directory {}", path.display())]
    CreateDir {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot write {}: {source}; the data directory must belong to the user that runs waypost", path.display())]
    NotWritable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the data directory {} is in use by {}; stop that process, or use another data directory", data_dir.display(), owner(*.pid))]
    Locked {
        data_dir: PathBuf,
        /// The owner wrote it into the lock file.
        pid: Option<u32>,
    },
    #[error("{} was written by a newer waypost (schema {found}, this binary knows {known}); run that version or a later one. The file was not changed", path.display())]
    Newer {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error("{} cannot be used: {detail}; restore it from a backup, or move it away to start empty", path.display())]
    Corrupt { path: PathBuf, detail: String },
    #[error("cannot open {}: {detail}", path.display())]
    Failed { path: PathBuf, detail: String },
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or("another process".into(), |pid| format!("process {pid}"))
}

impl OpenError {
    fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let (path, detail) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { path, detail }
            }
            _ => Self::Failed { path, detail },
        }
    }
}

/// Opens or creates the engine. This blocks while the disk works (recovery after a
/// crash, migrations), so call it before serving or from `spawn_blocking`.
/// [`Store::close`] releases the directory.
pub fn open(options: &EmbeddedOptions) -> Result<Engine, OpenError> {
    let dir = &options.data_dir;
    DirBuilder::new()
        .recursive(true)
        .mode(DIR_MODE)
        .create(dir)
        .map_err(|source| OpenError::CreateDir {
            path: dir.clone(),
            source,
        })?;
    let lock = lock(dir)?;

    let path = dir.join(DATABASE_FILE);
    migrate::inspect(&path)?;
    // SQLite gives its log the same mode as the database.
    private_file(&path)?;
    restore_modes(dir);

    let failed = |error: rusqlite::Error| OpenError::sqlite(&path, &error);
    let mut conn = connect_writer(&path, options).map_err(failed)?;
    migrate::migrate(&mut conn).map_err(failed)?;
    let organization_id = prepare(&mut conn).map_err(failed)?;
    let ids = Ids::load(&conn).map_err(failed)?;
    let readers = (0..options.readers.max(1))
        .map(|_| connect_reader(&path))
        .collect::<rusqlite::Result<_>>()
        .map_err(failed)?;

    let thread = |error: std::io::Error| OpenError::Failed {
        path: path.clone(),
        detail: format!("cannot start a thread: {error}"),
    };
    let clock = Clock::start();
    let log = Log::new(beside(&path, "-wal"), options.log_bytes);
    let writer = Writer::spawn(conn, clock, ids, log, lock).map_err(thread)?;
    let readers = Readers::spawn(readers).map_err(thread)?;
    Ok(Engine {
        store: Arc::new(EmbeddedStore {
            writer,
            readers,
            clock,
            organization_id,
        }),
        bus: Arc::new(LocalBus::default()),
    })
}

struct EmbeddedStore {
    writer: Writer,
    readers: Readers,
    clock: Clock,
    organization_id: String,
}

impl EmbeddedStore {
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.read(query).await
    }

    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.write(change).await
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn check(&self) -> Result<(), StoreError> {
        self.write(|tx| {
            // A real commit fails if the disk is full or read-only.
            run(
                tx.conn,
                "INSERT INTO meta (key, value) VALUES ('checked_at', ?)
                 ON CONFLICT DO UPDATE SET value = excluded.value",
                [now()],
            )?;
            Ok(())
        })
        .await?;
        self.read(|conn| Ok(conn.query_row("SELECT 1 FROM meta", [], |_| Ok(()))?))
            .await
    }

    async fn size(&self) -> Result<StoreSize, StoreError> {
        self.read(|conn| {
            let sizes = conn.query_row(
                "SELECT page_count * page_size, freelist_count * page_size
                 FROM pragma_page_count(), pragma_page_size(), pragma_freelist_count()",
                [],
                |row| {
                    Ok(StoreSize {
                        bytes: row.get(0)?,
                        free_bytes: row.get(1)?,
                    })
                },
            )?;
            Ok(sizes)
        })
        .await
    }

    async fn close(&self) {
        // The readers close first: the last connection to close empties the log,
        // and only the writer's can.
        join(self.readers.close()).await;
        join(self.writer.close()).await;
    }
}

/// Waits until these threads end.
async fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    let threads: Vec<_> = threads.into_iter().collect();
    let wait = move || {
        for thread in threads {
            // The panic hook has reported a panic there.
            let _ = thread.join();
        }
    };
    let _ = tokio::task::spawn_blocking(wait).await;
}

/// Locks the directory for this process, until the file is closed.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK_FILE);
    let mut file = private_file(&path)?;
    let not_writable = |source| OpenError::NotWritable {
        path: path.clone(),
        source,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // The owner may not have written its number yet.
            let _ = file.take(32).read_to_string(&mut text);
            return Err(OpenError::Locked {
                data_dir: dir.to_owned(),
                pid: text.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(not_writable(source)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(not_writable)?;
    Ok(file)
}

/// The path of a file that SQLite keeps beside the database.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn connect_writer(path: &Path, options: &EmbeddedOptions) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    set_up(&conn)?;
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(sql::unreadable(
            "journal_mode",
            format!("this file system cannot share memory between processes (mode {mode})"),
        ));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    // On macOS, fsync alone does not reach the medium.
    conn.pragma_update(None, "fullfsync", true)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update_and_check(None, "journal_size_limit", LOG_KEPT, |_| Ok(()))?;
    if let Some(max) = options.max_bytes {
        let size: u64 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = i64::try_from(max / size).unwrap_or(i64::MAX);
        conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    Ok(conn)
}

fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    set_up(&conn)?;
    Ok(conn)
}

fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    // No foreign text reaches the schema; this is a free second defence.
    conn.pragma_update(None, "trusted_schema", false)
}

/// Gives a new store its organization, and ends all leases: their workers died
/// with the process that held the lock.
fn prepare(conn: &mut Connection) -> rusqlite::Result<String> {
    let tx = conn.transaction()?;
    tx.execute(
        "INSERT OR IGNORE INTO meta (key, value)
         VALUES ('organization_id', ?), ('directory_version', 0)",
        [id::fresh("org-")],
    )?;
    jobs::end_all_leases(&tx)?;
    let organization_id = tx.query_row(
        "SELECT value FROM meta WHERE key = 'organization_id'",
        [],
        |row| row.get(0),
    )?;
    tx.commit()?;
    Ok(organization_id)
}
