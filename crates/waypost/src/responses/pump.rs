//! One generation: the model server's deltas through the assembler into a
//! sink. Foreground and background differ only in the sink.
//!
//! Reading and writing overlap: while a batch is being written, the next one
//! collects. That is the group commit of a stream, without a timer: the slower
//! the sink, the larger the batches, up to a bound at which reading waits.

use futures::{FutureExt, future::poll_immediate};
use serde_json::Value;
use waypost_engine::{
    events::{EventBatch, EventBatchBuilder},
    responses::Status,
};

use super::{
    assemble::Assembler,
    events::{Event, push},
    object::{self, Failure},
    recover::Seam,
};
use crate::{
    clock,
    model::{Delta, Finish, MAX_OUTPUT, Usage},
    run::SinkClosed,
    tools::{agent::Agent, turn::Step},
    upstream::error::UpstreamError,
};

/// Encoded events that may wait for the sink before reading stops.
const MAX_PENDING: usize = 256 * 1024;
/// Encoded events of one burst that are written together.
const MAX_BURST: usize = 32 * 1024;
/// Items and parts of one answer.
const MAX_PIECES: usize = 4096;

/// Where a run's events go.
pub trait Sink: Send {
    /// Takes a batch; resolves when the next one may come.
    fn write(&mut self, batch: EventBatch) -> impl Future<Output = Result<(), SinkClosed>> + Send;
    /// Keeps what a run after a crash has to know of this one: the tokens spent
    /// up to the event that comes after `pending` further ones. Resolves when it
    /// is kept, or when that is not worth waiting for.
    fn keep(
        &mut self,
        _spent: Usage,
        _pending: u64,
    ) -> impl Future<Output = Result<(), SinkClosed>> + Send {
        std::future::ready(Ok(()))
    }
    /// Resolves when nobody wants more.
    fn closed(&mut self) -> impl Future<Output = SinkClosed> + Send;
}

/// Why a run did not come to an end.
#[derive(Debug)]
pub enum Stop {
    SinkClosed(SinkClosed),
    Upstream(UpstreamError),
}

/// The last word on a response, with the events that say it.
#[derive(Debug)]
pub struct End {
    pub status: Status,
    pub object: Value,
    /// Events that close what was open. The terminal event follows them.
    closing: EventBatch,
}

impl End {
    /// The last events: closing ones, then the terminal one.
    pub fn events(&self) -> EventBatch {
        let response = &*object::for_clients(&self.object);
        let mut events = EventBatchBuilder::default();
        for event in self.closing.iter() {
            events.push(&event);
        }
        push(&mut events, &Event::terminal(self.status, response));
        events.take()
    }

    /// The same output, but failed after all.
    #[must_use]
    pub fn into_failure(self, base: &Value, failure: &Failure) -> Self {
        let Self {
            mut object,
            closing,
            ..
        } = self;
        let output = match object["output"].take() {
            Value::Array(output) => output,
            _ => Vec::new(),
        };
        let object = object::failed(base, output, object["usage"].take(), failure);
        Self {
            status: Status::Failed,
            object,
            closing,
        }
    }
}

/// Streams an answer into the sink until the model is done. What is not yet
/// written then stays in `pending`, for the terminal write.
pub async fn pump<S: Sink>(
    agent: &mut Agent,
    assembler: &mut Assembler,
    seam: &mut Seam,
    pending: &mut EventBatchBuilder,
    sink: &mut S,
) -> Result<Finish, Stop> {
    let mut pump = Pump {
        agent,
        assembler,
        seam,
        deltas: Vec::new(),
        taken: 0,
        must_flush: false,
        spent: None,
    };
    let mut ended: Option<Result<(), UpstreamError>> = None;
    loop {
        // A server that never pauses must not keep us from seeing this.
        if let Some(closed) = sink.closed().now_or_never() {
            return Err(Stop::SinkClosed(closed));
        }
        if pending.is_empty() && ended.is_none() {
            tokio::select! {
                closed = sink.closed() => return Err(Stop::SinkClosed(closed)),
                end = pump.step(pending) => ended = end,
            }
        }
        // What has arrived with it goes along: one write for a burst.
        while !pending.is_empty()
            && ended.is_none()
            && !pump.must_flush
            && pump.spent.is_none()
            && pending.len() < MAX_BURST
        {
            match poll_immediate(pump.step(pending)).await {
                Some(end) => ended = end,
                None => break,
            }
        }
        // Before the events that it is about: what is missing after a crash is
        // asked for again, and that is paid for too.
        if let Some((spent, pending)) = pump.spent.take() {
            sink.keep(spent, pending).await.map_err(Stop::SinkClosed)?;
        }
        if let Some(end) = ended {
            // An error is told only after what came before it is safe.
            if end.is_err() {
                flush(pending, sink).await?;
            }
            end.map_err(Stop::Upstream)?;
            return pump.assembler.finished().ok_or_else(|| {
                Stop::Upstream(UpstreamError::Broken("end without a finish reason".into()))
            });
        }
        if pending.is_empty() {
            pump.must_flush = false;
            continue;
        }
        let write = sink.write(pending.take());
        tokio::pin!(write);
        loop {
            tokio::select! {
                written = &mut write => {
                    written.map_err(Stop::SinkClosed)?;
                    // What came while it was written is still to be.
                    pump.must_flush &= !pending.is_empty();
                    break;
                }
                end = pump.step(pending), if ended.is_none()
                    && !pump.must_flush
                    && pump.spent.is_none()
                    && pending.len() < MAX_PENDING =>
                {
                    ended = end;
                }
            }
        }
    }
}

