use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use super::*;

/// A server that answers each request on a connection with `answer`, at most
/// `per_connection` times, then closes it.
struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
    /// A word for every connection that ended.
    ended: mpsc::Receiver<()>,
}

async fn server(answer: &'static str, per_connection: usize) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let (end, ended) = mpsc::channel(16);
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let end = end.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut answered = 0;
                let mut buffer = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    head.extend_from_slice(&buffer[..read]);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        answered += 1;
                        if answered == per_connection {
                            break;
                        }
                    }
                }
                drop(stream);
                let _ = end.send(()).await;
            });
        }
    });
    Server {
        url,
        connections,
        ended,
    }
}

fn get(url: &str) -> reqwest::Request {
    reqwest::Request::new(reqwest::Method::GET, url.parse().unwrap())
}

const WHOLE: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n2\r\nho\r\n0\r\n\r\n";
const ENDLESS: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n";

#[tokio::test]
async fn connections_are_used_again_also_when_the_reader_stops_before_the_end() {
    let server = server(WHOLE, usize::MAX).await;
    let pool = Arc::new(ConnectionPool::default());
    for _ in 0..3 {
        let answer = pool.send(get(&server.url)).await.unwrap();
        assert_eq!(answer.bytes().await.unwrap(), "hiho");
    }
    for _ in 0..3 {
        let mut bytes = pool.send(get(&server.url)).await.unwrap().bytes_stream();
        assert_eq!(bytes.next().await.unwrap().unwrap(), "hi");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_closed_while_it_rested_costs_nothing() {
    let mut server = server(WHOLE, 1).await;
    let pool = Arc::new(ConnectionPool::default());
    for served in 1..=3 {
        let answer = pool.send(get(&server.url)).await.unwrap();
        assert_eq!(answer.bytes().await.unwrap(), "hiho");
        assert_eq!(server.connections.load(Ordering::SeqCst), served);
        server.ended.recv().await.unwrap();
        // The end has to reach this side's event loop.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_connection_that_closes_as_it_is_asked_again_is_replaced_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        // Answers on each connection so often; the next request is read and not answered.
        for answers in [1, 1, 0] {
            let (mut stream, _) = listener.accept().await.unwrap();
            for left in (0..=answers).rev() {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                if left > 0 {
                    stream.write_all(WHOLE.as_bytes()).await.unwrap();
                }
            }
        }
    });
    let pool = Arc::new(ConnectionPool::default());
    for _ in 0..2 {
        let answer = pool.send(get(&url)).await.unwrap();
        assert_eq!(answer.bytes().await.unwrap(), "hiho");
    }
    // A new connection is believed.
    let error = pool.send(get(&url)).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Exchange { .. }), "{error}");
    server.await.unwrap();
}

#[tokio::test]
async fn dropping_an_answer_closes_its_connection() {
    let mut server = server(ENDLESS, usize::MAX).await;
    let pool = Arc::new(ConnectionPool::default());
    let mut bytes = pool.send(get(&server.url)).await.unwrap().bytes_stream();
    assert_eq!(bytes.next().await.unwrap().unwrap(), "hi");
    drop(bytes);
    server.ended.recv().await.unwrap();
    pool.send(get(&server.url)).await.unwrap();
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    let server = server(ENDLESS, 1).await;
    let pool = Arc::new(ConnectionPool::default());
    let answer = pool.send(get(&server.url)).await.unwrap();
    assert!(answer.bytes().await.is_err());
    assert!(pool.lock().values().all(Vec::is_empty));
}

#[tokio::test]
async fn nobody_there_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = Arc::new(ConnectionPool::default())
        .send(get(&url))
        .await
        .unwrap_err();
    assert!(
        error.to_string().starts_with("no connection to 127.0.0.1:"),
        "{error}"
    );
}
