//! Joins what a model server sent at once.
//!
//! A client connection hands its body over one chunk at a time, although one
//! read has brought many: passed on like that, every chunk of a burst is a
//! write of its own. So a chunk is held while the connection's task gets
//! a few turns; what it brings by then goes out together. A stream whose tokens
//! come apart is delayed by those turns, microseconds, and by nothing else.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, future::poll_immediate, stream};

/// Turns that the connection's task gets without bringing anything. It may run
/// on another thread, which takes a few microseconds to wake.
const TURNS: u32 = 3;
/// What is joined at most, about.
const MAX_GATHERED: usize = 64 * 1024;

/// The same bytes in fewer pieces. An error comes after what came before it.
pub fn gathered<S, E>(chunks: S) -> impl Stream<Item = Result<Bytes, E>> + Send
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Send,
{
    let start = (Box::pin(chunks.fuse()), None);
    stream::unfold(start, |(mut chunks, failed)| async move {
        if let Some(error) = failed {
            return Some((Err(error), (chunks, None)));
        }
        let first = match chunks.next().await? {
            Ok(first) => first,
            Err(error) => return Some((Err(error), (chunks, None))),
        };
        let mut joined: Option<BytesMut> = None;
        let mut failed = None;
        let mut turns = 0;
        loop {
            match poll_immediate(chunks.next()).await {
                Some(Some(Ok(next))) => {
                    turns = 0;
                    let joined = joined.get_or_insert_with(|| BytesMut::from(&first[..]));
                    joined.extend_from_slice(&next);
                    if joined.len() >= MAX_GATHERED {
                        break;
                    }
                }
                Some(Some(Err(error))) => {
                    failed = Some(error);
                    break;
                }
                Some(None) => break,
                None if turns >= TURNS => break,
                None => {
                    turns += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        let bytes = joined.map_or(first, BytesMut::freeze);
        Some((Ok(bytes), (chunks, failed)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(
        chunks: Vec<Result<&'static str, &'static str>>,
    ) -> Vec<Result<Bytes, &'static str>> {
        let chunks = chunks.into_iter().map(|chunk| chunk.map(Bytes::from));
        gathered(stream::iter(chunks)).collect().await
    }

    #[tokio::test]
    async fn a_burst_is_one_piece_and_an_error_comes_last() {
        assert_eq!(
            all(vec![Ok("a"), Ok("b"), Ok("c")]).await,
            [Ok("abc".into())]
        );
        let failing = all(vec![Ok("a"), Ok("b"), Err("broken")]).await;
        assert_eq!(failing, [Ok("ab".into()), Err("broken")]);
        assert_eq!(all(vec![Err("broken")]).await, [Err("broken")]);
        assert!(all(vec![]).await.is_empty());
    }

    #[tokio::test]
    async fn a_chunk_does_not_wait_for_the_next_one() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let chunks = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let mut pieces = Box::pin(gathered::<_, ()>(chunks));
        for text in ["one", "two"] {
            sender.send(Ok(Bytes::from(text))).await.expect("open");
            let piece = pieces.next().await;
            assert_eq!(piece, Some(Ok(Bytes::from(text))));
        }
    }

    #[tokio::test]
    async fn pieces_are_bounded() {
        let chunk = Bytes::from(vec![0; MAX_GATHERED / 2 + 1]);
        let chunks = stream::iter(vec![Ok::<_, ()>(chunk); 4]);
        let pieces: Vec<_> = gathered(chunks).collect().await;
        assert_eq!(pieces.len(), 2);
    }
}
