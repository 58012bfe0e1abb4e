//! `/organization/projects/{project_id}/api_keys`: the keys of all its service
//! accounts.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use waypost_engine::{
    directory::{ApiKey, ApiKeyPatch, KeyOwner},
    page::Page,
};

use super::{event, field, in_force};
use crate::{
    admin::Admin,
    clock,
    http::{
        ApiError, ApiJson, ApiPath, ApiQuery,
        page::{self, Deletion, List, Order},
    },
    identity::{caller::AdminCaller, snapshot::Snapshot},
};

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/projects/{project_id}/api_keys", get(list))
        .route(
            "/projects/{project_id}/api_keys/{api_key_id}",
            get(retrieve).post(update).delete(delete),
        )
}

#[derive(Debug, Serialize)]
struct View {
    object: &'static str,
    id: String,
    name: String,
    redacted_value: String,
    created_at: i64,
    last_used_at: Option<i64>,
    expires_at: Option<i64>,
    owner_project_access: Access,
    owner: Value,
}

/// Whether the key's service account can act in the project at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Access {
    Active,
    /// The project is archived.
    Inactive,
}

impl View {
    fn new(key: ApiKey, snapshot: &Snapshot) -> Self {
        let (access, owner) = match &key.owner {
            KeyOwner::ServiceAccount {
                project_id,
                service_account_id,
            } => (
                access(snapshot, project_id),
                owner(snapshot, service_account_id),
            ),
            KeyOwner::Organization => (Access::Inactive, Value::Null),
        };
        Self {
            object: "organization.project.api_key",
            name: key.name.unwrap_or_default(),
            redacted_value: key.redacted,
            created_at: clock::seconds(key.created_at),
            last_used_at: snapshot
                .last_use(&key.hash)
                .or(key.last_used_at)
                .map(clock::seconds),
            expires_at: key.expires_at.map(clock::seconds),
            id: key.id,
            owner_project_access: access,
            owner,
        }
    }
}

fn access(snapshot: &Snapshot, project_id: &str) -> Access {
    match snapshot.projects.get(project_id) {
        Some(project) if project.archived_at.is_none() => Access::Active,
        _ => Access::Inactive,
    }
}

fn owner(snapshot: &Snapshot, service_account_id: &str) -> Value {
    let account = snapshot
        .service_accounts
        .get(service_account_id)
        .map(|account| {
            json!({
                "object": "organization.project.service_account",
                "id": account.id,
                "name": account.name,
                "role": account.role,
                "created_at": clock::seconds(account.created_at),
            })
        });
    json!({"type": "service_account", "service_account": account})
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    after: Option<String>,
    limit: Option<i64>,
    owner_project_access: Option<AccessFilter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AccessFilter {
    Active,
    Inactive,
    Any,
}

async fn list(
    State(admin): State<Arc<Admin>>,
    _caller: AdminCaller,
    ApiPath(project_id): ApiPath<String>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let page = page::query("key_", query.after, None, query.limit, Order::Asc)?;
    let mut keys = admin
        .engine
        .store
        .list_project_keys(&project_id, None, page)
        .await?;
    let snapshot = admin.identity.directory.current();
    // All owners live in this one project, so the filter takes all or none.
    let wanted = match query.owner_project_access {
        None | Some(AccessFilter::Any) => true,
        Some(AccessFilter::Active) => access(&snapshot, &project_id) == Access::Active,
        Some(AccessFilter::Inactive) => access(&snapshot, &project_id) == Access::Inactive,
    };
    if !wanted {
        keys = Page {
            items: Vec::new(),
            has_more: false,
        };
    }
    Ok(Json(List::of(
        keys,
        |key| &key.id,
        |key| View::new(key, &snapshot),
    )))
}

async fn retrieve(
    State(admin): State<Arc<Admin>>,
    _caller: AdminCaller,
    ApiPath((project_id, id)): ApiPath<(String, String)>,
) -> Result<Json<View>, ApiError> {
    let key = admin.engine.store.get_project_key(&project_id, &id).await?;
    Ok(Json(View::new(key, &admin.identity.directory.current())))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    #[serde(default, deserialize_with = "field::not_null")]
    scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "field::not_null")]
    expires_in_seconds: Option<i64>,
}

async fn update(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath((project_id, id)): ApiPath<(String, String)>,
    ApiJson(body): ApiJson<Update>,
) -> Result<Json<View>, ApiError> {
    let mut changes = Map::new();
    if let Some(scopes) = &body.scopes {
        changes.insert("scopes".to_owned(), json!(scopes));
    }
    if let Some(seconds) = body.expires_in_seconds {
        changes.insert("expires_in_seconds".to_owned(), seconds.into());
    }
    if changes.is_empty() {
        return Err(ApiError::invalid(
            "Provide at least one of 'scopes' and 'expires_in_seconds'.",
        )
        .code("missing_required_parameter"));
    }
    let audit = event::updated(&caller, "api_key.updated", &id, changes.into());
    let audit = event::in_project(&admin, audit, &project_id);
    let patch = ApiKeyPatch {
        scopes: match body.scopes {
            Some(scopes) => Some(field::scopes(Some(scopes))?),
            None => None,
        },
        expires_at: field::expires_at(body.expires_in_seconds)?,
    };
    let key = admin
        .engine
        .store
        .update_project_key(&project_id, &id, patch, audit)
        .await?;
    in_force(&admin).await;
    Ok(Json(View::new(key, &admin.identity.directory.current())))
}

async fn delete(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath((project_id, id)): ApiPath<(String, String)>,
) -> Result<Json<Deletion>, ApiError> {
    let audit = event::about(&caller, "api_key.deleted", &id);
    let audit = event::in_project(&admin, audit, &project_id);
    admin
        .engine
        .store
        .delete_project_key(&project_id, &id, audit)
        .await?;
    in_force(&admin).await;
    Ok(Json(Deletion::new(
        "organization.project.api_key.deleted",
        id,
    )))
}
