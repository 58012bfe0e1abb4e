use bytes::Bytes;
use futures::stream;

use super::{Parser, SseError, SseEvent, SseReader, VecDeque, parse, parse_strict};

fn event(name: Option<&str>, data: &str) -> SseEvent {
    SseEvent {
        name: name.map(str::to_owned),
        data: data.to_owned(),
    }
}

#[test]
fn every_cut_of_a_stream_reads_the_same() {
    let text = ": hi\r\nevent: a\r\ndata: {\"x\":\r\ndata: \"漢🦀\"}\r\n\r\ndata:b\n\ndata: c\r\rid: 4\n\n";
    let expected = [
        event(Some("a"), "{\"x\":\n\"漢🦀\"}"),
        event(None, "b"),
        event(None, "c"),
    ];
    for cut in 0..=text.len() {
        let mut parser = Parser::default();
        let mut out = VecDeque::new();
        let (head, tail) = text.as_bytes().split_at(cut);
        parser.feed(head, &mut out).unwrap();
        parser.feed(tail, &mut out).unwrap();
        parser.end().unwrap();
        assert_eq!(out, expected, "cut at {cut}");
        assert_eq!(parser.comments, 1);
    }
}

#[test]
fn strict_reading_accepts_our_framing_only() {
    let ours = ": keep-alive\n\nevent: a\ndata: {}\n\ndata: [DONE]\n\n";
    assert_eq!(parse_strict(ours.as_bytes()).unwrap().len(), 2);
    for foreign in [
        "event: a\r\ndata: 1\r\n\r\n",
        "data: 1\ndata: 2\n\n",
        "id: 1\ndata: 1\n\n",
        "data:1\n\n",
        "data: 1\nevent: a\n\n",
        "event: a\n: comment\ndata: 1\n\n",
        "event: a\n\n",
        "retry: 5\n\n",
    ] {
        let error = parse_strict(foreign.as_bytes()).unwrap_err();
        assert!(
            matches!(error, SseError::Framing { .. }),
            "{foreign:?}: {error}"
        );
    }
}

#[test]
fn a_stream_that_stops_inside_an_event_is_an_error() {
    for cut in ["data: {}", "data: {}\n", "event: a\n", "da"] {
        assert!(
            matches!(parse(cut.as_bytes()), Err(SseError::Truncated(_))),
            "{cut:?}"
        );
    }
}

#[tokio::test]
async fn collecting_checks_names_and_the_end() {
    async fn collect(text: &'static str) -> Result<usize, SseError> {
        let chunks = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(text.as_bytes()))]);
        SseReader::strict(chunks)
            .collect_json()
            .await
            .map(|events| events.len())
    }
    let good = "event: a\ndata: {\"type\":\"a\"}\n\ndata: [DONE]\n\n";
    assert_eq!(collect(good).await.unwrap(), 1);
    let misnamed = collect("event: a\ndata: {\"type\":\"b\"}\n\n").await;
    assert!(matches!(misnamed, Err(SseError::NameMismatch { .. })));
    let late = collect("data: [DONE]\n\nevent: a\ndata: {\"type\":\"a\"}\n\n").await;
    assert!(matches!(late, Err(SseError::AfterDone(_))));
    assert!(matches!(
        collect("data: {oops\n\n").await,
        Err(SseError::NotJson { .. })
    ));
}
