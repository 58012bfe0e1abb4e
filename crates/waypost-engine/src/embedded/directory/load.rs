//! The whole directory at one moment.

use rusqlite::{Connection, Row};

use super::{changes, federation, keys, lookups, tokens};
use crate::{
    directory::Directory,
    embedded::sql::{Result, now},
};

pub(super) fn directory(conn: &Connection) -> Result<Directory> {
    Ok(Directory {
        version: changes::version(conn)?,
        projects: all(conn, "SELECT * FROM projects", [], lookups::read_project)?,
        service_accounts: all(
            conn,
            "SELECT * FROM service_accounts",
            [],
            lookups::read_account,
        )?,
        keys: all(conn, "SELECT * FROM api_keys", [], keys::read)?,
        providers: all(
            conn,
            "SELECT * FROM providers",
            [],
            federation::read_provider,
        )?,
        rules: all(conn, "SELECT * FROM rules", [], federation::read_rule)?,
        revocations: all(
            conn,
            "SELECT * FROM revocations WHERE expires_at > ?",
            [now()],
            tokens::read_revocation,
        )?,
        signing_keys: all(
            conn,
            "SELECT * FROM signing_keys",
            [],
            tokens::read_signing_key,
        )?,
    })
}

fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    conn.prepare_cached(sql)?.query_map(params, map)?.collect()
}
