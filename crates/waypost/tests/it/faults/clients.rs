//! Clients that hardly read: what they cost does not grow with the answer.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::net::TcpSocket;

use crate::{
    harness::Client,
    support::{PATIENCE, World, is_terminal, output_text, until},
};

/// 10 MB of text.
const MODEL: &str = "chat?tokens=10000&shape=filler&token_bytes=1000&coalesce=8";
/// 40 MB: more than the kernel's buffers on both sides may swallow.
const LONG: &str = "chat?tokens=40000&shape=filler&token_bytes=1000&coalesce=8";
const READING: Duration = Duration::from_secs(6);
/// A few batches on each side, and the text so far, which is kept and doubles its
/// memory as it grows: as much of it as the kernel's buffers swallow, which differs
/// from run to run (16 to 36 MiB in all). The whole answer would be 80.
const FOREGROUND_MIB: u64 = 48;
/// The last batches, which all readers share (the whole answer, as often
/// as the closing events say it), and what the allocator keeps of the first job.
/// A copy for each reader would be 320.
const SHARED_MIB: u64 = 112;
/// Each reader may hold a page of the log and what is on its way.
const READERS: usize = 8;
const PER_READER_MIB: u64 = 4;

/// Resident memory in MiB.
fn resident(world: &World) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.server.pid()));
    let status = status.expect("a running process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number")
        / 1024
}

/// The highest resident memory for some time.
async fn most_resident(world: &World, time: Duration, mut step: impl FnMut()) -> u64 {
    let end = Instant::now() + time;
    let mut most = 0;
    while Instant::now() < end {
        most = most.max(resident(world));
        step();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    most
}

/// Sends a request over a connection whose receive buffer is as small as the
/// system allows.
async fn slow_client(world: &World, method: &str, path: &str, body: &str) -> TcpStream {
    let address: SocketAddr = world
        .server
        .base_url
        .strip_prefix("http://")
        .and_then(|address| address.parse().ok())
        .expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(2048).expect("a small buffer");
    let stream = socket.connect(address).await.expect("a connection");
    let mut stream = stream.into_std().expect("a plain socket");
    stream.set_nonblocking(false).expect("a blocking socket");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        world.tenant.key,
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("a sent request");
    stream
}

/// Reads one byte.
fn sip(stream: &mut TcpStream) {
    let mut byte = [0; 1];
    stream.read_exact(&mut byte).expect("a byte");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreground_reader_at_a_few_bytes_a_second() {
    if !cfg!(target_os = "linux") {
        eprintln!("SKIPPED: resident memory is read from /proc");
        return;
    }
    let world = World::start().await;
    // Warm: allocator, connections, code.
    let warm = "chat?tokens=300&shape=filler&token_bytes=1000";
    world
        .stream(json!({"model": warm, "input": "x"}))
        .await
        .checked()
        .await;
    let before = resident(&world);
    let body = json!({"model": LONG, "input": "x", "stream": true}).to_string();
    let mut client = slow_client(&world, "POST", "/v1/responses", &body).await;
    let most = most_resident(&world, READING, || sip(&mut client)).await;
    println!("foreground: {before} MiB before, at most {most} MiB");
    assert!(
        most < before + FOREGROUND_MIB,
        "{before} MiB grew to {most} MiB"
    );
    assert_eq!(
        world.upstream.stats().active_streams,
        1,
        "it was not held back"
    );
    drop(client);
    until("the model server is left", async || {
        world.upstream.stats().active_streams == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_a_background_log_at_a_few_bytes_a_second() {
    if !cfg!(target_os = "linux") {
        eprintln!("SKIPPED: resident memory is read from /proc");
        return;
    }
    let world = World::start().await;
    // The same job without readers first: what generating and storing costs.
    let client = world.client();
    let first = world.background_streamable(MODEL).await;
    let alone = most_until_ended(&world, &client, &first).await;
    let second = world.background_streamable(MODEL).await;
    let path = format!("/v1/responses/{second}?stream=true");
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(slow_client(&world, "GET", &path, "").await);
    }
    let running = most_until_ended(&world, &client, &second).await;
    // Readers do not hold the job up.
    let response = world.ended(&second).await;
    assert_eq!(output_text(&response).len(), 10_000_000);
    let after = most_resident(&world, READING, || readers.iter_mut().for_each(sip)).await;
    let most = running.max(after);
    println!("background: at most {alone} MiB alone, {most} MiB with {READERS} readers");
    let allowed = SHARED_MIB + READERS as u64 * PER_READER_MIB;
    assert!(
        most < alone + allowed,
        "{alone} MiB without readers, {most} MiB with them"
    );
}

/// The highest resident memory until a response has ended.
async fn most_until_ended(world: &World, client: &Client, id: &str) -> u64 {
    let deadline = Instant::now() + PATIENCE * 3;
    let mut most = 0;
    loop {
        most = most.max(resident(world));
        let path = format!("/v1/responses/{id}");
        if is_terminal(&client.get(&path).await.ok().json) {
            return most.max(resident(world));
        }
        assert!(Instant::now() < deadline, "it never ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
