//! A model server whose tokens say when they were sent.
//!
//! `POST …/chat/completions` with a model named `clock?pace_us=5000&tokens=200` streams that many
//! tokens at that pace; the text of each is the time of its sending in microseconds of
//! [`now_us`]. Sender and reader are one process, so one clock measures the lag of a token.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::MissedTickBehavior;

use crate::client::find;

/// Largest request read.
const MAX_REQUEST: usize = 1024 * 1024;
const BEGIN: &str = r#"data: {"id":"chatcmpl-clock","object":"chat.completion.chunk","created":1,"model":"clock","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
const END: &str = concat!(
    r#"data: {"id":"chatcmpl-clock","object":"chat.completion.chunk","created":1,"model":"clock","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\ndata: [DONE]\n\n",
);

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds since the first call.
pub fn now_us() -> u64 {
    us(Instant::now())
}

/// The same clock, for an instant.
pub fn us(at: Instant) -> u64 {
    at.saturating_duration_since(*EPOCH).as_micros() as u64
}

/// It runs on a thread of its own until the process ends.
pub struct ClockUpstream {
    pub address: SocketAddr,
}

impl ClockUpstream {
    pub fn start() -> anyhow::Result<Self> {
        now_us();
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("clock-upstream".to_owned())
            .spawn(move || runtime.block_on(serve(listener)))?;
        Ok(Self { address })
    }
}

async fn serve(listener: std::net::TcpListener) {
    let listener = TcpListener::from_std(listener).expect("a bound listener");
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // A client that leaves ends its connection, and nothing else.
                let _ = connection(stream).await;
            });
        }
    }
}

async fn connection(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    loop {
        let Some(body) = request(&mut stream, &mut read).await? else {
            return Ok(());
        };
        let (pace, tokens) = script(&body)?;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        chunk(&mut stream, &format!("{BEGIN}\n\n")).await?;
        let mut ticks = tokio::time::interval(pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..tokens {
            ticks.tick().await;
            let event = format!(
                "data: {{\"id\":\"chatcmpl-clock\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"clock\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{} \"}},\"finish_reason\":null}}]}}\n\n",
                now_us()
            );
            chunk(&mut stream, &event).await?;
        }
        chunk(&mut stream, END).await?;
        stream.write_all(b"0\r\n\r\n").await?;
    }
}

async fn chunk(stream: &mut TcpStream, text: &str) -> anyhow::Result<()> {
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    Ok(stream.write_all(chunk.as_bytes()).await?)
}

/// The body of the next request; `None` at the end of the connection.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> anyhow::Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = find(read, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .and_then(|length| length.trim().parse::<usize>().ok())
                .context("a request without its length")?;
            let whole = end + 4 + length;
            if read.len() >= whole {
                let rest = read.split_off(whole);
                let mut request = std::mem::replace(read, rest);
                return Ok(Some(request.split_off(end + 4)));
            }
        }
        anyhow::ensure!(read.len() < MAX_REQUEST, "an endless request");
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

fn script(body: &[u8]) -> anyhow::Result<(Duration, usize)> {
    let body: Value = serde_json::from_slice(body)?;
    let model = body["model"].as_str().context("no model")?;
    let number = |name: &str| {
        let (_, query) = model.split_once('?')?;
        let pair = query.split('&').find_map(|pair| pair.strip_prefix(name))?;
        pair.strip_prefix('=')?.parse::<u64>().ok()
    };
    let pace = number("pace_us").context("no pace_us")?;
    let tokens = number("tokens").context("no tokens")?;
    Ok((Duration::from_micros(pace), tokens as usize))
}
