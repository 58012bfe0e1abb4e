//! `POST /v1/responses`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::Version;
use serde_json::Value;
use waypost_engine::{
    StoreError,
    events::EventBatch,
    id,
    responses::{InputItem, NewJob, NewResponse, Status},
};
use waypost_identity::Scope;

use super::{
    context,
    events::{Event, encode},
    follow::follow,
    foreground::Foreground,
    object, poll,
    request::{self, CreateRequest},
};
use crate::{
    app::AppRef,
    clock,
    config::BackgroundWithoutStore,
    http::{caller::ProjectCaller, error::ApiError, json::UniqueJson, sse},
    tools::{
        declare::custom,
        mcp::{self, approval::Approved},
        prepare::{FALLBACK_HEADER, is_large},
        schema::aside,
    },
    upstream::{Upstream, generation::Generation},
};

/// Creates a response: runs it now, or stores it as a job.
pub async fn create(
    State(app): State<AppRef>,
    caller: ProjectCaller,
    version: Version,
    UniqueJson(body): UniqueJson,
) -> Result<Response, ApiError> {
    caller.require(Scope::ModelRequest)?;
    let (body, mut request) = parse(&app, body).await?;
    request.generation.mcp = mcp::declare::vault(&app, &body)?;
    drop(body);
    custom::check(&request.grammars).await?;
    if request.background && !request.store {
        allow_without_store(&app)?;
    }
    let upstream = route(&app, &request.generation.model)?;
    let earlier = match &request.previous_response_id {
        Some(previous) => context::load(&app, &caller.project_id, previous).await?,
        None => Vec::new(),
    };
    let input = request.after(earlier)?;
    request.generation.project_id.clone_from(&caller.project_id);
    request.generation.approved = approvals(&request.generation, &input)?;
    let fallbacks = request.fallbacks.header();
    let mut response = if request.background {
        background(app, caller, version, request, upstream, input).await?
    } else {
        foreground(app, caller, version, request, upstream, input).await?
    };
    if let Some(fallbacks) = fallbacks {
        response.headers_mut().insert(FALLBACK_HEADER, fallbacks);
    }
    Ok(response)
}

/// Reads the body, elsewhere if that takes long.
async fn parse(app: &AppRef, body: Value) -> Result<(Value, CreateRequest), ApiError> {
    if !is_large(&body) {
        let request = request::parse(&body, &app.preparer)?;
        return Ok((body, request));
    }
    let app = Arc::clone(app);
    let read = aside(move || request::parse(&body, &app.preparer).map(|request| (body, request)));
    read.await.map_err(ApiError::internal)?
}

/// The upstream for a model, or the API's words for there being none.
pub fn route(app: &AppRef, model: &str) -> Result<Arc<Upstream>, ApiError> {
    if app.upstreams.all().is_empty() {
        return Err(ApiError::unavailable(
            "No model server is configured. The operator sets [[upstreams]] or \
             WAYPOST_UPSTREAM_URL.",
        )
        .code("no_upstream"));
    }
    app.upstreams.for_model(model).cloned().ok_or_else(|| {
        ApiError::invalid(format!(
            "The requested model '{}' does not exist.",
            context::shown(model)
        ))
        .param("model")
        .code("model_not_found")
    })
}

async fn foreground(
    app: AppRef,
    caller: ProjectCaller,
    version: Version,
    request: CreateRequest,
    upstream: Arc<Upstream>,
    input: Vec<Value>,
) -> Result<Response, ApiError> {
    let id = id::fresh("resp_");
    let now = clock::now();
    let stream = request.stream;
    let object = object::new(&id, clock::seconds(now), Status::InProgress, request.echo);
    let row = request.store.then(|| NewResponse {
        id,
        project_id: caller.project_id,
        body: String::new(),
        created_at: now,
        background: false,
        streamable: stream,
        store: true,
        previous_response_id: request.previous_response_id,
        input: rows(&input),
    });
    let mut generation = request.generation;
    generation.response_id = object["id"].as_str().unwrap_or_default().to_owned();
    let run = Foreground {
        app,
        upstream,
        generation: Arc::new(generation),
        object,
        row,
    };
    if stream {
        run.stream(version).await
    } else {
        run.answer().await
    }
}

async fn background(
    app: AppRef,
    caller: ProjectCaller,
    version: Version,
    request: CreateRequest,
    upstream: Arc<Upstream>,
    input: Vec<Value>,
) -> Result<Response, ApiError> {
    let id = id::fresh("resp_");
    let now = clock::now();
    let object = object::new(&id, clock::seconds(now), Status::Queued, request.echo);
    let mut generation = request.generation;
    generation.response_id.clone_from(&id);
    let sealed = generation.mcp.seal(app.identity.master_key(), &id);
    generation.mcp_sealed = sealed.map_err(ApiError::internal)?;
    let row = NewResponse {
        id: id.clone(),
        project_id: caller.project_id.clone(),
        body: object.to_string(),
        created_at: now,
        background: true,
        streamable: request.stream,
        store: request.store,
        previous_response_id: request.previous_response_id,
        input: rows(&input),
    };
    let first = EventBatch::of([
        encode(&Event::Created { response: &object }),
        encode(&Event::Queued { response: &object }),
    ]);
    let job = NewJob {
        queue: upstream.name.clone(),
        request: serde_json::to_vec(&generation)
            .map_err(ApiError::internal)?
            .into(),
    };
    let max_queued = app.config.responses.max_queued;
    match app
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
        Err(error) => return Err(error.into()),
    }
    app.engine.bus.publish_jobs();
    if request.stream {
        let keeping = sse::Keeping {
            keep_alive: app.config.responses.keep_alive,
            stop: app.shutdown.stopping(),
            version,
        };
        return Ok(sse::response(
            follow(app, caller.project_id, id, None),
            keeping,
        ));
    }
    let mut response = Json(object).into_response();
    poll::hint(&app, Status::Queued, response.headers_mut());
    Ok(response)
}

/// The calls that the request allows; its approvals must fit to questions.
/// The calls that this request's input approves.
fn approvals(generation: &Generation, input: &[Value]) -> Result<Vec<Approved>, ApiError> {
    if !input
        .iter()
        .any(|item| item["type"] == "mcp_approval_response")
    {
        return Ok(Vec::new());
    }
    mcp::approval::check(&generation.items, input, &generation.tools)?;
    Ok(mcp::approval::pending(&generation.items, input))
}

fn allow_without_store(app: &AppRef) -> Result<(), ApiError> {
    match app.config.responses.background_without_store {
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
