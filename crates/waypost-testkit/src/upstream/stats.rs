//! What the scripted model server has seen: counters and the last requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hyper::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Requests kept by default.
pub const DEFAULT_RECORDED: usize = 256;
/// Bytes of bodies kept, whatever their number.
const RECORDED_BYTES: usize = 64 * 1024 * 1024;

/// The counters at one moment. A call is a model request, from its last byte in to its answer's
/// last byte out; a stream is a call with `stream: true`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Calls per route, such as `/v1/chat/completions`.
    pub calls: BTreeMap<&'static str, u64>,
    /// Calls per model name.
    pub models: BTreeMap<String, u64>,
    pub active_connections: u64,
    pub active_calls: u64,
    pub max_concurrent_calls: u64,
    pub active_streams: u64,
    pub max_concurrent_streams: u64,
    /// Streams that came to the end of their script, faults included.
    pub finished_streams: u64,
    /// Streams whose client disconnected before their end.
    pub aborted_streams: u64,
    /// Plain calls whose client disconnected before the answer.
    pub aborted_calls: u64,
}

/// One request to a model route.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    pub route: &'static str,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub(super) served: Arc<Serving>,
}

/// How far the answer to a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Served {
    /// Status of the answer; `null` before its headers.
    pub status: Option<u16>,
    /// Deltas of a stream that were handed to the connection, and bytes of any body. What the
    /// kernel's buffers hold counts, so only a script with pauses tells what a client has read.
    pub deltas: u64,
    pub bytes: u64,
    pub ended: Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Still being answered.
    No,
    /// It came to the end of its script, faults included.
    Finished,
    /// The client closed the connection before.
    Aborted,
}

/// [`Served`] while it changes.
#[derive(Debug, Default)]
pub(super) struct Serving {
    status: AtomicU16,
    deltas: AtomicU64,
    bytes: AtomicU64,
    ended: AtomicU8,
}

impl Serving {
    pub(super) fn status(&self, status: u16) {
        self.status.store(status, Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize, deltas: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.deltas.fetch_add(deltas as u64, Relaxed);
    }

    pub(super) fn ended(&self, finished: bool) {
        self.ended.store(if finished { 1 } else { 2 }, Relaxed);
    }
}

impl RecordedRequest {
    /// How far its answer has got by now.
    pub fn served(&self) -> Served {
        Served {
            status: Some(self.served.status.load(Relaxed)).filter(|status| *status > 0),
            deltas: self.served.deltas.load(Relaxed),
            bytes: self.served.bytes.load(Relaxed),
            ended: match self.served.ended.load(Relaxed) {
                0 => Ended::No,
                1 => Ended::Finished,
                _ => Ended::Aborted,
            },
        }
    }

    /// Whether its model's script has this `key`.
    pub fn has_key(&self, key: &str) -> bool {
        let body = self.json();
        let script = body["model"]
            .as_str()
            .and_then(|model| model.split_once('?'));
        script.is_some_and(|(_, query)| {
            let mut pairs = query.split('&');
            pairs.any(|pair| pair.strip_prefix("key=") == Some(key))
        })
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(super) fn to_json(&self) -> Value {
        let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
        let mut headers = Map::new();
        for (name, value) in &self.headers {
            headers.insert(name.as_str().to_owned(), text(value.as_bytes()));
        }
        let body = serde_json::from_slice(&self.body).unwrap_or_else(|_| text(&self.body));
        json!({"route": self.route, "headers": headers, "body": body, "served": self.served()})
    }
}

/// The model routes, which are the ones that are counted.
pub(super) const ROUTES: [&str; 7] = [
    "/v1/models",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/completions",
    "/props",
    "/api/show",
];

#[derive(Debug, Default)]
pub(super) struct Counters {
    calls: [AtomicU64; ROUTES.len()],
    connections: AtomicU64,
    active: Gauge,
    streams: Gauge,
    finished_streams: AtomicU64,
    aborted_streams: AtomicU64,
    aborted_calls: AtomicU64,
}

#[derive(Debug, Default)]
struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

impl Gauge {
    fn up(&self) {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.most.fetch_max(now, Relaxed);
    }

