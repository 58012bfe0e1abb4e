//! `/organization/workload_identity_providers`
//!
//! A provider is checked as a whole, merged with what a patch leaves unchanged:
//! whether an issuer will do depends on where its keys come from.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use waypost_engine::directory::{NewProvider, Provider, ProviderPatch};
use waypost_identity::{
    IssuerUrlError, KeySource, KeySourceError, PolicyError, TrustPolicy, VerificationFields,
};

use super::{event, field, in_force};
use crate::{
    admin::Admin,
    clock,
    http::{
        ApiError, ApiJson, ApiPath, ApiQuery, json,
        page::{self, Deletion, List, Order},
    },
    identity::caller::AdminCaller,
};

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/workload_identity_providers", get(list).post(create))
        .route(
            "/workload_identity_providers/{workload_identity_provider_id}",
            get(retrieve).post(update).delete(delete),
        )
}

#[derive(Debug, Serialize)]
struct View {
    id: String,
    object: &'static str,
    r#type: &'static str,
    name: String,
    issuer: String,
    audience: String,
    description: Option<String>,
    enabled: bool,
    attribute_transformations: Value,
    verification: Value,
    created_at: i64,
    updated_at: i64,
}

impl From<Provider> for View {
    fn from(provider: Provider) -> Self {
        Self {
            id: provider.id,
            object: "organization.workload_identity_provider",
            r#type: "oidc",
            name: provider.name,
            issuer: provider.issuer,
            audience: provider.audience,
            description: provider.description,
            enabled: provider.enabled,
            attribute_transformations: provider.attribute_transformations,
            verification: provider.verification,
            created_at: clock::seconds(provider.created_at),
            updated_at: clock::seconds(provider.updated_at),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    issuer: String,
    audience: String,
    #[serde(rename = "type")]
    _type: Type,
    description: Option<String>,
    #[serde(default, deserialize_with = "field::not_null")]
    enabled: Option<bool>,
    #[serde(default)]
    attribute_transformations: Vec<Transformation>,
    verification: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Oidc,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read to name what is wrong; none is accepted yet")]
struct Transformation {
    attribute: String,
    expression: String,
}

async fn create(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiJson(body): ApiJson<Create>,
) -> Result<Json<View>, ApiError> {
    check_texts(Some(&body.name), body.description.as_deref())?;
    no_transformations(&body.attribute_transformations)?;
    let verification = match &body.verification {
        Some(raw) => key_source(raw)?,
        None => KeySource::default(),
    };
    check_trust(&admin, &body.issuer, &body.audience, Some(&verification))?;
    let new = NewProvider {
        name: body.name,
        description: body.description,
        issuer: body.issuer,
        audience: body.audience,
        enabled: body.enabled.unwrap_or(true),
        attribute_transformations: json!([]),
        verification: verification.to_json(),
    };
    let data = json!({
        "name": new.name,
        "type": "oidc",
        "issuer": new.issuer,
        "audience": new.audience,
        "description": new.description,
        "enabled": new.enabled,
        "attribute_transformations": new.attribute_transformations,
        "verification": new.verification,
    });
    let audit = event::created(&caller, "workload_identity_provider.created", data);
    let provider = admin.engine.store.create_provider(new, audit).await?;
    in_force(&admin).await;
    Ok(Json(provider.into()))
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
    let page = page::query("wip_", query.after, None, query.limit, query.order)?;
    let providers = admin.engine.store.list_providers(page).await?;
    Ok(Json(List::of(
        providers,
        |provider| &provider.id,
        View::from,
    )))
}

async fn retrieve(
    State(admin): State<Arc<Admin>>,
    _caller: AdminCaller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<View>, ApiError> {
    Ok(Json(admin.engine.store.get_provider(&id).await?.into()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    #[serde(default, deserialize_with = "field::not_null")]
    name: Option<String>,
    #[serde(default, deserialize_with = "field::not_null")]
    issuer: Option<String>,
    #[serde(default, deserialize_with = "field::not_null")]
    audience: Option<String>,
    #[serde(default, deserialize_with = "field::nullable")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "field::not_null")]
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "field::not_null")]
    attribute_transformations: Option<Vec<Transformation>>,
    #[serde(default, deserialize_with = "field::not_null")]
    verification: Option<Box<RawValue>>,
}

async fn update(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath(id): ApiPath<String>,
    ApiJson(body): ApiJson<Update>,
) -> Result<Json<View>, ApiError> {
    let description = body.description.as_ref().and_then(Option::as_deref);
    check_texts(body.name.as_deref(), description)?;
    no_transformations(
        body.attribute_transformations
            .as_deref()
            .unwrap_or_default(),
    )?;
    let verification = body.verification.as_deref().map(key_source);
    let verification = verification.transpose()?;

    let present = admin.engine.store.get_provider(&id).await?;
    // A stored source that cannot be read has no URL to check, and must not stand in the way of
    // the patch that disables or replaces it.
    let kept = KeySource::stored(&present.verification).ok();
    check_trust(
        &admin,
        body.issuer.as_deref().unwrap_or(&present.issuer),
        body.audience.as_deref().unwrap_or(&present.audience),
        verification.as_ref().or(kept.as_ref()),
    )?;

    let patch = ProviderPatch {
        name: body.name,
        description: body.description,
        issuer: body.issuer,
        audience: body.audience,
        enabled: body.enabled,
        attribute_transformations: body.attribute_transformations.map(|_| json!([])),
        verification: verification.map(|source| source.to_json()),
    };
    let changes = changes_requested(&patch);
    let audit = event::updated(&caller, "workload_identity_provider.updated", &id, changes);
    let provider = admin
        .engine
        .store
        .update_provider(&id, patch, audit)
        .await?;
    in_force(&admin).await;
    Ok(Json(provider.into()))
}

async fn delete(
    State(admin): State<Arc<Admin>>,
    caller: AdminCaller,
    ApiPath(id): ApiPath<String>,
) -> Result<Json<Deletion>, ApiError> {
    let name = admin.engine.store.get_provider(&id).await?.name;
    let audit = event::about(&caller, "workload_identity_provider.deleted", &id);
    let audit = event::with(audit, "name", name);
    admin.engine.store.delete_provider(&id, audit).await?;
    in_force(&admin).await;
    Ok(Json(Deletion::new(
        "organization.workload_identity_provider.deleted",
        id,
    )))
}

/// Where a provider's keys come from, as the request's body says it.
fn key_source(raw: &RawValue) -> Result<KeySource, ApiError> {
    let fields = json::parse::<VerificationFields>(raw.get().as_bytes())
        .map_err(|error| error.under("verification"))?;
    let source = KeySource::parse(fields).map_err(|problem| {
        let code = match problem {
            KeySourceError::JwksMissing => "missing_required_parameter",
            _ => "invalid_value",
        };
        ApiError::invalid(problem.to_string())
            .param(problem.path())
            .code(code)
    })?;
    if let KeySource::Uploaded { keys, .. } = &source {
        for key in keys.padded() {
            tracing::warn!(
                kid = key.kid(),
                "an uploaded key has coordinates without their leading zeros, against RFC 7518 section 6.2.1.2; it is used"
            );
        }
    }
    Ok(source)
}

/// Issuer, audience and where the keys come from, together.
fn check_trust(
    admin: &Admin,
    issuer: &str,
    audience: &str,
    key_source: Option<&KeySource>,
) -> Result<(), ApiError> {
    TrustPolicy::new(issuer, audience, &admin.identity.public_url).map_err(|problem| {
        let param = match &problem {
            PolicyError::Empty { field }
            | PolicyError::TooLong { field }
            | PolicyError::ControlCharacter { field } => field,
            _ => "issuer",
        };
        ApiError::invalid(problem.to_string())
            .param(param)
            .code("invalid_value")
    })?;
    let refuse = |param: &'static str, problem: IssuerUrlError| {
        ApiError::invalid(format!("Invalid '{param}'. {problem}"))
            .param(param)
            .code("invalid_value")
    };
    let rules = &admin.identity.url_rules;
    rules
        .check_issuer(issuer)
        .map_err(|problem| refuse("issuer", problem))?;
    if let Some(KeySource::Discovery { url }) = key_source {
        let custom = url.as_deref();
        rules.discovery_url(issuer, custom).map_err(|problem| {
            let param = match custom {
                Some(_) => "verification.discovery_url",
                None => "issuer",
            };
            refuse(param, problem)
        })?;
    }
    Ok(())
}

fn check_texts(name: Option<&str>, description: Option<&str>) -> Result<(), ApiError> {
    field::optional_text("name", name, field::MAX_NAME)?;
    field::optional_text("description", description, field::MAX_DESCRIPTION)
}

fn no_transformations(transformations: &[Transformation]) -> Result<(), ApiError> {
    if transformations.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        "Unsupported parameter: 'attribute_transformations'. This version does not derive attributes; write rules on the token's own claims.",
    )
    .param("attribute_transformations")
    .code("unsupported_parameter"))
}

fn changes_requested(patch: &ProviderPatch) -> Value {
    let mut changes = Map::new();
    let mut note = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            changes.insert(key.to_owned(), value);
        }
    };
    note("name", patch.name.clone().map(Value::from));
    note("description", patch.description.clone().map(Value::from));
    note("issuer", patch.issuer.clone().map(Value::from));
    note("audience", patch.audience.clone().map(Value::from));
    note("enabled", patch.enabled.map(Value::from));
    note(
        "attribute_transformations",
        patch.attribute_transformations.clone(),
    );
    note("verification", patch.verification.clone());
    changes.into()
}
