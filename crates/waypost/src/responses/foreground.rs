//! Responses that run while their client waits, streamed or not.
//!
//! Nothing is stored before the end. The terminal event (or the JSON answer)
//! waits for the stored row when `store` is true, so that a `GET` right after
//! it finds the response. A client that leaves ends the run, and with it the
//! request at the model server.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use http::Version;
use serde_json::Value;
use tokio::{sync::mpsc, time::Instant};
use waypost_engine::{events::EventBatchBuilder, responses::NewResponse};

use super::{
    assemble::Assembler,
    context,
    events::{DONE, Event, encode},
    idempotency::HeldKey,
    object::{self, Failure},
    pump::{self, End, Sink, Stop},
    recover::Seam,
    sink::ClientSink,
};
use crate::{
    http::{edge::RequestInfo, error::ApiError},
    model::Generation,
    responses::Responses,
    run::{
        self, Begin, ClientFrames, DiscardSink, HEAD_PATIENCE, OVERTIME, STOPPING, SinkClosed,
        upstream_refusal,
    },
    tools::{RunContext, agent::Agent},
    upstream::{Slot, error::UpstreamError},
};

/// A foreground response, checked and ready to run.
pub struct Foreground {
    pub state: Arc<Responses>,
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
        let _slot = self.state.runs.slot(&self.context.upstream).await?;
        let mut sink = DiscardSink {
            stop: self.state.runs.shutdown.stopping(),
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
                pump::pump(
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
            Ok(finish) => pump::end(&self.object, &mut assembler, finish, pending),
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
        let slot = self.state.runs.slot(&self.context.upstream).await?;
        let runs = Arc::clone(&self.state.runs);
        run::stream(&runs, version, |frames, begin| {
            self.run_stream(slot, frames, begin)
        })
        .await
    }

    async fn run_stream(mut self, _slot: Slot, frames: mpsc::Sender<Bytes>, mut begin: Begin) {
        let _held = self.held.take();
        let stop = self.state.runs.shutdown.stopping();
        let mut sink = ClientSink::new(ClientFrames::new(frames, stop, self.deadline()));
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
                    begin.begin().map_err(Stop::SinkClosed)?;
                    pump::flush(&mut pending, &mut sink).await?;
                    tokio::select! {
                        opened = &mut open => opened,
                        closed = sink.closed() => return Err(Stop::SinkClosed(closed)),
                    }
                }
                closed = sink.closed() => return Err(Stop::SinkClosed(closed)),
            };
            let mut agent = match opened {
                Ok(agent) => agent,
                Err(error) if begin.is_awaited() => {
                    let _ = begin.refuse(self.refusal(&error));
                    return Err(Stop::SinkClosed(SinkClosed::Client));
                }
                Err(error) => return Err(Stop::Upstream(error)),
            };
            begin.begin().map_err(Stop::SinkClosed)?;
            let mut seam = Seam::default();
            pump::pump(
                &mut agent,
                &mut assembler,
                &mut seam,
                &mut pending,
                &mut sink,
            )
            .await
        };
        let end = match work.await {
            Ok(finish) => pump::end(&self.object, &mut assembler, finish, pending),
            Err(Stop::SinkClosed(SinkClosed::Overtime)) => {
                self.failed(&mut assembler, "server_error", OVERTIME.to_owned(), pending)
            }
            Err(Stop::SinkClosed(SinkClosed::Stopping)) => {
                if begin.refuse(ApiError::unavailable(STOPPING)).is_ok() {
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
        if sink.write(end.events()).await.is_ok() && self.state.runs.config.done_marker {
            let _ = sink.client.send(DONE).await;
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.state.runs.config.max_duration
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
        pump::failure(&self.object, assembler, &Failure { code, message }, pending)
    }

    async fn store(&self, end: &End) -> Result<(), ApiError> {
        self.info.learned.count(&end.object["usage"]);
        let Some(row) = &self.row else { return Ok(()) };
        let row = NewResponse {
            body: end.object.to_string(),
            output: context::referable(&end.object, end.status),
            ..row.clone()
        };
        self.state
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
        self.state
            .runs
            .note_failed_call(upstream, &self.info, path, error);
    }

    fn refusal(&self, error: &UpstreamError) -> ApiError {
        self.note(error);
        upstream_refusal(error)
    }
}