    fn down(&self) {
        self.now.fetch_sub(1, Relaxed);
    }
}

impl Counters {
    pub(super) fn called(&self, route: &str) {
        if let Some(at) = ROUTES.iter().position(|known| *known == route) {
            self.calls[at].fetch_add(1, Relaxed);
        }
    }

    pub(super) fn connection_opened(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn connection_closed(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    pub(super) fn read(&self) -> Stats {
        let calls = ROUTES.iter().zip(&self.calls);
        Stats {
            calls: calls
                .map(|(route, calls)| (*route, calls.load(Relaxed)))
                .collect(),
            models: BTreeMap::new(),
            active_connections: self.connections.load(Relaxed),
            active_calls: self.active.now.load(Relaxed),
            max_concurrent_calls: self.active.most.load(Relaxed),
            active_streams: self.streams.now.load(Relaxed),
            max_concurrent_streams: self.streams.most.load(Relaxed),
            finished_streams: self.finished_streams.load(Relaxed),
            aborted_streams: self.aborted_streams.load(Relaxed),
            aborted_calls: self.aborted_calls.load(Relaxed),
        }
    }

    /// Forgets the past; what is going on now stays counted as active.
    pub(super) fn reset(&self) {
        for calls in &self.calls {
            calls.store(0, Relaxed);
        }
        for gauge in [&self.active, &self.streams] {
            gauge.most.store(gauge.now.load(Relaxed), Relaxed);
        }
        for counter in [
            &self.finished_streams,
            &self.aborted_streams,
            &self.aborted_calls,
        ] {
            counter.store(0, Relaxed);
        }
    }
}

/// A call in progress. Dropped before [`Running::finished`], its client has gone away.
#[derive(Debug)]
pub(super) struct Running {
    counters: Arc<Counters>,
    pub(super) served: Arc<Serving>,
    stream: bool,
    finished: bool,
}

impl Running {
    pub(super) fn new(counters: Arc<Counters>, served: Arc<Serving>, stream: bool) -> Self {
        counters.active.up();
        if stream {
            counters.streams.up();
        }
        Self {
            counters,
            served,
            stream,
            finished: false,
        }
    }

    pub(super) fn finished(&mut self) {
        self.finished = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let counters = &self.counters;
        self.served.ended(self.finished);
        counters.active.down();
        if self.stream {
            counters.streams.down();
        }
        match (self.stream, self.finished) {
            (true, true) => counters.finished_streams.fetch_add(1, Relaxed),
            (true, false) => counters.aborted_streams.fetch_add(1, Relaxed),
            (false, true) => 0,
            (false, false) => counters.aborted_calls.fetch_add(1, Relaxed),
        };
    }
}

/// The last requests, bounded in number and in bytes.
#[derive(Debug)]
pub(super) struct Log {
    kept: Mutex<Kept>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Kept {
    requests: VecDeque<RecordedRequest>,
    bytes: usize,
}

impl Log {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            kept: Mutex::default(),
            limit,
        }
    }

    pub(super) fn push(&self, request: RecordedRequest) {
        if self.limit == 0 {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += request.body.len();
        kept.requests.push_back(request);
        while kept.requests.len() > self.limit || kept.bytes > RECORDED_BYTES {
            let Some(oldest) = kept.requests.pop_front() else {
                break;
            };
            kept.bytes -= oldest.body.len();
        }
    }

    pub(super) fn all(&self) -> Vec<RecordedRequest> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.requests.iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_the_last_requests() {
        let log = Log::new(2);
        for body in ["a", "b", "c"] {
            let body = Bytes::from_static(body.as_bytes());
            log.push(RecordedRequest {
                route: ROUTES[1],
                headers: HeaderMap::new(),
                body,
                served: Arc::default(),
            });
        }
        let bodies: Vec<Bytes> = log.all().into_iter().map(|request| request.body).collect();
        assert_eq!(bodies, ["b", "c"]);
    }
}
