//! `/organization/projects/{project_id}/service_accounts`, and making keys for
//! them.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use waypost_engine::{
    Millis,
    audit::AuditDraft,
    directory::{
        ApiKey, KeyOwner, NewApiKey, NewServiceAccount, ServiceAccount, ServiceAccountPatch,
    },
};

use super::{event, field, in_force};
use crate::{
    admin::Admin,
    clock,
    http::{
        ApiError, ApiJson, ApiPath, ApiQuery,
        page::{self, Deletion, List, Order},
    },
    identity::{
        caller::AdminCaller,
        keys::{self, FreshKey},
    },
};

/// What a key is called when nobody says.
const DEFAULT_KEY_NAME: &str = "Secret Key";

pub(super) fn routes() -> Router<Arc<Admin>> {
    const ONE: &str = "/projects/{project_id}/service_accounts/{service_account_id}";
    Router::new()
        .route(
            "/projects/{project_id}/service_accounts",
            get(list).post(create),
        )
        .route(ONE, get(retrieve).post(update).delete(delete))
        .route(&format!("{ONE}/api_keys"), post(create_key))
}

#[derive(Debug, Serialize)]
struct View {
    object: &'static str,
    id: String,
    name: String,
    role: String,
    created_at: i64,
}

impl From<ServiceAccount> for View {
    fn from(account: ServiceAccount) -> Self {
        Self {
            object: "organization.project.service_account",
            id: account.id,
            name: account.name,
            role: account.role,
            created_at: clock::seconds(account.created_at),
        }
    }
}

#[derive(Debug, Serialize)]
struct Created {
    #[serde(flatten)]
    account: View,
    api_key: Option<KeyView>,
}

/// A key at the one moment when it is shown.
#[derive(Debug, Serialize)]
struct KeyView {
    object: &'static str,
    value: String,
    name: String,
    created_at: i64,
    id: String,
    expires_at: Option<i64>,
}

