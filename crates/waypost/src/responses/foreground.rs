//! Responses that run while their client waits, streamed or not.
//!
//! Nothing is stored before the end. The terminal event (or the JSON answer)
//! waits for the stored row when `store` is true, so that a `GET` right after
//! it finds the response. A client that leaves ends the run, and with it the
//! request at the model server.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use bytes::Bytes;
use http::{StatusCode, Version};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use waypost_engine::{events::EventBatchBuilder, responses::NewResponse};

use super::{
    assemble::Assembler,
    context,
    events::{DONE, Event, encode},
    idempotency::HeldKey,
    object::{self, Failure},
    recover::Seam,
    run::{self, End, Sink, SinkClosed, Stop},
    sink::{CLIENT_QUEUE, ClientSink, DiscardSink},
};
use crate::{
    app::AppRef,
    http::{edge::RequestInfo, error::ApiError, sse},
    model::Generation,
    tools::{RunContext, agent::Agent},
    upstream::{Slot, Upstream, error::UpstreamError},
};

/// How long a streaming client waits for the model server's status before its
/// own stream begins. Until then a failure is an ordinary HTTP error.
pub const HEAD_PATIENCE: Duration = Duration::from_secs(3);
pub const OVERTIME: &str = "The response took longer than responses may take here.";
pub const STOPPING: &str = "The server is stopping.";

/// A foreground response, checked and ready to run.
pub struct Foreground {
    pub app: AppRef,
    pub context: Arc<RunContext>,
    pub generation: Arc<Generation>,
    /// The Response object, `in_progress`.
    pub object: Value,
    /// What is stored at the end; `None` for `store: false`.
    pub row: Option<NewResponse>,
    /// The request's idempotency key; free again when the run is over.
    pub held: Option<HeldKey>,
    pub info: Arc<RequestInfo>,
}

impl Foreground {
    /// Runs to the end and answers with the Response object.
    pub async fn answer(mut self) -> Result<Response, ApiError> {
        let _held = self.held.take();
        let _slot = slot_of(&self.app, &self.context.upstream).await?;
        let mut sink = DiscardSink {
            stop: self.app.shutdown.stopping(),
            deadline: self.deadline(),
        };
        let mut assembler = self.assembler();
        let mut pending = EventBatchBuilder::default();
        let open = Agent::open(&self.context, &self.generation, None);
        let opened = tokio::select! {
            opened = open => opened.map_err(Stop::Upstream),
            closed = sink.closed() => Err(Stop::SinkClosed(closed)),
        };
        let result = match opened {
            Ok(mut agent) => {
                let mut seam = Seam::default();
                run::pump(
                    &mut agent,
                    &mut assembler,
                    &mut seam,
                    &mut pending,
                    &mut sink,
                )
                .await
            }
            Err(stop) => Err(stop),
        };
        let end = match result {
            Ok(finish) => run::end(&self.object, &mut assembler, finish, pending),
            // The model had its say, or tools had their effects: that is how
            // this response ended. An HTTP error makes clients try again, and
            // all of it would be done twice.
            Err(Stop::SinkClosed(closed)) if assembler.had_effects() => {
                let why = if closed == SinkClosed::Overtime {
                    OVERTIME
                } else {
                    STOPPING
                };
                self.failed(&mut assembler, "server_error", why.to_owned(), pending)
            }
            Err(Stop::SinkClosed(SinkClosed::Overtime)) => {
                return Err(ApiError::unavailable(OVERTIME));
            }
            Err(Stop::SinkClosed(_)) => return Err(ApiError::unavailable(STOPPING)),
            Err(Stop::Upstream(error))
                if matches!(error, UpstreamError::Violation(_)) || assembler.had_effects() =>
            {
                self.note(&error);
                let (code, message) = error.for_response();
                self.failed(&mut assembler, code, message, pending)
            }
            Err(Stop::Upstream(error)) => return Err(self.refusal(&error)),
        };
        self.store(&end).await?;
        Ok(object::answer(end.object))
    }

