//! Access tokens: the keys that sign them, and those that are revoked.

use rusqlite::Row;

use super::changes::raise_version;
use crate::{
    directory::{Revocation, SealedSigningKey},
    embedded::{
        Tx,
        sql::{Result, run},
    },
    refusals,
};

pub(super) fn revoke(tx: &Tx<'_>, revocation: &Revocation) -> Result<()> {
    let added = run(
        tx.conn,
        "INSERT OR IGNORE INTO revocations (jti, expires_at) VALUES (?, ?)",
        (&revocation.jti, revocation.expires_at),
    )?;
    raise_version(tx, added)
}

pub(super) fn add_signing_key(tx: &Tx<'_>, key: &SealedSigningKey) -> Result<()> {
    let added = run(
        tx.conn,
        "INSERT OR IGNORE INTO signing_keys (kid, sealed, created_at, sign_from)
         VALUES (?, ?, ?, ?)",
        (&key.kid, &key.sealed, key.created_at, key.sign_from),
    )?;
    raise_version(tx, added)
}

pub(super) fn delete_signing_key(tx: &Tx<'_>, kid: &str) -> Result<()> {
    match run(tx.conn, "DELETE FROM signing_keys WHERE kid = ?", [kid])? {
        0 => Err(refusals::no_signing_key()),
        deleted => raise_version(tx, deleted),
    }
}

pub(super) fn read_revocation(row: &Row<'_>) -> rusqlite::Result<Revocation> {
    Ok(Revocation {
        jti: row.get("jti")?,
        expires_at: row.get("expires_at")?,
    })
}

pub(super) fn read_signing_key(row: &Row<'_>) -> rusqlite::Result<SealedSigningKey> {
    Ok(SealedSigningKey {
        kid: row.get("kid")?,
        sealed: row.get("sealed")?,
        created_at: row.get("created_at")?,
        sign_from: row.get("sign_from")?,
    })
}
