//! Streams of events by their lines, for what has to be changed in one.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};

/// The longest line that is held until it is whole.
const MAX_HELD: usize = 64 * 1024 * 1024;

/// The same bytes in pieces that end where a line does. What comes so is not
/// copied; the rest of a line is waited for.
pub fn whole<E: Send>(
    from: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
) -> impl Stream<Item = Result<Bytes, E>> + Send {
    futures::stream::unfold(Some((from, BytesMut::new())), async |state| {
        let (mut from, mut held) = state?;
        loop {
            match from.next().await {
                Some(Ok(more)) => {
                    let end = memchr::memrchr2(b'\n', b'\r', &more).map(|at| at + 1);
                    if held.is_empty() && end == Some(more.len()) {
                        return Some((Ok(more), Some((from, held))));
                    }
                    let end = end.map(|end| held.len() + end);
                    held.extend_from_slice(&more);
                    let end = end.or_else(|| (held.len() > MAX_HELD).then_some(held.len()));
                    if let Some(end) = end {
                        let lines = held.split_to(end).freeze();
                        return Some((Ok(lines), Some((from, held))));
                    }
                }
                Some(Err(error)) => return Some((Err(error), None)),
                None if held.is_empty() => return None,
                None => return Some((Ok(held.freeze()), None)),
            }
        }
    })
}

/// Lines in which each `data:` may become another; `None` leaves it.
pub fn changed(lines: &[u8], change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Bytes {
    let mut out = Vec::with_capacity(lines.len());
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let data = line.strip_prefix(b"data:");
        match data.and_then(&change) {
            Some(data) => {
                out.extend_from_slice(b"data:");
                out.extend_from_slice(&data);
            }
            None => out.extend_from_slice(line),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test]
    async fn pieces_end_where_lines_do_and_nothing_is_lost() {
        let text = b"data: one\r\n\r\n: ping\n\ndata: two\r\rdata: three";
        for size in 1..text.len() {
            let pieces: Vec<_> = text.chunks(size).map(Bytes::from_static).collect();
            let pieces = futures::stream::iter(pieces.into_iter().map(Ok::<_, Infallible>));
            let pieces: Vec<_> = whole(pieces)
                .map(|piece| piece.expect("bytes"))
                .collect()
                .await;
            let (last, before) = pieces.split_last().expect("one at least");
            assert_eq!(last, "data: three".as_bytes());
            assert!(
                before
                    .iter()
                    .all(|piece| piece.ends_with(b"\n") || piece.ends_with(b"\r"))
            );
            assert_eq!(pieces.concat(), text);
        }
    }
}
