//! One streamed answer of a model server, as deltas.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream::BoxStream};
use http::{StatusCode, header};
use sse_stream::{Sse, SseByteStream};

use super::{
    Upstream, Upstreams,
    chat::{self, ChatDecoder},
    error::UpstreamError,
    meter::Meter,
    responses::{self, ResponsesDecoder},
};
use crate::{
    config::UpstreamApi,
    model::{Delta, MAX_OUTPUT, ModelRequest, Prefix},
};

/// The longest event of an answer, with its comments.
const MAX_EVENT: usize = 16 * 1024 * 1024;
/// The longest answer that comes whole where a stream was asked for.
const MAX_WHOLE: usize = MAX_OUTPUT;
/// The longest error answer that is read: some repeat the request.
pub const MAX_ERROR_BODY: usize = 1024 * 1024;
/// Longest time to wait for the rest of an error answer.
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(5);

/// A streaming answer. Dropping it closes the connection, which is how a model
/// server learns that nobody listens.
pub struct AnswerStream {
    source: Source,
    decoder: Box<Decoder>,
    meter: Box<Meter>,
    /// As it was asked: what it says of a failure has our credentials taken out.
    upstream: Arc<Upstream>,
    /// A word of the answer has come.
    begun: bool,
    idle_timeout: Duration,
}

type Chunks = BoxStream<'static, reqwest::Result<Bytes>>;

/// What the answer's body turned out to be.
enum Source {
    /// Not known before its first visible byte.
    Unread {
        chunks: Chunks,
        begun: Vec<u8>,
    },
    Events(BoxStream<'static, Result<Sse, sse_stream::Error>>),
    /// A JSON document, although a stream was asked for.
    Whole {
        chunks: Chunks,
        body: Vec<u8>,
    },
    /// What such a document says, and how that ends.
    Read(Vec<Delta>, Result<(), UpstreamError>),
    Ended,
}

enum Decoder {
    Chat(ChatDecoder),
    Responses(ResponsesDecoder),
}

/// Sends the request and waits for the answer's head. An error status is an
/// `Err`, with the server's words. So is an error with the status 200, where
/// the answer is no stream.
pub async fn open(
    upstreams: &Upstreams,
    upstream: &Arc<Upstream>,
    ask: &ModelRequest,
    project_id: &str,
    prefix: Option<&Prefix>,
) -> Result<AnswerStream, UpstreamError> {
    let wants_logprobs = ask.generation.top_logprobs.is_some();
    let (mut body, decoder) = match upstream.api {
        UpstreamApi::Chat => (
            chat::request_body(ask, &upstream.capabilities, prefix)?,
            Decoder::Chat(ChatDecoder::new(wants_logprobs)),
        ),
        UpstreamApi::Responses => (
            responses::request_body(ask, &upstream.capabilities),
            Decoder::Responses(ResponsesDecoder::new(wants_logprobs)),
        ),
    };
    body["model"] = upstream.real_name(&ask.generation.model).into();
    let path = upstream.generation_path();
    let model = &ask.generation.model;
    let meter = Meter::start(&upstreams.metrics, &upstream.name, model, project_id);
    let request = upstream
        .request(&upstreams.client, reqwest::Method::POST, path)
        .header(header::ACCEPT, "text/event-stream")
        .json(&body);
    let answer = send(upstreams, upstream, request, upstreams.idle_timeout)
        .await
        .inspect_err(|error| upstream.failed(error))?;
    upstream.accepted();
    let content_type = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("")
        .to_owned();
    let mut answer = AnswerStream {
        source: Source::Unread {
            chunks: answer.bytes_stream().boxed(),
            begun: Vec::new(),
        },
        decoder: Box::new(decoder),
        meter: Box::new(meter),
        upstream: Arc::clone(upstream),
        begun: false,
        idle_timeout: upstreams.idle_timeout,
    };
    if !content_type.starts_with("text/event-stream") {
        let read = answer.read_head(&content_type).await;
        read.map_err(|error| answer.refused(error))?;
    }
    answer.meter.succeeded();
    Ok(answer)
}

/// Sends a request; anything but success becomes an error with the server's
/// words.
pub async fn send(
    upstreams: &Upstreams,
    upstream: &Upstream,
    request: reqwest::RequestBuilder,
    patience: Duration,
) -> Result<reqwest::Response, UpstreamError> {
    let mut answer = upstreams.send(upstream, request, patience).await?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let (error, _) = error_answer(&mut answer).await;
    Err(error.told_by(upstream))
}

/// Reads an error answer: the error, and its body where it came whole, in time
/// and readable. What was compressed is not read: a key in it would not be found.
pub async fn error_answer(answer: &mut reqwest::Response) -> (UpstreamError, Option<BytesMut>) {
    let status = answer.status();
    let status = if status.is_client_error() || status.is_server_error() {
        status
    } else {
        // A redirect, which clients must not follow from here.
        StatusCode::BAD_GATEWAY
    };
    let retry_after = retry_after(answer.headers());
    let is_plain = !answer.headers().contains_key(header::CONTENT_ENCODING);
    let body = error_body(answer).await.filter(|_| is_plain);
    let said = body.as_deref().unwrap_or_default();
    let error = UpstreamError::from_answer(status, retry_after, said);
    (error, body)
}

impl AnswerStream {
    /// Appends the next deltas to `out`; `false` when the answer is whole.
    /// Cancel-safe.
    pub async fn next(&mut self, out: &mut Vec<Delta>) -> Result<bool, UpstreamError> {
        let before = out.len();
        let more = self.read(out).await;
        self.measure(&out[before..]);
        if !self.begun && out.len() > before {
            self.begun = true;
            self.upstream.outage.answered();
        }
        more.map_err(|error| self.refused(error))
    }

