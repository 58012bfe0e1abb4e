//! A chat request that runs here: asked through the tool layers, answered as
//! Chat Completions answers.
//!
//! It lives in its connection. A client that leaves ends it, and with it the
//! request at the model server; a client that reads slowly slows the model
//! server down, because nothing is read from it before what came is sent.

use std::sync::Arc;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt, future::poll_immediate};
use http::Version;
use tokio::{sync::mpsc, time::Instant};

use super::{
    answer::{Answer, Label},
    chunks::{Chunks, error_event},
    request::ChatRequest,
};
use crate::{
    chat::Chat,
    http::{edge::RequestInfo, error::ApiError},
    model::{Delta, Generation, MAX_OUTPUT, Usage},
    run::{
        self, Begin, ClientFrames, DiscardSink, HEAD_PATIENCE, OVERTIME, STOPPING, SinkClosed,
        upstream_refusal,
    },
    tools::{RunContext, agent::Agent, mcp::McpAccess, turn::Step},
    upstream::{Slot, Upstream, error::UpstreamError},
};

/// Chunks that are sent together.
const MAX_BURST: usize = 32 * 1024;

/// Runs the request and answers it.
pub async fn run(
    chat: Arc<Chat>,
    upstream: Arc<Upstream>,
    request: ChatRequest,
    project_id: String,
    info: Arc<RequestInfo>,
    version: Version,
) -> Result<Response, ApiError> {
    let label = Label::new(request.generation.model.clone(), request.legacy);
    let slot = chat.runs.slot(&upstream).await?;
    let run = Run {
        deadline: Instant::now() + chat.runs.config.max_duration,
        context: Arc::new(RunContext {
            tools: Arc::clone(&chat.runs.tools),
            upstream,
            project_id,
            response_id: String::new(),
            approved: Vec::new(),
            access: McpAccess::default(),
        }),
        chat,
        generation: Arc::new(request.generation),
        info,
        _slot: slot,
    };
    if request.stream {
        let chunks = Chunks::new(label, request.include_usage);
        run.stream(chunks, version).await
    } else {
        run.answer(&label).await
    }
}

struct Run {
    chat: Arc<Chat>,
    context: Arc<RunContext>,
    generation: Arc<Generation>,
    info: Arc<RequestInfo>,
    deadline: Instant,
    /// Held to the end.
    _slot: Slot,
}

/// Why a run did not come to its end.
enum Stop {
    SinkClosed(SinkClosed),
    Upstream(UpstreamError),
}

impl Run {
    async fn answer(self, label: &Label) -> Result<Response, ApiError> {
        let sink = DiscardSink {
            stop: self.chat.runs.shutdown.stopping(),
            deadline: self.deadline,
        };
        let mut answer = Answer::default();
        let work = async {
            let mut agent = self.open().await?;
            let mut budget = OutputBudget::default();
            let mut deltas = Vec::new();
            loop {
                let step = agent.next(&mut deltas).await?;
                for delta in deltas.drain(..) {
                    budget.admit(&delta)?;
                    answer.apply(delta);
                }
                if step == Step::Done {
                    return Ok(());
                }
            }
        };
        let result = tokio::select! {
            result = work => result.map_err(Stop::Upstream),
            closed = sink.closed() => Err(Stop::SinkClosed(closed)),
        };
        self.count(answer.usage());
        result.map_err(|stop| self.error(stop))?;
        let object = answer
            .finish(label)
            .ok_or_else(|| self.error(Stop::Upstream(unfinished())))?;
        Ok(Json(object).into_response())
    }

    /// Failures before the model server's answer began are HTTP errors.
    async fn stream(self, chunks: Chunks, version: Version) -> Result<Response, ApiError> {
        let runs = Arc::clone(&self.chat.runs);
        run::stream(&runs, version, |frames, begin| {
            self.run_stream(chunks, frames, begin)
        })
        .await
    }

    async fn run_stream(self, mut chunks: Chunks, frames: mpsc::Sender<Bytes>, mut begin: Begin) {
        let mut sink = ClientFrames::new(frames, self.chat.runs.shutdown.stopping(), self.deadline);
        let ended = match self.opened(&sink, &mut begin).await {
            Ok(mut agent) => pump(&mut agent, &mut chunks, &mut sink).await,
            Err(stop) => Err(stop),
        };
        self.count(chunks.usage());
        let stop = match ended {
            Ok(()) | Err(Stop::SinkClosed(SinkClosed::Client)) => return,
            Err(stop) => stop,
        };
        let error = self.error(stop);
        let Err(error) = begin.refuse(error) else {
            return;
        };
        let mut out = BytesMut::new();
        error_event(&error, &mut out);
        let _ = sink.send(out.freeze()).await;
    }

