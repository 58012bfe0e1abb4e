//! The listener: our own accept loop on hyper, so that the peer's address (and
//! later its certificate) is known to requests, and the drain is ours.
//!
//! Flow: a slot of `max_connections` -> accept -> TLS, if configured -> HTTP/1.1
//! or HTTP/2 (by ALPN or by prior knowledge) -> the router.
//!
//! Easy to break: everything a silent client can hold is bounded in time (TLS
//! handshake, request head, idle time) or in number (connections).

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use anyhow::Context;
use arc_swap::ArcSwap;
use axum::{Router, body::Body};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::Http;
use super::{
    edge::Peer,
    pace::{Limits, OpenBody, Overdue, Pace, Paced},
};
use crate::config::TlsConfig;

/// How long to wait after an accept failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// HTTP/2: streams of one connection at a time.
const MAX_STREAMS: u32 = 256;
/// HTTP/2: a peer that answers no ping is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long an idle connection may take to end once it is told to.
const GOODBYE: Duration = Duration::from_secs(5);
/// Request heads, both versions.
const MAX_HEAD: usize = 64 * 1024;

/// The running listener.
pub struct Connections {
    accepting: tokio::task::JoinHandle<JoinSet<()>>,
    /// Ends connections after the requests that they have.
    drain: CancellationToken,
}

/// The listener's certificate, which may be replaced while it is used.
pub type Tls = Arc<ArcSwap<TlsAcceptor>>;

/// Reads certificate and key; the error names the file.
pub fn tls_acceptor(config: &TlsConfig) -> anyhow::Result<TlsAcceptor> {
    let cert_file = config.cert.display();
    let certs = CertificateDer::pem_file_iter(&config.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("[tls] cert: cannot read {cert_file}"))?;
    anyhow::ensure!(
        !certs.is_empty(),
        "[tls] cert: {cert_file} holds no certificate"
    );
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .with_context(|| format!("[tls] key: cannot read {}", config.key.display()))?;
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .context("[tls]: certificate and key do not go together")?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

/// Starts accepting.
pub fn run(
    http: Arc<Http>,
    router: Router,
    listener: TcpListener,
    tls: Option<Tls>,
) -> Connections {
    let drain = CancellationToken::new();
    Connections {
        accepting: tokio::spawn(accept(http, router, listener, tls, drain.clone())),
        drain,
    }
}

impl Connections {
    /// After the drain has begun: lets connections finish what they have, then
    /// cuts them off.
    pub async fn finish(self, limit: Duration) {
        let Ok(mut tasks) = self.accepting.await else {
            return;
        };
        self.drain.cancel();
        let open = tasks.len();
        let end = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, end).await.is_err() {
            tracing::warn!(
                "cutting off connections that did not end in time ({open} at the start of the drain)"
            );
        }
        tasks.shutdown().await;
    }
}

async fn accept(
    http: Arc<Http>,
    router: Router,
    listener: TcpListener,
    tls: Option<Tls>,
    drain: CancellationToken,
) -> JoinSet<()> {
    let builder = Arc::new(http_builder());
    let limits = Limits {
        header: http.config.header_timeout,
        keep_alive: http.config.keep_alive_timeout,
    };
    let slots = Arc::new(Semaphore::new(http.config.max_connections));
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = http.shutdown.begun() => break,
            Some(_) = tasks.join_next() => continue,
            accepted = accept_one(&slots, &listener) => accepted,
        };
        let (stream, peer, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Small writes (events of a stream) go out at once.
        let _ = stream.set_nodelay(true);
        let accepted = Accepted {
            router: router.clone(),
            peer,
            pace: Pace::new(),
            limits,
            drain: drain.clone(),
        };
        let tls = tls.as_ref().map(|tls| TlsAcceptor::clone(&tls.load()));
        let (http, builder) = (Arc::clone(&http), builder.clone());
        tasks.spawn(async move {
            http.metrics.connections_open.inc();
            match tls {
                None => accepted.serve(&builder, stream).await,
                Some(tls) => accepted.encrypted(&builder, &tls, stream).await,
            }
            http.metrics.connections_open.dec();
            drop(slot);
        });
    }
    tasks
}

