//! Server-sent events on the reading side, for tests.
//!
//! [`SseReader`] follows the HTML standard's event stream format over any stream of byte chunks;
//! [`SseReader::strict`] also holds the stream to what Waypost itself sends: LF, `event:` before
//! one `data:` line, no `id:`, comments alone. [`check_stream`] then judges a whole Responses
//! stream. A stream that stops inside an event is an error, never a shorter stream.

mod check;
mod parts;

use std::collections::VecDeque;
use std::fmt::Display;

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use serde_json::Value;

pub use check::{
    CheckedStream, StreamFault, assert_gapless, check_stream, check_stream_from, gapless,
};

/// Longest event accepted.
const MAX_EVENT: usize = 64 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    pub name: Option<String>,
    pub data: String,
}

impl SseEvent {
    pub fn is_done(&self) -> bool {
        self.data == "[DONE]"
    }

    pub fn json(&self) -> Result<Value, SseError> {
        serde_json::from_str(&self.data).map_err(|error| SseError::NotJson {
            data: self.data.clone(),
            error,
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SseError {
    #[error("the stream broke: {0}")]
    Transport(String),
    #[error("the stream ended inside an event: {0:?}")]
    Truncated(String),
    #[error("line {line:?} is not valid: {reason}")]
    Framing { line: String, reason: &'static str },
    #[error("event data is not JSON ({error}): {data:?}")]
    NotJson {
        data: String,
        error: serde_json::Error,
    },
    #[error("event `{name:?}` carries type `{kind}`")]
    NameMismatch { name: Option<String>, kind: Value },
    #[error("something follows [DONE]: {0:?}")]
    AfterDone(SseEvent),
    #[error(transparent)]
    Order(#[from] StreamFault),
}

/// Reads events from a stream of chunks.
#[derive(Debug)]
pub struct SseReader<S> {
    chunks: S,
    parser: Parser,
    ready: VecDeque<SseEvent>,
    ended: bool,
}

impl<S, E> SseReader<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Display,
{
    /// Accepts every legal event stream.
    pub fn new(chunks: S) -> Self {
        Self {
            chunks,
            parser: Parser::default(),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Accepts only the framing that Waypost sends.
    pub fn strict(chunks: S) -> Self {
        let parser = Parser {
            strict: true,
            ..Parser::default()
        };
        Self {
            chunks,
            parser,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// The next event, `[DONE]` included; `None` at a proper end.
    pub async fn next(&mut self) -> Result<Option<SseEvent>, SseError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            match self.chunks.next().await {
                Some(Ok(chunk)) => self.parser.feed(&chunk, &mut self.ready)?,
                Some(Err(error)) => return Err(SseError::Transport(error.to_string())),
                None => {
                    self.ended = true;
                    self.parser.end()?;
                }
            }
        }
    }

    /// Comment lines seen so far.
    pub fn comments(&self) -> usize {
        self.parser.comments
    }

    /// Reads to the end: the JSON of every event, without `[DONE]`, after which nothing may come.
    /// A name, where there is one, must equal the JSON's `type`.
    pub async fn collect_json(&mut self) -> Result<Vec<Value>, SseError> {
        let mut events = Vec::new();
        let mut done = false;
        while let Some(event) = self.next().await? {
            if done {
                return Err(SseError::AfterDone(event));
            }
            done = event.is_done();
            if !done {
                events.push(named_json(&event)?);
            }
        }
        Ok(events)
    }
}

/// Parses a whole recorded stream.
pub fn parse(bytes: &[u8]) -> Result<Vec<SseEvent>, SseError> {
    whole(bytes, Parser::default())
}

/// Parses a whole recorded stream in the framing that Waypost sends.
pub fn parse_strict(bytes: &[u8]) -> Result<Vec<SseEvent>, SseError> {
    whole(
        bytes,
        Parser {
            strict: true,
            ..Parser::default()
        },
    )
}

fn whole(bytes: &[u8], mut parser: Parser) -> Result<Vec<SseEvent>, SseError> {
    let mut events = VecDeque::new();
    parser.feed(bytes, &mut events)?;
    parser.end()?;
    Ok(events.into())
}

fn named_json(event: &SseEvent) -> Result<Value, SseError> {
    let json = event.json()?;
    match &event.name {
        Some(name) if json["type"] != name.as_str() => {
            let kind = json["type"].clone();
            Err(SseError::NameMismatch {
                name: event.name.clone(),
                kind,
            })
        }
        _ => Ok(json),
    }
}

/// Lines in, events out; chunks may end anywhere, inside a character too.
#[derive(Debug, Default)]
struct Parser {
    strict: bool,
    buffer: BytesMut,
    /// Bytes of `buffer` known to hold no line end.
    searched: usize,
    /// A CR ended the last line: a LF right after it belongs to it.
    after_cr: bool,
    name: Option<String>,
    data: Option<String>,
    comments: usize,
}

impl Parser {
    fn feed(&mut self, chunk: &[u8], out: &mut VecDeque<SseEvent>) -> Result<(), SseError> {
        self.buffer.extend_from_slice(chunk);
        while let Some(line) = self.line()? {
            if let Some(event) = self.take_line(&line)? {
                out.push_back(event);
            }
        }
        Ok(())
    }

    fn end(&self) -> Result<(), SseError> {
        if self.buffer.is_empty() && self.name.is_none() && self.data.is_none() {
            return Ok(());
        }
        let rest = String::from_utf8_lossy(&self.buffer);
        Err(SseError::Truncated(format!(
            "{}{rest}",
            self.data.as_deref().unwrap_or_default()
        )))
    }

    fn line(&mut self) -> Result<Option<String>, SseError> {
        if self.after_cr
            && let Some(first) = self.buffer.first()
        {
            self.after_cr = false;
            if *first == b'\n' {
                self.buffer.advance(1);
            }
        }
        let found = self.buffer[self.searched..]
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'));
        let Some(found) = found else {
            self.searched = self.buffer.len();
            if self.searched > MAX_EVENT {
                return Err(framing("", "an event is longer than 64 MiB"));
            }
            return Ok(None);
        };
        let end = self.searched + found;
        let cr = self.buffer[end] == b'\r';
        let line = self.buffer.split_to(end);
        self.buffer.advance(1);
        self.searched = 0;
        self.after_cr = cr;
        let line = String::from_utf8(line.to_vec()).map_err(|error| {
            framing(
                &String::from_utf8_lossy(error.as_bytes()),
                "it is not UTF-8",
            )
        })?;
        if cr && self.strict {
            return Err(framing(&line, "it ends with CR"));
        }
        Ok(Some(line))
    }

    fn take_line(&mut self, line: &str) -> Result<Option<SseEvent>, SseError> {
        if line.is_empty() {
            let name = self.name.take();
            return match self.data.take() {
                Some(data) => Ok(Some(SseEvent { name, data })),
                None if self.strict && name.is_some() => {
                    Err(framing(line, "an event without data ends here"))
                }
                None => Ok(None),
            };
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => {
                self.comments += 1;
                if self.strict && (self.name.is_some() || self.data.is_some()) {
                    return Err(framing(line, "a comment inside an event"));
                }
            }
            "event" => {
                if self.strict && (self.name.is_some() || self.data.is_some()) {
                    return Err(framing(line, "`event` must come once, before `data`"));
                }
                self.name = Some(value.to_owned());
            }
            "data" => match &mut self.data {
                Some(_) if self.strict => return Err(framing(line, "a second `data` line")),
                Some(data) if data.len() + value.len() > MAX_EVENT => {
                    return Err(framing("", "an event is longer than 64 MiB"));
                }
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ if self.strict => return Err(framing(line, "only `event` and `data` are sent")),
            _ => {}
        }
        if self.strict && !field.is_empty() && !line.starts_with(&format!("{field}: ")) {
            return Err(framing(line, "no space after the colon"));
        }
        Ok(None)
    }
}

fn framing(line: &str, reason: &'static str) -> SseError {
    SseError::Framing {
        line: line.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests;
