//! How a stream to a client begins.

use axum::response::Response;
use bytes::Bytes;
use http::Version;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::{Runs, SinkClosed};
use crate::http::{error::ApiError, sse};

/// Frames that may wait for a foreground client.
const CLIENT_QUEUE: usize = 4;

/// The word that a client waits for before its stream: it begins, or there is an
/// HTTP error in its place. It is said once.
pub struct Begin(Option<oneshot::Sender<Result<(), ApiError>>>);

impl Begin {
    /// Whether the client still waits for the word.
    pub fn is_awaited(&self) -> bool {
        self.0.is_some()
    }

    /// Tells the client that its stream begins. Saying it twice changes nothing.
    pub fn begin(&mut self) -> Result<(), SinkClosed> {
        match self.0.take().map(|client| client.send(Ok(()))) {
            Some(Err(_)) => Err(SinkClosed::Client),
            _ => Ok(()),
        }
    }

    /// Tells the client why there is no stream; the error comes back where the
    /// stream has begun.
    pub fn refuse(&mut self, error: ApiError) -> Result<(), ApiError> {
        let Some(client) = self.0.take() else {
            return Err(error);
        };
        // A client that has left misses nothing.
        let _ = client.send(Err(error));
        Ok(())
    }
}

/// Answers with the stream of a run, which goes on in a task of its own, as soon
/// as the run says that it begins.
pub async fn stream<F>(
    runs: &Runs,
    version: Version,
    run: impl FnOnce(mpsc::Sender<Bytes>, Begin) -> F,
) -> Result<Response, ApiError>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (frames, receiver) = mpsc::channel::<Bytes>(CLIENT_QUEUE);
    let (word, said) = oneshot::channel();
    runs.shutdown.spawn(run(frames, Begin(Some(word))));
    said.await
        .map_err(|_| ApiError::internal("the run ended before it began"))??;
    let keeping = sse::Keeping {
        keep_alive: runs.config.keep_alive,
        stop: None,
        version,
    };
    Ok(sse::response(ReceiverStream::new(receiver), keeping))
}
