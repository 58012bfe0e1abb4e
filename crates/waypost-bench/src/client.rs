//! A lean HTTP/1.1 client over one kept connection.
//!
//! Requests are rendered once and sent as bytes; replies are read with as little work as HTTP
//! allows. On two cores the client's own cost is part of every number, so it has to be small and
//! the same for every target.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest silence within a stream.
const PATIENCE: Duration = Duration::from_mins(1);
/// Largest reply head; nothing of ours comes near.
const MAX_HEAD: usize = 64 * 1024;
/// Room made for each read.
const READ: usize = 16 * 1024;

/// A request, ready for the wire.
#[derive(Debug, Clone)]
pub struct Request(Bytes);

impl Request {
    pub fn get(path: &str, key: Option<&str>) -> Self {
        Self::of("GET", path, key, None)
    }

    pub fn post(path: &str, key: Option<&str>, body: &Value) -> Self {
        Self::of("POST", path, key, Some(body))
    }

    fn of(method: &str, path: &str, key: Option<&str>, body: Option<&Value>) -> Self {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n");
        if let Some(key) = key {
            text.push_str("authorization: Bearer ");
            text.push_str(key);
            text.push_str("\r\n");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            text.push_str("content-type: application/json\r\ncontent-length: ");
            text.push_str(&body.len().to_string());
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text.push_str(&body);
        Self(text.into())
    }
}

/// One connection, used for one request at a time.
pub struct Conn {
    stream: TcpStream,
    buffer: BytesMut,
    body: Body,
}

/// Where the reader is in a reply's body.
#[derive(Clone, Copy, PartialEq)]
enum Body {
    Done,
    Length(usize),
    ChunkHead,
    Chunk(usize),
    ChunkEnd,
}

impl Conn {
    pub async fn to(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: BytesMut::with_capacity(READ),
            body: Body::Done,
        })
    }

    /// Sends a request and reads the reply's head: its status.
    pub async fn open(&mut self, request: &Request) -> anyhow::Result<u16> {
        ensure!(self.body == Body::Done, "the last reply was not read");
        self.stream.write_all(&request.0).await?;
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.split_to(end + 4);
                return self.read_head(&head);
            }
            ensure!(self.buffer.len() < MAX_HEAD, "an endless reply head");
            self.fill().await?;
        }
    }

    /// The next piece of the body as it arrived; `None` at its end.
    pub async fn piece(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            match self.body {
                Body::Done => return Ok(None),
                Body::Length(left) => {
                    if self.buffer.is_empty() {
                        self.fill().await?;
                    }
                    let piece = self.buffer.split_to(left.min(self.buffer.len()));
                    self.body = match left - piece.len() {
                        0 => Body::Done,
                        left => Body::Length(left),
                    };
                    return Ok(Some(piece.freeze()));
                }
                Body::ChunkHead => {
                    let Some(end) = find(&self.buffer, b"\r\n") else {
                        self.fill().await?;
                        continue;
                    };
                    let line = self.buffer.split_to(end + 2);
                    let size = std::str::from_utf8(&line[..end])?;
                    let size = size.split(';').next().unwrap_or_default().trim();
                    self.body = match usize::from_str_radix(size, 16)? {
                        // No trailers are expected: the empty line follows.
                        0 => Body::ChunkEnd,
                        size => Body::Chunk(size),
                    };
                    if self.body == Body::ChunkEnd {
                        self.eat_line().await?;
                        self.body = Body::Done;
                    }
                }
                Body::Chunk(left) => {
                    if self.buffer.is_empty() {
                        self.fill().await?;
                    }
                    let piece = self.buffer.split_to(left.min(self.buffer.len()));
                    self.body = match left - piece.len() {
                        0 => Body::ChunkEnd,
                        left => Body::Chunk(left),
                    };
                    return Ok(Some(piece.freeze()));
                }
                Body::ChunkEnd => {
                    self.eat_line().await?;
                    self.body = Body::ChunkHead;
                }
            }
        }
    }

    /// A whole exchange; the body is thrown away.
    pub async fn call(&mut self, request: &Request) -> anyhow::Result<u16> {
        let status = self.open(request).await?;
        while self.piece().await?.is_some() {}
        Ok(status)
    }

    /// A whole exchange; the body as text.
    pub async fn text(&mut self, request: &Request) -> anyhow::Result<(u16, String)> {
        let status = self.open(request).await?;
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok((status, String::from_utf8(body)?))
    }

    /// A whole exchange that must succeed; the body as JSON.
    pub async fn json(&mut self, request: &Request) -> anyhow::Result<Value> {
        let (status, body) = self.text(request).await?;
        ensure!(status == 200, "status {status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// Opens a stream that must begin with status 200.
    pub async fn events(mut self, request: &Request) -> anyhow::Result<Events> {
        let status = self.open(request).await?;
        if status != 200 {
            let mut body = Vec::new();
            while let Some(piece) = self.piece().await? {
                body.extend_from_slice(&piece);
            }
            bail!("status {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(Events {
            conn: self,
            pending: BytesMut::new(),
            arrived: Instant::now(),
        })
    }

    fn read_head(&mut self, head: &[u8]) -> anyhow::Result<u16> {
        let head = std::str::from_utf8(head)?;
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let status: u16 = status
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .with_context(|| format!("no HTTP reply: {status}"))?;
        self.body = Body::Length(0);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                self.body = Body::Length(value.trim().parse()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                self.body = Body::ChunkHead;
            }
        }
        if self.body == Body::Length(0) {
            self.body = Body::Done;
        }
        Ok(status)
    }

    async fn eat_line(&mut self) -> anyhow::Result<()> {
        while self.buffer.len() < 2 {
            self.fill().await?;
        }
        ensure!(self.buffer.starts_with(b"\r\n"), "a chunk without its end");
        self.buffer.advance(2);
        Ok(())
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(READ);
        let read = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the connection was closed in mid-reply");
        Ok(())
    }
}

/// The server-sent events of one reply.
pub struct Events {
    conn: Conn,
    pending: BytesMut,
    arrived: Instant,
}

impl Events {
    /// The next event as it was sent, and when its last byte was read. `None` at the end.
    pub async fn next(&mut self) -> anyhow::Result<Option<(Bytes, Instant)>> {
        loop {
            if let Some(end) = find(&self.pending, b"\n\n") {
                let event = self.pending.split_to(end + 2).freeze();
                return Ok(Some((event, self.arrived)));
            }
            let piece = tokio::time::timeout(PATIENCE, self.conn.piece())
                .await
                .context("a stream fell silent")??;
            match piece {
                Some(piece) => {
                    self.arrived = Instant::now();
                    self.pending.extend_from_slice(&piece);
                }
                None => return Ok(None),
            }
        }
    }

    /// Reads on until an event holds `text`, and when that was.
    pub async fn until(&mut self, text: &str) -> anyhow::Result<(Bytes, Instant)> {
        while let Some((event, at)) = self.next().await? {
            if find(&event, text.as_bytes()).is_some() {
                return Ok((event, at));
            }
        }
        bail!("the stream ended without `{text}`")
    }
}

/// Where `what` begins in `text`.
pub fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = what[0];
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first) {
        if text[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