/// Writes what is pending.
pub async fn flush<S: Sink>(pending: &mut EventBatchBuilder, sink: &mut S) -> Result<(), Stop> {
    if pending.is_empty() {
        return Ok(());
    }
    sink.write(pending.take()).await.map_err(Stop::SinkClosed)
}

struct Pump<'a> {
    agent: &'a mut Agent,
    assembler: &'a mut Assembler,
    seam: &'a mut Seam,
    deltas: Vec<Delta>,
    taken: usize,
    /// Nothing may be asked for before what came so far is written.
    must_flush: bool,
    /// What is to be kept, and how many events were pending when it was said.
    spent: Option<(Usage, u64)>,
}

impl Pump<'_> {
    /// Takes in what the server says next; `Some` when that was the end.
    /// Cancel-safe: nothing is awaited once deltas are there.
    async fn step(&mut self, out: &mut EventBatchBuilder) -> Option<Result<(), UpstreamError>> {
        let next = self.agent.next(&mut self.deltas).await;
        for mut delta in self.deltas.drain(..) {
            if let Delta::Text { text, .. } = &mut delta {
                let fresh = self.seam.pass(text);
                if fresh.is_empty() && !text.is_empty() {
                    continue;
                }
                if fresh.len() != text.len() {
                    *text = fresh.to_owned();
                }
            }
            self.taken += delta.size();
            let goes_on = matches!(delta, Delta::Spent(_));
            self.assembler.apply(delta, out);
            if goes_on {
                self.spent = Some((self.assembler.spent(), out.count()));
            }
            if self.taken > MAX_OUTPUT {
                return Some(Err(UpstreamError::TooLarge(format!(
                    "more than {MAX_OUTPUT} bytes of output"
                ))));
            }
            if self.assembler.pieces() > MAX_PIECES {
                return Some(Err(UpstreamError::TooLarge(format!(
                    "more than {MAX_PIECES} items and parts of output"
                ))));
            }
        }
        match next {
            Ok(Step::More) => None,
            Ok(Step::Flush) => {
                self.must_flush = true;
                None
            }
            Ok(Step::Done) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        }
    }
}

/// The model is done: closes the items and says how it ended.
pub fn end(
    base: &Value,
    assembler: &mut Assembler,
    finish: Finish,
    mut pending: EventBatchBuilder,
) -> End {
    let item_status = if finish == Finish::Stop {
        "completed"
    } else {
        "incomplete"
    };
    let output = assembler.close(item_status, &mut pending);
    let usage = assembler.usage();
    let (status, object) = match finish {
        Finish::Stop => (
            Status::Completed,
            object::finished(base, output, usage, clock::seconds(clock::now())),
        ),
        Finish::Length => (
            Status::Incomplete,
            object::incomplete(base, output, usage, "max_output_tokens"),
        ),
        Finish::ContentFilter => (
            Status::Incomplete,
            object::incomplete(base, output, usage, "content_filter"),
        ),
    };
    End {
        status,
        object,
        closing: pending.take(),
    }
}

/// The response failed: what was generated stays, unfinished.
pub fn failure(
    base: &Value,
    assembler: &mut Assembler,
    failure: &Failure,
    mut pending: EventBatchBuilder,
) -> End {
    let output = assembler.close("incomplete", &mut pending);
    let object = object::failed(base, output, assembler.usage(), failure);
    End {
        status: Status::Failed,
        object,
        closing: pending.take(),
    }
}