    async fn read(&mut self, out: &mut Vec<Delta>) -> Result<bool, UpstreamError> {
        self.find_out().await?;
        if let Source::Whole { .. } = &self.source {
            self.decode_whole().await?;
        }
        if let Source::Read(deltas, end) = &mut self.source {
            out.append(deltas);
            let end = std::mem::replace(end, Ok(()));
            self.source = Source::Ended;
            return end.map(|()| false);
        }
        let Source::Events(events) = &mut self.source else {
            return self.decoder.end().map(|()| false);
        };
        let event = tokio::time::timeout(self.idle_timeout, events.next())
            .await
            .map_err(|_| UpstreamError::Stalled(self.idle_timeout))?;
        match event {
            Some(Ok(Sse {
                data: Some(data), ..
            })) => {
                self.decoder.data(&data, out)?;
                Ok(!self.decoder.is_done())
            }
            Some(Ok(_)) => Ok(true),
            Some(Err(sse_stream::Error::Body(error))) => Err(match error.downcast() {
                Ok(error) => *error,
                Err(error) => UpstreamError::Broken(error.to_string()),
            }),
            Some(Err(other)) => Err(UpstreamError::Malformed(other.to_string())),
            None => self.decoder.end().map(|()| false),
        }
    }

    /// Reads as much of an answer that is not called a stream as it takes to
    /// know whether it is one, or an error.
    async fn read_head(&mut self, content_type: &str) -> Result<(), UpstreamError> {
        self.find_out().await?;
        match &self.source {
            Source::Whole { .. } => {
                self.decode_whole().await?;
                match &self.source {
                    // It says that it is one.
                    Source::Read(_, Err(error @ UpstreamError::Status { .. })) => {
                        Err(error.clone())
                    }
                    _ => Ok(()),
                }
            }
            Source::Events(_) => Ok(()),
            Source::Unread { .. } | Source::Read(..) | Source::Ended => {
                Err(UpstreamError::Malformed(format!(
                    "a stream was asked for, the answer is '{content_type}'"
                )))
            }
        }
    }

    /// Decides by its first visible byte what the answer is.
    async fn find_out(&mut self) -> Result<(), UpstreamError> {
        while let Source::Unread { chunks, begun } = &mut self.source {
            let chunk = next_chunk(chunks, self.idle_timeout).await?;
            let ended = chunk.is_none();
            begun.extend_from_slice(&chunk.unwrap_or_default());
            let visible = begun.strip_prefix(BOM).unwrap_or(begun).trim_ascii_start();
            let first = visible.first().copied();
            if ended && first.is_none() {
                self.source = Source::Ended;
                return Ok(());
            }
            if first.is_none() && begun.len() <= MAX_EVENT {
                continue;
            }
            let is_json = matches!(first, Some(b'{' | b'['));
            let Source::Unread { chunks, begun } =
                std::mem::replace(&mut self.source, Source::Ended)
            else {
                return Ok(());
            };
            self.source = if is_json {
                Source::Whole {
                    chunks,
                    body: begun,
                }
            } else if first == Some(b'<') {
                // A proxy's page.
                Source::Ended
            } else {
                let begun = futures::stream::iter([Ok(Bytes::from(begun))]);
                Source::Events(SseByteStream::new(bounded(begun.chain(chunks))).boxed())
            };
        }
        Ok(())
    }