impl KeyView {
    fn new(key: ApiKey, fresh: &FreshKey) -> Self {
        Self {
            object: "organization.project.service_account.api_key",
            value: fresh.value.to_string(),
            name: key.name.unwrap_or_default(),
            created_at: clock::seconds(key.created_at),
            id: key.id,
            expires_at: key.expires_at.map(clock::seconds),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    name: String,
    create_service_account_only: Option<bool>,
    expires_in_seconds: Option<i64>,
}

async fn create(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath(project_id): ApiPath<String>,
    ApiJson(body): ApiJson<NewAccount>,
) -> Result<Json<Created>, ApiError> {
    field::text("name", &body.name, field::MAX_NAME)?;
    let expires_at = field::expires_at(body.expires_in_seconds)?;
    let keyless = body.create_service_account_only.unwrap_or(false);
    if keyless && expires_at.is_some() {
        return Err(ApiError::invalid(
            "'expires_in_seconds' cannot be given with 'create_service_account_only': there is no key to expire.",
        )
        .param("expires_in_seconds")
        .code("invalid_value"));
    }
    let role = if keyless { "none" } else { "member" };
    let audit = event::created(&caller, "service_account.created", json!({"role": role}));
    let audit = event::in_project(&admin, audit, &project_id);
    let fresh = (!keyless).then(|| keys::fresh(keys::SERVICE_ACCOUNT_PREFIX));
    let key = fresh.as_ref().map(|fresh| {
        // The store puts the account's id in, which nobody knows yet.
        let owner = KeyOwner::ServiceAccount {
            project_id: project_id.clone(),
            service_account_id: String::new(),
        };
        let new = new_key(fresh, owner, None, None, expires_at);
        let audit = key_event(&admin, &caller, &project_id, &new);
        (new, audit)
    });
    let new = NewServiceAccount {
        project_id,
        name: body.name,
        role: role.to_owned(),
    };
    let (account, key) = admin
        .engine
        .store
        .create_service_account(new, audit, key)
        .await?;
    in_force(&admin).await;
    Ok(Json(Created {
        account: account.into(),
        api_key: key
            .zip(fresh.as_ref())
            .map(|(key, fresh)| KeyView::new(key, fresh)),
    }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    after: Option<String>,
    limit: Option<i64>,
}

async fn list(
    State(admin): State<Arc<Admin>>,
    _caller: AdminCaller,
    ApiPath(project_id): ApiPath<String>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let page = page::query("svc_acct_", query.after, None, query.limit, Order::Asc)?;
    let accounts = admin
        .engine
        .store
        .list_service_accounts(&project_id, page)
        .await?;
    Ok(Json(List::of(accounts, |account| &account.id, View::from)))
}

async fn retrieve(
    State(admin): State<Arc<Admin>>,
    _caller: AdminCaller,
    ApiPath((project_id, id)): ApiPath<(String, String)>,
) -> Result<Json<View>, ApiError> {
    let account = admin
        .engine
        .store
        .get_service_account(&project_id, &id)
        .await?;
    Ok(Json(account.into()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    #[serde(default, deserialize_with = "field::not_null")]
    name: Option<String>,
    #[serde(default, deserialize_with = "field::not_null")]
    role: Option<Role>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Member,
    Owner,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Owner => "owner",
        }
    }
}

async fn update(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath((project_id, id)): ApiPath<(String, String)>,
    ApiJson(body): ApiJson<Update>,
) -> Result<Json<View>, ApiError> {
    field::optional_text("name", body.name.as_deref(), field::MAX_NAME)?;
    let mut changes = Map::new();
    if let Some(role) = body.role {
        changes.insert("role".to_owned(), role.as_str().into());
    }
    if let Some(name) = &body.name {
        changes.insert("name".to_owned(), name.as_str().into());
    }
    let audit = event::updated(&caller, "service_account.updated", &id, changes.into());
    let audit = event::in_project(&admin, audit, &project_id);
    let patch = ServiceAccountPatch {
        name: body.name,
        role: body.role.map(|role| role.as_str().to_owned()),
    };
    let account = admin
        .engine
        .store
        .update_service_account(&project_id, &id, patch, audit)
        .await?;
    in_force(&admin).await;
    Ok(Json(account.into()))
}

async fn delete(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath((project_id, id)): ApiPath<(String, String)>,
) -> Result<Json<Deletion>, ApiError> {
    let audit = event::about(&caller, "service_account.deleted", &id);
    let audit = event::in_project(&admin, audit, &project_id);
    admin
        .engine
        .store
        .delete_service_account(&project_id, &id, audit)
        .await?;
    in_force(&admin).await;
    Ok(Json(Deletion::new(
        "organization.project.service_account.deleted",
        id,
    )))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateKey {
    #[serde(default, deserialize_with = "field::not_null")]
    name: Option<String>,
    #[serde(default, deserialize_with = "field::not_null")]
    scopes: Option<Vec<String>>,
    expires_in_seconds: Option<i64>,
}

async fn create_key(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath((project_id, service_account_id)): ApiPath<(String, String)>,
    ApiJson(body): ApiJson<CreateKey>,
) -> Result<Json<KeyView>, ApiError> {
    field::optional_text("name", body.name.as_deref(), field::MAX_NAME)?;
    let scopes = field::scopes(body.scopes)?;
    let expires_at = field::expires_at(body.expires_in_seconds)?;
    let fresh = keys::fresh(keys::SERVICE_ACCOUNT_PREFIX);
    let owner = KeyOwner::ServiceAccount {
        project_id: project_id.clone(),
        service_account_id,
    };
    let new = new_key(&fresh, owner, body.name, scopes, expires_at);
    let audit = key_event(&admin, &caller, &project_id, &new);
    let key = admin.engine.store.create_key(new, audit).await?;
    in_force(&admin).await;
    Ok(Json(KeyView::new(key, &fresh)))
}

fn new_key(
    fresh: &FreshKey,
    owner: KeyOwner,
    name: Option<String>,
    scopes: Option<Vec<String>>,
    expires_at: Option<Millis>,
) -> NewApiKey {
    NewApiKey {
        owner,
        name: Some(name.unwrap_or_else(|| DEFAULT_KEY_NAME.to_owned())),
        hash: fresh.hash,
        redacted: fresh.redacted.clone(),
        scopes,
        expires_at,
    }
}

fn key_event(admin: &Admin, caller: &AdminCaller, project_id: &str, key: &NewApiKey) -> AuditDraft {
    let scopes = key.scopes.clone().unwrap_or_default();
    let audit = event::created(caller, "api_key.created", json!({"scopes": scopes}));
    event::in_project(admin, audit, project_id)
}
