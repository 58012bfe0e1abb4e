//! `/organization/admin_api_keys`

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use waypost_engine::directory::{ApiKey, KeyOwner, NewApiKey};

use super::{event, field, in_force};
use crate::{
    admin::Admin,
    clock,
    http::{
        ApiError, ApiJson, ApiPath, ApiQuery,
        page::{self, Deletion, List, Order},
    },
    identity::{caller::AdminCaller, keys},
};

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/admin_api_keys", get(list).post(create))
        .route("/admin_api_keys/{key_id}", get(retrieve).delete(delete))
}

#[derive(Debug, Serialize)]
struct View {
    object: &'static str,
    id: String,
    name: Option<String>,
    redacted_value: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    owner: Value,
    /// Only in the answer to the call that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl View {
    fn new(admin: &Admin, key: ApiKey) -> Self {
        let last_use = admin.identity.directory.current().last_use(&key.hash);
        Self {
            object: "organization.admin_api_key",
            name: key.name,
            redacted_value: key.redacted,
            created_at: clock::seconds(key.created_at),
            expires_at: key.expires_at.map(clock::seconds),
            last_used_at: last_use.or(key.last_used_at).map(clock::seconds),
            // There are no users here: an admin key is the organization's.
            owner: json!({
                "type": "user",
                "object": "organization.user",
                "id": admin.identity.organization_id,
                "name": "Organization",
                "created_at": clock::seconds(key.created_at),
                "role": "owner",
            }),
            id: key.id,
            value: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    expires_in_seconds: Option<i64>,
}

async fn create(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiJson(body): ApiJson<Create>,
) -> Result<Json<View>, ApiError> {
    field::text("name", &body.name, field::MAX_NAME)?;
    let expires_at = field::expires_at(body.expires_in_seconds)?;
    let fresh = keys::fresh(keys::ADMIN_PREFIX);
    let new = NewApiKey {
        owner: KeyOwner::Organization,
        name: Some(body.name),
        hash: fresh.hash,
        redacted: fresh.redacted.clone(),
        scopes: None,
        expires_at,
    };
    let audit = event::created(&caller, "api_key.created", json!({"scopes": []}));
    let key = admin.engine.store.create_key(new, audit).await?;
    in_force(&admin).await;
    Ok(Json(View {
        value: Some(fresh.value.to_string()),
        ..View::new(&admin, key)
    }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    after: Option<String>,
    limit: Option<i64>,
    order: Order,
}

async fn list(
    State(admin): State<Arc<Admin>>,
    _caller: AdminCaller,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let page = page::query("key_", query.after, None, query.limit, query.order)?;
    let keys = admin.engine.store.list_admin_keys(page).await?;
    Ok(Json(List::of(
        keys,
        |key| &key.id,
        |key| View::new(&admin, key),
    )))
}

async fn retrieve(
    State(admin): State<Arc<Admin>>,
    _caller: AdminCaller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<View>, ApiError> {
    let key = admin.engine.store.get_admin_key(&id).await?;
    Ok(Json(View::new(&admin, key)))
}

async fn delete(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<Deletion>, ApiError> {
    let audit = event::about(&caller, "api_key.deleted", &id);
    admin.engine.store.delete_admin_key(&id, audit).await?;
    in_force(&admin).await;
    Ok(Json(Deletion::new(
        "organization.admin_api_key.deleted",
        id,
    )))
}
