//! `/organization/workload_identity_providers/{…}/federation_rules`
//!
//! The audit log knows a rule as a *mapping*: that is its documented name there.

use std::sync::Arc;

use std::fmt;

use axum::{Json, Router, extract::State, routing::get};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value, json};
use waypost_engine::{
    StoreError,
    audit::AuditDraft,
    directory::{NewRule, Rule, RulePatch},
    refusals,
};
use waypost_identity::{AttributeMatchers, Permissions};

use super::{event, field, in_force};
use crate::{
    admin::Admin,
    clock,
    http::{
        ApiError, ApiJson, ApiPath, ApiQuery,
        page::{self, Deletion, List, Order},
    },
    identity::caller::AdminCaller,
};

pub(super) fn routes() -> Router<Arc<Admin>> {
    const ALL: &str =
        "/workload_identity_providers/{workload_identity_provider_id}/federation_rules";
    Router::new().route(ALL, get(list).post(create)).route(
        &format!("{ALL}/{{workload_identity_federation_rule_id}}"),
        get(retrieve).post(update).delete(delete),
    )
}

#[derive(Debug, Serialize)]
struct View {
    id: String,
    object: &'static str,
    workload_identity_provider_id: String,
    project_id: String,
    service_account_id: String,
    attribute_matchers: Value,
    permissions: Value,
    name: Option<String>,
    description: Option<String>,
    enabled: bool,
    created_at: i64,
    updated_at: i64,
}

impl From<Rule> for View {
    fn from(rule: Rule) -> Self {
        Self {
            id: rule.id,
            object: "organization.workload_identity_federation_rule",
            workload_identity_provider_id: rule.provider_id,
            project_id: rule.project_id,
            service_account_id: rule.service_account_id,
            attribute_matchers: rule.attribute_matchers,
            permissions: rule.permissions,
            name: rule.name,
            description: rule.description,
            enabled: rule.enabled,
            created_at: clock::seconds(rule.created_at),
            updated_at: clock::seconds(rule.updated_at),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    attribute_matchers: Matchers,
    project_id: String,
    service_account_id: String,
    name: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "field::not_null")]
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "field::not_null")]
    permissions: Option<Value>,
}

async fn create(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath(provider_id): ApiPath<String>,
    ApiJson(body): ApiJson<Create>,
) -> Result<Json<View>, ApiError> {
    check_texts(body.name.as_deref(), body.description.as_deref())?;
    check_matchers(&body.attribute_matchers.0)?;
    let permissions = match &body.permissions {
        Some(permissions) => check_permissions(permissions)?,
        None => json!({"type": "service_account_default"}),
    };
    let new = NewRule {
        provider_id: provider_id.clone(),
        project_id: body.project_id,
        service_account_id: body.service_account_id,
        name: body.name,
        description: body.description,
        enabled: body.enabled.unwrap_or(true),
        attribute_matchers: body.attribute_matchers.0,
        permissions,
    };
    let data = json!({
        "project_id": new.project_id,
        "service_account_id": new.service_account_id,
        "name": new.name,
        "description": new.description,
        "enabled": new.enabled,
        "attribute_matchers": new.attribute_matchers,
        "permissions": new.permissions,
    });
    let audit = event::created(&caller, "workload_identity_provider_mapping.created", data);
    let audit = event::with(audit, "identity_provider_id", provider_id);
    let audit = event::in_project(&admin, audit, &new.project_id);
    let rule = admin
        .engine
        .store
        .create_rule(new, audit)
        .await
        .map_err(|error| match error {
            StoreError::NotFound(refusals::SERVICE_ACCOUNT) => {
                ApiError::from(error).param("service_account_id")
            }
            StoreError::NotFound(refusals::PROJECT) => ApiError::from(error).param("project_id"),
            other => other.into(),
        })?;
    in_force(&admin).await;
    Ok(Json(rule.into()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    after: Option<String>,
    limit: Option<i64>,
    order: Order,
    service_account_id: Option<String>,
}

async fn list(
    State(admin): State<Arc<Admin>>,
    _caller: AdminCaller,
    ApiPath(provider_id): ApiPath<String>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let page = page::query("wifr_", query.after, None, query.limit, query.order)?;
    let rules = admin
        .engine
        .store
        .list_rules(&provider_id, query.service_account_id.as_deref(), page)
        .await?;
    Ok(Json(List::of(rules, |rule| &rule.id, View::from)))
}

async fn retrieve(
    State(admin): State<Arc<Admin>>,
    _caller: AdminCaller,
    ApiPath((provider_id, id)): ApiPath<(String, String)>,
) -> Result<Json<View>, ApiError> {
    Ok(Json(
        admin.engine.store.get_rule(&provider_id, &id).await?.into(),
    ))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    #[serde(default, deserialize_with = "field::not_null")]
    attribute_matchers: Option<Matchers>,
    #[serde(default, deserialize_with = "field::nullable")]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "field::nullable")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "field::not_null")]
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "field::not_null")]
    permissions: Option<Value>,
}

