//! HTTP/1.1 to model servers on plain `http`, driven by whoever reads the
//! answer.
//!
//! Ordinary clients run each connection in a task of its own, so that every
//! chunk of an answer crosses from task to task, often from core to core. Here
//! the reader polls the connection itself: what one read of the socket brought
//! is there without another wake-up, and dropping the answer closes it.
//!
//! Easy to break: a connection goes back to the pool only when its answer was
//! read to the end, and nobody polls it while it rests. So it is looked at
//! before it is used again, and not kept for long.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, Stream, future::poll_fn};
use http::{HeaderValue, Request, header};
use http_body::Body;
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};

use crate::config::USER_AGENT;

/// Time to establish a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Resting connections are dropped before servers usually do.
const MAX_REST: Duration = Duration::from_secs(4);
/// Resting connections of one server.
const MAX_RESTING: usize = 256;
/// Pieces of an answer's rest that are read when its reader stops early, if
/// they are there: mostly the end of the body.
const MAX_LEFT_OVER: usize = 4;

/// The connections that rest, by authority.
#[derive(Debug, Default)]
pub struct ConnectionPool {
    resting: Mutex<HashMap<String, Vec<Connection>>>,
}

/// What went wrong before there was an answer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("no connection to {authority}: {source}")]
    Connect {
        authority: String,
        source: io::Error,
    },
    #[error("no connection to {authority} within {} s", CONNECT_TIMEOUT.as_secs())]
    Slow { authority: String },
    #[error("the connection to {authority} failed: {source}")]
    Exchange {
        authority: String,
        source: hyper::Error,
    },
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
    rests_since: Instant,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl ConnectionPool {
    /// Sends a request and waits for the answer's head.
    pub async fn send(
        self: &Arc<Self>,
        request: reqwest::Request,
    ) -> Result<reqwest::Response, ConnectionError> {
        let url = request.url();
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(80);
        let authority = format!("{host}:{port}");
        let request = on_the_wire(&request, &authority);
        if let Some(kept) = self.take(&authority) {
            match self.exchange(kept, request.clone(), &authority).await {
                // It closed while it rested, perhaps just as the request was on its way (llama.cpp
                // closes after 100 requests, unannounced). Asking a model has no effect but its
                // answer, so it may be asked once more, on a connection that has not rested.
                Err(error) if error.has_closed() => {
                    return match connect(host, port, &authority).await {
                        Ok(fresh) => self.exchange(fresh, request, &authority).await,
                        // Perhaps the request was sent, and ended the server.
                        Err(_) => Err(error),
                    };
                }
                other => return other,
            }
        }
        let fresh = connect(host, port, &authority).await?;
        self.exchange(fresh, request, &authority).await
    }

    async fn exchange(
        self: &Arc<Self>,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
        authority: &str,
    ) -> Result<reqwest::Response, ConnectionError> {
        let Connection { sender, driver, .. } = &mut connection;
        let mut answer = std::pin::pin!(sender.send_request(request));
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answered) = answer.as_mut().poll(cx) {
                return Poll::Ready(answered);
            }
            let ended = driver.as_mut().poll(cx);
            match (answer.as_mut().poll(cx), ended) {
                (Poll::Ready(answered), _) => Poll::Ready(answered),
                (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
                // After a quiet end the answer's side says that it is cancelled.
                (Poll::Pending, _) => Poll::Pending,
            }
        })
        .await;
        let (head, body) = answered
            .map_err(|source| ConnectionError::Exchange {
                authority: authority.to_owned(),
                source,
            })?
            .into_parts();
        let answer = Answer {
            body,
            connection: Some(connection),
            home: Arc::clone(self),
            authority: authority.to_owned(),
        };
        let body = reqwest::Body::wrap_stream(answer);
        Ok(http::Response::from_parts(head, body).into())
    }

    /// A resting connection that still stands.
    fn take(&self, authority: &str) -> Option<Connection> {
        loop {
            let mut connection = self.lock().get_mut(authority)?.pop()?;
            if connection.rests_since.elapsed() < MAX_REST
                && (&mut connection.driver).now_or_never().is_none()
                && connection.sender.is_ready()
            {
                return Some(connection);
            }
        }
    }

    fn put_back(&self, authority: &str, mut connection: Connection) {
        if !connection.sender.is_ready() {
            return;
        }
        connection.rests_since = Instant::now();
        let mut resting = self.lock();
        let resting = match resting.get_mut(authority) {
            Some(resting) => resting,
            None => resting.entry(authority.to_owned()).or_default(),
        };
        // The oldest are at the front.
        resting.retain(|connection| connection.rests_since.elapsed() < MAX_REST);
        if resting.len() < MAX_RESTING {
            resting.push(connection);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Connection>>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionError {
    /// Whether the connection ended before there was an answer.
    fn has_closed(&self) -> bool {
        matches!(self, Self::Exchange { source, .. } if has_closed(source))
    }
}

fn has_closed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    let reset = cause.is_some_and(|cause: &io::Error| {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        matches!(cause.kind(), ConnectionReset | BrokenPipe)
    });
    reset || error.is_canceled() || error.is_incomplete_message()
}

/// An answer's body, with the connection it comes on.
struct Answer {
    body: Incoming,
    /// `None` once it is at an end.
    connection: Option<Connection>,
    home: Arc<ConnectionPool>,
    authority: String,
}

impl Stream for Answer {
    type Item = Result<Bytes, hyper::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(connection) = &mut this.connection else {
            return Poll::Ready(None);
        };
        let mut driven = false;
        loop {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    this.connection = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    let ended = connection.driver.as_mut().poll(cx);
                    if let (Poll::Pending, Some(connection)) = (ended, this.connection.take()) {
                        this.home.put_back(&this.authority, connection);
                    }
                    return Poll::Ready(None);
                }
                Poll::Pending if driven => return Poll::Pending,
                Poll::Pending => {
                    driven = true;
                    // Its errors reach the body.
                    let _ = connection.driver.as_mut().poll(cx);
                }
            }
        }
    }
}

