//! The body of an answer, as JSON or as a stream of events, within a bound on
//! all its bytes together.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use http::header;
use outbound::client;
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};

use super::error::McpError;

/// The longest id of an event that is kept, to go on after a break.
const MAX_EVENT_ID: usize = 1024;
/// How long to wait before going on after a break, unless the server says.
const RETRY: Duration = Duration::from_secs(1);
/// The longest wait that a server may ask for.
const MAX_RETRY: Duration = Duration::from_secs(10);

/// What kind of body an answer has.
pub(super) enum Body {
    Json,
    Events,
    Other,
}

/// A stream of messages.
pub(super) struct Messages {
    events: BoxStream<'static, Result<Sse, sse_stream::Error>>,
    /// Where to go on after a break.
    pub(super) last_id: Option<String>,
    pub(super) retry: Duration,
}

/// How many bytes may still come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    limit: usize,
    left: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, left: limit }
    }

    fn take(&mut self, bytes: usize) -> Result<(), McpError> {
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or(McpError::TooLarge(self.limit))?;
        Ok(())
    }
}

pub(super) fn body_of(response: &reqwest::Response) -> Body {
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or("")
        .trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Body::Json
    } else if kind.eq_ignore_ascii_case("text/event-stream") {
        Body::Events
    } else {
        Body::Other
    }
}

/// Reads a whole JSON body.
pub(super) async fn json(
    mut response: reqwest::Response,
    mut budget: Budget,
) -> Result<Value, McpError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > budget.left as u64 {
        return Err(McpError::TooLarge(budget.limit));
    }
    let mut body = Vec::with_capacity(announced as usize);
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        budget.take(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|_| McpError::Protocol("its body is not valid JSON"))
}

impl Messages {
    pub(super) fn new(
        response: reqwest::Response,
        budget: Budget,
        last_id: Option<String>,
    ) -> Self {
        Self {
            events: SseByteStream::new(bounded(response, budget)).boxed(),
            last_id,
            retry: RETRY,
        }
    }

    /// The next message; `None` at the stream's end, and when it broke: then
    /// it can be gone on with, if events had ids.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, McpError> {
        loop {
            let event = match self.events.next().await {
                None => return Ok(None),
                Some(Ok(event)) => event,
                Some(Err(sse_stream::Error::Body(error))) => {
                    return match error.downcast::<McpError>() {
                        Ok(error) => match *error {
                            McpError::Broken(_) if self.last_id.is_some() => Ok(None),
                            error => Err(error),
                        },
                        Err(_) => Err(McpError::Protocol("its events cannot be read")),
                    };
                }
                Some(Err(_)) => return Err(McpError::Protocol("its events are not UTF-8")),
            };
            if let Some(id) = event.id.filter(|id| id.len() <= MAX_EVENT_ID) {
                self.last_id = Some(id).filter(|id| !id.is_empty());
            }
            if let Some(retry) = event.retry {
                self.retry = Duration::from_millis(retry).min(MAX_RETRY);
            }
            let is_message = event.event.as_deref().is_none_or(|kind| kind == "message");
            match event.data {
                // A first event without data only brings an id.
                Some(data) if is_message && !data.trim().is_empty() => {
                    return serde_json::from_str(&data)
                        .map(Some)
                        .map_err(|_| McpError::Protocol("an event of it is not valid JSON"));
                }
                _ => {}
            }
        }
    }
}

pub(super) fn broken(error: reqwest::Error) -> McpError {
    McpError::Broken(client::explain(error))
}

fn bounded(
    response: reqwest::Response,
    mut budget: Budget,
) -> impl Stream<Item = Result<Bytes, McpError>> + Send {
    response.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(broken)?;
        budget.take(chunk.len())?;
        Ok(chunk)
    })
}
