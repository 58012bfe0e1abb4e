//! `/organization/audit_logs`

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use waypost_engine::{
    audit::{AuditEntry, AuditFilter},
    page::Page,
};

use crate::{
    admin::Admin,
    clock,
    http::{
        ApiError, ApiQuery,
        page::{self, List, Order},
    },
    identity::caller::AdminCaller,
};

/// Values of one array filter at most.
const MAX_FILTER_VALUES: usize = 100;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/audit_logs", get(list))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    effective_at: EffectiveAt,
    project_ids: Vec<String>,
    event_types: Vec<String>,
    actor_ids: Vec<String>,
    actor_emails: Vec<String>,
    resource_ids: Vec<String>,
    tenant_only: bool,
    limit: Option<i64>,
    after: Option<String>,
    before: Option<String>,
}

/// Unix seconds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EffectiveAt {
    gt: Option<i64>,
    gte: Option<i64>,
    lt: Option<i64>,
    lte: Option<i64>,
}

async fn list(
    State(admin): State<Arc<Admin>>,
    _caller: AdminCaller,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<List<Value>>, ApiError> {
    let page = page::query(
        "audit_log-",
        query.after.clone(),
        query.before.clone(),
        query.limit,
        Order::Desc,
    )?;
    query.check()?;
    let entries = if query.tenant_only {
        // No event of this server is tenant-scoped.
        Page {
            items: Vec::new(),
            has_more: false,
        }
    } else {
        admin.engine.store.list_audit(query.filter(), page).await?
    };
    Ok(Json(List::of(entries, |entry| &entry.id, show)))
}

impl ListQuery {
    fn check(&self) -> Result<(), ApiError> {
        for (param, values) in [
            ("project_ids", &self.project_ids),
            ("event_types", &self.event_types),
            ("actor_ids", &self.actor_ids),
            ("actor_emails", &self.actor_emails),
            ("resource_ids", &self.resource_ids),
        ] {
            if values.len() > MAX_FILTER_VALUES {
                return Err(ApiError::invalid(format!(
                    "Invalid '{param}': at most {MAX_FILTER_VALUES} values are accepted."
                ))
                .param(param)
                .code("invalid_value"));
            }
        }
        if self.tenant_only
            && let Some(other) = self.event_types.iter().find(|t| !is_tenant_scoped(t))
        {
            return Err(ApiError::invalid(format!(
                "With 'tenant_only', all 'event_types' must be tenant-scoped; '{other}' is not."
            ))
            .param("event_types")
            .code("invalid_value"));
        }
        Ok(())
    }

    fn filter(self) -> AuditFilter {
        // Events carry milliseconds and are shown in whole seconds: the filter
        // must decide as the shown second would.
        let start_of = |second: i64| second.saturating_mul(1000);
        let start_of_next = |second: i64| start_of(second.saturating_add(1));
        let at = &self.effective_at;
        let from = [at.gt.map(start_of_next), at.gte.map(start_of)];
        let until = [at.lt.map(start_of), at.lte.map(start_of_next)];
        AuditFilter {
            gt: None,
            gte: from.into_iter().flatten().max(),
            lt: until.into_iter().flatten().min(),
            lte: None,
            project_ids: self.project_ids,
            event_types: self.event_types,
            actor_ids: self.actor_ids,
            actor_emails: self.actor_emails,
            resource_ids: self.resource_ids,
        }
    }
}

fn is_tenant_scoped(event_type: &str) -> bool {
    event_type.starts_with("tenant.")
        || matches!(
            event_type,
            "role.bound_to_resource" | "role.unbound_from_resource"
        )
}

/// The event with its payload under its type's name. `ip_address`,
/// `user_agent` and `request_id` are ours: the documented actor of a key has no
/// place for them.
fn show(entry: AuditEntry) -> Value {
    let event = entry.event;
    let mut shown = Map::new();
    shown.insert("id".to_owned(), entry.id.into());
    shown.insert("object".to_owned(), "organization.audit_log".into());
    shown.insert("type".to_owned(), event.event_type.as_str().into());
    shown.insert(
        "effective_at".to_owned(),
        clock::seconds(entry.effective_at).into(),
    );
    if let Some((id, name)) = event.project {
        shown.insert("project".to_owned(), json!({"id": id, "name": name}));
    }
    shown.insert("actor".to_owned(), event.actor);
    for (key, value) in [
        ("ip_address", event.ip_address),
        ("user_agent", event.user_agent),
        ("request_id", event.request_id),
    ] {
        shown.insert(key.to_owned(), value.into());
    }
    shown.insert(event.event_type, event.payload.into());
    shown.into()
}