impl Drop for Answer {
    /// A reader that has what it wanted stops before the body's end, which is
    /// mostly there: then the connection can be used again.
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..MAX_LEFT_OVER {
            match Pin::new(&mut *self).poll_next(&mut cx) {
                Poll::Ready(Some(Ok(_))) => {}
                _ => return,
            }
        }
    }
}

fn on_the_wire(request: &reqwest::Request, authority: &str) -> Request<Full<Bytes>> {
    let body = request
        .body()
        .and_then(reqwest::Body::as_bytes)
        .map(Bytes::copy_from_slice);
    let mut out = Request::new(Full::new(body.unwrap_or_default()));
    *out.method_mut() = request.method().clone();
    let path = request.url().path();
    *out.uri_mut() = path.parse().unwrap_or_default();
    *out.headers_mut() = request.headers().clone();
    let headers = out.headers_mut();
    if let Ok(host) = HeaderValue::from_str(authority) {
        headers.insert(header::HOST, host);
    }
    headers
        .entry(header::ACCEPT)
        .or_insert(HeaderValue::from_static("*/*"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    out
}

async fn connect(host: &str, port: u16, authority: &str) -> Result<Connection, ConnectionError> {
    let fail = |source| ConnectionError::Connect {
        authority: authority.to_owned(),
        source,
    };
    // An IPv6 address is in brackets in a URL.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port)))
        .await
        .map_err(|_| ConnectionError::Slow {
            authority: authority.to_owned(),
        })?
        .map_err(fail)?;
    stream.set_nodelay(true).map_err(fail)?;
    let (sender, driver) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|source| ConnectionError::Exchange {
            authority: authority.to_owned(),
            source,
        })?;
    Ok(Connection {
        sender,
        driver: Box::pin(driver),
        rests_since: Instant::now(),
    })
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
