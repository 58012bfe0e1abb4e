//! The body of an answer that is passed on, on its way to the client.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream::BoxStream};
use tokio_util::sync::CancellationToken;

use super::chunks::error_event;
use crate::{
    http::{edge::RequestInfo, error::ApiError},
    run::STOPPING,
    upstream::{
        Slot,
        error::UpstreamError,
        meter::{Meter, Tail},
    },
};

/// How long the event that has begun may take to come, once the server stops.
const LAST_EVENT: Duration = Duration::from_millis(500);
/// Of what went out, so many bytes are remembered: enough for the end marker.
const LAST: usize = 16;

pub(super) type ByteStream = BoxStream<'static, reqwest::Result<Bytes>>;

/// A body on its way, with what is held and learned meanwhile.
pub(super) struct Flow {
    pub(super) begun: Option<Bytes>,
    pub(super) rest: Option<ByteStream>,
    pub(super) tail: Tail,
    pub(super) meter: Meter,
    pub(super) info: Arc<RequestInfo>,
    #[expect(dead_code, reason = "held for its Drop")]
    pub(super) slot: Slot,
    /// Cancelled when the server stops.
    pub(super) stop: CancellationToken,
    /// It is a stream of events, to which one can be added.
    pub(super) takes_events: bool,
    /// The last bytes that went out.
    pub(super) last: Vec<u8>,
}

impl Flow {
    pub(super) async fn next(&mut self, idle: Duration) -> Option<std::io::Result<Bytes>> {
        if let Some(begun) = self.begun.take() {
            self.saw(&begun);
            return Some(Ok(begun));
        }
        let next = match &mut self.rest {
            Some(rest) => tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    let last_word = self.last_word().await;
                    self.rest = None;
                    return last_word;
                }
                next = tokio::time::timeout(idle, rest.next()) => match next {
                    Ok(next) => next.map(|next| next.map_err(std::io::Error::other)),
                    Err(_) => Some(Err(std::io::Error::other(UpstreamError::Stalled(idle)))),
                },
            },
            None => None,
        };
        if let Some(Ok(bytes)) = &next {
            self.saw(bytes);
        }
        next
    }

    /// The server stops before the answer is whole, and the client must not take
    /// it for whole. After a whole event an error follows; what is no stream of
    /// events breaks off.
    async fn last_word(&mut self) -> Option<std::io::Result<Bytes>> {
        if self.last.ends_with(b"[DONE]\n\n") {
            return None;
        }
        let mut out = BytesMut::new();
        if self.takes_events
            && let Ok(true) = tokio::time::timeout(LAST_EVENT, self.end_of_event(&mut out)).await
        {
            error_event(&ApiError::unavailable(STOPPING), &mut out);
            return Some(Ok(out.freeze()));
        }
        Some(Err(std::io::Error::other(STOPPING)))
    }

    /// Reads to the end of the event that has begun; `false` if that never comes.
    async fn end_of_event(&mut self, out: &mut BytesMut) -> bool {
        while !self.last.is_empty() && !ends_an_event(&self.last) {
            let Some(Ok(bytes)) = (match &mut self.rest {
                Some(rest) => rest.next().await,
                None => None,
            }) else {
                return false;
            };
            self.tail.saw(&bytes);
            for byte in bytes {
                out.extend_from_slice(&[byte]);
                self.last.push(byte);
                if ends_an_event(&self.last) {
                    break;
                }
            }
        }
        true
    }

    fn saw(&mut self, bytes: &Bytes) {
        self.last
            .extend_from_slice(&bytes[bytes.len().saturating_sub(LAST)..]);
        self.last.drain(..self.last.len().saturating_sub(LAST));
        self.meter.first_token();
        self.tail.saw(bytes);
    }
}

impl Drop for Flow {
    /// However it ends, what the model server counted was spent: most clients
    /// leave at `[DONE]`.
    fn drop(&mut self) {
        if let Some(usage) = self.tail.usage() {
            self.meter.tokens(usage);
            let _ = self.info.learned.tokens.set(usage);
        }
    }
}

/// Whether the last line of these is blank.
fn ends_an_event(text: &[u8]) -> bool {
    [&b"\n\n"[..], b"\n\r\n", b"\r\r"]
        .iter()
        .any(|end| text.ends_with(end))
}