    /// Streams the events. Failures before the model server's answer began are
    /// HTTP errors.
    pub async fn stream(self, version: Version) -> Result<Response, ApiError> {
        let slot = slot_of(&self.app, &self.context.upstream).await?;
        let (frames, receiver) = mpsc::channel::<Bytes>(CLIENT_QUEUE);
        let (begun, begins) = oneshot::channel();
        let app = self.app.clone();
        app.shutdown.spawn(self.run_stream(slot, frames, begun));
        begins
            .await
            .map_err(|_| ApiError::internal("the run ended before it began"))??;
        let keeping = sse::Keeping {
            keep_alive: app.config.responses.keep_alive,
            stop: None,
            version,
        };
        Ok(sse::response(ReceiverStream::new(receiver), keeping))
    }

    async fn run_stream(
        mut self,
        _slot: Slot,
        frames: mpsc::Sender<Bytes>,
        begun: oneshot::Sender<Result<(), ApiError>>,
    ) {
        let _held = self.held.take();
        let stop = self.app.shutdown.stopping();
        let mut sink = ClientSink::new(frames, stop, self.deadline());
        let mut begun = Some(begun);
        let mut assembler = self.assembler();
        let mut pending = EventBatchBuilder::default();
        pending.push(&encode(&Event::Created {
            response: &self.object,
        }));
        pending.push(&encode(&Event::InProgress {
            response: &self.object,
        }));
        let work = async {
            let open = Agent::open(&self.context, &self.generation, None);
            tokio::pin!(open);
            let opened = tokio::select! {
                opened = &mut open => opened,
                () = tokio::time::sleep(HEAD_PATIENCE) => {
                    if begun.take().is_some_and(|b| b.send(Ok(())).is_err()) {
                        return Err(Stop::SinkClosed(SinkClosed::Client));
                    }
                    run::flush(&mut pending, &mut sink).await?;
                    tokio::select! {
                        opened = &mut open => opened,
                        closed = sink.closed() => return Err(Stop::SinkClosed(closed)),
                    }
                }
                closed = sink.closed() => return Err(Stop::SinkClosed(closed)),
            };
            let mut agent = match (opened, begun.take()) {
                (Ok(agent), begun) => {
                    if begun.is_some_and(|b| b.send(Ok(())).is_err()) {
                        return Err(Stop::SinkClosed(SinkClosed::Client));
                    }
                    agent
                }
                (Err(error), Some(begun)) => {
                    let _ = begun.send(Err(self.refusal(&error)));
                    return Err(Stop::SinkClosed(SinkClosed::Client));
                }
                (Err(error), None) => return Err(Stop::Upstream(error)),
            };
            let mut seam = Seam::default();
            run::pump(
                &mut agent,
                &mut assembler,
                &mut seam,
                &mut pending,
                &mut sink,
            )
            .await
        };
        let end = match work.await {
            Ok(finish) => run::end(&self.object, &mut assembler, finish, pending),
            Err(Stop::SinkClosed(SinkClosed::Overtime)) => {
                self.failed(&mut assembler, "server_error", OVERTIME.to_owned(), pending)
            }
            Err(Stop::SinkClosed(SinkClosed::Stopping)) => {
                if let Some(begun) = begun.take() {
                    let _ = begun.send(Err(ApiError::unavailable(STOPPING)));
                    return;
                }
                self.failed(&mut assembler, "server_error", STOPPING.to_owned(), pending)
            }
            Err(Stop::SinkClosed(_)) => return,
            Err(Stop::Upstream(error)) => {
                self.note(&error);
                let (code, message) = error.for_response();
                self.failed(&mut assembler, code, message, pending)
            }
        };
        let end = match self.store(&end).await {
            Ok(()) => end,
            // It was generated and cannot be kept: `completed` would be a
            // promise that a GET breaks.
            Err(_logged) => {
                let message = "The response could not be stored.".to_owned();
                let failure = Failure {
                    code: "server_error",
                    message,
                };
                end.into_failure(&self.object, &failure)
            }
        };
        if sink.write(end.events()).await.is_ok() && self.app.config.responses.done_marker {
            let _ = sink.send(DONE).await;
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.app.config.responses.max_duration
    }

    fn assembler(&self) -> Assembler {
        let mut assembler = Assembler::default();
        assembler.hold_blank_text = !self.generation.tools.is_empty();
        assembler
    }

    fn failed(
        &self,
        assembler: &mut Assembler,
        code: &'static str,
        message: String,
        pending: EventBatchBuilder,
    ) -> End {
        run::failure(&self.object, assembler, &Failure { code, message }, pending)
    }

    async fn store(&self, end: &End) -> Result<(), ApiError> {
        self.info.learned.count(&end.object["usage"]);
        let Some(row) = &self.row else { return Ok(()) };
        let row = NewResponse {
            body: end.object.to_string(),
            output: context::referable(&end.object, end.status),
            ..row.clone()
        };
        self.app
            .engine
            .store
            .insert_finished(row, end.status)
            .await
            .map_err(|error| {
                tracing::error!(
                    %error,
                    request_id = %self.info.id,
                    response_id = self.info.learned.response_id.get(),
                    "a finished response could not be stored"
                );
                ApiError::from(error)
            })
    }

    fn note(&self, error: &UpstreamError) {
        let upstream = &self.context.upstream;
        let path = upstream.generation_path();
        note_failed_call(&self.app, upstream, &self.info, path, error);
    }

    fn refusal(&self, error: &UpstreamError) -> ApiError {
        self.note(error);
        upstream_refusal(error)
    }
}

/// Waits its turn at a model server, while its client waits.
pub async fn slot_of(app: &AppRef, upstream: &Upstream) -> Result<Slot, ApiError> {
    let stop = app.shutdown.stopping();
    tokio::select! {
        slot = upstream.slot(app.config.responses.queue_timeout) => slot
            .ok_or_else(|| ApiError::rate_limited(Duration::from_secs(5)).code("upstream_busy")),
        () = stop.cancelled() => Err(ApiError::unavailable(STOPPING)),
    }
}

/// Counts and logs a call that failed while its client waits: whose request it
/// was, and what was asked of whom. `path` is what was asked for below the
/// upstream's base URL.
pub fn note_failed_call(
    app: &AppRef,
    upstream: &Upstream,
    info: &RequestInfo,
    path: &str,
    error: &UpstreamError,
) {
    if let UpstreamError::Dependency { .. } = error {
        // Told where it happened.
        return;
    }
    let learned = &info.learned;
    tracing::warn!(
        upstream = %upstream.name,
        url = %upstream.url_of(path),
        model = learned.model.get(),
        request_id = %info.id,
        response_id = learned.response_id.get(),
        %error,
        hint = error.hint(),
        "the model server failed"
    );
    app.metrics.upstream_error(&upstream.name, error.kind());
}

/// What a caller is told when a model server fails before anything was sent:
/// its own words where they are about the caller's request.
pub fn upstream_refusal(error: &UpstreamError) -> ApiError {
    match error {
        UpstreamError::Dependency { message } => ApiError::new(
            StatusCode::FAILED_DEPENDENCY,
            "external_connector_error",
            message.clone(),
        )
        .param("tools")
        .code("http_error"),
        UpstreamError::Unsupported { message, param } => ApiError::invalid(message.clone())
            .param(param.clone())
            .code("unsupported_value"),
        // The model was asked again here, as often as is allowed.
        UpstreamError::Violation(message) => ApiError::bad_gateway(message.clone())
            .code("upstream_error")
            .without_retry(),
        UpstreamError::Status {
            status,
            message,
            param,
            code,
            retry_after,
            ..
        } => {
            if error.is_throttle() {
                return ApiError::rate_limited(retry_after.unwrap_or(Duration::from_secs(1)))
                    .with_message(message.clone());
            }
            if !UpstreamError::is_the_callers(*status) || error.is_about_the_address() {
                return ApiError::bad_gateway(error.safe_sentence()).code("upstream_error");
            }
            let mut refusal = ApiError::new(*status, "invalid_request_error", message.clone());
            if let Some(param) = param {
                refusal = refusal.param(param.clone());
            }
            if let Some(code) = code {
                refusal = refusal.code(code.clone());
            }
            refusal
        }
        _ => ApiError::bad_gateway(error.safe_sentence()).code("upstream_error"),
    }
}