    async fn decode_whole(&mut self) -> Result<(), UpstreamError> {
        let body = self.read_whole().await?;
        let mut deltas = Vec::new();
        let end = self.decoder.whole(&body, &mut deltas);
        self.source = Source::Read(deltas, end);
        Ok(())
    }

    /// The rest of a JSON document.
    async fn read_whole(&mut self) -> Result<String, UpstreamError> {
        let Source::Whole { chunks, body } = &mut self.source else {
            return Ok(String::new());
        };
        while let Some(chunk) = next_chunk(chunks, self.idle_timeout).await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_WHOLE {
                return Err(UpstreamError::TooLarge(format!(
                    "an answer over {MAX_WHOLE} bytes"
                )));
            }
        }
        let body = std::mem::take(body);
        let text = String::from_utf8(body)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Ok(match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        })
    }
}

/// The byte order mark, which some put before everything.
const BOM: &[u8] = "\u{feff}".as_bytes();

async fn next_chunk(
    chunks: &mut Chunks,
    patience: Duration,
) -> Result<Option<Bytes>, UpstreamError> {
    match tokio::time::timeout(patience, chunks.next()).await {
        Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
        Ok(Some(Err(error))) => Err(UpstreamError::Broken(error.to_string())),
        Ok(None) => Ok(None),
        Err(_) => Err(UpstreamError::Stalled(patience)),
    }
}

impl AnswerStream {
    /// An error in place of events. One in place of the whole answer is like an
    /// error status.
    fn refused(&self, error: UpstreamError) -> UpstreamError {
        let error = error.told_by(&self.upstream);
        if self.begun {
            return error.inside_an_answer();
        }
        self.upstream.failed(&error);
        error
    }

    fn measure(&mut self, deltas: &[Delta]) {
        for delta in deltas {
            match delta {
                Delta::Usage(usage) => {
                    self.meter.tokens((usage.input_tokens, usage.output_tokens));
                }
                _ => self.meter.first_token(),
            }
        }
    }
}

impl Decoder {
    fn data(&mut self, data: &str, out: &mut Vec<Delta>) -> Result<(), UpstreamError> {
        match self {
            Self::Chat(d) => d.data(data, out),
            Self::Responses(d) => d.data(data, out),
        }
    }

    fn whole(&mut self, body: &str, out: &mut Vec<Delta>) -> Result<(), UpstreamError> {
        match self {
            Self::Chat(d) => d.whole(body, out),
            Self::Responses(d) => d.whole(body, out),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Chat(d) => d.is_done(),
            Self::Responses(d) => d.is_done(),
        }
    }

    fn end(&self) -> Result<(), UpstreamError> {
        match self {
            Self::Chat(d) => d.end(),
            Self::Responses(d) => d.end(),
        }
    }
}

/// Ends a stream whose events would fill the memory: the decoder keeps an
/// event until the blank line after it, however many lines it has.
fn bounded(
    bytes: impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, UpstreamError>> + Send {
    let mut size = EventSize::default();
    bytes.map(move |chunk| {
        let chunk = chunk.map_err(|error| UpstreamError::Broken(error.to_string()))?;
        if size.after(&chunk) > MAX_EVENT {
            return Err(UpstreamError::TooLarge(format!(
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
fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds.min(24 * 3600)))
}

/// The body of an error answer; `None` where it does not come whole and in
/// time. Half of one is not looked at: it may end within a key.
async fn error_body(answer: &mut reqwest::Response) -> Option<BytesMut> {
    let read = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ERROR_BODY {
                return None;
            }
        }
        Some(body)
    };
    let read = tokio::time::timeout(ERROR_BODY_PATIENCE, read).await;
    read.ok().flatten()
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
