//! The body of a reply, as JSON or as a stream of events.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};

use super::{error::McpError, transport::Reply};

/// The longest id of an event that is kept, to go on after a break.
const MAX_EVENT_ID: usize = 1024;
/// How long to wait before going on after a break, unless the server says.
const RETRY: Duration = Duration::from_secs(1);
/// The longest wait that a server may ask for.
const MAX_RETRY: Duration = Duration::from_secs(10);

/// A stream of messages.
pub(crate) struct Messages {
    events: BoxStream<'static, Result<Sse, sse_stream::Error>>,
    /// Where to go on after a break.
    pub(crate) last_id: Option<String>,
    pub(crate) retry: Duration,
}

/// Reads a whole JSON body.
pub(crate) async fn json(mut reply: Reply, limit: usize) -> Result<Value, McpError> {
    let length = reply.length.unwrap_or(0);
    if length > limit as u64 {
        return Err(McpError::TooLarge(limit));
    }
    let mut body = Vec::with_capacity(length as usize);
    while let Some(chunk) = reply.body.try_next().await? {
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|_| McpError::Protocol("its body is not valid JSON"))
}

impl Messages {
    pub(crate) fn new(reply: Reply, last_id: Option<String>) -> Self {
        Self {
            events: SseByteStream::new(reply.body).boxed(),
            last_id,
            retry: RETRY,
        }
    }

    /// The next message; `None` at the stream's end, and when it broke: then
    /// it can be gone on with, if events had ids.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, McpError> {
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