async fn update(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath((provider_id, id)): ApiPath<(String, String)>,
    ApiJson(body): ApiJson<Update>,
) -> Result<Json<View>, ApiError> {
    let name = body.name.as_ref().and_then(Option::as_deref);
    let description = body.description.as_ref().and_then(Option::as_deref);
    check_texts(name, description)?;
    if let Some(matchers) = &body.attribute_matchers {
        check_matchers(&matchers.0)?;
    }
    let permissions = body
        .permissions
        .as_ref()
        .map(check_permissions)
        .transpose()?;
    let present = admin.engine.store.get_rule(&provider_id, &id).await?;
    let patch = RulePatch {
        name: body.name,
        description: body.description,
        enabled: body.enabled,
        attribute_matchers: body.attribute_matchers.map(|matchers| matchers.0),
        permissions,
    };
    let audit = event::updated(
        &caller,
        "workload_identity_provider_mapping.updated",
        &id,
        changes_requested(&patch),
    );
    let audit = event::with(audit, "identity_provider_id", provider_id.as_str());
    let audit = event::in_project(&admin, audit, &present.project_id);
    let rule = admin
        .engine
        .store
        .update_rule(&provider_id, &id, patch, audit)
        .await?;
    in_force(&admin).await;
    Ok(Json(rule.into()))
}

async fn delete(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath((provider_id, id)): ApiPath<(String, String)>,
) -> Result<Json<Deletion>, ApiError> {
    let rule = admin.engine.store.get_rule(&provider_id, &id).await?;
    let audit: AuditDraft = [
        ("identity_provider_id", provider_id.as_str()),
        ("project_id", &rule.project_id),
        ("service_account_id", &rule.service_account_id),
    ]
    .into_iter()
    .fold(
        event::about(&caller, "workload_identity_provider_mapping.deleted", &id),
        |audit, (key, value)| event::with(audit, key, value),
    );
    let audit = event::in_project(&admin, audit, &rule.project_id);
    admin
        .engine
        .store
        .delete_rule(&provider_id, &id, audit)
        .await?;
    in_force(&admin).await;
    Ok(Json(Deletion::new(
        "organization.workload_identity_federation_rule.deleted",
        id,
    )))
}

/// An object that repeats no name: of two rows with one name, a reader would
/// believe in one and the server in the other.
#[derive(Debug)]
struct Matchers(Value);

impl<'de> Deserialize<'de> for Matchers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = Map<String, Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of claim names and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
                let mut rows = Map::new();
                while let Some((key, value)) = from.next_entry::<String, Value>()? {
                    if rows.contains_key(&key) {
                        return Err(A::Error::custom(format!("duplicate field `{key}`")));
                    }
                    rows.insert(key, value);
                }
                Ok(rows)
            }
        }
        from.deserialize_map(Rows)
            .map(|rows| Self(Value::Object(rows)))
    }
}

fn check_texts(name: Option<&str>, description: Option<&str>) -> Result<(), ApiError> {
    field::optional_text("name", name, field::MAX_NAME)?;
    field::optional_text("description", description, field::MAX_DESCRIPTION)
}

fn check_matchers(matchers: &Value) -> Result<(), ApiError> {
    let parsed = AttributeMatchers::parse(matchers).map_err(|problem| {
        ApiError::invalid(problem.to_string())
            .param("attribute_matchers")
            .code("invalid_value")
    })?;
    for warning in parsed.warnings() {
        tracing::warn!(
            "a federation rule may be wider than meant: {}",
            warning.message
        );
    }
    Ok(())
}

fn check_permissions(permissions: &Value) -> Result<Value, ApiError> {
    let parsed = Permissions::parse(permissions).map_err(|problem| {
        ApiError::invalid(problem.to_string())
            .param(problem.path())
            .code("invalid_value")
    })?;
    Ok(serde_json::to_value(parsed).expect("plain data always encodes"))
}

fn changes_requested(patch: &RulePatch) -> Value {
    let mut changes = Map::new();
    let mut note = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            changes.insert(key.to_owned(), value);
        }
    };
    note("name", patch.name.clone().map(Value::from));
    note("description", patch.description.clone().map(Value::from));
    note("enabled", patch.enabled.map(Value::from));
    note("attribute_matchers", patch.attribute_matchers.clone());
    note("permissions", patch.permissions.clone());
    changes.into()
}
