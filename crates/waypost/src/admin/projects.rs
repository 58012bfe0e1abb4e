//! `/organization/projects`

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use waypost_engine::{
    audit::AuditDraft,
    directory::{NewProject, Project, ProjectPatch},
};

use super::{event, field, in_force};
use crate::{
    admin::Admin,
    clock,
    http::{
        ApiError, ApiJson, ApiPath, ApiQuery,
        page::{self, List, Order},
    },
    identity::caller::AdminCaller,
};

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/projects", get(list).post(create))
        .route("/projects/{project_id}", get(retrieve).post(update))
        .route("/projects/{project_id}/archive", post(archive))
}

#[derive(Debug, Serialize)]
struct View {
    id: String,
    object: &'static str,
    name: Option<String>,
    created_at: i64,
    archived_at: Option<i64>,
    status: &'static str,
    external_key_id: Option<String>,
}

impl From<Project> for View {
    fn from(project: Project) -> Self {
        Self {
            id: project.id,
            object: "organization.project",
            name: project.name,
            created_at: clock::seconds(project.created_at),
            archived_at: project.archived_at.map(clock::seconds),
            status: if project.archived_at.is_some() {
                "archived"
            } else {
                "active"
            },
            external_key_id: project.external_key_id,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    external_key_id: Option<String>,
    // Both promise where data is kept; only null is a promise we can keep.
    geography: Option<Value>,
    residency: Option<Value>,
}

async fn create(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiJson(body): ApiJson<Create>,
) -> Result<Json<View>, ApiError> {
    field::text("name", &body.name, field::MAX_NAME)?;
    let key = body.external_key_id.as_deref();
    field::optional_text("external_key_id", key, field::MAX_NAME)?;
    no_residency("geography", body.geography.is_some())?;
    no_residency("residency", body.residency.is_some())?;
    let audit = event::created(
        &caller,
        "project.created",
        json!({"name": body.name, "title": body.name}),
    );
    let new = NewProject {
        name: body.name,
        external_key_id: body.external_key_id,
    };
    let project = admin.engine.store.create_project(new, audit).await?;
    in_force(&admin).await;
    Ok(Json(project.into()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    after: Option<String>,
    limit: Option<i64>,
    include_archived: bool,
}

async fn list(
    State(admin): State<Arc<Admin>>,
    _caller: AdminCaller,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let page = page::query("proj_", query.after, None, query.limit, Order::Asc)?;
    let projects = admin
        .engine
        .store
        .list_projects(page, query.include_archived)
        .await?;
    Ok(Json(List::of(projects, |project| &project.id, View::from)))
}

async fn retrieve(
    State(admin): State<Arc<Admin>>,
    _caller: AdminCaller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<View>, ApiError> {
    Ok(Json(admin.engine.store.get_project(&id).await?.into()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    /// Null leaves it as it is, as the SDKs' types allow.
    name: Option<String>,
    #[serde(default, deserialize_with = "field::nullable")]
    external_key_id: Option<Option<String>>,
    geography: Option<Value>,
}

async fn update(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath(id): ApiPath<String>,
    ApiJson(body): ApiJson<Update>,
) -> Result<Json<View>, ApiError> {
    field::optional_text("name", body.name.as_deref(), field::MAX_NAME)?;
    let key = body.external_key_id.as_ref().and_then(Option::as_deref);
    field::optional_text("external_key_id", key, field::MAX_NAME)?;
    no_residency("geography", body.geography.is_some())?;
    let mut changes = Map::new();
    if let Some(name) = &body.name {
        changes.insert("title".to_owned(), name.as_str().into());
        changes.insert("name".to_owned(), name.as_str().into());
    }
    if let Some(key) = &body.external_key_id {
        changes.insert("external_key_id".to_owned(), key.clone().into());
    }
    let audit = event::updated(&caller, "project.updated", &id, changes.into());
    let audit = event::in_project(&admin, audit, &id);
    let patch = ProjectPatch {
        name: body.name,
        external_key_id: body.external_key_id,
    };
    let project = admin.engine.store.update_project(&id, patch, audit).await?;
    in_force(&admin).await;
    Ok(Json(project.into()))
}

async fn archive(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<View>, ApiError> {
    let audit: AuditDraft = event::about(&caller, "project.archived", &id);
    let audit = event::in_project(&admin, audit, &id);
    let project = admin.engine.store.archive_project(&id, audit).await?;
    in_force(&admin).await;
    Ok(Json(project.into()))
}

fn no_residency(param: &'static str, given: bool) -> Result<(), ApiError> {
    if !given {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Unsupported parameter: '{param}'. This server keeps its data where it runs."
    ))
    .param(param)
    .code("unsupported_parameter"))
}
