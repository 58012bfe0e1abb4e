//! `POST /v1/responses`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Version};
use serde_json::Value;
use waypost_engine::{
    Millis, StoreError,
    events::EventBatch,
    id,
    responses::{Idempotency, InputItem, NewJob, NewResponse, Status},
};
use waypost_identity::Scope;

use super::{
    context,
    events::{Event, encode},
    follow::follow,
    foreground::Foreground,
    idempotency::{self, HeldKey},
    job::Job,
    object, poll, references,
    request::{self, CreateRequest},
};
use crate::{
    clock,
    config::{BackgroundWithoutStore, HostedTools},
    http::{edge::RequestInfo, error::ApiError, json::UniqueJson, sse},
    identity::caller::ProjectCaller,
    responses::Responses,
    tools::{
        RunContext,
        declare::custom,
        mcp::{self, McpAccess, approval::Approved},
        prepare::{FALLBACK_HEADER, is_large},
    },
    upstream::Upstream,
};

/// Creates a response: runs it now, or stores it as a job.
pub async fn create(
    State(state): State<Arc<Responses>>,
    caller: ProjectCaller,
    Extension(info): Extension<Arc<RequestInfo>>,
    version: Version,
    headers: HeaderMap,
    UniqueJson(body): UniqueJson,
) -> Result<Response, ApiError> {
    caller.require(Scope::ModelRequest)?;
    let key = idempotency::key(&headers)?;
    let Read {
        body,
        mut request,
        fingerprint,
    } = parse(&state, body, key.is_some()).await?;
    let idempotency = key
        .zip(fingerprint)
        .map(|(key, fingerprint)| Idempotency { key, fingerprint });
    let access = mcp::declare::access(&state.runs.tools, &body)?;
    drop(body);
    custom::check(&request.grammars, &state.runs.tools.grammars).await?;
    if request.background && !request.store {
        allow_without_store(&state)?;
    }
    // Held before it is looked for: what runs is stored before its key is free.
    let held = match &idempotency {
        None => None,
        Some(key) if request.background => Some(state.running_keys.share(&caller.project_id, key)?),
        Some(key) => Some(state.running_keys.hold(&caller.project_id, key)?),
    };
    if let Some(idempotency) = &idempotency {
        let (project, stream) = (&caller.project_id, request.stream);
        let before = idempotency::replay(&state, project, idempotency, stream, version);
        if let Some(before) = before.await? {
            return Ok(before);
        }
    }
    let upstream = state.runs.route(&request.generation.model)?;
    info.learned
        .route(&request.generation.model, &upstream.name);
    let earlier = match &request.previous_response_id {
        Some(previous) => context::load(&state, &caller.project_id, previous).await?,
        None => Vec::new(),
    };
    let (own, places) = (&mut request.generation.items, &mut request.places);
    references::resolve(&state, &caller.project_id, &earlier, own, places).await?;
    let input = request.after(earlier)?;
    let approved = approvals(&request, &input)?;
    let fallbacks = request.fallbacks.header();
    let ignored = std::mem::take(&mut request.ignored);
    for kind in &ignored.tools {
        state.runs.tools.metrics.hosted_tool_ignored(kind);
    }
    let checked = Checked {
        request,
        upstream,
        input,
        idempotency,
        approved,
        access,
    };
    let mut response = if checked.request.background {
        let response = background(state, caller, info, version, checked).await?;
        drop(held);
        response
    } else {
        foreground(state, caller, info, version, checked, held).await?
    };
    if let Some(fallbacks) = fallbacks {
        response.headers_mut().insert(FALLBACK_HEADER, fallbacks);
    }
    response.headers_mut().extend(ignored.headers());
    Ok(response)
}

/// A request that can run.
struct Checked {
    request: CreateRequest,
    upstream: Arc<Upstream>,
    /// The request's own items.
    input: Vec<Value>,
    idempotency: Option<Idempotency>,
    approved: Vec<Approved>,
    access: McpAccess,
}

impl Checked {
    /// What is stored of it; its body is still empty.
    fn row(&self, id: &str, project_id: String, now: Millis) -> NewResponse {
        NewResponse {
            id: id.to_owned(),
            project_id,
            body: String::new(),
            created_at: now,
            background: self.request.background,
            streamable: self.request.stream,
            store: self.request.store,
            previous_response_id: self.request.previous_response_id.clone(),
            input: rows(&self.input),
            output: Vec::new(),
            idempotency: self.idempotency.clone(),
        }
    }
}

/// A body, and what was read of it.
struct Read {
    body: Value,
    request: CreateRequest,
    fingerprint: Option<[u8; 32]>,
}

/// Reads the body, elsewhere if that takes long.
async fn parse(state: &Arc<Responses>, body: Value, fingerprint: bool) -> Result<Read, ApiError> {
    let hosted = hosted(state, &body);
    let is_large = is_large(&body);
    let tools = &state.runs.tools;
    let state = Arc::clone(tools);
    let read = move || {
        let fingerprint = fingerprint.then(|| idempotency::fingerprint(&body));
        let request = request::parse(&body, &state.preparer, hosted)?;
        Ok(Read {
            body,
            request,
            fingerprint,
        })
    };
    if is_large {
        tools.blocking.run(read).await.map_err(ApiError::internal)?
    } else {
        read()
    }
}

