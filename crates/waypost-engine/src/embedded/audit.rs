//! The audit log. Most events are written in the transaction of their change.

use async_trait::async_trait;
use rusqlite::{Connection, Row, named_params, types::Value as Sql};
use serde_json::Value;

use super::{
    EmbeddedStore, Tx,
    sql::{Result, json, now, page, parse},
};
use crate::{
    Millis, StoreError,
    audit::{AuditDraft, AuditEntry, AuditFilter},
    page::{Page, PageQuery},
    store::AuditStore,
};

#[async_trait]
impl AuditStore for EmbeddedStore {
    async fn append_audit(&self, events: Vec<AuditDraft>) -> Result<(), StoreError> {
        self.write(move |tx| {
            events
                .into_iter()
                .try_for_each(|event| append(tx, event, None))
        })
        .await
    }

    async fn list_audit(
        &self,
        filter: AuditFilter,
        page: PageQuery,
    ) -> Result<Page<AuditEntry>, StoreError> {
        self.read(move |conn| list(conn, &filter, &page)).await
    }
}

/// Writes an event. `created` is the id of the row that the change created.
pub(super) fn append(tx: &mut Tx<'_>, mut event: AuditDraft, created: Option<&str>) -> Result<()> {
    if let Some(id) = created {
        event.resource_id = Some(id.to_owned());
        event.payload.shift_insert(0, "id".into(), id.into());
    }
    let (project_id, project_name) = event.project.unzip();
    let id = tx.id("audit_log-");
    tx.conn
        .prepare_cached(
            "INSERT INTO audit (id, effective_at, event_type, actor, actor_id, actor_email,
                 project_id, project_name, resource_id, ip_address, user_agent, request_id, payload)
             VALUES (:id, :effective_at, :event_type, :actor, :actor_id, :actor_email,
                 :project_id, :project_name, :resource_id, :ip_address, :user_agent, :request_id,
                 :payload)",
        )?
        .execute(named_params! {
            ":id": id,
            ":effective_at": now(),
            ":event_type": event.event_type,
            ":actor": event.actor.to_string(),
            ":actor_id": event.actor_id,
            ":actor_email": event.actor_email,
            ":project_id": project_id,
            ":project_name": project_name.flatten(),
            ":resource_id": event.resource_id,
            ":ip_address": event.ip_address,
            ":user_agent": event.user_agent,
            ":request_id": event.request_id,
            ":payload": Value::Object(event.payload).to_string(),
        })?;
    Ok(())
}

fn list(conn: &Connection, filter: &AuditFilter, query: &PageQuery) -> Result<Page<AuditEntry>> {
    // The statement has only the filters in use, so SQLite can pick an index for
    // them. A list of any length is one parameter.
    let mut select = String::from("SELECT * FROM audit WHERE true");
    let mut values = Vec::new();
    let times: [(&str, Option<Millis>); 4] = [
        (" AND effective_at > ?", filter.gt),
        (" AND effective_at >= ?", filter.gte),
        (" AND effective_at < ?", filter.lt),
        (" AND effective_at <= ?", filter.lte),
    ];
    for (clause, time) in times {
        if let Some(time) = time {
            select += clause;
            values.push(Sql::from(time));
        }
    }
    let lists = [
        ("project_id", &filter.project_ids),
        ("event_type", &filter.event_types),
        ("actor_id", &filter.actor_ids),
        ("actor_email", &filter.actor_emails),
        ("resource_id", &filter.resource_ids),
    ];
    for (column, wanted) in lists.into_iter().filter(|(_, wanted)| !wanted.is_empty()) {
        select += " AND ";
        select += column;
        select += " IN (SELECT value FROM json_each(?))";
        values.push(Sql::from(Value::from(wanted.clone()).to_string()));
    }
    page(conn, &select, values, query, read)
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let project_id: Option<String> = row.get("project_id")?;
    let project_name: Option<String> = row.get("project_name")?;
    Ok(AuditEntry {
        id: row.get("id")?,
        effective_at: row.get("effective_at")?,
        event: AuditDraft {
            event_type: row.get("event_type")?,
            actor: json(row, "actor")?,
            actor_id: row.get("actor_id")?,
            actor_email: row.get("actor_email")?,
            project: project_id.map(|id| (id, project_name)),
            resource_id: row.get("resource_id")?,
            ip_address: row.get("ip_address")?,
            user_agent: row.get("user_agent")?,
            request_id: row.get("request_id")?,
            payload: parse("payload", &row.get::<_, String>("payload")?)?,
        },
    })
}