    /// The opened answer. The client still awaits the word where it failed early.
    async fn opened(&self, sink: &ClientFrames, begin: &mut Begin) -> Result<Agent, Stop> {
        let open = self.open();
        tokio::pin!(open);
        let patience = tokio::time::sleep(HEAD_PATIENCE);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                opened = &mut open => {
                    let agent = opened.map_err(Stop::Upstream)?;
                    return begin.begin().map(|()| agent).map_err(Stop::SinkClosed);
                }
                () = &mut patience, if begin.is_awaited() => begin.begin().map_err(Stop::SinkClosed)?,
                closed = sink.closed() => return Err(Stop::SinkClosed(closed)),
            }
        }
    }

    async fn open(&self) -> Result<Agent, UpstreamError> {
        Agent::open(&self.context, &self.generation, None).await
    }

    /// However the answer ended. Estimates are nobody's to see.
    fn count(&self, usage: Option<Usage>) {
        if let Some(usage) = usage.filter(|usage| usage.reported) {
            let tokens = (usage.input_tokens, usage.output_tokens);
            let _ = self.info.learned.tokens.set(tokens);
        }
    }

    /// What the client is told.
    fn error(&self, stop: Stop) -> ApiError {
        match stop {
            Stop::SinkClosed(SinkClosed::Overtime) => ApiError::unavailable(OVERTIME),
            Stop::SinkClosed(_) => ApiError::unavailable(STOPPING),
            Stop::Upstream(error) => {
                let upstream = &self.context.upstream;
                let path = upstream.generation_path();
                self.chat
                    .runs
                    .note_failed_call(upstream, &self.info, path, &error);
                let refusal = upstream_refusal(&error);
                match &error {
                    // The items are ours; the client sent messages.
                    UpstreamError::Unsupported { param, .. } if param.starts_with("input") => {
                        refusal.param("messages")
                    }
                    _ => refusal,
                }
            }
        }
    }
}

/// Sends the chunks of an answer until it is whole.
async fn pump(agent: &mut Agent, chunks: &mut Chunks, sink: &mut ClientFrames) -> Result<(), Stop> {
    let mut budget = OutputBudget::default();
    let mut deltas = Vec::new();
    let mut out = BytesMut::new();
    loop {
        // A server that never pauses must not keep us from seeing this.
        if let Some(closed) = sink.closed().now_or_never() {
            return Err(Stop::SinkClosed(closed));
        }
        let mut step = tokio::select! {
            closed = sink.closed() => return Err(Stop::SinkClosed(closed)),
            step = agent.next(&mut deltas) => step,
        };
        let mut taken = take(&mut deltas, &mut budget, chunks, &mut out);
        // What has arrived with it goes along.
        while matches!(step, Ok(Step::More)) && taken.is_ok() && out.len() < MAX_BURST {
            let Some(next) = poll_immediate(agent.next(&mut deltas)).await else {
                break;
            };
            step = next;
            taken = take(&mut deltas, &mut budget, chunks, &mut out);
        }
        let step = taken.and(step);
        if matches!(step, Ok(Step::Done)) && !chunks.finish(&mut out) {
            return Err(Stop::Upstream(unfinished()));
        }
        if !out.is_empty() {
            let sent = sink.send(out.split().freeze()).await;
            sent.map_err(Stop::SinkClosed)?;
        }
        match step {
            Ok(Step::Done) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(Stop::Upstream(error)),
        }
    }
}

fn take(
    deltas: &mut Vec<Delta>,
    budget: &mut OutputBudget,
    chunks: &mut Chunks,
    out: &mut BytesMut,
) -> Result<(), UpstreamError> {
    for delta in deltas.drain(..) {
        budget.admit(&delta)?;
        chunks.apply(delta, out);
    }
    Ok(())
}

/// What an answer has brought so far, against what it may.
#[derive(Default)]
struct OutputBudget(usize);

impl OutputBudget {
    fn admit(&mut self, delta: &Delta) -> Result<(), UpstreamError> {
        self.0 += delta.size();
        if self.0 > MAX_OUTPUT {
            return Err(UpstreamError::TooLarge(format!(
                "more than {MAX_OUTPUT} bytes of output"
            )));
        }
        Ok(())
    }
}

fn unfinished() -> UpstreamError {
    UpstreamError::Broken("end without a finish reason".into())
}