/// What becomes of hosted tools: as the model's server has it, else as all do.
fn hosted(state: &Arc<Responses>, body: &Value) -> HostedTools {
    let upstream = body["model"]
        .as_str()
        .and_then(|model| state.runs.tools.upstreams.for_model(model));
    let own = upstream.and_then(|upstream| upstream.hosted_tools);
    own.unwrap_or(state.runs.tools.config.hosted)
}

async fn foreground(
    state: Arc<Responses>,
    caller: ProjectCaller,
    info: Arc<RequestInfo>,
    version: Version,
    checked: Checked,
    held: Option<HeldKey>,
) -> Result<Response, ApiError> {
    let id = id::fresh("resp_");
    let now = clock::now();
    let row = (checked.request.store).then(|| checked.row(&id, caller.project_id.clone(), now));
    let Checked {
        request,
        upstream,
        approved,
        access,
        ..
    } = checked;
    let stream = request.stream;
    let object = object::new(&id, clock::seconds(now), Status::InProgress, request.echo);
    let _ = info.learned.response_id.set(id.clone());
    let context = RunContext {
        tools: Arc::clone(&state.runs.tools),
        upstream,
        project_id: caller.project_id,
        response_id: id,
        approved,
        access,
    };
    let run = Foreground {
        info,
        state,
        context: Arc::new(context),
        generation: Arc::new(request.generation),
        object,
        row,
        held,
    };
    if stream {
        run.stream(version).await
    } else {
        run.answer().await
    }
}

async fn background(
    state: Arc<Responses>,
    caller: ProjectCaller,
    info: Arc<RequestInfo>,
    version: Version,
    checked: Checked,
) -> Result<Response, ApiError> {
    let id = id::fresh("resp_");
    let _ = info.learned.response_id.set(id.clone());
    let now = clock::now();
    let mut row = checked.row(&id, caller.project_id.clone(), now);
    let Checked {
        request,
        upstream,
        idempotency,
        approved,
        access,
        ..
    } = checked;
    let object = object::new(&id, clock::seconds(now), Status::Queued, request.echo);
    let sealed = access.seal(state.identity.master_key(), &id);
    let mut stored = Job::new(request.generation, id.clone(), caller.project_id.clone());
    stored.approved = approved;
    stored.sealed_access = sealed.map_err(ApiError::internal)?;
    row.body = object.to_string();
    let first = EventBatch::of([
        encode(&Event::Created { response: &object }),
        encode(&Event::Queued { response: &object }),
    ]);
    let job = NewJob {
        queue: upstream.name.clone(),
        request: stored.encode().map_err(ApiError::internal)?.into(),
    };
    let max_queued = state.runs.config.max_queued;
    match state
        .engine
        .store
        .create_background(row, first, job, max_queued)
        .await
    {
        Ok(()) => {}
        Err(StoreError::LimitReached { .. }) => {
            return Err(ApiError::rate_limited(poll::QUEUE_FULL_RETRY)
                .with_message("The queue of background responses is full. Please try again later.")
                .code("queue_full"));
        }
        // Another request took the key while this one was checked.
        Err(taken @ StoreError::Conflict(_)) => {
            let Some(idempotency) = &idempotency else {
                return Err(taken.into());
            };
            let (project, stream) = (&caller.project_id, request.stream);
            let before = idempotency::replay(&state, project, idempotency, stream, version);
            return before.await?.ok_or_else(|| taken.into());
        }
        Err(error) => return Err(error.into()),
    }
    state.engine.bus.publish_jobs();
    if request.stream {
        let keeping = sse::Keeping {
            keep_alive: state.runs.config.keep_alive,
            stop: Some(state.runs.shutdown.stopping()),
            version,
        };
        return Ok(sse::response(
            follow(state, caller.project_id, id, None).await,
            keeping,
        ));
    }
    let mut response = Json(object).into_response();
    poll::hint(&state, Status::Queued, response.headers_mut());
    Ok(response)
}

/// The calls that this request's input approves; its approvals must fit to
/// questions.
fn approvals(request: &CreateRequest, input: &[Value]) -> Result<Vec<Approved>, ApiError> {
    let generation = &request.generation;
    if !input
        .iter()
        .any(|item| item["type"] == "mcp_approval_response")
    {
        return Ok(Vec::new());
    }
    mcp::approval::check(generation, input, &request.places)?;
    Ok(mcp::approval::pending(&generation.items, input))
}

fn allow_without_store(state: &Arc<Responses>) -> Result<(), ApiError> {
    match state.runs.config.background_without_store {
        BackgroundWithoutStore::Ephemeral => Ok(()),
        BackgroundWithoutStore::Reject => Err(ApiError::invalid(
            "Background responses must be stored: 'background' needs 'store' to be true.",
        )
        .param("background")
        .code("unsupported_parameter")),
    }
}

fn rows(items: &[Value]) -> Vec<InputItem> {
    items
        .iter()
        .map(|item| InputItem {
            id: item["id"].as_str().unwrap_or_default().to_owned(),
            json: item.to_string(),
        })
        .collect()
}
