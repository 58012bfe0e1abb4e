//! An answer's body, in pieces: bytes, white space, silence.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use crate::net::Broken;

/// White space is sent in pieces of this size.
const PIECE: usize = 64 * 1024;

pub(crate) enum Part {
    Text(Bytes),
    Spaces(usize),
    /// Nothing more, and no end.
    Silence,
}

pub(crate) struct Parts(VecDeque<Part>);

impl Parts {
    pub(super) fn of(parts: impl IntoIterator<Item = Part>) -> Self {
        Self(parts.into_iter().collect())
    }

    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        Self::of([Part::Text(text.into())])
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let bytes = match self.0.pop_front() {
            None => return Poll::Ready(None),
            Some(Part::Text(text)) => text,
            Some(Part::Spaces(bytes)) => {
                if bytes > PIECE {
                    self.0.push_front(Part::Spaces(bytes - PIECE));
                }
                Bytes::from(vec![b' '; bytes.min(PIECE)])
            }
            Some(Part::Silence) => {
                // Nobody wakes this: it ends with its connection.
                self.0.push_front(Part::Silence);
                return Poll::Pending;
            }
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}
