//! Legal ways to cut and frame a stream.

use waypost_testkit::ScriptedUpstream;
use waypost_testkit::sse;
use waypost_testkit::upstream::{Script, Shape, expected_text};

use crate::client::{chat, numbers, responses};

#[tokio::test]
async fn odd_framings_carry_the_same_events() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    for query in [
        "crlf=1",
        "tight=1",
        "multiline=1",
        "comments=1",
        "crlf=1&multiline=1&comments=2",
    ] {
        let reply = chat(&upstream, &format!("tokens=20&{query}"), true).await;
        assert_eq!(reply.content(), numbers(20), "{query}");
        // A comment between events is the one oddity that Waypost sends itself.
        let strict = sse::parse_strict(&reply.bytes());
        assert_eq!(strict.is_ok(), query == "comments=1", "{query}");
        let native = responses(&upstream, &format!("tokens=20&{query}"), true).await;
        let stream = sse::check_stream(&native.events()).unwrap();
        assert_eq!(stream.output_text(), numbers(20), "{query}");
    }
}

#[tokio::test]
async fn each_oddity_is_on_the_wire() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    for (query, seen) in [
        ("crlf=1", "\r\n\r\n"),
        ("tight=1", "data:{"),
        ("multiline=1", "data: {\ndata: "),
        ("comments=1", ": ping\n"),
    ] {
        let text = chat(&upstream, query, true).await.text();
        assert!(text.contains(seen), "{query}: {text}");
        assert!(!chat(&upstream, "", true).await.text().contains(seen));
    }
}

#[tokio::test]
async fn characters_are_split_between_writes() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let script = Script {
        shape: Shape::Emoji,
        ..Script::default()
    };
    let query = "tokens=16&shape=emoji&split_utf8=1&coalesce=1";
    let reply = chat(&upstream, query, true).await;
    let torn = reply
        .chunks
        .iter()
        .filter(|chunk| std::str::from_utf8(chunk).is_err());
    assert_eq!(
        torn.count(),
        2 * 16,
        "each token leaves a torn head and a torn tail"
    );
    assert_eq!(reply.content(), expected_text(&script, 16));
}

#[tokio::test]
async fn writes_of_a_few_bytes() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    let reply = chat(&upstream, "tokens=2&write_bytes=7", true).await;
    assert!(reply.chunks.len() > 50 && reply.chunks.iter().all(|chunk| chunk.len() <= 7));
    assert_eq!(reply.content(), "0 1 ");
}

#[tokio::test]
async fn tokens_share_writes_as_asked() {
    let upstream = ScriptedUpstream::start().await.unwrap();
    for (coalesce, writes) in [(1, 13), (4, 4), (64, 1)] {
        let query = format!("tokens=12&coalesce={coalesce}");
        let reply = chat(&upstream, &query, true).await;
        assert_eq!(reply.chunks.len(), writes, "coalesce={coalesce}");
    }
}
