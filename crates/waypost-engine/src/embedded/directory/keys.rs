//! API keys: admin keys, and service accounts' keys.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{changes::record, lookups};
use crate::{
    Millis,
    audit::AuditDraft,
    directory::{ApiKey, ApiKeyPatch, KeyOwner, NewApiKey},
    embedded::{
        Tx,
        sql::{Result, exists, now, page, parse, run, unreadable},
    },
    page::{Page, PageQuery},
    refusals,
};

pub(super) fn create(tx: &mut Tx<'_>, new: NewApiKey, audit: AuditDraft) -> Result<ApiKey> {
    let (project_id, account_id) = owner_ids(&new.owner);
    if let (Some(project_id), Some(account_id)) = (project_id, account_id) {
        lookups::service_account(tx.conn, project_id, account_id)?;
        lookups::active_project(tx.conn, project_id)?;
    }
    if exists(
        tx.conn,
        "SELECT 1 FROM api_keys WHERE hash = ?",
        [&new.hash],
    )? {
        return Err(refusals::key_exists());
    }
    let key = ApiKey {
        id: tx.id("key_"),
        owner: new.owner,
        name: new.name,
        hash: new.hash,
        redacted: new.redacted,
        scopes: new.scopes,
        created_at: now(),
        expires_at: new.expires_at,
        last_used_at: None,
    };
    let (project_id, account_id) = owner_ids(&key.owner);
    tx.conn
        .prepare_cached(
            "INSERT INTO api_keys (id, project_id, service_account_id, name, hash, redacted, scopes,
                 created_at, expires_at)
             VALUES (:id, :project_id, :service_account_id, :name, :hash, :redacted, :scopes,
                 :created_at, :expires_at)",
        )?
        .execute(named_params! {
            ":id": key.id,
            ":project_id": project_id,
            ":service_account_id": account_id,
            ":name": key.name,
            ":hash": key.hash,
            ":redacted": key.redacted,
            ":scopes": stored_scopes(&key),
            ":created_at": key.created_at,
            ":expires_at": key.expires_at,
        })?;
    record(tx, audit, Some(&key.id))?;
    Ok(key)
}

/// A key of the project, or an admin key if there is no project.
pub(super) fn get(conn: &Connection, project_id: Option<&str>, id: &str) -> Result<ApiKey> {
    conn.prepare_cached("SELECT * FROM api_keys WHERE id = ? AND project_id IS ?")?
        .query_row((id, project_id), read)
        .optional()?
        .ok_or_else(refusals::no_key)
}

pub(super) fn list_admin(conn: &Connection, query: &PageQuery) -> Result<Page<ApiKey>> {
    let select = "SELECT * FROM api_keys WHERE project_id IS NULL";
    page(conn, select, vec![], query, read)
}

pub(super) fn list_project(
    conn: &Connection,
    project_id: &str,
    account_id: Option<&str>,
    query: &PageQuery,
) -> Result<Page<ApiKey>> {
    let (select, id) = if let Some(account_id) = account_id {
        lookups::service_account(conn, project_id, account_id)?;
        let select = "SELECT * FROM api_keys WHERE service_account_id = ?";
        (select, account_id)
    } else {
        lookups::project(conn, project_id)?;
        let select = "SELECT * FROM api_keys WHERE project_id = ?";
        (select, project_id)
    };
    page(conn, select, vec![id.to_owned().into()], query, read)
}

pub(super) fn update(
    tx: &mut Tx<'_>,
    project_id: &str,
    id: &str,
    patch: ApiKeyPatch,
    audit: AuditDraft,
) -> Result<ApiKey> {
    let mut key = get(tx.conn, Some(project_id), id)?;
    lookups::active_project(tx.conn, project_id)?;
    if key.expires_at.is_some_and(|end| end <= now()) {
        return Err(refusals::key_has_expired());
    }
    patch.apply(&mut key);
    run(
        tx.conn,
        "UPDATE api_keys SET scopes = ?, expires_at = ? WHERE id = ?",
        (stored_scopes(&key), key.expires_at, id),
    )?;
    record(tx, audit, None)?;
    Ok(key)
}

pub(super) fn delete(
    tx: &mut Tx<'_>,
    project_id: Option<&str>,
    id: &str,
    audit: AuditDraft,
) -> Result<()> {
    get(tx.conn, project_id, id)?;
    run(tx.conn, "DELETE FROM api_keys WHERE id = ?", [id])?;
    record(tx, audit, None)
}

pub(super) fn touch(tx: &Tx<'_>, used: &[(String, Millis)]) -> Result<()> {
    let mut update = tx.conn.prepare_cached(
        "UPDATE api_keys SET last_used_at = ?2
         WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)",
    )?;
    for (id, at) in used {
        update.execute((id, at))?;
    }
    Ok(())
}

/// The scopes as the column stores them: a JSON list.
fn stored_scopes(key: &ApiKey) -> Option<String> {
    let scopes = key.scopes.clone()?;
    Some(serde_json::Value::from(scopes).to_string())
}

/// The ids of the project and of the service account: both, or none.
fn owner_ids(owner: &KeyOwner) -> (Option<&str>, Option<&str>) {
    match owner {
        KeyOwner::Organization => (None, None),
        KeyOwner::ServiceAccount {
            project_id,
            service_account_id,
        } => (Some(project_id), Some(service_account_id)),
    }
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let owner = match (row.get("project_id")?, row.get("service_account_id")?) {
        (None, None) => KeyOwner::Organization,
        (Some(project_id), Some(service_account_id)) => KeyOwner::ServiceAccount {
            project_id,
            service_account_id,
        },
        _ => return Err(unreadable("service_account_id", "half an owner")),
    };
    let scopes: Option<String> = row.get("scopes")?;
    Ok(ApiKey {
        id: row.get("id")?,
        owner,
        name: row.get("name")?,
        hash: row.get("hash")?,
        redacted: row.get("redacted")?,
        scopes: scopes.map(|text| parse("scopes", &text)).transpose()?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}
