//! Projects and service accounts by their ids, for every file here: keys and
//! rules belong to them.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::{
    directory::{Project, ServiceAccount},
    embedded::sql::Result,
    refusals,
};

pub(super) fn project(conn: &Connection, id: &str) -> Result<Project> {
    conn.prepare_cached("SELECT * FROM projects WHERE id = ?")?
        .query_row([id], read_project)
        .optional()?
        .ok_or_else(refusals::no_project)
}

/// The project, which must not be archived.
pub(super) fn active_project(conn: &Connection, id: &str) -> Result<Project> {
    let found = project(conn, id)?;
    if found.archived_at.is_some() {
        return Err(refusals::project_is_archived());
    }
    Ok(found)
}

pub(super) fn service_account(
    conn: &Connection,
    project_id: &str,
    id: &str,
) -> Result<ServiceAccount> {
    conn.prepare_cached("SELECT * FROM service_accounts WHERE id = ? AND project_id = ?")?
        .query_row([id, project_id], read_account)
        .optional()?
        .ok_or_else(refusals::no_service_account)
}

pub(super) fn read_project(row: &Row<'_>) -> rusqlite::Result<Project> {
    Ok(Project {
        id: row.get("id")?,
        name: row.get("name")?,
        external_key_id: row.get("external_key_id")?,
        created_at: row.get("created_at")?,
        archived_at: row.get("archived_at")?,
    })
}

pub(super) fn read_account(row: &Row<'_>) -> rusqlite::Result<ServiceAccount> {
    Ok(ServiceAccount {
        id: row.get("id")?,
        project_id: row.get("project_id")?,
        name: row.get("name")?,
        role: row.get("role")?,
        created_at: row.get("created_at")?,
    })
}
