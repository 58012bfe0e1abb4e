//! How long a connection may be silent, in each of its states: a head that was
//! begun has `header_timeout`, a connection between two requests has
//! `keep_alive_timeout`, and one with a request in progress has no limit here.
//!
//! Easy to break: clients and load balancers keep connections for 60 to 90 s
//! and send the next request on them unasked. A server that closes earlier makes
//! such requests fail now and then, and a client must not repeat a POST by
//! itself. hyper's own `header_read_timeout` runs from the end of the request
//! before, so it cannot tell an idle connection from a slow head.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// The limits of every connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub header: Duration,
    pub keep_alive: Duration,
}

/// What a connection is doing.
#[derive(Debug)]
pub struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests whose answer is not at its end.
    open: usize,
    /// Nothing is known of the version before the first request.
    http2: bool,
    /// Bytes of the next request have come, or it is the first one.
    begun: bool,
    /// When the state without a request began, or bytes last moved in it.
    since: Instant,
}

/// Whose time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// A head that was begun, or the first one.
    Head,
    /// A connection between two requests.
    Idle,
}

impl Pace {
    /// A connection that was just accepted: its first head is awaited.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            open: 0,
            http2: false,
            begun: true,
            since: Instant::now(),
        })))
    }

    /// A request has come; it is in progress until the guard is dropped.
    pub fn request(self: &Arc<Self>, version: http::Version) -> Open {
        let mut state = self.state();
        state.open += 1;
        state.begun = false;
        state.http2 = version == http::Version::HTTP_2;
        Open(Arc::clone(self))
    }

    pub fn is_busy(&self) -> bool {
        self.state().open > 0
    }

    /// Resolves when the connection has been silent for too long.
    pub async fn overdue(&self, limits: Limits) -> Overdue {
        // Nothing that begins between two looks can be over before the second.
        let look_every = limits.header.min(limits.keep_alive);
        loop {
            let now = Instant::now();
            let end = self.state().end(limits);
            match end {
                Some((end, overdue)) if end <= now => return overdue,
                Some((end, _)) => tokio::time::sleep_until(end.min(now + look_every)).await,
                None => tokio::time::sleep(look_every).await,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When the connection is overdue, as things stand.
    fn end(&self, limits: Limits) -> Option<(Instant, Overdue)> {
        match (self.open, self.begun) {
            (0, true) => Some((self.since + limits.header, Overdue::Head)),
            (0, false) => Some((self.since + limits.keep_alive, Overdue::Idle)),
            _ => None,
        }
    }

    /// Between two requests, where bytes mean something.
    fn is_idle(&self) -> bool {
        // Pings of HTTP/2 are no request.
        self.open == 0 && !self.begun && !self.http2
    }

    /// Bytes came from the client.
    fn read(&mut self, now: Instant) {
        if self.is_idle() {
            self.begun = true;
            self.since = now;
        }
    }

    /// Bytes went to the client: the end of an answer that it reads slowly.
    fn wrote(&mut self, now: Instant) {
        if self.is_idle() {
            self.since = now;
        }
    }
}

/// A request in progress.
#[derive(Debug)]
pub struct Open(Arc<Pace>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        state.since = Instant::now();
    }
}

/// An answer's body; its request is in progress until it is dropped.
#[derive(Debug)]
pub struct OpenBody {
    body: Body,
    _open: Open,
}

impl OpenBody {
    pub fn new(body: Body, open: Open) -> Self {
        Self { body, _open: open }
    }
}

impl http_body::Body for OpenBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection's bytes, noticed as they pass.
#[derive(Debug)]
pub struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
}

impl<S> Paced<S> {
    pub fn new(stream: S, pace: Arc<Pace>) -> Self {
        Self { stream, pace }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.pace.state().wrote(Instant::now());
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.pace.state().read(Instant::now());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        header: Duration::from_secs(30),
        keep_alive: Duration::from_mins(2),
    };

    /// Seconds from `began` to its end, and which way.
    fn end(pace: &Pace, began: Instant) -> Option<(u64, Overdue)> {
        let (end, overdue) = pace.state().end(LIMITS)?;
        Some(((end - began).as_secs(), overdue))
    }

    fn after_a_request(version: http::Version) -> (Arc<Pace>, Instant) {
        let pace = Pace::new();
        drop(pace.request(version));
        let since = pace.state().since;
        (pace, since)
    }

    #[test]
    fn each_state_has_its_limit() {
        let pace = Pace::new();
        let since = pace.state().since;
        assert_eq!(end(&pace, since), Some((30, Overdue::Head)));
        let open = pace.request(http::Version::HTTP_11);
        let second = pace.request(http::Version::HTTP_11);
        assert_eq!(end(&pace, since), None);
        pace.state().read(since + Duration::from_secs(1));
        drop(open);
        assert_eq!(end(&pace, since), None);
        drop(second);
        let since = pace.state().since;
        assert_eq!(end(&pace, since), Some((120, Overdue::Idle)));
    }

    #[test]
    fn a_head_that_begins_late_has_its_own_time() {
        let (pace, since) = after_a_request(http::Version::HTTP_11);
        pace.state().read(since + Duration::from_secs(100));
        // More of it does not prolong it.
        pace.state().read(since + Duration::from_secs(110));
        pace.state().wrote(since + Duration::from_secs(110));
        assert_eq!(end(&pace, since), Some((130, Overdue::Head)));
    }

    #[test]
    fn pings_are_no_head_and_a_slow_reader_is_not_idle() {
        let (pace, since) = after_a_request(http::Version::HTTP_2);
        pace.state().read(since + Duration::from_mins(1));
        pace.state().wrote(since + Duration::from_mins(1));
        assert_eq!(end(&pace, since), Some((120, Overdue::Idle)));
        let (pace, since) = after_a_request(http::Version::HTTP_11);
        pace.state().wrote(since + Duration::from_secs(119));
        assert_eq!(end(&pace, since), Some((239, Overdue::Idle)));
    }
}
