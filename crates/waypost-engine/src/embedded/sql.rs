//! SQL helpers for every file of this engine: errors, the clock, ascending ids,
//! pages, JSON columns.
//!
//! Easy to break: leases use [`Clock::leases`], which never jumps. Stored times
//! use [`now`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, Row, params_from_iter, types::Type};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Millis, StoreError,
    page::{Page, PageQuery},
};

pub(super) type Result<T, E = StoreError> = std::result::Result<T, E>;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(error.to_string()),
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationAborted
                | ErrorCode::OperationInterrupted
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::ReadOnly,
            ) => Self::Unavailable(error.to_string()),
            _ => Self::Internal(error.to_string()),
        }
    }
}

/// The engine's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    opened: Instant,
    opened_wall: Millis,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            opened: Instant::now(),
            opened_wall: now(),
        }
    }

    /// The time for leases and delays. It starts at the wall clock's time and then
    /// runs evenly, so a change of the system's clock neither ends nor prolongs a
    /// lease. It is good for one process only; leases end with the process, too.
    pub(super) fn leases(&self) -> Millis {
        self.opened_wall + millis(self.opened.elapsed())
    }
}

/// The wall clock, for times that are shown or stored.
pub(super) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, millis)
}

pub(super) fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX / 4)
}

/// Makes ids that ascend in commit order, as the audit log needs them: the one
/// writer asks for each inside its transaction, and a clock that was set back
/// cannot break the order.
#[derive(Debug)]
pub(super) struct Ids {
    last: u128,
}

impl Ids {
    /// Continues after the newest id in the database.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        // Each max() is one step into the primary key.
        let newest = "SELECT max(id) FROM projects
             UNION ALL SELECT max(id) FROM service_accounts
             UNION ALL SELECT max(id) FROM api_keys
             UNION ALL SELECT max(id) FROM providers
             UNION ALL SELECT max(id) FROM rules
             UNION ALL SELECT max(id) FROM audit";
        let mut last = 0;
        for id in conn
            .prepare(newest)?
            .query_map([], |row| row.get::<_, Option<String>>(0))?
        {
            let id = id?.unwrap_or_default();
            let hex = id.len().checked_sub(32).and_then(|at| id.get(at..));
            let number = hex.and_then(|hex| u128::from_str_radix(hex, 16).ok());
            last = last.max(number.unwrap_or(0));
        }
        Ok(Self { last })
    }

    pub(super) fn next(&mut self, prefix: &str) -> String {
        self.last = Uuid::now_v7().as_u128().max(self.last.saturating_add(1));
        format!("{prefix}{:032x}", self.last)
    }
}

/// One page of a list that is ordered by `id`. `select` ends in a `WHERE` clause
/// with the parameters `values`.
pub(super) fn page<T>(
    conn: &Connection,
    select: &str,
    mut values: Vec<rusqlite::types::Value>,
    query: &PageQuery,
    map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Page<T>> {
    let (beyond_after, beyond_before) = if query.descending {
        ("<", ">")
    } else {
        (">", "<")
    };
    let mut sql = String::from(select);
    for (bound, operator) in [(&query.after, beyond_after), (&query.before, beyond_before)] {
        if let Some(id) = bound {
            sql += " AND id ";
            sql += operator;
            sql += " ?";
            values.push(id.clone().into());
        }
    }
    // To find the rows right before `before`, walk away from it.
    let backwards = query.before.is_some();
    sql += if query.descending == backwards {
        " ORDER BY id ASC LIMIT ?"
    } else {
        " ORDER BY id DESC LIMIT ?"
    };
    values.push((i64::from(query.limit) + 1).into());
    let items = conn
        .prepare_cached(&sql)?
        .query_map(params_from_iter(values), map)?
        .collect::<rusqlite::Result<Vec<T>>>()?;
    Ok(cut(items, query.limit, backwards))
}

/// Makes a page from up to `limit + 1` rows in the order of the walk.
pub(super) fn cut<T>(mut items: Vec<T>, limit: u32, backwards: bool) -> Page<T> {
    let has_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    if backwards {
        items.reverse();
    }
    Page { items, has_more }
}

/// A JSON column.
pub(super) fn json(row: &Row<'_>, column: &str) -> rusqlite::Result<Value> {
    parse(column, &row.get::<_, String>(column)?)
}

/// Reads a column's text as JSON.
pub(super) fn parse<T: serde::de::DeserializeOwned>(
    column: &str,
    text: &str,
) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| unreadable(column, error))
}

/// The error for a column whose content this engine cannot have written.
pub(super) fn unreadable(
    column: &str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    let error = format!("column {column}: {}", error.into());
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into())
}

/// Whether a query finds any row.
pub(super) fn exists(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<bool> {
    conn.prepare_cached(sql)?.exists(params)
}

/// Runs one cached statement. Returns how many rows it changed.
pub(super) fn run(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<usize> {
    conn.prepare_cached(sql)?.execute(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_when_the_clock_is_set_back() {
        let mut ids = Ids {
            last: u128::MAX >> 2,
        };
        let made: Vec<String> = (0..100).map(|_| ids.next("key_")).collect();
        assert!(made.windows(2).all(|two| two[0] < two[1]));
        assert!(made[0].as_str() > crate::id::fresh("key_").as_str());
    }
}