async fn accept_one(
    slots: &Arc<Semaphore>,
    listener: &TcpListener,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

fn http_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Heads and idle connections have limits of their own: see `pace`.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// One accepted connection and what it needs.
struct Accepted {
    router: Router,
    peer: SocketAddr,
    pace: Arc<Pace>,
    limits: Limits,
    /// Cancelled when it is to end after the requests that it has.
    drain: CancellationToken,
}

impl Accepted {
    async fn encrypted(
        self,
        builder: &auto::Builder<TokioExecutor>,
        tls: &TlsAcceptor,
        stream: TcpStream,
    ) {
        let peer = self.peer;
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(self.limits.header, tls.accept(stream)) => handshake,
            () = self.drain.cancelled() => return,
        };
        match handshake {
            Ok(Ok(stream)) => self.serve(builder, stream).await,
            Ok(Err(error)) => tracing::debug!(%peer, "TLS handshake failed: {error}"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        }
    }

    async fn serve<S>(self, builder: &auto::Builder<TokioExecutor>, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            router,
            peer,
            pace,
            limits,
            drain,
        } = self;
        // One address for a client, whichever way its IPv4 reached us.
        let from = Peer(peer.ip().to_canonical());
        let stream = TokioIo::new(Paced::new(stream, Arc::clone(&pace)));
        let requests = Arc::clone(&pace);
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            let open = requests.request(request.version());
            request.extensions_mut().insert(from);
            let answer = router.clone().oneshot(request.map(Body::new));
            async move {
                let answer = answer.await?;
                Ok::<_, Infallible>(answer.map(|body| OpenBody::new(body, open)))
            }
        });
        let mut connection = pin!(builder.serve_connection_with_upgrades(stream, service));
        let mut draining = false;
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                () = drain.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                overdue = pace.overdue(limits) => {
                    if overdue == Overdue::Head {
                        tracing::debug!(%peer, "no request came in time");
                        return;
                    }
                    // HTTP/2 says goodbye, so that a request on its way is known to be lost.
                    connection.as_mut().graceful_shutdown();
                    match tokio::time::timeout(GOODBYE, connection.as_mut()).await {
                        Ok(ended) => break ended,
                        // One came just before.
                        Err(_) if pace.is_busy() => break connection.await,
                        Err(_) => return,
                    }
                }
            }
        };
        if let Err(error) = ended {
            // Clients that go away are no news.
            tracing::debug!(%peer, "connection ended: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::{extract::State, routing::get};
    use bytes::Bytes;
    use futures::{StreamExt, stream};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{config::HttpConfig, metrics::Metrics, shutdown::Shutdown};

    async fn serve(router: Router<Arc<Http>>) -> (Connections, SocketAddr, Arc<Http>) {
        let http = Arc::new(Http {
            config: HttpConfig {
                header_timeout: Duration::from_millis(300),
                keep_alive_timeout: Duration::from_millis(600),
                ..HttpConfig::default()
            },
            organization_id: "org-test".to_owned(),
            metrics: Metrics::new(),
            shutdown: Shutdown::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = router.with_state(Arc::clone(&http));
        let connections = run(Arc::clone(&http), router, listener, None);
        (connections, address, http)
    }

    async fn ask(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .expect("sent");
        stream
    }

    #[tokio::test]
    async fn a_long_stream_is_not_a_slow_head() {
        async fn handler() -> Body {
            Body::from_stream(stream::iter(0..5).then(|n| async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok::<_, Infallible>(Bytes::from(format!("part {n}\n")))
            }))
        }
        let (_connections, address, _http) = serve(Router::new().route("/", get(handler))).await;
        let mut stream = ask(address).await;
        let mut got = Vec::new();
        // The connection ends by itself afterwards: it is idle for too long.
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut got))
            .await
            .expect("it ends")
            .expect("readable");
        let got = String::from_utf8_lossy(&got);
        assert!(
            got.contains("part 4\n") && got.ends_with("0\r\n\r\n"),
            "{got}"
        );
    }

    #[tokio::test]
    async fn a_drain_waits_for_streams_that_end_and_cuts_off_others() {
        async fn handler(State(http): State<Arc<Http>>) -> Body {
            let events = stream::once(async { Bytes::from_static(b"first\n") }).chain(
                stream::once(async move {
                    http.shutdown.begun().await;
                    Bytes::from_static(b"last\n")
                }),
            );
            Body::from_stream(events.map(Ok::<_, Infallible>))
        }
        async fn stuck() -> Body {
            Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
        }
        for (router, clean) in [
            (Router::new().route("/", get(handler)), true),
            (Router::new().route("/", get(stuck)), false),
        ] {
            let (connections, address, http) = serve(router).await;
            let mut stream = ask(address).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            http.shutdown.begin();
            let began = Instant::now();
            connections.finish(Duration::from_secs(1)).await;
            assert_eq!(began.elapsed() < Duration::from_millis(900), clean);
            let mut got = Vec::new();
            let _ = stream.read_to_end(&mut got).await;
            let got = String::from_utf8_lossy(&got);
            assert_eq!(
                got.contains("last\n") && got.ends_with("0\r\n\r\n"),
                clean,
                "{got}"
            );
            assert!(TcpStream::connect(address).await.is_err());
        }
    }
}
