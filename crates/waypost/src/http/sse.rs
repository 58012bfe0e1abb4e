//! Server-sent events on the wire: headers, keep-alives, and an end that does
//! not hold a drain.

use std::{convert::Infallible, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{HeaderValue, Version, header};
use tokio_util::sync::CancellationToken;

/// A comment, which clients skip.
const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// How a stream is kept.
pub struct Keeping {
    /// Silence after which a comment is sent.
    pub keep_alive: Duration,
    /// Ends the stream, wherever it is, without a last word: clients of a
    /// background response resume. Others are given a last word by their run.
    pub stop: Option<CancellationToken>,
    /// HTTP/2 has no `Connection` header.
    pub version: Version,
}

/// A streaming response of the given frames.
pub fn response<S>(frames: S, keeping: Keeping) -> Response
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    let Keeping {
        keep_alive,
        stop,
        version,
    } = keeping;
    let stop = async move {
        match stop {
            Some(stop) => stop.cancelled_owned().await,
            None => std::future::pending().await,
        }
    };
    let body = stream::unfold(
        (Box::pin(frames), keep_alive),
        |(mut frames, idle)| async move {
            match tokio::time::timeout(idle, frames.next()).await {
                Ok(Some(frame)) => Some((frame, (frames, idle))),
                Ok(None) => None,
                Err(_silence) => Some((KEEP_ALIVE, (frames, idle))),
            }
        },
    )
    .take_until(Box::pin(stop))
    .map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if version <= Version::HTTP_11 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
    }
    response
}
