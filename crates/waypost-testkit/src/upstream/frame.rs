//! Server-sent events on their way out, in the script's framing.
//!
//! The plain framing writes straight into the outgoing buffer. The odd ones (CRLF, several
//! `data:` lines, no space, comments) go through a scratch buffer: they are legal SSE that a
//! hand-written reader tends to get wrong.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

use super::script::Script;

/// Room for one write of small deltas.
const CAPACITY: usize = 8 * 1024;

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the framing"
)]
pub(super) struct Frames {
    out: BytesMut,
    scratch: BytesMut,
    plain: bool,
    crlf: bool,
    multiline: bool,
    tight: bool,
    comments: usize,
    events: usize,
}

impl Frames {
    pub(super) fn new(script: &Script) -> Self {
        let odd = script.crlf || script.multiline || script.tight || script.comments > 0;
        Self {
            out: BytesMut::with_capacity(CAPACITY),
            scratch: BytesMut::new(),
            plain: !odd,
            crlf: script.crlf,
            multiline: script.multiline,
            tight: script.tight,
            comments: script.comments,
            events: 0,
        }
    }

    /// Adds one event whose data `write` writes as one line.
    pub(super) fn event(&mut self, name: Option<&str>, write: impl FnOnce(&mut BytesMut)) {
        if self.plain {
            if let Some(name) = name {
                self.put(&[b"event: ", name.as_bytes(), b"\n"]);
            }
            self.out.extend_from_slice(b"data: ");
            write(&mut self.out);
            self.out.extend_from_slice(b"\n\n");
        } else {
            self.scratch.clear();
            write(&mut self.scratch);
            self.odd_event(name);
        }
    }

    pub(super) fn json(&mut self, name: Option<&str>, value: &Value) {
        self.event(name, |out| put_json(out, value));
    }

    /// What is written so far, leaving the buffer empty.
    pub(super) fn take(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    fn put(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.out.extend_from_slice(part);
        }
    }

    fn odd_event(&mut self, name: Option<&str>) {
        let end: &[u8] = if self.crlf { b"\r\n" } else { b"\n" };
        let colon: &[u8] = if self.tight { b":" } else { b": " };
        if self.comments > 0 && self.events.is_multiple_of(self.comments) {
            self.put(&[b": ping", end, end]);
        }
        self.events += 1;
        if let Some(name) = name {
            self.put(&[b"event", colon, name.as_bytes(), end]);
        }
        let data = self.scratch.split();
        // Only where the line is a JSON object: there a line break after `{` and before `}` is
        // white space, anywhere else it could be inside a string.
        match data
            .strip_prefix(b"{")
            .and_then(|rest| rest.strip_suffix(b"}"))
        {
            Some(inner) if self.multiline => {
                self.put(&[b"data", colon, b"{", end, b"data", colon, inner, end]);
                self.put(&[b"data", colon, b"}", end, end]);
            }
            _ => self.put(&[b"data", colon, &data, end, end]),
        }
    }
}

pub(super) fn put_json(out: &mut BytesMut, value: &impl serde::Serialize) {
    serde_json::to_writer(out.writer(), value).expect("JSON values serialize into memory");
}

/// Cuts one write into the pieces that the script wants on the wire one by one.
pub(super) fn pieces(script: &Script, bytes: Bytes) -> Vec<Bytes> {
    if let Some(size) = script.write_bytes {
        let mut rest = bytes;
        let mut pieces = Vec::with_capacity(rest.len() / size + 1);
        while rest.len() > size {
            pieces.push(rest.split_to(size));
        }
        pieces.push(rest);
        return pieces;
    }
    let inside = bytes.iter().position(|byte| !byte.is_ascii());
    match inside {
        Some(first) if script.split_utf8 => {
            let mut head = bytes;
            let tail = head.split_off(first + 1);
            vec![head, tail]
        }
        _ => vec![bytes],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(query: &str) -> String {
        let mut frames = Frames::new(&Script::from_query(query).unwrap());
        frames.json(Some("a"), &serde_json::json!({"x": 1}));
        frames.event(None, |out| out.extend_from_slice(b"[DONE]"));
        String::from_utf8(frames.take().to_vec()).unwrap()
    }

    #[test]
    fn each_framing_is_what_it_says() {
        assert_eq!(framed(""), "event: a\ndata: {\"x\":1}\n\ndata: [DONE]\n\n");
        assert_eq!(
            framed("crlf=1&tight=1"),
            "event:a\r\ndata:{\"x\":1}\r\n\r\ndata:[DONE]\r\n\r\n"
        );
        assert_eq!(
            framed("multiline=1&comments=2"),
            ": ping\n\nevent: a\ndata: {\ndata: \"x\":1\ndata: }\n\ndata: [DONE]\n\n"
        );
    }

    #[test]
    fn split_utf8_cuts_inside_the_first_wide_character() {
        let script = Script {
            split_utf8: true,
            ..Script::default()
        };
        let cut = pieces(&script, Bytes::from_static("ab漢字".as_bytes()));
        assert_eq!(cut.len(), 2);
        assert!(std::str::from_utf8(&cut[0]).is_err());
        assert_eq!(cut.concat(), "ab漢字".as_bytes());
    }
}
