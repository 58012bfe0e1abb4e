//! Projects and their service accounts.

use rusqlite::Connection;

use super::{
    changes::record,
    keys,
    lookups::{active_project, project, read_account, read_project, service_account},
};
use crate::{
    audit::AuditDraft,
    directory::{
        ApiKey, KeyOwner, NewApiKey, NewProject, NewServiceAccount, Project, ProjectPatch,
        ServiceAccount, ServiceAccountPatch,
    },
    embedded::{
        Tx,
        sql::{Result, now, page, run},
    },
    page::{Page, PageQuery},
};

pub(super) fn create(tx: &mut Tx<'_>, new: NewProject, mut audit: AuditDraft) -> Result<Project> {
    let project = Project {
        id: tx.id("proj_"),
        name: Some(new.name),
        external_key_id: new.external_key_id,
        created_at: now(),
        archived_at: None,
    };
    run(
        tx.conn,
        "INSERT INTO projects (id, name, external_key_id, created_at) VALUES (?, ?, ?, ?)",
        (
            &project.id,
            &project.name,
            &project.external_key_id,
            project.created_at,
        ),
    )?;
    audit.project = Some((project.id.clone(), project.name.clone()));
    record(tx, audit, Some(&project.id))?;
    Ok(project)
}

pub(super) fn list(
    conn: &Connection,
    query: &PageQuery,
    include_archived: bool,
) -> Result<Page<Project>> {
    let select = if include_archived {
        "SELECT * FROM projects WHERE true"
    } else {
        "SELECT * FROM projects WHERE archived_at IS NULL"
    };
    page(conn, select, vec![], query, read_project)
}

pub(super) fn update(
    tx: &mut Tx<'_>,
    id: &str,
    patch: ProjectPatch,
    audit: AuditDraft,
) -> Result<Project> {
    let mut project = active_project(tx.conn, id)?;
    patch.apply(&mut project);
    run(
        tx.conn,
        "UPDATE projects SET name = ?, external_key_id = ? WHERE id = ?",
        (&project.name, &project.external_key_id, id),
    )?;
    record(tx, audit, None)?;
    Ok(project)
}

pub(super) fn archive(tx: &mut Tx<'_>, id: &str, audit: AuditDraft) -> Result<Project> {
    let mut project = project(tx.conn, id)?;
    if project.archived_at.is_none() {
        project.archived_at = Some(now());
        run(
            tx.conn,
            "UPDATE projects SET archived_at = ? WHERE id = ?",
            (project.archived_at, id),
        )?;
        record(tx, audit, None)?;
    }
    Ok(project)
}

pub(super) fn create_account(
    tx: &mut Tx<'_>,
    new: NewServiceAccount,
    audit: AuditDraft,
    key: Option<(NewApiKey, AuditDraft)>,
) -> Result<(ServiceAccount, Option<ApiKey>)> {
    active_project(tx.conn, &new.project_id)?;
    let account = ServiceAccount {
        id: tx.id("svc_acct_"),
        project_id: new.project_id,
        name: new.name,
        role: new.role,
        created_at: now(),
    };
    run(
        tx.conn,
        "INSERT INTO service_accounts (id, project_id, name, role, created_at)
         VALUES (?, ?, ?, ?, ?)",
        (
            &account.id,
            &account.project_id,
            &account.name,
            &account.role,
            account.created_at,
        ),
    )?;
    record(tx, audit, Some(&account.id))?;
    let key = key
        .map(|(mut key, audit)| {
            key.owner = KeyOwner::ServiceAccount {
                project_id: account.project_id.clone(),
                service_account_id: account.id.clone(),
            };
            keys::create(tx, key, audit)
        })
        .transpose()?;
    Ok((account, key))
}

pub(super) fn list_accounts(
    conn: &Connection,
    project_id: &str,
    query: &PageQuery,
) -> Result<Page<ServiceAccount>> {
    project(conn, project_id)?;
    let select = "SELECT * FROM service_accounts WHERE project_id = ?";
    page(
        conn,
        select,
        vec![project_id.to_owned().into()],
        query,
        read_account,
    )
}

pub(super) fn update_account(
    tx: &mut Tx<'_>,
    project_id: &str,
    id: &str,
    patch: ServiceAccountPatch,
    audit: AuditDraft,
) -> Result<ServiceAccount> {
    let mut account = service_account(tx.conn, project_id, id)?;
    active_project(tx.conn, project_id)?;
    patch.apply(&mut account);
    run(
        tx.conn,
        "UPDATE service_accounts SET name = ?, role = ? WHERE id = ?",
        (&account.name, &account.role, id),
    )?;
    record(tx, audit, None)?;
    Ok(account)
}

pub(super) fn delete_account(
    tx: &mut Tx<'_>,
    project_id: &str,
    id: &str,
    audit: AuditDraft,
) -> Result<()> {
    service_account(tx.conn, project_id, id)?;
    // The foreign keys delete its keys and rules.
    run(tx.conn, "DELETE FROM service_accounts WHERE id = ?", [id])?;
    record(tx, audit, None)
}
