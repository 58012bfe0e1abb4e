//! The loopback HTTP/1.1 server under both halves of the testkit.
//!
//! It speaks hyper directly: the scripted model server is the baseline of the bench, so nothing
//! may stand between a request and its script. One task accepts and owns every connection task;
//! dropping [`Server`] ends them all. [`Wire`] lets an answer ask for the connection to end with
//! a TCP reset instead of a FIN: the flag is read when hyper drops the socket.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Connections served at once; further ones wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 20_000;
/// Pause after a failed `accept`, so that running out of descriptors does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(20);

/// The answer ended on purpose, without its proper end.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the script ended this connection")]
pub(crate) struct Broken;

/// What a server does with its requests.
pub(crate) trait App: Send + Sync + 'static {
    type Body: hyper::body::Body<Data = Bytes, Error = Broken> + Send + 'static;

    fn call(
        self: Arc<Self>,
        request: Request<Incoming>,
        wire: Arc<Wire>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Broken>> + Send;

    fn connection_opened(&self) {}
    fn connection_closed(&self) {}
}

/// One TCP connection, as an answer sees it.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    reset: AtomicBool,
}

impl Wire {
    /// The next close of this connection is a TCP RST.
    pub(crate) fn reset_on_close(&self) {
        self.reset.store(true, Ordering::Release);
    }
}

/// A running server; dropping it closes the listener and every connection.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start<A: App>(listen: SocketAddr, app: Arc<A>) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, app));
        Ok(Self { address, accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Drops the accept loop's `JoinSet`, which aborts every connection with it.
        self.accepting.abort();
    }
}

async fn accept<A: App>(listener: TcpListener, app: Arc<A>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, app.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
            },
        }
    }
}

async fn serve<A: App>(stream: TcpStream, app: Arc<A>) {
    // Without it every small SSE write waits for the peer's delayed ACK.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let wire = Arc::new(Wire::default());
    let open = Open::new(app.clone());
    let io = TokioIo::new(Socket {
        stream,
        wire: wire.clone(),
    });
    let service = service_fn(move |request| app.clone().call(request, wire.clone()));
    // An error here is a broken connection: the script's doing or the client's, counted elsewhere.
    let _ = http1::Builder::new().serve_connection(io, service).await;
    drop(open);
}

/// Counts a connection for as long as it lives, aborted tasks included.
struct Open<A: App>(Arc<A>);

impl<A: App> Open<A> {
    fn new(app: Arc<A>) -> Self {
        app.connection_opened();
        Self(app)
    }
}

impl<A: App> Drop for Open<A> {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}

struct Socket {
    stream: TcpStream,
    wire: Arc<Wire>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.wire.reset.load(Ordering::Acquire) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.wire.reset.load(Ordering::Acquire) {
            // A FIN sent first would turn the reset into an ordinary end.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
