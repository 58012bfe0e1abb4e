//! One streamed answer of a model server, as deltas.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use http::StatusCode;
use sse_stream::{Sse, SseByteStream};

use super::{
    Upstream, Upstreams,
    chat::{self, ChatDecoder},
    error::UpstreamError,
    generation::{Ask, Delta, Prefix},
    native::{self, NativeDecoder},
};
use crate::config::UpstreamApi;

/// The longest event of an answer, with its comments.
const MAX_EVENT: usize = 16 * 1024 * 1024;
/// Most of an error answer that is read.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// Longest time to wait for the rest of an error answer.
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(5);

/// A streaming answer. Dropping it closes the connection, which is how a model
/// server learns that nobody listens.
pub struct AnswerStream {
    events: BoxStream<'static, Result<Sse, sse_stream::Error>>,
    decoder: Decoder,
    idle_timeout: Duration,
    /// Some servers send log probabilities to everyone.
    wants_logprobs: bool,
}

enum Decoder {
    Chat(ChatDecoder),
    Native(NativeDecoder),
}

/// Sends the request and waits for the answer's head. An error status is an
/// `Err`, with the server's words.
pub async fn open(
    upstreams: &Upstreams,
    upstream: &Upstream,
    ask: &Ask,
    prefix: Option<&Prefix>,
) -> Result<AnswerStream, UpstreamError> {
    let (path, body, decoder) = match upstream.api {
        UpstreamApi::Chat => (
            "/chat/completions",
            chat::request_body(ask, &upstream.capabilities, prefix)?,
            Decoder::Chat(ChatDecoder::default()),
        ),
        UpstreamApi::Responses => (
            "/responses",
            native::request_body(ask, &upstream.capabilities),
            Decoder::Native(NativeDecoder::default()),
        ),
    };
    let request = upstream
        .request(&upstreams.client, reqwest::Method::POST, path)
        .header(http::header::ACCEPT, "text/event-stream")
        .json(&body);
    let answer = send(upstreams, request, upstreams.idle_timeout).await?;
    let content_type = answer
        .headers()
        .get(http::header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    if !content_type.starts_with("text/event-stream") {
        return Err(UpstreamError::Malformed(format!(
            "a stream was asked for, the answer is '{content_type}'"
        )));
    }
    let events = SseByteStream::new(bounded(answer.bytes_stream())).boxed();
    Ok(AnswerStream {
        events,
        decoder,
        idle_timeout: upstreams.idle_timeout,
        wants_logprobs: ask.generation.top_logprobs.is_some(),
    })
}

/// Sends a request; anything but success becomes an error with the server's
/// words.
pub async fn send(
    upstreams: &Upstreams,
    request: reqwest::RequestBuilder,
    patience: Duration,
) -> Result<reqwest::Response, UpstreamError> {
    let answer = upstreams.send(request, patience).await?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let retry_after = retry_after(answer.headers());
    let body = tokio::time::timeout(ERROR_BODY_PATIENCE, read_bounded(answer))
        .await
        .unwrap_or_default();
    let status = if status.is_client_error() || status.is_server_error() {
        status
    } else {
        StatusCode::BAD_GATEWAY
    };
    Err(UpstreamError::from_answer(status, retry_after, &body))
}

impl AnswerStream {
    /// Appends the next deltas to `out`; `false` when the answer is whole.
    pub async fn next(&mut self, out: &mut Vec<Delta>) -> Result<bool, UpstreamError> {
        let event = tokio::time::timeout(self.idle_timeout, self.events.next())
            .await
            .map_err(|_| UpstreamError::Stalled(self.idle_timeout))?;
        match event {
            Some(Ok(Sse {
                data: Some(data), ..
            })) => {
                let before = out.len();
                match &mut self.decoder {
                    Decoder::Chat(d) => d.data(&data, out)?,
                    Decoder::Native(d) => d.data(&data, out)?,
                }
                if !self.wants_logprobs {
                    forget_logprobs(&mut out[before..]);
                }
                Ok(!self.decoder.is_done())
            }
            Some(Ok(_)) => Ok(true),
            Some(Err(e)) => Err(match e {
                sse_stream::Error::Body(e) => UpstreamError::Broken(e.to_string()),
                other => UpstreamError::Malformed(other.to_string()),
            }),
            None => self.decoder.end().map(|()| false),
        }
    }
}

fn forget_logprobs(deltas: &mut [Delta]) {
    for delta in deltas {
        if let Delta::Text { logprobs, .. } = delta {
            logprobs.clear();
        }
    }
}

impl Decoder {
    fn is_done(&self) -> bool {
        match self {
            Self::Chat(d) => d.is_done(),
            Self::Native(d) => d.is_done(),
        }
    }

    fn end(&self) -> Result<(), UpstreamError> {
        match self {
            Self::Chat(d) => d.end(),
            Self::Native(d) => d.end(),
        }
    }
}

/// Ends a stream whose events would fill the memory: the decoder keeps an
/// event until the blank line after it, however many lines it has.
fn bounded(
    bytes: impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    let mut size = EventSize::default();
    bytes.map(move |chunk| {
        let chunk = chunk.map_err(std::io::Error::other)?;
        if size.after(&chunk) > MAX_EVENT {
            return Err(std::io::Error::other(format!(
                "an event over {MAX_EVENT} bytes"
            )));
        }
        Ok(chunk)
    })
}

/// Bytes since the last blank line.
#[derive(Default)]
struct EventSize {
    bytes: usize,
    line_is_empty: bool,
    /// CR and LF are one line break together.
    last_was_cr: bool,
}

impl EventSize {
    /// The size of the open event after these bytes.
    fn after(&mut self, chunk: &[u8]) -> usize {
        for byte in chunk {
            self.bytes += 1;
            match byte {
                b'\n' if self.last_was_cr => {}
                b'\n' | b'\r' => {
                    if self.line_is_empty {
                        self.bytes = 0;
                    }
                    self.line_is_empty = true;
                }
                _ => self.line_is_empty = false,
            }
            self.last_was_cr = *byte == b'\r';
        }
        self.bytes
    }
}

/// `Retry-After` in seconds; a date is not understood, and is as good as none.
pub fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(http::header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds.min(24 * 3600)))
}

async fn read_bounded(mut answer: reqwest::Response) -> Bytes {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_ERROR_BODY {
            body.truncate(MAX_ERROR_BODY);
            break;
        }
    }
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_at_a_blank_line_of_any_kind() {
        for (chunks, size) in [
            (&["data: x\n\n"][..], 0),
            (&["data: x\r\n\r\n", "d"], 2),
            (&["data: x\r\r"], 0),
            (&["data: x\n", "\n", "da"], 2),
            (&["data: x\r", "\n", "data"], 13),
            (&["data: x\n", "data: y\n"], 16),
        ] {
            let mut event = EventSize::default();
            let sizes = chunks.iter().map(|chunk| event.after(chunk.as_bytes()));
            assert_eq!(sizes.last(), Some(size), "{chunks:?}");
        }
    }
}
